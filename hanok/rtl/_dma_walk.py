"""Where an instruction's runs lie: a walker that is one run ahead, by addition of strides alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import LEVELS, walk_layout


class RunWalker(wiring.Component):
    """Give the run that follows the one in hand.

    `sides`: address bits of each memory that is walked. `load` takes the runs, whose first is then the one in
    hand; `step` goes on to the next. From the cycle after either, `following` has the addresses of the run
    after the one in hand, `more` says that there is one, and `last` that it is the last.
    """

    def __init__(self, sides: Mapping[str, int]) -> None:
        self._sides = dict(sides)
        layouts = {side: walk_layout(bits) for side, bits in sides.items()}
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "runs": In(data.StructLayout({**{f"count_{level}": 32 for level in LEVELS}, **layouts})),
                "following": Out(data.StructLayout(self._sides)),
                "more": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(self.runs.shape(), reset_less=True)
        runs = Signal(self.runs.shape())
        left = [Signal(32, name=f"left_{level}", reset_less=True) for level in LEVELS]
        counts = [runs[f"count_{level}"] for level in LEVELS]
        now = [Mux(self.load, count, rest) for count, rest in zip(counts, left, strict=True)]
        more = [Signal(name=f"more_{level}") for level in LEVELS]
        moves = Signal()
        m.d.comb += [one.eq(rest != 1) for one, rest in zip(more, now, strict=True)]
        m.d.comb += [
            runs.as_value().eq(Mux(self.load, self.runs.as_value(), held.as_value())),
            moves.eq(self.load | self.step),
            self.last.eq((left[0] == 1) & (left[1] == 1) & (left[2] == 1)),
        ]
        with m.If(self.load):
            m.d.sync += held.eq(self.runs)
        with m.If(moves):
            m.d.sync += [self.more.eq(more[0] | more[1] | more[2]), Cat(*left).eq(Cat(*now))]
            with m.If(more[0]):
                m.d.sync += left[0].eq(now[0] - 1)
            with m.Elif(more[1]):
                m.d.sync += [left[0].eq(counts[0]), left[1].eq(now[1] - 1)]
            with m.Else():
                m.d.sync += [left[0].eq(counts[0]), left[1].eq(counts[1]), left[2].eq(now[2] - 1)]
        for side in self._sides:
            self._walk(m, side, runs[side], more, moves)
        return m

    def _walk(self, m: Module, side: str, runs: Any, more: list[Signal], moves: Signal) -> None:
        """The addresses of one side: of the following run, and of the first run of its loops 2 and 3."""
        bits = self._sides[side]
        here = self.following[side]
        starts = [Signal(bits, name=f"{side}_start_{level}", reset_less=True) for level in LEVELS[1:]]
        places = [Mux(self.load, runs.address, place) for place in (here, *starts)]
        base, stride, address = Signal(bits), Signal(runs.stride_1.shape()), Signal(bits)
        with m.If(more[0]):
            m.d.comb += [base.eq(places[0]), stride.eq(runs.stride_1)]
        with m.Elif(more[1]):
            m.d.comb += [base.eq(places[1]), stride.eq(runs.stride_2)]
        with m.Else():
            m.d.comb += [base.eq(places[2]), stride.eq(runs.stride_3)]
        m.d.comb += address.eq(base + stride)
        with m.If(moves):
            m.d.sync += [
                here.eq(address),
                starts[0].eq(Mux(more[0], places[1], address)),
                starts[1].eq(Mux(more[0] | more[1], places[2], address)),
            ]
