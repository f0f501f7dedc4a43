"""Energy of a memory from what it did and how long it was on."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.dram.standard import FlatMemory, Standard
from hanok.dram.state import Counters


@dataclass(frozen=True)
class MemoryEnergy:
    """Picojoules by cause; all zero for a memory without banks, of which no figures are known."""

    activate_precharge_pj: float = 0.0
    read_pj: float = 0.0
    write_pj: float = 0.0
    refresh_pj: float = 0.0
    background_pj: float = 0.0

    @property
    def total_pj(self) -> float:
        """The sum of all causes."""
        return (
            self.activate_precharge_pj + self.read_pj + self.write_pj + self.refresh_pj + self.background_pj
        )


def energy_pj(counters: Counters, standard: Standard | FlatMemory, duration_ps: int) -> MemoryEnergy:
    """Return what `counters` cost in `duration_ps`: commands times their energy, and background power."""
    if isinstance(standard, FlatMemory):
        return MemoryEnergy()
    figures = standard.energy
    return MemoryEnergy(
        activate_precharge_pj=counters.activates * figures.activate_precharge_pj,
        read_pj=(counters.reads - counters.forwarded_reads) * figures.read_pj,
        write_pj=counters.writes * figures.write_pj,
        refresh_pj=counters.refreshes * figures.refresh_pj,
        background_pj=counters.channels * figures.background_mw * duration_ps / 1000,
    )
