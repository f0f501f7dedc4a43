"""Marks in a specification: each value moved within what was signed off, to one of 2, 4 or 8 levels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanok.protect._copied import Copied, copied_values
from hanok.protect._keyed import keyed_order
from hanok.protect.carrier import Bits, Evidence
from hanok.protect.specification import Figure, Specification, read_specification
from hanok.protect.tardos import FingerprintError

LEAST_MARKS = 64
"""Fewer name nobody of even ten recipients (benchmarks/protect_tracing.py)."""
MOST_BITS = 3
"""Of a value: 8 levels."""
_GRAY = tuple(number ^ (number >> 1) for number in range(1 << MOST_BITS))
"""Level -> bits: neighbours differ in one bit, so that a value between two levels loses one mark."""


@dataclass(frozen=True)
class FigureMarks:
    """Room for marks in one specification; a Carrier."""

    path: Path
    secret: bytes = field(repr=False)

    @cached_property
    def _specification(self) -> Specification:
        return read_specification(self.path)

    @cached_property
    def subject(self) -> str:
        """A digest of names, values and what may be moved."""
        digest = hashlib.blake2b(digest_size=16)
        for figure in self._specification.figures:
            digest.update(f"{figure.name!r} {figure.literal} {figure.reach}\n".encode())
        return f"specification {digest.hexdigest()}"

    @cached_property
    def _moved(self) -> tuple[int, ...]:
        """Places of the figures that can be moved."""
        figures = self._specification.figures
        return tuple(place for place, figure in enumerate(figures) if figure.reach)

    @cached_property
    def _marks_of(self) -> dict[int, npt.NDArray[np.intp]]:
        """Which marks each moved figure carries, in an order that the secret decides."""
        sizes = [_bits(self._specification.figures[place]) for place in self._moved]
        order = keyed_order(self.secret, ("figures", self.subject), sum(sizes))
        parts = np.split(order, np.cumsum(sizes)[:-1]) if sizes else []
        return dict(zip(self._moved, parts, strict=True))

    @property
    def marks(self) -> int:
        """How many marks there is room for."""
        room = sum(len(marks) for marks in self._marks_of.values())
        if room < LEAST_MARKS:
            signed = len(self._moved)
            raise FingerprintError(
                f"{self.path}: room for {room} marks in {signed} values that are signed off and may move by "
                f"a unit of their last digit; at least {LEAST_MARKS} are needed to name anyone. Sign off "
                "more values, or write them with more digits"
            )
        return room

    def embed(self, bits: Bits) -> Mapping[str, bytes]:
        """Return the specification with its values moved and its sign-offs taken out."""
        literals = [figure.literal for figure in self._specification.figures]
        for place, marks in self._marks_of.items():
            figure = self._specification.figures[place]
            pattern = sum(int(bits[mark]) << position for position, mark in enumerate(marks))
            level = _GRAY.index(pattern)
            literals[place] = figure.moved(int(_levels(figure)[level]))
        return {self.path.name: self._specification.copy(literals).encode()}

    def read(self, suspect: Path) -> Evidence:
        """Return the evidence of a list of copied values: TOML, CSV or text, any order, any left out."""
        evidence = np.full(self.marks, np.nan)
        for place, copied in copied_values(suspect, self._specification.figures).items():
            if place in self._marks_of:
                shares = _shares(self._specification.figures[place], copied)
                for position, mark in enumerate(self._marks_of[place]):
                    ones = np.array([(code >> position) & 1 for code in _GRAY[: len(shares)]])
                    evidence[mark] = float((shares * (2 * ones - 1)).sum())
        return evidence


def _bits(figure: Figure) -> int:
    return min(MOST_BITS, (2 * figure.reach + 1).bit_length() - 1)


def _levels(figure: Figure) -> npt.NDArray[np.int64]:
    """Steps away from the original, lowest first: as far apart as they can be, none of them 0."""
    count = 1 << _bits(figure)
    upper = np.rint(np.linspace(figure.reach / (count - 1), figure.reach, count // 2)).astype(np.int64)
    upper = np.maximum(upper, np.arange(1, count // 2 + 1))
    return np.concatenate([-upper[::-1], upper])


def _shares(figure: Figure, copied: Copied) -> npt.NDArray[np.float64]:
    """How far a number speaks for each level, 1 in all: those it may be rounded from, or its neighbours."""
    levels = _levels(figure).astype(np.float64)
    steps = (copied.value - float(figure.value)) / float(figure.step)
    slack = max(copied.half_unit / float(figure.step) - 0.5, 0) + 1e-3
    inside = np.abs(levels - steps) <= slack
    position = np.interp(steps, levels, np.arange(len(levels)))
    between = np.maximum(0, 1 - np.abs(np.arange(len(levels)) - position))
    shares: npt.NDArray[np.float64] = inside / inside.sum() if inside.any() else between
    return shares
