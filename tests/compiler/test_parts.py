"""The compiler's small parts: layouts against NumPy, cuts, sub-tiles, runs, the allocator, semaphores."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from compiled import chip
from hypothesis import given, settings
from hypothesis import strategies as some

from hanok.compiler.allocate import Allocator
from hanok.compiler.cuts import cut, cut_fixed
from hanok.compiler.layout import Layout, dense, stored_order
from hanok.compiler.matrix_plan import sub_tile
from hanok.compiler.resize_runs import runs_of
from hanok.compiler.schedule import Access, Buffer, Operation
from hanok.compiler.synchronise import synchronise
from hanok.compiler.view import Storage
from hanok.errors import CompileError
from hanok.isa import Opcode, Unit

QUICK = settings(deadline=None, max_examples=150, derandomize=True)
Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = (
    (12,),
    (3, 4),
    (2, 6, 1),
    (2, 2, 3),
    (1, 12),
    (4, 3, 1),
    (6, 2),
    (1, 2, 1, 6),
    (3, 2, 2),
)
"""Shapes of twelve elements."""


def _numpy(layout: Layout) -> np.ndarray:
    """The storage's byte offsets under the layout, by NumPy's own strides."""
    content = np.arange(layout.storage.size_bytes, dtype=np.int64)
    strides = [8 * stride for stride in layout.strides]
    return np.lib.stride_tricks.as_strided(content[layout.offset :], layout.shape, strides)


@given(some.sampled_from(SHAPES), some.sampled_from(SHAPES), some.randoms(use_true_random=False))
@QUICK
def test_reshape_agrees_with_numpy(shape: Shape, target: Shape, random: Random) -> None:
    order = list(range(len(shape)))
    random.shuffle(order)
    layout = dense(Storage("x", 12), shape, tuple(order))
    found = layout.reshaped(target)
    wanted = _numpy(layout).reshape(target)
    if found is not None:
        assert np.array_equal(_numpy(found), wanted)
        assert found.is_dense
        assert found.order == stored_order(found.shape, found.strides)
        return
    assert not np.shares_memory(wanted, _numpy(layout)), "NumPy reshapes without a copy; so could the layout"


def test_reshape_never_copies_where_numpy_does_not() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        layout = dense(Storage("x", 12), shape, tuple(rng.permutation(len(shape)).tolist()))
        array = _numpy(layout)
        for target in SHAPES:
            copied = not np.shares_memory(array, array.reshape(target))
            assert (layout.reshaped(target) is None) == copied, (layout, target)


def test_slices_and_transpositions_agree_with_numpy() -> None:
    layout = dense(Storage("x", 120), (4, 5, 6), (2, 0, 1))
    array = _numpy(layout)
    assert np.array_equal(_numpy(layout.transposed((1, 2, 0))), array.transpose(1, 2, 0))
    sliced = layout.sliced((3, 1, 0), (-2, 3, 1), (2, 2, 6))
    assert (sliced.offset, sliced.strides) == (int(array[3, 1, 0]), (-10, 3, 20))
    view = layout.image(((2,), (0,), (), (1,)))
    assert view is not None
    assert [view.position(image, y, 0) for image in range(2) for y in range(2)] == [0, 5, 20, 25]
    assert layout.image(((0,), (1,), (), (2,))) is None


@given(some.integers(1, 500), some.integers(1, 60))
@QUICK
def test_cuts_cover_everything_once(total: int, most: int) -> None:
    for pieces in (cut(total, most), cut_fixed(total, most)):
        assert [index for first, last in pieces for index in range(first, last)] == list(range(total))
        assert max(last - first for first, last in pieces) <= most
        assert len(pieces) == -(-total // most)
    sizes = [last - first for first, last in cut(total, most)]
    assert max(sizes) - min(sizes) <= 1


@given(some.integers(16, 300), some.integers(1, 90), some.integers(1, 700), some.integers(1, 40))
@QUICK
def test_sub_tiles_fit_an_accumulator_bank(
    accumulator_rows: int, height: int, width: int, blocks: int
) -> None:
    rows, columns, count = sub_tile(accumulator_rows, height, width, blocks)
    assert rows * columns * count <= accumulator_rows
    assert 1 <= rows <= height
    assert 1 <= columns <= width
    assert 1 <= count <= blocks


@given(some.integers(1, 40), some.integers(1, 20), some.integers(1, 2))
@QUICK
def test_runs_cover_every_output_with_its_taps(outputs: int, inputs: int, taps: int) -> None:
    positions = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    low = np.floor(positions)
    content = np.clip(np.stack([low, low + 1][:taps], axis=1), 0, inputs - 1).astype(np.int32)
    share = (positions - low).astype(np.float32)
    weights = np.stack([1 - share, share][:taps], axis=1).astype(np.float32)
    seen: dict[int, tuple[tuple[int, ...], tuple[float, ...]]] = {}
    for run in runs_of(content, weights):
        for index in range(run.count):
            place = run.first + index * run.step
            assert place not in seen
            seen[place] = (tuple(tap + index * run.delta for tap in run.taps), run.weights)
    wanted = {n: (tuple(content[n].tolist()), tuple(weights[n].tolist())) for n in range(outputs)}
    assert seen == wanted


def _touch(buffer: Buffer, opcode: Opcode = Opcode.LOAD) -> Operation:
    return Operation(opcode, {}, {}, (Access(buffer, 0, buffer.size_bytes),), 0)


def test_live_buffers_share_no_bank() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        buffers = [Buffer(str(n), int(rng.integers(1, 1153)), bool(rng.integers(2))) for n in range(25)]
        operations = []
        for number, buffer in enumerate(buffers):
            operations += [_touch(buffer), _touch(buffers[max(0, number - int(rng.integers(3)))])]
        for index, operation in enumerate(operations):
            buffer = operation.accesses[0].buffer
            buffer.first_use = index if buffer.first_use < 0 else buffer.first_use
            buffer.last_use = index
        Allocator(chip("odd")).place(operations, 0)
        bank = chip("odd").core.sram.bank_bytes
        for index in range(len(operations)):
            live = [b for b in buffers if b.first_use <= index <= b.last_use]
            banks = [
                n for b in live for n in range(b.address // bank, -(-(b.address + b.size_bytes) // bank))
            ]
            assert len(banks) == len(set(banks))
            assert all(0 <= n < chip("odd").core.sram.banks for n in banks)
            assert all(b.address % bank == 0 for b in live)


def test_a_full_scratchpad_is_refused_by_buffer() -> None:
    first, second = Buffer("first", 20 * 576), Buffer("second", 1153)
    for buffer in (first, second):
        buffer.first_use, buffer.last_use = 0, 9
    allocator = Allocator(chip("odd"))
    allocator.take(first)
    with pytest.raises(
        CompileError, match=r"no 3 consecutive banks of 576 bytes for 'second' \(1 of 21 free\)"
    ):
        allocator.take(second)


def test_the_state_of_the_allocator_can_be_restored() -> None:
    allocator = Allocator(chip("odd"))
    kept, dropped = Buffer("kept", 600), Buffer("dropped", 600)
    allocator.take(kept)
    state = allocator.snapshot()
    allocator.take(dropped)
    assert allocator.free_banks == 17
    allocator.restore(state)
    assert allocator.free_banks == 19


def _given_back(chip_name: str) -> list[tuple[int, int]]:
    """Masks of nine chains, each with a buffer and bank of its own, and of nine loads into these."""
    buffers = [Buffer(str(number), 512) for number in range(9)]
    for number, buffer in enumerate(buffers):
        buffer.address = number * chip(chip_name).core.sram.bank_bytes
    operations = [_touch(buffer, Opcode.CHAIN) for buffer in buffers] + [_touch(buffer) for buffer in buffers]
    return synchronise(operations, chip(chip_name))


def test_each_load_waits_for_the_chain_before_it_where_counters_allow() -> None:
    masks = _given_back("edge")
    assert masks == [(0, 1 << Unit.LOAD)] * 9 + [(1 << Unit.VECTOR, 0)] * 9


def test_no_counter_overflows_however_many_buffers_are_given_back() -> None:
    masks = _given_back("odd")
    posts, waits = sum(post > 0 for _, post in masks), sum(wait > 0 for wait, _ in masks)
    assert 0 < posts == waits <= chip("odd").core.control.semaphore_limit
    assert all(wait == 0 for wait, _ in masks[:9])
    assert masks[9][0] == 1 << Unit.VECTOR
