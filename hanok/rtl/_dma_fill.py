"""FILL: writes a byte to every byte of an instruction's runs."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import DmaShape, first_bytes
from hanok.rtl.scratchpad import write_signature


class Filler(wiring.Component):
    """Writes a beat a cycle, the first in the cycle of `start` if `may` is 1, or when it is.

    A register holds the last beat that was written (`written`) or the first that waits; the next one follows
    from it and from the engine's walker, which `start` has loaded with the SRAM side of the runs.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "start": In(1),
                "may": In(1),
                "address": In(shape.scratchpad_bits),
                "run_bytes": In(32),
                "value": In(8),
                "following": In(shape.scratchpad_bits),
                "more_runs": In(1),
                "step": Out(1),
                "sram": Out(write_signature(shape.scratchpad_bits, shape.width)),
                "holds": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = self._shape.width
        active, written = Signal(), Signal()
        address, left = Signal.like(self.address, reset_less=True), Signal(32, reset_less=True)
        run_bytes, value = Signal(32, reset_less=True), Signal(8, reset_less=True)
        in_run, more = Signal(), Signal()
        next_address, next_left, now_value = Signal.like(address), Signal(32), Signal(8)
        m.d.comb += [
            in_run.eq(left > width),
            more.eq(in_run | self.more_runs),
            self.done.eq(active & written & ~more),
            self.holds.eq(active & ~self.done),
            self.step.eq(active & written & ~in_run & more),
            now_value.eq(Mux(self.start, self.value, value)),
            next_address.eq(address),
            next_left.eq(left),
        ]
        with m.If(self.start):
            m.d.comb += [next_address.eq(self.address), next_left.eq(self.run_bytes)]
            m.d.sync += [run_bytes.eq(self.run_bytes), value.eq(self.value)]
        with m.Elif(written & in_run):
            m.d.comb += [next_address.eq(address + width), next_left.eq(left - width)]
        with m.Elif(written):
            m.d.comb += [next_address.eq(self.following), next_left.eq(run_bytes)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), written.eq(self.may)]
        with m.Elif(self.done):
            m.d.sync += active.eq(0)
        with m.Elif(self.may):
            m.d.sync += written.eq(1)
        m.d.sync += [address.eq(next_address), left.eq(next_left)]
        m.d.comb += [
            self.sram.en.eq(Mux(self.start, self.may, active & Mux(written, more, self.may))),
            self.sram.address.eq(next_address),
            self.sram.data.eq(now_value.replicate(width)),
            self.sram.mask.eq(first_bytes(next_left, width)),
        ]
        return m
