"""Arrays of the cycle engine's kernel: what is simulated, and what is known of it so far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

UNITS = 4
MATRIX, VECTOR = 2, 3

# Columns of an instruction. WORK_*: matrix: first preload, cycles from the first tile's stream to the last's,
# stream cycles of a tile; vector: cycles; DMA: row of its transfer.
UNIT, WAIT, POST, CODE_END, RANK, WORK_0, WORK_1, WORK_2 = range(8)
INSTRUCTION_COLUMNS = 8

# Columns of what is found out about an instruction. LAST_BURST: bursts of its engine up to its end; POSTED_*:
# when the post of each unit that it waited for was made.
DISPATCH, START, END, RELEASE, ARRIVED, FETCH_CYCLES, TRANSFERRED, LAST_BURST, POSTED_0 = range(9)
TIME_COLUMNS = POSTED_0 + 4
UNKNOWN = -1

# Columns of a unit's state.
# ACCOUNTED: instructions of which the time before their start has its causes.
(
    HEAD, FREE, STREAM_FREE, ENDED, POSTING, POST_LEFT, POST_TIME, POST_BEGIN, STALL, ACTIVE_END, ACCOUNTED,
    FIRST, COUNT,
    UNIT_COLUMNS,
) = range(14)  # fmt: skip

# Causes; after BUSY come the four units whose semaphore is awaited.
CAUSE_BUSY, CAUSE_LOAD = 0, 1
CAUSE_DRAM, CAUSE_FULL, CAUSE_FETCH, CAUSE_DISPATCH, CAUSE_END = range(5, 10)
CAUSES = 10

# Columns of the control's state.
DISPATCHED, FETCH_NEXT, FETCHED, FETCH_ARRIVED, FETCH_ISSUE, ROOM, ARRIVALS = range(7)
CONTROL_COLUMNS = 7

# Columns of the limits.
QUEUE_DEPTH, SEMAPHORE_LIMIT, FETCH_BUFFER, CODE_ADDRESS, CODE_BYTES, DEPTH_CYCLES = range(6)
LIMIT_COLUMNS = 6


class Plan(NamedTuple):
    """What is simulated; nothing here changes."""

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
