"""A bank: a memory for each column, with one read and one write port that requesters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory

from hanok.rtl._memory_access import Access
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import any_of, delayed, ones, select, split

NO_COLLISIONS = {"no_rw_check": 1}
"""No program depends on what a read brings of a part that is written in its cycle, so that block RAMs need no
gates around them."""


@dataclass(frozen=True)
class Write:
    """An access with what it writes: a ring of data, and a mask of the parts of a word."""

    access: Access
    data: Value
    mask: Value


@dataclass(frozen=True)
class Request:
    """What the access that has a bank asks of it: the address of each column and, a bit for each class of
    columns, whether its first word and the one behind lie there."""

    addresses: list[Value]
    offset: Value
    now: Value
    following: Value


class Bank(Elaboratable):
    """Bank `number`; each port comes with a bit that says that it has the bank.

    `data` is what has been read in the cycle before. If a ring is shorter than a word, each of its parts is
    the one of the access that lies there, or zero where that one is in another bank.
    """

    def __init__(
        self,
        geometry: Geometry,
        number: int,
        reads: Sequence[tuple[Access, Signal]],
        writes: Sequence[tuple[Write, Signal]],
    ) -> None:
        self.geometry, self.number = geometry, number
        self.reads, self.writes = reads, writes
        self.data = Signal(geometry.ring_bits, name=f"bank_{number}_data")

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        written = [granted for _, granted in self.writes]
        read = self._request(m, self.reads, "read")
        write = self._request(m, [(write.access, granted) for write, granted in self.writes], "write")
        late = late_parts(geometry, write.offset[geometry.part_bits :], geometry.cell_masks)
        mask, ring = Signal(geometry.word_parts), Signal(geometry.ring_bits)
        m.d.comb += [
            mask.eq(
                select(written, [write.mask for write, _ in self.writes])
                & owned(geometry, late, write.now, write.following)
            ),
            ring.eq(select(written, [write.data for write, _ in self.writes])),
        ]
        en = Signal()
        m.d.comb += en.eq(any_of(granted for _, granted in self.reads))
        columns = zip(
            geometry.depths[self.number],
            split(mask, geometry.cell_masks),
            split(ring.replicate(1 + geometry.halves), geometry.cell_bits),
            strict=True,
        )
        found: list[Value] = []
        for column, (depth, parts, content) in enumerate(columns):
            if not depth:
                found.append(Const(0, geometry.cell_bits))
                continue
            store = memory.Memory(shape=geometry.cell_bits, depth=depth, init=[], attrs=NO_COLLISIONS)
            m.submodules[f"column_{column}"] = store
            out = store.read_port(domain="comb")
            answer = Signal(geometry.cell_bits, name=f"answer_{column}", reset_less=True)
            with m.If(en):
                m.d.sync += answer.eq(out.data)
            into = store.write_port(granularity=geometry.cell_bits // geometry.cell_masks)
            m.d.comb += [
                out.addr.eq(read.addresses[column]),
                into.en.eq(parts),
                into.addr.eq(write.addresses[column]),
                into.data.eq(content),
            ]
            found.append(answer)
        m.d.comb += self.data.eq(self._ring(m, Cat(found), read))
        return m

    def _request(self, m: Module, ports: Sequence[tuple[Access, Signal]], kind: str) -> Request:
        """Return the request of the port that has the bank.

        A column that begins a word later than others of the bank counts its words from there.
        """
        geometry, number = self.geometry, self.number
        bits = max(1, (max(geometry.depths[number]) - 1).bit_length())
        classes = len(geometry.classes)
        layout = data.StructLayout(
            {
                "word": bits,
                "above": bits,
                "offset": geometry.offset_bits,
                "now": classes,
                "following": classes,
            }
        )
        asked, late = Signal(layout, name=f"{kind}_asked"), Signal(geometry.columns, name=f"{kind}_late")
        bundles = [_bundle(access, number, bits) for access, _ in ports]
        m.d.comb += asked.as_value().eq(select([granted for _, granted in ports], bundles))
        m.d.comb += late.eq(ones(asked.offset[geometry.part_bits :], geometry.columns))
        words = {}
        for first in {words[number] for words in geometry.classes}:
            words[first] = [Signal(bits, name=f"{kind}_{place}_{first}") for place in ("word", "above")]
            m.d.comb += [
                word.eq(asked[place] - first % (1 << bits))
                for word, place in zip(words[first], ("word", "above"), strict=True)
            ]
        addresses = []
        for column, firsts in enumerate(geometry.first_words):
            word, above = words[firsts[number]]
            middle = Mux(late[column], above, word) if column < geometry.columns - 1 else word
            addresses.append(middle if column else above)
        return Request(addresses, asked.offset, asked.now, asked.following)

    def _ring(self, m: Module, word: Value, request: Request) -> Value:
        """Return the ring of a word that was read."""
        geometry = self.geometry
        if not geometry.halves:
            return word
        offset, now, following = (
            delayed(m, getattr(request, name), 1, f"{name}_before") for name in ("offset", "now", "following")
        )
        part = geometry.cell_bits // geometry.cell_masks
        late, upper = Signal(len(word)), Signal(geometry.ring_bits)
        before = ones(Cat(Const(0, part.bit_length() - 1), offset[:-1]), geometry.ring_bits)
        m.d.comb += [
            late.eq(late_parts(geometry, offset[geometry.part_bits :], geometry.cell_bits)),
            upper.eq(before ^ offset[-1].replicate(geometry.ring_bits)),
        ]
        taken = Signal(len(word))
        m.d.comb += taken.eq(owned(geometry, late, now, following) & Cat(~upper, upper))
        return any_of(split(word & taken, geometry.ring_bits))


def late_parts(geometry: Geometry, column: Value, cell: int) -> Value:
    """Return `cell` bits for each column, set in those before the first: they take the word behind."""
    return ones(Cat(Const(0, cell.bit_length() - 1), column), geometry.columns * cell)


def owned(geometry: Geometry, late: Value, now: Value, following: Value) -> Value:
    """Return the parts of a word that lie in a bank which has the first word of some classes, and the word
    behind of some."""
    cell = len(late) // geometry.columns
    found = []
    for number in range(len(geometry.classes)):
        members = sum(
            ((1 << cell) - 1) << cell * column
            for column in range(geometry.columns)
            if geometry.class_of[column] == number
        )
        parts = (late & following[number].replicate(len(late))) | (~late & now[number].replicate(len(late)))
        found.append(parts & Const(members, len(late)))
    return any_of(found)


def _bundle(access: Access, bank: int, bits: int) -> Value:
    """Return what a bank has to know of an access."""
    hot = (place[bank] for place in (*access.now, *access.following))
    return Cat(_low(access.word, bits), _low(access.above, bits), access.offset, *hot)


def _low(value: Value, bits: int) -> Value:
    """Return so many low bits, zeros above them if there are not as many."""
    return Cat(value[:bits], Const(0, max(0, bits - len(value))))
