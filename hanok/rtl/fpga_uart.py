"""A UART: bytes of eight bits, no parity, one stop bit, lowest bit first."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

FRAME_BITS = 10


class UartReceiver(wiring.Component):
    """Takes each bit in its middle. A byte that is not taken before the next one has come is lost."""

    def __init__(self, cycles_per_bit: int) -> None:
        assert cycles_per_bit >= 4, f"{cycles_per_bit} cycles a bit are too few to find its middle"
        self.cycles_per_bit = cycles_per_bit
        super().__init__({"line": In(1, init=1), "bytes": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        left, count = Signal(range(FRAME_BITS)), Signal(range(self.cycles_per_bit + self.cycles_per_bit // 2))
        bits = Signal(8)
        with m.If(self.bytes.ready):
            m.d.sync += self.bytes.valid.eq(0)
        with m.If(count != 0):
            m.d.sync += count.eq(count - 1)
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), count.eq(self.cycles_per_bit - 1)]
            with m.If(left != 1):
                m.d.sync += bits.eq(Cat(bits[1:], line))
            with m.Elif(line):
                m.d.sync += [self.bytes.payload.eq(bits), self.bytes.valid.eq(1), count.eq(0)]
        with m.Elif(~line):
            m.d.sync += [
                left.eq(FRAME_BITS - 1),
                count.eq(self.cycles_per_bit + self.cycles_per_bit // 2 - 1),
            ]
        return m


class UartTransmitter(wiring.Component):
    """Sends the bytes of a stream."""

    def __init__(self, cycles_per_bit: int) -> None:
        self.cycles_per_bit = cycles_per_bit
        super().__init__({"line": Out(1, init=1), "bytes": In(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left, count = Signal(range(FRAME_BITS + 1)), Signal(range(self.cycles_per_bit))
        bits = Signal(FRAME_BITS, init=(1 << FRAME_BITS) - 1)
        m.d.comb += [self.line.eq(bits[0]), self.bytes.ready.eq(left == 0)]
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [bits.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))), left.eq(FRAME_BITS)]
            m.d.sync += count.eq(self.cycles_per_bit - 1)
        with m.Elif(count != 0):
            m.d.sync += count.eq(count - 1)
        with m.Elif(left != 0):
            m.d.sync += [bits.eq(Cat(bits[1:], Const(1, 1))), left.eq(left - 1)]
            m.d.sync += count.eq(self.cycles_per_bit - 1)
        return m
