"""The scratchpad: all its banks, and the crossbar between them and the ports of the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Core, Sram
from hanok.rtl._memory_access import Access
from hanok.rtl._memory_bank import Write
from hanok.rtl._memory_crossbar import Crossbar
from hanok.rtl._memory_geometry import Geometry
from hanok.rtl._memory_shift import ones, rotate_down, rotate_up, shift_up, split
from hanok.units import ceil_div

ADDRESS_BITS = 31
"""The largest scratchpad has 2**31 bytes."""
BANK_MULTIPLE_BYTES = 64
"""Banks begin at multiples of it."""
ELEMENT_BYTES = 4
"""int32 and float32 lie at multiples of their size."""


@dataclass(frozen=True)
class ReadPort:
    """A port of so many bytes; `masked`: with a mask of them instead of a size.

    A masked port has addresses of `ADDRESS_BITS`, and byte 0 lies behind the last of them.
    """

    port_bytes: int
    masked: bool = False


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


def core_scratchpad(core: Core) -> Scratchpad:
    """Return the scratchpad of a core.

    Its read ports are in this order the matrix unit's activations and weights, the vector unit's three
    operands, and the store engine; its write ports the load engine and the vector unit.
    """
    matrix, beat, lanes = core.matrix, core.dma.bytes_per_cycle, core.vector.lanes
    activations, weights = max(matrix.rows, matrix.columns), matrix.columns * matrix.preload_rows_per_cycle
    column_bytes, word_bytes = columns_of(
        core.sram, unaligned=max(activations, weights, beat, lanes), elements=ELEMENT_BYTES * lanes
    )
    vector = ReadPort(ELEMENT_BYTES * lanes)
    masked = [ReadPort(activations, masked=True), ReadPort(weights, masked=True)]
    reads = [*masked, vector, vector, vector, ReadPort(beat)]
    return Scratchpad(core.sram, reads, [beat, vector.port_bytes], column_bytes, word_bytes)


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

    `conflict`: two read ports, or two write ports, touch one bank in this cycle; the one of the lowest number
    has the bank, another one reads zeros there, and writes nothing. `fault`: an access in this cycle touches
    bytes that do not exist, which read as zeros, or more bytes than a word has.

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
        self.address_bits = (sram.total_bytes - 1).bit_length()
        self.geometry = Geometry(
            banks=sram.banks,
            bank_cells=sram.bank_bytes // column_bytes,
            columns=self.word_bytes // column_bytes,
            cell_bits=8 * column_bytes,
            cell_masks=column_bytes,
        )
        self._skipped = column_bytes.bit_length() - 1
        members: dict[str, Any] = {"conflict": Out(1), "fault": Out(1)}
        for number, port in enumerate(self.read_ports):
            bits = ADDRESS_BITS if port.masked else self.address_bits
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
        for number, columns in enumerate(crossbar.data):
            self._read_data(m, number, columns)
        m.d.comb += self.conflict.eq(crossbar.conflict)
        m.d.comb += self.fault.eq(Cat(*(access.fault for access in accesses), *too_long).any())
        return m

    def _access(self, m: Module, port: Any, name: str, wraps: bool = False) -> tuple[Access, Value]:
        """Return the access and the first byte's place in its column."""
        access = Access(self.geometry, name, len(port.address) - self._skipped, wraps)
        m.d.comb += [access.en.eq(port.en), access.cell.eq(port.address[self._skipped :])]
        return access, port.address[: self._skipped]

    def _columns(self, port_bytes: int) -> int:
        """Return how many columns an access touches at most."""
        return min(ceil_div(port_bytes + self.column_bytes - 1, self.column_bytes), self.geometry.columns)

    def _read_access(self, m: Module, number: int, too_long: list[Value]) -> Access:
        port, name = getattr(self, f"read_{number}"), f"read_{number}"
        masked, width = self.read_ports[number].masked, self.read_ports[number].port_bytes
        access, within = self._access(m, port, name, masked)
        if masked:
            cells = [
                part.any() for part in split(self._mask(m, port, within, name, too_long), self.column_bytes)
            ]
            wanted = Signal(len(cells), name=f"{name}_wanted")
            m.d.comb += wanted.eq(Cat(cells))
        else:
            end, reach = (
                Signal(range(width + self.column_bytes)),
                Signal(range(width + 2 * self.column_bytes)),
            )
            m.d.comb += [end.eq(within + port.size), reach.eq(end + self.column_bytes - 1)]
            too_long.append(port.en & (end > self.word_bytes))
            wanted = Signal(self._columns(width), name=f"{name}_wanted")
            m.d.comb += wanted.eq(Mux(port.size.any(), ones(reach[self._skipped :], len(wanted)), 0))
        m.d.comb += access.touched.eq(shift_up(wanted, access.column))
        return access

    def _mask(self, m: Module, port: Any, within: Value, name: str, too_long: list[Value]) -> Signal:
        """Return the mask from the first byte of the column on, without what is behind a word."""
        masks = Signal(self._columns(len(port.mask)) * self.column_bytes, name=f"{name}_bytes")
        whole = Signal(len(port.mask) + self.column_bytes - 1)
        m.d.comb += [whole.eq(shift_up(port.mask, within)), masks.eq(whole)]
        too_long.append(port.en & whole[self.word_bytes :].any())
        return masks

    def _write_access(self, m: Module, number: int, too_long: list[Value]) -> Write:
        port, name = getattr(self, f"write_{number}"), f"write_{number}"
        access, within = self._access(m, port, name)
        masks, mask = self._mask(m, port, within, name, too_long), Signal(2 * self.word_bytes)
        place = Cat(Const(0, self._skipped), access.column)
        m.d.comb += mask.eq(Mux(port.en, masks << place, 0))
        data = Signal(8 * len(masks), name=f"{name}_data")
        m.d.comb += data.eq(port.data << Cat(Const(0, 3), within))
        columns = split(data, 8 * self.column_bytes)
        turned = rotate_up(m, columns, access.column, self.geometry.columns, f"{name}_turned")
        m.d.comb += access.touched.eq(Cat(part.any() for part in split(mask, self.column_bytes)))
        return Write(access, turned, mask)

    def _read_data(self, m: Module, number: int, columns: Sequence[Value]) -> None:
        port, name = getattr(self, f"read_{number}"), f"read_{number}"
        address = Signal(self.word_bytes.bit_length() - 1, name=f"{name}_address_before", reset_less=True)
        m.d.sync += address.eq(port.address)
        wanted = self._columns(self.read_ports[number].port_bytes)
        found = rotate_down(m, columns, address[self._skipped :], wanted, f"{name}_turned")
        m.d.comb += port.data.eq(Cat(found) >> Cat(Const(0, 3), address[: self._skipped]))
