"""Remainders of signed numbers, a bit a cycle."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

MODULUS_BITS = 32
VALUE_BITS = 34


class Remainder(wiring.Component):
    """`remainder` = `value` mod `modulus`, 0 .. modulus - 1, from VALUE_BITS cycles after `start` on.

    `value` is taken in the cycle of `start`; `modulus` is held. `done` is 1 in the first cycle of the result.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "value": In(signed(VALUE_BITS)),
                "modulus": In(unsigned(MODULUS_BITS)),
                "remainder": Out(unsigned(MODULUS_BITS)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        magnitude, rest = Signal(VALUE_BITS - 1), Signal(MODULUS_BITS)
        negative, left = Signal(), Signal(range(VALUE_BITS + 1))
        wide = Signal(MODULUS_BITS + 1)
        m.d.comb += [
            wide.eq(rest << 1 | magnitude[-1]),
            self.remainder.eq(Mux(negative & (rest != 0), self.modulus - rest, rest)),
            self.done.eq(left == 1),
        ]
        with m.If(self.start):
            m.d.sync += [
                magnitude.eq(Mux(self.value < 0, -self.value, self.value)),
                negative.eq(self.value < 0),
                rest.eq(0),
                left.eq(VALUE_BITS),
            ]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            with m.If(left != 1):
                m.d.sync += magnitude.eq(magnitude << 1)
                m.d.sync += rest.eq(Mux(wide >= self.modulus, wide - self.modulus, wide))
        return m
