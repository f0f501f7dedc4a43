"""Energy and area of a run, from the tables of `hanok.estimate` and the activity that the engine counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from hanok.estimate import ActivityCounts, Range, activity, estimate_area, estimate_energy
from hanok.flows._accounting import TimedStage
from hanok.flows.results import Contribution
from hanok.machine import Chip

_NAMES = {
    "matrix": "matrix array",
    "accumulators": "accumulators",
    "vector": "vector unit",
    "sram": "SRAM",
    "leakage": "leakage",
    "dram_access": "DRAM access",
    "dram_background": "DRAM standby",
    "control": "control",
}


def energy_of(chip: Chip, timed: Sequence[TimedStage]) -> tuple[Contribution, ...]:
    """Return the energy by part in millijoules; DRAM bytes and activates are those of the engine."""
    counts = sum((_counts(stage, chip) for stage in timed), ActivityCounts())
    cycles = sum(stage.timing.cycles for stage in timed)
    parts = estimate_energy(counts, chip, cycles).in_millijoules()
    return tuple(_contribution(name, amount) for name, amount in parts.items())


def _counts(stage: TimedStage, chip: Chip) -> ActivityCounts:
    timing = stage.timing
    return replace(
        activity(stage.decoded, chip),
        dram_read_bytes=timing.dram_read_bytes,
        dram_write_bytes=timing.dram_write_bytes,
        dram_activates=timing.dram.activates,
    )


def area_of(chip: Chip) -> tuple[Contribution, ...]:
    """Return the core's area by block in mm2."""
    area = estimate_area(chip)
    return tuple(_contribution(block.name, getattr(area, block.name)) for block in fields(area))


def _contribution(name: str, amount: Range) -> Contribution:
    return Contribution(_NAMES.get(name, name), amount.nominal, amount.low, amount.high)
