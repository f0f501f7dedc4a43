"""Sum or difference of two float32, rounded half to even."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._float_parts import (
    Pipeline,
    exact_of,
    leading_zeros,
    named,
    packed,
    rounded,
    shift_left,
    shift_right,
    sum_with_carry,
    unpack,
)

DELAYS = (6, 2.5, 4, 4.5, 4, 6.5, 5, 2, 3, 5, 3.5)
"""Compare, swap, align (2), add, count zeros, limit, normalise (2), round, pack."""
_GUARD_BITS = 3


class FloatAdd(wiring.Component):
    """o = a + b, or a - b: the result of a cycle's inputs `latency` cycles later, one a cycle.

    Subnormal numbers count in full; every NaN result is the canonical one.
    """

    def __init__(self, latency: int = 4) -> None:
        self.latency = latency
        super().__init__({"a": In(32), "b": In(32), "subtract": In(1), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, DELAYS)
        total, exponent, ends = self._total(m, pipeline)
        zeros, is_zero = leading_zeros(m, total, "zeros")
        total, exponent, zeros, is_zero, ends = pipeline.cut(total, exponent, zeros, is_zero, ends)
        # `exponent` is that of the bit below the highest, so a shift by it makes the highest bit's exponent 1
        shift = named(m, Mux(exponent < zeros, exponent[:5], zeros), "shift")
        after = named(m, (exponent - shift + 1)[:9], "after")
        total, after, shift, is_zero, ends = pipeline.cut(total, after, shift, is_zero, ends)
        total = shift_left(m, total, shift, (4, 3), "normalised")
        total, after, shift, is_zero, ends = pipeline.cut(total, after, shift, is_zero, ends)
        total = shift_left(m, total, shift, (2, 1, 0), "normalised")
        total, after, is_zero, ends = pipeline.cut(total, after, is_zero, ends)
        magnitude = rounded(m, exact_of(m, total, after))
        magnitude, is_zero, ends = pipeline.cut(magnitude, is_zero, ends)
        sign, sign_of_zero, is_infinite, is_nan = ends
        result = packed(m, Mux(is_zero, sign_of_zero, sign), magnitude, is_infinite, is_nan)
        m.d.comb += self.o.eq(pipeline.cut(result))
        pipeline.end()
        return m

    def _total(self, m: Module, pipeline: Pipeline) -> tuple[Any, Any, Any]:
        """The sum's magnitude, the exponent of the bit below its highest, and what is known of the end."""
        a = unpack(m, self.a, "a")
        b = unpack(m, Cat(self.b[:31], self.b[31] ^ self.subtract), "b")
        swaps = self.b[:31] > self.a[:31]
        differs = named(m, a.sign ^ b.sign, "differs")
        is_infinite = a.is_infinite | b.is_infinite
        is_nan = a.is_nan | b.is_nan | (a.is_infinite & b.is_infinite & differs)
        ends = Cat(a.sign & b.sign, is_infinite, is_nan)
        below = (a.exponent - b.exponent)[:8]
        above = (b.exponent - a.exponent)[:8]
        values = (a.exponent, b.exponent, a.significand, b.significand, a.sign, b.sign, below, above)
        swaps, differs, ends, *values = pipeline.cut(swaps, differs, ends, *values)
        a_exponent, b_exponent, a_part, b_part, a_sign, b_sign, below, above = values
        amount = named(m, Mux(swaps, above, below), "amount")
        amount = amount[:5] | amount[5:].any().replicate(5)
        exponent = Mux(swaps, b_exponent, a_exponent)
        larger, smaller = Mux(swaps, b_part, a_part), Mux(swaps, a_part, b_part)
        ends = Cat(Mux(swaps, b_sign, a_sign), ends)
        larger, smaller, amount, exponent, differs, ends = pipeline.cut(
            larger, Cat(Const(0, _GUARD_BITS), smaller), amount, exponent, differs, ends
        )
        smaller = shift_right(m, smaller, amount, (4, 3), "aligned")
        larger, smaller, amount, exponent, differs, ends = pipeline.cut(
            larger, smaller, amount, exponent, differs, ends
        )
        smaller = shift_right(m, smaller, amount, (2, 1, 0), "aligned")
        larger, smaller, exponent, differs, ends = pipeline.cut(larger, smaller, exponent, differs, ends)
        addend = Cat(smaller, Const(0, 1)) ^ differs.replicate(len(smaller) + 1)
        total = sum_with_carry(Cat(Const(0, _GUARD_BITS), larger), addend, differs)[: len(smaller) + 1]
        return pipeline.cut(total, exponent, ends)
