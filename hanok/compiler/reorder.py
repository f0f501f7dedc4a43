"""Change the order of a stage's instructions, so that units work on what is ready while they would wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hanok.compiler._kernels_reorder import HEAD, STARTED, UNITS, Board, Jobs, list_schedule
from hanok.compiler.encode import encode_operations
from hanok.compiler.schedule import Buffer, DramAccess, Operation
from hanok.isa import Opcode, Unit
from hanok.isa.table import Step
from hanok.machine import Chip
from hanok.units import ceil_div

Ints = npt.NDArray[np.int64]

_AHEAD_CYCLES = (1 << 14, 3 << 13, 1 << 15)
"""How far an instruction may start before its turn; which of them is best, the machine says."""
_QUEUES = 2
"""How many of a unit's queues an instruction may be from the earliest, if it is the next of its unit."""
_MOST_TRIES, _AROUND = 32, 32
_LEAST_CYCLES = 2
_PAGE_BITS = 12


class Timed(Protocol):
    """What the machine says of a code: its cycles, and the start and end of each instruction."""

    @property
    def cycles(self) -> int:
        """Cycles of the whole."""

    @property
    def start(self) -> Ints:
        """First cycle of each instruction."""

    @property
    def end(self) -> Ints:
        """Cycle behind each instruction."""


Measure = Callable[[bytes], Timed]


def reorder(operations: list[Operation], chip: Chip, measure: Measure) -> list[Operation]:
    """Return placed operations in the order that takes the fewest cycles of those tried, with its addresses.

    A list scheduler with the times of the program as it is: each unit takes the earliest instruction that is
    ready, and sums leave the accumulators first, since the matrix unit waits for them. Buffers get banks as
    they are needed. Instructions that share bytes keep their order, so values stay; the order as it was is
    among those that are tried.
    """
    if len(operations) < UNITS:
        return operations
    before = measure(encode_operations(operations, chip))
    buffers = list(dict.fromkeys(access.buffer for one in operations for access in one.accesses))
    jobs = _jobs(operations, buffers, chip, before)
    best, best_cycles = operations, before.cycles
    best_addresses = [buffer.address for buffer in buffers]
    for ahead in _AHEAD_CYCLES:
        board = _scheduled(jobs, chip, ahead)
        order = [] if board is None else [operations[index] for index in board.order]
        if board is None or not keeps_ports(order):
            continue
        addresses = [int(place) * chip.core.sram.bank_bytes for place in board.place]
        _place(buffers, addresses)
        cycles = measure(encode_operations(order, chip)).cycles
        if cycles < best_cycles:
            best, best_cycles, best_addresses = order, cycles, addresses
    _place(buffers, best_addresses)
    return best


def keeps_ports(order: Sequence[Operation]) -> bool:
    """Whether no weights or biases lie where the matrix instruction before reads its activations.

    The loader of weights runs ahead, and a bank has one port. (Another buffer in the same banks has been
    written in between, and so is waited for.)
    """
    matrix = [one for one in order if one.unit is Unit.MATRIX]
    return all(
        access.buffer is not before.accesses[0].buffer
        for before, one in pairwise(matrix)
        for access in one.accesses[1:]
    )


def _scheduled(jobs: Jobs, chip: Chip, ahead: int) -> Board | None:
    """The board with all operations done; None where some find no banks in a row.

    Where that happens, the instructions around are to keep their turn, more of them each time, and all
    begins anew.
    """
    total = len(jobs.unit)
    jobs.early[:] = 1
    for _ in range(_MOST_TRIES):
        board = _board(jobs, chip)
        list_schedule(jobs, board, ahead, _QUEUES * chip.core.control.queue_depth)
        if board.counts[STARTED] == total:
            return board
        stuck, around = int(board.counts[HEAD]), _AROUND
        while around < total and not jobs.early[max(0, stuck - around) : stuck + around].any():
            around *= 2
        jobs.early[max(0, stuck - around) : stuck + around] = 0
    return None


def _place(buffers: Sequence[Buffer], addresses: Sequence[int]) -> None:
    for buffer, address in zip(buffers, addresses, strict=True):
        buffer.address = address


def _jobs(operations: list[Operation], buffers: list[Buffer], chip: Chip, timed: Timed) -> Jobs:
    """The operations as the scheduler sees them, with their times."""
    before = _Order(operations, chip.core.sram.bank_bytes).before
    nexts: list[list[int]] = [[] for _ in operations]
    for index, earlier in enumerate(before):
        for other in sorted(earlier):
            nexts[other].append(index)
    number = {buffer: place for place, buffer in enumerate(buffers)}
    uses = [list(dict.fromkeys(number[access.buffer] for access in one.accesses)) for one in operations]
    unit = np.array([int(one.unit) for one in operations], np.int64)
    sums = [one.unit is Unit.VECTOR and one.accumulator_bank >= 0 for one in operations]
    bank_bytes = chip.core.sram.bank_bytes
    return Jobs(
        unit,
        _cycles(unit, timed),
        np.array(sums, np.int64),
        _due(unit, nexts, timed),
        np.array([len(earlier) for earlier in before], np.int64),
        *_flat(nexts),
        *_flat(uses),
        np.array([max(1, ceil_div(buffer.size_bytes, bank_bytes)) for buffer in buffers], np.int64),
        np.array([buffer.long_lived for buffer in buffers], np.int64),
        np.ones(len(operations), np.int64),
    )


def _board(jobs: Jobs, chip: Chip) -> Board:
    """Nothing has started, and all banks are free."""
    total, buffers = len(jobs.unit), len(jobs.size)
    stamp, seen, spot = (np.zeros(buffers, np.int64) for _ in range(3))
    return Board(
        np.zeros(total, np.int64),
        jobs.needs.copy(),
        np.full(chip.core.sram.banks, -1, np.int64),
        np.full(buffers, -1, np.int64),
        np.bincount(jobs.uses, minlength=buffers).astype(np.int64),
        np.full(UNITS, -1, np.int64),
        np.zeros(UNITS, np.int64),
        np.zeros(total, np.int64),
        np.zeros(4, np.int64),
        stamp,
        seen,
        spot,
    )


def _cycles(unit: Ints, timed: Timed) -> Ints:
    """Cycles for which each instruction keeps its unit from the next one."""
    cycles = np.zeros(len(unit), np.int64)
    for here in range(UNITS):
        own = unit == here
        ends = np.maximum.accumulate(timed.end[own])
        free = np.concatenate([[0], ends[:-1]]) if ends.size else ends
        cycles[own] = timed.end[own] - np.maximum(timed.start[own], free)
    return np.maximum(cycles, _LEAST_CYCLES)


def _due(unit: Ints, nexts: list[list[int]], timed: Timed) -> Ints:
    """The start of each instruction; of a load that of the first one that computes with what it brings."""
    due = timed.start.astype(np.int64)
    for index in np.flatnonzero(unit == Unit.LOAD):
        readers = [timed.start[other] for other in nexts[index] if unit[other] in (Unit.MATRIX, Unit.VECTOR)]
        due[index] = min(readers, default=due[index])
    return due


def _flat(lists: list[list[int]]) -> tuple[Ints, Ints]:
    """Bounds of lists in one array, and that array."""
    bounds = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return bounds, np.array([item for one in lists for item in one], np.int64)


class _Order:
    """Which operations must be done before each: those that last touched what it touches."""

    def __init__(self, operations: list[Operation], bank_bytes: int) -> None:
        self._bank_bytes = bank_bytes
        self._last: dict[object, int] = {}
        self._pages: dict[int, list[tuple[DramAccess, int]]] = {}
        self._written = {
            page for one in operations if one.dram is not None and one.dram.write for page in _pages(one.dram)
        }
        self.before: list[set[int]] = []
        for index, operation in enumerate(operations):
            earlier = self._by_key(operation, index)
            if operation.dram is not None:
                earlier |= self._by_address(operation.dram, index)
            self.before.append(earlier)

    def _by_key(self, operation: Operation, index: int) -> set[int]:
        keys: set[object] = {
            (id(access.buffer), bank)
            for access in operation.accesses
            for bank in range(access.low // self._bank_bytes, (access.high - 1) // self._bank_bytes + 1)
        }
        if operation.accumulator_bank >= 0:
            keys.add(operation.accumulator_bank)
        if operation.opcode in (Opcode.EXPAND, Opcode.TABLE):
            keys.add(operation.opcode)
        if operation.opcode is Opcode.CHAIN and Step.LOOKUP in operation.values["step"]:
            keys.add(Opcode.TABLE)
        earlier = {self._last[key] for key in keys if key in self._last}
        self._last.update(dict.fromkeys(keys, index))
        return earlier

    def _by_address(self, dram: DramAccess, index: int) -> set[int]:
        """Those that touch the same bytes of DRAM, where one of the two writes."""
        found = set()
        for page in self._written.intersection(_pages(dram)):
            history = self._pages.setdefault(page, [])
            found |= {
                other
                for access, other in history
                if (access.write or dram.write) and access.low < dram.high and dram.low < access.high
            }
            if dram.write:
                history[:] = [
                    item for item in history if not (dram.low <= item[0].low and item[0].high <= dram.high)
                ]
            history.append((dram, index))
        return found


def _pages(dram: DramAccess) -> range:
    return range(dram.low >> _PAGE_BITS, (dram.high - 1 >> _PAGE_BITS) + 1)
