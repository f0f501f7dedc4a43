"""The banks of a memory behind its ports: who has which bank, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value

from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Bank, Write, late_parts, owned
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import any_of, delayed


class Crossbar(Elaboratable):
    """The first read port in order that touches a bank in a cycle has it, and so among write ports.

    `data[port]` is the ring that a read port gets, in the cycle after the access, and two later if its
    requests are kept, which then has a register behind the banks and one behind their choice: from the bank
    of each word, zero where another port had that bank or there is none.
    `conflict`: two ports of a kind touch a bank; a bit for each bank.
    """

    def __init__(self, geometry: Geometry, reads: Sequence[Access], writes: Sequence[Write]) -> None:
        self.geometry, self.reads, self.writes = geometry, reads, writes
        self.conflict = Signal(geometry.banks)
        self.data = [Signal(geometry.ring_bits, name=f"{read.name}_ring") for read in reads]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        granted_reads, read_conflict = self._share(m, self.reads)
        granted_writes, write_conflict = self._share(m, [write.access for write in self.writes])
        m.d.comb += self.conflict.eq(read_conflict | write_conflict)
        banks = []
        for number in range(self.geometry.banks):
            reads = [(read, bits[number]) for read, bits in zip(self.reads, granted_reads, strict=True)]
            writes = [(write, bits[number]) for write, bits in zip(self.writes, granted_writes, strict=True)]
            banks.append(Bank(self.geometry, number, reads, writes))
            m.submodules[f"bank_{number}"] = banks[-1]
        answers = [(bank.data, delayed(m, bank.data, 1, f"answer_{bank.number}")) for bank in banks]
        for access, granted, found in zip(self.reads, granted_reads, self.data, strict=True):
            late = int(access.kept)
            had = self._had(m, access, granted, 1 + late)
            ring = any_of(data[late] & mask for data, mask in zip(answers, had, strict=True))
            m.d.comb += found.eq(delayed(m, ring, late, f"{access.name}_found"))
        return m

    def _share(self, m: Module, ports: Sequence[Access]) -> tuple[list[list[Signal]], Value]:
        """Return which banks each port has, and where another wants one too.

        Each bank has a signal of its own: bits of a wide one, taken apart over the banks, would look like a
        loop of gates to CXXRTL.
        """
        granted: list[list[Signal]] = []
        taken: Value = Const(0, self.geometry.banks)
        conflict: Value = Const(0, self.geometry.banks)
        for port in ports:
            has = [Signal(name=f"{port.name}_has_{bank}") for bank in range(self.geometry.banks)]
            m.d.comb += Cat(has).eq(port.hit & ~taken)
            granted.append(has)
            conflict = conflict | (port.hit & taken)
            taken = taken | port.hit
        return granted, conflict

    def _had(self, m: Module, access: Access, granted: Sequence[Signal], cycles: int) -> list[Value]:
        """Return for each bank a mask of what the port has read there so many cycles before.

        Where a ring is half a word, the bank has left out the columns of other banks.
        """
        geometry, name = self.geometry, access.name
        if geometry.halves:
            had = delayed(m, Cat(granted), cycles, f"{name}_had")
            return [bit.replicate(geometry.ring_bits) for bit in had]
        column = delayed(m, access.column, cycles, f"{name}_column_before")
        now, following = (
            [
                delayed(m, Cat(granted) & hot, cycles, f"{name}_had_{number}")
                for number, hot in enumerate(place)
            ]
            for place in (access.now, access.following)
        )
        late = Signal(geometry.ring_bits, name=f"{name}_late_bits")
        m.d.comb += late.eq(late_parts(geometry, column, geometry.cell_bits))
        return [
            owned(geometry, late, Cat(hot[bank] for hot in now), Cat(hot[bank] for hot in following))
            for bank in range(geometry.banks)
        ]
