"""Layouts: where the elements of a logical tensor lie in its storage, by one stride in bytes an axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hanok.compiler.view import Storage, View


@dataclass(frozen=True)
class Layout:
    """Element (i0, i1, ...) of a tensor lies at byte offset + sum(i_k * strides[k]) of the storage."""

    storage: Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    element_bytes: int = 1
    """4 for float32."""

    @property
    def order(self) -> tuple[int, ...]:
        """Axes from the slowest to the fastest; axes of length one keep their logical place."""
        return stored_order(self.shape, self.strides)

    @property
    def is_dense(self) -> bool:
        """Whether the layout fills its storage without gaps, in some order of axes.

        The stride of an axis of length 1 does not matter.
        """
        wanted = dense_strides(self.shape, self.order, self.element_bytes)
        same = all(
            length == 1 or one == other
            for length, one, other in zip(self.shape, self.strides, wanted, strict=True)
        )
        size = int(np.prod(self.shape, dtype=np.int64)) * self.element_bytes
        return self.offset == 0 and same and self.storage.size_bytes == size

    def transposed(self, permutation: tuple[int, ...]) -> Layout:
        """The same bytes with axes renamed: axis i of the result is axis permutation[i]."""
        shape = tuple(self.shape[axis] for axis in permutation)
        return replace(self, shape=shape, strides=tuple(self.strides[axis] for axis in permutation))

    def sliced(self, starts: tuple[int, ...], steps: tuple[int, ...], shape: tuple[int, ...]) -> Layout:
        """The elements start + i * step along each axis."""
        offset = self.offset + sum(a * b for a, b in zip(starts, self.strides, strict=True))
        strides = tuple(a * b for a, b in zip(steps, self.strides, strict=True))
        return replace(self, shape=shape, strides=strides, offset=offset)

    def reshaped(self, shape: tuple[int, ...]) -> Layout | None:
        """The same bytes under another shape, or None where the elements would have to move."""
        old = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        new = [(axis, n) for axis, n in enumerate(shape) if n != 1]
        strides = [0] * len(shape)
        while old and new:
            many_old, many_new = 1, 1
            covered, made = old[0][0], new[0][1]
            while covered != made:
                if covered < made:
                    covered *= old[many_old][0]
                    many_old += 1
                else:
                    made *= new[many_new][1]
                    many_new += 1
            merged = merge_axes(old[:many_old])
            if merged is None:
                return None
            step = merged[1]
            for axis, length in reversed(new[:many_new]):
                strides[axis] = step
                step *= length
            old, new = old[many_old:], new[many_new:]
        return replace(self, shape=shape, strides=_fill_unit_strides(shape, strides, self.element_bytes))

    def image(self, axes: tuple[tuple[int, ...], ...]) -> View | None:
        """A view [N][H][W][C], each made of the given logical axes; None where strides forbid it."""
        sizes, strides = [], []
        for group in axes:
            merged = merge_axes([(self.shape[a], self.strides[a]) for a in group])
            if merged is None:
                return None
            sizes.append(merged[0])
            strides.append(merged[1])
        if sizes[3] > 1 and strides[3] != self.element_bytes:
            return None
        pitches = strides[:3]
        pitches[2] = pitches[2] if sizes[2] > 1 else sizes[3] * self.element_bytes
        pitches[1] = pitches[1] if sizes[1] > 1 else sizes[2] * pitches[2]
        pitches[0] = pitches[0] if sizes[0] > 1 else sizes[1] * pitches[1]
        if min(pitches) < 0:
            return None
        shape = (sizes[0], sizes[1], sizes[2], sizes[3])
        return View(self.storage, shape, self.offset, pitches[0], pitches[1], pitches[2], self.element_bytes)


def stored_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Axes by falling stride; axes of length one stay behind the axis that precedes them logically."""
    key: list[tuple[float, int]] = []
    previous = float("inf")
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        previous = float(abs(stride)) if length > 1 else previous
        key.append((-previous, axis))
    return tuple(axis for _, axis in sorted(key))


def dense_strides(shape: tuple[int, ...], order: tuple[int, ...], element_bytes: int = 1) -> tuple[int, ...]:
    """Strides of a dense tensor whose axes are stored in `order`, slowest first."""
    strides = [0] * len(shape)
    step = element_bytes
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def dense(storage: Storage, shape: tuple[int, ...], order: tuple[int, ...], element_bytes: int = 1) -> Layout:
    """A dense layout stored in `order`."""
    return Layout(storage, shape, dense_strides(shape, order, element_bytes), 0, element_bytes)


def merge_axes(axes: list[tuple[int, int]]) -> tuple[int, int] | None:
    """One (length, stride) that runs through nested axes, or None if they are not evenly spaced."""
    result: tuple[int, int] | None = None
    for length, stride in reversed([axis for axis in axes if axis[0] != 1]):
        if result is None:
            result = (length, stride)
        elif stride == result[0] * result[1]:
            result = (length * result[0], result[1])
        else:
            return None
    return result or (1, 0)


def _fill_unit_strides(shape: tuple[int, ...], strides: list[int], element_bytes: int) -> tuple[int, ...]:
    """Give axes of length one the stride that keeps a dense layout dense."""
    result = list(strides)
    following = element_bytes
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            result[axis] = following
        following = max(following, result[axis] * shape[axis])
    return tuple(result)
