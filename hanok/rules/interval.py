"""Closed intervals of exact numbers, of which an end may be open to infinity: what is known of a quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from hanok.rules.exact import readable
from hanok.rules.truth import Truth

_End = tuple[int, Fraction]
"""(-1, 0): minus infinity; (0, x): x; (1, 0): infinity. Tuples compare as the numbers do."""
_ZERO = Fraction(0)
_BELOW_ALL: _End = (-1, _ZERO)
_ABOVE_ALL: _End = (1, _ZERO)


@dataclass(frozen=True)
class Interval:
    """The numbers from low to high; None is no bound on that side."""

    low: Fraction | None
    high: Fraction | None

    def __post_init__(self) -> None:
        assert self.low is None or self.high is None or self.low <= self.high, f"{self} is not in order"

    @classmethod
    def of(cls, value: Fraction | int) -> Interval:
        """The interval of one number."""
        return cls(Fraction(value), Fraction(value))

    @property
    def value(self) -> Fraction | None:
        """The number, where there is only one."""
        return self.low if self.low == self.high else None

    def __neg__(self) -> Interval:
        return Interval(
            None if self.high is None else -self.high,
            None if self.low is None else -self.low,
        )

    def __add__(self, other: Interval) -> Interval:
        return Interval(_sum(self.low, other.low), _sum(self.high, other.high))

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        return _hull(_product(one, two) for one in self._ends for two in other._ends)

    def __truediv__(self, other: Interval) -> Interval:
        """The quotients; everything where the divisor may change its sign, an open end where it may be 0."""
        if other == NOTHING or (other._ends[0] < (0, _ZERO) < other._ends[1]):
            return EVERYTHING
        return self * Interval(*_reciprocal(other))

    def __str__(self) -> str:
        if self.value is not None:
            return readable(self.value)
        if self.low is None and self.high is None:
            return "unknown"
        if self.low is None:
            assert self.high is not None
            return f"at most {readable(self.high)}"
        if self.high is None:
            return f"at least {readable(self.low)}"
        return f"{readable(self.low)} .. {readable(self.high)}"

    @property
    def _ends(self) -> tuple[_End, _End]:
        low = _BELOW_ALL if self.low is None else (0, self.low)
        high = _ABOVE_ALL if self.high is None else (0, self.high)
        return low, high


EVERYTHING = Interval(None, None)
NOTHING = Interval.of(0)
"""Exactly zero."""


def compare(left: Interval, operator: str, right: Interval) -> Truth:
    """The truth of `left operator right` (>=, >, <=, <, ==, !=) for every number of both."""
    match operator:
        case ">=":
            return _decide(left._ends[0] >= right._ends[1], left._ends[1] < right._ends[0])
        case ">":
            return _decide(left._ends[0] > right._ends[1], left._ends[1] <= right._ends[0])
        case "<=":
            return compare(right, ">=", left)
        case "<":
            return compare(right, ">", left)
        case "==":
            apart = left._ends[1] < right._ends[0] or right._ends[1] < left._ends[0]
            return _decide(left.value is not None and left.value == right.value, apart)
        case "!=":
            return ~compare(left, "==", right)
    raise AssertionError(f"{operator} compares nothing")


def smallest(parts: Iterable[Interval]) -> Interval:
    """What the least of the numbers can be."""
    ends = [part._ends for part in parts]
    return _from_ends(min(low for low, _ in ends), min(high for _, high in ends))


def largest(parts: Iterable[Interval]) -> Interval:
    """What the greatest of the numbers can be."""
    ends = [part._ends for part in parts]
    return _from_ends(max(low for low, _ in ends), max(high for _, high in ends))


def _decide(yes: bool, no: bool) -> Truth:
    if yes:
        return Truth.YES
    return Truth.NO if no else Truth.UNKNOWN


def _sum(one: Fraction | None, two: Fraction | None) -> Fraction | None:
    return None if one is None or two is None else one + two


def _sign(end: _End) -> int:
    return end[0] or (end[1] > 0) - (end[1] < 0)


def _product(one: _End, two: _End) -> _End:
    """The product of two ends; zero times infinity is zero, since the end itself is never reached."""
    if one[0] == 0 and two[0] == 0:
        return 0, one[1] * two[1]
    sign = _sign(one) * _sign(two)
    return (sign, _ZERO) if sign else (0, _ZERO)


def _reciprocal(divisor: Interval) -> tuple[Fraction | None, Fraction | None]:
    """The ends of 1 / divisor, whose sign does not change; an end at 0 gives an open one."""
    low, high = divisor.low, divisor.high
    new_low = Fraction(0) if high is None else (None if high == 0 else 1 / high)
    new_high = Fraction(0) if low is None else (None if low == 0 else 1 / low)
    return new_low, new_high


def _hull(ends: Iterable[_End]) -> Interval:
    found = list(ends)
    return _from_ends(min(found), max(found))


def _from_ends(low: _End, high: _End) -> Interval:
    return Interval(low[1] if low[0] == 0 else None, high[1] if high[0] == 0 else None)
