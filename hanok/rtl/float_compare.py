"""Comparisons of float32 without registers: what the steps MAX, MIN and GREATER need."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux

from hanok.rtl._float_parts import EXPONENT_TOP, FRACTION_BITS

ONE = 0x3F800000
_INFINITY = EXPONENT_TOP << FRACTION_BITS


def is_nan(value: Any) -> Any:
    """Whether a float32 is NaN."""
    return value[:31] > _INFINITY


def comparison(left: Any, right: Any) -> tuple[Any, Any]:
    """Return whether a float32 is less than another, and whether it is greater; with NaN neither."""
    less, equal = left[:31] < right[:31], left[:31] == right[:31]
    ordered = ~is_nan(left) & ~is_nan(right)
    differs = ordered & ~(equal & (left[:31] == 0))
    opposed, same = differs & (left[31] ^ right[31]), ordered & ~(left[31] ^ right[31]) & ~equal
    return (
        (opposed & left[31]) | (same & (less ^ left[31])),
        (opposed & right[31]) | (same & ~(less ^ left[31])),
    )


def greater(left: Any, right: Any) -> Any:
    """Whether one float32 is greater than another; NaN is not, and zeros are equal."""
    return comparison(left, right)[1]


def step_max(value: Any, operand: Any) -> Any:
    """Step MAX: the operand if it is greater, else the value, also where one of them is NaN."""
    return Mux(greater(operand, value), operand, value)


def step_min(value: Any, operand: Any) -> Any:
    """Step MIN: the operand if it is less, else the value, also where one of them is NaN."""
    return Mux(greater(value, operand), operand, value)


def step_greater(value: Any, operand: Any) -> Any:
    """Step GREATER: 1.0 if the value is greater than the operand, else 0.0."""
    return Mux(greater(value, operand), ONE, 0)
