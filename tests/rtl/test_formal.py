"""Bounded proofs of queue and semaphores: for every input, in all of the first cycles.

The bound of each proof is the argument of `prove` and stands beside it; what is asserted is in the harness.
A planted bug shows that each harness can fail.
"""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hanok.rtl.front import UnitFront
from hanok.rtl.prove import prove
from hanok.rtl.record_queue import RecordQueue
from hanok.rtl.semaphores import MASKS, UNITS, Semaphores


class QueueHarness(wiring.Component):
    """A record that is marked when it enters, whichever it is, leaves after those before it, as it was.

    Besides, never more than `depth` records are in, one is taken exactly where there is room, none leaves
    that did not enter, and the head stays until it leaves, which is in its second cycle at the earliest.
    """

    def __init__(self, queue: RecordQueue) -> None:
        super().__init__({"valid": In(1), "payload": In(1), "ready": In(1), "marks": In(1), "clear": In(1)})
        self.queue = queue

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        puts, leaves = queue.put.valid & queue.put.ready, queue.head.valid & queue.head.ready
        inside, ahead, marked, content = Signal(4), Signal(4), Signal(), Signal()
        held, held_content = Signal(), Signal()
        m.d.comb += [
            queue.put.valid.eq(self.valid),
            queue.put.payload.eq(self.payload),
            queue.put_tag.eq(self.payload),
            queue.head.ready.eq(self.ready),
            queue.clear.eq(self.clear),
        ]
        m.d.sync += [inside.eq(inside + puts - leaves), ahead.eq(ahead - leaves)]
        with m.If(leaves & (ahead == 0)):
            m.d.sync += marked.eq(0)
        with m.If(puts & self.marks & ~marked):
            m.d.sync += [marked.eq(1), content.eq(self.payload), ahead.eq(inside - leaves)]
        m.d.sync += [held.eq(queue.head.valid & ~self.ready), held_content.eq(queue.tag)]
        with m.If(self.clear):
            m.d.sync += [inside.eq(0), marked.eq(0), held.eq(0)]
        m.d.comb += [
            Assert(~leaves | (inside != 0)),
            Assume(~self.ready | held),
            Assert(~(leaves & marked & (ahead == 0)) | (queue.head.payload == content)),
            Assert(~leaves | (queue.head.payload == queue.tag)),
            Assert(~held | queue.head.valid & (queue.tag == held_content)),
            Assert(inside <= queue.depth),
            Assert(self.clear | (queue.put.ready == (inside != queue.depth))),
        ]
        return m


class OverfullQueue(RecordQueue):
    """Takes a record too many."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.put.ready.eq(1)
        return m


class SemaphoreHarness(wiring.Component):
    """Every counter: from 0 to the limit, and always posts minus takes; takes only where there is a count."""

    def __init__(self, semaphores: Semaphores) -> None:
        super().__init__({"post": In(MASKS), "wait": In(MASKS), "take": In(UNITS), "clear": In(1)})
        self.semaphores = semaphores

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.semaphores = semaphores = self.semaphores
        m.d.comb += [
            semaphores.post.eq(self.post),
            semaphores.wait.eq(self.wait),
            semaphores.take.eq(self.take),
            semaphores.clear.eq(self.clear),
        ]
        before = Signal(UNITS)
        m.d.sync += before.eq(self.take)
        for unit in range(UNITS):
            m.d.comb += Assume(~self.take[unit] | ~(semaphores.missing[unit].any() | before[unit]))
        for source in range(UNITS):
            for target in range(UNITS):
                balance = Signal(8, name=f"balance_{source}_{target}")
                leaves = Signal(name=f"leaves_{source}_{target}")
                posted = semaphores.posted[source][target]
                taken = self.take[target] & self.wait[target][source]
                count = semaphores.counts[UNITS * source + target]
                m.d.sync += balance.eq(Mux(self.clear, 0, balance + posted - taken))
                m.d.sync += leaves.eq(~self.clear & taken)
                m.d.comb += [
                    Assert(count == balance + leaves),
                    Assert(count <= semaphores.limit),
                    Assert(~taken | (balance != 0) | posted),
                    Assert(~posted | self.post[source][target]),
                    Assert(posted | ~self.post[source][target] | (count == semaphores.limit)),
                ]
        return m


class SemaphoresWithoutRoomCheck(Semaphores):
    """Posts to a full counter."""

    def _has_room(self, count: Any) -> Any:
        return 1


class TokenHarness(wiring.Component):
    """Two units that pass a token: each waits for the other's post, and posts to it.

    Unit 0 begins, without a wait. Units are ready and done after any time. A unit holds the token from where
    its head takes it to where the instruction is done. Never do both hold it, it is never lost once it has
    been given, and none starts that does not hold it or owes an earlier post.
    """

    def __init__(self, semaphores: Semaphores, front: type[UnitFront] = UnitFront) -> None:
        super().__init__({"valid": In(2), "ready": In(2), "done": In(2)})
        self.semaphores, self.front = semaphores, front

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.semaphores = semaphores = self.semaphores
        fronts = [self.front(in_flight=2) for _ in range(2)]
        ended = [Signal(5, name=f"ended_{unit}") for unit in range(2)]
        owes = [Signal(name=f"owes_{unit}") for unit in range(2)]
        running = [Signal(name=f"running_{unit}") for unit in range(2)]
        holds = [Signal(name=f"holds_{unit}") for unit in range(2)]
        leaves = [Signal(name=f"leaves_{unit}") for unit in range(2)]
        for unit, front in enumerate(fronts):
            m.submodules[f"front_{unit}"] = front
            other = 1 - unit
            begun = Signal(name=f"begun_{unit}", init=unit == 0)
            m.d.comb += [
                Assume(~self.done[unit] | running[unit]),
                front.valid.eq(self.valid[unit]),
                front.ready.eq(self.ready[unit] & (~running[unit] | self.done[unit])),
                front.done.eq(self.done[unit]),
                front.wait.eq(Mux(begun, 1 << other, 0)),
                front.post.eq(1 << other),
                front.missing.eq(semaphores.missing[unit]),
                front.room.eq(semaphores.room[unit]),
                semaphores.wait[unit].eq(front.waits),
                semaphores.post[unit].eq(front.posts),
                semaphores.take[unit].eq(front.takes),
            ]
            with m.If(front.start):
                m.d.sync += [begun.eq(1), running[unit].eq(1)]
            with m.Elif(self.done[unit]):
                m.d.sync += running[unit].eq(0)
            with m.If(front.takes):
                m.d.sync += holds[unit].eq(1)
            with m.Elif(self.done[unit]):
                m.d.sync += holds[unit].eq(0)
            m.d.sync += [leaves[unit].eq(front.takes & front.waits.any()), owes[unit].eq(front.stalled)]
            m.d.sync += ended[unit].eq(ended[unit] + self.done[unit])
            m.d.comb += Assert(~front.start | holds[unit] & ~owes[unit])
        counts = semaphores.counts[1] + semaphores.counts[UNITS]
        tokens = counts + holds[0] + holds[1]
        m.d.comb += Assert(~(holds[0] & ~self.done[0] & holds[1] & ~self.done[1]))
        m.d.comb += Assert(tokens <= 1 + leaves[0] + leaves[1])
        with m.If(ended[0] + ended[1] != 0):
            m.d.comb += Assert(tokens == 1 + leaves[0] + leaves[1])
        return m


class HastyFront(UnitFront):
    """Starts without a look at its semaphores."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        with m.If(self.valid & self.ready):
            m.d.comb += self.start.eq(1)
        return m


@pytest.mark.parametrize(("depth", "cycles"), [(1, 16), (2, 10), (3, 10)])
def test_a_queue_keeps_order_and_content(depth: int, cycles: int) -> None:
    verdict = prove(QueueHarness(RecordQueue(1, depth, 1)), cycles)
    assert verdict.holds, verdict.text


def test_counters_are_posts_minus_takes_for_ever() -> None:
    verdict = prove(SemaphoreHarness(Semaphores(limit=3)), cycles=10, by_induction=True)
    assert verdict.holds, verdict.text


def test_two_units_never_hold_one_token_for_12_cycles() -> None:
    verdict = prove(TokenHarness(Semaphores(limit=2)), cycles=12)
    assert verdict.holds, verdict.text


def test_planted_bugs_are_refuted() -> None:
    assert not prove(QueueHarness(OverfullQueue(1, 3, 1)), cycles=10).holds
    assert not prove(SemaphoreHarness(SemaphoresWithoutRoomCheck(limit=3)), cycles=10).holds
    assert not prove(TokenHarness(Semaphores(limit=2), HastyFront), cycles=12).holds
