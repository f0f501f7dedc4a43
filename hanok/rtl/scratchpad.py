"""The scratchpad: all its banks, and the crossbar between them and the ports of the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Core, Dma, Sram
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Write
from hanok.rtl._memory_crossbar import Crossbar
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import delayed, ones, rotate_down, rotate_up, shift_up
from hanok.units import ceil_div

SPARE_BITS = 1
"""An address has this many bits more than the last byte's, for what lies behind or before the memory."""
MASKED_SPARE_BITS = 3
"""The same of a masked port, whose addresses are sums of several terms."""
BANK_MULTIPLE_BYTES = 64
"""Banks begin at multiples of it."""
ELEMENT_BYTES = 4
"""int32 and float32 lie at multiples of their size."""


@dataclass(frozen=True)
class ReadPort:
    """A port of so many bytes; `masked`: with a mask of them instead of a size.

    A masked port has addresses of `masked_address_bits`, and byte 0 lies behind the last of them.
    """

    port_bytes: int
    masked: bool = False


def address_bits(total_bytes: int) -> int:
    """Return the bits of an address of a memory; all from 2**(bits - 1) on are outside of it."""
    return max(1, (total_bytes - 1).bit_length()) + SPARE_BITS


def masked_address_bits(total_bytes: int, word_bytes: int) -> int:
    """Return the bits of an address of a masked port, of memory in words of so many bytes."""
    return (max(total_bytes, word_bytes) - 1).bit_length() + MASKED_SPARE_BITS


def read_signature(address_bits: int, port_bytes: int, masked: bool = False) -> wiring.Signature:
    """Return a read port as its user sees it.

    Wanted are the first `size` bytes, or, of a masked port, those of the `mask`: then `address` may lie
    before byte 0, modulo 2**address_bits, where the mask leaves out those bytes.
    """
    return wiring.Signature(
        {
            "en": Out(1),
            "address": Out(address_bits),
            **({"mask": Out(port_bytes)} if masked else {"size": Out(range(port_bytes + 1))}),
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


def load_port_bytes(dma: Dma) -> int:
    """Return how many bytes the load engine writes in a cycle at most."""
    return max(dma.bytes_per_cycle * (2 if dma.int4 else 1), dma.expand_lanes)


def core_scratchpad(core: Core) -> Scratchpad:
    """Return the scratchpad of a core.

    Its read ports are in this order the matrix unit's activations and weights, the vector unit's three
    operands, and the store engine; its write ports the load engine and the vector unit.
    """
    loaded, (activations, weights) = load_port_bytes(core.dma), _matrix_ports(core)
    column_bytes, word_bytes = _columns_of_core(core)
    vector = ReadPort(ELEMENT_BYTES * core.vector.lanes)
    masked = [ReadPort(activations, masked=True), ReadPort(weights, masked=True)]
    reads = [*masked, vector, vector, vector, ReadPort(core.dma.bytes_per_cycle)]
    return Scratchpad(core.sram, reads, [loaded, vector.port_bytes], column_bytes, word_bytes)


def matrix_address_bits(core: Core) -> int:
    """Return the bits of the matrix unit's addresses."""
    return masked_address_bits(core.sram.total_bytes, _columns_of_core(core)[1])


def _matrix_ports(core: Core) -> tuple[int, int]:
    """Return the bytes of the matrix unit's ports, of activations and weights."""
    matrix = core.matrix
    return max(matrix.rows, matrix.columns), matrix.columns * matrix.preload_rows_per_cycle


def _columns_of_core(core: Core) -> tuple[int, int]:
    lanes = core.vector.lanes
    unaligned = max(*_matrix_ports(core), load_port_bytes(core.dma), lanes)
    return columns_of(core.sram, unaligned, ELEMENT_BYTES * lanes)


def columns_of(sram: Sram, unaligned: int, elements: int) -> tuple[int, int]:
    """Return bytes of a column and of a word, for accesses of at most `unaligned` bytes at any address and
    accesses of at most `elements` bytes at multiples of `ELEMENT_BYTES`.

    A word is as short as a power of two can be, and its columns as wide as accesses across them then allow,
    since few wide memories cost less than many narrow ones. But with columns of less than an element a word
    is twice as long, and its columns are halves of it, as far as banks are multiples of them.
    """
    word_bytes = 1 << (max(unaligned, elements) - 1).bit_length()
    column_bytes = 1 << (word_bytes - unaligned + 1).bit_length() - 1
    column_bytes = min(column_bytes, 1 << (word_bytes - elements + ELEMENT_BYTES).bit_length() - 1)
    if column_bytes < ELEMENT_BYTES:
        word_bytes, column_bytes = 2 * word_bytes, word_bytes
    return min(column_bytes, sram.bank_bytes & -sram.bank_bytes), word_bytes


class Scratchpad(wiring.Component):
    """Ports `read_0`, `read_1` ... and `write_0` ... of the given bytes; timing as in docs/rtl.md.

    A read touches the bytes from `address` on that `size` counts or its mask has, a write those of its mask;
    no others can meet another port or miss the memory. Bytes of `data` that are not wanted may be anything.
    A read sees the bytes as they were before the writes of its cycle.

    `conflict`: two read ports, or two write ports, touched one bank in the same cycle; the one of the lowest
    number had the bank, another one reads zeros there, and wrote nothing. `fault`, with a bit for each read
    port and then for each write port: an access touched bytes that do not exist, which read as zeros, or more
    bytes than a word has. Both come with the data.

    Requests are kept in registers, so that logic may stand before the ports; the cycle behind them is for the
    banks that an access touches, the next for the bytes of its ring, the third for turning the ring.

    A bank is `word_bytes` wide, in columns of `column_bytes` with an address each: both powers of two, the
    latter a divisor of a bank. An access that begins b bytes within a column may have `word_bytes` - b bytes.
    """

    def __init__(
        self,
        sram: Sram,
        read_ports: Sequence[ReadPort],
        write_ports: Sequence[int],
        column_bytes: int,
        word_bytes: int,
    ) -> None:
        widest = max(*(port.port_bytes for port in read_ports), *write_ports)
        assert column_bytes.bit_count() == 1, "columns follow from bits of the address"
        assert word_bytes.bit_count() == 1, "words follow from bits of the address"
        assert sram.bank_bytes % column_bytes == 0, "columns divide the start of a bank"
        assert word_bytes >= max(widest, column_bytes), "a port is at most as wide as a bank"
        self.column_bytes, self.word_bytes = column_bytes, word_bytes
        self.read_ports, self.write_ports = tuple(read_ports), tuple(write_ports)
        self.address_bits = address_bits(sram.total_bytes)
        self.masked_address_bits = masked_address_bits(sram.total_bytes, word_bytes)
        self.geometry = Geometry(
            banks=sram.banks,
            bank_cells=sram.bank_bytes // column_bytes,
            columns=self.word_bytes // column_bytes,
            cell_bits=8 * column_bytes,
            cell_masks=column_bytes,
            ring_parts=max(word_bytes // 2, 1 << (widest - 1).bit_length()),
        )
        self._skipped = column_bytes.bit_length() - 1
        ports = len(self.read_ports) + len(self.write_ports)
        members: dict[str, Any] = {"conflict": Out(1), "fault": Out(ports)}
        for number, port in enumerate(self.read_ports):
            bits = self.masked_address_bits if port.masked else self.address_bits
            members[f"read_{number}"] = In(read_signature(bits, port.port_bytes, port.masked))
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
        for access in accesses:
            m.submodules[access.name] = access
        m.submodules.crossbar = crossbar = Crossbar(self.geometry, reads, writes)
        for number, (access, ring) in enumerate(zip(reads, crossbar.data, strict=True)):
            port, name = getattr(self, access.name), f"{access.name}_turned"
            amount = delayed(m, access.offset, 3, f"{access.name}_offset_before")[: self._ring_bits]
            wanted = self.read_ports[number].port_bytes
            m.d.comb += port.data.eq(rotate_down(m, ring, 8, amount, wanted, name))
        faults = delayed(m, Cat(too_long), 1, "too_long") | Cat(access.fault for access in accesses)
        conflicts = delayed(m, crossbar.conflict, 1, "conflicts").any()
        m.d.comb += [
            self.conflict.eq(delayed(m, conflicts, 2, "conflict_flag")),
            self.fault.eq(delayed(m, faults, 3, "faults")),
        ]
        return m

    @property
    def _ring_bits(self) -> int:
        return self.geometry.ring_parts.bit_length() - 1

    def _access(self, m: Module, port: Any, name: str, mask: Value, wraps: bool = False) -> Access:
        """Return the access to the bytes of a mask."""
        access = Access(self.geometry, name, len(port.address), kept=True, wraps=wraps)
        m.d.comb += [access.en.eq(port.en), access.address.eq(port.address)]
        wanted = Signal(self._columns(len(mask)), name=f"{name}_wanted")
        size = self.column_bytes
        for column, wants in enumerate(wanted):
            bytes_of_column = Const(((1 << size) - 1) << column * size, len(mask) + size - 1)
            m.d.comb += wants.eq((mask & (bytes_of_column >> self._within(port))).any())
        column = port.address[self._skipped : self.geometry.offset_bits]
        m.d.comb += access.touched.eq(shift_up(wanted, column))
        return access

    def _within(self, port: Any) -> Value:
        """The first byte's place in its column."""
        return port.address[: self._skipped]

    def _columns(self, port_bytes: int) -> int:
        """Return how many columns an access touches at most."""
        return min(ceil_div(port_bytes + self.column_bytes - 1, self.column_bytes), self.geometry.columns)

    def _read_access(self, m: Module, number: int, too_long: list[Value]) -> Access:
        port, name = getattr(self, f"read_{number}"), f"read_{number}"
        masked, width = self.read_ports[number].masked, self.read_ports[number].port_bytes
        mask = Signal(width, name=f"{name}_bytes")
        m.d.comb += mask.eq(port.mask if masked else ones(port.size, width))
        too_long.append(self._too_long(port, mask))
        return self._access(m, port, name, mask, wraps=masked)

    def _too_long(self, port: Any, mask: Value) -> Value:
        """Whether bytes of a mask lie behind a word that begins with the first byte's column."""
        most = len(mask) + self.column_bytes - 1
        if most <= self.word_bytes:
            return Const(0, 1)
        behind = Const(((1 << most) - 1) >> self.word_bytes << self.word_bytes, most) >> self._within(port)
        return port.en & (mask & behind).any()

    def _write_access(self, m: Module, number: int, too_long: list[Value]) -> Write:
        port, name = getattr(self, f"write_{number}"), f"write_{number}"
        too_long.append(self._too_long(port, port.mask))
        access = self._access(m, port, name, port.mask)
        mask = delayed(m, port.mask, 1, f"{name}_mask")
        offset, within = access.offset, access.offset[: self._skipped]
        reached = shift_up(mask, within)[: self.word_bytes]
        ring_mask = rotate_up(
            m, reached, self.column_bytes, access.column, self.geometry.columns, f"{name}_mask_turned"
        )
        content = delayed(m, port.data, 1, f"{name}_data")
        ring = rotate_up(m, content, 8, offset[: self._ring_bits], self.geometry.ring_parts, f"{name}_turned")
        return Write(access, ring, ring_mask)
