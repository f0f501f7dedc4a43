"""Energy of a run by part, from counted activity."""

from __future__ import annotations

from dataclasses import dataclass, fields

from hanok.dram.chip_memory import memory_standard
from hanok.dram.standard import FlatMemory
from hanok.estimate.activity import ActivityCounts
from hanok.estimate.area import estimate_area
from hanok.estimate.tables import (
    FLAT_PJ_PER_BIT,
    FLOAT32_ADD,
    FLOAT32_MULTIPLY,
    IDLE_SLOT,
    INT8_ADD,
    INT8_MULTIPLY,
    INT32_ADD,
    LEAKAGE_MW_PER_MM2,
    MAC_OVERHEAD,
    PRELOAD,
    VECTOR_STEP,
    operation_pj,
    sram_pj_per_byte,
)
from hanok.machine import Chip, Technology
from hanok.numerics.ranges import NOTHING, Range, total

_PJ_PER_MJ = 1e9


@dataclass(frozen=True)
class Energy:
    """Picojoules of each part of a run."""

    matrix: Range
    accumulators: Range
    vector: Range
    sram: Range
    leakage: Range
    dram_access: Range
    dram_background: Range
    """Standby and refresh of every channel, for as long as the run takes."""

    @property
    def total(self) -> Range:
        """All parts."""
        return total(getattr(self, part.name) for part in fields(self))

    def in_millijoules(self) -> dict[str, Range]:
        """Each part in mJ, in table order."""
        return {part.name: getattr(self, part.name) * (1 / _PJ_PER_MJ) for part in fields(self)}


def estimate_energy(counts: ActivityCounts, chip: Chip, cycles: int) -> Energy:
    """Estimate the energy of a run of `cycles` core cycles that does what `counts` says."""
    technology, matrix = chip.technology, chip.core.matrix
    mac = mac_pj(technology)
    bank = sram_pj_per_byte(chip.core.sram.bank_bytes, technology)
    accumulator = sram_pj_per_byte(4 * matrix.columns * matrix.accumulator_rows, technology)
    preload = PRELOAD * operation_pj(INT8_ADD, technology)
    idle = max(0, counts.array_slots - counts.macs)
    seconds = cycles / (chip.clock_mhz * 1e6)
    access, background = _dram(counts, chip, seconds)
    sram_bytes = (
        counts.load_sram_write_bytes
        + counts.store_sram_read_bytes
        + counts.matrix_sram_read_bytes
        + counts.vector_sram_read_bytes
        + counts.vector_sram_write_bytes
    )
    return Energy(
        matrix=mac * counts.macs + mac * IDLE_SLOT * idle + preload * counts.preload_bytes,
        accumulators=accumulator * (counts.accumulator_read_bytes + counts.accumulator_write_bytes),
        vector=vector_step_pj(technology) * counts.vector_lane_steps,
        sram=bank * sram_bytes,
        leakage=LEAKAGE_MW_PER_MM2 * estimate_area(chip).total * (seconds * _PJ_PER_MJ),
        dram_access=access,
        dram_background=background,
    )


def mac_pj(technology: Technology) -> Range:
    """Picojoules of an int8 multiply, its int32 add, clock and registers."""
    return MAC_OVERHEAD * (operation_pj(INT8_MULTIPLY, technology) + operation_pj(INT32_ADD, technology))


def vector_step_pj(technology: Technology) -> Range:
    """Picojoules of a float32 step in one lane: an add, the mean, a multiply."""
    add, multiply = operation_pj(FLOAT32_ADD, technology), operation_pj(FLOAT32_MULTIPLY, technology)
    return VECTOR_STEP * Range(add, (add + multiply) / 2, multiply)


def _dram(counts: ActivityCounts, chip: Chip, seconds: float) -> tuple[Range, Range]:
    """Energy of reads, writes and activates; and of standby and refresh."""
    standard = memory_standard(chip.memory)
    if isinstance(standard, FlatMemory):
        return FLAT_PJ_PER_BIT * (8 * (counts.dram_read_bytes + counts.dram_write_bytes)), NOTHING
    figures = standard.energy
    access = (
        figures.read_pj * (counts.dram_read_bytes / standard.burst_bytes)
        + figures.write_pj * (counts.dram_write_bytes / standard.burst_bytes)
        + figures.activate_precharge_pj * counts.dram_activates
    )
    kind = chip.memory.controller.refresh
    interval, each_pj = standard.refresh_interval_cycles, figures.refresh_pj
    if kind == "per_bank":
        interval, each_pj = standard.bank_refresh_interval_cycles, figures.bank_refresh_pj
    refreshes = 0.0
    if kind != "none":
        refreshes = seconds / (interval * standard.tck_fs * 1e-15) * standard.organisation.pseudo_channels
    channel = figures.background_mw * (seconds * _PJ_PER_MJ) + each_pj * refreshes
    return access, channel * chip.memory.channels
