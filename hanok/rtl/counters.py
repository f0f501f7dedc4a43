"""Performance counters: each cycle of each unit gets the cause that the cycle engine gives it."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit
from hanok.rtl.register_map import CAUSES, COUNTERS

COUNTER_BITS = 64
KEPT_BITS = 48
"""Counters begin anew from 2**48 on: three days at 1 GHz, five minutes at a terabyte a second."""
BYTE_BITS = 16
"""Bytes that an engine moves in a cycle are below 2**16."""

ACTIVITY = data.StructLayout(
    {
        "active": 1,  # an instruction has started and not ended
        "moves": 1,  # it makes progress; if not, it waits for DRAM
        "stalled": 1,  # a finished instruction's post waits for room
        "empty": 1,  # the unit sees no instruction that has not started
        "missing": len(Unit),  # semaphores without a count that the next instruction waits for
    }
)
"""What a unit does in a cycle."""


class PerformanceCounters(wiring.Component):
    """Counters of `register_map.COUNTERS`, from `clear` on, for as long as `counts` is 1.

    A unit is charged as docs/timing.md says, in this order: active, full counter, empty queue, semaphore.
    Whether a cycle with an empty queue was for want of code (`starved`), behind others, or after the last
    instruction is known only when the next one is seen, or at `finished`; until then it is in a counter
    of its own. `finished` comes after the last cycle that counts. All of it is charged a cycle later.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "counts": In(1),
                "finished": In(1),
                "starved": In(1),
                "units": In(data.ArrayLayout(ACTIVITY, len(Unit))),
                "read_bytes": In(BYTE_BITS),
                "written_bytes": In(BYTE_BITS),
                "fetched_bytes": In(BYTE_BITS),
                "counters": Out(data.ArrayLayout(COUNTER_BITS, len(COUNTERS))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counters = {name: Signal(KEPT_BITS, name=name) for name in COUNTERS}
        m.d.comb += [self.counters[number].eq(counters[name]) for number, name in enumerate(COUNTERS)]
        held = {name: Signal(port.shape(), name=f"held_{name}") for name, port in self._inputs().items()}
        m.d.sync += [held[name].eq(port) for name, port in self._inputs().items()]
        with m.If(held["counts"]):
            m.d.sync += counters["cycles"].eq(counters["cycles"] + 1)
            for name in ("read_bytes", "written_bytes", "fetched_bytes"):
                m.d.sync += counters[name].eq(counters[name] + held[name])
        for unit in Unit:
            prefix = unit.name.lower()
            self._charge(m, held, int(unit), {cause: counters[f"{prefix}_{cause}"] for cause in CAUSES})
        with m.If(held["clear"]):
            m.d.sync += [counter.eq(0) for counter in counters.values()]
        return m

    def _inputs(self) -> dict[str, Any]:
        """All inputs by name."""
        members = self.signature.members.items()
        return {name: getattr(self, name) for name, member in members if member.flow == In}

    def _charge(self, m: Module, held: dict[str, Any], number: int, counters: dict[str, Value]) -> None:
        """Charge a cycle of one unit."""
        unit = held["units"][number]
        starved, behind = Signal(KEPT_BITS), Signal(KEPT_BITS)
        idle = ~unit.active & ~unit.stalled
        charged = {
            "busy": unit.active & unit.moves,
            "dram": unit.active & ~unit.moves,
            "full_counter": ~unit.active & unit.stalled,
        }
        earlier: Any = 0
        for source in Unit:
            missing = unit.missing[int(source)]
            charged[f"wait_{source.name.lower()}"] = idle & ~unit.empty & missing & ~earlier
            earlier |= missing
        with m.If(held["counts"]):
            for cause, value in charged.items():
                m.d.sync += counters[cause].eq(counters[cause] + value)
            with m.If(idle & unit.empty):
                with m.If(held["starved"]):
                    m.d.sync += starved.eq(starved + 1)
                with m.Else():
                    m.d.sync += behind.eq(behind + 1)
        with m.If(~unit.empty):
            m.d.sync += [
                counters["fetch"].eq(counters["fetch"] + starved),
                counters["dispatch"].eq(counters["dispatch"] + behind),
            ]
        with m.If(held["finished"]):
            m.d.sync += counters["end"].eq(counters["end"] + starved + behind)
        with m.If(~unit.empty | held["finished"] | held["clear"]):
            m.d.sync += [starved.eq(0), behind.eq(0)]
