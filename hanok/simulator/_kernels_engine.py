"""Numba kernel of the cycle engine: units as recurrences, DRAM requests in time order."""

from __future__ import annotations

from numba import njit

from hanok.dram._kernels import finish as memory_finish
from hanok.dram._layout import A_COMPLETED
from hanok.numerics._kernels_compile import inner
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
    FETCH_CYCLES,
    FETCH_ISSUE,
    FETCH_NEXT,
    FETCHED,
    FIRST,
    FREE,
    HEAD,
    LAST_BURST,
    MATRIX,
    POST,
    POST_BEGIN,
    POST_LEFT,
    POST_TIME,
    POSTED_0,
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
    Plan,
    Record,
)
from hanok.simulator._kernels_accounting import account_starts, finish
from hanok.simulator._kernels_transfer import (
    ANSWERED,
    ANSWERED_BURSTS,
    BURST_SHIFT,
    BUSY,
    CERTAIN,
    CHECK,
    CURRENT,
    FETCH,
    FILL,
    FULL,
    ISSUE,
    LATENCY,
    LOAD,
    MOVER,
    NEVER,
    NEXT,
    PROGRESS,
    SENT,
    SOONEST,
    STILL,
    STORE,
    TAKING,
    Engines,
    accept_burst,
    answer_to_oldest,
    begin_load,
    begin_store,
    begin_taking,
    core_cycle,
    fill,
    gather_burst,
    is_answered,
    issue_of_oldest,
    load_bursts,
    memory_cycle,
    plan_load,
    run_memory,
    send,
    store_bursts,
    take_burst,
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
def _cannot_stall(plan: Plan, record: Record, unit: int) -> bool:
    """Whether every semaphore that the unit posts to has room for all that its open instructions may post."""
    state, limit = record.unit[unit], plan.limits[SEMAPHORE_LIMIT]
    for target in range(UNITS):
        semaphore = unit * UNITS + target
        if record.posted[semaphore] - record.taken[semaphore] + state[HEAD] - state[POSTING] > limit:
            return False
    return True


@inner
def _start_cycle(plan: Plan, record: Record, engines: Engines, unit: int, index: int) -> int:
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
        if earlier[END] == UNKNOWN:
            if _cannot_stall(plan, record, unit) or cycle <= engines.state[unit, CERTAIN]:
                break
            engines.state[unit, CHECK] = cycle
            return UNKNOWN
        if earlier[RELEASE] == UNKNOWN:
            return UNKNOWN
        cycle = max(cycle, earlier[RELEASE])
        state[STALL] += 1
    return int(cycle)


@inner
def _execute(plan: Plan, record: Record, engines: Engines, unit: int, index: int, start: int) -> None:
    """Time the instruction from its start; what needs answers of the memory ends later."""
    state, work = record.unit[unit], plan.instruction[index]
    if unit == VECTOR:
        state[FREE] = start + work[WORK_0]
        finish(plan, record, unit, index, state[FREE])
    elif unit == MATRIX:
        first = max(start + work[WORK_0], state[STREAM_FREE])
        state[FREE] = first + work[WORK_1]
        state[STREAM_FREE] = state[FREE] + work[WORK_2]
        finish(plan, record, unit, index, state[STREAM_FREE] + plan.limits[DEPTH_CYCLES] + 1)
    elif unit == STORE:
        begin_store(engines, plan.transfer[work[WORK_0]], plan.constants, index, start)
    elif plan.transfer[work[WORK_0], FILL]:
        engines.state[LOAD, CURRENT], engines.state[LOAD, SOONEST] = index, NEVER
        _try_fill(plan, record, engines)
    else:
        begin_load(engines, plan.transfer[work[WORK_0]], plan.constants, index, start)


@inner
def _try_fill(plan: Plan, record: Record, engines: Engines) -> bool:
    """Make a FILL that holds the load engine, once all bursts before it are in; True if it did."""
    engine = engines.state[LOAD]
    index = engine[CURRENT]
    if index < 0 or engine[ANSWERED_BURSTS] < engine[SENT]:
        return False
    transfer = plan.transfer[plan.instruction[index, WORK_0]]
    if not transfer[FILL]:
        return False
    end = fill(engines, transfer, plan.constants, record.time[index, START])
    engine[CURRENT] = -1
    record.unit[LOAD, FREE] = end
    finish(plan, record, LOAD, index, end)
    return True


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
        start = _start_cycle(plan, record, engines, unit, index)
        if start == UNKNOWN:
            break
        for source in range(UNITS):
            if plan.instruction[index, WAIT] >> source & 1:
                semaphore = source * UNITS + unit
                number = record.taken[semaphore]
                record.time[index, POSTED_0 + source] = record.post_time[record.post_first[semaphore] + number]
                record.take_time[record.take_first[semaphore] + number] = start
                record.taken[semaphore] += 1
        record.time[index, START] = start
        state[HEAD] += 1
        account_starts(plan, record, unit)
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
def _send_fetches(plan: Plan, record: Record, engines: Engines) -> bool:
    """Fetch bursts of instructions as long as the buffer is known to have room; True if any was sent."""
    control, limits, moved = record.control, plan.limits, False
    size = 1 << plan.constants[BURST_SHIFT]
    while control[FETCH_NEXT] < NEVER:
        now = control[FETCH_NEXT]
        burst = (limits[CODE_ADDRESS] + control[FETCHED]) >> plan.constants[BURST_SHIFT]
        send(engines, plan.constants, FETCH, burst, now, 0)
        control[FETCHED] = min(limits[CODE_BYTES], (burst + 1) * size - limits[CODE_ADDRESS])
        control[FETCH_ISSUE], control[FETCH_NEXT] = now, NEVER
        moved = True
        _plan_fetch(plan, record)
    return moved


@inner
def _take_fetch(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take the oldest fetched burst, and all instructions that it completes; True if there is any."""
    control, limits, state = record.control, plan.limits, engines.state[FETCH]
    ready = answer_to_oldest(engines, plan.constants, FETCH, A_COMPLETED)
    arrived = max(ready + plan.constants[LATENCY], issue_of_oldest(engines, FETCH) + 1)
    control[FETCH_ARRIVED] = max(control[FETCH_ARRIVED], arrived)
    state[ANSWERED_BURSTS] += 1
    shift = plan.constants[BURST_SHIFT]
    first = limits[CODE_ADDRESS] >> shift
    there = min(limits[CODE_BYTES], ((first + state[ANSWERED_BURSTS]) << shift) - limits[CODE_ADDRESS])
    before = control[ARRIVALS]
    while control[ARRIVALS] < plan.instruction.shape[0]:
        if plan.instruction[control[ARRIVALS], CODE_END] > there:
            break
        record.time[control[ARRIVALS], ARRIVED] = control[FETCH_ARRIVED]
        control[ARRIVALS] += 1
    return bool(control[ARRIVALS] > before)


@inner
def _send_requests(plan: Plan, record: Record, engines: Engines) -> bool:
    """Send all requests whose cycle is known; True if an instruction has made its last."""
    ended = False
    for engine in range(2):
        state = engines.state[engine]
        if state[NEXT] == NEVER:
            continue
        index, before = state[CURRENT], state[SENT]
        transfer = plan.transfer[plan.instruction[index, WORK_0]]
        if engine == LOAD:
            last = load_bursts(engines, transfer, plan.constants)
        else:
            last = store_bursts(engines, transfer, plan.constants)
        record.time[index, TRANSFERRED] += state[SENT] - before
        if last:
            record.time[index, LAST_BURST] = state[SENT]
            record.unit[engine, FREE] = state[ISSUE] + (1 if engine == LOAD else 0)
            ended = True
    return ended


@inner
def _take_loads(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take the load bursts whose answers are known, in order; True if an instruction has ended."""
    state, unit, ended = engines.state[LOAD], record.unit[LOAD], False
    while is_answered(engines, LOAD):
        index = plan.member[unit[FIRST] + unit[ENDED]]
        transfer = plan.transfer[plan.instruction[index, WORK_0]]
        if state[TAKING] != index:
            begin_taking(engines, transfer, index, record.time[index, START])
        if take_burst(engines, transfer, plan.constants):
            finish(plan, record, LOAD, index, state[MOVER])
            ended = True
    return ended


@inner
def _take_stores(plan: Plan, record: Record, engines: Engines) -> bool:
    """Note which writes the memory has taken, in order; True if an instruction has ended."""
    state, unit, ended = engines.state[STORE], record.unit[STORE], False
    while is_answered(engines, STORE):
        accept_burst(engines, plan.constants)
        index = plan.member[unit[FIRST] + unit[ENDED]]
        if record.time[index, LAST_BURST] == state[ANSWERED_BURSTS]:
            finish(plan, record, STORE, index, state[ANSWERED] + 1)
            ended = True
    return ended


@inner
def _take_answers(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take all answers that are known and next in their engine's order; True if that moves a unit."""
    moved = False
    while is_answered(engines, FETCH):
        moved |= _take_fetch(plan, record, engines)
    moved |= _take_loads(plan, record, engines)
    moved |= _try_fill(plan, record, engines)
    plan_load(engines, plan.constants)
    moved |= _take_stores(plan, record, engines)
    store = engines.state[STORE]
    if store[CURRENT] >= 0 and store[NEXT] == NEVER:
        gather_burst(engines, plan.transfer[plan.instruction[store[CURRENT], WORK_0]], plan.constants)
    return moved


@inner
def _go_on(plan: Plan, record: Record, engines: Engines) -> int:
    """Send requests, take answers and let the memory run until a unit can move; STILL when none ever can."""
    while True:
        _send_fetches(plan, record, engines)
        if _send_requests(plan, record, engines) or _take_answers(plan, record, engines):
            return PROGRESS
        if engines.state[LOAD, NEXT] < NEVER or engines.state[STORE, NEXT] < NEVER:
            continue
        check = min(engines.state[LOAD, CHECK], engines.state[STORE, CHECK])
        found = run_memory(engines, plan.constants, memory_cycle(engines, plan.constants, check))
        if found == FULL or (found == STILL and check == NEVER):
            return found
        if found == STILL:
            for engine in range(2):
                if engines.state[engine, CHECK] == check:
                    engines.state[engine, CERTAIN] = check
                    engines.state[engine, CHECK] = NEVER
            return PROGRESS


DEADLOCK, FULL_TRACE = -1, -2


@njit(cache=True)
def run(plan: Plan, record: Record, engines: Engines) -> int:
    """Simulate the plan; return its cycles, DEADLOCK (the record says where) or FULL_TRACE."""
    found = PROGRESS
    while found == PROGRESS:
        engines.state[LOAD, CHECK] = engines.state[STORE, CHECK] = NEVER
        _settle(plan, record, engines)
        found = _go_on(plan, record, engines)
    if found == FULL:
        return FULL_TRACE
    last = memory_finish(engines.memory, engines.trace, engines.answers)
    if last < 0:
        return FULL_TRACE
    total = max(record.control[FETCH_ARRIVED], core_cycle(engines, plan.constants, last))
    for unit in range(UNITS):
        state = record.unit[unit]
        if state[POSTING] < state[COUNT]:
            return DEADLOCK
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
