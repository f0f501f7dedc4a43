"""The requests of loads: one line a cycle, none twice in succession."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker


class LoadRequests(wiring.Component):
    """Make requests of a transfer, the first one in the third cycle after that of `start` if there is `room`.

    `request`: of the line of `number` the bursts from `first` to `last` are requested in this cycle; `steps`:
    that, or a run that lies in the line requested last is passed over; `finishes`: the transfer has no more.
    A run that begins in the line in which the one before it ends finds there what it needs, since all of the
    line is requested if the next run begins in it.
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
                "first": Out(shape.part_bits),
                "last": Out(shape.part_bits),
                "steps": Out(1),
                "finishes": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, number = self._shape, self.number
        bits = shape.offset_bits
        m.submodules.walker = walker = RunWalker(shape, ("dram",))
        part = shape.burst_bits
        found, changes, single, is_last = Signal(), Signal(), Signal(), Signal()
        begin, stop = (Signal(shape.part_bits, name=name, reset_less=True) for name in ("begin", "stop"))
        first, last = (
            Signal(shape.number_bits, name=name, reset_less=True) for name in ("run_first", "run_last")
        )
        takes_run, takes_step = Signal(), Signal()
        here, end, last_byte = walker.run.dram, Signal(bits + 1), Signal(shape.dram_bits)
        m.d.comb += [
            walker.source.eq(self.transfer),
            walker.source_valid.eq(self.start),
            takes_run.eq(~found | takes_step),
            walker.take.eq(takes_run),
            end.eq(here[:bits] + walker.rest[:bits]),
            last_byte.eq(here + walker.rest),
        ]
        with m.If(takes_run):
            m.d.sync += [
                found.eq(walker.valid),
                first.eq(here[bits:]),
                last.eq(last_byte[bits:]),
                begin.eq(here[part:bits]),
                stop.eq(last_byte[part:bits]),
                changes.eq(walker.first | (here[bits:] != last)),
                single.eq(~walker.rest[bits:].any() & ~end[bits]),
                is_last.eq(walker.last),
            ]
        valid, needs, run_ends, ends = Signal(), Signal(), Signal(), Signal()
        behind = Signal(shape.number_bits, reset_less=True)  # the line behind `number`
        final = Signal(shape.number_bits, reset_less=True)  # last one of the run in hand
        low = Signal(shape.part_bits, reset_less=True)  # first burst of the run in the line of `number`
        high = Signal(shape.part_bits, reset_less=True)  # last burst of the run in hand
        in_run, asked, shares = Signal(), Signal(shape.number_bits), Signal()
        whole = Const((1 << shape.part_bits) - 1, shape.part_bits)
        m.d.comb += [
            in_run.eq(valid & ~run_ends),
            takes_step.eq((~valid | self.steps) & ~in_run),
            asked.eq(Mux(~in_run & (changes | single), first, behind)),
            self.steps.eq(valid & (self.room | ~needs)),
            self.request.eq(valid & needs & self.room),
            self.finishes.eq(self.steps & run_ends & ends),
            shares.eq(run_ends & found & ~changes),
            self.first.eq(Mux(shares, 0, low)),
            self.last.eq(Mux(run_ends & ~shares, high, whole)),
        ]
        with m.If(~valid | self.steps):
            m.d.sync += [
                valid.eq(in_run | found),
                number.eq(asked),
                low.eq(Mux(in_run | ~changes, 0, begin)),
                behind.eq(asked + 1),
                needs.eq(in_run | changes | ~single),
                run_ends.eq(Mux(in_run, behind == final, single | (~changes & (behind == last)))),
            ]
            with m.If(~in_run):
                m.d.sync += [final.eq(last), high.eq(stop), ends.eq(is_last)]
        return m
