"""The closed timing formulas against figures derived by hand, and against schedules drawn cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest

from hanok.isa.timing import (
    chain_cycles,
    depthwise_stream_cycles,
    expand_cycles,
    matrix_schedule,
    preload_cycles,
    table_cycles,
)
from hanok.machine import Dma, Matrix, Vector


def matrix(rows=8, per_cycle=1, extra=0) -> Matrix:
    return Matrix(
        rows=rows, columns=8, accumulator_rows=64, preload_rows_per_cycle=per_cycle, extra_stages=extra
    )


def vector(lanes=8, stages=2, pipeline=16) -> Vector:
    return Vector(lanes=lanes, stages=stages, pipeline_cycles=pipeline)


def test_preload():
    """D rows one a cycle, two cycles for address and swap: D + 2; the bias is four more rows."""
    assert preload_cycles(matrix(), 8, False) == 8 + 2
    assert preload_cycles(matrix(), 8, True) == 8 + 4 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=4), 64, False) == 16 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=4), 61, True) == 17 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=64), 1, False) == 1 + 2


def test_expand():
    """32 cycles to begin, 256 to sort the symbols of a table, then a symbol a cycle from each lane."""
    dma = Dma(bytes_per_cycle=8, outstanding=4, expand_lanes=8)
    assert expand_cycles(dma, 1, False) == 32 + 1
    assert expand_cycles(dma, 800, False) == 32 + 100
    assert expand_cycles(dma, 801, True) == 32 + 256 + 101


@pytest.mark.parametrize(
    ("rows", "extra", "depth"),
    [(4, 0, 4), (8, 0, 5), (8, 3, 8), (9, 0, 6), (16, 0, 6), (128, 0, 9), (512, 0, 11)],
)
def test_depth_of_the_adder_tree(rows, extra, depth):
    """Operand and product registers, ceil(log2 rows) levels, and the options."""
    assert matrix(rows=rows, extra=extra).depth_cycles == depth


def test_one_tile_takes_preload_then_rows_then_depth():
    """M rows of one tile: the preload, then M + L + 1 cycles."""
    array = matrix()
    start, end, loader_free, stream_free = matrix_schedule(array, 100, 0, 0, [10], 16)
    assert (start, end) == (100, 100 + 10 + 16 + 5 + 1)
    assert (loader_free, stream_free) == (110, 126)


def test_steady_tiles_take_the_larger_of_stream_and_preload():
    array = matrix()
    for stream, preload in ((30, 10), (4, 10), (10, 10)):
        _, end, _, _ = matrix_schedule(array, 0, 0, 0, [preload] * 5, stream)
        assert end == preload + 4 * max(stream, preload) + stream + 6


def test_the_next_instruction_preloads_behind_the_present_one():
    array = matrix()
    _, _, loader_free, stream_free = matrix_schedule(array, 0, 0, 0, [10], 50)
    assert (loader_free, stream_free) == (10, 60)
    start, end, _, _ = matrix_schedule(array, 5, loader_free, stream_free, [10], 20)
    assert (start, end) == (10, 60 + 20 + 6)


def schedule_by_cycle(
    array: Matrix, ready: int, loader_free: int, stream_free: int, preloads: list[int], stream: int
):
    """The same, one cycle at a time: shadow registers hold one tile, streams follow one another."""
    cycle, loaded, left, shadow, streaming, start = 0, 0, 0, False, 0, None
    while True:
        if shadow and cycle >= stream_free and streaming == 0:
            shadow, streaming, loader_free = False, stream, cycle
            if loaded == len(preloads):
                return start, cycle + stream + array.depth_cycles + 1
        if not shadow and left == 0 and loaded < len(preloads) and cycle >= max(ready, loader_free):
            left, start = preloads[loaded], cycle if start is None else start
        cycle += 1
        if left:
            left -= 1
            if left == 0:
                shadow, loaded = True, loaded + 1
        streaming = max(0, streaming - 1)


def test_schedules_agree_with_a_cycle_by_cycle_drawing():
    generator = np.random.default_rng(2)
    array = matrix()
    for _ in range(300):
        loader_free = int(generator.integers(0, 30))
        stream_free = loader_free + int(generator.integers(0, 40))
        preloads = generator.integers(3, 20, int(generator.integers(1, 6))).tolist()
        ready, stream = int(generator.integers(0, 60)), int(generator.integers(1, 30))
        found = matrix_schedule(array, ready, loader_free, stream_free, preloads, stream)[:2]
        assert found == schedule_by_cycle(array, ready, loader_free, stream_free, preloads, stream)


def test_depthwise_stream():
    """3x3 over 6 pixels of pitch 8, stride 1, 4 outputs: pixels 0..5 a row; stride 2, 2 outputs: 0..4."""
    assert depthwise_stream_cycles(4, 4, 8, 3, 8, 8) == 4 * 6
    assert depthwise_stream_cycles(3, 2, 16, 3, 8, 8) == 3 * 5
    assert depthwise_stream_cycles(1, 1, 8, 1, 8, 8) == 1
    assert depthwise_stream_cycles(2, 5, 8, 3, 16, 8) == 2 * 9


def test_chain_without_reduction():
    """16 groups of outer, 20 elements in groups of 8 = 3, one step fits one pass; 3 slots in 2 stages: 2."""
    assert chain_cycles(vector(), 16, 1, 20, True, 1, 0, False, False) == 16 * 3 + 16
    assert chain_cycles(vector(), 16, 1, 20, True, 3, 0, False, False) == 16 * 3 * 2 + 16
    assert chain_cycles(vector(), 16, 1, 20, False, 1, 0, False, False) == 16 * 20 + 16
    assert chain_cycles(vector(), 1, 1, 8, True, 0, 0, False, False) == 1 + 16


def test_chain_with_reduction():
    """9 reduce indices of one group, then one pass after; folding lanes takes log2(8) = 3 more."""
    assert chain_cycles(vector(), 4, 9, 8, True, 1, 1, True, False) == 4 * (9 + 1) + 16
    assert chain_cycles(vector(), 4, 9, 16, True, 1, 3, True, False) == 4 * (18 + 2 * 2) + 16
    assert chain_cycles(vector(), 4, 1, 64, True, 2, 8, True, True) == 4 * (8 + 4 + 3) + 16


def test_table():
    assert table_cycles(vector()) == 32 + 16
    assert table_cycles(vector(lanes=512)) == 1 + 16
