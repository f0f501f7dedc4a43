"""Between the queue of a unit and the unit: it takes semaphores, starts, and posts."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit

MASK = len(Unit)


class UnitFront(wiring.Component):
    """Starts the head of a queue and posts for what is done, up to `in_flight` instructions in the unit.

    `valid`, `wait` and `post` are those of the head. With `takes` it gets a count of each semaphore in its
    wait mask, in the first cycle in which nothing is `missing`; it can start from the next cycle on. `start`
    ends its time at the head, and goes to the unit with the record. It is 1 where the unit is ready, no post
    has been due since an earlier cycle, and fewer than `in_flight` instructions wait for their end or their
    post. In the cycle of `done` the post mask of that instruction is shown at `posts`; those are made for
    which there is `room`, the rest stays, and the posts of later instructions stand behind it, one
    instruction a cycle. `done` and `ready` may not depend on `start`. `active`: an instruction has started
    and not ended.
    `stalled`: a post is due and not made, or was before this cycle. `seen`: there is a head that could start
    in this cycle but for what it `lacked` in the one before. `drained`: all posts of what has started are
    made.
    """

    def __init__(self, in_flight: int) -> None:
        assert in_flight >= 1, f"{in_flight} instructions in flight are none"
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "wait": In(MASK),
                "post": In(MASK),
                "start": Out(1),
                "ready": In(1),
                "done": In(1),
                "waits": Out(MASK),
                "missing": In(MASK),
                "takes": Out(1),
                "posts": Out(MASK),
                "room": In(MASK),
                "active": Out(1),
                "stalled": Out(1),
                "seen": Out(1),
                "lacked": Out(MASK),
                "drained": Out(1),
            }
        )
        self.in_flight = in_flight

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running, due, kept = (
            Signal(range(self.in_flight + 1), name=name) for name in ("runs", "due", "kept")
        )
        is_due, made, leaves, armed = Signal(), Signal(MASK), Signal(), Signal()
        mask = self._masks(m, leaves)
        m.d.comb += [
            is_due.eq((due != 0) | self.done),
            self.posts.eq(Mux(is_due, mask & ~made, 0)),
            leaves.eq(is_due & ~(mask & ~made & ~self.room).any()),
            self.stalled.eq((due != 0) | (self.done & ~leaves)),
            self.waits.eq(Mux(self.valid & ~armed, self.wait, 0)),
            self.takes.eq(self.valid & ~armed & ~self.missing.any()),
            self.start.eq(armed & self.ready & (due == 0) & (kept != self.in_flight)),
            self.active.eq((running != self.done) | self.start),
            self.drained.eq(kept == 0),
        ]
        for count, up, down in (
            (running, self.start, self.done),
            (due, self.done, leaves),
            (kept, self.start, leaves),
        ):
            with m.If(up != down):
                m.d.sync += count.eq(count + Mux(up, 1, -1))
        m.d.sync += [
            made.eq(Mux(leaves, 0, made | (self.posts & self.room))),
            armed.eq(self.takes | (armed & ~self.start)),
            self.seen.eq(self.valid & ~self.start),
            self.lacked.eq(self.missing),
        ]
        with m.If(self.clear):
            m.d.sync += [running.eq(0), due.eq(0), kept.eq(0), made.eq(0), armed.eq(0)]
            m.d.sync += [self.seen.eq(0), self.lacked.eq(0)]
        return m

    def _masks(self, m: Module, leaves: Signal) -> Signal:
        """Keep the post masks of started instructions in order; return the oldest."""
        m.submodules.masks = rows = memory.Memory(shape=MASK, depth=self.in_flight, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        m.d.comb += [write.en.eq(self.start), write.data.eq(self.post)]
        for moves, port in ((self.start, write), (leaves, read)):
            pointer = Signal(range(self.in_flight))
            m.d.comb += port.addr.eq(pointer)
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == self.in_flight - 1, 0, pointer + 1))
            with m.If(self.clear):
                m.d.sync += pointer.eq(0)
        return read.data
