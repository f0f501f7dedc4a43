"""Numba kernels of LOAD, FILL, UNPACK, STORE and TABLE; bounds have been proven by `emulator_checks`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Opcode
from hanok.isa.table import DMA, TABLE_ENTRIES, VECTOR_TABLE
from hanok.numerics._kernels_compile import kernel, part
from hanok.numerics.nibbles import ENTRY_BYTES, NIBBLES, SCALE_BITS_BEHIND, SCALE_UNIT, ZERO_BITS
from hanok.simulator.emulator_fields import columns_of

_COLUMN = columns_of(DMA)
OPCODE, RUN_BYTES, VALUE = _COLUMN["opcode"], _COLUMN["run_bytes"], _COLUMN["value"]
DRAM_ADDRESS, SRAM_ADDRESS = _COLUMN["dram_address"], _COLUMN["sram_address"]
COUNT_1, COUNT_2, COUNT_3 = _COLUMN["count_1"], _COLUMN["count_2"], _COLUMN["count_3"]
DRAM_1, DRAM_2, DRAM_3 = (_COLUMN[f"dram_stride_{level}"] for level in (1, 2, 3))
SRAM_1, SRAM_2, SRAM_3 = (_COLUMN[f"sram_stride_{level}"] for level in (1, 2, 3))
GROUP_ROWS = _COLUMN["group_rows"]
TABLE_ADDRESS = columns_of(VECTOR_TABLE)["address"]
LOAD, STORE = int(Opcode.LOAD), int(Opcode.STORE)

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


@part
def _copy(target: Bytes, to: int, source: Bytes, start: int, count: int) -> None:
    target_part, source_part = target[to : to + count], source[start : start + count]
    for position in range(count):
        target_part[position] = source_part[position]


@kernel
def move(field: Integers, dram: Bytes, sram: Bytes) -> None:
    """Execute a LOAD, FILL or STORE; runs that touch on both sides are copied as one."""
    opcode, run, count_1 = field[OPCODE], field[RUN_BYTES], field[COUNT_1]
    dram_dense = opcode not in (LOAD, STORE) or field[DRAM_1] == run
    if dram_dense and field[SRAM_1] == run:
        run, count_1 = run * count_1, 1
    value = np.uint8(field[VALUE] & 0xFF)
    for index_3 in range(field[COUNT_3]):
        for index_2 in range(field[COUNT_2]):
            for index_1 in range(count_1):
                outside = field[DRAM_ADDRESS] + index_3 * field[DRAM_3] + index_2 * field[DRAM_2]
                outside += index_1 * field[DRAM_1]
                inside = field[SRAM_ADDRESS] + index_3 * field[SRAM_3] + index_2 * field[SRAM_2]
                inside += index_1 * field[SRAM_1]
                if opcode == LOAD:
                    _copy(sram, inside, dram, outside, run)
                elif opcode == STORE:
                    _copy(dram, outside, sram, inside, run)
                else:
                    sram[inside : inside + run] = value


@kernel
def unpack(field: Integers, dram: Bytes, sram: Bytes, columns: int) -> None:
    """Execute an UNPACK: weights are n * scale + (half a step - zero * scale), shifted, clamped."""
    scales, shifts = np.empty(columns, np.int32), np.empty(columns, np.int32)
    low, high, zero_bits = np.int32(-128), np.int32(127), np.int32(ZERO_BITS)
    half, behind = np.int32(4), np.int32(SCALE_BITS_BEHIND)
    position, target = field[DRAM_ADDRESS], field[SRAM_ADDRESS]
    end = target + field[RUN_BYTES]
    while target < end:
        for column in range(columns):
            place = position + ENTRY_BYTES * column
            entry = np.int32(dram[place] | np.int32(dram[place + 1]) << 8)
            scales[column] = entry >> zero_bits
            shifts[column] = SCALE_UNIT // 2 - (entry & NIBBLES - 1) * scales[column]
        position += ENTRY_BYTES * columns
        for _ in range(field[GROUP_ROWS]):
            pairs, weights = dram[position : position + columns // 2], sram[target : target + columns]
            for column in range(columns // 2):
                first, second = 2 * column, 2 * column + 1
                pair = np.int32(pairs[column])
                earlier = np.int32(np.int32((pair & NIBBLES - 1) * scales[first] + shifts[first]) >> behind)
                later = np.int32(np.int32((pair >> half) * scales[second] + shifts[second]) >> behind)
                weights[first] = np.uint8(max(low, min(high, earlier)))
                weights[second] = np.uint8(max(low, min(high, later)))
            position += columns // 2
            target += columns


@kernel
def load_table(field: Integers, sram: Bytes, table: npt.NDArray[np.float32]) -> None:
    """Execute a TABLE."""
    _copy(table.view(np.uint8), 0, sram, field[TABLE_ADDRESS], 4 * TABLE_ENTRIES)
