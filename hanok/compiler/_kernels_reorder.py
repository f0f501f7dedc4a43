"""The list scheduler: which unit starts which instruction when, and which banks its buffers get."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]

UNITS = 4
_WAITS, _RUNS, _DONE = 0, 1, 2
_TAKEN = -2
"""Owner of a bank whose buffer's first instruction runs or has run; -1 has none."""
_WINDOW = 512
"""How many instructions from the earliest that waits are looked at."""


class Jobs(NamedTuple):
    """What is to be done. Instructions are numbered in program order; lists are one array and its bounds."""

    unit: Ints
    cycles: Ints
    urgent: Ints
    """1 where an instruction goes before the others of its unit that could start."""
    due: Ints
    """When an instruction starts in program order; of a load, when what it brings is read."""
    needs: Ints
    """How many instructions must be done before."""
    next_at: Ints
    nexts: Ints
    """Those that wait for an instruction: nexts[next_at[i]:next_at[i + 1]]."""
    use_at: Ints
    uses: Ints
    """Buffers that an instruction touches, in the same way."""
    size: Ints
    """Banks of each buffer."""
    at_end: Ints
    """1 for buffers that are placed from the end of the SRAM."""
    early: Ints
    """1 where an instruction may start before its turn; it can be changed."""


class Board(NamedTuple):
    """How far everything is."""

    state: Ints
    needs: Ints
    owner: Ints
    """Of each bank: -1 none, an instruction that would take it, or _TAKEN."""
    place: Ints
    """First bank of each buffer; -1 as long as it has none."""
    left: Ints
    """How many instructions have yet to touch each buffer."""
    running: Ints
    until: Ints
    order: Ints
    counts: Ints
    """[0] the earliest that waits, [1] the latest that has started, [2] how many have, [3] the time."""
    stamp: Ints
    seen: Ints
    spot: Ints


HEAD, FRONT, STARTED, NOW = 0, 1, 2, 3


@njit(cache=True)
def _find_run(owner: Ints, size: int, at_end: int) -> int:
    """First of `size` free banks in a row; -1 where there are none.

    They are at the first place that has room; or, `at_end`, at the end of the smallest free run that has,
    the last of these.
    """
    run, found, least = 0, -1, len(owner) + 1
    for bank in range(len(owner) + 1):
        if bank < len(owner) and owner[bank] == -1:
            run += 1
            if run >= size and not at_end:
                return bank - size + 1
            continue
        if size <= run <= least:
            found, least = bank - size, run
        run = 0
    return found


@njit(cache=True)
def _take(jobs: Jobs, board: Board, index: int) -> int:
    """Give banks to an instruction's buffers that have none; return how many, -1 if one finds none."""
    fresh = 0
    for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
        buffer = jobs.uses[position]
        if board.place[buffer] >= 0:
            continue
        found = _find_run(board.owner, jobs.size[buffer], jobs.at_end[buffer])
        if found < 0:
            _give_back(jobs, board, index)
            return -1
        board.place[buffer] = found
        board.owner[found : found + jobs.size[buffer]] = index
        fresh += 1
    return fresh


@njit(cache=True)
def _give_back(jobs: Jobs, board: Board, index: int) -> None:
    """Undo `_take`."""
    for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
        buffer = jobs.uses[position]
        found = board.place[buffer]
        if found >= 0 and board.owner[found] == index:
            board.owner[found : found + jobs.size[buffer]] = -1
            board.place[buffer] = -1


@njit(cache=True)
def _is_safe(jobs: Jobs, board: Board, behind: int, mark: int) -> bool:
    """Whether those before `behind` that are not done find banks when they go on in program order."""
    owner = board.owner.copy()
    for index in range(board.counts[HEAD], behind):
        if board.state[index] == _DONE:
            continue
        for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
            buffer = jobs.uses[position]
            if board.stamp[buffer] != mark:
                board.stamp[buffer], board.seen[buffer] = mark, board.left[buffer]
                board.spot[buffer] = board.place[buffer]
            if board.spot[buffer] < 0:
                found = _find_run(owner, jobs.size[buffer], jobs.at_end[buffer])
                if found < 0:
                    return False
                board.spot[buffer] = found
                owner[found : found + jobs.size[buffer]] = _TAKEN
        for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
            buffer = jobs.uses[position]
            board.seen[buffer] -= 1
            if board.seen[buffer] == 0:
                owner[board.spot[buffer] : board.spot[buffer] + jobs.size[buffer]] = -1
    return True


@njit(cache=True)
def _can_start(jobs: Jobs, board: Board, index: int, mark: int) -> bool:
    """Give an instruction's buffers banks, if all before it still find theirs then."""
    fresh = _take(jobs, board, index)
    if fresh > 0 and index > board.counts[HEAD]:
        behind = max(board.counts[FRONT], index) + 1
        if not _is_safe(jobs, board, behind, mark):
            _give_back(jobs, board, index)
            return False
    return bool(fresh >= 0)


@njit(cache=True)
def _start(jobs: Jobs, board: Board, here: int, ahead: int, queued: int, mark: int) -> int:
    """Start the first instruction of a free unit that can, urgent ones first; return the last mark."""
    head, total = board.counts[HEAD], len(jobs.unit)
    turn = head
    while turn < min(total, head + queued) and (board.state[turn] != _WAITS or jobs.unit[turn] != here):
        turn += 1
    for urgent in range(1, -1, -1):
        for index in range(head, min(total, head + _WINDOW)):
            if board.state[index] != _WAITS or jobs.unit[index] != here or board.needs[index] > 0:
                continue
            is_due = jobs.due[index] - jobs.due[head] <= ahead * jobs.early[index]
            if jobs.urgent[index] != urgent or not (is_due or (index == turn and jobs.early[index])):
                continue
            mark += 1
            if _can_start(jobs, board, index, mark):
                for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
                    buffer = jobs.uses[position]
                    board.owner[board.place[buffer] : board.place[buffer] + jobs.size[buffer]] = _TAKEN
                board.state[index], board.running[here] = _RUNS, index
                board.until[here] = board.counts[NOW] + jobs.cycles[index]
                board.order[board.counts[STARTED]] = index
                board.counts[STARTED] += 1
                board.counts[FRONT] = max(board.counts[FRONT], index)
                return mark
    return mark


@njit(cache=True)
def _finish(jobs: Jobs, board: Board, here: int) -> None:
    """End what a unit does: free the buffers that nobody needs any more, and let others go on."""
    index = board.running[here]
    board.running[here], board.state[index] = -1, _DONE
    for position in range(jobs.next_at[index], jobs.next_at[index + 1]):
        board.needs[jobs.nexts[position]] -= 1
    for position in range(jobs.use_at[index], jobs.use_at[index + 1]):
        buffer = jobs.uses[position]
        board.left[buffer] -= 1
        if board.left[buffer] == 0:
            board.owner[board.place[buffer] : board.place[buffer] + jobs.size[buffer]] = -1


@njit(cache=True)
def list_schedule(jobs: Jobs, board: Board, ahead: int, queued: int) -> None:
    """Start instructions as units, operands and banks get free, into `board`.

    An instruction can start if all that it needs is done, and if its buffers find banks without which those
    before it can go on. It also has to be due at most `ahead` cycles after the earliest one that has not
    started, or to be the next one of its unit and among the `queued` from that one on; if it is not `early`,
    it is to be due no later. Where nothing can start, fewer than all are in the order.
    """
    total, mark = len(jobs.unit), 0
    while board.counts[STARTED] < total:
        for here in range(UNITS):
            if board.running[here] < 0 and board.counts[HEAD] < total:
                mark = _start(jobs, board, here, ahead, queued, mark)
                while board.counts[HEAD] < total and board.state[board.counts[HEAD]] != _WAITS:
                    board.counts[HEAD] += 1
        soonest = -1
        for here in range(UNITS):
            if board.running[here] >= 0 and (soonest < 0 or board.until[here] < board.until[soonest]):
                soonest = here
        if soonest < 0:
            return
        board.counts[NOW] = board.until[soonest]
        for here in range(UNITS):
            if board.running[here] >= 0 and board.until[here] <= board.counts[NOW]:
                _finish(jobs, board, here)
