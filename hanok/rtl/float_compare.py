"""Comparisons of float32 without registers: what the steps MAX, MIN and GREATER need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Mux

from hanok.rtl._float_parts import EXPONENT_TOP, FRACTION_BITS

ONE = 0x3F800000
_INFINITY = EXPONENT_TOP << FRACTION_BITS


def is_nan(value: Any) -> Any:
    """Whether a float32 is NaN."""
    return value[:31] > _INFINITY


@dataclass(frozen=True)
class Comparison:
    """What is found out of two float32 side by side; `less` and `greater` follow in a few gates."""

    signs: Any
    smaller: Any
    """Whether the left magnitude is smaller, of magnitudes that are not equal."""
    equal: Any
    zero: Any
    """Whether the left magnitude is 0."""
    nan: Any

    @classmethod
    def of(cls, left: Any, right: Any) -> Comparison:
        """Compare."""
        magnitudes = left[:31], right[:31]
        return cls(
            signs=Cat(left[31], right[31]),
            smaller=magnitudes[0] < magnitudes[1],
            equal=magnitudes[0] == magnitudes[1],
            zero=magnitudes[0] == 0,
            nan=is_nan(left) | is_nan(right),
        )

    @property
    def parts(self) -> tuple[Any, ...]:
        """What `Comparison` is made from, for registers between."""
        return self.signs, self.smaller, self.equal, self.zero, self.nan

    @property
    def less(self) -> Any:
        """Whether the left is less; NaN is not, and zeros are equal."""
        return self._ordered(self.signs[0], self.smaller ^ self.signs[0])

    @property
    def greater(self) -> Any:
        """Whether the left is greater."""
        return self._ordered(self.signs[1], ~(self.smaller ^ self.signs[0]))

    def _ordered(self, by_sign: Any, by_magnitude: Any) -> Any:
        """Choose what signs say that differ, or magnitudes of one sign."""
        differ, same = self.signs[0] ^ self.signs[1], self.equal & self.zero
        return ~self.nan & Mux(differ, by_sign & ~same, by_magnitude & ~self.equal)


def greater(left: Any, right: Any) -> Any:
    """Whether one float32 is greater than another; NaN is not, and zeros are equal."""
    return Comparison.of(left, right).greater


def step_max(value: Any, operand: Any) -> Any:
    """Step MAX: the operand if it is greater, else the value, also where one of them is NaN."""
    return Mux(greater(operand, value), operand, value)


def step_min(value: Any, operand: Any) -> Any:
    """Step MIN: the operand if it is less, else the value, also where one of them is NaN."""
    return Mux(greater(value, operand), operand, value)


def step_greater(value: Any, operand: Any) -> Any:
    """Step GREATER: 1.0 if the value is greater than the operand, else 0.0."""
    return Mux(greater(value, operand), ONE, 0)
