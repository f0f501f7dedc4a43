"""Fused multiply-add of float32: a * b + c, rounded once, half to even."""

from __future__ import annotations

from itertools import chain
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._float_parts import (
    EXPONENT_BIAS,
    SIGNIFICAND_BITS,
    Pipeline,
    at_most,
    exact_of,
    joined_zeros,
    named,
    packed,
    rounded,
    shift_left,
    shift_right,
    sum_with_carry,
    unpack,
    zeros_of_groups,
)
from hanok.rtl._float_product import joined_products, partial_products, product_exponent

DELAYS = (3, 4, 6, 5, 6, 5, 2, 4.5, 3, 6, 4, 3, 3, 5, 3.5)
"""Unpack; multiply halves; amount; add halves and align (2); add; choose; count zeros (2); limit;
normalise (2); rest, round, pack."""
_GROUP_BITS = 16
"""Whose zeros are counted first."""
_LOW_BITS = 4
"""Bits of the sum below the product. What c has further down is kept in the lowest of them: then c's highest
bit is far enough below the product's, of which at least bit 23 is 1, that half an ulp of the sum is above."""
_GAP_BITS = 27
"""How far c's highest place is above the product's second highest. Where c belongs further up still, it stays
there and the product below it: less than a quarter of c's ulp, and only its sign tells."""
_PRODUCT_BITS = 2 * SIGNIFICAND_BITS
_SUM_BITS = _LOW_BITS + _PRODUCT_BITS - 1 + _GAP_BITS
_SHIFT_BITS = 7


class FloatFusedMultiplyAdd(wiring.Component):
    """o = a * b + c, rounded once: the result of a cycle's inputs `latency` cycles later, one a cycle.

    Subnormal numbers count in full; every NaN result is the canonical one.
    """

    def __init__(self, latency: int = 5) -> None:
        self.latency = latency
        super().__init__({"a": In(32), "b": In(32), "c": In(32), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, DELAYS)
        total, exponent, ends = self._total(m, pipeline)
        groups = zeros_of_groups(m, total, _GROUP_BITS, "zeros")
        total, exponent, ends, *parts = pipeline.cut(total, exponent, ends, *chain.from_iterable(groups))
        zeros, is_zero = joined_zeros(m, list(zip(parts[::2], parts[1::2], strict=True)), "zeros")
        total, exponent, zeros, is_zero, ends = pipeline.cut(total, exponent, zeros, is_zero, ends)
        limit = named(m, (exponent - 1)[: len(exponent)], "limit")
        shift = named(m, Mux(limit < zeros, limit[:_SHIFT_BITS], zeros), "shift")
        after = named(m, (exponent - shift)[: len(exponent)], "after")
        total, after, shift, is_zero, ends = pipeline.cut(total, after, shift, is_zero, ends)
        total = shift_left(m, total, shift, (6, 5, 4, 3), "normalised")
        total, after, shift, is_zero, ends = pipeline.cut(total, after, shift, is_zero, ends)
        total = shift_left(m, total, shift, (2, 1, 0), "normalised")
        total, after, is_zero, ends = pipeline.cut(total, after, is_zero, ends)
        exact, ends = exact_of(m, total, after).through(pipeline, Cat(ends, is_zero))
        magnitude, ends = pipeline.cut(rounded(m, exact), ends)
        sign, fixed_sign, is_infinite, is_nan, is_zero = ends
        result = packed(m, Mux(is_zero | is_infinite, fixed_sign, sign), magnitude, is_infinite, is_nan)
        m.d.comb += self.o.eq(pipeline.cut(result))
        pipeline.end()
        return m

    def _total(self, m: Module, pipeline: Pipeline) -> tuple[Any, Any, Any]:
        """The sum's magnitude, its highest bit's exponent, and what is known of the end."""
        a, b, c = (unpack(m, getattr(self, name), name) for name in "abc")
        sign = named(m, a.sign ^ b.sign, "sign")
        differs = named(m, sign ^ c.sign, "differs")
        is_zero = named(m, a.is_zero | b.is_zero, "product_is_zero")
        is_infinite = named(m, a.is_infinite | b.is_infinite, "product_is_infinite")
        is_nan = a.is_nan | b.is_nan | c.is_nan | (is_infinite & (is_zero | (c.is_infinite & differs)))
        infinite_sign = Mux(c.is_infinite, c.sign, sign)
        fixed_sign = Mux(is_infinite | c.is_infinite, infinite_sign, sign & c.sign)
        ends = Cat(fixed_sign, is_infinite | c.is_infinite, is_nan)
        exponent = product_exponent(m, a.exponent, b.exponent, EXPONENT_BIAS - _GAP_BITS)
        a_part, b_part, exponent, c_exponent, c_part, sign, is_zero, differs, ends = pipeline.cut(
            a.significand, b.significand, exponent, c.exponent, c.significand, sign, is_zero, differs, ends
        )
        *halves, exponent, c_exponent, c_part, sign, is_zero, differs, ends = pipeline.cut(
            *partial_products(m, a_part, b_part),
            *(exponent, c_exponent, c_part, sign, is_zero, differs, ends),
        )
        below = named(m, exponent - c_exponent, "below")
        uses_c = named(m, is_zero | below[-1], "uses_c")
        amount = Mux(is_zero, 0, at_most(m, below, _SHIFT_BITS, "amount"))
        exponent = Mux(uses_c, c_exponent, exponent[:9])
        signs = Cat(sign, differs)
        *halves, c_part, amount, exponent, signs, ends = pipeline.cut(
            *halves, c_part, amount, exponent, signs, ends
        )
        addend = Cat(Const(0, _SUM_BITS - SIGNIFICAND_BITS), c_part)
        addend = shift_right(m, addend, amount, (6, 5), "aligned")
        product, addend, amount, exponent, signs, ends = pipeline.cut(
            joined_products(m, *halves), addend, amount, exponent, signs, ends
        )
        addend = shift_right(m, addend, amount, (4, 3, 2, 1, 0), "aligned")
        product, addend, exponent, signs, ends = pipeline.cut(product, addend, exponent, signs, ends)
        sign, differs = signs
        product = Cat(Const(0, _LOW_BITS), product, Const(0, _SUM_BITS - _LOW_BITS - _PRODUCT_BITS))
        inverted = Cat(addend, Const(0, 1)) ^ differs.replicate(_SUM_BITS + 1)
        first = named(m, sum_with_carry(product, inverted, differs), "first")
        second = named(m, (addend - product)[:_SUM_BITS], "second")
        is_negative = named(m, differs & first[_SUM_BITS], "is_negative")
        first, second, is_negative, exponent, sign, ends = pipeline.cut(
            first[:_SUM_BITS], second, is_negative, exponent, sign, ends
        )
        total = Mux(is_negative, second, first)
        return pipeline.cut(total, exponent, Cat(sign ^ is_negative, ends))
