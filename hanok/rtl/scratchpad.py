"""The scratchpad: all its banks, and the crossbar between them and the ports of the units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Sram
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Bank, Write, gather
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import rotate_down, rotate_up, split
from hanok.units import ceil_div

MAX_COLUMN_BYTES = 64
"""Banks begin at multiples of it."""


def read_signature(address_bits: int, port_bytes: int) -> wiring.Signature:
    """Return a read port as its user sees it; of its bytes the first `size` are wanted."""
    return wiring.Signature(
        {
            "en": Out(1),
            "address": Out(address_bits),
            "size": Out(range(port_bytes + 1)),
            "data": In(8 * port_bytes),
        }
    )


def write_signature(address_bits: int, port_bytes: int) -> wiring.Signature:
    """Return a write port as its user sees it; `mask` has a bit for each byte."""
    return wiring.Signature(
        {
            "en": Out(1),
            "address": Out(address_bits),
            "data": Out(8 * port_bytes),
            "mask": Out(port_bytes),
        }
    )


class Scratchpad(wiring.Component):
    """Ports `read_0`, `read_1` ... and `write_0` ... of the given bytes; timing as in docs/rtl.md.

    A read touches the bytes from `address` on that `size` counts, a write those of its mask; no others can
    meet another port or miss the memory. Bytes of `data` behind `size` may be anything. A read sees the
    bytes as they were before the writes of its cycle.

    `conflict`: two read ports, or two write ports, touch one bank in this cycle; the one of the lowest number
    has the bank, another one reads zeros there, and writes nothing. `fault`: an access in this cycle touches
    bytes that do not exist, which read as zeros, or more bytes than a word has.

    A bank is `word_bytes` wide, in columns of `column_bytes` with an address each: both powers of two, the
    latter up to 64. An access that begins b bytes within a column may have `word_bytes` - b bytes. By
    default, that is enough for every access; the smallest word is as wide as the widest port. Wide columns
    make few and wide memories, which also simulate faster; narrow ones make short words.
    """

    def __init__(
        self,
        sram: Sram,
        read_ports: Sequence[int],
        write_ports: Sequence[int],
        column_bytes: int = 1,
        word_bytes: int | None = None,
    ) -> None:
        widest = max((*read_ports, *write_ports))
        assert column_bytes in (1, 2, 4, 8, 16, 32, MAX_COLUMN_BYTES), "columns divide the start of a bank"
        self.column_bytes = column_bytes
        self.word_bytes = word_bytes or 1 << (widest + column_bytes - 2).bit_length()
        assert self.word_bytes & (self.word_bytes - 1) == 0, "columns follow from bits of the address"
        assert self.word_bytes >= max(widest, column_bytes), "a port is at most as wide as a bank"
        self.read_ports, self.write_ports = tuple(read_ports), tuple(write_ports)
        self.address_bits = (sram.total_bytes - 1).bit_length()
        self.geometry = Geometry(
            banks=sram.banks,
            bank_cells=sram.bank_bytes // column_bytes,
            columns=self.word_bytes // column_bytes,
            cell_bits=8 * column_bytes,
            cell_masks=column_bytes,
        )
        members: dict[str, Any] = {"conflict": Out(1), "fault": Out(1)}
        for number, width in enumerate(self.read_ports):
            members[f"read_{number}"] = In(read_signature(self.address_bits, width))
        for number, width in enumerate(self.write_ports):
            members[f"write_{number}"] = In(write_signature(self.address_bits, width))
        super().__init__(members)

    @property
    def memory_bits(self) -> int:
        """Bits of all memories."""
        return self.geometry.memory_bits

    @property
    def memories(self) -> dict[int, int]:
        """How many memories of `column_bytes` there are of each depth."""
        depths = [depth for bank in self.geometry.depths for depth in bank if depth]
        return {depth: depths.count(depth) for depth in sorted(set(depths))}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        too_long: list[Value] = []
        reads = [self._read_access(m, number, too_long) for number in range(len(self.read_ports))]
        writes = [self._write_access(m, number, too_long) for number in range(len(self.write_ports))]
        accesses = [*reads, *(write.access for write in writes)]
        banks = [Bank(self.geometry, number, reads, writes) for number in range(self.geometry.banks)]
        for access in accesses:
            m.submodules[access.name] = access
        for bank in banks:
            m.submodules[f"bank_{bank.number}"] = bank
        for number in range(len(reads)):
            self._read_data(m, banks, number)
        m.d.comb += self.conflict.eq(Cat(bank.conflict for bank in banks).any())
        m.d.comb += self.fault.eq(Cat(*(access.fault for access in accesses), *too_long).any())
        return m

    def _access(self, m: Module, port: Any, name: str) -> tuple[Access, Value]:
        """Return the access and the first byte's place in its column."""
        access = Access(self.geometry, name)
        skipped = self.column_bytes.bit_length() - 1
        m.d.comb += access.en.eq(port.en)
        access.start(m, port.address[skipped:])
        return access, port.address[:skipped]

    def _read_access(self, m: Module, number: int, too_long: list[Value]) -> Access:
        port, width = getattr(self, f"read_{number}"), self.read_ports[number]
        access, within = self._access(m, port, f"read_{number}")
        skipped = self.column_bytes.bit_length() - 1
        most = min(ceil_div(width + self.column_bytes - 1, self.column_bytes), self.geometry.columns)
        end, reach = Signal(range(width + self.column_bytes)), Signal(range(width + 2 * self.column_bytes))
        m.d.comb += [end.eq(within + port.size), reach.eq(end + self.column_bytes - 1)]
        too_long.append(port.en & (end > self.word_bytes))
        count = Signal(len(reach) - skipped, name=f"read_{number}_count")
        with m.If(port.size.any()):
            m.d.comb += count.eq(reach[skipped:])
        access.touch(m, count, most)
        return access

    def _write_access(self, m: Module, number: int, too_long: list[Value]) -> Write:
        """Data and mask go round by all bits of the address that are within a word."""
        port, width = getattr(self, f"write_{number}"), self.write_ports[number]
        access, within = self._access(m, port, f"write_{number}")
        room, mask = Signal(width), Signal(width)
        m.d.comb += room.eq(Cat(within < self.word_bytes - byte for byte in range(width)))
        m.d.comb += mask.eq(port.mask & room)
        too_long.append(port.en & (port.mask & ~room).any())
        amount = Signal(self.word_bytes.bit_length() - 1, name=f"write_{number}_amount")
        m.d.comb += amount.eq(port.address)
        data, masks = (
            rotate_up(m, split(value, bits), amount, self.word_bytes, f"write_{number}_{name}", fill)
            for name, value, bits, fill in (("data", port.data, 8, None), ("mask", mask, 1, Const(0, 1)))
        )
        turned = Write(
            access, Signal(8 * self.word_bytes, name=f"write_{number}_word"), Signal(self.word_bytes)
        )
        m.d.comb += [turned.data.eq(data), turned.mask.eq(masks)]
        m.d.comb += access.touched.eq(Cat(part.any() for part in split(turned.mask, self.column_bytes)))
        return turned

    def _read_data(self, m: Module, banks: Sequence[Bank], number: int) -> None:
        port, width = getattr(self, f"read_{number}"), self.read_ports[number]
        amount = Signal(self.word_bytes.bit_length() - 1, name=f"read_{number}_amount", reset_less=True)
        m.d.sync += amount.eq(port.address)
        found = [byte for column in gather(m, banks, number) for byte in split(column, 8)]
        m.d.comb += port.data.eq(Cat(rotate_down(m, found, amount, width, f"read_{number}_turned")))
