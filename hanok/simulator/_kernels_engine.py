"""Numba kernel of the cycle engine: dispatch, semaphores and units as recurrences, DRAM requests in time order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from hanok.dram._kernels import flush, read
from hanok.simulator._kernels_transfer import (
    BURST_SHIFT,
    BURSTS,
    BUSY,
    CLOCK_MHZ,
    CURRENT,
    FILL,
    ISSUE,
    LATENCY,
    LOAD,
    MOVER,
    ANSWERED,
    NEVER,
    NEXT,
    STORE,
    Engines,
    begin_load,
    begin_store,
    cycle_of,
    fill,
    inner,
    load_bursts,
    picosecond_of,
    store_bursts,
)

Integers = npt.NDArray[np.int64]

UNITS = 4
MATRIX, VECTOR = 2, 3

# Columns of an instruction. WORK_*: matrix: first preload, cycles from the first tile's stream to the last's,
# stream cycles of a tile; vector: cycles; DMA: row of its transfer.
UNIT, WAIT, POST, CODE_END, RANK, WORK_0, WORK_1, WORK_2 = range(8)
INSTRUCTION_COLUMNS = 8

# Columns of what is found out about an instruction.
DISPATCH, START, END, RELEASE, ARRIVED, FETCH_CYCLES, TRANSFERRED = range(7)
TIME_COLUMNS = 7
UNKNOWN = -1

# Columns of a unit's state.
HEAD, FREE, STREAM_FREE, ENDED, POSTING, POST_LEFT, POST_TIME, POST_BEGIN, STALL, ACTIVE_END, FIRST, COUNT = (
    range(12)
)
UNIT_COLUMNS = 12

# Causes; after BUSY come the four units whose semaphore is awaited.
CAUSE_BUSY, CAUSE_LOAD = 0, 1
CAUSE_DRAM, CAUSE_FULL, CAUSE_FETCH, CAUSE_DISPATCH, CAUSE_END = range(5, 10)
CAUSES = 10

# Columns of the control's state.
DISPATCHED, FETCH_NEXT, FETCHED, FETCH_ARRIVED, FETCH_ISSUE, FETCH_BURSTS, ROOM, ARRIVALS = range(8)
CONTROL_COLUMNS = 8

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


@inner
def _fetch_cycles_before(record: Record, cycle: int) -> int:
    """Cycles before `cycle` in which dispatch waited for instruction bytes (dispatch has passed `cycle`)."""
    low, high = 0, record.control[DISPATCHED]
    while low < high:
        middle = (low + high) // 2
        if record.time[middle, DISPATCH] < cycle:
            low = middle + 1
        else:
            high = middle
    before, begin = 0, 0
    if low > 0:
        before, begin = record.time[low - 1, FETCH_CYCLES], record.time[low - 1, DISPATCH] + 1
    return before + max(0, min(cycle, record.time[low, ARRIVED]) - begin)


@inner
def _account_gap(plan: Plan, record: Record, unit: int, index: int, start: int) -> None:
    """Give each idle cycle of `unit` before instruction `index` starts its cause."""
    state, cause = record.unit[unit], record.cause[unit]
    cursor = state[ACTIVE_END]
    if start <= cursor:
        return
    rank = plan.instruction[index, RANK]
    if rank > 0:
        before = record.time[plan.member[state[FIRST] + rank - 1]]
        if before[RELEASE] > cursor:
            cause[CAUSE_FULL] += before[RELEASE] - cursor
            cursor = before[RELEASE]
    dispatch = record.time[index, DISPATCH]
    if dispatch > cursor:
        fetch = record.time[index, FETCH_CYCLES] - _fetch_cycles_before(record, cursor)
        cause[CAUSE_FETCH] += fetch
        cause[CAUSE_DISPATCH] += dispatch - cursor - fetch
        cursor = dispatch
    for source in range(UNITS):
        if plan.instruction[index, WAIT] >> source & 1:
            semaphore = source * UNITS + unit
            number = record.taken[semaphore]
            available = record.post_time[record.post_first[semaphore] + number]
            if available > cursor:
                cause[CAUSE_LOAD + source] += available - cursor
                cursor = available
    assert cursor == start


@inner
def _finish(plan: Plan, record: Record, unit: int, index: int, end: int) -> None:
    """Record the end of an instruction and what of its time is new active time of the unit."""
    state, times = record.unit[unit], record.time[index]
    times[END] = end
    state[ENDED] += 1
    if end > state[ACTIVE_END]:
        record.cause[unit, CAUSE_BUSY] += end - max(state[ACTIVE_END], times[START])
        state[ACTIVE_END] = end


@inner
def _post(plan: Plan, record: Record, unit: int) -> bool:
    """Make the unit's due posts, in order, as far as counters are known to have room; True if any moved."""
    state, moved = record.unit[unit], False
    limit = plan.limits[SEMAPHORE_LIMIT]
    while state[POSTING] < state[ENDED]:
        index = plan.member[state[FIRST] + state[POSTING]]
        if state[POST_LEFT] < 0:
            state[POST_LEFT] = plan.instruction[index, POST]
            state[POST_TIME] = max(record.time[index, END], state[POST_TIME])
            state[POST_BEGIN] = state[POST_TIME]
        for target in range(UNITS):
            if not state[POST_LEFT] >> target & 1:
                continue
            semaphore = unit * UNITS + target
            number, time = record.posted[semaphore], state[POST_BEGIN]
            if number >= limit:
                if record.taken[semaphore] <= number - limit:
                    continue
                time = max(time, record.take_time[record.take_first[semaphore] + number - limit] + 1)
            record.post_time[record.post_first[semaphore] + number] = time
            record.posted[semaphore] = number + 1
            state[POST_TIME] = max(state[POST_TIME], time)
            state[POST_LEFT] &= ~(1 << target)
            moved = True
        if state[POST_LEFT] != 0:
            break
        record.time[index, RELEASE] = state[POST_TIME]
        state[POST_LEFT] = -1
        state[POSTING] += 1
        moved = True
    return moved


@inner
def _start_cycle(plan: Plan, record: Record, unit: int, index: int) -> int:
    """The cycle at which the unit's head starts, or UNKNOWN when that depends on what is not known yet."""
    state = record.unit[unit]
    cycle = max(record.time[index, DISPATCH], state[FREE])
    for source in range(UNITS):
        if plan.instruction[index, WAIT] >> source & 1:
            semaphore = source * UNITS + unit
            number = record.taken[semaphore]
            if number >= record.posted[semaphore]:
                return UNKNOWN
            cycle = max(cycle, record.post_time[record.post_first[semaphore] + number])
    while state[STALL] < state[HEAD]:
        earlier = record.time[plan.member[state[FIRST] + state[STALL]]]
        if earlier[END] > cycle:
            break
        if earlier[RELEASE] == UNKNOWN:
            return UNKNOWN
        cycle = max(cycle, earlier[RELEASE])
        state[STALL] += 1
    return cycle


@inner
def _execute(plan: Plan, record: Record, engines: Engines, unit: int, index: int, start: int) -> None:
    """Time the instruction from its start; a LOAD or STORE ends later, with its last burst."""
    state, work = record.unit[unit], plan.instruction[index]
    if unit == VECTOR:
        state[FREE] = start + work[WORK_0]
        _finish(plan, record, unit, index, state[FREE])
    elif unit == MATRIX:
        first = max(start + work[WORK_0], state[STREAM_FREE])
        state[FREE] = first + work[WORK_1]
        state[STREAM_FREE] = state[FREE] + work[WORK_2]
        _finish(plan, record, unit, index, state[STREAM_FREE] + plan.limits[DEPTH_CYCLES] + 1)
    else:
        transfer = plan.transfer[work[WORK_0]]
        if unit == STORE:
            begin_store(engines, transfer, plan.constants, index, start)
        elif transfer[FILL]:
            state[FREE] = fill(engines, transfer, plan.constants, start)
            _finish(plan, record, unit, index, state[FREE])
        else:
            begin_load(engines, transfer, plan.constants, index, start)


@inner
def _start_unit(plan: Plan, record: Record, engines: Engines, unit: int) -> bool:
    """Start what the unit can start; True if anything moved."""
    state = record.unit[unit]
    moved = _post(plan, record, unit)
    while state[HEAD] < state[COUNT]:
        if unit <= STORE and engines.state[unit, CURRENT] >= 0:
            break
        index = plan.member[state[FIRST] + state[HEAD]]
        if record.time[index, DISPATCH] == UNKNOWN:
            break
        start = _start_cycle(plan, record, unit, index)
        if start == UNKNOWN:
            break
        _account_gap(plan, record, unit, index, start)
        for source in range(UNITS):
            if plan.instruction[index, WAIT] >> source & 1:
                semaphore = source * UNITS + unit
                record.take_time[record.take_first[semaphore] + record.taken[semaphore]] = start
                record.taken[semaphore] += 1
        record.time[index, START] = start
        state[HEAD] += 1
        state[ACTIVE_END] = max(state[ACTIVE_END], start)
        _execute(plan, record, engines, unit, index, start)
        _post(plan, record, unit)
        moved = True
    return moved


@inner
def _dispatch(plan: Plan, record: Record) -> bool:
    """Dispatch in program order as far as bytes and queue room are known; True if anything moved."""
    control, moved = record.control, False
    depth = plan.limits[QUEUE_DEPTH]
    while control[DISPATCHED] < control[ARRIVALS]:
        index = control[DISPATCHED]
        instruction, times = plan.instruction[index], record.time[index]
        free = 0
        if instruction[RANK] >= depth:
            first = record.unit[instruction[UNIT], FIRST]
            free = record.time[plan.member[first + instruction[RANK] - depth], START] + 1
            if free == UNKNOWN + 1:
                break
        ready, waited = 0, 0
        if index > 0:
            ready, waited = record.time[index - 1, DISPATCH] + 1, record.time[index - 1, FETCH_CYCLES]
        times[FETCH_CYCLES] = waited + max(0, times[ARRIVED] - ready)
        times[DISPATCH] = max(ready, times[ARRIVED], free)
        control[DISPATCHED] = index + 1
        moved = True
    return moved


@inner
def _settle(plan: Plan, record: Record, engines: Engines) -> None:
    """Work out everything that follows from what is known."""
    moved = True
    while moved:
        moved = _dispatch(plan, record)
        for unit in range(UNITS):
            if _start_unit(plan, record, engines, unit):
                moved = True
    _plan_fetch(plan, record)


@inner
def _plan_fetch(plan: Plan, record: Record) -> None:
    """Set the cycle of the next instruction fetch, when the buffer is known to have room for it."""
    control, limits = record.control, plan.limits
    if control[FETCH_NEXT] != NEVER or control[FETCHED] >= limits[CODE_BYTES]:
        return
    size = 1 << plan.constants[BURST_SHIFT]
    offset = limits[CODE_ADDRESS] & (size - 1)
    behind = min(limits[CODE_BYTES], control[FETCHED] + size - (offset if control[FETCHED] == 0 else 0))
    while control[ROOM] < control[DISPATCHED]:
        gone = plan.instruction[control[ROOM] - 1, CODE_END] if control[ROOM] > 0 else 0
        if behind - gone <= limits[FETCH_BUFFER]:
            break
        control[ROOM] += 1
    gone = plan.instruction[control[ROOM] - 1, CODE_END] if control[ROOM] > 0 else 0
    if behind - gone > limits[FETCH_BUFFER]:
        return
    room = record.time[control[ROOM] - 1, DISPATCH] + 1 if control[ROOM] > 0 else 0
    control[FETCH_NEXT] = max(room, control[FETCH_ISSUE] + 1)


@inner
def _fetch_burst(plan: Plan, record: Record, memory: Integers) -> bool:
    """Fetch the next burst of instructions; True when it completes one or the buffer may be full."""
    control, limits, now = record.control, plan.limits, record.control[FETCH_NEXT]
    size = 1 << plan.constants[BURST_SHIFT]
    address = (limits[CODE_ADDRESS] + control[FETCHED]) & -size
    ready = read(memory, address, picosecond_of(now, plan.constants[CLOCK_MHZ]))
    arrived = cycle_of(ready, plan.constants[CLOCK_MHZ]) + plan.constants[LATENCY]
    control[FETCH_ARRIVED] = max(control[FETCH_ARRIVED], arrived, now + 1)
    control[FETCHED] = min(limits[CODE_BYTES], address + size - limits[CODE_ADDRESS])
    control[FETCH_ISSUE], control[FETCH_NEXT] = now, NEVER
    control[FETCH_BURSTS] += 1
    before = control[ARRIVALS]
    while control[ARRIVALS] < plan.instruction.shape[0]:
        if plan.instruction[control[ARRIVALS], CODE_END] > control[FETCHED]:
            break
        record.time[control[ARRIVALS], ARRIVED] = control[FETCH_ARRIVED]
        control[ARRIVALS] += 1
    _plan_fetch(plan, record)
    return control[ARRIVALS] > before


@inner
def _finish_transfer(plan: Plan, record: Record, engines: Engines, unit: int, index: int, bursts: int) -> None:
    """A LOAD or STORE has made its last request: record its end and let the next one start."""
    engine = engines.state[unit]
    end = engine[MOVER] if unit == LOAD else engine[ANSWERED] + 1
    record.unit[unit, FREE] = engine[ISSUE] + (1 if unit == LOAD else 0)
    record.time[index, TRANSFERRED] = engine[BURSTS] - bursts
    _finish(plan, record, unit, index, end)


@inner
def _transfer_until_settle(plan: Plan, record: Record, engines: Engines, memory: Integers, marks: Integers) -> bool:
    """Make DRAM requests in time order (load, store, fetch) up to one that may start something; False if none."""
    loads, stores, control = engines.state[LOAD], engines.state[STORE], record.control
    while True:
        fetch = control[FETCH_NEXT]
        if loads[NEXT] <= stores[NEXT] and loads[NEXT] <= fetch:
            if loads[NEXT] == NEVER:
                return False
            unit, index, until = LOAD, loads[CURRENT], min(stores[NEXT], fetch)
            transfer = plan.transfer[plan.instruction[index, WORK_0]]
            last = load_bursts(engines, transfer, plan.constants, memory, until)
        elif stores[NEXT] <= fetch:
            unit, index, until = STORE, stores[CURRENT], min(loads[NEXT] - 1, fetch)
            transfer = plan.transfer[plan.instruction[index, WORK_0]]
            last = store_bursts(engines, transfer, plan.constants, memory, until)
        else:
            if _fetch_burst(plan, record, memory):
                return True
            continue
        if last:
            _finish_transfer(plan, record, engines, unit, index, marks[unit])
            marks[unit] = engines.state[unit, BURSTS]
            return True


@njit(cache=True)
def run(plan: Plan, record: Record, engines: Engines, memory: Integers) -> int:
    """Simulate the plan; return its cycles, or -1 for a deadlock (the record says where)."""
    marks = np.zeros(2, np.int64)
    _settle(plan, record, engines)
    while _transfer_until_settle(plan, record, engines, memory, marks):
        _settle(plan, record, engines)
    total = max(record.control[FETCH_ARRIVED], cycle_of(flush(memory), plan.constants[CLOCK_MHZ]))
    for unit in range(UNITS):
        state = record.unit[unit]
        if state[POSTING] < state[COUNT]:
            return -1
        total = max(total, state[ACTIVE_END], state[POST_TIME])
    for unit in range(UNITS):
        state = record.unit[unit]
        idle = max(state[ACTIVE_END], state[POST_TIME])
        record.cause[unit, CAUSE_FULL] += idle - state[ACTIVE_END]
        record.cause[unit, CAUSE_END] += total - idle
        if unit <= STORE:
            busy = engines.state[unit, BUSY]
            record.cause[unit, CAUSE_DRAM] = record.cause[unit, CAUSE_BUSY] - busy
            record.cause[unit, CAUSE_BUSY] = busy
    return total
