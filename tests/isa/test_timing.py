"""The closed timing formulas against figures derived by hand, and against schedules drawn cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest

from hanok.isa import Step
from hanok.isa.timing import (
    UNPACK_STAGES,
    Section,
    chain_cycles,
    column_preload_cycles,
    depthwise_stream_cycles,
    expand_cycles,
    lane_fold_cycles,
    matrix_schedule,
    preload_cycles,
    rows_are_far,
    table_cycles,
    unpack_stages,
)
from hanok.machine import Dma, Matrix, Vector, VectorPipeline


def matrix(rows=8, per_cycle=1, extra=0) -> Matrix:
    return Matrix(
        rows=rows, columns=8, accumulator_rows=64, preload_rows_per_cycle=per_cycle, extra_stages=extra
    )


def vector(lanes=8, stages=2, **pipeline: int) -> Vector:
    return Vector(lanes=lanes, stages=stages, pipeline=VectorPipeline(**pipeline))


def test_preload():
    """D rows one a cycle, two cycles for address and swap: D + 2; the bias is four more rows."""
    assert preload_cycles(matrix(), 8, False) == 8 + 2
    assert preload_cycles(matrix(), 8, True) == 8 + 4 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=4), 64, False) == 16 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=4), 61, True) == 17 + 2
    assert preload_cycles(matrix(rows=64, per_cycle=64), 1, False) == 1 + 2


def test_preload_by_column():
    """A read for each column, or for each `columns * per_cycle` bytes of it, then the bias and shifts."""
    assert column_preload_cycles(matrix(), 8, 8, False) == 8 + 2
    assert column_preload_cycles(matrix(), 8, 8, True) == 8 + 4 + 2
    assert column_preload_cycles(matrix(), 8, 5, False) == 5 + 3 + 2
    assert column_preload_cycles(matrix(), 8, 5, True) == 5 + 4 + 2
    assert column_preload_cycles(matrix(rows=33), 33, 3, False) == 3 * 5 + 5 + 2
    assert column_preload_cycles(matrix(rows=33, per_cycle=3), 25, 7, True) == 7 * 2 + 2 + 2


def test_expand():
    """32 cycles to begin, 256 to sort the symbols of a table, then a symbol a cycle from each lane."""
    dma = Dma(bytes_per_cycle=8, outstanding=4, expand_lanes=8)
    assert expand_cycles(dma, 1, False) == 5 + 1 + 6
    assert expand_cycles(dma, 800, False) == 5 + 100 + 6
    assert expand_cycles(dma, 801, True) == 541 + 101 + 6


def test_unpack():
    """Entries and nibbles are told apart, multiplied and clamped in stages that are there or not."""
    assert unpack_stages(Dma(bytes_per_cycle=8, outstanding=4)) == 0
    assert unpack_stages(Dma(bytes_per_cycle=8, outstanding=4, int4=True)) == UNPACK_STAGES


@pytest.mark.parametrize(
    ("rows", "extra", "depth"),
    [(4, 0, 7), (8, 0, 8), (8, 3, 11), (9, 0, 9), (16, 0, 9), (128, 0, 12), (512, 0, 14)],
)
def test_depth_of_the_adder_tree(rows, extra, depth):
    """Three registers of the scratchpad, operand and product, ceil(log2 rows) levels, and the options."""
    assert matrix(rows=rows, extra=extra).depth_cycles == depth


def test_one_tile_takes_preload_then_rows_then_depth():
    """M rows of one tile: the preload, then M + L + 1 cycles."""
    array = matrix()
    start, end, loader_free, stream_free = matrix_schedule(array, 100, 0, 0, [10], 16)
    assert (start, end) == (100, 100 + 10 + 16 + 8 + 1)
    assert (loader_free, stream_free) == (110, 126)


def test_steady_tiles_take_the_larger_of_stream_and_preload():
    array = matrix()
    for stream, preload in ((30, 10), (4, 10), (10, 10)):
        _, end, _, _ = matrix_schedule(array, 0, 0, 0, [preload] * 5, stream)
        assert end == preload + 4 * max(stream, preload) + stream + 9


def test_the_next_instruction_preloads_behind_the_present_one():
    array = matrix()
    _, _, loader_free, stream_free = matrix_schedule(array, 0, 0, 0, [10], 50)
    assert (loader_free, stream_free) == (10, 60)
    start, end, _, _ = matrix_schedule(array, 5, loader_free, stream_free, [10], 20)
    assert (start, end) == (10, 60 + 20 + 9)


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


def test_far_rows():
    """A ring of 4: its rows are -4 .. 7 from the ring on, its steps -3 .. 3, if they are made."""
    assert [rows_are_far(4, first, 2, 1, 2, 1) for first in (-5, -4, 7, 8)] == [True, False, False, True]
    assert [rows_are_far(4, 0, 2, step, 1, 9) for step in (-4, -3, 3, 4)] == [True, False, False, True]
    assert [rows_are_far(4, 0, 1, 9, 2, step) for step in (-4, -3, 3, 4)] == [True, False, False, True]
    assert not rows_are_far(0, 99, 2, 99, 2, 99)


MUL, DIV, NONE = int(Step.MUL), int(Step.DIV), int(Step.NONE)
FIXED = 13 + (12 + 2 + 3) + 13 + (2 + 2)
"""With 2 stages: set up; front with convert and multiply; a ring of 2 * (1 + 5) + 1 places; write."""


@pytest.mark.parametrize(
    ("steps", "rounds"),
    [
        ([], 1), ([NONE] * 3, 1), ([MUL], 1), ([MUL, NONE, MUL], 1), ([MUL] * 3, 2), ([MUL] * 8, 4),
        ([DIV], 2), ([MUL, DIV], 3), ([MUL, DIV, MUL], 4), ([DIV, DIV, MUL, MUL, MUL], 6),
    ],
)  # fmt: skip
def test_rounds_of_a_section(steps, rounds):
    """Two steps a round; a division takes 4 + 26 / 2 + 4 cycles and 3 more: two rounds of 13 to itself."""
    width = 1 if DIV in steps else 13
    assert Section.of(steps, vector()) == Section(rounds, width)


def chain(steps, outer, reduce, inner, contiguous=True, reduction=None, **changes):
    """Cycles of a chain; `reduction`: the steps after it, and whether the inner loop is folded."""
    unit = vector(**changes)
    after, folds = reduction or ([], False)
    sections = Section.of(steps, unit), Section.of(after, unit)
    return chain_cycles(unit, outer, reduce, inner, contiguous, *sections, reduction is not None, folds)


def test_chain_without_reduction():
    """48 groups enter one a cycle; with two rounds 13 enter at a time, every 26 cycles; apart, 320 enter."""
    assert chain([MUL], 16, 1, 20) == FIXED + 48
    assert chain([MUL] * 3, 16, 1, 20) == FIXED + 3 * 26 + 13 + 9
    assert chain([MUL], 16, 1, 20, contiguous=False) == FIXED + 320
    assert chain([], 1, 1, 8) == FIXED + 1
    assert chain([DIV], 3, 1, 8) == FIXED + 2 * 26 + 13 + 1
    assert chain([DIV], 3, 1, 8, dividers=3) == FIXED + 13 + 3
    assert chain([MUL], 1, 1, 8, convert=0, multiply=1, to_integer=1, fused=1) == 13 + 13 + 7 + 3 + 1


def test_a_ring_of_rows_takes_remainders():
    section = Section.of([MUL], vector())
    plain, ring = (
        chain_cycles(vector(), 4, 1, 8, True, section, section, False, False, has_ring)
        for has_ring in (False, True)
    )
    assert ring == plain + 35


def test_chain_with_reduction():
    """Each batch: its elements, at least 8 cycles apart; 30 to the fold and 7 in it; its results."""
    assert chain([MUL], 8, 9, 8, reduction=([MUL], False)) == FIXED + 9 * 8 + 30 + 7 + 8
    assert chain([MUL], 4, 9, 8, reduction=([MUL], False)) == FIXED + 9 * 8 + 30 + 7 + 4
    assert chain([MUL], 4, 9, 16, reduction=([MUL] * 3, False)) == FIXED + 9 * 8 + 30 + 7 + 13 + 8
    batches = (9 * 64 + 30 + 7 + 64) + (9 * 8 + 30 + 7 + 3)
    assert chain([MUL], 67, 9, 8, reduction=([MUL], False)) == FIXED + batches


def test_folding_the_inner_loop_takes_three_levels_of_eight_lanes():
    """8 groups of each of 4 results, every 8 cycles; levels of 2 pairs, 1 and 1; divisions in turn."""
    cycles = chain([MUL], 4, 1, 64, reduction=([DIV], True))
    assert cycles == FIXED + 8 * 8 + 30 + 7 + 9 + 8 + 8 + 3 * 26 + 13 + 1


def test_rows_share_the_folds_of_lanes():
    """A level takes its pairs, and 8 cycles from the first pair of rows that the next level reads late."""
    assert lane_fold_cycles(vector(), 1) == 8 + 8 + 8
    assert lane_fold_cycles(vector(), 5) == 9 + 9 + 8
    assert lane_fold_cycles(vector(), 64) == 32 + 16 + 12
    assert lane_fold_cycles(vector(lanes=128), 64) == 32 + 16 + 12 + 10 + 9 + 8 + 8


def test_table():
    assert table_cycles(vector()) == 256 + 7
    assert table_cycles(vector(table_words=8)) == 32 + 7
