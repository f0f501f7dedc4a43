"""The counters of ordered pairs of units: docs/timing.md, semaphores."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit

UNITS = len(Unit)
MASKS = data.ArrayLayout(UNITS, UNITS)
"""A mask of units for each unit."""


class Semaphores(wiring.Component):
    """One counter for each ordered pair of units, from 0 to `limit`.

    `post[s]` are the units to which unit s would post in this cycle, `posted[s]` those of them whose counter
    has `room[s]`, which are posted. `wait[d]` are the units whose posts unit d waits for, `missing[d]` those
    that have none for it; a post of this cycle counts. `take[d]` takes one of each in `wait[d]`, which makes
    room in the cycle after the next; it may be 1 only if `missing[d]` is 0, and not in two cycles in
    succession. `counts` are less by a take after the next cycle as well. `clear` sets all counters to 0.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            {
                "clear": In(1),
                "post": In(MASKS),
                "room": Out(MASKS),
                "posted": Out(MASKS),
                "wait": In(MASKS),
                "missing": Out(MASKS),
                "take": In(UNITS),
                "counts": Out(data.ArrayLayout(range(limit + 1), UNITS * UNITS)),
            }
        )
        self.limit = limit

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for source in range(UNITS):
            for target in range(UNITS):
                self._pair(m, source, target)
        return m

    def _pair(self, m: Module, source: int, target: int) -> None:
        """The counter that unit `source` posts to and unit `target` takes from."""
        count, taken = Signal(range(self.limit + 1), name=f"count_{source}_{target}"), Signal()
        posted, waits = self.posted[source][target], self.wait[target][source]
        m.d.comb += [
            self.room[source][target].eq(self._has_room(count)),
            posted.eq(self.post[source][target] & self.room[source][target]),
            self.missing[target][source].eq(waits & (count == 0) & ~posted),
            self.counts[UNITS * source + target].eq(count),
        ]
        m.d.sync += taken.eq(waits & self.take[target])
        with m.If(posted != taken):
            m.d.sync += count.eq(count + Mux(taken, -1, 1))
        with m.If(self.clear):
            m.d.sync += [count.eq(0), taken.eq(0)]

    def _has_room(self, count: Any) -> Any:
        return count != self.limit
