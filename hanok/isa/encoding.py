"""Encode, decode, assemble and disassemble: views of the instruction table."""

from __future__ import annotations

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


def encode(opcode: Opcode, values: dict[str, Any]) -> bytes:
    """Encode one instruction; fields that are not named are 0. Refuses unknown fields and misfits."""
    layout = BY_OPCODE[opcode].format
    record = np.zeros((), _DTYPES[layout.name])
    record["opcode"] = int(opcode)
    for name, value in values.items():
        if record.dtype.names is None or name not in record.dtype.names or name == "opcode":
            raise ValueError(f"{opcode.name} has no field '{name}'")
        field_type = record.dtype[name]
        if field_type.base.kind in "iu":
            info = np.iinfo(field_type.base)
            if np.min(value) < info.min or np.max(value) > info.max:
                raise ValueError(f"{opcode.name}.{name}: {value} is outside {info.min}..{info.max}")
        record[name] = value
    return record.tobytes()


def encode_all(rows: list[tuple[Opcode, dict[str, Any]]]) -> bytes:
    """Encode instructions in order, a column of fields at a time; the same bytes as `encode` one by one."""
    sizes = np.array([BY_OPCODE[opcode].format.size_bytes for opcode, _ in rows], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    code = np.zeros(int(starts[-1]), np.uint8)
    for name, dtype in _DTYPES.items():
        members = [index for index, (opcode, _) in enumerate(rows) if BY_OPCODE[opcode].format.name == name]
        if not members:
            continue
        records = np.zeros(len(members), dtype)
        for field in dtype.names or ():
            blank = 0 if dtype[field].shape == () else [0] * dtype[field].shape[0]
            column = [rows[index][1].get(field, blank) for index in members]
            records[field] = _checked(name, field, dtype[field].base, column)
        records["opcode"] = [int(rows[index][0]) for index in members]
        places = starts[members][:, None] + np.arange(dtype.itemsize)
        code[places] = records.view(np.uint8).reshape(len(members), dtype.itemsize)
    return code.tobytes()


def _checked(layout: str, field: str, dtype: np.dtype[Any], column: list[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "f":
        return np.array(column, dtype)
    numbers = np.array(column, np.int64)
    info = np.iinfo(dtype)
    if numbers.size and (numbers.min() < info.min or numbers.max() > info.max):
        raise ValueError(f"{layout}.{field}: {numbers.min()}..{numbers.max()} is outside {info.min}..{info.max}")
    return numbers


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
            raise ProgramError(f"illegal opcode 0x{first_bytes[position]:02x} at byte {position * WORD_BYTES}")
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
        gathered = raw[offset[members, None] + np.arange(size)] if len(members) else np.zeros((0, size), np.uint8)
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
    mnemonic, *words = line.split()
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
    except ValueError as error:
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
