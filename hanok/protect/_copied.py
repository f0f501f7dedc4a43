"""Numbers that someone copied: found in a file, and told which value of a specification each is."""

from __future__ import annotations

import csv
import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanok.protect.specification import Figure, plain_name, read_text

Floats = npt.NDArray[np.float64]

MOST_FITS = 6_000_000
"""Numbers times figures that are compared; numbers after that are not looked at."""
_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:[0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})(?:[eE][-+]?[0-9]{1,2})?(?![0-9]|\.[0-9])"
)
_CLOSE = 1e-6
"""Of a step: what float64 may lose."""
_IN_ORDER = 0.8
"""Of numbers that fit a value at all: as many in the specification's order mean that it was kept."""


@dataclass(frozen=True)
class Copied:
    """A number of a suspect: its value, and half a unit of its last digit."""

    value: float
    half_unit: float


@dataclass(frozen=True)
class _Ranges:
    """Where moved values can lie: [figures]."""

    low: Floats
    high: Floats
    step: Floats

    def fits(self, number: Copied) -> npt.NDArray[np.bool_]:
        """Which figures a number may be, moved and rounded."""
        slack = np.maximum(number.half_unit - self.step / 2, 0) + _CLOSE * self.step
        return (number.value >= self.low - slack) & (number.value <= self.high + slack)


def copied_values(path: Path, figures: Sequence[Figure]) -> dict[int, Copied]:
    """Return, by the place of a figure in the specification, the number that a suspect has for it.

    By name where names were copied along; else in the order of the specification where that was kept, with
    any left out; else by what alone fits. What fits several figures says nothing.
    """
    reach = np.array([max(figure.reach, 1) for figure in figures], np.float64)
    step = np.array([float(figure.step) for figure in figures])
    middle = np.array([float(figure.value) for figure in figures])
    ranges = _Ranges(middle - reach * step, middle + reach * step, step)
    text = read_text(path)
    named = _by_name(text, figures, ranges)
    numbers = itertools.islice(_numbers(text), MOST_FITS // len(figures))
    fitting = [(number, ranges.fits(number)) for number in numbers]
    fitting = [(number, fits) for number, fits in fitting if fits.any()]
    in_order = _in_order(fitting)
    unnamed = in_order if len(in_order) >= _IN_ORDER * len(fitting) else _alone(fitting)
    return named if 2 * len(named) >= len(unnamed) else unnamed


def _numbers(text: str) -> Iterator[Copied]:
    for found in _NUMBER.finditer(text):
        number = Decimal(found[0].replace("\u2212", "-"))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int), "the pattern allows numbers only"
        yield Copied(float(number), 0.5 * 10.0**exponent)


def _by_name(text: str, figures: Sequence[Figure], ranges: _Ranges) -> dict[int, Copied]:
    places = {plain_name(figure.name): place for place, figure in enumerate(figures)}
    found: dict[int, Copied] = {}
    for name, rest in [*_toml_rows(text), *_rows(text, places)]:
        place = places.get(plain_name(name))
        if place is None or place in found:
            continue
        fitting = [number for number in _numbers(rest) if ranges.fits(number)[place]]
        if fitting:
            found[place] = fitting[0]
    return found


def _toml_rows(text: str) -> list[tuple[str, str]]:
    """(name, value) of the tables [[value]], if the text is a specification."""
    try:
        tables = tomllib.loads(text, parse_float=str).get("value", [])
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return []
    tables = tables if isinstance(tables, list) else []
    rows = [(table.get("name"), table.get("value")) for table in tables if isinstance(table, dict)]
    return [(str(name), str(value)) for name, value in rows if name is not None]


def _rows(text: str, places: dict[str, int]) -> Iterator[tuple[str, str]]:
    """(name, rest of the line): a cell of a table, or words up to a colon, an equals sign or a number."""
    for line in text.splitlines():
        for separator in (",", ";", "\t", "|"):
            cells = next(csv.reader([line[:10_000]], delimiter=separator, strict=False), [])
            for number, cell in enumerate(cells[:8]):
                if plain_name(cell) in places:
                    yield cell, " ".join(cells[number + 1 :])
        for end in re.finditer(r"\s*[:=]\s*|\s+(?=[-+\u2212.]?[0-9])", line[:400]):
            words = line[: end.start()].strip(" \t-*\u2022\"'")
            if plain_name(words) in places:
                yield words, line[end.end() : end.end() + 400]


def _in_order(fitting: list[tuple[Copied, npt.NDArray[np.bool_]]]) -> dict[int, Copied]:
    """The longest run of numbers and figures that fit each other in the same order."""
    if not fitting:
        return {}
    fits = np.stack([mask for _, mask in fitting])
    longest = np.zeros((len(fits) + 1, fits.shape[1] + 1), np.int32)
    for row, mask in enumerate(fits, 1):
        longest[row, 1:] = np.maximum(longest[row - 1, 1:], longest[row - 1, :-1] + mask)
        np.maximum.accumulate(longest[row], out=longest[row])
    found: dict[int, Copied] = {}
    row, place = fits.shape
    while row and place:
        if longest[row, place] == longest[row - 1, place]:
            row -= 1
        elif longest[row, place] == longest[row, place - 1]:
            place -= 1
        else:
            row, place = row - 1, place - 1
            found[place] = fitting[row][0]
    return found


def _alone(fitting: list[tuple[Copied, npt.NDArray[np.bool_]]]) -> dict[int, Copied]:
    """Numbers that fit one figure only, and that no second number fits."""
    found: dict[int, Copied] = {}
    again: set[int] = set()
    for number, mask in fitting:
        if mask.sum() == 1:
            place = int(mask.argmax())
            again |= {place} if found.setdefault(place, number) != number else set()
    return {place: number for place, number in found.items() if place not in again}
