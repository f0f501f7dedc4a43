"""The load engine: LOAD copies runs from DRAM to SRAM, FILL writes a byte to runs of SRAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hanok.isa.table import DMA, Opcode
from hanok.machine import Dma
from hanok.rtl._dma_buffer import LoadBuffer
from hanok.rtl._dma_fill import Filler
from hanok.rtl._dma_mover import LoadMover
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.axi import OKAY, axi_read, set_one_transfer
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import write_signature


class LoadEngine(RefusingComponent):
    """LOAD and FILL as docs/timing.md has them, with an AXI4 read master.

    From a request to its address on an idle bus it takes `LOAD_REQUEST_STAGES` cycles, from a burst on the
    bus to the first write of its bytes `LOAD_ANSWER_STAGES` (`hanok.isa.timing`).

    `moves`: in this cycle the request side makes a step or a beat is written. `address_bits` are those of the
    bus. `address_fault` is 1 in the cycle of a request outside of them,
    `bus_fault` where the bus answers with an error; both engines go on. Raises ChipError for chips that it
    cannot serve: a beat of more than a burst, bursts of more than 128 bytes, EXPAND.
    """

    def __init__(self, dma: Dma, burst_bytes: int, address_bits: int, scratchpad_bytes: int) -> None:
        self._shape = shape = DmaShape.of(dma, burst_bytes, address_bits, scratchpad_bytes)
        super().__init__(
            {
                "record": In(record_layout(DMA)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "bus": Out(axi_read(address_bits, burst_bytes, shape.ring_bits)),
                "sram": Out(write_signature(shape.scratchpad_bits, shape.width)),
                "address_fault": Out(1),
                "bus_fault": Out(1),
                "moves": Out(1),
            }
        )
        self._active = Signal()  # some bursts are still to be requested
        self._first_waits = Signal()  # and the first is one of them
        self._number = Signal(shape.number_bits, reset_less=True)  # burst that was requested last
        self._run_last = Signal(shape.number_bits, reset_less=True)  # last burst of the run in hand
        self._run_bytes = Signal(32, reset_less=True)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, bus = self._shape, self.bus
        m.submodules.walker = walker = RunWalker({"dram": shape.dram_bits})
        m.submodules.mover = mover = LoadMover(shape)
        m.submodules.buffer = buffer = LoadBuffer(shape)
        m.submodules.filler = filler = Filler(shape)
        open_slots = Signal(range(shape.outstanding + 1))
        fills, loads = Signal(), Signal()
        request = Signal()
        arrives = bus.rvalid & bus.rready
        m.d.comb += [
            fills.eq(self.start & (self.record.opcode == Opcode.FILL)),
            loads.eq(self.start & ~fills),
            self.ready.eq(~self._active & ~filler.holds),
            bus.rready.eq(1),
            self.bus_fault.eq(arrives & (bus.rresp != OKAY)),
            mover.put.eq(loads),
            [part.eq(arrives) for part in (mover.arrives, buffer.arrives)],
            [part.eq(bus.rid) for part in (mover.arriving_slot, buffer.arriving_slot)],
            buffer.arriving.eq(bus.rdata),
            buffer.beat.eq(mover.beat),
        ]
        m.d.sync += open_slots.eq(open_slots + request - buffer.leaving)
        shape.connect_transfer(m, mover.transfer, self.record)
        self._load_walker(m, walker, fills)
        room = open_slots < shape.outstanding
        number, finishes = self._request(m, walker, filler, loads, room, request)
        self._send(m, request, number)
        self._fill(m, walker, filler, fills, open_slots == 0)
        self._write(m, buffer.sram, filler.sram)
        ended = Signal()
        m.d.sync += ended.eq(buffer.ends)
        m.d.comb += self.done.eq(ended | filler.done)
        with m.If(loads):
            m.d.sync += [self._active.eq(~finishes), self._first_waits.eq(~room)]
        with m.Elif(finishes):
            m.d.sync += self._active.eq(0)
        return m

    def _load_walker(self, m: Module, walker: Any, fills: Value) -> None:
        """The request side walks over DRAM, or over SRAM for a FILL, which has no requests."""
        record, runs = self.record, walker.runs
        m.d.comb += [
            walker.load.eq(self.start),
            runs.dram.address.eq(Mux(fills, record.sram_address, record.dram_address)),
        ]
        for level in (1, 2, 3):
            dram, sram = record[f"dram_stride_{level}"], record[f"sram_stride_{level}"]
            m.d.comb += [
                runs[f"count_{level}"].eq(record[f"count_{level}"]),
                runs.dram[f"stride_{level}"].eq(Mux(fills, sram, dram)),
            ]

    def _request(
        self, m: Module, walker: Any, filler: Any, loads: Value, room: Value, request: Signal
    ) -> tuple[Signal, Signal]:
        """Decide the request of this cycle; return its burst's number, and whether it is the last one."""
        shape, record = self._shape, self.record
        number, finishes, needs = Signal(shape.number_bits), Signal(), Signal()
        goes, in_run = Signal(), Signal()
        run_bytes = Mux(loads, record.run_bytes, self._run_bytes)
        first = Mux(loads, record.dram_address[: shape.dram_bits], walker.following.dram)
        last_number = (first + run_bytes - 1)[shape.offset_bits : shape.dram_bits]
        following_last, following_number = Signal(shape.number_bits), Signal(shape.number_bits)
        after = Signal(shape.number_bits)
        single = Signal()
        m.d.comb += [
            following_last.eq(last_number),
            following_number.eq(first[shape.offset_bits :]),
            after.eq(self._number + 1),
            in_run.eq(self._first_waits | (self._number != self._run_last)),
            single.eq((record.count_1 == 1) & (record.count_2 == 1) & (record.count_3 == 1)),
            goes.eq(self._active & (room | ~needs)),
            request.eq((loads & room) | (goes & needs)),
            walker.step.eq((goes & ~in_run) | filler.step),
            self.moves.eq(request | goes | self.sram.en),
        ]
        changes = following_number != self._number
        with m.If(loads):
            m.d.comb += [
                number.eq(following_number),
                finishes.eq(room & single & (following_last == following_number)),
            ]
            m.d.sync += [self._run_bytes.eq(record.run_bytes), self._run_last.eq(following_last)]
        with m.Elif(in_run):
            m.d.comb += [
                needs.eq(1),
                number.eq(Mux(self._first_waits, self._number, after)),
                finishes.eq(goes & (number == self._run_last) & ~walker.more),
            ]
        with m.Else():
            m.d.comb += [
                needs.eq(changes | (following_last != self._number)),
                number.eq(Mux(changes, following_number, Mux(needs, after, self._number))),
                finishes.eq(goes & (number == following_last) & walker.last),
            ]
            with m.If(goes):
                m.d.sync += self._run_last.eq(following_last)
        with m.If(loads | goes):
            m.d.sync += [self._number.eq(number), self._first_waits.eq(0)]
        return number, finishes

    def _send(self, m: Module, request: Value, number: Value) -> None:
        """Queue requests for the bus, so that they keep their cycle when the bus is busy."""
        shape, bus = self._shape, self.bus
        shown = shape.address_bits - shape.offset_bits
        m.submodules.requests = requests = SyncFIFOBuffered(width=shown, depth=shape.outstanding + 2)
        slot = Signal(shape.ring_bits)
        beyond = Value.cast(number)[shown:].any()
        in_record = self.record.dram_address[shape.dram_bits :].any()
        m.d.comb += [
            requests.w_en.eq(request),
            requests.w_data.eq(number),
            bus.arvalid.eq(requests.r_rdy),
            requests.r_en.eq(bus.arready),
            bus.araddr.eq(requests.r_data << shape.offset_bits),
            bus.arid.eq(slot),
            self.address_fault.eq((request & beyond) | (self.start & in_record & ~self._is_fill())),
        ]
        set_one_transfer(m, bus, "ar", shape.burst_bytes)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += slot.eq(slot + 1)

    def _is_fill(self) -> Value:
        return Value.cast(self.record.opcode == Opcode.FILL)

    def _fill(self, m: Module, walker: Any, filler: Any, fills: Value, may: Value) -> None:
        """A FILL begins when the last byte of every load before it is written."""
        m.d.comb += [
            filler.start.eq(fills),
            filler.may.eq(may),
            filler.address.eq(self.record.sram_address),
            filler.run_bytes.eq(self.record.run_bytes),
            filler.value.eq(self.record.value),
            filler.following.eq(walker.following.dram),
            filler.more_runs.eq(walker.more),
        ]

    def _write(self, m: Module, loaded: Any, filled: Any) -> None:
        """Loads and a FILL never write in the same cycle."""
        m.d.comb += self.sram.en.eq(loaded.en | filled.en)
        for name in ("address", "data", "mask"):
            m.d.comb += getattr(self.sram, name).eq(
                Mux(filled.en, getattr(filled, name), getattr(loaded, name))
            )
