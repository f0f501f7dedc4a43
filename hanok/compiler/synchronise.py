"""Insert semaphores: order instructions of different units that share banks, accumulators or DRAM bytes."""

from __future__ import annotations

from bisect import insort

from hanok.compiler.schedule import DramAccess, Operation
from hanok.isa import Unit
from hanok.machine import Chip

UNITS = len(Unit)


class _DramHistory:
    """Recent DRAM writes by address, to find what a load or store must wait for."""

    def __init__(self, granule: int = 4096) -> None:
        self._granule = granule
        self._last: dict[tuple[int, int], list[tuple[int, int, int]]] = {}

    def conflicts(self, access: DramAccess, unit: int) -> int:
        """The latest instruction of another unit whose bytes overlap and where one of the two writes."""
        found = -1
        for page in self._pages(access):
            for other in range(UNITS):
                if other == unit:
                    continue
                for low, high, index in reversed(self._last.get((other, page), [])):
                    if low < access.high and access.low < high:
                        found = max(found, index)
                        break
        return found

    def record(self, access: DramAccess, unit: int, index: int) -> None:
        """Remember an access; earlier ones that it covers are forgotten."""
        for page in self._pages(access):
            history = self._last.setdefault((unit, page), [])
            history[:] = [item for item in history if not (access.low <= item[0] and item[1] <= access.high)]
            history.append((access.low, access.high, index))

    def _pages(self, access: DramAccess) -> range:
        return range(access.low // self._granule, (access.high - 1) // self._granule + 1)


def synchronise(operations: list[Operation], chip: Chip) -> list[tuple[int, int]]:
    """Return the wait and post mask of each operation.

    Requires: addresses are placed. Guarantees: two instructions of different units that touch a common SRAM
    bank or accumulator bank, or overlapping DRAM bytes of which one is written, are ordered as dispatched.
    An order that follows from others already made gets no semaphore of its own.
    """
    bank_bytes = chip.core.sram.bank_bytes
    waits, posts = [0] * len(operations), [0] * len(operations)
    last_on_bank: dict[int, list[int]] = {}
    clocks: list[tuple[int, ...]] = []
    unit_clock = [[-1] * UNITS for _ in range(UNITS)]
    posted: list[list[list[int]]] = [[[] for _ in range(UNITS)] for _ in range(UNITS)]
    history = _DramHistory()
    written_pages = _shared_dram(operations)
    for index, operation in enumerate(operations):
        unit = int(operation.unit)
        needed = _bank_conflicts(operation, unit, index, bank_bytes, last_on_bank)
        if operation.dram is not None and written_pages:
            conflict = history.conflicts(operation.dram, unit)
            if conflict >= 0:
                other = int(operations[conflict].unit)
                needed[other] = max(needed[other], conflict)
            history.record(operation.dram, unit, index)
        clock = unit_clock[unit]
        for other in sorted(range(UNITS), key=lambda u: -needed[u]):
            target = needed[other]
            if other == unit or target <= clock[other]:
                continue
            posts[target] |= 1 << unit
            waits[index] |= 1 << other
            insort(posted[other][unit], target)
            assert posted[other][unit][-1] == target, "posts must be taken in order"
            for third, value in enumerate(clocks[target]):
                clock[third] = max(clock[third], value)
            clock[other] = max(clock[other], target)
        clock[unit] = index
        clocks.append(tuple(clock))
    return list(zip(waits, posts, strict=True))


def _bank_conflicts(
    operation: Operation, unit: int, index: int, bank_bytes: int, last_on_bank: dict[int, list[int]]
) -> list[int]:
    needed = [-1] * UNITS
    banks: set[int] = set()
    for access in operation.accesses:
        low = access.buffer.address + access.low
        high = access.buffer.address + access.high - 1
        banks.update(range(low // bank_bytes, high // bank_bytes + 1))
    if operation.accumulator_bank >= 0:
        banks.add(-1 - operation.accumulator_bank)
    for bank in banks:
        users = last_on_bank.setdefault(bank, [-1] * UNITS)
        for other in range(UNITS):
            if other != unit and users[other] > needed[other]:
                needed[other] = users[other]
        users[unit] = index
    return needed


def _shared_dram(operations: list[Operation]) -> bool:
    """Whether any instruction writes bytes of DRAM at all."""
    return any(operation.dram is not None and operation.dram.write for operation in operations)



