"""Between integers and float32, rounded half to even."""

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
    exact_of,
    leading_zeros,
    named,
    rounded,
    shift_left,
    shift_right,
    sum_with_carry,
    unpack,
)

TO_FLOAT_DELAYS = (3.5, 4, 6, 3, 5.5)
"""Magnitude, count bytes of zeros, shift by these and count on, shift, round."""
TO_INTEGER_DELAYS = (4, 4, 4, 5, 6)
"""Amount, shift (2), round and add zero, clamp."""
_MOST_BITS = 64


class IntegerToFloat(wiring.Component):
    """o = float32(a) of a signed integer; `latency` cycles later, one a cycle."""

    def __init__(self, bits: int, latency: int = 2) -> None:
        assert 1 <= bits <= _MOST_BITS, f"{bits} bits are outside 1..{_MOST_BITS}"
        self.bits = bits
        self.latency = latency
        super().__init__({"a": In(signed(bits)), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, TO_FLOAT_DELAYS)
        sign = self.a[-1]
        magnitude = sum_with_carry(self.a ^ sign.replicate(self.bits), Const(0, 1), sign)[: self.bits]
        pad = max(0, SIGNIFICAND_BITS + 2 - self.bits)
        magnitude, sign = pipeline.cut(Cat(Const(0, pad), magnitude), sign)
        padded = Cat(Const(0, -len(magnitude) % 8), magnitude)
        bytes_ = Cat(padded[at : at + 8].any() for at in range(0, len(padded), 8))
        empty, _ = leading_zeros(m, bytes_, "bytes")
        magnitude, empty, sign = pipeline.cut(magnitude, empty, sign)
        zeros = Cat(Const(0, 3), empty)
        order = tuple(reversed(range(len(zeros))))
        magnitude = shift_left(m, magnitude, zeros, order[:-3], "normalised")
        fine, _ = leading_zeros(m, magnitude[-8:], "zeros")
        exponent = (EXPONENT_BIAS + self.bits - 1 - Cat(fine, empty))[:8]
        magnitude, fine, exponent, sign = pipeline.cut(magnitude, fine, exponent, sign)
        magnitude = shift_left(m, magnitude, fine, order[-3:], "normalised")
        magnitude, exponent, sign = pipeline.cut(magnitude, exponent, sign)
        result = rounded(m, exact_of(m, magnitude, exponent))
        m.d.comb += self.o.eq(pipeline.cut(Cat(result[:31], sign)))
        pipeline.end()
        return m


class _Whole:
    """A float32 on its way to a magnitude of `bits` integer bits: the shift, and whether it is too large."""

    def __init__(self, m: Module, value: Any, bits: int) -> None:
        self._m = m
        self._fraction_bits = max(2, SIGNIFICAND_BITS - bits)
        self._width = bits + self._fraction_bits
        fields = unpack(m, value, "a")
        self.fields: Fields = fields
        least_large = EXPONENT_BIAS + bits
        self.is_large = named(m, fields.exponent >= least_large, "is_large")
        amount = named(m, (least_large - 1 - fields.exponent)[:8], "distance")
        top = self._width.bit_length()
        self.amount = amount[:top] | amount[top:].any().replicate(top)
        self.magnitude = Cat(Const(0, self._width - SIGNIFICAND_BITS), fields.significand)

    def shifted(self, magnitude: Any, amount: Any, coarse: bool) -> Any:
        """Make the first or the second half of the shift."""
        bits = range(3, len(amount)) if coarse else range(3)
        return shift_right(self._m, magnitude, amount, tuple(reversed(bits)), "aligned")

    def split(self, magnitude: Any) -> tuple[Any, Any]:
        """Return the integer part, and whether rounding makes it one more."""
        whole, fraction = magnitude[self._fraction_bits :], magnitude[: self._fraction_bits]
        return whole, fraction[-1] & (fraction[:-1].any() | whole[0])


class FloatToInteger(wiring.Component):
    """o = clamp(round_half_even(a) + zero, low, high), of 16-bit integers; NaN counts as less than low.

    The result of a cycle's inputs comes `latency` cycles later, one a cycle. Where low > high, high is the
    result, as in hanok.numerics.rounding.round_clamp.
    """

    def __init__(self, latency: int = 2) -> None:
        self.latency = latency
        limits = {name: In(signed(16)) for name in ("zero", "low", "high")}
        super().__init__({"a": In(32), **limits, "o": Out(signed(16))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, TO_INTEGER_DELAYS)
        bits = 17
        whole = _Whole(m, self.a, bits)
        ends = Cat(whole.fields.sign, whole.fields.is_nan, whole.is_large)
        limits = self.zero, self.low, self.high
        magnitude, amount, ends, *limits = pipeline.cut(whole.magnitude, whole.amount, ends, *limits)
        magnitude = whole.shifted(magnitude, amount, coarse=True)
        magnitude, amount, ends, *limits = pipeline.cut(magnitude, amount, ends, *limits)
        magnitude = whole.shifted(magnitude, amount, coarse=False)
        magnitude, ends, zero, low, high = pipeline.cut(magnitude, ends, *limits)
        integer, up = whole.split(magnitude)
        sign, is_nan, is_large = ends
        # A large number leaves the limits whatever zero is, and so does 2 ** bits, which stands for it
        part = Cat(Mux(is_large, 0, integer), is_large, Const(0, 2)) ^ sign.replicate(bits + 3)
        wide = Signal(signed(bits + 3))
        m.d.comb += wide.eq(zero)
        total = Signal(signed(bits + 3))
        m.d.comb += total.eq(sum_with_carry(wide, part, sign ^ (up & ~is_large))[: bits + 3])
        total, is_nan, low, high = pipeline.cut(total, is_nan, low, high)
        below, above = (total < low) | is_nan, total > high
        lowest = Mux(low > high, high, low)
        m.d.comb += self.o.eq(pipeline.cut(Mux(below, lowest, Mux(above, high, total[:16].as_signed()))))
        pipeline.end()
        return m


class FloatToInt32(wiring.Component):
    """o = round_half_even(a), clamped to int32; NaN gives the lowest; `latency` cycles later, one a cycle."""

    def __init__(self, latency: int = 2) -> None:
        self.latency = latency
        super().__init__({"a": In(32), "o": Out(signed(32))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.latency, TO_INTEGER_DELAYS)
        bits = 31
        whole = _Whole(m, self.a, bits)
        fields = whole.fields
        ends = Cat(fields.sign, fields.is_nan, whole.is_large | fields.is_nan)
        magnitude, amount, ends = pipeline.cut(whole.magnitude, whole.amount, ends)
        magnitude = whole.shifted(magnitude, amount, coarse=True)
        magnitude, amount, ends = pipeline.cut(magnitude, amount, ends)
        magnitude = whole.shifted(magnitude, amount, coarse=False)
        magnitude, ends = pipeline.cut(magnitude, ends)
        integer, up = whole.split(magnitude)
        sign, is_nan, is_large = ends
        total = sum_with_carry(Cat(integer, Const(0, 1)) ^ sign.replicate(32), Const(0, 1), sign ^ up)[:32]
        total, is_low, is_large = pipeline.cut(total, sign | is_nan, is_large)
        limit = Cat((~is_low).replicate(bits), is_low)
        m.d.comb += self.o.eq(pipeline.cut(Mux(is_large, limit, total)))
        pipeline.end()
        return m
