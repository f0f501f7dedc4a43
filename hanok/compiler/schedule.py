"""The schedule under construction: symbolic SRAM buffers and instructions in dispatch order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hanok.isa import UNIT_OF, Opcode, Unit
from hanok.machine import Chip


@dataclass(eq=False)
class Buffer:
    """A range of whole SRAM banks, born with the first instruction that touches it, freed after the last.

    `long_lived` buffers (resident tensors, weights of a whole layer) are placed away from the tiles that
    come and go. `address` is set by the allocator.
    """

    name: str
    size_bytes: int
    long_lived: bool = False
    pinned: bool = False
    """A pinned buffer keeps its banks whatever its last use so far."""
    address: int = -1
    first_use: int = -1
    last_use: int = -1


@dataclass(frozen=True)
class Location:
    """A place in a buffer."""

    buffer: Buffer
    offset: int = 0

    def plus(self, count_bytes: int) -> Location:
        """The place `count_bytes` further on."""
        return Location(self.buffer, self.offset + count_bytes)


@dataclass(frozen=True)
class Access:
    """Bytes [low, high) of a buffer that an instruction touches."""

    buffer: Buffer
    low: int
    high: int


@dataclass(frozen=True)
class DramAccess:
    """Bytes [low, high) of DRAM that an instruction touches."""

    low: int
    high: int
    write: bool


@dataclass(eq=False)
class Operation:
    """One instruction before its addresses are known."""

    opcode: Opcode
    values: dict[str, Any]
    places: dict[str, Location]
    """Address fields that the allocator fills: field -> place (an offset is added in bytes)."""
    accesses: tuple[Access, ...]
    layer: int
    dram: DramAccess | None = None
    accumulator_bank: int = -1
    unit: Unit = field(init=False)

    def __post_init__(self) -> None:
        self.unit = UNIT_OF[self.opcode]


class Schedule:
    """Operations in dispatch order, with the turn of the accumulator banks."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.operations: list[Operation] = []
        self.accumulator_turn = 0

    def append(self, operation: Operation) -> None:
        """Add an operation and extend the lives of its buffers to it."""
        index = len(self.operations)
        for access in operation.accesses:
            buffer = access.buffer
            assert 0 <= access.low < access.high <= buffer.size_bytes, (
                f"{operation.opcode.name} touches {access.low}..{access.high} of {buffer.name} "
                f"({buffer.size_bytes} bytes)"
            )
            if buffer.first_use < 0:
                buffer.first_use = index
            buffer.last_use = index
        self.operations.append(operation)

    def next_accumulator_bank(self) -> int:
        """Take the next accumulator bank in turn."""
        bank = self.accumulator_turn
        self.accumulator_turn = (bank + 1) % self.chip.core.matrix.accumulator_banks
        return bank
