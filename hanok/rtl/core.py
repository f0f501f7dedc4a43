"""The whole core: control, four units, scratchpad and accumulators between an AXI4-Lite port and AXI4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.dram import get_standard
from hanok.isa.faults import Fault
from hanok.isa.table import VECTOR, VECTOR_TABLE, Unit
from hanok.isa.timing import LOAD_ANSWER_STAGES, MEMORY_READ_CYCLES, open_lines
from hanok.machine import Chip
from hanok.machine.chip import Core as CoreRecord
from hanok.rtl._axi_guard import ReadGuard, WriteGuard
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._memory_shift import delayed
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.accumulators import Accumulators
from hanok.rtl.axi import axi_read, axi_write, set_one_transfer
from hanok.rtl.counters import PerformanceCounters
from hanok.rtl.decode import HEAD, Decoder
from hanok.rtl.dispatch import Dispatch
from hanok.rtl.fault_offsets import PLACES, FaultOffsets, Place
from hanok.rtl.fetch import Fetcher
from hanok.rtl.legality import Legality
from hanok.rtl.load import LoadEngine
from hanok.rtl.marks import join_answers, words_of
from hanok.rtl.matrix import MatrixUnit
from hanok.rtl.register_map import ADDRESS_BITS, CAUSE_BITS
from hanok.rtl.registers import Registers, axi_lite
from hanok.rtl.scratchpad import core_scratchpad, matrix_address_bits
from hanok.rtl.store import StoreEngine
from hanok.rtl.vector import VectorUnit

TRACE = data.StructLayout(
    {
        "running": 1,  # cycles of the code, from cycle 0 on
        "dispatched": len(Unit),  # a bit for each unit to whose queue an instruction goes
        "started": len(Unit),
        "ended": len(Unit),
    }
)
"""What happens in a cycle, for whoever compares it with the cycle engine."""

FaultList = list[tuple[Fault, Any, Place | None]]
"""What may go wrong on the way, the first that occurs counts, and whose fault it is."""
LOAD_FAULT_CYCLES = LOAD_ANSWER_STAGES + MEMORY_READ_CYCLES - 1
REQUEST_FAULT_CYCLES, RESPONSE_FAULT_CYCLES = MEMORY_READ_CYCLES, MEMORY_READ_CYCLES - 1
COORDINATE_FAULT_CYCLES = DECODER_FAULT_CYCLES = MEMORY_READ_CYCLES + 1
"""Faults of answers, requests, responses, coordinates and packed weights are held back, to belong to the
right `Place`."""
SETTLING_CYCLES = 13
"""From the end of the code to `finished`: more than a fault needs to come from any unit or memory."""


def instructions_in_flight(core: CoreRecord, burst_bytes: int) -> dict[Unit, int]:
    """Return how many instructions of each unit can have started and not posted.

    A DMA instruction that has not ended holds a slot at least, but for the one in hand, the one that ends,
    and the one in the decoder.
    A matrix instruction that has left the loader has a tile in the pipeline, three cycles apart at least.
    """
    slots = open_lines(core.dma, burst_bytes)
    return {
        Unit.LOAD: slots + (3 if core.dma.expand_lanes else 2),
        Unit.STORE: slots + 2,
        Unit.MATRIX: core.matrix.depth_cycles // 3 + 4,
        Unit.VECTOR: 2,
    }


class Core(RefusingComponent):
    """The core of a chip.

    `bus` reaches the registers of `register_map.py`; `fetch`, `load` and `store` are AXI4 masters, the data
    bus of the first a burst of the memory wide, those of the others a line (`hanok.isa.timing`). `interrupt`
    is a level. With `trace`, there is a port of that name of layout `TRACE`. Cycle 0 is the one after that of
    the start.

    On a fault or a stop, no new transaction begins; when none is open any more, all units are reset, and a
    fault is reported. `marks`: of a copy (`marks.py`). Raises ChipError for a chip that cannot be made.
    """

    def __init__(self, chip: Chip, trace: bool = False, marks: Sequence[int] = ()) -> None:
        core, self._words = chip.core, words_of(marks)
        self.chip = chip
        self.burst_bytes = get_standard(chip.memory.standard).burst_bytes
        self.address_bits = (chip.memory.capacity_mib << 20).bit_length() - 1
        if chip.memory.capacity_mib & (chip.memory.capacity_mib - 1):
            self.address_bits += 1
        shape = DmaShape.of(core.dma, self.burst_bytes, self.address_bits, core.sram.total_bytes)
        self.load_id_bits, self.line_bytes = shape.ring_bits, shape.line_bytes
        members: dict[str, Any] = {
            "bus": In(axi_lite(ADDRESS_BITS)),
            "fetch": Out(axi_read(self.address_bits, self.burst_bytes, 1)),
            "load": Out(axi_read(self.address_bits, self.line_bytes, self.load_id_bits)),
            "store": Out(axi_write(self.address_bits, self.line_bytes)),
            "interrupt": Out(1),
        }
        if trace:
            members["trace"] = Out(TRACE)
        super().__init__(members)
        self.identity = f"{core.model_dump_json()} {self.burst_bytes} {self.address_bits} {trace} {marks}"
        """All of the chip that the core is made from."""
        self._traces = trace
        self._running, self._halting = Signal(), Signal()
        self._reset_units, self._quiet = Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core, bits, burst = self.chip.core, self.address_bits, self.burst_bytes
        dma = (core.dma, burst, bits, core.sram.total_bytes)
        units: dict[str, Any] = {
            "fetcher": Fetcher(burst, core.control.fetch_buffer_bytes, bits),
            "decoder": Decoder(self._words["decoder"]),
            "legality": Legality(core, self._words["legality"]),
            "dispatch": Dispatch(core.control, instructions_in_flight(core, burst)),
            "loader": LoadEngine(*dma, core.matrix.columns, self._words["load"]),
            "storer": StoreEngine(*dma, self._words["store"]),
            "matrix": MatrixUnit(core.matrix, matrix_address_bits(core), self._words["matrix"]),
            "vector": VectorUnit(core.vector, core.matrix, core.sram, self._words["vector"]),
        }
        for name, unit in units.items():
            m.submodules[name] = ResetInserter(self._reset_units)(unit)
        m.submodules.registers = registers = Registers(self._words)
        m.submodules.counters = counters = PerformanceCounters()
        m.d.comb += self.interrupt.eq(registers.interrupt)
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        m.d.comb += [registers.counters[number].eq(value) for number, value in enumerate(counters.counters)]
        memory_faults = self._connect_memories(m, units)
        idle = self._connect_buses(m, units)
        self._connect_units(m, units, registers)
        offsets = self._offsets(m, units, registers)
        finished = self._control(m, units, registers, memory_faults, offsets, idle)
        self._count(m, units, counters, registers, finished)
        return m

    def _connect_memories(self, m: Module, units: dict[str, Any]) -> FaultList:
        """Join the units' ports to scratchpad and accumulators; return what may go wrong there."""
        core = self.chip.core
        matrix, vector = units["matrix"], units["vector"]
        m.submodules.scratchpad = scratchpad = core_scratchpad(core)
        readers = [matrix.activations, matrix.weights, *vector.reads, units["storer"].sram]
        writers = [units["loader"].sram, vector.write]
        for kind, ports in (("read", readers), ("write", writers)):
            for number, port in enumerate(ports):
                wiring.connect(m, port, getattr(scratchpad, f"{kind}_{number}"))
        m.submodules.accumulators = accumulators = Accumulators(core.matrix, core.vector.lanes)
        wiring.connect(m, matrix.accumulator_read, accumulators.read)
        wiring.connect(m, matrix.accumulator_write, accumulators.write)
        m.d.comb += [
            accumulators.vector_en.eq(vector.accumulator_en),
            accumulators.vector_element.eq(vector.accumulator_element),
            accumulators.vector_size.eq(vector.accumulator_size),
            vector.accumulator_data.eq(accumulators.vector_data),
        ]
        activations, weights, *operands = scratchpad.fault
        first, second, third, stored, loaded, written = operands
        return [
            (Fault.BANK_CONFLICT, scratchpad.conflict | accumulators.conflict, None),
            (Fault.NO_SUCH_BYTE, loaded, Place.LOAD_UNENDED),
            (Fault.NO_SUCH_BYTE, stored, Place.STORE_STARTED),
            (Fault.NO_SUCH_BYTE, accumulators.fault, Place.MATRIX_UNENDED),
            (Fault.NO_SUCH_BYTE, activations, Place.MATRIX_STREAMING),
            (Fault.NO_SUCH_BYTE, weights, Place.MATRIX_STARTED),
            (
                Fault.NO_SUCH_BYTE,
                first | second | third | written | accumulators.vector_fault,
                Place.VECTOR_UNENDED,
            ),
        ]

    def _connect_buses(self, m: Module, units: dict[str, Any]) -> Any:
        """Put a guard before each AXI master; return whether no transaction is open."""
        bits, burst, line = self.address_bits, self.burst_bytes, self.line_bytes
        slots = open_lines(self.chip.core.dma, burst)
        fetcher = units["fetcher"]
        guards: dict[str, Any] = {
            "fetch": ReadGuard(bits, burst, 1, fetcher.rows),
            "load": ReadGuard(bits, line, self.load_id_bits, slots + 1),
            "store": WriteGuard(bits, line, slots + 1),
        }
        idle: Any = 1
        for name, guard in guards.items():
            m.submodules[f"{name}_guard"] = guard
            m.d.comb += guard.holds.eq(self._halting)
            wiring.connect(m, guard.bus, wiring.flipped(getattr(self, name)))
            idle &= guard.idle
        wiring.connect(m, units["loader"].bus, guards["load"].master)
        wiring.connect(m, units["storer"].bus, guards["store"].master)
        master = guards["fetch"].master
        set_one_transfer(m, master, "ar", burst)
        m.d.comb += [
            master.arvalid.eq(fetcher.request.valid),
            master.araddr.eq(fetcher.request.payload),
            fetcher.request.ready.eq(master.arready),
            fetcher.answer.valid.eq(master.rvalid),
            fetcher.answer.payload.data.eq(master.rdata),
            fetcher.answer.payload.error.eq(master.rresp.any()),
            master.rready.eq(1),
        ]
        return idle

    def _connect_units(self, m: Module, units: dict[str, Any], registers: Any) -> None:
        """From the code to the units."""
        fetcher, decoder, dispatch = units["fetcher"], units["decoder"], units["dispatch"]
        wiring.connect(m, fetcher.words, decoder.words)
        wiring.connect(m, decoder.decoded, dispatch.decoded)
        m.d.comb += [
            fetcher.start.eq(registers.start),
            fetcher.code_address.eq(registers.code_address),
            fetcher.code_bytes.eq(registers.code_bytes),
            fetcher.dispatched_bytes.eq(decoder.dispatched_bytes),
            decoder.clear.eq(registers.start),
            dispatch.clear.eq(registers.start),
            dispatch.halt.eq(self._halting),
        ]
        for name, unit in (("load", "loader"), ("store", "storer"), ("matrix", "matrix")):
            port, taker = getattr(dispatch, name), units[unit]
            m.d.comb += [
                taker.record.eq(port.record),
                taker.start.eq(port.start),
                port.ready.eq(taker.ready),
                port.done.eq(taker.done),
            ]
        vector, port = units["vector"], dispatch.vector
        bits = port.record.as_value()
        m.d.comb += [
            vector.opcode.eq(data.View(HEAD, bits[: HEAD.size]).opcode),
            vector.record.eq(port.record[VECTOR.name]),
            vector.table_record.eq(port.record[VECTOR_TABLE.name]),
            vector.start.eq(port.start),
            port.ready.eq(vector.ready),
            port.done.eq(vector.done),
        ]

    def _control(
        self,
        m: Module,
        units: dict[str, Any],
        registers: Any,
        memory_faults: FaultList,
        offsets: FaultOffsets,
        idle: Any,
    ) -> Signal:
        """Run, finish, and stop at a fault; return whether the code has ended.

        `_quiet`: it has, but for faults on their way, which all have come when it has settled.
        """
        fetcher, decoder, dispatch = units["fetcher"], units["decoder"], units["dispatch"]
        illegal, illegal_offset = self._legality(m, units)
        found = Signal(CAUSE_BITS)
        faults = [
            (Fault.UNALIGNED_CODE, fetcher.unaligned, None),
            *self._unit_faults(m, units),
            *memory_faults,
        ]
        place, has_place, looked = Signal(range(len(PLACES))), Signal(), Signal()
        finished, faulted, settled = Signal(), Signal(), Signal(SETTLING_CYCLES)
        held_cause, held_offset, has_fault = Signal(CAUSE_BITS), Signal(32), Signal()
        m.d.comb += [
            self._quiet.eq(~fetcher.busy & ~decoder.busy & dispatch.idle),
            faulted.eq(self._running & ~self._halting & (illegal.any() | decoder.faulted | found.any())),
            finished.eq(self._running & ~self._halting & settled.all() & ~faulted),
            registers.busy.eq(self._running),
            registers.finished.eq(finished),
            registers.faulted.eq(self._reset_units & has_fault),
            registers.cause.eq(held_cause),
            registers.fault_offset.eq(Mux(looked, offsets.found, held_offset)),
            offsets.looks.eq(faulted),
            offsets.place.eq(place),
        ]
        m.d.sync += [
            self._reset_units.eq(self._halting & idle & ~self._reset_units),
            settled.eq(Mux(registers.start | ~self._quiet, 0, Cat(1, settled))),
            found.eq(Fault.NONE),
        ]
        for fault, occurs, whose in reversed(faults):
            with m.If(occurs):
                m.d.sync += [found.eq(fault), has_place.eq(whose is not None)]
                m.d.sync += place.eq(PLACES.index(whose) if whose else 0)
        with m.If(registers.start):
            m.d.sync += [self._running.eq(1), has_fault.eq(0)]
        with m.If(faulted):
            m.d.sync += [self._halting.eq(1), has_fault.eq(1), held_cause.eq(found), held_offset.eq(0)]
            m.d.sync += looked.eq(has_place & ~illegal.any() & ~decoder.faulted)
            with m.If(illegal.any()):
                m.d.sync += [held_cause.eq(illegal), held_offset.eq(illegal_offset)]
            with m.Elif(decoder.faulted):
                m.d.sync += [held_cause.eq(decoder.cause), held_offset.eq(decoder.fault_offset)]
        with m.Elif(registers.stop & self._running):
            m.d.sync += self._halting.eq(1)
        if self._words["registers"]:
            join_answers(m, units, registers, faulted, illegal.any())
        with m.If(finished | self._reset_units):
            m.d.sync += [self._running.eq(0), self._halting.eq(0)]
        return finished

    def _unit_faults(self, m: Module, units: dict[str, Any]) -> FaultList:
        """What the units themselves find."""
        found: FaultList = []
        for name, fault, cycles, unit, place in (
            ("coordinate", Fault.NO_SUCH_VALUE, COORDINATE_FAULT_CYCLES, "matrix", Place.MATRIX_STREAMING),
            ("coordinate", Fault.NO_SUCH_VALUE, 0, "vector", Place.VECTOR_UNENDED),
            ("address", Fault.NO_SUCH_ADDRESS, REQUEST_FAULT_CYCLES, "loader", Place.LOAD_STARTED),
            ("address", Fault.NO_SUCH_ADDRESS, 0, "storer", Place.STORE_UNENDED),
            ("byte", Fault.NO_SUCH_BYTE, DECODER_FAULT_CYCLES, "loader", Place.LOAD_UNENDED),
            ("stream", Fault.NO_SUCH_CODE, DECODER_FAULT_CYCLES, "loader", Place.LOAD_UNENDED),
            ("bus", Fault.BUS_ERROR, LOAD_FAULT_CYCLES, "loader", Place.LOAD_UNENDED),
            ("bus", Fault.BUS_ERROR, RESPONSE_FAULT_CYCLES, "storer", Place.STORE_UNENDED),
        ):
            occurs = getattr(units[unit], f"{name}_fault")
            found.append((fault, delayed(m, occurs, cycles, f"{unit}_{name}_fault"), place))
        return found

    def _offsets(self, m: Module, units: dict[str, Any], registers: Any) -> FaultOffsets:
        """Tell where the instructions begin, and how far they are."""
        decoder, dispatch, control = units["decoder"], units["dispatch"], self.chip.core.control
        in_flight = instructions_in_flight(self.chip.core, self.burst_bytes)
        most = control.queue_depth + max(in_flight.values())
        m.submodules.offsets = offsets = FaultOffsets(most)
        taken = decoder.decoded.valid & decoder.decoded.ready
        m.d.comb += [
            offsets.clear.eq(registers.start),
            offsets.offset.eq(decoder.offset),
            offsets.streamed.eq(units["matrix"].streamed),
        ]
        for unit in Unit:
            port = getattr(dispatch, unit.name.lower())
            m.d.comb += [
                offsets.dispatched[unit].eq(taken & (decoder.decoded.payload.unit == unit)),
                offsets.started[unit].eq(port.start),
                offsets.ended[unit].eq(port.done),
            ]
        return offsets

    def _legality(self, m: Module, units: dict[str, Any]) -> tuple[Value, Signal]:
        """What is wrong with the instruction that was dispatched two cycles ago, and where it begins.

        It could start in the next cycle at the earliest, in which the core halts.
        """
        decoder, legality = units["decoder"], units["legality"]
        offset, offset_before = (Signal(32, name=name, reset_less=True) for name in ("offset", "before"))
        m.d.comb += [
            legality.decoded.eq(decoder.decoded.payload),
            legality.taken.eq(decoder.decoded.valid & decoder.decoded.ready),
        ]
        m.d.sync += [offset_before.eq(decoder.offset), offset.eq(offset_before)]
        return legality.cause, offset

    def _count(
        self, m: Module, units: dict[str, Any], counters: Any, registers: Any, finished: Signal
    ) -> None:
        """Feed the performance counters and the trace."""
        dispatch, decoder = units["dispatch"], units["decoder"]
        counts = self._running & ~self._halting & ~self._quiet
        m.d.comb += [
            counters.clear.eq(registers.start),
            counters.counts.eq(counts),
            counters.finished.eq(finished),
            counters.starved.eq(decoder.starved),
        ]
        moves = {Unit.LOAD: units["loader"].moves, Unit.STORE: units["storer"].moves}
        for unit in Unit:
            activity, number = counters.units[int(unit)], int(unit)
            m.d.comb += [
                activity.active.eq(dispatch.active[number]),
                activity.moves.eq(moves.get(unit, 1)),
                activity.stalled.eq(dispatch.stalled[number]),
                activity.empty.eq(dispatch.empty[number]),
                activity.missing.eq(dispatch.missing[number]),
            ]
        self._count_bytes(m, counters)
        if self._traces:
            trace = self.trace
            m.d.comb += trace.running.eq(counts)
            for unit in Unit:
                name, number = unit.name.lower(), int(unit)
                taken = decoder.decoded.valid & decoder.decoded.ready
                m.d.comb += [
                    trace.dispatched[number].eq(taken & (decoder.decoded.payload.unit == unit)),
                    trace.started[number].eq(getattr(dispatch, name).start),
                    trace.ended[number].eq(getattr(dispatch, name).done),
                ]

    def _count_bytes(self, m: Module, counters: Any) -> None:
        """Count the bytes of whole bursts: of reads when they are asked for, of writes when they are sent."""
        strobes, burst = self.store.wstrb, self.burst_bytes
        written = sum(strobes.word_select(part, burst).any() for part in range(len(strobes) // burst))
        for name, moved, size in (
            ("fetched_bytes", self.fetch.rvalid & self.fetch.rready, burst),
            ("read_bytes", self.load.arvalid & self.load.arready, 1 << self.load.arsize),
            ("written_bytes", self.store.wvalid & self.store.wready, written * burst),
        ):
            m.d.comb += getattr(counters, name).eq(Mux(moved, size, 0))
