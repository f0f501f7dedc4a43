"""Quotient of two float32, rounded half to even, some bits a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine.vector_pipeline import (
    DIVISION_FINISH_CYCLES,
    DIVISION_START_CYCLES,
    QUOTIENT_BITS,
    division_cycles,
)
from hanok.rtl._float_parts import (
    EXPONENT_BIAS,
    SIGNIFICAND_BITS,
    Pipeline,
    at_most,
    exact_below_two,
    leading_zeros,
    named,
    packed,
    rounded,
    shift_left,
    shift_right,
    unpack,
)
from hanok.rtl._vector_delay import delayed
from hanok.units import ceil_div

assert QUOTIENT_BITS == SIGNIFICAND_BITS + 2, "one bit before the point, and one to round by"
_START_DELAYS = (3, 6, 6)
"""Unpack, count zeros, normalise."""
_FINISH_DELAYS = (6, 3, 5, 3.5)
"""Align, normalise by a bit, round, pack."""
_AMOUNT_BITS = 5


class FloatDivide(wiring.Component):
    """o = a / b: `done` is 1, and `o` the quotient, `cycles` cycles after a cycle with `start`.

    A division may start `interval` cycles after another. Subnormal numbers count in full; every NaN result is
    the canonical one.
    """

    def __init__(self, bits_per_cycle: int = 2) -> None:
        assert 1 <= bits_per_cycle <= QUOTIENT_BITS, f"{bits_per_cycle} bits are outside 1..{QUOTIENT_BITS}"
        self.bits_per_cycle = bits_per_cycle
        ports = {"start": In(1), "a": In(32), "b": In(32), "o": Out(32), "done": Out(1)}
        super().__init__(ports)

    @property
    def cycles(self) -> int:
        """Cycles from `start` to `done`."""
        return division_cycles(self.bits_per_cycle)

    @property
    def interval(self) -> int:
        """Cycles from a `start` to the first cycle that the next may come in."""
        return self._steps + 1

    @property
    def _steps(self) -> int:
        return ceil_div(QUOTIENT_BITS, self.bits_per_cycle)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        loads, steps_done = self._control(m)
        dividend, divisor, exponent, ends = self._normalised(m)
        remainder = Signal(SIGNIFICAND_BITS + 1, reset_less=True)
        held = Signal(SIGNIFICAND_BITS, reset_less=True)
        quotient = Signal(self._steps * self.bits_per_cycle, reset_less=True)
        exponent_held, ends_held = (
            Signal.like(value, name=name, reset_less=True)
            for value, name in ((exponent, "exponent_held"), (ends, "ends_held"))
        )
        rest, bits = self._divided(m, remainder, held)
        m.d.sync += [remainder.eq(rest), quotient.eq(Cat(bits, quotient))]
        with m.If(loads):
            m.d.sync += [remainder.eq(dividend), held.eq(divisor)]
            m.d.sync += [exponent_held.eq(exponent), ends_held.eq(ends)]
        m.d.comb += self.o.eq(self._finished(m, quotient, remainder, exponent_held, ends_held))
        done = delayed(m, steps_done, DIVISION_FINISH_CYCLES, "done", reset_less=False)
        m.d.comb += self.done.eq(done)
        return m

    def _control(self, m: Module) -> tuple[Any, Any]:
        """Return when the normalised operands are taken, and when all bits of the quotient are there."""
        steps_done = Signal()
        left = Signal(range(self._steps + 1))
        loads = delayed(m, self.start, DIVISION_START_CYCLES - 1, "starts", reset_less=False)
        m.d.sync += steps_done.eq(left == 1)
        with m.If(loads):
            m.d.sync += left.eq(self._steps)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return loads, steps_done

    def _normalised(self, m: Module) -> tuple[Any, Any, Any, Any]:
        """Both significands with their highest bit 1, the quotient's exponent and what is known of its end.

        A dividend of 0 stays 0, and one by an infinite divisor becomes it.
        """
        a, b = unpack(m, self.a, "a"), unpack(m, self.b, "b")
        invalid = (a.is_infinite & b.is_infinite) | (a.is_zero & b.is_zero)
        ends = Cat(a.sign ^ b.sign, a.is_infinite | b.is_zero, a.is_nan | b.is_nan | invalid)
        dividend = a.significand & (~b.is_infinite).replicate(SIGNIFICAND_BITS)
        pipeline = Pipeline(m, DIVISION_START_CYCLES - 1, _START_DELAYS)
        first, second, own, other, ends = pipeline.cut(dividend, b.significand, a.exponent, b.exponent, ends)
        zeros, first_zeros = (
            leading_zeros(m, value, name)[0] for value, name in ((second, "b_zeros"), (first, "a_zeros"))
        )
        exponent = own - other + EXPONENT_BIAS
        first, first_zeros, second, zeros, exponent, ends = pipeline.cut(
            first, first_zeros, second, zeros, exponent, ends
        )
        order = tuple(reversed(range(len(zeros))))
        first = shift_left(m, first, first_zeros, order, "dividend")
        second = shift_left(m, second, zeros, order, "divisor")
        exponent = named(m, exponent - (first_zeros - zeros), "exponent")
        first, second, exponent, ends = pipeline.cut(first, second, exponent, ends)
        pipeline.end()
        return first, second, exponent, ends

    def _divided(self, m: Module, remainder: Any, divisor: Any) -> tuple[Any, Any]:
        """Subtract where it goes, and shift: the remainder after a cycle's bits, and these bits."""
        bits: list[Any] = []
        for number in range(self.bits_per_cycle):
            less = named(m, remainder - divisor, f"less_{number}")
            bits.insert(0, ~less[-1])
            kept = Mux(less[-1], remainder[:-1], less[:SIGNIFICAND_BITS])
            remainder = named(m, Cat(Const(0, 1), kept), f"remainder_{number}")
        return remainder, Cat(bits)

    def _finished(self, m: Module, quotient: Any, remainder: Any, exponent: Any, ends: Any) -> Any:
        """Align, round and pack; the amount has had its cycle while the quotient was made."""
        normal = named(m, exponent - 1, "normal")
        is_least = named(m, normal[-1] | ~normal.any(), "is_least")
        amount = Signal(_AMOUNT_BITS, reset_less=True)
        after = Signal(9, reset_less=True)
        m.d.sync += amount.eq(Mux(is_least, at_most(m, 2 - exponent, _AMOUNT_BITS, "amount_clamped"), 0))
        m.d.sync += after.eq(Mux(is_least, 1, normal[:9]))
        pipeline = Pipeline(m, DIVISION_FINISH_CYCLES, _FINISH_DELAYS)
        value = shift_right(
            m, Cat(Const(0, 1), quotient), amount, tuple(reversed(range(_AMOUNT_BITS))), "aligned"
        )
        value = Cat(value[0] | remainder.any(), value[1:])
        value, after, ends = pipeline.cut(value, after, ends)
        exact, ends = exact_below_two(m, value, after).through(pipeline, ends)
        magnitude, ends = pipeline.cut(rounded(m, exact), ends)
        sign, is_infinite, is_nan = ends
        result = pipeline.cut(packed(m, sign, magnitude, is_infinite, is_nan))
        pipeline.end()
        return result
