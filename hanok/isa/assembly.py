"""Assembly: one line an instruction, of its whole record; `assemble` undoes `disassemble`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hanok.errors import ProgramError
from hanok.isa.encoding import Decoded, encode
from hanok.isa.table import BY_OPCODE, INSTRUCTIONS, Format, Opcode, Unit


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
