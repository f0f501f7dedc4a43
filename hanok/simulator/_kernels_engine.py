"""Numba kernel of the cycle engine: units as recurrences, DRAM requests in time order."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels import (
    finish as memory_finish,
)
from hanok.isa.timing import (
    CODE_WORD_BYTES,
    POST_LATENCY_CYCLES,
    QUEUE_LATENCY_CYCLES,
    START_SPACING_CYCLES,
)
from hanok.numerics._kernels_compile import inner, kernel, leaf, pointer_of
from hanok.simulator._kernels_accounting import (
    account,
    note_starved,
)
from hanok.simulator._kernels_answers import (
    finish,
    plan_fetch,
    send_fetches,
    send_requests,
    take_answers,
    try_fill,
)
from hanok.simulator._kernels_state import (
    ARRIVALS,
    ARRIVED,
    CAUSE_BUSY,
    CAUSE_DRAM,
    CODE_END,
    COUNT,
    DEPTH_CYCLES,
    DISPATCH,
    DISPATCHED,
    END,
    ENDED,
    FILL,
    FIRST,
    FREE,
    HEAD,
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
    SEMAPHORE_LIMIT,
    STALL,
    START,
    STREAM_FREE,
    TAKEN,
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
    cause_of,
    code_begin,
    times_of,
    transfer_of,
    unit_of,
    work_of,
)
from hanok.simulator._kernels_traffic import (
    BUSY,
    CERTAIN,
    CHECK,
    CURRENT,
    FULL,
    LOAD,
    NEVER,
    NEXT,
    PROGRESS,
    SOONEST,
    STILL,
    STORE,
    Engines,
    engine_of,
    memory_cycle,
    run_memory,
)
from hanok.simulator._kernels_transfer import (
    begin_load,
    begin_store,
)


@inner
def _post(plan: Plan, record: Record, unit: int) -> bool:
    """Make the unit's due posts as far as counters are known to have room; True if any moved.

    They are made in order, those of one instruction in a cycle.
    """
    state, moved = unit_of(record, unit), False
    limit = plan.limits[SEMAPHORE_LIMIT]
    while state[POSTING] < state[ENDED]:
        index = plan.member[state[FIRST] + state[POSTING]]
        if state[POST_LEFT] < 0:
            state[POST_LEFT] = work_of(plan, index)[POST]
            state[POST_TIME] = max(times_of(record, index)[END], state[POST_TIME] + 1)
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
        times_of(record, index)[RELEASE] = state[POST_TIME]
        state[POST_LEFT] = -1
        state[POSTING] += 1
        moved = True
    return moved


@inner
def _cannot_stall(plan: Plan, record: Record, unit: int) -> bool:
    """Whether every semaphore that the unit posts to has room for all that its open instructions may post.

    The room must be there before the first of them can end: one that waits delays those behind it.
    """
    state, limit = unit_of(record, unit), plan.limits[SEMAPHORE_LIMIT]
    begin = times_of(record, plan.member[state[FIRST] + state[POSTING]])[START]
    for target in range(UNITS):
        semaphore = unit * UNITS + target
        takes = record.posted[semaphore] + state[HEAD] - state[POSTING] - limit
        if takes <= 0:
            continue
        if takes > record.taken[semaphore]:
            return False
        if record.take_time[record.take_first[semaphore] + takes - 1] > begin:
            return False
    return True


@inner
def _take(plan: Plan, record: Record, unit: int, index: int) -> bool:
    """Let the unit's head take its counts, if it is known when they are there; True if it did."""
    state, times, wait = unit_of(record, unit), times_of(record, index), work_of(plan, index)[WAIT]
    cycle = times[DISPATCH] + QUEUE_LATENCY_CYCLES
    if state[HEAD] > 0:
        before = plan.member[state[FIRST] + state[HEAD] - 1]
        cycle = max(cycle, times_of(record, before)[START] + START_SPACING_CYCLES)
    for source in range(UNITS):
        if wait >> source & 1:
            semaphore = source * UNITS + unit
            number = record.taken[semaphore]
            if number >= record.posted[semaphore]:
                return False
            post = record.post_time[record.post_first[semaphore] + number]
            times[POSTED_0 + source] = post
            cycle = max(cycle, post + POST_LATENCY_CYCLES)
    for source in range(UNITS):
        if wait >> source & 1:
            semaphore = source * UNITS + unit
            record.take_time[record.take_first[semaphore] + record.taken[semaphore]] = cycle
            record.taken[semaphore] += 1
    state[TAKEN] = cycle
    return True


@inner
def _start_cycle(plan: Plan, record: Record, engines: Engines, unit: int) -> int:
    """The cycle at which the unit's head starts, or UNKNOWN when that depends on what is not known yet.

    A post that was due in an earlier cycle holds it back to the cycle after that post.
    """
    state = unit_of(record, unit)
    cycle = max(state[TAKEN], state[FREE])
    while state[STALL] < state[HEAD]:
        earlier = times_of(record, plan.member[state[FIRST] + state[STALL]])
        if earlier[END] >= cycle:
            break
        if earlier[END] == UNKNOWN:
            if _cannot_stall(plan, record, unit) or cycle <= engine_of(engines, unit)[CERTAIN]:
                break
            engine_of(engines, unit)[CHECK] = cycle
            return UNKNOWN
        if earlier[RELEASE] == UNKNOWN:
            return UNKNOWN
        if earlier[RELEASE] > earlier[END]:
            state[FREE] = max(state[FREE], earlier[RELEASE] + 1)
            cycle = max(cycle, state[FREE])
        state[STALL] += 1
    return int(cycle)


@inner
def _execute(plan: Plan, record: Record, engines: Engines, unit: int, index: int, start: int) -> None:
    """Time the instruction from its start; what needs answers of the memory ends later."""
    state, work = unit_of(record, unit), work_of(plan, index)
    if unit == VECTOR:
        state[FREE] = start + work[WORK_0]
        finish(record, unit, index, state[FREE])
    elif unit == MATRIX:
        first = max(start + work[WORK_0], state[STREAM_FREE])
        state[FREE] = first + work[WORK_1]
        state[STREAM_FREE] = state[FREE] + work[WORK_2]
        finish(record, unit, index, state[STREAM_FREE] + plan.limits[DEPTH_CYCLES] + 1)
    elif unit == STORE:
        begin_store(engines, transfer_of(plan, index), plan.constants, index, start)
    elif transfer_of(plan, index)[FILL]:
        engine_of(engines, LOAD)[CURRENT], engine_of(engines, LOAD)[SOONEST] = index, NEVER
        try_fill(plan, record, engines)
    else:
        begin_load(engines, transfer_of(plan, index), plan.constants, index, start)


@inner
def _start_unit(plan: Plan, record: Record, engines: Engines, unit: int) -> bool:
    """Start what the unit can start; True if anything moved."""
    state = unit_of(record, unit)
    moved = _post(plan, record, unit)
    while state[HEAD] < state[COUNT]:
        index = plan.member[state[FIRST] + state[HEAD]]
        if times_of(record, index)[DISPATCH] == UNKNOWN:
            break
        if state[TAKEN] == UNKNOWN:
            if not _take(plan, record, unit, index):
                break
            moved = True
        if unit <= STORE and engine_of(engines, unit)[CURRENT] >= 0:
            break
        start = _start_cycle(plan, record, engines, unit)
        if start == UNKNOWN:
            break
        times_of(record, index)[START] = start
        state[HEAD] += 1
        state[TAKEN] = UNKNOWN
        _execute(plan, record, engines, unit, index, start)
        _post(plan, record, unit)
        moved = True
    return bool(moved)


@inner
def _dispatch(plan: Plan, record: Record) -> bool:
    """Dispatch in program order as far as words and queue room are known; True if anything moved."""
    control, moved = record.control, False
    depth = plan.limits[QUEUE_DEPTH]
    while control[DISPATCHED] < control[ARRIVALS]:
        index = control[DISPATCHED]
        instruction, times = work_of(plan, index), times_of(record, index)
        free = 0
        if instruction[RANK] >= depth:
            first = unit_of(record, instruction[UNIT])[FIRST]
            free = times_of(record, plan.member[first + instruction[RANK] - depth])[START] + 1
            if free == UNKNOWN + 1:
                break
        offered = times[ARRIVED]
        if index > 0:
            words = (instruction[CODE_END] - code_begin(plan, index)) // CODE_WORD_BYTES
            offered = max(offered, times_of(record, index - 1)[DISPATCH] + words)
        times[DISPATCH] = max(offered, free)
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
    plan_fetch(plan, record)


@inner
def _go_on(plan: Plan, record: Record, engines: Engines) -> int:
    """Send requests, take answers and let the memory run until a unit can move; STILL when none ever can."""
    while True:
        send_fetches(plan, record, engines)
        if send_requests(plan, record, engines) or take_answers(plan, record, engines):
            return PROGRESS
        if engine_of(engines, LOAD)[NEXT] < NEVER or engine_of(engines, STORE)[NEXT] < NEVER:
            continue
        check = min(engine_of(engines, LOAD)[CHECK], engine_of(engines, STORE)[CHECK])
        found = run_memory(engines, plan.constants, memory_cycle(engines, plan.constants, check))
        if found == FULL or (found == STILL and check == NEVER):
            return found
        if found == STILL:
            for engine in range(2):
                if engine_of(engines, engine)[CHECK] == check:
                    engine_of(engines, engine)[CERTAIN] = check
                    engine_of(engines, engine)[CHECK] = NEVER
            return PROGRESS


DEADLOCK, FULL_TRACE = -1, -2


@leaf
def _in_place(plan: Plan, record: Record, engines: Engines) -> tuple[Plan, Record, Engines]:
    """Return the same with pointers to the arrays."""
    return (
        Plan(
            plan.instructions,
            pointer_of(plan.instruction),
            pointer_of(plan.member),
            pointer_of(plan.transfer),
            pointer_of(plan.constants),
            pointer_of(plan.limits),
        ),
        Record(
            pointer_of(record.time),
            pointer_of(record.unit),
            pointer_of(record.cause),
            pointer_of(record.posted),
            pointer_of(record.taken),
            pointer_of(record.post_first),
            pointer_of(record.take_first),
            pointer_of(record.post_time),
            pointer_of(record.take_time),
            pointer_of(record.control),
            pointer_of(record.code),
        ),
        Engines(
            pointer_of(engines.state),
            pointer_of(engines.memory),
            pointer_of(engines.wanted),
            pointer_of(engines.taken),
            pointer_of(engines.taken_at),
            engines.ring,
            engines.parts,
        ),
    )


@kernel
def run(given: Plan, found: Record, given_engines: Engines) -> int:
    """Simulate the plan; return its cycles, DEADLOCK (the record says where) or FULL_TRACE."""
    return _run(*_in_place(given, found, given_engines))


@inner
def _run(plan: Plan, record: Record, engines: Engines) -> int:
    """`run`, with pointers to the arrays."""
    found = PROGRESS
    while found == PROGRESS:
        engine_of(engines, LOAD)[CHECK] = engine_of(engines, STORE)[CHECK] = NEVER
        _settle(plan, record, engines)
        found = _go_on(plan, record, engines)
    if found == FULL:
        return FULL_TRACE
    if memory_finish(engines.memory) < 0:
        return FULL_TRACE
    total = 0
    for unit in range(UNITS):
        state = unit_of(record, unit)
        if state[POSTING] < state[COUNT]:
            return DEADLOCK
        total = max(total, state[POST_TIME] + 1)
    note_starved(plan, record)
    for unit in range(UNITS):
        account(plan, record, unit, total)
        if unit <= STORE:
            busy = engine_of(engines, unit)[BUSY]
            cause_of(record, unit)[CAUSE_DRAM] = cause_of(record, unit)[CAUSE_BUSY] - busy
            cause_of(record, unit)[CAUSE_BUSY] = busy
    return int(total)
