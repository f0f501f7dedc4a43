"""Where the code of instructions in flight begins, for the fault that one of them causes on its way."""

from __future__ import annotations

from enum import Enum
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit
from hanok.isa.timing import MEMORY_READ_CYCLES

UNIT_BITS = (len(Unit) - 1).bit_length()
WORD_BITS = 30
"""Of an offset, which is a multiple of 4."""
ENDED_CYCLES = MEMORY_READ_CYCLES
"""From the end of an instruction to the last cycle in which a fault of it can be reported: its last access
comes a cycle before the end, and the fault of an access is reported in the cycle after its answer."""
STARTED_CYCLES = STREAMED_CYCLES = MEMORY_READ_CYCLES + 1
"""The same from a start to the first cycle in which a fault may be reported, and from the last position."""


class Place(Enum):
    """An instruction of a unit that a fault may belong to.

    It is the one that started last, or the first one that has not ended, or, with positions to stream, the
    first of these.
    """

    LOAD_STARTED = Unit.LOAD, "started"
    LOAD_UNENDED = Unit.LOAD, "ended"
    STORE_STARTED = Unit.STORE, "started"
    STORE_UNENDED = Unit.STORE, "ended"
    MATRIX_STARTED = Unit.MATRIX, "started"
    MATRIX_STREAMING = Unit.MATRIX, "streamed"
    MATRIX_UNENDED = Unit.MATRIX, "ended"
    VECTOR_UNENDED = Unit.VECTOR, "ended"

    @property
    def unit(self) -> Unit:
        return Unit(self.value[0])

    @property
    def passes(self) -> str:
        """What makes a place go on to the next instruction of its unit."""
        return str(self.value[1])


PLACES = tuple(Place)


class FaultOffsets(wiring.Component):
    """Keeps the offsets of dispatched instructions in a memory, a ring for each unit.

    `dispatched`, `started`, `ended`, with a bit for each unit, and `streamed` (of the matrix unit) tell of
    each instruction; `offset` belongs to what is dispatched. `looks` with the number of a `place` (an index
    of `PLACES`): from the next cycle on `found` is the offset of its instruction, as of the cycle of `looks`,
    to which ends and starts come late (`ENDED_CYCLES` and so on), as faults do.
    """

    def __init__(self, most: int) -> None:
        self._ring_bits = (most + ENDED_CYCLES + 1).bit_length()
        super().__init__(
            {
                "clear": In(1),
                "dispatched": In(len(Unit)),
                "offset": In(32),
                "started": In(len(Unit)),
                "ended": In(len(Unit)),
                "streamed": In(1),
                "looks": In(1),
                "place": In(range(len(PLACES))),
                "found": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = self._ring_bits
        m.submodules.rows = rows = memory.Memory(shape=WORD_BITS, depth=1 << bits + UNIT_BITS, init=[])
        write, read = rows.write_port(), rows.read_port()
        ends = [self._pointer(m, self.dispatched[unit], f"end_{unit}", 0) for unit in Unit]
        unit = Signal(UNIT_BITS)
        for number in Unit:
            with m.If(self.dispatched[number]):
                m.d.comb += unit.eq(number)
        late = {
            "started": self._late(m, self.started, STARTED_CYCLES, "started"),
            "ended": self._late(m, self.ended, ENDED_CYCLES, "ended"),
            "streamed": self._late(m, self.streamed, STREAMED_CYCLES, "streamed").replicate(len(Unit)),
        }
        pointers = [
            Cat(
                self._pointer(
                    m,
                    late[place.passes][place.unit],
                    place.name.lower(),
                    (1 << bits) - 1 if place.passes == "started" else 0,
                ),
                Const(int(place.unit), UNIT_BITS),
            )
            for place in PLACES
        ]
        m.d.comb += [
            write.en.eq(self.dispatched.any()),
            write.addr.eq(Cat(Array(ends)[unit], unit)),
            write.data.eq(self.offset[-WORD_BITS:]),
            read.en.eq(self.looks),
            read.addr.eq(Array(pointers)[self.place]),
            self.found.eq(read.data << (32 - WORD_BITS)),
        ]
        return m

    def _pointer(self, m: Module, passes: Value, name: str, first: int) -> Signal:
        """A place in a ring that goes on with each pulse."""
        pointer = Signal(self._ring_bits, name=name, init=first)
        m.d.sync += pointer.eq(Mux(self.clear, first, pointer + passes))
        return pointer

    def _late(self, m: Module, pulses: Value, cycles: int, name: str) -> Value:
        for stage in range(cycles):
            later = Signal(len(pulses), name=f"{name}_{stage}")
            m.d.sync += later.eq(pulses)
            pulses = later
        return pulses
