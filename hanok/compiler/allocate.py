"""Place every buffer in whole SRAM banks, in dispatch order, on the banks that have been free longest."""

from __future__ import annotations

from hanok.compiler.schedule import Buffer, Operation
from hanok.errors import CompileError
from hanok.machine import Chip
from hanok.units import ceil_div


class Allocator:
    """Banks of the scratchpad over dispatch order.

    A buffer takes consecutive banks when its first instruction is reached and gives them back after its
    last. Among the places that are wide enough, the one whose banks were given back earliest is taken: the
    unit that fills it then waits least for the unit that used it before, and double buffering needs no
    special case. Long-lived buffers go to the far end, so that tiles keep room in one piece.
    """

    def __init__(self, chip: Chip) -> None:
        self.banks = chip.core.sram.banks
        self.bank_bytes = chip.core.sram.bank_bytes
        self._owner: list[Buffer | None] = [None] * self.banks
        self._freed = [-1] * self.banks
        self._live: list[tuple[Buffer, int, int]] = []

    @property
    def free_banks(self) -> int:
        """Banks without an owner now."""
        return self._owner.count(None)

    def expire(self, index: int) -> None:
        """Free the buffers whose last use lies before instruction `index`."""
        kept = []
        for buffer, first, count in self._live:
            if buffer.pinned or buffer.last_use >= index:
                kept.append((buffer, first, count))
                continue
            for bank in range(first, first + count):
                self._owner[bank] = None
                self._freed[bank] = buffer.last_use
        self._live = kept

    def place(self, operations: list[Operation], start: int) -> None:
        """Give addresses to the buffers of operations[start:]; raises CompileError when SRAM is short."""
        for index in range(start, len(operations)):
            fresh = [access.buffer for access in operations[index].accesses if access.buffer.address < 0]
            if fresh:
                self.expire(index)
            for buffer in dict.fromkeys(fresh):
                self.take(buffer)

    def banks_of(self, buffer: Buffer) -> int:
        """Banks that a buffer takes."""
        return max(1, ceil_div(buffer.size_bytes, self.bank_bytes))

    def take(self, buffer: Buffer) -> None:
        """Give the buffer banks now."""
        count = self.banks_of(buffer)
        candidates = self._free_places(count)
        if not candidates:
            raise CompileError(
                f"SRAM: no {count} consecutive banks of {self.bank_bytes} bytes for '{buffer.name}' "
                f"({self.free_banks} of {self.banks} free)"
            )
        if buffer.long_lived:
            first = candidates[-1]
        else:
            first = min(candidates, key=lambda start: (max(self._freed[start : start + count]), start))
        for bank in range(first, first + count):
            self._owner[bank] = buffer
        buffer.address = first * self.bank_bytes
        self._live.append((buffer, first, count))

    def _free_places(self, count: int) -> list[int]:
        """First banks of every run of `count` free banks."""
        taken = bytes(owner is not None for owner in self._owner)
        places, first = [], 0
        while first + count <= self.banks:
            last_taken = taken.rfind(1, first, first + count)
            if last_taken < 0:
                places.append(first)
                first += 1
            else:
                first = last_taken + 1
        return places

    def snapshot(self) -> tuple[list[Buffer | None], list[int], list[tuple[Buffer, int, int]]]:
        """The state, to come back to."""
        return list(self._owner), list(self._freed), list(self._live)

    def restore(self, state: tuple[list[Buffer | None], list[int], list[tuple[Buffer, int, int]]]) -> None:
        """Come back to a state."""
        self._owner, self._freed, self._live = list(state[0]), list(state[1]), list(state[2])
