"""Comparisons of float32 without registers: what the steps MAX, MIN and GREATER need."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Mux

from hanok.rtl._float_parts import EXPONENT_TOP, FRACTION_BITS

ONE = 0x3F800000
_INFINITY = EXPONENT_TOP << FRACTION_BITS


def is_nan(value: Any) -> Any:
    """Whether a float32 is NaN."""
    return value[:31] > _INFINITY


def greater(left: Any, right: Any) -> Any:
    """Whether one float32 is greater than another; NaN is not, and zeros are equal."""
    both_zero = (left[:31] == 0) & (right[:31] == 0)
    return (_order(left) > _order(right)) & ~both_zero & ~is_nan(left) & ~is_nan(right)


def step_max(value: Any, operand: Any) -> Any:
    """Step MAX: the operand if it is greater, else the value, also where one of them is NaN."""
    return Mux(greater(operand, value), operand, value)


def step_min(value: Any, operand: Any) -> Any:
    """Step MIN: the operand if it is less, else the value, also where one of them is NaN."""
    return Mux(greater(value, operand), operand, value)


def step_greater(value: Any, operand: Any) -> Any:
    """Step GREATER: 1.0 if the value is greater than the operand, else 0.0."""
    return Mux(greater(value, operand), ONE, 0)


def _order(value: Any) -> Any:
    """An unsigned integer that orders float32: negative numbers inverted, below the others."""
    return Cat(value[:31] ^ value[31].replicate(31), ~value[31])
