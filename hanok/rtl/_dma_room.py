"""When a beat may go that has to do with the decoder: its room, and the order behind it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import expand_ring_bytes
from hanok.machine import Dma
from hanok.numerics.huffman import TABLE_BYTES


class DecoderRoom(wiring.Component):
    """Follow the beats of packed streams (`goes`, `ends`) and the words that the decoder has `taken`.

    `room` is 1 if another beat may go in the next cycle, in the table or in the words of a stream with one
    (`table_room`) or without one. `blocks`: in the next cycle no beat may go, since the decoder has still to
    write what came before; `blocked` is the same of this cycle.
    """

    def __init__(self, dma: Dma) -> None:
        self._dma = dma
        super().__init__(
            {
                "goes": In(1),
                "ends": In(1),
                "taken": In(range(dma.expand_lanes + 1)),
                "leaves": In(1),
                "blocked": Out(1),
                "blocks": Out(1),
                "room": Out(1),
                "table_room": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = self._dma.bytes_per_cycle
        whole = expand_ring_bytes(self._dma) + TABLE_BYTES
        free = Signal(range(whole + 1), init=whole)
        m.d.comb += [
            self.blocks.eq((self.blocked & ~self.leaves) | (self.goes & self.ends)),
            self.table_room.eq(Mux(self.goes, free >= 2 * width, free >= width)),
            self.room.eq(Mux(self.goes, free >= 2 * width + TABLE_BYTES, free >= width + TABLE_BYTES)),
        ]
        m.d.sync += [
            self.blocked.eq(self.blocks),
            free.eq(free + (self.taken << 1) - Mux(self.goes, width, 0)),
        ]
        with m.If(self.blocked):
            m.d.sync += free.eq(whole)
        return m
