"""Copies into large storages follow what they copy, and nothing else moves."""

from __future__ import annotations

from compiled import chip

from hanok.compiler.formula_layer import Origin
from hanok.compiler.layers import CopyLayer, Layer, StridedLayer
from hanok.compiler.passes.hoist_copies import hoist_copies
from hanok.compiler.view import Storage, View


def copy(source: Storage, target: Storage, offset: int = 0, fill: int | None = None) -> CopyLayer:
    """Stands for whatever layer reads the one and writes the other."""
    size = min(source.size_bytes, target.size_bytes)
    shape = (1, 1, 1, size)
    return CopyLayer(
        Origin("copy", "Concat", ("copy",)),
        View.dense(source, shape),
        View.dense(target, shape, offset),
        fill,
    )


def storages(*sizes: int) -> list[Storage]:
    return [Storage(f"s{number}", size) for number, size in enumerate(sizes)]


def test_each_part_is_copied_behind_its_maker() -> None:
    given, one, other, whole = storages(50, 10_000, 10_000, 20_000)
    made = [copy(given, one), copy(given, other)]
    parts = [copy(one, whole), copy(other, whole, 10_000)]
    layers: list[Layer] = [*made, *parts]
    assert hoist_copies(layers, chip("odd many")) == [made[0], parts[0], made[1], parts[1]]


def test_what_others_read_or_fill_or_what_is_small_stays() -> None:
    given, one, other, whole, small = storages(50, 10_000, 10_000, 20_000, 5_000)
    first, second = copy(given, one), copy(given, other)
    assert hoist_copies([first, second, copied := copy(one, small)], chip("odd many"))[2] is copied
    assert hoist_copies([first, second, padded := copy(one, whole, fill=0)], chip("odd many"))[2] is padded


def test_a_copy_waits_for_no_reader_but_those_behind_it() -> None:
    given, one, other, whole, small = storages(50, 10_000, 10_000, 20_000, 5_000)
    first, second, parted = copy(given, one), copy(given, other), copy(one, whole)
    origin, view = Origin("reader", "Mul", ("reader",)), View.dense(one, (1, 1, 1, 5_000))
    reader = StridedLayer(origin, view, View.dense(small, (1, 1, 1, 5_000)), (5_000,), (1,), 0)
    before: list[Layer] = [first, reader, second, parted]
    assert hoist_copies(before, chip("odd many")) == [first, parted, reader, second]
    behind: list[Layer] = [first, second, parted, reader]
    assert hoist_copies(behind, chip("odd many")) == behind
