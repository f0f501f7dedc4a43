"""The banks of a memory behind its ports: who has which bank, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

from hanok.rtl._memory_access import Access, Place
from hanok.rtl._memory_bank import Bank, Grant, Write
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import choose


class Crossbar(Elaboratable):
    """The first read port in order that touches a bank in a cycle has it, and so among write ports.

    `data[port][column]` is what a read port has read in the cycle before: from the bank of its word, zero
    where another port had that bank or there is none. `conflict`: two ports of a kind touch a bank.
    """

    def __init__(self, geometry: Geometry, reads: Sequence[Access], writes: Sequence[Write]) -> None:
        self.geometry, self.reads, self.writes = geometry, reads, writes
        self.conflict = Signal()
        self.data = [
            [
                Signal(geometry.cell_bits, name=f"{read.name}_column_{column}")
                for column in range(geometry.columns)
            ]
            for read in reads
        ]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        writers = [write.access for write in self.writes]
        read_grants, read_conflict = self._share(m, self.reads)
        write_grants, write_conflict = self._share(m, writers)
        m.d.comb += self.conflict.eq(read_conflict | write_conflict)
        reads = list(zip(self.reads, read_grants, strict=True))
        writes = list(zip(self.writes, write_grants, strict=True))
        banks = [Bank(self.geometry, number, reads, writes) for number in range(self.geometry.banks)]
        for bank in banks:
            m.submodules[f"bank_{bank.number}"] = bank
        for (access, grant), data in zip(reads, self.data, strict=True):
            self._gather(m, banks, access, grant, data)
        return m

    def _share(self, m: Module, ports: Sequence[Access]) -> tuple[list[Grant], Value]:
        """Return which banks each port has, and whether another wants one of them too."""
        grants = []
        taken: Value = Const(0, self.geometry.banks)
        conflict: Value = Const(0, 1)
        for port in ports:
            free = Signal(self.geometry.banks, name=f"{port.name}_free")
            m.d.comb += free.eq(~taken)
            grants.append(
                Grant(
                    self._held(m, f"{port.name}_has", port.hit & free),
                    [self._held(m, f"{port.name}_has_now", place.hot & free) for place in port.now],
                    [
                        self._held(m, f"{port.name}_has_following", place.hot & free)
                        for place in port.following
                    ],
                )
            )
            conflict = conflict | (port.hit & taken).any()
            taken = ~free | port.hit
        return grants, conflict

    def _held(self, m: Module, name: str, value: Value) -> list[Signal]:
        held = [Signal(name=f"{name}_{bank}") for bank in range(self.geometry.banks)]
        m.d.comb += Cat(held).eq(value)
        return held

    def _gather(
        self, m: Module, banks: Sequence[Bank], access: Access, grant: Grant, data: Sequence[Signal]
    ) -> None:
        """Take each column from its bank."""
        geometry, name = self.geometry, access.name
        late = Signal(geometry.columns, name=f"{name}_late_before", reset_less=True)
        m.d.sync += late.eq(access.late)
        now = [
            self._before(m, place, has, f"{name}_now")
            for place, has in zip(access.now, grant.now, strict=True)
        ]
        following = [
            self._before(m, place, has, f"{name}_following")
            for place, has in zip(access.following, grant.following, strict=True)
        ]
        for column, number in enumerate(geometry.class_of):
            bank, has = Signal.like(now[number][0], name=f"{name}_bank_{column}"), Signal()
            m.d.comb += bank.eq(Mux(late[column], following[number][0], now[number][0]))
            m.d.comb += has.eq(Mux(late[column], following[number][1], now[number][1]))
            m.d.comb += data[column].eq(Mux(has, choose([bank.data[column] for bank in banks], bank), 0))

    def _before(self, m: Module, place: Place, has: Sequence[Signal], name: str) -> tuple[Signal, Signal]:
        """Return the bank of the cycle before, and whether the port had it."""
        bank = Signal.like(place.bank, name=f"{name}_bank_before", reset_less=True)
        had = Signal(name=f"{name}_had", reset_less=True)
        m.d.sync += [bank.eq(place.bank), had.eq(Cat(has).any())]
        return bank, had
