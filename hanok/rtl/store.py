"""The store engine: STORE copies runs from SRAM to DRAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import DMA
from hanok.machine import Dma
from hanok.rtl._dma_gather import StoreBuffer
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.axi import OKAY, axi_write
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import read_signature


class StoreEngine(RefusingComponent):
    """STORE as docs/timing.md has it, with an AXI4 write master.

    From a request to its address and data on an idle bus it takes `STORE_REQUEST_STAGES` cycles
    (`hanok.isa.timing`); a write is accepted when its response is on the bus.

    The registers hold the last beat that was read. A cycle later they tell which bursts it completes, and
    where the next beat lies. `address_fault` is 1 while a burst outside of the bus's `address_bits` is on
    it, without strobes; `bus_fault` where the bus answers with an error. `moves`: a burst is requested or a
    beat is read in this cycle. Raises ChipError as LoadEngine.
    """

    def __init__(self, dma: Dma, burst_bytes: int, address_bits: int, scratchpad_bytes: int) -> None:
        self._shape = shape = DmaShape.of(dma, burst_bytes, address_bits, scratchpad_bytes)
        super().__init__(
            {
                "record": In(record_layout(DMA)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "bus": Out(axi_write(address_bits, burst_bytes)),
                "sram": Out(read_signature(shape.scratchpad_bits, shape.width)),
                "address_fault": Out(1),
                "bus_fault": Out(1),
                "moves": Out(1),
            }
        )
        self._slot = Signal(shape.ring_bits)
        self._offset = Signal(shape.offset_bits)  # with a reset: strobes shifted by unknown bits are unknown
        self._number = Signal(shape.number_bits, reset_less=True)
        self._left = Signal(32, reset_less=True)  # of the run, this beat and behind it
        self._run_bytes = Signal(32, reset_less=True)
        self._address = Signal(shape.scratchpad_bits, reset_less=True)
        self._active, self._taken, self._fresh = Signal(), Signal(), Signal()
        self._has_next_slot = Signal()  # the burst behind this one had a slot in the beat's cycle
        self._run_ends, self._crosses = Signal(), Signal()
        self._bytes = Signal(shape.width.bit_length())
        self._stop = Signal(range(2 * shape.burst_bytes))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, bus = self._shape, self.bus
        m.submodules.walker = walker = RunWalker({"dram": shape.dram_bits, "sram": shape.scratchpad_bits})
        m.submodules.buffer = buffer = StoreBuffer(shape)
        wiring.connect(m, wiring.flipped(self.bus), buffer.bus)
        transfer = Signal(shape.transfer)
        shape.connect_transfer(m, transfer, self.record)
        m.d.comb += [walker.runs[name].eq(transfer[name]) for name in ("dram", "sram")]
        m.d.comb += [walker.runs[f"count_{level}"].eq(transfer[f"count_{level}"]) for level in (1, 2, 3)]
        m.d.comb += [
            self._run_ends.eq(self._left <= shape.width),
            self._bytes.eq(Mux(self._run_ends, self._left, shape.width)),
            self._stop.eq(self._offset + self._bytes),
            self._crosses.eq(self._stop > shape.burst_bytes),
            walker.load.eq(self.start),
            self.bus_fault.eq(bus.bvalid & bus.bready & (bus.bresp != OKAY)),
        ]
        m.d.sync += buffer.content.eq(self.sram.data)
        beyond = Value.cast(self.record.dram_address)[shape.dram_bits :].any()
        m.d.comb += self.address_fault.eq(buffer.address_fault | (self.start & beyond))
        over, completed, tail, leaves = self._complete(m, walker, buffer)
        open_now = self._account(m, buffer, over, completed)
        self._next(m, walker, transfer, over, tail, leaves, open_now, buffer.request)
        return m

    def _complete(self, m: Module, walker: Any, buffer: Any) -> tuple[Signal, Signal, Signal, Signal]:
        """What the beat in the registers completes.

        Return whether it ends the instruction; how many bursts are complete; whether the end of its run lies
        in a burst that had no slot; and whether the next run lies in another burst.
        """
        shape = self._shape
        over, completed, tail, leaves = Signal(), Signal(2), Signal(), Signal()
        first, second = Signal(), Signal()
        following, bits = walker.following.dram, shape.offset_bits
        piece = buffer.piece
        m.d.comb += [
            tail.eq(self._run_ends & self._crosses & ~self._has_next_slot),
            leaves.eq(
                ~walker.more | (following[bits:] != (self._number + self._crosses)[: shape.number_bits])
            ),
            over.eq(self._taken & self._run_ends & ~tail & ~walker.more),
            first.eq(
                self._fresh & Mux(self._run_ends, self._crosses | leaves, self._stop >= shape.burst_bytes)
            ),
            second.eq(self._fresh & self._run_ends & self._crosses & ~tail & leaves),
            completed.eq(first + second),
        ]
        m.d.sync += [
            piece.goes.eq(self._fresh),
            piece.slot.eq(self._slot),
            piece.number.eq(self._number),
            piece.offset.eq(self._offset),
            piece.bytes.eq(self._bytes),
            piece.completes[0].eq(Mux(self._slot[0], second, first)),
            piece.completes[1].eq(Mux(self._slot[0], first, second)),
        ]
        return over, completed, tail, leaves

    def _account(self, m: Module, buffer: Any, over: Value, completed: Value) -> Value:
        """Count bursts: request one a cycle, and return how many are complete but not accepted."""
        shape, bus = self._shape, self.bus
        most = shape.outstanding
        open_slots, open_now = Signal(range(most + 1)), Signal(range(most + 1))
        backlog, backlog_now = Signal(range(most + 1)), Signal(range(most + 1))
        accepted, ends = Signal(), Signal()
        gathered_slot, accepted_slot = Signal(shape.ring_bits), Signal(shape.ring_bits)
        last = Signal(1 << shape.ring_bits)  # of each slot: whether an instruction ends with it
        m.d.comb += [
            accepted.eq(bus.bvalid & bus.bready),
            open_now.eq(open_slots + completed),
            backlog_now.eq(backlog + completed),
            buffer.request.eq(backlog_now != 0),
            self.ready.eq(~self._active | (over & (backlog_now <= 1))),
        ]
        m.d.sync += [
            open_slots.eq(open_now - accepted),
            backlog.eq(backlog_now - buffer.request),
            gathered_slot.eq(gathered_slot + completed),
            self.done.eq(accepted & last.bit_select(accepted_slot, 1)),
        ]
        with m.If(accepted):
            m.d.sync += [accepted_slot.eq(accepted_slot + 1), last.bit_select(accepted_slot, 1).eq(0)]
        m.d.comb += ends.eq(over & self._fresh)
        with m.If(ends):
            slot = (gathered_slot + completed - 1)[: shape.ring_bits]
            m.d.sync += last.bit_select(slot, 1).eq(1)
        return open_now

    def _next(
        self,
        m: Module,
        walker: Any,
        transfer: Any,
        over: Value,
        tail: Value,
        leaves: Value,
        open_now: Value,
        requests: Value,
    ) -> None:
        """Read the next beat if its burst has a slot; a run's end that waited for one takes a cycle."""
        shape, sram = self._shape, self.sram
        goes, has_slot, moves, reads = Signal(), Signal(), Signal(), Signal()
        address, left = Signal.like(self._address), Signal.like(self._left)
        m.d.comb += [
            has_slot.eq(open_now < shape.outstanding),
            goes.eq((self.start | (self._active & ~over)) & has_slot),
            moves.eq(goes & self._taken & ~self.start),
            reads.eq(~self._taken | ~tail | self.start),
            self.moves.eq(sram.en | requests),
            sram.en.eq(goes & reads),
            sram.address.eq(address),
            sram.size.eq(Mux(left < shape.width, left, shape.width)),
        ]
        self._place(m, walker, transfer, tail, leaves, moves, address, left)
        m.d.sync += self._fresh.eq(goes)
        with m.If(self.start | moves):
            m.d.sync += [self._address.eq(address), self._left.eq(left)]
        with m.If(self.start):
            m.d.sync += [self._active.eq(1), self._taken.eq(goes)]
        with m.Elif(self.ready):
            m.d.sync += self._active.eq(0)
        with m.Elif(goes):
            m.d.sync += self._taken.eq(1)
        with m.If(self.ready & self._active):
            m.d.sync += self._slot.eq(self._slot + self._crosses + 1)
        with m.If(goes):
            m.d.sync += self._has_next_slot.eq(open_now + 1 < shape.outstanding)

    def _place(
        self,
        m: Module,
        walker: Any,
        transfer: Any,
        tail: Value,
        leaves: Value,
        moves: Value,
        address: Signal,
        left: Signal,
    ) -> None:
        """Where the next beat lies: in a new instruction, the next burst, the next run, or farther on."""
        bits, width = self._shape.offset_bits, self._shape.width
        slot, number, offset = self._slot, self._number, self._offset
        with m.If(self.start):
            m.d.comb += [address.eq(transfer.sram.address), left.eq(transfer.run_bytes)]
            m.d.sync += [
                number.eq(transfer.dram.address[bits:]),
                offset.eq(transfer.dram.address[:bits]),
                self._run_bytes.eq(transfer.run_bytes),
            ]
        with m.Elif(~self._taken):
            m.d.comb += [address.eq(self._address), left.eq(self._left)]
        with m.Elif(tail), m.If(moves):
            m.d.sync += [slot.eq(slot + 1), number.eq(number + 1), offset.eq(0)]
        with m.Elif(self._run_ends):
            m.d.comb += [
                address.eq(walker.following.sram),
                left.eq(self._run_bytes),
                walker.step.eq(moves),
            ]
            with m.If(moves):
                m.d.sync += [
                    slot.eq(slot + self._crosses + leaves),
                    number.eq(walker.following.dram[bits:]),
                    offset.eq(walker.following.dram[:bits]),
                ]
        with m.Else():
            crossed = self._stop >= self._shape.burst_bytes
            m.d.comb += [address.eq(self._address + width), left.eq(self._left - width)]
            with m.If(moves):
                m.d.sync += [
                    slot.eq(slot + crossed),
                    number.eq(number + crossed),
                    offset.eq(self._stop[:bits]),
                ]
