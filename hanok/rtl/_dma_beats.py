"""The beats of transfers, one a cycle, with what must be known of each before it goes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker

BEAT_CYCLES = 3
"""Cycles from a transfer at the source to its first beat, if no other is in the way."""


def step_layout(shape: DmaShape) -> data.StructLayout:
    """Return the layout of a beat: up to `width` bytes of a run, from a place in a line on."""
    return data.StructLayout(
        {
            "number": shape.number_bits,  # of its first byte's line
            "last_number": shape.number_bits,  # of the line in which its run ends
            "offset": shape.offset_bits,
            "bytes": shape.width.bit_length(),
            "sram": shape.scratchpad_bits,
            "first": 1,  # beat of its run
            "crosses": 1,  # into the next line
            "reaches": 1,  # at least the end of the line
            "run_ends": 1,  # with this beat
            "leaves": 1,  # the next run does not begin in the line in which this one ends
            "ends": 1,  # the transfer ends with this beat
            "fills": 1,
            **shape.stream_fields,
        }
    )


class BeatWalker(wiring.Component):
    """Give beats; `take` goes on to the next one, which is there in the cycle after.

    As long as a run has beats, the one behind `beat` is in the stage before it. A FILL has no lines, so its
    beats do not cross or leave one.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "source": In(shape.transfer),
                "source_valid": In(1),
                "loads": Out(1),
                "take": In(1),
                "valid": Out(1),
                "beat": Out(step_layout(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, beat = self._shape, self.beat
        bits, width = shape.offset_bits, shape.width
        m.submodules.walker = walker = RunWalker(shape, ("dram", "sram"))
        valid, first, last, fills = Signal(), Signal(), Signal(), Signal()
        dram = Signal(shape.dram_bits, reset_less=True)
        sram = Signal(shape.scratchpad_bits, reset_less=True)
        last_number = Signal(shape.number_bits, reset_less=True)
        behind = Signal(33, reset_less=True)  # bytes of the run behind the beat, less one
        size = Signal(width.bit_length(), reset_less=True)
        advances, moves, in_run, run_ends = Signal(), Signal(), Signal(), Signal()
        rest, left = Signal(32), Signal(33)
        m.d.comb += [
            walker.source.eq(self.source),
            walker.source_valid.eq(self.source_valid),
            self.loads.eq(walker.loads),
            walker.take.eq(moves & ~in_run),
            advances.eq(~self.valid | self.take),
            moves.eq(~valid | advances),
            run_ends.eq(behind[32]),
            in_run.eq(valid & ~run_ends),
            rest.eq(Mux(in_run, behind, walker.rest)),
            left.eq(rest - width),
        ]
        with m.If(moves):
            m.d.sync += [
                valid.eq(in_run | walker.valid),
                first.eq(~in_run),
                behind.eq(left),
                size.eq(Mux(left[32], rest[: len(size)] + 1, width)),
                dram.eq(Mux(in_run, dram + width, walker.run.dram)),
                sram.eq(Mux(in_run, sram + width, walker.run.sram)),
            ]
        flags = {name: Signal(name=name) for name in shape.stream_fields}
        with m.If(moves & ~in_run):
            m.d.sync += [flag.eq(getattr(walker, name)) for name, flag in flags.items()]
            m.d.sync += [
                last.eq(walker.last),
                fills.eq(walker.fills),
                last_number.eq((walker.run.dram + walker.rest)[bits : shape.dram_bits]),
            ]
        stop = Signal(range(2 * shape.line_bytes))
        m.d.comb += stop.eq(dram[:bits] + size)
        with m.If(advances):
            m.d.sync += [
                self.valid.eq(valid),
                beat.number.eq(dram[bits:]),
                beat.last_number.eq(last_number),
                beat.offset.eq(dram[:bits]),
                beat.bytes.eq(size),
                beat.sram.eq(sram),
                beat.first.eq(first),
                beat.crosses.eq((stop > shape.line_bytes) & ~fills),
                beat.reaches.eq((stop >= shape.line_bytes) & ~fills),
                beat.run_ends.eq(run_ends),
                beat.leaves.eq((last | (walker.run.dram[bits:] != last_number)) & ~fills),
                beat.ends.eq(run_ends & last),
                beat.fills.eq(fills),
                *(beat[name].eq(flag) for name, flag in flags.items()),
            ]
        return m
