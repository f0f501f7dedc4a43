"""When each pair of rows is folded, level by level: `hanok.isa.timing.lane_fold_cycles`."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import VectorPipeline


class FoldLevels(wiring.Component):
    """While `step` is on after `load`: `fold` of pair `pair`, and `ends` in the last cycle of the last level.

    `top`: the last row of the batch, which stands for three cycles of `load` or more.
    """

    def __init__(self, lanes: int, pipeline: VectorPipeline) -> None:
        self.levels = lanes.bit_length() - 1
        self.latency = pipeline.fold_cycles
        row = range(pipeline.batch)
        super().__init__(
            {"load": In(1), "step": In(1), "top": In(row), "fold": Out(1), "pair": Out(row), "ends": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        """What the next level needs is worked out in three cycles of this one, which has five or more."""
        m = Module()
        last, following, half = (Signal.like(self.top, name=name) for name in ("last", "following", "half"))
        timer = Signal(range(self.latency + (1 << len(self.top))), name="timer")
        cycles, level = Signal.like(timer, name="cycles"), Signal(range(self.levels))
        least = half + (self.latency - 1)
        m.d.sync += following.eq(Mux(self.load, self.top, last) >> 1)
        m.d.sync += half.eq((following + 1) >> 1)
        m.d.sync += cycles.eq(Mux(least > following, least, following))
        ends, over = Signal(), Signal()
        m.d.comb += [over.eq(timer == 0), ends.eq(level == self.levels - 1), self.ends.eq(over & ends)]
        with m.If(self.step):
            m.d.sync += [self.pair.eq(self.pair + 1), timer.eq(timer - 1)]
            with m.If(self.pair == last):
                m.d.sync += self.fold.eq(0)
        with m.If(self.load | (self.step & over)):
            m.d.sync += [
                last.eq(following),
                timer.eq(cycles),
                self.pair.eq(0),
                self.fold.eq(self.load | ~ends),
            ]
            m.d.sync += level.eq(Mux(self.load, 0, level + 1))
        return m
