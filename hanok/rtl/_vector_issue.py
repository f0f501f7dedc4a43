"""When each group of a CHAIN is issued: elements, folds of lanes, and results after the reduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import VectorPipeline
from hanok.rtl._vector_program import SECTION


class Turns(wiring.Component):
    """The places of the ring as they pass its entry, from `start` on.

    `open`: a new group may enter in this cycle, if its section goes round `rounds` times and has `width` of
    them in the ring. `free`: the entry is free from the next cycle on, were this the last round of groups
    up to the place `until`.
    """

    def __init__(self, depth: int, dividers: int) -> None:
        self.depth = depth
        self.dividers = dividers
        place = range(depth)
        super().__init__(
            {
                "start": In(1),
                "rounds": In(8),
                "divides": In(1),
                "until": In(place),
                "place": Out(place),
                "open": Out(1),
                "free": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        turn = Signal(8)
        last_turn = turn == self.rounds - 1
        m.d.sync += self.place.eq(self.place + 1)
        with m.If(self.place == self.depth - 1):
            m.d.sync += [self.place.eq(0), turn.eq(Mux(last_turn, 0, turn + 1))]
        with m.If(self.start):
            m.d.sync += [self.place.eq(0), turn.eq(0)]
        m.d.comb += self.open.eq((turn == 0) & (~self.divides | (self.place < self.dividers)))
        m.d.comb += self.free.eq(last_turn & (self.place == self.until))
        return m


@dataclass(frozen=True)
class _Batch:
    """The registers of a batch: where it is, its size once that is known, and what is still to come."""

    count: Signal
    size: Signal
    sized: Signal
    finished: Signal
    waits: Signal
    issued_all: Signal
    over: Signal
    timer: Signal


class VectorIssue(wiring.Component):
    """From `start` to `done`: one issue a cycle at most, in the order that `hanok.isa.timing` counts.

    An issue goes to the ring (`element`: with operand 0, `after`: with the accumulators) or to the fold of
    lanes (`fold`, of `level`). It is about result `result` of the batch. `next_result` and `next_element`
    move the loops on; `restart` sets the reduce loops back.
    """

    def __init__(self, lanes: int, stages: int, pipeline: VectorPipeline) -> None:
        self.pipeline = pipeline
        self.depth = pipeline.depth(stages)
        self.levels = lanes.bit_length() - 1
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
                "level": Out(range(self.levels)),
                "result": Out(range(pipeline.batch)),
                "divider": Out(max(1, (pipeline.dividers - 1).bit_length())),
                "next_result": Out(1),
                "next_element": Out(1),
                "restart": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipeline = self.pipeline
        m.submodules.turns = turns = Turns(self.depth, pipeline.dividers)
        around = pipeline.front_cycles + self.depth
        drain, finish = around + pipeline.fold_cycles - 1, around + pipeline.write_cycles
        batch = self._batch(m, turns, max(drain, finish))
        done = Signal()
        m.d.sync += done.eq(0)
        m.d.comb += [self.done.eq(done), self.result.eq(batch.count), self.divider.eq(turns.place)]
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.comb += [turns.start.eq(1), self.restart.eq(1)]
                m.d.sync += [batch.count.eq(0), batch.sized.eq(0)]
                m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                self._elements(m, turns, batch)
                with m.If(batch.over):
                    m.d.sync += [batch.count.eq(0), batch.timer.eq(Mux(self.reduces, drain, finish) - 1)]
                    m.next = "FINISH"
                    with m.If(self.reduces):
                        m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += turns.start.eq(1)
                m.d.sync += [batch.timer.eq(batch.timer - 1), self.level.eq(0)]
                with m.If(batch.timer == 0):
                    m.next = "AFTER"
                    with m.If(self.reduce_inner):
                        m.next = "FOLD"
            with m.State("FOLD"):
                m.d.comb += turns.start.eq(1)
                self._fold(m, batch)
            with m.State("AFTER"):
                self._after(m, turns, batch)
                with m.If(batch.over):
                    m.d.comb += [turns.start.eq(1), self.restart.eq(1)]
                    m.d.sync += [batch.count.eq(0), batch.sized.eq(0), batch.timer.eq(finish - 1)]
                    m.next = "ELEMENTS"
                    with m.If(batch.finished):
                        m.next = "FINISH"
            with m.State("FINISH"):
                m.d.sync += batch.timer.eq(batch.timer - 1)
                with m.If(batch.timer == 0):
                    m.d.sync += done.eq(1)
                    m.next = "IDLE"
        return m

    def _batch(self, m: Module, turns: Turns, longest: int) -> _Batch:
        """After its last issue a phase waits until the last place's group is in its last round."""
        count = Signal(range(max(self.pipeline.batch, self.pipeline.fold_cycles) + 1))
        until = Signal(range(self.depth))
        batch = _Batch(
            count=count,
            size=Signal.like(count, name="size"),
            sized=Signal(name="sized"),
            finished=Signal(name="finished"),
            waits=Signal(name="waits"),
            issued_all=Signal(name="issued_all"),
            over=Signal(name="over"),
            timer=Signal(range(longest), name="timer"),
        )
        m.d.comb += turns.until.eq(Mux(batch.waits, until, turns.place))
        m.d.comb += batch.over.eq((batch.issued_all | batch.waits) & turns.free)
        with m.If(batch.issued_all):
            m.d.sync += until.eq(turns.place)
        m.d.sync += batch.waits.eq((batch.issued_all | batch.waits) & ~turns.free)
        return batch

    def _elements(self, m: Module, turns: Turns, batch: _Batch) -> None:
        """A period is a pass through the batch's results, long enough for their sums to be there again."""
        m.d.comb += [turns.rounds.eq(self.sections[0].rounds), turns.divides.eq(self.sections[0].divides)]
        count, opens, ends = batch.count, turns.open & ~batch.waits, Signal()
        first, sizes = Signal(), Signal()
        m.d.comb += first.eq(~self.reduces | ~batch.sized)
        m.d.comb += [
            self.element.eq(opens & (first | (count < batch.size))),
            self.next_result.eq(opens & first),
        ]
        full = self.last_result | (count == self.pipeline.batch - 1)
        m.d.comb += sizes.eq(self.next_result & full)
        padded = count >= self.pipeline.fold_cycles - 1
        through = sizes | (batch.sized & (count + 1 >= batch.size))
        m.d.comb += ends.eq(opens & padded & through)
        m.d.comb += self.next_element.eq(ends & self.reduces)
        m.d.comb += batch.issued_all.eq(Mux(self.reduces, ends & self.last_element, opens & self.last_result))
        with m.If(opens & self.reduces):
            m.d.sync += count.eq(Mux(ends, 0, count + 1))
        with m.If(sizes):
            m.d.sync += [batch.size.eq(count + 1), batch.sized.eq(1), batch.finished.eq(self.last_result)]

    def _fold(self, m: Module, batch: _Batch) -> None:
        count = batch.count
        m.d.comb += self.fold.eq(count < batch.size)
        m.d.sync += count.eq(count + 1)
        with m.If((count >= self.pipeline.fold_cycles - 1) & (count + 1 >= batch.size)):
            m.d.sync += [count.eq(0), self.level.eq(self.level + 1)]
            with m.If(self.level == self.levels - 1):
                m.next = "AFTER"

    def _after(self, m: Module, turns: Turns, batch: _Batch) -> None:
        m.d.comb += [turns.rounds.eq(self.sections[1].rounds), turns.divides.eq(self.sections[1].divides)]
        opens = turns.open & ~batch.waits
        m.d.comb += [self.after.eq(opens), batch.issued_all.eq(opens & (batch.count + 1 == batch.size))]
        with m.If(opens):
            m.d.sync += batch.count.eq(batch.count + 1)
