"""Programs that run once for every token, and the caches of keys and values that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Progress
from hanok.flows._repeated_program import RepeatedProgram, Values
from hanok.isa import Program

Array = npt.NDArray[Any]
SMALLEST_BUCKET = 16


def bucket_of(length: int, most: int) -> int:
    """The power of two that holds `length` tokens, at least SMALLEST_BUCKET and at most `most`."""
    return min(max(SMALLEST_BUCKET, 1 << (length - 1).bit_length()), most)


class TokenProgram(RepeatedProgram):
    """One compiled model of a generation; `length` is how many tokens it can see."""

    def __init__(self, kind: str, length: int, program: Program, *, check: bool, progress: Progress) -> None:
        super().__init__(f"{kind} of {length} tokens", program, check=check, progress=progress)
        self.kind = kind
        self.length = length


class Cache:
    """Keys and values of the tokens so far, on the host: for every layer an array of places by position."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], axis: int) -> None:
        """`shapes`: of one place of each cache, whose length along `axis` is 1."""
        self.axis = axis
        self.filled = 0
        self._arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def view(self, places: int) -> Values:
        """The caches with exactly `places` places; those that are not filled hold zeros."""
        for name, array in self._arrays.items():
            missing = places - array.shape[self.axis]
            if missing > 0:
                widths = [(0, missing if axis == self.axis else 0) for axis in range(array.ndim)]
                self._arrays[name] = np.pad(array, widths)
        return {name: self._cut(array, 0, places) for name, array in self._arrays.items()}

    def append(self, rows: Mapping[str, Array]) -> None:
        """Put new rows behind the filled places."""
        count = next(iter(rows.values())).shape[self.axis]
        self.view(self.filled + count)
        for name, new in rows.items():
            self._cut(self._arrays[name], self.filled, self.filled + count)[...] = new
        self.filled += count

    def _cut(self, array: Array, start: int, end: int) -> Array:
        places = [slice(None)] * array.ndim
        places[self.axis] = slice(start, end)
        return array[tuple(places)]


Compile = Callable[[str, int, bytes, list[Values]], TokenProgram]
"""Compiles a model with calibration samples; told its kind and how many tokens it sees."""
