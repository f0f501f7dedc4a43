"""A bank: a memory for each column, with one read and one write port that requesters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import memory

from hanok.rtl._memory_access import Access
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import split


@dataclass(frozen=True)
class Write:
    """An access with what it writes: the data of each column, and a mask of its first word and the next."""

    access: Access
    data: Sequence[Value]
    mask: Signal


@dataclass(frozen=True)
class Grant:
    """The banks that an access has in a cycle, and those of them that hold its first word or the next.

    The latter two are lists over the classes of columns. Each bank has a signal of its own: bits of a wide
    one, taken apart over the banks, would look like a loop of gates to CXXRTL.
    """

    banks: Sequence[Signal]
    now: Sequence[Sequence[Signal]]
    following: Sequence[Sequence[Signal]]


class Bank(Elaboratable):
    """Bank `number`. `data` is what each column has read in the cycle before."""

    def __init__(
        self,
        geometry: Geometry,
        number: int,
        reads: Sequence[tuple[Access, Grant]],
        writes: Sequence[tuple[Write, Grant]],
    ) -> None:
        self.geometry, self.number = geometry, number
        self.reads, self.writes = reads, writes
        self.data = [
            Signal(geometry.cell_bits, name=f"bank_{number}_column_{column}")
            for column in range(geometry.columns)
        ]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, number = self.geometry, self.number
        writers = [(write.access, grant) for write, grant in self.writes]
        granted = [grant.banks[number] for _, grant in writers]
        en, mask = Signal(), Signal(geometry.columns * geometry.cell_masks)
        m.d.comb += [en.eq(Cat(grant.banks[number] for _, grant in self.reads).any()), mask.eq(self._mask())]
        read_addresses = self._addresses(m, self.reads, "read")
        write_addresses = self._addresses(m, writers, "write")
        for column, depth in enumerate(geometry.depths[number]):
            if not depth:
                continue
            store = memory.Memory(shape=geometry.cell_bits, depth=depth, init=[])
            m.submodules[f"column_{column}"] = store
            read = store.read_port()
            write = store.write_port(granularity=geometry.cell_bits // geometry.cell_masks)
            content = _first(granted, [write.data[column] for write, _ in self.writes])
            m.d.comb += [
                read.en.eq(en),
                read.addr.eq(read_addresses[column]),
                self.data[column].eq(read.data),
                write.en.eq(mask.word_select(column, geometry.cell_masks)),
                write.addr.eq(write_addresses[column]),
                write.data.eq(content),
            ]
        return m

    def _addresses(self, m: Module, ports: Sequence[tuple[Access, Grant]], kind: str) -> list[Value]:
        """Return the address of each column, for the port that has the bank.

        A column that begins a word later than others of the bank counts its words from there.
        """
        geometry, number = self.geometry, self.number
        base = min(words[number] for words in geometry.classes)
        bits = max(1, (max(geometry.depths[number]) - 1).bit_length())
        asked, late = Signal(bits, name=f"{kind}_asked"), Signal(geometry.columns, name=f"{kind}_late")
        word, before, after = (Signal(bits, name=f"{kind}_{name}") for name in ("word", "before", "after"))
        granted = [grant.banks[number] for _, grant in ports]
        bundles = [Cat(access.late, access.word[:bits]) for access, _ in ports]
        m.d.comb += [
            Cat(late, asked).eq(_first(granted, bundles)),
            word.eq(asked - base % (1 << bits)),
            before.eq(word - 1),
            after.eq(word + 1),
        ]
        addresses = []
        for column, firsts in enumerate(geometry.first_words):
            now, following = (word, after) if firsts[number] == base else (before, word)
            addresses.append(Mux(late[column], following, now))
        return addresses

    def _mask(self) -> Value:
        """Return what is written of each column."""
        geometry = self.geometry
        width = geometry.columns * geometry.cell_masks
        found: Value = Const(0, width)
        for write, grant in self.writes:
            for place, words in enumerate(zip(grant.now, grant.following, strict=True)):
                members = Cat(
                    Const(geometry.members(place) >> column & 1, 1).replicate(geometry.cell_masks)
                    for column in range(geometry.columns)
                )
                for held, mask in zip(words, split(write.mask, width), strict=True):
                    found = found | Mux(held[self.number], mask & members, 0)
        return found


def _first(granted: Sequence[Value], values: Sequence[Value]) -> Value:
    """Return the value of the port that has the bank; where none has, of any."""
    if not values:
        return Const(0, 1)
    found = values[-1]
    for grant, value in zip(reversed(granted[:-1]), reversed(values[:-1]), strict=True):
        found = Mux(grant, value, found)
    return found
