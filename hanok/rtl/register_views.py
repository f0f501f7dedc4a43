"""The register map for people and for C: views of `register_map.py` and `isa/faults.py`."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.isa.faults import MEANING, Fault
from hanok.rtl.register_map import ADDRESS_BITS, COUNTERS, FIRST_COUNTER, REGISTERS, WORD_BYTES, Access

COUNTER_BYTES = 2 * WORD_BYTES
_ACCESS = {
    Access.READ_ONLY: "read",
    Access.READ_WRITE: "read, write",
    Access.WRITE_ONE_TO_CLEAR: "read, 1 clears",
    Access.WRITE_ONE_TO_SET: "1 commands, reads 0",
}


def register_markdown() -> str:
    """Return the register map as a page of Markdown."""
    return "\n".join([*_register_lines(), *_field_lines(), *_counter_lines(), *cause_lines(), ""])


def _register_lines() -> Iterator[str]:
    yield "# Registers"
    yield ""
    yield f"All registers have 32 bits, in an address space of {1 << ADDRESS_BITS} bytes. An access to an"
    yield "offset that is not listed, a write to a register that can only be read, and a start while the core"
    yield "is busy are answered with SLVERR and change nothing; what is read beside SLVERR is not specified."
    yield "Write strobes are obeyed."
    yield ""
    yield "| offset | register | access | after reset | meaning |"
    yield "|---|---|---|---|---|"
    for register in REGISTERS:
        if register.offset < FIRST_COUNTER:
            yield (
                f"| 0x{register.offset:03X} | `{register.name}` | {_ACCESS[register.access]} | "
                f"0x{register.reset:08X} | {register.meaning} |"
            )
    yield ""


def _field_lines() -> Iterator[str]:
    yield "## Fields"
    yield ""
    yield "Bits that are not listed read as 0."
    yield ""
    yield "| register | bit | field | meaning |"
    yield "|---|---|---|---|"
    for register in REGISTERS:
        for part in register.fields:
            high = part.bit + part.bits - 1
            place = f"{part.bit}" if part.bits == 1 else f"{high}:{part.bit}"
            yield f"| `{register.name}` | {place} | `{part.name}` | {part.meaning} |"
    yield ""


def _counter_lines() -> Iterator[str]:
    yield "## Counters"
    yield ""
    yield "64 bits each, low word first, of the run since the last start. Reading a low word holds the high"
    yield "word for the next read, so that both belong together. In each cycle of a run each unit counts one"
    yield "cause. After a fault bits 63:48 are not specified."
    yield ""
    yield "| offset | counter |"
    yield "|---|---|"
    for number, name in enumerate(COUNTERS):
        yield f"| 0x{FIRST_COUNTER + COUNTER_BYTES * number:03X} | `{name}` |"
    yield ""


def cause_lines() -> Iterator[str]:
    """Yield the table of causes, as lines of Markdown."""
    yield "## Causes"
    yield ""
    yield "| `cause` | name | meaning |"
    yield "|---|---|---|"
    for fault in Fault:
        yield f"| {int(fault)} | `{fault.name.lower()}` | {MEANING[fault]} |"


def c_header(licence: str) -> str:
    """Return offsets, fields, causes and counters as macros of a C header, under a comment."""
    lines = [*(f"// {line}" for line in licence.splitlines()), "#ifndef HANOK_REGISTERS_H"]
    lines += ["#define HANOK_REGISTERS_H", ""]
    for register in REGISTERS:
        if register.offset < FIRST_COUNTER:
            lines += _register_macros(register.name, register.offset, register.meaning)
            for part in register.fields:
                stem = f"HANOK_{register.name}_{part.name}".upper()
                lines += [f"#define {stem}_BIT {part.bit}u"]
                lines += [f"#define {stem} 0x{((1 << part.bits) - 1) << part.bit:X}u /* {part.meaning} */"]
    identifier = next(register for register in REGISTERS if register.name == "identifier")
    lines += ["", f"#define HANOK_IDENTIFIER_VALUE 0x{identifier.reset:08X}u", ""]
    for number, name in enumerate(COUNTERS):
        lines.append(f"#define HANOK_COUNTER_{name.upper()} 0x{FIRST_COUNTER + COUNTER_BYTES * number:03X}u")
    lines.append("")
    lines += [f"#define HANOK_CAUSE_{fault.name} {int(fault)}u /* {MEANING[fault]} */" for fault in Fault]
    return "\n".join([*lines, "", "#endif", ""])


def _register_macros(name: str, offset: int, meaning: str) -> list[str]:
    return [f"#define HANOK_{name.upper()} 0x{offset:03X}u /* {meaning} */"]
