"""Closed formulas for the cycles of matrix and vector instructions (all but DRAM time).

The compiler's cost model and the cycle engine both use these; the RTL is held against them.
"""

from __future__ import annotations

from hanok.machine import Dma, Matrix, Vector
from hanok.units import ceil_div

PRELOAD_OVERHEAD_CYCLES = 2
"""Address setup and swap of the shadow weight registers."""

EXPAND_SETUP_CYCLES = 32
"""Until the first symbol of an EXPAND: first words to the lanes, pipeline of the decoder."""
EXPAND_TABLE_CYCLES = 256
"""To sort the symbols of a new table by code, one a cycle."""


def expand_cycles(dma: Dma, decoded_bytes: int, with_table: bool) -> int:
    """Cycles of the decoder for an EXPAND; it ends when these and its DRAM traffic are over."""
    setup = EXPAND_SETUP_CYCLES + (EXPAND_TABLE_CYCLES if with_table else 0)
    return setup + ceil_div(decoded_bytes, dma.expand_lanes)


def preload_cycles(matrix: Matrix, tile_rows: int, with_bias: bool) -> int:
    """Cycles to bring a weight tile of `tile_rows` rows (and the int32 bias, four more rows) to shadow."""
    rows = tile_rows + (4 if with_bias else 0)
    return ceil_div(rows, matrix.preload_rows_per_cycle) + PRELOAD_OVERHEAD_CYCLES


def depthwise_stream_cycles(
    out_height: int, out_width: int, x_stride: int, taps_x: int, x_tap: int, pixel_pitch: int
) -> int:
    """Cycles to stream one vertical tap of a depthwise block: every pixel under the windows of each row."""
    span = ((out_width - 1) * x_stride + (taps_x - 1) * x_tap) // pixel_pitch + 1
    return out_height * span


def chain_cycles(
    vector: Vector,
    outer: int,
    reduce: int,
    inner: int,
    contiguous: bool,
    slots_before: int,
    slots_after: int,
    reduces: bool,
    reduce_inner: bool,
) -> int:
    """Cycles of a CHAIN: `outer` index groups, `reduce` reduce indices, `inner` elements.

    `contiguous`: every stream has an inner stride of 0 or one element; otherwise one element a cycle.
    Slots are the summed STEP_SLOTS of the steps before and after the reduction.
    """
    groups = ceil_div(inner, vector.lanes) if contiguous else inner
    before = max(1, ceil_div(slots_before, vector.stages))
    cycles = reduce * groups * before
    if reduces:
        after = max(1, ceil_div(slots_after, vector.stages))
        cycles += after * (1 if reduce_inner else groups)
        if reduce_inner:
            cycles += vector.lanes.bit_length() - 1
    return outer * cycles + vector.pipeline_cycles


def table_cycles(vector: Vector) -> int:
    """Cycles of a TABLE: 256 float32 entries, `lanes` a cycle."""
    return ceil_div(256, vector.lanes) + vector.pipeline_cycles


def matrix_schedule(
    matrix: Matrix, ready: int, loader_free: int, stream_free: int, preloads: list[int], stream: int
) -> tuple[int, int, int, int]:
    """Time one matrix instruction; return its start, its end, and the new loader_free and stream_free.

    `ready`: cycle at which it is dispatched and its waits are met. `preloads`: preload cycles of each weight
    tile in order. `stream`: cycles that each tile's activations stream. The loader fills the shadow
    registers of the next tile (also the next instruction's first) while the present tile streams; it is free
    again when the tile that it loaded starts to stream. The end is when the last sum is in its accumulator.
    """
    start = max(ready, loader_free)
    for preload in preloads:
        begin = max(max(ready, loader_free) + preload, stream_free)
        loader_free, stream_free = begin, begin + stream
    return start, stream_free + matrix.depth_cycles + 1, loader_free, stream_free


CODE_WORD_BYTES = 4
"""What the decoder takes in a cycle; the size of an instruction in code is a multiple of it."""
FETCH_LATENCY_CYCLES = 2
"""From the cycle of a burst's answer to the first in which its first word can be decoded."""
QUEUE_LATENCY_CYCLES = 2
"""From the cycle of a dispatch to the first in which the instruction is the head of an empty queue."""
LOAD_REQUEST_STAGES = 2
"""Cycles from a load's request to its address on the bus."""
LOAD_ANSWER_STAGES = 4
"""Cycles from a burst on the bus to the first write of its bytes to SRAM."""
STORE_REQUEST_STAGES = 3
"""Cycles from a store's request to its address and data on the bus."""
