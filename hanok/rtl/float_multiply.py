"""Product of two float32, rounded half to even."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._float_parts import (
    EXPONENT_BIAS,
    SIGNIFICAND_BITS,
    Fields,
    Pipeline,
    at_most,
    exact_below_two,
    leading_zeros,
    named,
    packed,
    rounded,
    shift_right,
    unpack,
)
from hanok.rtl._float_product import joined_products, partial_products, product_exponent

DELAYS = (7, 6, 5, 4.5, 3, 5, 3.5)
"""Multiply halves, add them, align (2), normalise by a bit, round, pack."""
_AMOUNT_BITS = 6


def alignment(m: Module, exponent: Any, zeros: Any) -> tuple[Any, Any]:
    """Return how far a product moves, and the exponent of its second highest bit then.

    It moves left by the factors' leading zeros or as far as exponent 1 allows, right if its exponent is less;
    the amount is that of a right shift from SIGNIFICAND_BITS further left.
    """
    normal = named(m, exponent - zeros, "normal")
    by_zeros = SIGNIFICAND_BITS - zeros
    by_exponent = Signal(signed(len(exponent) + 1))
    m.d.comb += by_exponent.eq(SIGNIFICAND_BITS + 1 - exponent)
    is_least = named(m, normal[-1] | ~normal.any(), "is_least")
    least = at_most(m, by_exponent, _AMOUNT_BITS, "amount_clamped")
    after = named(m, Mux(is_least, 1, normal[: len(exponent) - 1]), "after")
    return named(m, Mux(is_least, least, by_zeros)[:_AMOUNT_BITS], "amount"), after


class FloatMultiply(wiring.Component):
    """o = a * b: the result of a cycle's inputs `latency` cycles later, one a cycle.

    Subnormal numbers count in full; every NaN result is the canonical one.
    """

    def __init__(self, latency: int = 3) -> None:
        self.latency = latency
        super().__init__({"a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, DELAYS)
        a, b = unpack(m, self.a, "a"), unpack(m, self.b, "b")
        exponent = product_exponent(m, a.exponent, b.exponent, EXPONENT_BIAS)
        *halves, exponent, zeros, ends = pipeline.cut(
            *partial_products(m, a.significand, b.significand), exponent, self._zeros(m, a, b), _ends(a, b)
        )
        product = Cat(Const(0, SIGNIFICAND_BITS), joined_products(m, *halves))
        product, amount, after, ends = pipeline.cut(product, *alignment(m, exponent, zeros), ends)
        product = shift_right(m, product, amount, (5, 4, 3), "aligned")
        product, amount, after, ends = pipeline.cut(product, amount, after, ends)
        product = shift_right(m, product, amount, (2, 1, 0), "aligned")[: 2 * SIGNIFICAND_BITS]
        product, after, ends = pipeline.cut(product, after, ends)
        exact = exact_below_two(m, product, after)
        exact, ends = exact.through(pipeline, ends)
        magnitude, ends = pipeline.cut(rounded(m, exact), ends)
        sign, is_infinite, is_nan = ends
        m.d.comb += self.o.eq(pipeline.cut(packed(m, sign, magnitude, is_infinite, is_nan)))
        pipeline.end()
        return m

    def _zeros(self, m: Module, a: Fields, b: Fields) -> Any:
        """Leading zeros of the subnormal factor; where both are, the product is less than half the least."""
        counts = [leading_zeros(m, fields.significand, name)[0] for fields, name in ((a, "a"), (b, "b"))]
        return counts[0] | counts[1]


def _ends(a: Fields, b: Fields) -> Any:
    """Sign, whether the product is infinite for an infinite factor, whether it is NaN."""
    invalid = (a.is_infinite & b.is_zero) | (a.is_zero & b.is_infinite)
    return Cat(a.sign ^ b.sign, a.is_infinite | b.is_infinite, a.is_nan | b.is_nan | invalid)
