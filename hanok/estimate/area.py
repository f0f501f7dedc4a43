"""Area of a chip's core by block."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, log2

from hanok.estimate.tables import (
    CONTROL_AREA,
    FLIP_FLOP_UM2,
    INT8_MULTIPLY_UM2,
    INT32_ADD_UM2,
    PE_AREA,
    VECTOR_AREA,
    VECTOR_LANE_UM2,
    VECTOR_STEP_UM2,
    VECTOR_UNIT_UM2,
    logic_um2,
    sram_um2,
)
from hanok.machine import Chip
from hanok.numerics.ranges import Range, total

_UM2_PER_MM2 = 1e6


@dataclass(frozen=True)
class Area:
    """mm2 of each block of a core: without DRAM interface, network between cores, and pads."""

    matrix: Range
    accumulators: Range
    vector: Range
    sram: Range
    control: Range

    @property
    def total(self) -> Range:
        """All blocks."""
        return total(getattr(self, block.name) for block in fields(self))


def estimate_area(chip: Chip) -> Area:
    """Estimate the area of a chip's core from cells at 45 nm and density by node.

    A multiplier has its product, the adders of its share of the tree (16 bits and one more each level, on
    average 16 + 1), an activation byte, a weight and a shadow weight byte, and a product register.
    """
    matrix, vector, sram = chip.core.matrix, chip.core.vector, chip.core.sram
    node_nm = chip.technology.node_nm
    adder = INT32_ADD_UM2 * 17 / 32
    registers = FLIP_FLOP_UM2 * (8 / matrix.columns + 8 + 8 + 16)
    column = INT32_ADD_UM2 + FLIP_FLOP_UM2 * (16 + ceil(log2(matrix.rows))) * (1 + matrix.extra_stages)
    array = matrix.macs * (INT8_MULTIPLY_UM2 + adder + registers) + matrix.columns * column
    lanes = VECTOR_UNIT_UM2 + vector.lanes * (VECTOR_LANE_UM2 + vector.stages * VECTOR_STEP_UM2)
    accumulator_bytes = 4 * matrix.columns * matrix.accumulator_rows * matrix.accumulator_banks
    blocks = (
        PE_AREA * (logic_um2(array, node_nm) / _UM2_PER_MM2),
        sram_um2(accumulator_bytes, node_nm) * (1 / _UM2_PER_MM2),
        VECTOR_AREA * (logic_um2(lanes, node_nm) / _UM2_PER_MM2),
        sram_um2(sram.total_bytes + chip.core.control.fetch_buffer_bytes, node_nm) * (1 / _UM2_PER_MM2),
    )
    return Area(*blocks, control=total(blocks) * CONTROL_AREA)
