"""The store engine: STORE copies runs from SRAM to DRAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import DMA
from hanok.machine import Dma
from hanok.rtl._dma_beats import BeatWalker
from hanok.rtl._dma_gather import StoreBuffer
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.axi import OKAY, axi_write
from hanok.rtl.marks import COUNTER_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import read_signature


class StoreEngine(RefusingComponent):
    """STORE as docs/timing.md has it, with an AXI4 write master.

    From a start to the first read of SRAM it takes `STORE_START_CYCLES`, from a request to its address and
    data on an idle bus `STORE_REQUEST_STAGES` (`hanok.isa.timing`); a write is accepted when its response is
    on the bus.

    The end of a run that lies in another line than the first bytes of its beat is a step of its own, so that
    a step completes at most one line. `address_fault` is 1 in the cycle after one in which a line outside
    of the bus's `address_bits` is on it, without strobes; `bus_fault` after a response with an error.
    `moves`: a line is requested or a beat is read in this cycle. Raises ChipError as LoadEngine.
    """

    def __init__(
        self, dma: Dma, burst_bytes: int, address_bits: int, scratchpad_bytes: int, words: Words = ()
    ) -> None:
        self._words = words
        self._shape = shape = DmaShape.of(dma, burst_bytes, address_bits, scratchpad_bytes)
        super().__init__(
            {
                "record": In(record_layout(DMA)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "bus": Out(axi_write(address_bits, shape.line_bytes)),
                "sram": Out(read_signature(shape.scratchpad_bits, shape.width)),
                "address_fault": Out(1),
                "bus_fault": Out(1),
                "moves": Out(1),
            }
            | marked_member(words, COUNTER_MARK_BITS)
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, bus = self._shape, self.bus
        m.submodules.beats = beats = BeatWalker(shape)
        m.submodules.buffer = buffer = StoreBuffer(shape)
        wiring.connect(m, wiring.flipped(self.bus), buffer.bus)
        active, requested_last = Signal(), Signal()
        shape.connect_transfer(m, beats.source, self.record)
        completes, over = self._step(m, beats, buffer.piece)
        beyond = Value.cast(self.record.dram_address)[shape.dram_bits :].any()
        starts_beyond = Signal()
        m.d.comb += [
            beats.source_valid.eq(self.start),
            self.ready.eq(~active | requested_last),
            self.address_fault.eq(buffer.address_fault | starts_beyond),
            self.moves.eq(self.sram.en | buffer.piece.completes),
        ]
        m.d.sync += [
            requested_last.eq(completes & over),
            buffer.content.eq(self.sram.data),
            starts_beyond.eq(self.start & beyond),
            self.bus_fault.eq(bus.bvalid & (bus.bresp != OKAY)),
        ]
        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.Elif(requested_last):
            m.d.sync += active.eq(0)
        self._finish(m, buffer.piece, requested_last)
        index = self.record.dram_address[:INDEX_BITS]
        keep_answer(m, self, self._words, COUNTER_MARK_BITS, index, self.start)
        return m

    def _step(self, m: Module, beats: Any, piece: Any) -> tuple[Signal, Signal]:
        """Make a step if its line has a slot: read a beat, or note the end of a run.

        Return whether the step completes a line, and whether it is the instruction's last.
        """
        shape, sram, bus = self._shape, self.sram, self.bus
        beat = beats.beat
        free_slots = Signal(range(shape.slots + 1), init=shape.slots)
        valid, reads, whole, over = Signal(), Signal(), Signal(), Signal()
        slot, goes, completes = Signal(shape.ring_bits), Signal(), Signal()
        number = Signal(shape.number_bits, reset_less=True)
        offset = Signal(shape.offset_bits, reset_less=True)
        splits, tail, takes = Signal(), Signal(), Signal()
        m.d.comb += [
            splits.eq(beat.run_ends & beat.crosses),
            takes.eq(~valid | goes),
            beats.take.eq(takes & (tail | ~splits)),
            goes.eq(valid & free_slots.any()),
            completes.eq(goes & whole),
            sram.en.eq(goes & reads),
        ]
        with m.If(takes):
            m.d.sync += [
                valid.eq(beats.valid),
                tail.eq(beats.valid & splits & ~tail),
                reads.eq(~tail),
                whole.eq(Mux(beat.run_ends, beat.leaves | (splits & ~tail), beat.reaches)),
                over.eq(beat.ends & (tail | ~splits)),
                number.eq(Mux(tail, beat.last_number, beat.number)),
                offset.eq(beat.offset),
                sram.address.eq(beat.sram),
                sram.size.eq(beat.bytes),
            ]
        m.d.sync += [
            free_slots.eq(free_slots - completes + bus.bvalid),
            piece.completes.eq(completes),
            piece.bytes.eq(Mux(sram.en, sram.size, 0)),
            piece.slot.eq(slot),
            piece.number.eq(number),
            piece.offset.eq(offset),
        ]
        with m.If(completes):
            m.d.sync += slot.eq(slot + 1)
        return completes, over

    def _finish(self, m: Module, piece: Any, is_last: Value) -> None:
        """An instruction ends when its last line is accepted."""
        ring_bits = self._shape.ring_bits
        accepted_slot = Signal(ring_bits)
        last = Signal(1 << ring_bits)  # of each slot: whether an instruction ends with it
        m.d.sync += self.done.eq(self.bus.bvalid & last.bit_select(accepted_slot, 1))
        with m.If(piece.completes):
            m.d.sync += last.bit_select(piece.slot, 1).eq(is_last)
        with m.If(self.bus.bvalid):
            m.d.sync += accepted_slot.eq(accepted_slot + 1)
