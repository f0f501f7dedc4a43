"""Weights of four bits on their way to SRAM: the beats of a stream become int8, other writes pass by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import UNPACK_STAGES
from hanok.machine import Dma
from hanok.numerics.nibbles import ENTRY_BYTES, SCALE_BITS, SCALE_BITS_BEHIND, SCALE_UNIT, ZERO_BITS
from hanok.rtl._memory_shift import delayed
from hanok.rtl.scratchpad import load_port_bytes, write_signature

NIBBLE_BITS = 4
BYTE_BITS = 8
PRODUCT_BITS = ZERO_BITS + 1 + SCALE_BITS
"""Of a nibble less its zero, times a scale: rounding half a step up does not leave them."""
GROUP_BITS = 8


def stream_layout(scratchpad_bits: int) -> data.StructLayout:
    """Return the layout of what is known of a stream before its first beat."""
    return data.StructLayout(
        {
            "rest": 32,  # unpacked bytes, less one
            "address": scratchpad_bits,
            "group_rows": GROUP_BITS,
        }
    )


@dataclass(frozen=True)
class StreamShape:
    """How the weights of a beat lie in rows of an array's columns: they are rows, or a part of one."""

    columns: int
    beat_bytes: int

    @property
    def weights(self) -> int:
        """Weights of a beat."""
        return 2 * self.beat_bytes

    @property
    def entries(self) -> int:
        """Different entries that a beat's weights have: weight i has entry i modulo them."""
        return min(self.columns, self.weights)

    @property
    def parts(self) -> int:
        """Beats that bring these entries: a power of two, at most four."""
        return self.entries * ENTRY_BYTES // self.beat_bytes

    @property
    def places(self) -> int:
        """Beats of weights in a row of the array; one if they are rows."""
        return max(1, self.columns // self.weights)

    @property
    def row_bits(self) -> int:
        """log2 of the rows of a beat."""
        return max(0, (self.weights // self.columns).bit_length() - 1)


class Unpacker(wiring.Component):
    """Unpack streams, one behind the other, and let other writes `passed` go by, each to `sram`.

    `stream` says what the beats (`en`, `content`, `ends`) belong to; it goes on to the next one behind the
    beat that `ends`. Whatever comes in a cycle, a beat or a write, is written `UNPACK_STAGES` later; only a
    beat of entries is not. `bad`, a cycle before that write: the stream ends elsewhere than a group or its
    unpacked bytes do, behind which nothing is written. Then a reset has to come.
    """

    def __init__(self, dma: Dma, columns: int, scratchpad_bits: int) -> None:
        self._shape = StreamShape(columns, dma.bytes_per_cycle)
        self._passed_bytes = max(dma.bytes_per_cycle, dma.expand_lanes)
        super().__init__(
            {
                "stream": In(stream_layout(scratchpad_bits)),
                "en": In(1),
                "content": In(BYTE_BITS * dma.bytes_per_cycle),
                "ends": In(1),
                "passed": In(write_signature(scratchpad_bits, self._passed_bytes)),
                "sram": Out(write_signature(scratchpad_bits, load_port_bytes(dma))),
                "bad": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        part, place = Signal(range(shape.parts)), Signal(range(shape.places))
        weighs, group_ends = Signal(), Signal()
        self._follow(m, part, place, weighs, group_ends)
        address, fits = self._spend(m, weighs, group_ends)
        written = self._weights(m, self._entries(m, part, place, weighs))
        self._write(m, self.en & weighs & fits, address, written)
        return m

    def _follow(self, m: Module, part: Signal, place: Signal, weighs: Signal, group_ends: Signal) -> None:
        """Count the beats of a group: parts of entries and places of these in a row, then rows of weights."""
        shape, rows_behind = self._shape, Signal(GROUP_BITS, reset_less=True)
        last_part, last_place = Signal(), Signal()
        m.d.comb += [
            last_part.eq(part == shape.parts - 1),
            last_place.eq(place == shape.places - 1),
            group_ends.eq(weighs & last_place & (rows_behind == 0)),
        ]
        with m.If(self.en & ~weighs):
            m.d.sync += part.eq(part + 1)
        with m.If(self.en & (weighs | last_part)):
            m.d.sync += [
                place.eq(Mux(last_place, 0, place + 1)),
                weighs.eq(Mux(weighs, ~group_ends, last_place)),
            ]
            with m.If(last_place):
                turns = self.stream.group_rows[shape.row_bits :]
                m.d.sync += rows_behind.eq(Mux(weighs, rows_behind, turns) - 1)

    def _spend(self, m: Module, weighs: Signal, group_ends: Signal) -> tuple[Signal, Signal]:
        """Count the unpacked bytes; return where a beat's weights go, and whether they are among them."""
        weights = self._shape.weights
        low = weights.bit_length() - 1
        behind = Signal(len(self.stream.rest) - low + 1, reset_less=True)  # beats; their sign is the last bit
        address = Signal(self.stream.address.shape(), reset_less=True)
        begun, whole, fits, final = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            whole.eq(self.stream.rest[:low].all()),
            final.eq(~behind.any()),
            fits.eq(~behind[-1] & (whole | ~final)),
        ]
        with m.If(~begun):
            m.d.sync += [behind.eq(self.stream.rest[low:]), address.eq(self.stream.address)]
        with m.Elif(self.en & weighs):
            m.d.sync += [behind.eq(behind - 1), address.eq(address + weights)]
        with m.If(self.en):
            m.d.sync += begun.eq(~self.ends)
        ends_well = group_ends & final & whole
        wrong = self.en & Mux(self.ends, ~ends_well, weighs & ~fits)
        m.d.comb += self.bad.eq(delayed(m, wrong, UNPACK_STAGES - 1, "wrong"))
        return address, fits

    def _entries(self, m: Module, part: Value, place: Value, weighs: Value) -> list[Value]:
        """Keep entries, each part of them in a memory; return those of the places in hand."""
        shape, found = self._shape, []
        for number in range(shape.parts):
            kept = memory.Memory(shape=len(self.content), depth=shape.places, init=[])
            m.submodules[f"entries_{number}"] = kept
            write, read = kept.write_port(), kept.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.en & ~weighs & (part == number)),
                write.addr.eq(place),
                write.data.eq(self.content),
                read.addr.eq(place),
            ]
            found.append(read.data)
        entry_bits = BYTE_BITS * ENTRY_BYTES
        return [Cat(found).word_select(number, entry_bits) for number in range(shape.entries)]

    def _weights(self, m: Module, entries: list[Value]) -> Iterator[Value]:
        """The weights of the beat of `UNPACK_STAGES` cycles ago."""
        assert UNPACK_STAGES == 2, "nibbles apart from their zeros, then the products"
        for number in range(self._shape.weights):
            entry = entries[number % len(entries)]
            apart = Signal(signed(NIBBLE_BITS + 1), name=f"apart_{number}", reset_less=True)
            scale = Signal(SCALE_BITS, name=f"scale_{number}", reset_less=True)
            scaled = Signal(
                signed(PRODUCT_BITS - SCALE_BITS_BEHIND), name=f"scaled_{number}", reset_less=True
            )
            m.d.sync += [
                apart.eq(self.content.word_select(number, NIBBLE_BITS) - entry[:ZERO_BITS]),
                scale.eq(entry[ZERO_BITS:]),
                scaled.eq((apart * scale + SCALE_UNIT // 2) >> SCALE_BITS_BEHIND),
            ]
            yield clamped(scaled)

    def _write(self, m: Module, unpacks: Value, address: Value, weights: Iterator[Value]) -> None:
        """Bring both kinds of writes to the port; control goes to the stages with the beat or write."""
        sram, passed = self.sram, self.passed
        every = (1 << self._shape.weights) - 1
        control: Value = Cat(
            unpacks,
            passed.en | unpacks,
            Mux(unpacks, address, passed.address),
            Mux(unpacks, every, passed.mask),
        )
        content: Value = passed.data
        for stage in range(UNPACK_STAGES):
            later = Signal(len(control), name=f"control_{stage}")
            beside = Signal(len(content), name=f"passed_{stage}", reset_less=True)
            m.d.sync += [later.eq(control), beside.eq(content)]
            control, content = later, beside
        unpacked = Signal()
        m.d.comb += [
            Cat(unpacked, sram.en, sram.address, sram.mask).eq(control),
            sram.data.eq(Mux(unpacked, Cat(*weights), content)),
        ]


def clamped(value: Value) -> Value:
    """Return a signed value as the nearest int8."""
    low, high = value[: BYTE_BITS - 1], value[BYTE_BITS - 1 :]
    leaves = high.any() & ~high.all()
    return Cat(Mux(leaves, (~value[-1]).replicate(BYTE_BITS - 1), low), value[-1])
