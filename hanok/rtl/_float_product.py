"""The exact product of two significands, in two parts that a register can lie between."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module

from hanok.rtl._float_parts import SIGNIFICAND_BITS, named

_HALF_BITS = SIGNIFICAND_BITS // 2


def partial_products(m: Module, a: Any, b: Any) -> tuple[Any, Any, Any, Any]:
    """Return the products of halves, low * low first, high * high last: one multiplier block each."""
    halves = [(value[:_HALF_BITS], value[_HALF_BITS:]) for value in (a, b)]
    pairs = [(left, right) for left in halves[0] for right in halves[1]]
    low, cross, other, high = (
        named(m, left * right, f"partial_{number}") for number, (left, right) in enumerate(pairs)
    )
    return low, cross, other, high


def joined_products(m: Module, low: Any, cross: Any, other: Any, high: Any) -> Any:
    """Return the sum of the products of halves, twice as wide as a significand."""
    total = Cat(low[_HALF_BITS:], high) + named(m, cross + other, "crossed")
    return named(m, Cat(low[:_HALF_BITS], total[: 3 * _HALF_BITS]), "product")


def product_exponent(m: Module, a: Any, b: Any, bias: int) -> Any:
    """Return the exponents' sum less a bias, signed."""
    return named(m, Cat(a + b, Const(0, 1)).as_signed() - bias, "product_exponent")
