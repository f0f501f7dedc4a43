"""A figure with its uncertainty: low, nominal, high."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """An estimate; low and high hold what the sources and choices behind it leave open."""

    low: float
    nominal: float
    high: float

    def __post_init__(self) -> None:
        assert 0 <= self.low <= self.nominal <= self.high, f"{self} is not in order"

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        if isinstance(factor, Range):
            return Range(self.low * factor.low, self.nominal * factor.nominal, self.high * factor.high)
        return Range(self.low * factor, self.nominal * factor, self.high * factor)


NOTHING = Range(0.0, 0.0, 0.0)


def total(ranges: Iterable[Range]) -> Range:
    """Sum estimates as if all erred the same way, which is the widest that the sum can be."""
    result = NOTHING
    for part in ranges:
        result = result + part
    return result
