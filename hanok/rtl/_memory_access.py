"""A port's access to a banked memory: which banks it touches, found without a division."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import ones


@dataclass(frozen=True)
class Place:
    """Where a word lies: `bank` is the number of its bank and `hot` has the bank's bit, if it `exists`."""

    bank: Signal
    hot: Signal
    exists: Signal


class Access(Elaboratable):
    """The access of one port in one cycle.

    Given: `en`, the first `cell` (what is behind the last number, `cell_bits` wide, is 0 again if the access
    `wraps`, and does not exist otherwise), and `touched`: a bit for each cell of the first cell's word and of
    the word behind it. Found: `word` and `column` of the first cell, the columns that are `late`, since they
    take the word behind, where both words lie (`now`, `following`) for each class of columns, the banks that
    are touched (`hit`), and `fault`, if a touched cell does not exist.
    """

    def __init__(self, geometry: Geometry, name: str, cell_bits: int, wraps: bool = False) -> None:
        self.geometry, self.name = geometry, name
        word_bits = cell_bits - geometry.column_bits
        assert word_bits > 0 or not wraps, "what wraps has at least a whole word"
        self.en = Signal(name=f"{name}_en")
        self.cell = Signal(cell_bits, name=f"{name}_cell")
        self.column = Signal(geometry.column_bits, name=f"{name}_column")
        self.word = Signal(max(1, word_bits), name=f"{name}_word")
        self.touched = Signal(2 * geometry.columns, name=f"{name}_touched")
        self.late = Signal(geometry.columns, name=f"{name}_late")
        self.hit = Signal(geometry.banks, name=f"{name}_hit")
        self.fault = Signal(name=f"{name}_fault")
        self._after = Signal(len(self.word) + (not wraps), name=f"{name}_after")
        classes = range(len(geometry.classes))
        self.now = [self._place(f"{name}_now_{number}") for number in classes]
        self.following = [self._place(f"{name}_following_{number}") for number in classes]

    def _place(self, name: str) -> Place:
        banks = self.geometry.banks
        return Place(
            Signal(range(banks), name=f"{name}_bank"),
            Signal(banks, name=f"{name}_hot"),
            Signal(name=f"{name}_exists"),
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, columns = self.geometry, self.geometry.columns
        m.d.comb += [
            self.column.eq(self.cell),
            self.word.eq(self.cell[geometry.column_bits :]),
            self._after.eq(self.word + 1),
            self.late.eq(ones(self.column, columns)),
        ]
        hit: Value = Const(0, geometry.banks)
        fault: Value = Const(0, 1)
        for number, firsts in enumerate(geometry.classes):
            parts = (
                (self.word, self.now[number], self.touched[:columns]),
                (self._after, self.following[number], self.touched[columns:]),
            )
            for word, place, touched in parts:
                touches = Signal()
                m.d.comb += touches.eq((touched & geometry.members(number)).any())
                self._find(m, word, firsts, place)
                hit = hit | Mux(touches, place.hot, 0)
                fault = fault | (touches & ~place.exists)
        m.d.comb += [self.hit.eq(Mux(self.en, hit, 0)), self.fault.eq(self.en & fault)]
        return m

    def _find(self, m: Module, word: Value, firsts: tuple[int, ...], place: Place) -> None:
        """Find a word's bank among the first words of the banks, behind which stands the end."""
        banks, step = self.geometry.banks, firsts[1]
        if step.bit_count() == 1 and firsts == tuple(range(0, (banks + 1) * step, step)):
            bank = word[min(step.bit_length() - 1, len(word)) :]
            exists = bank < banks if 1 << len(bank) > banks else Const(1, 1)
            m.d.comb += [place.bank.eq(bank), place.exists.eq(exists)]
            m.d.comb += place.hot.eq(Mux(place.exists, Const(1, 1) << place.bank, 0))
            return
        reached = Signal(banks + 1)
        m.d.comb += [
            reached.eq(Cat(_at_least(word, first) for first in firsts)),
            place.hot.eq(reached[:-1] & ~reached[1:]),
            place.exists.eq(~reached[-1]),
        ]
        for bit, _ in enumerate(place.bank):
            with_bit = sum(1 << bank for bank in range(banks) if bank >> bit & 1)
            m.d.comb += place.bank[bit].eq((place.hot & with_bit).any())


def _at_least(value: Value, limit: int) -> Value:
    """Compare only the bits above the zeros that the limit ends with."""
    if limit == 0 or limit >> len(value):
        return Const(limit == 0, 1)
    zeros = (limit & -limit).bit_length() - 1
    return value[zeros:] >= limit >> zeros
