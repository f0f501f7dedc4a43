"""The SRAM side of the load engine: takes lines in order and decides each cycle which bytes go."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_beats import BeatWalker
from hanok.rtl._dma_buffer import beat_layout
from hanok.rtl._dma_lanes import place_layout, place_of
from hanok.rtl._dma_room import DecoderRoom
from hanok.rtl._dma_shape import DmaShape


class LoadMover(wiring.Component):
    """Decides beats of transfers in the order of their `put`; `beat` and `place` show a decision.

    A beat goes two cycles after its line arrived, and the next one too if it lies in both. A line leaves
    its slot with the last of its bytes; a rest that is less than a beat counts as gone to a beat register.
    (It stays where it is: the slot is used anew only after the next one has left.) What a beat needs is in
    registers: a beat waits in `_waiting` until the one before it has gone.

    A beat for the decoder waits for `room`; `lacks` is 1 while it would go otherwise. Behind the last beat of
    a packed stream none goes until the decoder has written it.
    """

    def __init__(self, shape: DmaShape, room: DecoderRoom | None = None) -> None:
        self._shape, self._room = shape, room
        super().__init__(
            {
                "put": In(1),
                "transfer": In(shape.transfer),
                "arrives": In(1),
                "arriving_slot": In(shape.ring_bits),
                "beat": Out(beat_layout(shape)),
                "place": Out(place_layout(shape)),
                "lacks": Out(1),
            }
        )
        ring = 1 << shape.ring_bits
        self._arrived = Signal(ring)  # turns with each arrival in a slot
        self._slot = Signal(shape.ring_bits)  # of the beat in `_waiting`
        self._at, self._turn = Signal(ring, init=1), Signal()  # the same; how often the ring was gone around

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, ring = self._shape, 1 << self._shape.ring_bits
        m.submodules.beats = beats = BeatWalker(shape)
        m.submodules.queue = queue = SyncFIFO(width=shape.transfer.size, depth=shape.slots + 2)
        waiting, waits = Signal(beats.beat.shape()), Signal()
        valid, goes, found = Signal(), Signal(), Signal()
        takes, one, two = Signal(), Signal(), Signal()
        at, turn = Signal(ring, reset_less=True), Signal(reset_less=True)
        crosses = Signal(reset_less=True)
        free = self._may_go(m, waiting, takes, goes)
        blocked = self._room.blocked if self._room else Const(0)
        m.d.comb += [
            queue.w_en.eq(self.put),
            queue.w_data.eq(self.transfer),
            beats.source.eq(queue.r_data),
            beats.source_valid.eq(queue.r_rdy),
            queue.r_en.eq(beats.loads),
            takes.eq(goes | ~valid),
            beats.take.eq(takes | ~waits),
            one.eq(Mux(waiting.run_ends, waiting.crosses ^ waiting.leaves, waiting.reaches)),
            two.eq(waiting.run_ends & waiting.crosses & waiting.leaves),
        ]
        with m.If(self.arrives):
            bit = self._arrived.bit_select(self.arriving_slot, 1)
            m.d.sync += bit.eq(~bit)
        with m.If(takes | ~waits):
            m.d.sync += [waits.eq(beats.valid), waiting.eq(beats.beat)]
        here, there = self._arrivals(at, turn)
        next_here, next_there = self._arrivals(self._at, self._turn)
        is_there = Signal()
        with m.If(takes):
            m.d.comb += is_there.eq(waits & (waiting.fills | (next_here & (next_there | ~waiting.crosses))))
            m.d.sync += [
                valid.eq(waits),
                at.eq(self._at),
                turn.eq(self._turn),
                crosses.eq(waiting.crosses),
                found.eq(next_here),
            ]
            with m.If(waits):
                self._go_on(m, one, two)
        with m.Else():
            m.d.comb += is_there.eq(self.beat.fills | (here & (there | ~crosses)))
            m.d.sync += found.eq(here)
        m.d.sync += goes.eq(is_there & free)
        if self._room:
            m.d.sync += self.lacks.eq(is_there & ~self._room.blocks & ~free)
        is_half_there = valid & found & crosses & ~goes & ~blocked
        self._show(m, waiting, beats.beat, takes, one, two, goes, is_half_there)
        return m

    def _may_go(self, m: Module, waiting: Any, takes: Value, goes: Value) -> Value:
        """Whether the decoder lets the next beat go: the one that waits, or, if none is taken, the same."""
        if self._room is None:
            return Const(1)
        room, beat, free = self._room, self.beat, Signal()
        m.d.comb += [room.goes.eq(goes & beat.expands), room.ends.eq(beat.ends)]
        one: Any = Mux(takes, waiting.expands, beat.expands)
        with_table = Mux(takes, waiting.with_table, beat.with_table)
        m.d.comb += free.eq(~room.blocks & (~one | Mux(with_table, room.table_room, room.room)))
        return free

    def _arrivals(self, at: Value, turn: Value) -> tuple[Value, Value]:
        """Whether the line of a slot is there, and that of the next."""
        here = (self._arrived & at).any() ^ turn
        there = (self._arrived & at.rotate_left(1)).any() ^ turn ^ at[-1]
        return here, there

    def _go_on(self, m: Module, one: Value, two: Value) -> None:
        """Go on by one or two slots."""
        at = self._at
        m.d.sync += self._slot.eq(self._slot + one + (two << 1))
        with m.If(one):
            m.d.sync += [at.eq(at.rotate_left(1)), self._turn.eq(self._turn ^ at[-1])]
        with m.Elif(two):
            m.d.sync += [at.eq(at.rotate_left(2)), self._turn.eq(self._turn ^ at[-1] ^ at[-2])]

    def _show(
        self,
        m: Module,
        waiting: Any,
        behind: Any,
        takes: Value,
        one: Value,
        two: Value,
        goes: Value,
        is_half_there: Value,
    ) -> None:
        """Show the beat, and count the slots that lines leave."""
        shape, beat = self._shape, self.beat
        leaving, first, ends = Signal(2), Signal(), Signal()
        absorbed, absorbs = Signal(), Signal()
        with m.If(takes):
            left_before = waiting.crosses & ~waiting.first
            m.d.sync += [
                leaving.eq(one + (two << 1) - left_before + (behind.crosses & ~waiting.run_ends)),
                first.eq(waiting.first),
                ends.eq(waiting.ends),
                absorbed.eq(0),
                beat.fills.eq(waiting.fills),
                beat.offset.eq(waiting.offset),
                beat.bytes.eq(waiting.bytes),
                *(beat[name].eq(waiting[name]) for name in shape.stream_fields),
                beat.address.eq(waiting.sram),
                self.place.eq(place_of(shape, self._slot, waiting.offset)),
            ]
        with m.Elif(absorbs):
            m.d.sync += absorbed.eq(1)
        m.d.comb += [
            absorbs.eq(is_half_there & first & ~absorbed),
            beat.goes.eq(goes),
            beat.leaving.eq(Mux(goes, leaving - absorbed, absorbs)),
            beat.ends.eq(goes & ends),
        ]
