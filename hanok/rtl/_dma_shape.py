"""Sizes that the DMA engines derive from chip and memory, and the layout of a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hanok.errors import ChipError
from hanok.isa.table import FLAG_KEEP_CODE, Opcode
from hanok.isa.timing import line_bytes, open_lines
from hanok.machine import Dma
from hanok.rtl._strides import bounded
from hanok.rtl.axi import MAX_DATA_BYTES
from hanok.rtl.scratchpad import address_bits as scratchpad_address_bits

STRIDE_BITS = 32
LEVELS = (1, 2, 3)


@dataclass(frozen=True)
class DmaShape:
    """What an engine is made for.

    Widths are such that no step out of the memory goes unseen: from an address inside, a stride or the next
    beat ends outside of it without wrapping around. Of DRAM, all strides and runs of 32 bits fit; of SRAM,
    strides are bounded.
    """

    width: int
    burst_bytes: int
    line_bytes: int
    """What a transfer on the bus has at most, and a slot holds: bursts, as many as hold a beat."""
    slots: int
    """Lines that may be open."""
    address_bits: int
    scratchpad_bits: int
    expands: bool = False
    """The engine has a decoder of packed weights."""
    unpacks: bool = False
    """The engine unpacks weights of four bits."""

    @classmethod
    def of(cls, dma: Dma, burst_bytes: int, address_bits: int, scratchpad_bytes: int) -> DmaShape:
        """Derive the sizes of an engine that copies and fills; raise ChipError for what they cannot do."""
        if burst_bytes & (burst_bytes - 1) or not 4 <= burst_bytes <= MAX_DATA_BYTES:
            raise ChipError(
                f"memory.standard: bursts of {burst_bytes} bytes; allowed in gates: powers of two from 4 to "
                f"{MAX_DATA_BYTES}, the widest AXI4 bus"
            )
        line = line_bytes(dma, burst_bytes)
        if line > MAX_DATA_BYTES:
            raise ChipError(
                f"core.dma.bytes_per_cycle: {dma.bytes_per_cycle}; allowed in gates: at most "
                f"{MAX_DATA_BYTES}, the widest AXI4 bus, which brings a beat in a cycle"
            )
        if not line.bit_length() <= address_bits <= 62:
            raise ChipError(f"memory: addresses of {address_bits} bits; allowed in gates: at most 62")
        bits = scratchpad_address_bits(scratchpad_bytes)
        slots = open_lines(dma, burst_bytes)
        return cls(dma.bytes_per_cycle, burst_bytes, line, slots, address_bits, bits)

    @property
    def offset_bits(self) -> int:
        """Bits of a byte's place in its line."""
        return self.line_bytes.bit_length() - 1

    @property
    def burst_bits(self) -> int:
        """Bits of a byte's place in its burst."""
        return self.burst_bytes.bit_length() - 1

    @property
    def part_bits(self) -> int:
        """Bits of a burst's place in its line."""
        return self.offset_bits - self.burst_bits

    @property
    def dram_bits(self) -> int:
        return max(self.address_bits, STRIDE_BITS) + 1

    @property
    def number_bits(self) -> int:
        """Bits of a line's number, its address without the offset."""
        return self.dram_bits - self.offset_bits

    @property
    def lanes(self) -> int:
        """Bytes over which beats are turned: the width, rounded up to a power of two."""
        return 1 << (self.width - 1).bit_length()

    @property
    def words(self) -> int:
        """Words of `lanes` bytes in a line."""
        return self.line_bytes // self.lanes

    @property
    def ring_bits(self) -> int:
        """Bits of a slot's number.

        There is a slot more than may be open, so that the bytes that the cycle engine has in its beat
        register can stay in the slot.
        """
        return max(2, self.slots.bit_length())

    def side_bits(self, side: str) -> int:
        """Bits of an address of DRAM or SRAM."""
        return {"dram": self.dram_bits, "sram": self.scratchpad_bits}[side]

    @property
    def stream_fields(self) -> dict[str, int]:
        """What tells a stream from bytes that are copied; nothing where there are no streams."""
        expands = {"expands": 1, "with_table": 1} if self.expands else {}
        return expands | ({"unpacks": 1} if self.unpacks else {})

    def is_stream(self, transfer: Any) -> Value:
        """Whether a transfer's bytes, or those of a beat, are part of a stream."""
        kinds = [transfer[name] for name in ("expands", "unpacks") if name in self.stream_fields]
        return Cat(kinds).any() if kinds else Const(0)

    @property
    def transfer(self) -> data.StructLayout:
        """A transfer's runs, with addresses and strides cut to what is needed."""
        return data.StructLayout(
            {
                "fills": 1,
                **self.stream_fields,
                "rest": 32,  # bytes of a run, less one
                **{f"count_{level}": 32 for level in LEVELS},
                **{f"repeats_{level}": 1 for level in LEVELS},  # the count is not 1
                "dram": walk_layout(self.dram_bits),
                "sram": walk_layout(self.scratchpad_bits),
            }
        )

    def connect_transfer(self, m: Module, transfer: Any, record: Any) -> None:
        """Drive a transfer from an instruction's record."""
        run = record.run_bytes
        if self.expands:
            packed, keeps = record.opcode == Opcode.EXPAND, (record.flags & FLAG_KEEP_CODE).any()
            m.d.comb += [transfer.expands.eq(packed), transfer.with_table.eq(packed & ~keeps)]
        if self.unpacks:
            m.d.comb += transfer.unpacks.eq(record.opcode == Opcode.UNPACK)
        run = Mux(self.is_stream(transfer), record.packed_bytes, run)
        m.d.comb += [transfer.fills.eq(record.opcode == Opcode.FILL), transfer.rest.eq(run - 1)]
        for side in ("dram", "sram"):
            m.d.comb += transfer[side].address.eq(record[f"{side}_address"])
        for level in LEVELS:
            sram_stride = bounded(record[f"sram_stride_{level}"], self.scratchpad_bits)
            m.d.comb += [
                transfer[f"count_{level}"].eq(record[f"count_{level}"]),
                transfer[f"repeats_{level}"].eq(record[f"count_{level}"] != 1),
                transfer.dram[f"stride_{level}"].eq(record[f"dram_stride_{level}"]),
                transfer.sram[f"stride_{level}"].eq(sram_stride),
            ]


def walk_layout(bits: int) -> data.StructLayout:
    """Return the layout of where runs lie on one side."""
    stride = signed(min(bits, STRIDE_BITS))
    return data.StructLayout({"address": bits, **{f"stride_{level}": stride for level in LEVELS}})


def first_bytes(count: Value, width: int) -> Value:
    """Return a mask of the first `count` of `width` bytes; all where there are more."""
    return Cat(*(count > index for index in range(width)))


def rotate_bytes(m: Module, value: Value, count: Value, bits: int = 8) -> Value:
    """Turn bytes to the right: byte i of the result is byte i + count, modulo their number."""
    for bit in range(len(count)):
        turned = Signal(len(value))
        m.d.comb += turned.eq(Mux(count[bit], value.rotate_right(bits << bit), value))
        value = turned
    return value
