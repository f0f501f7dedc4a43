"""The lines that a load has got, and the way of their bytes to the scratchpad."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import LOAD_ANSWER_STAGES
from hanok.rtl._dma_lanes import columns, place_layout
from hanok.rtl._dma_shape import DmaShape, first_bytes, rotate_bytes
from hanok.rtl.scratchpad import write_signature

BEAT_STAGES = LOAD_ANSWER_STAGES - 2
"""Cycles from the one in which a beat goes to its write."""


def beat_layout(shape: DmaShape) -> data.StructLayout:
    """Return what is known in a cycle: whether a beat goes, where from and to, and what ends with it."""
    return data.StructLayout(
        {
            "goes": 1,
            "fills": 1,
            "offset": shape.offset_bits,
            "bytes": shape.width.bit_length(),
            "address": shape.scratchpad_bits,
            "leaving": 2,  # slots that are free once the beat is written
            "ends": 1,  # the instruction ends with this beat, or its decoder begins with the rest
            **shape.stream_fields,
        }
    )


class LoadBuffer(wiring.Component):
    """Slots for lines.

    A beat goes through `BEAT_STAGES` registers: the byte of each lane, then bytes in their order. `written`
    is the beat in the cycle of its write.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "arrives": In(1),
                "arriving_slot": In(shape.ring_bits),
                "arriving": In(8 * shape.line_bytes),
                "beat": In(beat_layout(shape)),
                "place": In(place_layout(shape)),
                "value": In(8),
                "sram": Out(write_signature(shape.scratchpad_bits, shape.width)),
                "written": Out(beat_layout(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        here, written = Signal(self.beat.shape()), self.written
        m.d.sync += [here.eq(self.beat), written.eq(here)]
        found, lanes = self._lanes(m), Signal(8 * shape.lanes, reset_less=True)
        content = Signal(8 * shape.width, reset_less=True)
        m.d.sync += lanes.eq(found)
        with m.If(self.beat.fills):
            m.d.sync += lanes.eq(0)
        turn = here.offset[: shape.lanes.bit_length() - 1]
        value = self.value & Value.cast(here.fills).replicate(8)
        m.d.sync += content.eq(rotate_bytes(m, lanes, turn)[: 8 * shape.width] | value.replicate(shape.width))
        m.d.comb += [
            self.sram.en.eq(written.goes & ~shape.is_stream(written)),
            self.sram.address.eq(written.address),
            self.sram.data.eq(content),
            self.sram.mask.eq(first_bytes(written.bytes, shape.width)),
        ]
        return m

    def _lanes(self, m: Module) -> Value:
        """Return the byte of each lane in the two words in which the beat lies."""
        shape, place = self._shape, self.place
        read = Signal(8 * shape.line_bytes)
        for number, (first, size) in enumerate(columns(shape)):
            column = memory.Memory(shape=8 * size, depth=1 << shape.ring_bits, init=[])
            m.submodules[f"column_{number}"] = column
            write, port = column.write_port(), column.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.arrives),
                write.addr.eq(self.arriving_slot),
                write.data.eq(self.arriving[8 * first :]),
                port.addr.eq(place.rows[number]),
                read[8 * first : 8 * (first + size)].eq(port.data),
            ]
        words = [read.word_select(word, 8 * shape.lanes) for word in range(shape.words)]
        return Cat(
            Array(word.word_select(lane, 8) for word in words)[place.words[lane]]
            for lane in range(shape.lanes)
        )
