"""Numba kernels that send the units' requests and take what the memory answers."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._layout import (
    A_COMPLETED,
)
from hanok.isa.timing import CODE_WORD_BYTES, FETCH_LATENCY_CYCLES, FETCH_REQUEST_STAGES
from hanok.numerics._kernels_compile import (
    inner,
)
from hanok.simulator._kernels_lines import plan_load, take_whole_lines
from hanok.simulator._kernels_state import (
    ARRIVALS,
    ARRIVED,
    CODE_ADDRESS,
    CODE_BYTES,
    CODE_END,
    DISPATCH,
    DISPATCHED,
    END,
    ENDED,
    FETCH_ARRIVED,
    FETCH_BUFFER,
    FETCH_ISSUE,
    FETCH_NEXT,
    FETCHED,
    FILL,
    FIRST,
    FREE,
    LAST_LINE,
    ROOM,
    START,
    TRANSFERRED,
    WORDS_AT,
    Plan,
    Record,
    code_begin,
    code_of,
    times_of,
    transfer_of,
    unit_of,
    work_of,
)
from hanok.simulator._kernels_traffic import (
    ANSWERED,
    ANSWERED_LINES,
    BURST_SHIFT,
    BURSTS,
    CURRENT,
    FETCH,
    ISSUE,
    LAST_END,
    LATENCY,
    LOAD,
    MOVER,
    NEVER,
    NEXT,
    SENT,
    SOONEST,
    STORE,
    TAKING,
    Engines,
    answer_to_oldest,
    bus_of_oldest,
    engine_of,
    is_answered,
    leave_slot,
    open_line,
    send,
)
from hanok.simulator._kernels_transfer import (
    accept_line,
    begin_taking,
    fill,
    gather_line,
    load_lines,
    store_lines,
    take_line,
)


@inner
def finish(record: Record, unit: int, index: int, end: int) -> None:
    """Record the end of a unit's next instruction."""
    times_of(record, index)[END] = end
    unit_of(record, unit)[ENDED] += 1


@inner
def try_fill(plan: Plan, record: Record, engines: Engines) -> bool:
    """Make a FILL that holds the load engine, once all lines before it are in; True if it did."""
    engine = engine_of(engines, LOAD)
    index = engine[CURRENT]
    if index < 0 or engine[ANSWERED_LINES] < engine[SENT]:
        return False
    transfer = transfer_of(plan, index)
    if not transfer[FILL]:
        return False
    end = fill(engines, transfer, plan.constants, times_of(record, index)[START])
    engine[CURRENT] = -1
    unit_of(record, LOAD)[FREE] = end
    finish(record, LOAD, index, end)
    return True


@inner
def plan_fetch(plan: Plan, record: Record) -> None:
    """Set the cycle of the next instruction fetch, when the buffer is known to have room for it."""
    control, limits = record.control, plan.limits
    if control[FETCH_NEXT] != NEVER or control[FETCHED] >= limits[CODE_BYTES]:
        return
    size = 1 << plan.constants[BURST_SHIFT]
    offset = limits[CODE_ADDRESS] & (size - 1)
    behind = min(limits[CODE_BYTES], control[FETCHED] + size - (offset if control[FETCHED] == 0 else 0))
    while control[ROOM] < control[DISPATCHED]:
        gone = work_of(plan, control[ROOM] - 1)[CODE_END] if control[ROOM] > 0 else 0
        if behind - gone <= limits[FETCH_BUFFER]:
            break
        control[ROOM] += 1
    gone = work_of(plan, control[ROOM] - 1)[CODE_END] if control[ROOM] > 0 else 0
    if behind - gone > limits[FETCH_BUFFER]:
        return
    room = times_of(record, control[ROOM] - 1)[DISPATCH] + 1 if control[ROOM] > 0 else 0
    control[FETCH_NEXT] = max(room, control[FETCH_ISSUE] + 1)


@inner
def send_fetches(plan: Plan, record: Record, engines: Engines) -> bool:
    """Fetch bursts of instructions as long as the buffer is known to have room; True if any was sent."""
    control, limits, moved = record.control, plan.limits, False
    size = 1 << plan.constants[BURST_SHIFT]
    while control[FETCH_NEXT] < NEVER:
        now = control[FETCH_NEXT]
        burst = (limits[CODE_ADDRESS] + control[FETCHED]) >> plan.constants[BURST_SHIFT]
        arrival = open_line(engines, plan.constants, FETCH, now + FETCH_REQUEST_STAGES)
        send(engines, plan.constants, FETCH, burst, arrival, 0)
        control[FETCHED] = min(limits[CODE_BYTES], (burst + 1) * size - limits[CODE_ADDRESS])
        control[FETCH_ISSUE], control[FETCH_NEXT] = now, NEVER
        moved = True
        plan_fetch(plan, record)
    return moved


@inner
def _take_fetch(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take the oldest fetched burst, and all instructions that it completes; True if there is any."""
    control, limits, state = record.control, plan.limits, engine_of(engines, FETCH)
    ready = answer_to_oldest(engines, plan.constants, FETCH, A_COMPLETED)
    arrived = max(ready + plan.constants[LATENCY], bus_of_oldest(engines, FETCH) + 1)
    control[FETCH_ARRIVED] = max(control[FETCH_ARRIVED], arrived)
    words_at = control[FETCH_ARRIVED] + FETCH_LATENCY_CYCLES
    code_of(record, state[ANSWERED_LINES])[WORDS_AT] = words_at
    shift = plan.constants[BURST_SHIFT]
    here = (((limits[CODE_ADDRESS] >> shift) + state[ANSWERED_LINES]) << shift) - limits[CODE_ADDRESS]
    there = min(limits[CODE_BYTES], here + (1 << shift))
    leave_slot(engines, FETCH, arrived)
    before = control[ARRIVALS]
    while control[ARRIVALS] < plan.instructions:
        index = control[ARRIVALS]
        end = work_of(plan, index)[CODE_END]
        words = (end - max(here, code_begin(plan, index))) // CODE_WORD_BYTES
        times_of(record, index)[ARRIVED] = max(times_of(record, index)[ARRIVED], words_at + words)
        if end > there:
            break
        control[ARRIVALS] += 1
    return bool(control[ARRIVALS] > before)


@inner
def send_requests(plan: Plan, record: Record, engines: Engines) -> bool:
    """Send all requests whose cycle is known; True if an instruction has made its last."""
    ended = False
    for engine in range(2):
        state = engine_of(engines, engine)
        if state[NEXT] == NEVER:
            continue
        index, before = state[CURRENT], state[BURSTS]
        transfer = transfer_of(plan, index)
        if engine == LOAD:
            last = load_lines(engines, transfer, plan.constants)
        else:
            last = store_lines(engines, transfer, plan.constants)
        times_of(record, index)[TRANSFERRED] += state[BURSTS] - before
        if last:
            times_of(record, index)[LAST_LINE] = state[SENT]
            unit_of(record, engine)[FREE] = state[SOONEST] if engine == LOAD else state[ISSUE]
            ended = True
    return ended


@inner
def _take_loads(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take the lines of loads whose answers are known, in order; True if an instruction has ended."""
    state, unit, ended = engine_of(engines, LOAD), unit_of(record, LOAD), False
    while is_answered(engines, LOAD):
        index = plan.member[unit[FIRST] + unit[ENDED]]
        transfer = transfer_of(plan, index)
        if state[TAKING] != index:
            begin_taking(engines, transfer, index, times_of(record, index)[START])
        if take_whole_lines(engines, transfer, plan.constants):
            continue
        if take_line(engines, transfer, plan.constants):
            finish(record, LOAD, index, state[MOVER])
            ended = True
    return ended


@inner
def _take_stores(plan: Plan, record: Record, engines: Engines) -> bool:
    """Note which writes the memory has taken, in order; True if an instruction has ended."""
    state, unit, ended = engine_of(engines, STORE), unit_of(record, STORE), False
    while is_answered(engines, STORE):
        accept_line(engines, plan.constants)
        index = plan.member[unit[FIRST] + unit[ENDED]]
        if times_of(record, index)[LAST_LINE] == state[ANSWERED_LINES]:
            state[LAST_END] = max(state[ANSWERED], state[LAST_END]) + 1
            finish(record, STORE, index, state[LAST_END])
            ended = True
    return ended


@inner
def take_answers(plan: Plan, record: Record, engines: Engines) -> bool:
    """Take all answers that are known and next in their engine's order; True if that moves a unit."""
    moved = False
    while is_answered(engines, FETCH):
        moved |= _take_fetch(plan, record, engines)
    moved |= _take_loads(plan, record, engines)
    moved |= try_fill(plan, record, engines)
    plan_load(engines, plan.constants)
    moved |= _take_stores(plan, record, engines)
    store = engine_of(engines, STORE)
    if store[CURRENT] >= 0 and store[NEXT] == NEVER:
        gather_line(engines, transfer_of(plan, store[CURRENT]), plan.constants)
    return moved
