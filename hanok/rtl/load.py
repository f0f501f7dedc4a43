"""The load engine: LOAD copies runs to SRAM, FILL writes a byte to them, EXPAND and UNPACK bring weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hanok.isa.table import DMA
from hanok.isa.timing import unpack_stages
from hanok.machine import Dma
from hanok.rtl._dma_buffer import LoadBuffer
from hanok.rtl._dma_mover import LoadMover
from hanok.rtl._dma_requests import LoadRequests
from hanok.rtl._dma_room import DecoderRoom
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_writer import LoadWriter
from hanok.rtl._memory_shift import delayed
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.axi import OKAY, axi_read, set_one_transfer
from hanok.rtl.marks import COUNTER_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import load_port_bytes, write_signature


class LoadEngine(RefusingComponent):
    """LOAD, FILL, EXPAND and UNPACK as the chip and docs/timing.md have them, with an AXI4 read master.

    From a start to the first request it takes `LOAD_START_CYCLES`, to the first write of a FILL
    `FILL_START_CYCLES`, from a request to its address on an idle bus `LOAD_REQUEST_STAGES`, from a line on
    the bus to the first write of its bytes `LOAD_ANSWER_STAGES` (`hanok.isa.timing`). With `int4`, all that
    the SRAM side does, and so `done`, comes `UNPACK_STAGES` later. `columns` are those of the array.

    `moves`: in this cycle the request side makes a step or a beat is written. `address_bits` are those of the
    bus. `address_fault` is 1 in the cycle after a request outside of them, `bus_fault` after an answer with
    an error; both engines go on. `stream_fault`: packed weights are no stream; `byte_fault`: they leave the
    scratchpad. Raises ChipError for chips that it cannot serve: beats or bursts of more than
    128 bytes.
    """

    def __init__(
        self,
        dma: Dma,
        burst_bytes: int,
        address_bits: int,
        scratchpad_bytes: int,
        columns: int,
        words: Words = (),
    ) -> None:
        shape = DmaShape.of(dma, burst_bytes, address_bits, scratchpad_bytes)
        self._words, self._dma, self._columns = words, dma, columns
        self._shape = replace(shape, expands=dma.expand_lanes > 0, unpacks=dma.int4)
        super().__init__(
            {
                "record": In(record_layout(DMA)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "bus": Out(axi_read(address_bits, shape.line_bytes, shape.ring_bits)),
                "sram": Out(write_signature(shape.scratchpad_bits, load_port_bytes(dma))),
                "address_fault": Out(1),
                "bus_fault": Out(1),
                "stream_fault": Out(1),
                "byte_fault": Out(1),
                "moves": Out(1),
            }
            | marked_member(words, COUNTER_MARK_BITS)
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, bus = self._shape, self.bus
        m.submodules.requests = requests = LoadRequests(shape)
        room = DecoderRoom(self._dma) if shape.expands else None
        m.submodules.mover = mover = LoadMover(shape, room)
        m.submodules.buffer = buffer = LoadBuffer(shape)
        active, free_slots = Signal(), Signal(range(shape.slots + 1), init=shape.slots)
        transfer, held = Signal(shape.transfer), Signal(shape.transfer, reset_less=True)
        value = Signal(8, reset_less=True)
        shape.connect_transfer(m, transfer, self.record)
        with m.If(~active):
            m.d.sync += [held.eq(transfer), value.eq(self.record.value)]
        m.d.comb += [
            requests.start.eq(self.start & ~transfer.fills),
            requests.transfer.eq(transfer),
            requests.room.eq(free_slots.any()),
            mover.transfer.eq(held),
            [part.eq(bus.rvalid) for part in (mover.arrives, buffer.arrives)],
            [part.eq(bus.rid) for part in (mover.arriving_slot, buffer.arriving_slot)],
            bus.rready.eq(1),
            buffer.arriving.eq(bus.rdata),
            buffer.beat.eq(mover.beat),
            buffer.place.eq(mover.place),
            buffer.value.eq(value),
            self.ready.eq(~active),
        ]
        if room is not None:
            m.submodules.room = room
        m.submodules.writer = writer = LoadWriter(self._dma, shape, self._columns, room)
        self._write(m, writer, buffer, mover)
        progress = writer.progress
        m.d.comb += [writer.transfer.eq(held), self.moves.eq(requests.steps | progress.moves)]
        m.d.sync += [
            mover.put.eq(self.start),
            free_slots.eq(free_slots - requests.request + progress.leaving),
            self.done.eq(progress.ends),
        ]
        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.Elif(requests.finishes | progress.fill_ends):
            m.d.sync += active.eq(0)
        self._send(m, requests, transfer.fills)
        index = self.record.dram_address[:INDEX_BITS]
        keep_answer(m, self, self._words, COUNTER_MARK_BITS, index, self.start)
        return m

    def _write(self, m: Module, writer: LoadWriter, buffer: LoadBuffer, mover: LoadMover) -> None:
        """Bring beats from their buffer to SRAM, and faults as late."""
        broken = Signal()
        m.d.sync += broken.eq(self.bus.rvalid & (self.bus.rresp != OKAY))
        wiring.connect(m, writer.sram, wiring.flipped(self.sram))
        wiring.connect(m, buffer.sram, writer.plain)
        m.d.comb += [
            writer.start.eq(self.start),
            writer.record.eq(self.record),
            writer.put.eq(mover.put),
            writer.written.eq(buffer.written),
            writer.lacks.eq(mover.lacks),
            self.bus_fault.eq(delayed(m, broken, unpack_stages(self._dma), "bus_fault")),
            self.stream_fault.eq(writer.stream_fault),
            self.byte_fault.eq(writer.byte_fault),
        ]

    def _send(self, m: Module, asked: Any, fills: Value) -> None:
        """Queue requests for the bus, so that they keep their cycle when the bus is busy.

        A transfer is the smallest aligned power of two of bursts that holds those requested: the bits of
        their places in the line that are not `shared` by all of them are those of places in the transfer.
        """
        shape, bus = self._shape, self.bus
        shown, parts = shape.address_bits - shape.offset_bits, shape.part_bits
        request = data.StructLayout({"shared": parts, "first": parts, "number": shown})
        m.submodules.queue = queue = SyncFIFOBuffered(width=request.size, depth=shape.slots + 2)
        slot, shared = Signal(shape.ring_bits), Signal(parts)
        made, sent = Signal(request), data.View(request, queue.r_data)
        differing = asked.first ^ asked.last
        in_record = self.record.dram_address[shape.dram_bits :].any() & ~fills
        m.d.comb += [
            queue.w_en.eq(asked.request),
            shared.eq(Cat(~differing[bit:].any() for bit in range(parts))),
            made.shared.eq(shared),
            made.first.eq(asked.first & shared),
            made.number.eq(asked.number),
            queue.w_data.eq(made),
            bus.arvalid.eq(queue.r_rdy),
            queue.r_en.eq(bus.arready),
            bus.araddr.eq(Cat(Const(0, shape.burst_bits), sent.first, sent.number)),
            bus.arid.eq(slot),
        ]
        m.d.sync += self.address_fault.eq(
            (asked.request & asked.number[shown:].any()) | (self.start & in_record)
        )
        set_one_transfer(m, bus, "ar", shape.line_bytes, sum(sent.shared))
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += slot.eq(slot + 1)
