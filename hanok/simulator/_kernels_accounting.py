"""Numba kernels that give each cycle of each unit its cause."""

from __future__ import annotations

from hanok.numerics._kernels_compile import inner
from hanok.simulator._kernels_state import (
    ACCOUNTED,
    ACTIVE_END,
    ARRIVED,
    CAUSE_BUSY,
    CAUSE_DISPATCH,
    CAUSE_FETCH,
    CAUSE_FULL,
    CAUSE_LOAD,
    DISPATCH,
    DISPATCHED,
    END,
    ENDED,
    FETCH_CYCLES,
    FIRST,
    HEAD,
    POSTED_0,
    RANK,
    RELEASE,
    START,
    UNITS,
    Plan,
    Record,
    cause_of,
    times_of,
    unit_of,
    work_of,
)


@inner
def _fetch_cycles_before(record: Record, cycle: int) -> int:
    """Cycles before `cycle` in which dispatch waited for instruction bytes (dispatch has passed `cycle`)."""
    low, high = 0, record.control[DISPATCHED]
    while low < high:
        middle = (low + high) // 2
        if times_of(record, middle)[DISPATCH] < cycle:
            low = middle + 1
        else:
            high = middle
    before, begin = 0, 0
    if low > 0:
        before, begin = times_of(record, low - 1)[FETCH_CYCLES], times_of(record, low - 1)[DISPATCH] + 1
    return int(before + max(0, min(cycle, times_of(record, low)[ARRIVED]) - begin))


@inner
def _account_gap(plan: Plan, record: Record, unit: int, index: int) -> None:
    """Give each idle cycle of `unit` before instruction `index` starts its cause."""
    state, cause, times = unit_of(record, unit), cause_of(record, unit), times_of(record, index)
    cursor, start = state[ACTIVE_END], times[START]
    if start <= cursor:
        return
    state[ACTIVE_END] = start
    rank = work_of(plan, index)[RANK]
    if rank > 0:
        before = times_of(record, plan.member[state[FIRST] + rank - 1])
        if before[RELEASE] > cursor:
            cause[CAUSE_FULL] += before[RELEASE] - cursor
            cursor = before[RELEASE]
    if times[DISPATCH] > cursor:
        fetch = times[FETCH_CYCLES] - _fetch_cycles_before(record, cursor)
        cause[CAUSE_FETCH] += fetch
        cause[CAUSE_DISPATCH] += times[DISPATCH] - cursor - fetch
        cursor = times[DISPATCH]
    for source in range(UNITS):
        available = times[POSTED_0 + source]
        if available > cursor:
            cause[CAUSE_LOAD + source] += available - cursor
            cursor = available
    assert cursor == start


@inner
def account_starts(plan: Plan, record: Record, unit: int) -> None:
    """Account for what comes before each start, once the instruction before it has ended."""
    state = unit_of(record, unit)
    while state[ACCOUNTED] < state[HEAD] and state[ACCOUNTED] <= state[ENDED]:
        _account_gap(plan, record, unit, plan.member[state[FIRST] + state[ACCOUNTED]])
        state[ACCOUNTED] += 1


@inner
def finish(plan: Plan, record: Record, unit: int, index: int, end: int) -> None:
    """Record the end of an instruction and what of its time is new active time of the unit."""
    account_starts(plan, record, unit)
    state, times = unit_of(record, unit), times_of(record, index)
    times[END] = end
    state[ENDED] += 1
    if end > state[ACTIVE_END]:
        cause_of(record, unit)[CAUSE_BUSY] += end - max(state[ACTIVE_END], times[START])
        state[ACTIVE_END] = end
