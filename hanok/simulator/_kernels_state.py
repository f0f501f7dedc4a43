"""Arrays of the cycle engine's kernel: what is simulated, and what is known of it so far."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import leaf, pointer_at

Integers = npt.NDArray[np.int64]

UNITS = 4
MATRIX, VECTOR = 2, 3

# Columns of an instruction. WORK_*: matrix: first preload, cycles from the first tile's stream to the last's,
# stream cycles of a tile; vector: cycles; DMA: row of its transfer.
UNIT, WAIT, POST, CODE_END, RANK, WORK_0, WORK_1, WORK_2 = range(8)
INSTRUCTION_COLUMNS = 8

# Columns of a DMA instruction's transfer. EXPAND: GROUPS of symbols, of which the first has the row
# FIRST_GROUP; TABLE: bytes of the table in its stream.
(
    FILL, RUN_BYTES, ADDRESS, COUNT_3, COUNT_2, COUNT_1, STRIDE_3, STRIDE_2, STRIDE_1,
    GROUPS, FIRST_GROUP, TABLE,
) = range(12)  # fmt: skip
TRANSFER_COLUMNS = 12

# Columns of what is found out about an instruction. RELEASE: cycle of its last post; ARRIVED: cycle in which
# the decoder offers it, if nothing but its words is missing; LAST_LINE: lines of its engine up to its end;
# POSTED_*: when the post of each unit that it waited for was made.
DISPATCH, START, END, RELEASE, ARRIVED, TRANSFERRED, LAST_LINE, POSTED_0 = range(8)
TIME_COLUMNS = POSTED_0 + 4
UNKNOWN = -1

# Columns of a unit's state. POST_TIME: cycle of the last post so far; TAKEN: cycle in which the head takes
# its counts, from which on it can start.
(
    HEAD, TAKEN, FREE, STREAM_FREE, ENDED, POSTING, POST_LEFT, POST_TIME, POST_BEGIN, STALL, FIRST, COUNT,
    UNIT_COLUMNS,
) = range(13)  # fmt: skip

# Causes; after BUSY come the four units whose semaphore is awaited.
CAUSE_BUSY, CAUSE_LOAD = 0, 1
CAUSE_DRAM, CAUSE_FULL, CAUSE_FETCH, CAUSE_DISPATCH, CAUSE_END = range(5, 10)
CAUSES = 10

# Columns of the control's state.
DISPATCHED, FETCH_NEXT, FETCHED, FETCH_ARRIVED, FETCH_ISSUE, ROOM, ARRIVALS = range(7)
CONTROL_COLUMNS = 7

# Columns of a burst of code: the cycle from which its words can be decoded, the first cycle in which the
# decoder lacked them, and how many cycles it lacked words before.
WORDS_AT, STARVED_FROM, STARVED_BEFORE = range(3)
CODE_COLUMNS = 3

# Columns of the limits.
QUEUE_DEPTH, SEMAPHORE_LIMIT, FETCH_BUFFER, CODE_ADDRESS, CODE_BYTES, DEPTH_CYCLES = range(6)
LIMIT_COLUMNS = 6


class Plan(NamedTuple):
    """What is simulated; nothing here changes."""

    instructions: int
    instruction: Integers
    """[instruction, INSTRUCTION_COLUMNS]"""
    member: Integers
    """Instructions grouped by unit, each group in dispatch order; FIRST is where a unit's group begins."""
    transfer: Integers
    """[DMA instruction, TRANSFER_COLUMNS]"""
    constants: Integers
    limits: Integers


class Record(NamedTuple):
    """State of the simulation, and its result."""

    time: Integers
    """[instruction, TIME_COLUMNS]"""
    unit: Integers
    """[unit, UNIT_COLUMNS]"""
    cause: Integers
    """[unit, CAUSES] cycles"""
    posted: Integers
    """[semaphore] posts so far; semaphore of (from, to) is from * UNITS + to."""
    taken: Integers
    """[semaphore] counts taken so far."""
    post_first: Integers
    """[semaphore] where its posts begin in post_time."""
    take_first: Integers
    post_time: Integers
    take_time: Integers
    control: Integers
    code: Integers
    """[burst of code, CODE_COLUMNS], and a row for the time after the last word."""


@leaf
def work_of(plan: Plan, index: int) -> Integers:
    """Return an instruction's columns."""
    return pointer_at(plan.instruction, index * INSTRUCTION_COLUMNS)


@leaf
def transfer_of(plan: Plan, index: int) -> Integers:
    """Return the columns of a DMA instruction's transfer."""
    return pointer_at(plan.transfer, work_of(plan, index)[WORK_0] * TRANSFER_COLUMNS)


@leaf
def times_of(record: Record, index: int) -> Integers:
    """Return what is known of an instruction."""
    return pointer_at(record.time, index * TIME_COLUMNS)


@leaf
def code_of(record: Record, burst: int) -> Integers:
    """Return what is known of a burst of code."""
    return pointer_at(record.code, burst * CODE_COLUMNS)


@leaf
def code_begin(plan: Plan, index: int) -> int:
    """Return where in the code an instruction begins."""
    return int(work_of(plan, index - 1)[CODE_END]) if index > 0 else 0


@leaf
def unit_of(record: Record, unit: int) -> Integers:
    """Return a unit's state."""
    return pointer_at(record.unit, unit * UNIT_COLUMNS)


@leaf
def cause_of(record: Record, unit: int) -> Integers:
    """Return a unit's cycles by cause."""
    return pointer_at(record.cause, unit * CAUSES)
