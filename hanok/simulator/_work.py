"""The work of each instruction as numbers: matrix tiles, vector cycles, DMA runs, MACs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import VerifyError
from hanok.isa import VECTOR_STEPS, Decoded, Destination, Opcode, Reduction, Source, Step, Unit
from hanok.isa.faults import Fault
from hanok.isa.table import DIVISIONS, FLAG_BIAS, FLAG_COLUMNS, FLAG_KEEP_CODE, FLAG_REDUCE_INNER
from hanok.isa.timing import (
    CHAIN_RING_CYCLES,
    CHAIN_SETUP_CYCLES,
    FAR_ROW_CYCLES,
    MATRIX_SETUP_CYCLES,
    PRELOAD_OVERHEAD_CYCLES,
    table_cycles,
)
from hanok.machine import Core, Matrix, Vector
from hanok.numerics.huffman import TABLE_BYTES
from hanok.simulator._unpack_rules import unpack_rules

Integers = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

MAX_INSTRUCTION_CYCLES = 1 << 40
MAX_STAGE_BURSTS = 1 << 28
"""Far above any real stage; a program that repeats runs without end is refused instead of timed for hours."""

_ELEMENT = np.zeros(256, np.int64)
_ELEMENT[[Source.ACCUMULATOR, Source.INT8, Source.INT32, Source.FLOAT32]] = (1, 1, 4, 4)


def _column(records: Records, name: str) -> Integers:
    column: Integers = records[name].astype(np.int64)
    return column


def _ceil_div(dividend: Integers, divisor: Any) -> Integers:
    quotient: Integers = -(-dividend // divisor)
    return quotient


def _refuse(
    indices: Integers, bad: npt.NDArray[np.bool_], decoded: Decoded, fault: str, cause: int = Fault.NONE
) -> None:
    """Raise VerifyError for the first bad instruction."""
    if not bad.any():
        return
    index = int(indices[int(np.argmax(bad))])
    name, offset = Opcode(int(decoded.opcode[index])).name, int(decoded.offset_bytes[index])
    raise VerifyError(f"instruction {index} ({name} at byte {offset}): {fault}", cause)


def matrix_work(decoded: Decoded, matrix: Matrix) -> tuple[Integers, Integers, Integers, Integers]:
    """Indices, [first preload, steady cycles, cycles of a tile's stream], tiles and MACs.

    Steady cycles lie between the first and the last tile's begin: each further tile of preload p comes
    max(p, stream) after the one before it, which is `hanok.isa.timing.matrix_schedule` in closed form.
    """
    indices = np.flatnonzero(decoded.unit == Unit.MATRIX)
    records = decoded.records["matrix"]
    depthwise = _column(records, "opcode") == Opcode.DEPTHWISE
    height, width = _column(records, "out_height"), _column(records, "out_width")
    taps_y, taps_x = _column(records, "taps_y"), _column(records, "taps_x")
    tap_bytes = np.where(depthwise, 1, _column(records, "tap_bytes"))
    blocks, pitch = _column(records, "blocks"), _column(records, "pixel_pitch")
    empty = np.minimum.reduce(
        [height, width, taps_y, taps_x, tap_bytes, blocks, _column(records, "last_columns")]
    )
    _refuse(
        indices,
        empty < 1,
        decoded,
        "a count is 0; out_height, out_width, taps, blocks and columns are at least 1",
    )
    _refuse(indices, depthwise & (pitch < 1), decoded, "pixel_pitch is 0; it is at least 1")
    span = (width - 1) * _column(records, "x_stride") + (taps_x - 1) * _column(records, "x_tap")
    _refuse(
        indices,
        depthwise & (span < 0),
        decoded,
        "its windows step backwards; x_stride and x_tap are at least 0",
    )
    stream = height * np.where(depthwise, span // np.maximum(pitch, 1) + 1, width)
    chunks = np.where(depthwise, 1, _ceil_div(tap_bytes, matrix.rows))
    full_rows = np.where(depthwise, taps_x, np.minimum(tap_bytes, matrix.rows))
    tail_rows = np.where(depthwise, taps_x, tap_bytes - (chunks - 1) * matrix.rows)
    taps = taps_y * np.where(depthwise, 1, taps_x)
    size = height.astype(float) * np.where(depthwise, span // np.maximum(pitch, 1) + 1, width)
    reads = np.where(_by_column(records), matrix.rows + 2 * matrix.columns, matrix.rows)
    cost = np.maximum(size, reads + 8.0) * taps * chunks * blocks
    limit = f"it takes more than {MAX_INSTRUCTION_CYCLES} cycles"
    _refuse(indices, cost > MAX_INSTRUCTION_CYCLES, decoded, limit)
    first, steady = _tile_cycles(records, matrix, taps, chunks, (full_rows, tail_rows), stream)
    first = np.maximum(first, np.where(_rows_are_far(records), FAR_ROW_CYCLES, MATRIX_SETUP_CYCLES))
    columns = (blocks - 1) * matrix.columns + _column(records, "last_columns")
    macs = height * width * taps_y * taps_x * tap_bytes * columns
    tiles = taps * chunks * blocks
    return indices, np.stack([first, steady, stream], axis=1), tiles, macs


def _by_column(records: Records) -> npt.NDArray[np.bool_]:
    """Whether weights lie by column."""
    result: npt.NDArray[np.bool_] = (_column(records, "flags") & FLAG_COLUMNS) != 0
    return result


def _tile_cycles(
    records: Records,
    matrix: Matrix,
    taps: Integers,
    chunks: Integers,
    rows: tuple[Integers, Integers],
    stream: Integers,
) -> tuple[Integers, Integers]:
    """Preload of the first tile, and cycles from its begin to that of the last tile.

    A block has `taps` taps of `chunks` tiles; `rows` are those of a whole and of the last chunk. The preload
    of a tile that lies by column depends on its columns, which the last block may have fewer of.
    """
    last_columns, blocks = _column(records, "last_columns"), _column(records, "blocks")
    beat, by_column = matrix.preload_rows_per_cycle, _by_column(records)
    biases = np.where(_column(records, "flags") & FLAG_BIAS, 4, 0)

    def preload(tile_rows: Integers, used: Integers, bias: Integers) -> Integers:
        reads = _ceil_div(tile_rows, matrix.columns * beat) * used
        reads += np.maximum(_ceil_div(bias, beat), matrix.columns - used)
        cycles: Integers = np.where(by_column, reads, _ceil_div(tile_rows + bias, beat))
        return cycles + PRELOAD_OVERHEAD_CYCLES

    firsts, whole = [], []
    for used in (np.full_like(last_columns, matrix.columns), last_columns):
        full, tail = (preload(tile_rows, used, np.zeros_like(biases)) for tile_rows in rows)
        first = preload(rows[0], used, biases)
        block = (taps * (chunks - 1) - (chunks > 1)) * np.maximum(full, stream)
        block += (taps - (chunks == 1)) * np.maximum(tail, stream)
        firsts.append(first)
        whole.append(block + np.maximum(first, stream))
    first = np.where(blocks > 1, firsts[0], firsts[1])
    return first, (blocks - 1) * whole[0] + whole[1] - np.maximum(first, stream)


def _rows_are_far(records: Records) -> npt.NDArray[np.bool_]:
    """`hanok.isa.timing.rows_are_far` of every instruction."""
    ring = _column(records, "ring_rows")
    first = _column(records, "y_start") + _column(records, "ring_start")
    far = (first < -ring) | (first >= 2 * ring)
    for step, count in (("y_stride", "out_height"), ("y_dilation", "taps_y")):
        far |= (np.abs(_column(records, step)) >= ring) & (_column(records, count) > 1)
    made: npt.NDArray[np.bool_] = far & (ring > 0)
    return made


def _contiguous(records: Records) -> npt.NDArray[np.bool_]:
    """Whether every operand of a CHAIN has an inner stride of 0 or one element, and the result of one."""
    result: npt.NDArray[np.bool_] = (_column(records, "flags") & FLAG_REDUCE_INNER) != 0
    size = np.where(records["kind_out"] == Destination.INT8, 1, 4)
    result |= _column(records, "strides_out")[:, 3] == size
    strides = [_column(records, "stride_inner")]
    strides += [_column(records, f"strides_{number}")[:, 3] for number in (1, 2)]
    for number, stride in enumerate(strides):
        kind = _column(records, f"kind_{number}")
        result &= (kind == Source.NONE) | (stride == 0) | (stride == _ELEMENT[kind])
    return result


@dataclass(frozen=True)
class _Sections:
    """`hanok.isa.timing.Section` of every instruction."""

    rounds: Integers
    width: Integers

    @classmethod
    def of(cls, steps: Integers, made: npt.NDArray[np.bool_], vector: Vector) -> _Sections:
        """Sort the steps that are `made`, both [instruction, VECTOR_STEPS]."""
        divisions = made & np.isin(steps, DIVISIONS)
        plain = made & ~divisions & (steps != Step.NONE)
        rounds, column = np.zeros(len(steps), np.int64), np.zeros(len(steps), np.int64)
        for number in range(VECTOR_STEPS):
            divides, goes = divisions[:, number], plain[:, number]
            rounds += np.where(divides, vector.pipeline.division_rounds(vector.stages), goes & (column == 0))
            column = np.where(divides, 0, (column + goes) % vector.stages)
        depth = vector.pipeline.depth(vector.stages)
        width = np.where(divisions.any(axis=1), vector.pipeline.dividers, depth)
        return cls(np.maximum(1, rounds), width)

    def span(self, groups: Integers, depth: int) -> Integers:
        """Cycles that the entry of the ring is taken by `groups` groups."""
        turns, place = np.divmod(groups - 1, self.width)
        cycles: Integers = (turns * self.rounds + self.rounds - 1) * depth + place + 1
        return cycles


def vector_work(decoded: Decoded, vector: Vector) -> tuple[Integers, Integers]:
    """Indices and cycles of vector instructions: `hanok.isa.timing.chain_cycles` and `table_cycles`."""
    indices = np.flatnonzero(decoded.unit == Unit.VECTOR)
    chain = decoded.opcode[indices] == Opcode.CHAIN
    records, where = decoded.records["vector"], indices[chain]
    names = ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner")
    loops = [_column(records, name) for name in names]
    least = np.minimum.reduce(loops)
    _refuse(where, least < 1, decoded, "a loop count is 0; each is at least 1")
    total = np.multiply.reduce([loop.astype(float) for loop in loops]) * 64.0
    limit = f"it takes more than {MAX_INSTRUCTION_CYCLES} cycles"
    _refuse(where, total > MAX_INSTRUCTION_CYCLES, decoded, limit)
    result = np.full(len(indices), table_cycles(vector), np.int64)
    result[chain] = _chain_cycles(records, loops, vector)
    _refuse(indices, result > MAX_INSTRUCTION_CYCLES, decoded, limit)
    return indices, result


def _chain_cycles(records: Records, loops: list[Integers], vector: Vector) -> Integers:
    """`hanok.isa.timing.chain_cycles` of every CHAIN."""
    pipeline, depth = vector.pipeline, vector.pipeline.depth(vector.stages)
    outer, reduce, inner = loops[0] * loops[1] * loops[2], loops[3] * loops[4], loops[5]
    groups = np.where(_contiguous(records), _ceil_div(inner, vector.lanes), inner)
    reduces = _column(records, "reduction") != Reduction.NONE
    folds = (_column(records, "flags") & FLAG_REDUCE_INNER) != 0
    steps = np.minimum(_column(records, "steps"), VECTOR_STEPS)
    split = np.where(reduces, np.minimum(_column(records, "steps_before"), steps), steps)
    position, codes = np.arange(VECTOR_STEPS), _column(records, "step")
    before = _Sections.of(codes, position < split[:, None], vector)
    after = _Sections.of(codes, (position >= split[:, None]) & (position < steps[:, None]), vector)
    around = pipeline.front_cycles + depth
    fixed = CHAIN_SETUP_CYCLES + around + pipeline.write_cycles
    cycles = fixed + np.where(_column(records, "ring_rows") != 0, CHAIN_RING_CYCLES, 0)
    elements = np.where(folds, reduce * groups, reduce)
    whole, rest = np.divmod(outer * np.where(folds, 1, groups), pipeline.batch)
    batches = np.zeros(len(records), np.int64)
    for size, count in ((np.full_like(rest, pipeline.batch), whole), (rest, np.minimum(rest, 1))):
        period = np.maximum(size, pipeline.fold_cycles)
        ends = around + pipeline.fold_cycles - 1 + np.where(folds, _lane_fold_cycles(size, vector), 0)
        batches += count * (before.span(elements * period, depth) + ends + after.span(size, depth))
    total: Integers = cycles + np.where(reduces, batches, before.span(outer * groups, depth))
    return total


def _lane_fold_cycles(rows: Integers, vector: Vector) -> Integers:
    """`hanok.isa.timing.lane_fold_cycles` of batches of so many rows."""
    cycles, latency = np.zeros_like(rows), vector.pipeline.fold_cycles
    for _ in range(vector.lanes.bit_length() - 1):
        rows = _ceil_div(rows, 2)
        cycles += np.maximum(rows, latency + rows // 2)
    return cycles


def _refuse_streams(indices: Integers, decoded: Decoded, core: Core) -> Integers:
    """Raise VerifyError for EXPANDs and UNPACKs that are none; return the table bytes of each instruction."""
    records = decoded.records["dma"]
    opcode, packed = _column(records, "opcode"), _column(records, "packed_bytes")
    expand, unpack = opcode == Opcode.EXPAND, opcode == Opcode.UNPACK
    keeps = (_column(records, "flags") & FLAG_KEEP_CODE) != 0
    table = np.where(expand & ~keeps, TABLE_BYTES, 0)
    several = np.maximum.reduce([_column(records, f"count_{level}") for level in (1, 2, 3)]) > 1
    limit = f"packed_bytes is not an even number above {TABLE_BYTES} with a table, or 0"
    for bad, fault in (
        ((packed <= table) | (packed % 2 != 0), limit),
        (np.full(len(records), core.dma.expand_lanes == 0), "the chip has no decoder (expand_lanes is 0)"),
        (
            packed - table > 2 * _column(records, "run_bytes"),
            "packed_bytes has more words than run_bytes has symbols",
        ),
        (several, "a count of EXPAND is above 1"),
    ):
        _refuse(indices, expand & bad, decoded, fault)
    for legal, what, found, allowed, cause in unpack_rules(partial(_column, records), core):
        bad = unpack & ~legal
        if bad.any():
            _refuse(indices, bad, decoded, f"{what} is {found[bad][0]}; allowed: {allowed}", cause)
    return table


def transfer_work(
    decoded: Decoded, core: Core, capacity_bytes: int, burst_bytes: int
) -> tuple[Integers, Integers]:
    """Indices and [FILL, run bytes, address, counts, strides, 0, 0, table bytes] of DMA instructions.

    They are within DRAM. An EXPAND or an UNPACK is a run of its packed bytes.
    """
    indices = np.flatnonzero((decoded.unit == Unit.LOAD) | (decoded.unit == Unit.STORE))
    records = decoded.records["dma"]
    fill = _column(records, "opcode") == Opcode.FILL
    run, address = _column(records, "run_bytes"), records["dram_address"].astype(float)
    counts = [_column(records, f"count_{number}") for number in (3, 2, 1)]
    strides = [_column(records, f"dram_stride_{number}") for number in (3, 2, 1)]
    least = np.minimum.reduce([run, *counts])
    _refuse(indices, least < 1, decoded, "run_bytes or a count is 0; each is at least 1")
    table = _refuse_streams(indices, decoded, core)
    packed = np.isin(records["opcode"], (Opcode.EXPAND, Opcode.UNPACK))
    run = np.where(packed, _column(records, "packed_bytes"), run)
    runs = np.multiply.reduce([count.astype(float) for count in counts])
    bursts = np.cumsum(runs * (run // burst_bytes + 1))
    fault = f"with it the stage moves more than {MAX_STAGE_BURSTS} DRAM bursts"
    _refuse(indices, bursts > MAX_STAGE_BURSTS, decoded, fault)
    steps = [(count - 1) * stride for count, stride in zip(counts, strides, strict=True)]
    low = address + sum(np.minimum(step, 0).astype(float) for step in steps)
    high = address + sum(np.maximum(step, 0).astype(float) for step in steps) + run
    outside = ~fill & ((low < 0) | (high > capacity_bytes))
    _refuse(indices, outside, decoded, f"it leaves DRAM; allowed: byte addresses 0..{capacity_bytes - 1}")
    address, none = records["dram_address"].astype(np.int64), np.zeros(len(records), np.int64)
    return indices, np.stack(
        [fill.astype(np.int64), run, address, *counts, *strides, none, none, table], axis=1
    )
