"""The requests of loads: one burst a cycle, none twice in succession."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker


class LoadRequests(wiring.Component):
    """Make requests of a transfer, the first one in the third cycle after that of `start` if there is `room`.

    `request`: the burst of `number` is requested in this cycle; `steps`: that, or a run that lies in the
    burst requested last is passed over; `finishes`: the transfer has no more.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "start": In(1),
                "transfer": In(shape.transfer),
                "room": In(1),
                "request": Out(1),
                "number": Out(shape.number_bits),
                "steps": Out(1),
                "finishes": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, number = self._shape, self.number
        bits = shape.offset_bits
        m.submodules.walker = walker = RunWalker(shape, ("dram",))
        found, changes, single, is_last = Signal(), Signal(), Signal(), Signal()
        first, last = (
            Signal(shape.number_bits, name=name, reset_less=True) for name in ("run_first", "run_last")
        )
        takes_run, takes_step = Signal(), Signal()
        here, end = walker.run.dram, Signal(bits + 1)
        m.d.comb += [
            walker.source.eq(self.transfer),
            walker.source_valid.eq(self.start),
            takes_run.eq(~found | takes_step),
            walker.take.eq(takes_run),
            end.eq(here[:bits] + walker.rest[:bits]),
        ]
        with m.If(takes_run):
            m.d.sync += [
                found.eq(walker.valid),
                first.eq(here[bits:]),
                last.eq((here + walker.rest)[bits : shape.dram_bits]),
                changes.eq(walker.first | (here[bits:] != last)),
                single.eq(~walker.rest[bits:].any() & ~end[bits]),
                is_last.eq(walker.last),
            ]
        valid, needs, run_ends, ends = Signal(), Signal(), Signal(), Signal()
        behind = Signal(shape.number_bits, reset_less=True)  # the burst behind `number`
        final = Signal(shape.number_bits, reset_less=True)  # last one of the run in hand
        in_run, asked = Signal(), Signal(shape.number_bits)
        m.d.comb += [
            in_run.eq(valid & ~run_ends),
            takes_step.eq((~valid | self.steps) & ~in_run),
            asked.eq(Mux(~in_run & (changes | single), first, behind)),
            self.steps.eq(valid & (self.room | ~needs)),
            self.request.eq(valid & needs & self.room),
            self.finishes.eq(self.steps & run_ends & ends),
        ]
        with m.If(~valid | self.steps):
            m.d.sync += [
                valid.eq(in_run | found),
                number.eq(asked),
                behind.eq(asked + 1),
                needs.eq(in_run | changes | ~single),
                run_ends.eq(Mux(in_run, behind == final, single | (~changes & (behind == last)))),
            ]
            with m.If(~in_run):
                m.d.sync += [final.eq(last), ends.eq(is_last)]
        return m
