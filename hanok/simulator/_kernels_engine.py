"""Numba kernel of the cycle engine: units as recurrences, DRAM requests in time order."""

from __future__ import annotations

import numpy as np
from numba import njit

from hanok.dram._kernels import flush, read
from hanok.simulator._engine_state import (
    ACTIVE_END,
    ARRIVALS,
    ARRIVED,
    CAUSE_BUSY,
    CAUSE_DRAM,
    CAUSE_END,
    CAUSE_FULL,
    CODE_ADDRESS,
    CODE_BYTES,
    CODE_END,
    COUNT,
    DEPTH_CYCLES,
    DISPATCH,
    DISPATCHED,
    END,
    ENDED,
    FETCH_ARRIVED,
    FETCH_BUFFER,
    FETCH_BURSTS,
    FETCH_CYCLES,
    FETCH_ISSUE,
    FETCH_NEXT,
    FETCHED,
    FIRST,
    FREE,
    HEAD,
    MATRIX,
    POST,
    POST_BEGIN,
    POST_LEFT,
    POST_TIME,
    POSTING,
    QUEUE_DEPTH,
    RANK,
    RELEASE,
    ROOM,
    SEMAPHORE_LIMIT,
    STALL,
    START,
    STREAM_FREE,
    TRANSFERRED,
    UNIT,
    UNITS,
    UNKNOWN,
    VECTOR,
    WAIT,
    WORK_0,
    WORK_1,
    WORK_2,
    Integers,
    Plan,
    Record,
)
from hanok.simulator._kernels_accounting import account_gap, finish
from hanok.simulator._kernels_transfer import (
    ANSWERED,
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
    return int(cycle)


@inner
def _execute(plan: Plan, record: Record, engines: Engines, unit: int, index: int, start: int) -> None:
    """Time the instruction from its start; a LOAD or STORE ends later, with its last burst."""
    state, work = record.unit[unit], plan.instruction[index]
    if unit == VECTOR:
        state[FREE] = start + work[WORK_0]
        finish(plan, record, unit, index, state[FREE])
    elif unit == MATRIX:
        first = max(start + work[WORK_0], state[STREAM_FREE])
        state[FREE] = first + work[WORK_1]
        state[STREAM_FREE] = state[FREE] + work[WORK_2]
        finish(plan, record, unit, index, state[STREAM_FREE] + plan.limits[DEPTH_CYCLES] + 1)
    else:
        transfer = plan.transfer[work[WORK_0]]
        if unit == STORE:
            begin_store(engines, transfer, plan.constants, index, start)
        elif transfer[FILL]:
            state[FREE] = fill(engines, transfer, plan.constants, start)
            finish(plan, record, unit, index, state[FREE])
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
        account_gap(plan, record, unit, index, start)
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
    return bool(moved)


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
    return bool(control[ARRIVALS] > before)


@inner
def _finish_transfer(
    plan: Plan, record: Record, engines: Engines, unit: int, index: int, bursts: int
) -> None:
    """A LOAD or STORE has made its last request: record its end and let the next one start."""
    engine = engines.state[unit]
    end = engine[MOVER] if unit == LOAD else engine[ANSWERED] + 1
    record.unit[unit, FREE] = engine[ISSUE] + (1 if unit == LOAD else 0)
    record.time[index, TRANSFERRED] = engine[BURSTS] - bursts
    finish(plan, record, unit, index, end)


@inner
def _transfer_until_settle(
    plan: Plan, record: Record, engines: Engines, memory: Integers, marks: Integers
) -> bool:
    """Make DRAM requests in time order up to one that may start something; False if there is none."""
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
    return int(total)
