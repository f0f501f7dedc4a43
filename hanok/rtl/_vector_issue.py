"""When each group of a CHAIN is issued: elements, folds of lanes, and results after the reduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import VectorPipeline
from hanok.rtl._vector_fold_levels import FoldLevels
from hanok.rtl._vector_program import SECTION


class Turns(wiring.Component):
    """The places of the ring as they pass its entry, from `start` on.

    `open`: a new group may enter in this cycle, if its section goes round `turns` + 1 times and has as many
    groups in the ring as there are dividers, if it `divides`. `free`: the entry is free from the next cycle
    on, were this the last round of groups up to the place `until`, or of this cycle's if not `waits`.
    `first_turns`: of the section that a `start` begins.
    """

    def __init__(self, depth: int, dividers: int) -> None:
        self.depth = depth
        self.dividers = dividers
        place = range(depth)
        super().__init__(
            {
                "start": In(1),
                "first_turns": In(8),
                "turns": In(8),
                "divides": In(1),
                "waits": In(1),
                "until": In(place),
                "place": Out(place),
                "open": Out(1),
                "free": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left, first, last, returns = Signal(8), Signal(), Signal(), Signal()
        m.d.comb += returns.eq(self.place == self.depth - 1)
        m.d.sync += [self.place.eq(self.place + 1)]
        m.d.sync += self.open.eq(first & (~self.divides | (self.place < self.dividers - 1)))
        with m.If(returns):
            m.d.sync += [self.place.eq(0), first.eq(last), self.open.eq(last)]
            m.d.sync += [left.eq(Mux(last, self.turns, left - 1))]
            m.d.sync += last.eq(Mux(last, self.turns == 0, left == 1))
        with m.If(self.start):
            m.d.sync += [self.place.eq(0), first.eq(1), self.open.eq(1)]
            m.d.sync += [left.eq(self.first_turns), last.eq(self.first_turns == 0)]
        m.d.comb += self.free.eq(last & (~self.waits | (self.place == self.until)))
        return m


@dataclass(frozen=True)
class _Batch:
    """The registers of a batch: where it is, its `top` result once that is known, and what is still to come.

    `full`, `padded`, `through` and `within` say of `count` whether it is the last that fits, whether the sums
    of the first result are there again in the next cycle, whether it is the last or behind it, and whether it
    is one of the batch. (`through` and `within` need the top, and are 0 before.)
    """

    count: Signal
    following: Signal
    top: Signal
    sized: Signal
    finished: Signal
    waits: Signal
    issued_all: Signal
    over: Signal
    timer: Signal
    full: Signal
    padded: Signal
    through: Signal
    within: Signal


class VectorIssue(wiring.Component):
    """From `start` to `ends`, a cycle before the end: one issue a cycle at most, in hanok.isa.timing's order.

    An issue goes to the ring (`element`: with operand 0, `after`: with the accumulators) or to the fold of
    lanes (`fold`). It is about result `result` of the batch, or about the pair `pair` of its rows.
    `next_result` and `next_element` move the loops on.
    """

    def __init__(self, lanes: int, stages: int, pipeline: VectorPipeline) -> None:
        self.pipeline = pipeline
        self.depth = pipeline.depth(stages)
        self.lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "reduces": In(1),
                "reduce_inner": In(1),
                "sections": In(data.ArrayLayout(SECTION, 2)),
                "last_result": In(1),
                "last_element": In(1),
                "element": Out(1),
                "after": Out(1),
                "fold": Out(1),
                "pair": Out(range(pipeline.batch)),
                "result": Out(range(pipeline.batch)),
                "divider": Out(max(1, (pipeline.dividers - 1).bit_length())),
                "next_result": Out(1),
                "next_element": Out(1),
                "ends": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = self.pipeline
        m.submodules.turns = turns = Turns(self.depth, pipeline.dividers)
        m.submodules.levels = levels = FoldLevels(self.lanes, pipeline)
        around = pipeline.front_cycles + self.depth
        drain, finish = around + pipeline.fold_cycles - 1, around + pipeline.write_cycles
        batch = self._batch(m, turns, max(drain, finish))
        m.d.comb += [self.result.eq(batch.count), self.divider.eq(turns.place)]
        m.d.comb += [
            levels.top.eq(batch.top),
            self.fold.eq(levels.fold & levels.step),
            self.pair.eq(levels.pair),
        ]
        section = self.sections[0]
        m.d.comb += [turns.first_turns.eq(section.turns), turns.turns.eq(section.turns)]
        m.d.comb += turns.divides.eq(section.divides)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.comb += turns.start.eq(1)
                self._begin(m, batch)
                m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                self._elements(m, turns, batch)
                with m.If(batch.over):
                    m.d.sync += batch.timer.eq(Mux(self.reduces, drain, finish) - 1)
                    m.next = "FINISH"
                    with m.If(self.reduces):
                        m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += [turns.start.eq(1), turns.first_turns.eq(self.sections[1].turns)]
                m.d.sync += batch.timer.eq(batch.timer - 1)
                m.d.comb += levels.load.eq(1)
                self._count(m, batch, first=True)
                with m.If(batch.timer == 0):
                    m.next = "AFTER"
                    with m.If(self.reduce_inner):
                        m.next = "FOLD"
            with m.State("FOLD"):
                m.d.comb += [turns.start.eq(1), turns.first_turns.eq(self.sections[1].turns)]
                m.d.comb += levels.step.eq(1)
                with m.If(levels.ends):
                    m.next = "AFTER"
            with m.State("AFTER"):
                self._after(m, turns, batch)
                with m.If(batch.over):
                    m.d.comb += turns.start.eq(1)
                    self._begin(m, batch)
                    m.d.sync += batch.timer.eq(finish - 1)
                    m.next = "ELEMENTS"
                    with m.If(batch.finished):
                        m.next = "FINISH"
            with m.State("FINISH"):
                m.d.sync += batch.timer.eq(batch.timer - 1)
                with m.If(batch.timer == 0):
                    m.d.comb += self.ends.eq(1)
                    m.next = "IDLE"
        return m

    def _batch(self, m: Module, turns: Turns, longest: int) -> _Batch:
        """After its last issue a phase waits until the last place's group is in its last round."""
        count = Signal(range(max(self.pipeline.batch, self.pipeline.fold_cycles) + 1))
        names = ("sized", "finished", "waits", "issued_all", "over", "full", "padded", "through", "within")
        batch = _Batch(
            count=count,
            top=Signal.like(count, name="top"),
            following=Signal.like(count, name="following"),
            timer=Signal(range(longest), name="timer"),
            **{name: Signal(name=name) for name in names},
        )
        m.d.comb += turns.waits.eq(batch.waits)
        m.d.comb += batch.over.eq((batch.issued_all | batch.waits) & turns.free)
        with m.If(batch.issued_all):
            m.d.sync += turns.until.eq(turns.place)
        m.d.sync += batch.waits.eq((batch.issued_all | batch.waits) & ~turns.free)
        return batch

    def _begin(self, m: Module, batch: _Batch) -> None:
        self._count(m, batch, first=True)
        m.d.sync += [batch.sized.eq(0), batch.through.eq(0), batch.within.eq(0)]

    def _count(self, m: Module, batch: _Batch, first: bool = False) -> None:
        """Go on to the next result of the batch, or back to the first one."""
        count, top, following = batch.count, batch.top, batch.following
        if first:
            m.d.sync += [count.eq(0), following.eq(1), batch.full.eq(0), batch.padded.eq(0)]
            m.d.sync += [batch.through.eq(top == 0), batch.within.eq(1)]
        else:
            m.d.sync += [
                count.eq(following),
                following.eq(following + 1),
                batch.full.eq(count == self.pipeline.batch - 2),
            ]
            m.d.sync += batch.padded.eq(batch.padded | (count == self.pipeline.fold_cycles - 2))
            m.d.sync += batch.through.eq(batch.through | (following == top))
            m.d.sync += batch.within.eq(batch.within & (count != top))

    def _elements(self, m: Module, turns: Turns, batch: _Batch) -> None:
        """A period is a pass through the batch's results, long enough for their sums to be there again."""
        opens, ends = turns.open & ~batch.waits, Signal()
        first, sizes = Signal(), Signal()
        m.d.comb += first.eq(~self.reduces | ~batch.sized)
        m.d.comb += [self.element.eq(opens & (first | batch.within)), self.next_result.eq(opens & first)]
        m.d.comb += sizes.eq(self.next_result & (self.last_result | batch.full))
        m.d.comb += ends.eq(opens & batch.padded & (sizes | batch.through))
        m.d.comb += self.next_element.eq(ends & self.reduces)
        m.d.comb += batch.issued_all.eq(Mux(self.reduces, ends & self.last_element, opens & self.last_result))
        with m.If(opens & self.reduces):
            self._count(m, batch)
            with m.If(~batch.sized):
                m.d.sync += [batch.through.eq(sizes), batch.within.eq(0)]
            with m.If(ends):
                self._count(m, batch, first=True)
                with m.If(sizes):
                    m.d.sync += batch.through.eq(0)
        with m.If(sizes):
            m.d.sync += [batch.top.eq(batch.count), batch.sized.eq(1)]
            m.d.sync += batch.finished.eq(self.last_result)

    def _after(self, m: Module, turns: Turns, batch: _Batch) -> None:
        m.d.comb += [turns.turns.eq(self.sections[1].turns), turns.divides.eq(self.sections[1].divides)]
        opens = turns.open & ~batch.waits
        m.d.comb += [self.after.eq(opens), batch.issued_all.eq(opens & batch.through)]
        with m.If(opens):
            self._count(m, batch)
