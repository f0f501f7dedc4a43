"""Energy of a memory from what it did and how long it was on."""

from __future__ import annotations

from dataclasses import dataclass, fields

from hanok.dram.results import Counters
from hanok.dram.standard import FlatMemory, Standard
from hanok.numerics.ranges import NOTHING, Range, total


@dataclass(frozen=True)
class MemoryEnergy:
    """Picojoules by cause; all nothing for a memory without banks, of which no figures are known."""

    activate_precharge_pj: Range = NOTHING
    read_pj: Range = NOTHING
    write_pj: Range = NOTHING
    refresh_pj: Range = NOTHING
    bank_refresh_pj: Range = NOTHING
    background_pj: Range = NOTHING

    @property
    def total_pj(self) -> Range:
        """The sum of all causes, as if all erred the same way."""
        return total(getattr(self, cause.name) for cause in fields(self))


def energy_pj(counters: Counters, standard: Standard | FlatMemory, duration_ps: int) -> MemoryEnergy:
    """Return what `counters` cost in `duration_ps`: commands times their energy, and background power.

    A milliwatt is a picojoule in 1000 ps.
    """
    if isinstance(standard, FlatMemory):
        return MemoryEnergy()
    figures = standard.energy
    return MemoryEnergy(
        activate_precharge_pj=figures.activate_precharge_pj * counters.activates,
        read_pj=figures.read_pj * counters.reads,
        write_pj=figures.write_pj * counters.writes,
        refresh_pj=figures.refresh_pj * counters.refreshes,
        bank_refresh_pj=figures.bank_refresh_pj * counters.bank_refreshes,
        background_pj=figures.background_mw * (counters.channels * duration_ps / 1000),
    )
