"""Encode, decode, assemble and disassemble: views of the instruction table."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ProgramError
from hanok.isa.table import BY_OPCODE, INSTRUCTIONS, WORD_BYTES, Format, Opcode, Unit

_DTYPES = {row.format.name: row.format.dtype for row in INSTRUCTIONS}
_FORMAT_NAMES = tuple(_DTYPES)
_WORDS_OF_OPCODE = np.zeros(256, np.int64)
_FORMAT_OF_OPCODE = np.zeros(256, np.int64)
_UNIT_OF_OPCODE = np.full(256, -1, np.int64)
for _row in INSTRUCTIONS:
    _WORDS_OF_OPCODE[_row.opcode] = _row.format.words
    _FORMAT_OF_OPCODE[_row.opcode] = _FORMAT_NAMES.index(_row.format.name)
    _UNIT_OF_OPCODE[_row.opcode] = _row.unit


@dataclass(frozen=True)
class Decoded:
    """A decoded program: one entry an instruction, in dispatch order, and the records of each format."""

    offset_bytes: npt.NDArray[np.int64]
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
        place[field.name] = (items, field.count, low, high)
        cleared += [0 if info else 0.0] * field.count
        items += field.count
    packed = struct.calcsize(codes)
    return _Packer(struct.Struct(f"{codes}{layout.size_bytes - packed}x"), place, tuple(cleared))


_PACKERS = {row.opcode: _packer(row.format) for row in INSTRUCTIONS}


def encode(opcode: Opcode, values: Mapping[str, Any]) -> bytes:
    """Encode one instruction; fields that are not named are 0. Refuses unknown fields and misfits.

    A field of several items takes as many values, or one for all of them.
    """
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
    """Decode a byte string of instructions; raise ProgramError at an illegal opcode or a cut instruction."""
    if len(code) % WORD_BYTES:
        raise ProgramError(f"code of {len(code)} bytes is not a whole number of {WORD_BYTES}-byte words")
    raw = np.frombuffer(code, np.uint8)
    offsets = []
    position = 0
    first_bytes = raw[::WORD_BYTES].tolist()
    words_of = _WORDS_OF_OPCODE.tolist()
    total = len(first_bytes)
    while position < total:
        words = words_of[first_bytes[position]]
        if not words:
            raise ProgramError(
                f"illegal opcode 0x{first_bytes[position]:02x} at byte {position * WORD_BYTES}"
            )
        if position + words > total:
            raise ProgramError(f"the last instruction at byte {position * WORD_BYTES} is cut short")
        offsets.append(position)
        position += words
    offset = np.array(offsets, np.int64) * WORD_BYTES
    opcode = raw[offset] if len(offset) else np.zeros(0, np.uint8)
    formats = _FORMAT_OF_OPCODE[opcode]
    row = np.zeros(len(offset), np.int64)
    records = {}
    for number, name in enumerate(_FORMAT_NAMES):
        members = np.flatnonzero(formats == number)
        row[members] = np.arange(len(members))
        size = _DTYPES[name].itemsize
        gathered = (
            raw[offset[members, None] + np.arange(size)] if len(members) else np.zeros((0, size), np.uint8)
        )
        records[name] = np.ascontiguousarray(gathered).view(_DTYPES[name]).reshape(-1)
    return Decoded(
        offset,
        opcode,
        _UNIT_OF_OPCODE[opcode],
        raw[offset + 1] if len(offset) else opcode,
        raw[offset + 2] if len(offset) else opcode,
        row,
        records,
        len(code),
    )


def _mask_text(mask: int) -> str:
    return "+".join(unit.name.lower() for unit in Unit if mask >> unit & 1)


def disassemble(decoded: Decoded, index: int) -> str:
    """One line of assembly: mnemonic, wait and post, then every field that is not zero."""
    record = decoded.record(index)
    layout: Format = BY_OPCODE[Opcode(int(record["opcode"]))].format
    words = [Opcode(int(record["opcode"])).name.lower()]
    for name, mask in (("wait", int(record["wait"])), ("post", int(record["post"]))):
        if mask:
            words.append(f"{name}={_mask_text(mask)}")
    for field in layout.fields[3:]:
        value = record[field.name]
        if np.any(value != 0) or np.any(np.signbit(value)):
            words.append(f"{field.name}={_value_text(value)}")
    return " ".join(words)


def _value_text(value: Any) -> str:
    if np.ndim(value):
        return "[" + ",".join(_value_text(item) for item in value) + "]"
    return repr(float(value)) if np.asarray(value).dtype.kind == "f" else str(int(value))


def assemble(line: str) -> bytes:
    """Encode one line of assembly as `disassemble` prints it; raise ProgramError that names the fault."""
    mnemonic, *words = line.split() or [""]
    if not mnemonic:
        raise ProgramError("an empty line holds no instruction")
    try:
        opcode = Opcode[mnemonic.upper()]
    except KeyError:
        known = ", ".join(row.mnemonic for row in INSTRUCTIONS)
        raise ProgramError(f"unknown instruction '{mnemonic}'; known: {known}") from None
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            values[name] = _parse_mask(text) if name in ("wait", "post") else _parse_value(text)
        except (ValueError, KeyError):
            raise ProgramError(f"{mnemonic}: '{word}' is not field=value") from None
    try:
        return encode(opcode, values)
    except (ValueError, TypeError) as error:
        raise ProgramError(str(error)) from None


def _parse_mask(text: str) -> int:
    return sum(1 << Unit[name.upper()] for name in text.split("+"))


def _parse_value(text: str) -> Any:
    if text.startswith("["):
        return [_parse_value(item) for item in text[1:-1].split(",")]
    try:
        return int(text)
    except ValueError:
        return float(text)
