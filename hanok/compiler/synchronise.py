"""Insert semaphores: order instructions of different units that share banks, accumulators or DRAM bytes."""

from __future__ import annotations

import numpy as np

from hanok.compiler._kernels_order import find_overflow, run_untimed
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


Masks = list[tuple[int, int]]
Grains = list[list[int]]
"""Of [posting unit][waiting unit]: only every so many instructions of the posting unit post."""


def synchronise(operations: list[Operation], chip: Chip) -> Masks:
    """Return the wait and post mask of each operation.

    Requires: addresses are placed. Guarantees: two instructions of different units that touch a common SRAM
    bank or accumulator bank, or overlapping DRAM bytes of which one is written, are ordered as dispatched;
    no counter can exceed the chip's limit. An order that follows from others already made gets no semaphore
    of its own. Where a counter could overflow, its posts are made coarser: a wait for a later instruction
    serves several. At worst each wait is for the last instruction dispatched before it, and then at most
    one more than the queue holds are open, which a Chip allows.
    """
    grains = [[1] * UNITS for _ in range(UNITS)]
    while True:
        masks = _order(operations, chip.core.sram.bank_bytes, grains)
        overflow = _overflow(operations, masks, chip)
        if overflow is None:
            return masks
        poster, receiver = overflow
        assert grains[poster][receiver] <= len(operations), "the coarsest posts fit any counter"
        grains[poster][receiver] *= 2


def _overflow(operations: list[Operation], masks: Masks, chip: Chip) -> tuple[int, int] | None:
    """The posting and the receiving unit of a counter that some timing lets overflow."""
    control = chip.core.control
    if len(operations) <= control.semaphore_limit:
        return None
    unit = np.array([int(operation.unit) for operation in operations], np.int64)
    wait, post = (np.array([mask[which] for mask in masks], np.int64) for which in (0, 1))
    _, place, clock, _ = run_untimed(unit, wait, post, control.queue_depth)
    index, receiver, _ = find_overflow(
        unit, wait, post, place, clock, control.queue_depth, control.semaphore_limit
    )
    return (int(unit[index]), int(receiver)) if index >= 0 else None


def _order(operations: list[Operation], bank_bytes: int, grains: Grains) -> Masks:
    waits, posts = [0] * len(operations), [0] * len(operations)
    last_on_bank: dict[int, list[int]] = {}
    clocks: list[tuple[int, ...]] = []
    unit_clock = [[-1] * UNITS for _ in range(UNITS)]
    members: list[list[int]] = [[] for _ in range(UNITS)]
    ordinals: list[int] = []
    history = _DramHistory()
    writes = any(operation.dram is not None and operation.dram.write for operation in operations)
    for index, operation in enumerate(operations):
        unit = int(operation.unit)
        needed = _bank_conflicts(operation, unit, index, bank_bytes, last_on_bank)
        if operation.dram is not None and writes:
            conflict = history.conflicts(operation.dram, unit)
            if conflict >= 0:
                other = int(operations[conflict].unit)
                needed[other] = max(needed[other], conflict)
            history.record(operation.dram, unit, index)
        clock = unit_clock[unit]
        for other in sorted(range(UNITS), key=lambda u: -needed[u]):
            if other == unit or needed[other] <= clock[other]:
                continue
            grain, ordinal = grains[other][unit], ordinals[needed[other]]
            target = members[other][min(len(members[other]) - 1, ordinal // grain * grain + grain - 1)]
            posts[target] |= 1 << unit
            waits[index] |= 1 << other
            clock[:] = map(max, clock, clocks[target])
        clock[unit] = index
        clocks.append(tuple(clock))
        ordinals.append(len(members[unit]))
        members[unit].append(index)
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
