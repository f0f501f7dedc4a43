"""A port's access to a banked memory: which banks it touches, found without a division."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import delayed, ones


class Access(Elaboratable):
    """The access of one port in one cycle.

    Given with the request: `en`, the `address` of the first part of a cell (what is behind the last number,
    `address_bits` wide, is 0 again if the access `wraps`, and does not exist otherwise), and `touched`: a bit
    for each cell of the first cell's word and of the word behind it.

    Found in the cycle of the request, or in the next one if the request is `kept` in registers: the `offset`
    of the first part in its `word`, the word of the first column (`above`), the columns that are `late`,
    since they take the word behind, the banks of both words (`now`, `following`, a bit for each bank) for
    each class of columns, the banks that are touched (`hit`), and `fault`, if a touched cell does not exist.
    """

    def __init__(
        self, geometry: Geometry, name: str, address_bits: int, kept: bool, wraps: bool = False
    ) -> None:
        self.geometry, self.name, self.kept = geometry, name, kept
        word_bits = address_bits - geometry.offset_bits
        assert word_bits > 0 or not wraps, "what wraps has at least a whole word"
        self._wraps = wraps
        self.en = Signal(name=f"{name}_en")
        self.address = Signal(address_bits, name=f"{name}_address")
        self.touched = Signal(2 * geometry.columns, name=f"{name}_touched")
        self.offset = Signal(geometry.offset_bits, name=f"{name}_offset")
        self.word = Signal(max(1, word_bits), name=f"{name}_word")
        self.above = Signal(max(1, word_bits), name=f"{name}_above")
        self.late = Signal(geometry.columns, name=f"{name}_late")
        self.hit = Signal(geometry.banks, name=f"{name}_hit")
        self.fault = Signal(name=f"{name}_fault")
        self.now, self.following = (
            [
                Signal(geometry.banks, name=f"{name}_{place}_{number}")
                for number in range(len(geometry.classes))
            ]
            for place in ("now", "following")
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, columns = self.geometry, self.geometry.columns
        word = Signal.like(self.word, name="word_given")
        m.d.comb += [
            word.eq(self.address[geometry.offset_bits :]),
            self.offset.eq(self._keep(m, self.address[: geometry.offset_bits], "offset")),
            self.word.eq(self._keep(m, word, "word")),
            self.late.eq(ones(self.column, columns)),
            self.above.eq(self.word + self.column.any()),
        ]
        hit: Value = Const(0, geometry.banks)
        fault: Value = Const(0, 1)
        for number, firsts in enumerate(geometry.classes):
            now, following = self.now[number], self.following[number]
            m.d.comb += now.eq(self._keep(m, self._find(m, word, firsts), f"now_{number}"))
            m.d.comb += following.eq(self._behind(m, word, firsts, now))
            for place, touched in ((now, self.touched[:columns]), (following, self.touched[columns:])):
                touches = self._keep(m, self.en & (touched & geometry.members(number)).any(), "touches")
                hit = hit | (place & touches.replicate(geometry.banks))
                fault = fault | (touches & ~place.any())
        m.d.comb += [self.hit.eq(hit), self.fault.eq(fault)]
        return m

    @property
    def column(self) -> Value:
        """The column of the first cell."""
        return self.offset[self.geometry.part_bits :]

    def _keep(self, m: Module, value: Value, name: str) -> Value:
        return delayed(m, value, int(self.kept), f"{name}_kept")

    def _find(self, m: Module, word: Value, firsts: tuple[int, ...]) -> Value:
        """Find a word's bank among the first words of the banks, behind which stands the end."""
        banks, bits = self.geometry.banks, _bank_bits(firsts)
        if bits is not None:
            bank = Signal(max(1, len(word) - bits))
            m.d.comb += bank.eq(word[min(bits, len(word)) :])
            return Cat(bank == number for number in range(banks))
        reached = Signal(banks + 1)
        m.d.comb += reached.eq(Cat(_at_least(word, first) for first in firsts))
        return reached[:-1] & ~reached[1:]

    def _behind(self, m: Module, word: Value, firsts: tuple[int, ...], now: Value) -> Value:
        """Find the bank of the word behind `word`, which lies in the banks `now`."""
        bits = _bank_bits(firsts)
        if bits is None:
            after = Signal(len(word) + (not self._wraps))
            m.d.comb += after.eq(self.word + 1)
            return self._find(m, after, firsts)
        last = self._keep(m, Cat(Const(1, 1), word[:bits]).all(), "last")
        first = self._keep(m, word.all(), "first") if self._wraps else Const(0, 1)
        return Mux(last, Cat(first, now[:-1]), now)


def _bank_bits(firsts: tuple[int, ...]) -> int | None:
    """Return the bits of a word within its bank if the banks have a power of two of words each."""
    step = firsts[1]
    if step.bit_count() != 1 or firsts != tuple(range(0, len(firsts) * step, step)):
        return None
    return step.bit_length() - 1


def _at_least(value: Value, limit: int) -> Value:
    """Compare only the bits above the zeros that the limit ends with."""
    if limit == 0 or limit >> len(value):
        return Const(limit == 0, 1)
    zeros = (limit & -limit).bit_length() - 1
    return value[zeros:] >= limit >> zeros
