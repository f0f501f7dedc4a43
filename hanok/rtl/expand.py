"""The decoder of packed weights: beats of a stream come in, `expand_lanes` bytes a cycle go to SRAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import expand_ring_bytes
from hanok.machine import Dma
from hanok.numerics.huffman import SYMBOLS, TABLE_BYTES
from hanok.rtl._expand_code import SYMBOL_BITS, CodeBuilder
from hanok.rtl._expand_lanes import LaneRing
from hanok.rtl._expand_words import WordRing
from hanok.rtl.scratchpad import write_signature


def stream_layout(scratchpad_bits: int) -> data.StructLayout:
    """Return the layout of what is known of a stream before its first beat."""
    return data.StructLayout(
        {
            "with_table": 1,
            "rest": 32,  # decoded bytes, less one
            "address": scratchpad_bits,
        }
    )


class Expander(wiring.Component):
    """Decode streams, one behind the other, into the scratchpad.

    `stream` says what the beats (`en`, `content`, `bytes`, `ends`) belong to; it goes on to the next one
    after `last`, which is 1 in the cycle of the last write. `leaves` comes two cycles before: from then on a
    beat may be on its way here that is another stream's. `taken` words went to streams in the cycle before.
    `bad`: the stream or its table is none; `outside`: it leaves the scratchpad, where nothing is written.
    """

    def __init__(self, dma: Dma, scratchpad_bits: int) -> None:
        self._dma, self._bits = dma, scratchpad_bits
        super().__init__(
            {
                "stream": In(stream_layout(scratchpad_bits)),
                "en": In(1),
                "content": In(8 * dma.bytes_per_cycle),
                "bytes": In(dma.bytes_per_cycle.bit_length()),
                "ends": In(1),
                "sram": Out(write_signature(scratchpad_bits, dma.expand_lanes)),
                "taken": Out(range(dma.expand_lanes + 1)),
                "leaves": Out(1),
                "last": Out(1),
                "bad": Out(1),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lanes, width = self._dma.expand_lanes, self._dma.bytes_per_cycle
        m.submodules.builder = builder = CodeBuilder(width)
        m.submodules.ring = ring = WordRing(width, lanes, expand_ring_bytes(self._dma))
        m.submodules.lanes = decoder = LaneRing(lanes, len(ring.held))
        whole, coming, left = Signal(), Signal(), Signal()
        begins = self._take(m, builder, ring)
        m.d.comb += [
            decoder.code.eq(builder.code),
            decoder.begins.eq(begins),
            decoder.rest.eq(self.stream.rest),
            decoder.words.eq(ring.words),
            decoder.held.eq(ring.held),
            decoder.enough.eq(whole | (ring.held >= lanes)),
            ring.taken.eq(decoder.taken),
            ring.clear.eq(self.last),
            self.leaves.eq(decoder.leaves),
            left.eq(decoder.runs_out & ~(whole & (decoder.taken == ring.held))),
        ]
        m.d.sync += [
            coming.eq(self.en & self.ends),
            whole.eq((whole | coming) & ~self.last),
            self.taken.eq(decoder.taken),
            self.bad.eq(decoder.bad | left | builder.wrong),
        ]
        self._write(m, decoder, builder)
        return m

    def _take(self, m: Module, builder: Any, ring: Any) -> Signal:
        """Send beats to the table and to the words; return when the first group may begin."""
        width = self._dma.bytes_per_cycle
        rows, split = -(-TABLE_BYTES // width), TABLE_BYTES % width
        row, in_words, waits = Signal(range(rows)), Signal(), Signal()
        to_table, closes, begins = Signal(), Signal(), Signal()
        m.d.comb += [
            to_table.eq(self.stream.with_table & ~in_words),
            closes.eq(self.en & to_table & (row == rows - 1)),
            builder.write.eq(self.en & to_table),
            builder.write_row.eq(row),
            builder.content.eq(self.content),
            builder.start.eq(closes),
            ring.en.eq(self.en & ~to_table),
            ring.content.eq(self.content),
            ring.bytes.eq(self.bytes),
        ]
        if split:
            with m.If(to_table):
                m.d.comb += [
                    ring.en.eq(closes),
                    ring.content.eq(self.content[8 * split :]),
                    ring.bytes.eq(self.bytes - split),
                ]
        with m.If(self.en & to_table):
            m.d.sync += row.eq(row + 1)
        with m.If(closes | (self.en & ~self.stream.with_table)):
            m.d.sync += in_words.eq(1)
        with m.If(self.last):
            m.d.sync += [in_words.eq(0), row.eq(0)]
        m.d.sync += [
            waits.eq(self.en & ~self.stream.with_table & ~in_words),
            begins.eq(waits | builder.built),
        ]
        return begins

    def _write(self, m: Module, decoder: Any, builder: Any) -> None:
        """Look symbols up, each lane in a memory of its own, and write them."""
        lanes = self._dma.expand_lanes
        address, begun = Signal(self._bits + 1), Signal()
        valid, symbols = Signal(lanes), []
        for lane in range(lanes):
            table = memory.Memory(shape=SYMBOL_BITS, depth=SYMBOLS, init=[])
            m.submodules[f"symbols_{lane}"] = table
            write, read = table.write_port(), table.read_port()
            m.d.comb += [
                write.en.eq(builder.sorted.en),
                write.addr.eq(builder.sorted.place),
                write.data.eq(builder.sorted.symbol),
                read.addr.eq(decoder.places.word_select(lane, SYMBOL_BITS)),
            ]
            symbols.append(read.data)
        m.d.sync += [valid.eq(decoder.valid), self.last.eq(decoder.last)]
        with m.If(~begun):
            m.d.sync += address.eq(self.stream.address)
        with m.Elif(valid.any()):
            m.d.sync += address.eq(address + lanes)
        m.d.sync += begun.eq(Mux(begun, ~self.last, decoder.begins))
        m.d.comb += [
            self.sram.en.eq(valid[0] & ~address[-1]),
            self.sram.address.eq(address),
            self.sram.data.eq(Cat(symbols)),
            self.sram.mask.eq(valid),
            self.outside.eq(valid[0] & address[-1]),
        ]
