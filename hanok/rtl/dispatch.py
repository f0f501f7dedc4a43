"""From the decoder to the units: a queue and a front for each unit, and the semaphores between them."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.stream import Signature
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit
from hanok.machine import Control
from hanok.rtl.decode import DECODED, HEAD
from hanok.rtl.front import UnitFront
from hanok.rtl.record_queue import RecordQueue
from hanok.rtl.semaphores import MASKS, UNITS, Semaphores


def unit_port(record: data.Layout) -> wiring.Signature:
    """Return what a unit and its front say to each other, as the front sees it (docs/rtl.md, units)."""
    return wiring.Signature({"record": Out(record), "start": Out(1), "ready": In(1), "done": In(1)})


class Dispatch(wiring.Component):
    """Puts decoded instructions into the queues of their units, in order, and starts them.

    An instruction is dispatched in the cycle in which `decoded` passes, and can start
    `hanok.isa.timing.QUEUE_LATENCY_CYCLES` later. Records are those of the layout `decoded`; each begins with
    `HEAD`. Ports by the name of each unit: `unit_port`. Bits by the number of each unit, for the performance
    counters: `active`, `stalled`, `missing` (semaphores for want of which the head does not start), `empty`
    (no head that could start). `idle`: queues and units are empty and all posts are made. `clear` forgets all
    instructions and counts; the units must be cleared with it. While `halt` is 1, none starts.
    """

    def __init__(
        self, control: Control, in_flight: dict[Unit, int], decoded: data.StructLayout = DECODED
    ) -> None:
        layouts = {unit: decoded["records"].shape[unit.name.lower()].shape for unit in Unit}
        flags = dict.fromkeys(("active", "stalled", "empty"), Out(UNITS))
        super().__init__(
            {
                "clear": In(1),
                "halt": In(1),
                "decoded": In(Signature(decoded)),
                **{unit.name.lower(): Out(unit_port(layouts[unit])) for unit in Unit},
                **flags,
                "missing": Out(MASKS),
                "idle": Out(1),
            }
        )
        self.semaphores = Semaphores(control.semaphore_limit)
        self.queues = {unit: RecordQueue(layouts[unit], control.queue_depth, 2 * UNITS) for unit in Unit}
        self.fronts = {unit: UnitFront(in_flight[unit]) for unit in Unit}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.semaphores = self.semaphores
        m.d.comb += self.semaphores.clear.eq(self.clear)
        idle: Any = 1
        for unit in Unit:
            self._route(m, unit)
            idle &= self.queues[unit].empty & self.fronts[unit].drained
        m.d.comb += self.idle.eq(idle)
        return m

    def _route(self, m: Module, unit: Unit) -> None:
        """Connect one unit."""
        name, number = unit.name.lower(), int(unit)
        m.submodules[f"{name}_queue"] = queue = self.queues[unit]
        m.submodules[f"{name}_front"] = front = self.fronts[unit]
        port, semaphores = getattr(self, name), self.semaphores
        record = self.decoded.payload.records[name]
        head = data.View(HEAD, record.as_value()[: HEAD.size])
        m.d.comb += [
            queue.clear.eq(self.clear),
            queue.put.payload.eq(record),
            queue.put_tag.eq(Cat(head.wait[:UNITS], head.post[:UNITS])),
            front.clear.eq(self.clear),
            front.valid.eq(queue.head.valid),
            Cat(front.wait, front.post).eq(queue.tag),
            front.ready.eq(port.ready & ~self.halt),
            front.done.eq(port.done),
            front.missing.eq(semaphores.missing[number]),
            front.room.eq(semaphores.room[number]),
            semaphores.wait[number].eq(front.waits),
            semaphores.post[number].eq(front.posts),
            semaphores.take[number].eq(front.takes),
            queue.head.ready.eq(front.start),
            port.record.eq(queue.head.payload),
            port.start.eq(front.start),
            self.active[number].eq(front.active),
            self.stalled[number].eq(front.stalled),
            self.empty[number].eq(~front.seen),
            self.missing[number].eq(front.lacked),
        ]
        with m.If(self.decoded.payload.unit == unit):
            m.d.comb += [queue.put.valid.eq(self.decoded.valid), self.decoded.ready.eq(queue.put.ready)]
