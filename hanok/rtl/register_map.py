"""The table of the core's control and status registers, from which hardware, manual and IP-XACT derive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hanok.isa.table import ISA_VERSION, Unit

WORD_BYTES = 4
IDENTIFIER = 0x4B4F4E48
"""'HNOK', lowest byte first."""


class Access(StrEnum):
    """What the bus may do with a register, in IP-XACT's words."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    WRITE_ONE_TO_CLEAR = "oneToClear"
    WRITE_ONE_TO_SET = "oneToSet"


@dataclass(frozen=True)
class RegisterField:
    """Bits of a register."""

    name: str
    bit: int
    bits: int
    meaning: str


@dataclass(frozen=True)
class Register:
    """A 32-bit register at a byte offset from the core's base address."""

    name: str
    offset: int
    access: Access
    meaning: str
    fields: tuple[RegisterField, ...] = ()
    reset: int = 0


CONTROL = (
    RegisterField("start", 0, 1, "write 1 while the core is idle: run the code; it reads as 0"),
    RegisterField("stop", 1, 1, "write 1: clear all units and queues at once; it reads as 0"),
)
STATUS = (
    RegisterField("busy", 0, 1, "the core runs; not cleared by writing"),
    RegisterField("done", 1, 1, "all code has run and all its results are in memory"),
    RegisterField("fault", 2, 1, "the core has stopped; see `cause` and `fault_offset`"),
)
CAUSE_BITS = 8
CAUSE = (
    RegisterField("cause", 0, CAUSE_BITS, "see the causes"),
    RegisterField("open", CAUSE_BITS, 32 - CAUSE_BITS, "not specified after a fault, else 0"),
)
INTERRUPT = (
    RegisterField("done", 1, 1, "raise the interrupt while status.done is 1"),
    RegisterField("fault", 2, 1, "raise the interrupt while status.fault is 1"),
)

CAUSES = (
    "busy",
    *(f"wait_{unit.name.lower()}" for unit in Unit),
    "dram",
    "full_counter",
    "fetch",
    "dispatch",
    "end",
)
"""Causes of a cycle of a unit, in the order of the engine's counters (docs/timing.md, causes)."""
COUNTERS = (
    "cycles",
    "read_bytes",
    "written_bytes",
    "fetched_bytes",
    *(f"{unit.name.lower()}_{cause}" for unit in Unit for cause in CAUSES),
)
"""Performance counters of 64 bits, two registers each, in this order from `FIRST_COUNTER` on."""
FIRST_COUNTER = 0x100
FIRST_OPEN = 0xC0
"""From here to `FIRST_COUNTER` there is no register, and what is read beside the error is open."""


def _fixed() -> Iterator[Register]:
    yield Register("identifier", 0x00, Access.READ_ONLY, "'HNOK'", reset=IDENTIFIER)
    yield Register("isa_version", 0x04, Access.READ_ONLY, "version of the instruction set", reset=ISA_VERSION)
    yield Register("control", 0x08, Access.WRITE_ONE_TO_SET, "commands to the core", CONTROL)
    yield Register("status", 0x0C, Access.WRITE_ONE_TO_CLEAR, "what the core does", STATUS)
    yield Register("interrupt_enable", 0x10, Access.READ_WRITE, "what raises the interrupt", INTERRUPT)
    yield Register("cause", 0x14, Access.READ_ONLY, "why the core has stopped; 0: it has not", CAUSE)
    yield Register(
        "fault_offset",
        0x18,
        Access.READ_ONLY,
        "byte of the code where the instruction begins that `cause` is about; 0 if none is known",
    )
    yield Register("code_bytes", 0x1C, Access.READ_WRITE, "length of the code")
    yield Register("code_address_low", 0x20, Access.READ_WRITE, "byte address of the code, bits 31..0")
    yield Register("code_address_high", 0x24, Access.READ_WRITE, "bits 63..32")


def _counters() -> Iterator[Register]:
    for number, name in enumerate(COUNTERS):
        offset = FIRST_COUNTER + 2 * WORD_BYTES * number
        yield Register(f"{name}_low", offset, Access.READ_ONLY, f"counter {name}, bits 31..0; holds the rest")
        yield Register(
            f"{name}_high",
            offset + WORD_BYTES,
            Access.READ_ONLY,
            "bits 63..32 when the low ones were read; after a fault 63..48 are not specified",
        )


REGISTERS = (*_fixed(), *_counters())
BY_NAME = {register.name: register for register in REGISTERS}
ADDRESS_BITS = (REGISTERS[-1].offset + WORD_BYTES - 1).bit_length()
