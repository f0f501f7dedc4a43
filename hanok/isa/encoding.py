"""Encode an instruction, and decode a stream of them: views of the instruction table."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ProgramError
from hanok.isa._packed import FORMAT_OF, FORMATS, KERNEL_TABLE, KERNEL_USED_BITS, WORD
from hanok.isa.faults import Fault
from hanok.isa.table import BY_OPCODE, FLAG_FRESH, INSTRUCTIONS, Format, Opcode

MAX_RECORD_BYTES = 1 << 27
"""Records of one stream; a few bytes that stand for gigabytes are refused instead of unpacked."""

_CAUSES = (
    Fault.NONE,
    Fault.ILLEGAL_OPCODE,
    Fault.CUT_SHORT,
    Fault.NO_SUCH_WORD,
    Fault.NO_SUCH_BIT,
)
"""Of the faults that the decoding kernels find."""
_UNIT_OF_OPCODE = np.full(256, -1, np.int64)
for _row in INSTRUCTIONS:
    _UNIT_OF_OPCODE[_row.opcode] = _row.unit


@dataclass(frozen=True)
class Decoded:
    """A decoded program: one entry an instruction, in dispatch order, and the records of each format."""

    offset_bytes: npt.NDArray[np.int64]
    """First byte of the instruction in the stream."""
    size_bytes: npt.NDArray[np.int64]
    """Bytes of the instruction in the stream."""
    opcode: npt.NDArray[np.uint8]
    unit: npt.NDArray[np.int64]
    wait: npt.NDArray[np.uint8]
    post: npt.NDArray[np.uint8]
    row: npt.NDArray[np.int64]
    """Row of the instruction in the record array of its format."""
    records: dict[str, npt.NDArray[np.void]]
    """Format name -> packed records, in dispatch order."""
    code_bytes: int

    def __len__(self) -> int:
        return len(self.opcode)

    def record(self, index: int) -> np.void:
        """The record of instruction `index`."""
        name = BY_OPCODE[Opcode(int(self.opcode[index]))].format.name
        record: np.void = self.records[name][self.row[index]]
        return record


_STRUCT_CODES = {
    "u1": "B",
    "i1": "b",
    "u2": "H",
    "i2": "h",
    "u4": "I",
    "i4": "i",
    "u8": "Q",
    "i8": "q",
    "f4": "f",
}


@dataclass(frozen=True)
class _Packer:
    """How a format is packed: one struct, and for each field its first item, count and range."""

    layout: struct.Struct
    place: dict[str, tuple[int, int, int, int]]
    """Field -> first item, items, smallest and largest integer (both 0 for a float)."""
    cleared: tuple[float, ...]


def _packer(layout: Format) -> _Packer:
    codes, place, items = "<", {}, 0
    cleared: list[float] = []
    for field in layout.fields:
        dtype = np.dtype(field.code)
        codes += f"{field.count}{_STRUCT_CODES[dtype.kind + str(dtype.itemsize)]}"
        info = np.iinfo(dtype) if dtype.kind in "iu" else None
        low, high = (int(info.min), int(info.max)) if info else (0, 0)
        high = FLAG_FRESH - 1 if field.name == "flags" else high
        place[field.name] = (items, field.count, low, high)
        cleared += [0 if info else 0.0] * field.count
        items += field.count
    packed = struct.calcsize(codes)
    return _Packer(struct.Struct(f"{codes}{layout.size_bytes - packed}x"), place, tuple(cleared))


_PACKERS = {row.opcode: _packer(row.format) for row in INSTRUCTIONS}


def encode(opcode: Opcode, values: Mapping[str, Any]) -> bytes:
    """Encode one instruction, packed, from a cleared record: it stands alone and may follow any other.

    Fields that are not named are 0; a field of several items takes as many values, or one for all of them.
    Raises ValueError for unknown fields and misfits.
    """
    form, record = FORMAT_OF[opcode], encode_record(opcode, values)
    size = WORD.itemsize
    words = [record[size * number : size * (number + 1)] for number in range(1, 1 + form.body_words)]
    bitmap = sum(1 << number for number, word in enumerate(words) if any(word))
    head = record[: size - 1] + bytes([record[size - 1] | FLAG_FRESH])
    return (
        head
        + bitmap.to_bytes(size * form.bitmap_words, "little")
        + b"".join(word for word in words if any(word))
    )


def encode_record(opcode: Opcode, values: Mapping[str, Any]) -> bytes:
    """Return the record of one instruction, as units see it; fields as for `encode`."""
    packer = _PACKERS[opcode]
    items = list(packer.cleared)
    items[0] = int(opcode)
    place = packer.place
    for name, value in values.items():
        if name not in place or name == "opcode":
            raise ValueError(f"{opcode.name} has no field '{name}'")
        first, count, low, high = place[name]
        if count == 1 and isinstance(value, int) and low <= value <= high > 0:
            items[first] = value
            continue
        given = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * count
        if len(given) != count:
            raise ValueError(f"{opcode.name}.{name}: {len(given)} values; allowed: {count}")
        for item in given:
            if high and not isinstance(item, (int, np.integer)):
                raise ValueError(f"{opcode.name}.{name}: {item} is not an integer")
            if high and not low <= item <= high:
                raise ValueError(f"{opcode.name}.{name}: {item} is outside {low}..{high}")
        items[first : first + count] = given
    try:
        return packer.layout.pack(*items)
    except (OverflowError, struct.error) as error:
        raise ValueError(f"{opcode.name}: a float field holds no float32: {error}") from None


def decode(code: bytes) -> Decoded:
    """Decode a stream of packed instructions into their records.

    Raises ProgramError that names the byte for an illegal opcode, a cut instruction, a word or bit that the
    format does not have, and a stream of more than MAX_RECORD_BYTES of records.
    """
    from hanok.isa import _kernels_decode as kernels

    if len(code) % WORD.itemsize:
        raise ProgramError(
            f"code of {len(code)} bytes is not a whole number of {WORD.itemsize}-byte words",
            Fault.UNALIGNED_CODE,
        )
    words, counts = np.frombuffer(code, WORD), np.zeros(len(FORMATS), np.int64)
    fault, place = kernels.count_instructions(words, KERNEL_TABLE, counts)
    if fault:
        raise ProgramError(_fault_text(fault, code, place * WORD.itemsize), _CAUSES[fault])
    sizes = counts * [form.record_words for form in FORMATS.values()]
    first = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    if total * WORD.itemsize > MAX_RECORD_BYTES:
        raise ProgramError(
            f"the code stands for {total * WORD.itemsize} bytes of instruction records; allowed: "
            f"{MAX_RECORD_BYTES}; cut it into several stages"
        )
    offset, row = np.zeros(int(counts.sum()), np.int64), np.zeros(int(counts.sum()), np.int64)
    flat = np.zeros(total, WORD)
    fault, place = kernels.replay(words, KERNEL_TABLE, KERNEL_USED_BITS, first, offset, row, flat)
    if fault:
        raise ProgramError(_fault_text(fault, code, place * WORD.itemsize), _CAUSES[fault])
    heads = np.ascontiguousarray(words[offset]).view(np.uint8).reshape(-1, WORD.itemsize)
    offset *= WORD.itemsize
    records = {
        name: flat[begin : begin + size].view(form.dtype)
        for (name, form), begin, size in zip(FORMATS.items(), first, sizes, strict=True)
    }
    opcode = heads[:, 0].copy()
    return Decoded(
        offset_bytes=offset,
        size_bytes=np.diff(offset, append=len(code)),
        opcode=opcode,
        unit=_UNIT_OF_OPCODE[opcode],
        wait=heads[:, 1].copy(),
        post=heads[:, 2].copy(),
        row=row,
        records=records,
        code_bytes=len(code),
    )


def _fault_text(fault: int, code: bytes, place: int) -> str:
    """What is wrong with the instruction at byte `place`."""
    from hanok.isa import _kernels_decode as kernels

    if fault == kernels.ILLEGAL_OPCODE:
        return f"illegal opcode 0x{code[place]:02x} at byte {place}"
    if fault == kernels.CUT_SHORT:
        return f"the last instruction at byte {place} is cut short"
    row = BY_OPCODE[Opcode(code[place])]
    words = FORMAT_OF[row.opcode].body_words
    if fault == kernels.NO_SUCH_WORD:
        return (
            f"the bitmap of {row.mnemonic} at byte {place} names words that its format does not have; "
            f"allowed: bits 0..{words - 1}"
        )
    return f"{row.mnemonic} at byte {place} sets bits behind the last field of its format"
