"""The bursts that a load has got, and the way of their bytes to the scratchpad."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import LOAD_ANSWER_STAGES
from hanok.rtl._dma_shape import DmaShape, first_bytes, rotate_bytes
from hanok.rtl.scratchpad import write_signature

BEAT_STAGES = LOAD_ANSWER_STAGES - 1
"""Cycles from the decision that a beat goes to its write."""


def beat_layout(shape: DmaShape) -> data.StructLayout:
    """Return what is decided in a cycle: whether a beat goes, where from and to, and what ends with it."""
    return data.StructLayout(
        {
            "goes": 1,
            "slot": shape.ring_bits,
            "offset": shape.offset_bits,
            "bytes": shape.width.bit_length(),
            "address": shape.scratchpad_bits,
            "leaving": 2,  # slots that are free once the beat is written
            "ends": 1,  # the instruction ends with this beat
        }
    )


class LoadBuffer(wiring.Component):
    """Slots for bursts, even ones in one memory and odd ones in another, since a beat may lie in two.

    A beat goes through `BEAT_STAGES` registers: `beat` itself, bytes of both slots, bytes in their lanes.
    `leaving` and `ends` come out in the cycle of the write.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "arrives": In(1),
                "arriving_slot": In(shape.ring_bits),
                "arriving": In(8 * shape.burst_bytes),
                "beat": In(beat_layout(shape)),
                "sram": Out(write_signature(shape.scratchpad_bits, shape.width)),
                "leaving": Out(2),
                "ends": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        command = self.beat
        here, written = Signal(command.shape()), Signal(command.shape())
        m.d.sync += [here.eq(command), written.eq(here)]
        even, odd = (self._bank(m, parity, command.slot) for parity in range(2))
        first, second = Signal(8 * shape.burst_bytes), Signal(8 * shape.lanes)
        m.d.comb += [first.eq(Mux(here.slot[0], odd, even)), second.eq(Mux(here.slot[0], even, odd))]
        content = Signal(8 * shape.width, reset_less=True)
        m.d.sync += content.eq(self._align(m, first, second, here.offset))
        m.d.comb += [
            self.sram.en.eq(written.goes),
            self.sram.address.eq(written.address),
            self.sram.data.eq(content),
            self.sram.mask.eq(first_bytes(written.bytes, shape.width)),
            self.leaving.eq(written.leaving),
            self.ends.eq(written.ends),
        ]
        return m

    def _bank(self, m: Module, parity: int, slot: Value) -> Value:
        """Return the row of the slots of a parity that `slot` or the slot behind it is, a cycle later."""
        shape = self._shape
        bank = memory.Memory(shape=8 * shape.burst_bytes, depth=1 << shape.ring_bits - 1, init=[])
        m.submodules[f"bank_{parity}"] = bank
        write, read = bank.write_port(), bank.read_port()
        row = slot[1:] if parity else (slot + 1)[1 : shape.ring_bits]
        m.d.comb += [
            write.en.eq(self.arrives & (self.arriving_slot[0] == parity)),
            write.addr.eq(self.arriving_slot[1:]),
            write.data.eq(self.arriving),
            read.addr.eq(row),
        ]
        return read.data

    def _align(self, m: Module, first: Value, second: Value, offset: Value) -> Value:
        """Return the bytes from `offset` of `first` on, and on into `second`.

        They lie in two neighbouring words of `lanes` bytes: each lane takes its byte from one of the two, and
        the lanes are turned.
        """
        shape = self._shape
        lane_bits = shape.lanes.bit_length() - 1
        words = [
            first.word_select(index, 8 * shape.lanes) for index in range(shape.burst_bytes // shape.lanes)
        ]
        turn, word = offset[:lane_bits], offset[lane_bits:]
        chosen, behind = Signal(8 * shape.lanes), Signal(8 * shape.lanes)
        m.d.comb += [chosen.eq(Array(words)[word]), behind.eq(Array([*words[1:], second])[word])]
        lanes = [
            Mux(turn > lane, behind.word_select(lane, 8), chosen.word_select(lane, 8))
            for lane in range(shape.lanes)
        ]
        return rotate_bytes(m, Cat(*lanes), turn)[: 8 * shape.width]
