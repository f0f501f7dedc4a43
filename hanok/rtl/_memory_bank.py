"""A bank: a memory for each column, with one read and one write port that requesters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import memory

from hanok.rtl._memory_access import Access
from hanok.rtl._memory_geometry import Geometry


@dataclass(frozen=True)
class Write:
    """An access with the word that it writes: data and mask of every column, wherever its cell lies."""

    access: Access
    data: Signal
    mask: Signal


class Bank(Elaboratable):
    """Bank `number`: the first requester in order that touches it in a cycle has the port in that cycle.

    `data` is what was read in the cycle before; `given[port]` are the columns of it that are a port's.
    `conflict`: two ports of a kind touch the bank in this cycle.
    """

    def __init__(
        self, geometry: Geometry, number: int, reads: Sequence[Access], writes: Sequence[Write]
    ) -> None:
        self.geometry = geometry
        self.number = number
        self.reads = reads
        self.writes = writes
        self.data = Signal(geometry.columns * geometry.cell_bits, name=f"bank_{number}_data")
        self.given = [
            Signal(geometry.columns, name=f"bank_{number}_given_{port}") for port in range(len(reads))
        ]
        self.conflict = Signal(name=f"bank_{number}_conflict")

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, columns = self.geometry, range(self.geometry.columns)
        writers = [write.access for write in self.writes]
        reads, read_conflict = self._winners(m, self.reads, "read")
        writes, write_conflict = self._winners(m, writers, "write")
        m.d.comb += self.conflict.eq(read_conflict | write_conflict)
        for given, access, wins in zip(self.given, self.reads, reads, strict=True):
            m.d.sync += given.eq(access.held(self.number) & wins.replicate(len(given)))
        mask, content = Signal(geometry.columns * geometry.cell_masks), Signal(len(self.data))
        m.d.comb += mask.eq(self._mask(m, writes))
        m.d.comb += content.eq(_first(writers, [write.data for write in self.writes], self.number))
        read_addresses = self._addresses(m, self.reads, "read")
        write_addresses = self._addresses(m, writers, "write")
        for column in columns:
            if not geometry.depths[self.number][column]:
                continue
            store = memory.Memory(
                shape=geometry.cell_bits, depth=geometry.depths[self.number][column], init=[]
            )
            m.submodules[f"column_{column}"] = store
            read = store.read_port()
            write = store.write_port(granularity=geometry.cell_bits // geometry.cell_masks)
            m.d.comb += [
                read.en.eq(Cat(reads).any()),
                read.addr.eq(read_addresses[column]),
                self.data.word_select(column, geometry.cell_bits).eq(read.data),
                write.en.eq(mask.word_select(column, geometry.cell_masks)),
                write.addr.eq(write_addresses[column]),
                write.data.eq(content.word_select(column, geometry.cell_bits)),
            ]
        return m

    def _winners(self, m: Module, ports: Sequence[Access], kind: str) -> tuple[list[Value], Value]:
        """Return which port has the bank, and whether another wants it too."""
        wins: list[Value] = []
        taken: Value = Const(0, 1)
        conflict: Value = Const(0, 1)
        for number, port in enumerate(ports):
            hit, won = port.hit[self.number], Signal(name=f"{kind}_{number}_wins")
            m.d.comb += won.eq(hit & ~taken)
            wins.append(won)
            taken, conflict = taken | hit, conflict | (taken & hit)
        return wins, conflict

    def _addresses(self, m: Module, ports: Sequence[Access], kind: str) -> list[Value]:
        """Return the winner's address in each column.

        A column that begins a word later than others of the bank counts its words from there.
        """
        geometry, number = self.geometry, self.number
        base = min(words[number] for words in geometry.classes)
        bits = max(1, (max(geometry.depths[number]) - 1).bit_length())
        word, before, after = (Signal(bits, name=f"{kind}_{name}") for name in ("word", "before", "after"))
        late = Signal(geometry.columns, name=f"{kind}_late")
        m.d.comb += [
            word.eq(_first(ports, [port.word for port in ports], number) - base),
            before.eq(word - 1),
            after.eq(word + 1),
            late.eq(_first(ports, [port.late for port in ports], number)),
        ]
        addresses = []
        for column, firsts in enumerate(geometry.first_words):
            now, following = (word, after) if firsts[number] == base else (before, word)
            addresses.append(Mux(late[column], following, now))
        return addresses

    def _mask(self, m: Module, wins: Sequence[Value]) -> Value:
        """Return what is written of each column."""
        geometry = self.geometry
        found: Value = Const(0, geometry.columns * geometry.cell_masks)
        for number, (write, won) in enumerate(zip(self.writes, wins, strict=True)):
            held = Signal(geometry.columns, name=f"write_{number}_held")
            m.d.comb += held.eq(write.access.held(self.number) & won.replicate(geometry.columns))
            found |= write.mask & Cat(bit.replicate(geometry.cell_masks) for bit in held)
        return found


def _first(ports: Sequence[Access], values: Sequence[Value], bank: int) -> Value:
    """Return the value of the first port that touches the bank; where none does, of any."""
    if not ports:
        return Const(0, 1)
    found = values[-1]
    for port, value in zip(reversed(ports[:-1]), reversed(values[:-1]), strict=True):
        found = Mux(port.hit[bank], value, found)
    return found


def gather(m: Module, banks: Sequence[Bank], port: int) -> list[Value]:
    """Return what a port read in the cycle before: each column from its bank, zero where there is none."""
    geometry = banks[0].geometry
    columns = []
    for column in range(geometry.columns):
        found = Signal(geometry.cell_bits, name=f"read_{port}_column_{column}")
        terms: Value = Const(0, geometry.cell_bits)
        for bank in banks:
            if geometry.depths[bank.number][column]:
                data = bank.data.word_select(column, geometry.cell_bits)
                terms |= Mux(bank.given[port][column], data, 0)
        m.d.comb += found.eq(terms)
        columns.append(found)
    return columns
