"""Numba kernels that give each cycle of each unit its cause, once everything has its time."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.isa.timing import (
    CODE_WORD_BYTES,
    POST_LATENCY_CYCLES,
    QUEUE_LATENCY_CYCLES,
    START_SPACING_CYCLES,
)
from hanok.numerics._kernels_compile import inner
from hanok.simulator._kernels_state import (
    CAUSE_BUSY,
    CAUSE_DISPATCH,
    CAUSE_END,
    CAUSE_FETCH,
    CAUSE_FULL,
    CAUSE_LOAD,
    CODE_ADDRESS,
    CODE_END,
    COUNT,
    DISPATCH,
    END,
    FIRST,
    POSTED_0,
    RELEASE,
    START,
    STARVED_BEFORE,
    STARVED_FROM,
    UNITS,
    WORDS_AT,
    Plan,
    Record,
    cause_of,
    code_begin,
    code_of,
    times_of,
    unit_of,
    work_of,
)
from hanok.simulator._kernels_traffic import BURST_SHIFT, NEVER


@inner
def note_starved(plan: Plan, record: Record) -> None:
    """Find the cycles in which the decoder has nothing to offer and no word to take.

    Each such time ends with the words of a burst, but for the last, which has no end.
    """
    shift, offset = plan.constants[BURST_SHIFT], plan.limits[CODE_ADDRESS]
    first = offset >> shift
    number, starved, dispatched = -1, 0, -1
    for index in range(plan.instructions):
        free, place, end = dispatched, code_begin(plan, index), work_of(plan, index)[CODE_END]
        while place < end:
            burst = ((offset + place) >> shift) - first
            code = code_of(record, burst)
            if burst > number:
                number = burst
                code[STARVED_BEFORE] = starved
                code[STARVED_FROM] = min(max(free, dispatched + 1), code[WORDS_AT])
                starved += code[WORDS_AT] - code[STARVED_FROM]
                free = max(free, code[WORDS_AT])
            behind = min(end, ((first + burst + 1) << shift) - offset)
            free += (behind - place) // CODE_WORD_BYTES
            place = behind
        dispatched = times_of(record, index)[DISPATCH]
    after = code_of(record, number + 1)
    after[WORDS_AT], after[STARVED_FROM], after[STARVED_BEFORE] = NEVER, dispatched + 1, starved


@inner
def _starved_before(plan: Plan, record: Record, cycle: int) -> int:
    """Cycles before `cycle` in which the decoder was starved."""
    low, offset = 0, plan.limits[CODE_ADDRESS]
    shift = plan.constants[BURST_SHIFT]
    high = ((offset + work_of(plan, plan.instructions - 1)[CODE_END] - 1) >> shift) - (offset >> shift) + 1
    while low < high:
        middle = (low + high) // 2
        if code_of(record, middle)[WORDS_AT] < cycle:
            low = middle + 1
        else:
            high = middle
    code = code_of(record, low)
    return int(code[STARVED_BEFORE] + max(0, cycle - code[STARVED_FROM]))


@inner
def _account_gap(
    plan: Plan, record: Record, unit: int, index: int, idle: int, released: int, spaced: int
) -> None:
    """Give each cycle of `unit` from `idle` to the start of instruction `index` its cause.

    `released`: the cycle from which the posts of the instruction before it hold nothing back.
    `spaced`: the first that is far enough from its start.
    """
    cause, times = cause_of(record, unit), times_of(record, index)
    cursor, seen = idle, max(times[DISPATCH] + QUEUE_LATENCY_CYCLES, spaced)
    if released > cursor:
        cause[CAUSE_FULL] += released - cursor
        cursor = released
    if seen > cursor:
        fetch = _starved_before(plan, record, seen) - _starved_before(plan, record, cursor)
        cause[CAUSE_FETCH] += fetch
        cause[CAUSE_DISPATCH] += seen - cursor - fetch
        cursor = seen
    for source in range(UNITS):
        available = times[POSTED_0 + source] + POST_LATENCY_CYCLES
        if available > cursor:
            cause[CAUSE_LOAD + source] += available - cursor
            cursor = available
    assert cursor == times[START]


@inner
def account(plan: Plan, record: Record, unit: int, total: int) -> None:
    """Give each of the `total` cycles of a unit its cause; all active ones count as busy."""
    state, cause = unit_of(record, unit), cause_of(record, unit)
    idle, released, spaced = 0, 0, 0
    for rank in range(state[COUNT]):
        index = plan.member[state[FIRST] + rank]
        times = times_of(record, index)
        if times[START] > idle:
            _account_gap(plan, record, unit, index, idle, released, spaced)
            idle = times[START]
        cause[CAUSE_BUSY] += max(0, times[END] - idle)
        idle, released = max(idle, times[END]), times[RELEASE] + (times[RELEASE] > times[END])
        spaced = times[START] + START_SPACING_CYCLES
    cause[CAUSE_FULL] += max(0, released - idle)
    cause[CAUSE_END] += total - max(idle, released)
