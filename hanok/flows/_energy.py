"""Energy and area of a run, from the tables of `hanok.estimate`."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.flows._accounting import TimedStage
from hanok.flows.results import Contribution
from hanok.machine import Chip


def energy_of(chip: Chip, timed: Sequence[TimedStage]) -> tuple[tuple[Contribution, ...], str]:
    """Return the energy by part in millijoules, and how uncertain it is."""
    return (), ""


def area_of(chip: Chip) -> tuple[Contribution, ...]:
    """Return the area by part in mm2."""
    return ()
