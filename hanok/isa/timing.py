"""Closed formulas for the cycles of matrix and vector instructions (all but DRAM time).

The compiler's cost model and the cycle engine both use these; the RTL is held against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.isa.table import DIVISIONS, TABLE_ENTRIES, Step
from hanok.machine import Dma, Matrix, Vector
from hanok.units import ceil_div

PRELOAD_OVERHEAD_CYCLES = 2
"""Address setup and swap of the shadow weight registers."""
MATRIX_SETUP_CYCLES = 9
"""From the start of a matrix instruction to its first stream, at least: products of rows and pitch."""
FAR_ROW_CYCLES = 49
"""From the start of a matrix instruction with far rows to its first stream, at least: for remainders."""

CHAIN_SETUP_CYCLES = 13
"""Products of strides and pitches, while the steps are sorted into rows."""
CHAIN_RING_CYCLES = 35
"""Rows modulo ring_rows, a bit a cycle, before the products."""
TABLE_OVERHEAD_CYCLES = 7
"""From the start of a TABLE to its first read, and from its last read to the end."""

EXPAND_BEGIN_CYCLES = 5
"""From the first beat of an EXPAND that keeps its code to the first group of symbols that takes words."""
EXPAND_TABLE_CYCLES = 541
"""The same from the last beat of a table: lengths are counted and summed, then symbols sorted by code."""
EXPAND_BEAT_CYCLES = 2
"""From a beat to the first group that may take its words."""
EXPAND_WRITE_CYCLES = 6
"""From the cycle in which a group takes its words to that in which its symbols are written."""
EXPAND_ROOM_CYCLES = 5
"""From the cycle in which a group takes words to the first beat that may have their place."""
UNPACK_STAGES = 2
"""Cycles that the SRAM side of a load engine with `int4` is later, in all it does: see `unpack_stages`."""


def line_bytes(dma: Dma, burst_bytes: int) -> int:
    """Bytes of a line, which a DMA engine asks for in a cycle: bursts of the memory, as many as hold a beat.

    A power of two, as `burst_bytes` is; one burst where that holds a beat.
    """
    return max(burst_bytes, 1 << (dma.bytes_per_cycle - 1).bit_length())


def open_lines(dma: Dma, burst_bytes: int) -> int:
    """Lines that may be open: their bursts are no more than `outstanding`, unless that holds no line."""
    return max(1, dma.outstanding * burst_bytes // line_bytes(dma, burst_bytes))


def unpack_stages(dma: Dma) -> int:
    """Cycles by which all that the SRAM side of the load engine does is later, for weights of four bits.

    So much more are `LOAD_ANSWER_STAGES` and `FILL_START_CYCLES` of such an engine. An UNPACK takes the
    cycles of a LOAD of its `packed_bytes`, and nothing else.
    """
    return UNPACK_STAGES if dma.int4 else 0


def expand_ring_bytes(dma: Dma) -> int:
    """Bytes of packed words that the decoder holds: those of a group, and beats that are on their way."""
    return 1 << (2 * dma.expand_lanes + 4 * dma.bytes_per_cycle - 1).bit_length()


def expand_cycles(dma: Dma, decoded_bytes: int, with_table: bool) -> int:
    """Cycles of an EXPAND's decoder from its table's end, or its first beat, on, if it lacks no words."""
    setup = EXPAND_TABLE_CYCLES if with_table else EXPAND_BEGIN_CYCLES
    return setup + ceil_div(decoded_bytes, dma.expand_lanes) + EXPAND_WRITE_CYCLES


def preload_cycles(matrix: Matrix, tile_rows: int, with_bias: bool) -> int:
    """Cycles to bring a weight tile of `tile_rows` rows (and the int32 bias, four more rows) to shadow."""
    rows = tile_rows + (4 if with_bias else 0)
    return ceil_div(rows, matrix.preload_rows_per_cycle) + PRELOAD_OVERHEAD_CYCLES


def column_preload_cycles(matrix: Matrix, chunk_bytes: int, used_columns: int, with_bias: bool) -> int:
    """Cycles to bring a tile that lies by column: each column takes reads of its own.

    Then comes the bias, while columns move to their place if the tile does not use all of them.
    """
    reads = ceil_div(chunk_bytes, matrix.columns * matrix.preload_rows_per_cycle) * used_columns
    biases = ceil_div(4, matrix.preload_rows_per_cycle) if with_bias else 0
    return reads + max(biases, matrix.columns - used_columns) + PRELOAD_OVERHEAD_CYCLES


def depthwise_stream_cycles(
    out_height: int, out_width: int, x_stride: int, taps_x: int, x_tap: int, pixel_pitch: int
) -> int:
    """Cycles to stream one vertical tap of a depthwise block: every pixel under the windows of each row."""
    span = ((out_width - 1) * x_stride + (taps_x - 1) * x_tap) // pixel_pitch + 1
    return out_height * span


def rows_are_far(
    ring_rows: int, first_row: int, out_height: int, y_stride: int, taps_y: int, y_dilation: int
) -> bool:
    """Whether a matrix instruction needs remainders: its first row or a step is a ring or more away.

    `first_row` is y_start + ring_start. Steps that are not made do not count.
    """
    steps = (y_stride if out_height > 1 else 0, y_dilation if taps_y > 1 else 0)
    leaves = not -ring_rows <= first_row < 2 * ring_rows
    return ring_rows > 0 and (leaves or any(abs(step) >= ring_rows for step in steps))


@dataclass(frozen=True)
class Section:
    """Steps before or after a reduction: how often a group goes round the ring, and how many are in it."""

    rounds: int
    width: int

    @classmethod
    def of(cls, steps: Sequence[int], vector: Vector) -> Section:
        """Sort steps into rows of `stages`; a division has a row, and all its rounds, to itself."""
        pipeline, rounds, column = vector.pipeline, 0, 0
        for step in steps:
            if step in DIVISIONS:
                rounds += pipeline.division_rounds(vector.stages)
                column = 0
            elif step != Step.NONE:
                rounds += column == 0
                column = (column + 1) % vector.stages
        divides = any(step in DIVISIONS for step in steps)
        return cls(max(1, rounds), pipeline.dividers if divides else pipeline.depth(vector.stages))

    def span(self, groups: int, depth: int) -> int:
        """Cycles from the first of `groups` groups to the first that the entry of the ring is free again."""
        turns, place = divmod(groups - 1, self.width)
        return (turns * self.rounds + self.rounds - 1) * depth + place + 1


def chain_cycles(
    vector: Vector,
    outer: int,
    reduce: int,
    inner: int,
    contiguous: bool,
    before: Section,
    after: Section,
    reduces: bool,
    reduce_inner: bool,
    has_ring: bool = False,
) -> int:
    """Cycles of a CHAIN: `outer` index groups, `reduce` reduce indices, `inner` elements.

    A ring of places carries groups of `lanes` elements through the step units, once for each row of steps;
    a new group enters a place that is free. A reduction works in batches of up to `batch` results: all their
    elements go through the ring and are folded into an accumulator each, lanes are folded if asked, then the
    accumulators go through the ring once more.

    `contiguous`: each operand has an inner stride of 0 or one element, the result one of one element (or the
    inner loop is folded); otherwise one element a cycle. `has_ring`: operand 0 has ring_rows.
    Without a reduction all steps are in `before`.
    """
    pipeline = vector.pipeline
    depth = pipeline.depth(vector.stages)
    groups = ceil_div(inner, vector.lanes) if contiguous else inner
    around = pipeline.front_cycles + depth
    cycles = CHAIN_SETUP_CYCLES + (CHAIN_RING_CYCLES if has_ring else 0) + around + pipeline.write_cycles
    if not reduces:
        return cycles + before.span(outer * groups, depth)
    results, elements = (outer, reduce * groups) if reduce_inner else (outer * groups, reduce)

    def batch(size: int) -> int:
        drain = around + pipeline.fold_cycles - 1
        folds = lane_fold_cycles(vector, size) if reduce_inner else 0
        period = max(size, pipeline.fold_cycles)
        return before.span(elements * period, depth) + drain + folds + after.span(size, depth)

    whole, rest = divmod(results, pipeline.batch)
    return cycles + whole * batch(pipeline.batch) + (batch(rest) if rest else 0)


def lane_fold_cycles(vector: Vector, results: int) -> int:
    """Cycles in which the lanes of a batch's `results` rows of accumulators become one each.

    A level folds the rows two by two: the halves of both make one row, which the next level folds further.
    It takes a cycle a pair; the next one begins as early as each of its pairs finds both rows there,
    `fold_cycles` after they were begun: pair n of the next level reads what pair 2 n + 1 makes.
    """
    rows, cycles, latency = results, 0, vector.pipeline.fold_cycles
    for _ in range(vector.lanes.bit_length() - 1):
        rows = ceil_div(rows, 2)
        cycles += max(rows, latency + rows // 2)
    return cycles


def table_cycles(vector: Vector) -> int:
    """Cycles of a TABLE: 256 entries, `table_words` a cycle."""
    return TABLE_ENTRIES // vector.pipeline.table_words + TABLE_OVERHEAD_CYCLES


def matrix_schedule(
    matrix: Matrix, ready: int, loader_free: int, stream_free: int, preloads: list[int], stream: int
) -> tuple[int, int, int, int]:
    """Time one matrix instruction; return its start, its end, and the new loader_free and stream_free.

    `ready`: cycle at which it is dispatched and its waits are met. `preloads`: preload cycles of each weight
    tile in order, the first at least FAR_ROW_CYCLES if `rows_are_far`, MATRIX_SETUP_CYCLES otherwise.
    `stream`: cycles that each tile's activations stream. The loader fills the shadow registers of the next
    tile (also the next instruction's first) while the present tile streams; it is free again when the tile
    that it loaded starts to stream. The end is when the last sum is in its accumulator.
    """
    start = max(ready, loader_free)
    for preload in preloads:
        begin = max(max(ready, loader_free) + preload, stream_free)
        loader_free, stream_free = begin, begin + stream
    return start, stream_free + matrix.depth_cycles + 1, loader_free, stream_free


MEMORY_READ_CYCLES = 4
"""From a request to the scratchpad, or of the vector unit to the accumulators, to its data."""
CODE_WORD_BYTES = 4
"""What the decoder takes in a cycle; the size of an instruction in code is a multiple of it."""
FETCH_REQUEST_STAGES = 1
"""Cycles from a request for code to its address on the bus."""
FETCH_LATENCY_CYCLES = 4
"""From the cycle of a burst's answer to the first in which its first word can be decoded."""
QUEUE_LATENCY_CYCLES = 3
"""From the cycle of a dispatch to the first in which the instruction can start, if its queue was empty."""
POST_LATENCY_CYCLES = 1
"""From the cycle of a post to the first in which the head of a queue can take its count."""
START_SPACING_CYCLES = 2
"""From the start of an instruction to the earliest of the next one of its unit."""
LOAD_START_CYCLES = 3
"""Cycles from the start of a LOAD or an EXPAND to its first request."""
FILL_START_CYCLES = 9
"""Cycles from the start of a FILL to its first write to SRAM."""
LOAD_REQUEST_STAGES = 2
"""Cycles from a load's request to its address on the bus."""
LOAD_ANSWER_STAGES = 4
"""Cycles from a burst on the bus to the first write of its bytes to SRAM."""
STORE_START_CYCLES = 4
"""Cycles from the start of a STORE to its first read of SRAM."""
STORE_REQUEST_STAGES = MEMORY_READ_CYCLES + 2
"""Cycles from a store's request to its address and data on the bus."""
