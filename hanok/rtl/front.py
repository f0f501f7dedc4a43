"""Between the queue of a unit and the unit: it waits for semaphores, starts, and posts."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit

MASK = len(Unit)


class UnitFront(wiring.Component):
    """Starts the head of a queue and posts for what is done, up to `in_flight` instructions in the unit.

    `valid`, `wait` and `post` are those of the head; `start` takes it, and goes to the unit with the record.
    It is 1 where the unit is ready, nothing is missing of the wait mask, no post is due that has not been
    made, and fewer than `in_flight` instructions wait for their end or their post. In the cycle of `done` the
    post mask of that instruction is shown at `posts`, of which `posted` are made; the rest stays, and the
    posts of later instructions stand behind it, one instruction a cycle. `done` and `ready` may not depend
    on `start`. `active`: an instruction has started and not ended. `stalled`: a post is due and not made.
    `drained`: all posts of what has started are made.
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
                "posts": Out(MASK),
                "posted": In(MASK),
                "active": Out(1),
                "stalled": Out(1),
                "drained": Out(1),
            }
        )
        self.in_flight = in_flight

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running, due, kept = (
            Signal(range(self.in_flight + 1), name=name) for name in ("runs", "due", "kept")
        )
        due_now, made, leaves = Signal.like(due), Signal(MASK), Signal()
        mask = self._masks(m, leaves)
        m.d.comb += [
            due_now.eq(due + self.done),
            self.posts.eq(Mux(due_now != 0, mask & ~made, 0)),
            leaves.eq((due_now != 0) & ~(self.posts & ~self.posted).any()),
            self.stalled.eq(due_now != leaves),
            self.waits.eq(Mux(self.valid, self.wait, 0)),
            self.start.eq(
                self.valid & self.ready & ~self.missing.any() & ~self.stalled & (kept != self.in_flight)
            ),
            self.active.eq((running != self.done) | self.start),
            self.drained.eq(kept == 0),
        ]
        m.d.sync += [
            running.eq(running + self.start - self.done),
            due.eq(due_now - leaves),
            kept.eq(kept + self.start - leaves),
            made.eq(Mux(leaves, 0, made | self.posted)),
        ]
        with m.If(self.clear):
            m.d.comb += self.start.eq(0)
            m.d.sync += [running.eq(0), due.eq(0), kept.eq(0), made.eq(0)]
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
