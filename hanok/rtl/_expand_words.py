"""The words of a packed stream: beats come in, up to `lanes` words a cycle go out, from any byte on."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import first_bytes, rotate_bytes

WORD_BITS = 16
WORD_BYTES = 2


class WordRing(wiring.Component):
    """A ring of `ring_bytes` bytes, of which beats fill the next ones.

    A beat of cycle t can be taken from cycle t + 2 on. `words` are the next `lanes` words, `held` how many
    there are; `taken` of them go in this cycle.
    """

    def __init__(self, width: int, lanes: int, ring_bytes: int) -> None:
        self._width, self._lanes, self._ring_bytes = width, lanes, ring_bytes
        super().__init__(
            {
                "clear": In(1),
                "en": In(1),
                "content": In(8 * width),
                "bytes": In(width.bit_length()),
                "taken": In(range(lanes + 1)),
                "words": Out(WORD_BITS * lanes),
                "held": Out(range(ring_bytes // WORD_BYTES + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count, size = self._ring_bytes, Signal(range(self._ring_bytes + 1))
        first = Signal(range(count // WORD_BYTES))
        added = Signal(range(self._width + 1))
        m.d.comb += [added.eq(Mux(self.en, self.bytes, 0)), self.held.eq(size >> 1)]
        coming = Signal.like(added)
        m.d.sync += [
            coming.eq(added),
            size.eq(size + coming - (self.taken << 1)),
            first.eq(first + self.taken),
        ]
        with m.If(self.clear):
            m.d.sync += [coming.eq(0), size.eq(0), first.eq(0)]
        ring = self._fill(m, added)
        m.d.comb += self.words.eq(Cat(self._turned(m, ring, first)))
        return m

    def _fill(self, m: Module, added: Value) -> list[Signal]:
        """Turn a beat to the place where it goes, then write it; return the bytes of the ring."""
        width, count = self._width, self._ring_bytes
        row_bytes = 1 << (width - 1).bit_length()
        row_bits = row_bytes.bit_length() - 1
        behind = Signal(range(count))  # the last byte
        place = behind[:row_bits]
        rows = count // row_bytes
        content = Signal(8 * row_bytes, reset_less=True)
        mask, at = Signal(2 * row_bytes), Signal(rows)
        turn = Signal(row_bits)
        m.d.comb += turn.eq(-place)
        there = Cat(first_bytes(added, width))
        spread = there << place
        m.d.sync += [
            behind.eq(behind + added),
            content.eq(rotate_bytes(m, Cat(self.content, Signal(8 * (row_bytes - width))), turn)),
            mask.eq(spread),
            at.eq(1 << behind[row_bits:]),
        ]
        with m.If(self.clear):
            m.d.sync += [behind.eq(0), mask.eq(0)]
        ring = [Signal(8, name=f"byte_{number}", reset_less=True) for number in range(count)]
        for number, byte in enumerate(ring):
            row, lane = divmod(number, row_bytes)
            before = (row - 1) % rows
            with m.If((at[row] & mask[lane]) | (at[before] & mask[row_bytes + lane])):
                m.d.sync += byte.eq(content.word_select(lane, 8))
        return ring

    def _turned(self, m: Module, ring: list[Signal], first: Signal) -> list[Value]:
        """Return the words from `first` on, found in halves."""
        words: list[Value] = [
            Cat(ring[number : number + WORD_BYTES]) for number in range(0, len(ring), WORD_BYTES)
        ]
        count = len(words)
        for bit in reversed(range(len(first))):
            kept = []
            for number in range(min(count, self._lanes + (1 << bit) - 1)):
                word = Signal(WORD_BITS, name=f"turned_{bit}_{number}")
                m.d.comb += word.eq(Mux(first[bit], words[(number + (1 << bit)) % len(words)], words[number]))
                kept.append(word)
            words = list(kept)
        return words[: self._lanes]
