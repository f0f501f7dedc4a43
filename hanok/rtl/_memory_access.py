"""A port's access to a banked memory: which banks it touches, found without a division."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value

from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import rotate_up, split


class Access(Elaboratable):
    """The access of one port in one cycle, whose signals the banks take as they are.

    Given: `en`, `word` and `column` of the first cell, the columns `touched`. Found: the banks that hold the
    first cell's word (`now`) and the word after it (`following`) in each class of columns, the columns `late`
    that lie in the latter, the banks that are touched (`hit`), and `fault`, if a touched cell does not exist.
    """

    def __init__(self, geometry: Geometry, name: str) -> None:
        self.geometry = geometry
        self.name = name
        banks, classes = geometry.banks, range(len(geometry.classes))
        self.en = Signal(name=f"{name}_en")
        self.word = Signal(geometry.word_bits, name=f"{name}_word")
        self.column = Signal(geometry.column_bits, name=f"{name}_column")
        self.touched = Signal(geometry.columns, name=f"{name}_touched")
        self.late = Signal(geometry.columns, name=f"{name}_late")
        # each bank takes signals of its own: bits of wide ones would look like loops of gates to CXXRTL
        self.now = [_bits(banks, f"{name}_now_{number}") for number in classes]
        self.following = [_bits(banks, f"{name}_following_{number}") for number in classes]
        self.hit = _bits(banks, f"{name}_hit")
        self.fault = Signal(name=f"{name}_fault")

    def start(self, m: Module, cell: Value) -> None:
        """Begin at a cell, whose number may have fewer bits than word and column together."""
        m.d.comb += [self.column.eq(cell), self.word.eq(cell[self.geometry.column_bits :])]

    def touch(self, m: Module, count: Value, most: int) -> None:
        """Touch `count` cells, at most `most`, from the first on."""
        wanted = Signal(most, name=f"{self.name}_wanted")
        m.d.comb += wanted.eq(Cat(count > number for number in range(most)))
        turned = rotate_up(
            m, split(wanted, 1), self.column, self.geometry.columns, f"{self.name}_touch", Const(0, 1)
        )
        m.d.comb += self.touched.eq(turned)

    def held(self, bank: int) -> Value:
        """Return the columns whose cells of this access lie in a bank."""
        now, following = (
            Cat(held[number][bank] for number in self.geometry.class_of)
            for held in (self.now, self.following)
        )
        return (self.late & following) | (~self.late & now)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        after = Signal(geometry.word_bits + 1)
        m.d.comb += after.eq(self.word + 1)
        later = (self.column > column for column in range(geometry.columns - 1))
        m.d.comb += self.late.eq(Cat(*later))
        hit: Value = Const(0, geometry.banks)
        fault: Value = Const(0, 1)
        for number, firsts in enumerate(geometry.classes):
            members = sum(1 << column for column, own in enumerate(geometry.class_of) if own == number)
            parts = (
                (self.word, self.now[number], self.touched & members & ~self.late),
                (after, self.following[number], self.touched & members & self.late),
            )
            for word, held, touched in parts:
                reached, touches = Signal(geometry.banks + 1), Signal()
                m.d.comb += reached.eq(Cat(_at_least(word, first) for first in firsts))
                m.d.comb += [Cat(held).eq(reached[:-1] & ~reached[1:]), touches.eq(touched.any())]
                hit |= Cat(held) & touches.replicate(geometry.banks)
                fault |= reached[-1] & touches
        m.d.comb += Cat(self.hit).eq(hit & self.en.replicate(geometry.banks))
        m.d.comb += self.fault.eq(fault & self.en)
        return m


def _bits(count: int, name: str) -> list[Signal]:
    return [Signal(name=f"{name}_{number}") for number in range(count)]


def _at_least(value: Value, limit: int) -> Value:
    """Compare only the bits above the zeros that the limit ends with."""
    if limit == 0 or limit >> len(value):
        return Const(limit == 0, 1)
    zeros = (limit & -limit).bit_length() - 1
    return value[zeros:] >= limit >> zeros
