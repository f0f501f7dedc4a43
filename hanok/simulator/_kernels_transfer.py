"""Numba kernels of the load and store engines, in cycles of the core: requests go out, answers come in.

A request is sent as soon as its cycle is known, ahead of everything else; the memory goes on only when no
engine can send more, and no further than where an answer could bring it another request (`run_memory`).
"""

from __future__ import annotations

from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
)
from hanok.numerics._kernels_compile import inner, leaf
from hanok.simulator._kernels_traffic import (
    ANSWERED,
    ARRIVAL_WALK,
    BURST_SHIFT,
    BYTES_PER_CYCLE,
    CURRENT,
    DECODED,
    ISSUE,
    ISSUE_WALK,
    ISSUED,
    LAST,
    LATENCY,
    LOAD,
    MOVER,
    NEVER,
    NEXT,
    OPEN,
    PARTIAL,
    REQUESTS_PER_CYCLE,
    SOONEST,
    STARTED,
    STORE,
    TAKING,
    WALK_1,
    WALK_2,
    WALK_3,
    WALK_ADDRESS,
    WALK_LEFT,
    Engines,
    Integers,
    answer_to_oldest,
    busy,
    count_issue,
    forget_intervals,
    issue_of_oldest,
    leave_slot,
    send,
    slot_cycle,
)

# Columns of a DMA instruction.
FILL, RUN_BYTES, ADDRESS, COUNT_3, COUNT_2, COUNT_1, STRIDE_3, STRIDE_2, STRIDE_1, DECODER = range(10)


TRANSFER_COLUMNS = 10


@leaf
def _beats(gathered: int, width: int, all_of_it: bool) -> int:
    """Whole beats in `gathered` bytes; with `all_of_it`, the last may be short."""
    if all_of_it:
        gathered += width - 1
    if gathered < 2 * width:
        return 1 if gathered >= width else 0
    return gathered // width


@leaf
def _next_run(state: Integers, engine: int, walk: int, transfer: Integers) -> bool:
    """Step to the next run of the instruction; False when there is none."""
    state[engine, walk + WALK_1] += 1
    if state[engine, walk + WALK_1] == transfer[COUNT_1]:
        state[engine, walk + WALK_1] = 0
        state[engine, walk + WALK_2] += 1
        if state[engine, walk + WALK_2] == transfer[COUNT_2]:
            state[engine, walk + WALK_2] = 0
            state[engine, walk + WALK_3] += 1
            if state[engine, walk + WALK_3] == transfer[COUNT_3]:
                return False
    state[engine, walk + WALK_ADDRESS] = (
        transfer[ADDRESS]
        + state[engine, walk + WALK_3] * transfer[STRIDE_3]
        + state[engine, walk + WALK_2] * transfer[STRIDE_2]
        + state[engine, walk + WALK_1] * transfer[STRIDE_1]
    )
    state[engine, walk + WALK_LEFT] = transfer[RUN_BYTES]
    return True


@leaf
def _first_run(state: Integers, engine: int, walk: int, transfer: Integers) -> None:
    state[engine, walk + WALK_3] = state[engine, walk + WALK_2] = state[engine, walk + WALK_1] = 0
    state[engine, walk + WALK_ADDRESS] = transfer[ADDRESS]
    state[engine, walk + WALK_LEFT] = transfer[RUN_BYTES]


@inner
def fill(engines: Engines, transfer: Integers, constants: Integers, start: int) -> int:
    """Time a FILL that starts at `start`, when all earlier bursts are in; return its end."""
    state = engines.state
    width = constants[BYTES_PER_CYCLE]
    runs = transfer[COUNT_1] * transfer[COUNT_2] * transfer[COUNT_3]
    beats = runs * ((transfer[RUN_BYTES] + width - 1) // width)
    first = max(start, state[LOAD, MOVER])
    forget_intervals(engines, LOAD, start)
    state[LOAD, MOVER] = first + beats
    busy(engines, LOAD, 1, first, first + beats)
    return int(first + beats)


@inner
def begin_load(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the load engine take instruction `row` at cycle `start`."""
    state = engines.state
    state[LOAD, CURRENT] = row
    _first_run(engines.state, LOAD, ISSUE_WALK, transfer)
    state[LOAD, SOONEST] = start
    plan_load(engines, constants)


@leaf
def plan_load(engines: Engines, constants: Integers) -> None:
    """Set the cycle of the next request, if its slot is known."""
    state = engines.state
    if state[LOAD, CURRENT] >= 0 and state[LOAD, NEXT] == NEVER:
        free = slot_cycle(engines, constants, LOAD)
        if free < NEVER:
            state[LOAD, NEXT] = max(state[LOAD, SOONEST], free)


@inner
def load_bursts(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send requests as long as their slots are known; True after the instruction's last."""
    state = engines.state
    shift = constants[BURST_SHIFT]
    while state[LOAD, NEXT] < NEVER:
        now = state[LOAD, NEXT]
        count_issue(engines, LOAD, now)
        burst = state[LOAD, ISSUE_WALK + WALK_ADDRESS] >> shift
        send(engines, constants, LOAD, burst, now, 0)
        more = True
        while more and state[LOAD, ISSUE_WALK + WALK_ADDRESS] >> shift == burst:
            piece = min(
                state[LOAD, ISSUE_WALK + WALK_LEFT],
                ((burst + 1) << shift) - state[LOAD, ISSUE_WALK + WALK_ADDRESS],
            )
            state[LOAD, ISSUE_WALK + WALK_ADDRESS] += piece
            state[LOAD, ISSUE_WALK + WALK_LEFT] -= piece
            if state[LOAD, ISSUE_WALK + WALK_LEFT] == 0:
                more = _next_run(engines.state, LOAD, ISSUE_WALK, transfer)
        state[LOAD, NEXT] = NEVER
        if not more:
            state[LOAD, CURRENT] = -1
            return True
        state[LOAD, SOONEST] = now if state[LOAD, ISSUED] < constants[REQUESTS_PER_CYCLE] else now + 1
        plan_load(engines, constants)
    return False


@inner
def begin_taking(engines: Engines, transfer: Integers, row: int, start: int) -> None:
    """Let the SRAM side of the load engine take the bursts of instruction `row`, which started at `start`."""
    state = engines.state
    state[LOAD, TAKING], state[LOAD, STARTED], state[LOAD, PARTIAL] = row, start, 0
    state[LOAD, DECODED] = max(start, state[LOAD, MOVER]) + transfer[DECODER] if transfer[DECODER] > 0 else 0
    _first_run(engines.state, LOAD, ARRIVAL_WALK, transfer)


@inner
def take_burst(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Move what the oldest answer brings to SRAM; True after the instruction's last."""
    state = engines.state
    shift, width = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE]
    ready = answer_to_oldest(engines, constants, LOAD, A_COMPLETED) + constants[LATENCY]
    state[LOAD, ANSWERED] = max(ready, issue_of_oldest(engines, LOAD) + 1, state[LOAD, ANSWERED])
    burst = state[LOAD, ARRIVAL_WALK + WALK_ADDRESS] >> shift
    gone, more = state[LOAD, MOVER], True
    while more and state[LOAD, ARRIVAL_WALK + WALK_ADDRESS] >> shift == burst:
        piece = min(
            state[LOAD, ARRIVAL_WALK + WALK_LEFT],
            ((burst + 1) << shift) - state[LOAD, ARRIVAL_WALK + WALK_ADDRESS],
        )
        state[LOAD, ARRIVAL_WALK + WALK_ADDRESS] += piece
        state[LOAD, ARRIVAL_WALK + WALK_LEFT] -= piece
        state[LOAD, PARTIAL] += piece
        gone = max(state[LOAD, ANSWERED], state[LOAD, MOVER])
        beats = _beats(state[LOAD, PARTIAL], width, state[LOAD, ARRIVAL_WALK + WALK_LEFT] == 0)
        if beats > 0:
            state[LOAD, MOVER] = gone + beats
            busy(engines, LOAD, 1, gone, gone + beats)
            gone = state[LOAD, MOVER] - 1
            state[LOAD, PARTIAL] -= beats * width
        if state[LOAD, ARRIVAL_WALK + WALK_LEFT] == 0:
            state[LOAD, PARTIAL] = 0
            more = _next_run(engines.state, LOAD, ARRIVAL_WALK, transfer)
    leave_slot(engines, LOAD, gone)
    if more:
        return False
    if state[LOAD, DECODED] > state[LOAD, MOVER]:
        busy(engines, LOAD, 1, state[LOAD, MOVER], state[LOAD, DECODED])
        state[LOAD, MOVER] = state[LOAD, DECODED]
    state[LOAD, TAKING] = -1
    return True


@inner
def begin_store(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the store engine take instruction `row` at cycle `start`."""
    state = engines.state
    state[STORE, CURRENT], state[STORE, LAST], state[STORE, PARTIAL] = row, 0, 0
    _first_run(engines.state, STORE, ISSUE_WALK, transfer)
    state[STORE, SOONEST] = start
    gather_burst(engines, transfer, constants)


@inner
def gather_burst(engines: Engines, transfer: Integers, constants: Integers) -> None:
    """Read from SRAM what the next write burst needs, and set its request's cycle, if its slot is known."""
    state = engines.state
    if state[STORE, CURRENT] < 0 or state[STORE, NEXT] < NEVER:
        return
    free = slot_cycle(engines, constants, STORE)
    if free == NEVER:
        return
    shift, width = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE]
    burst = state[STORE, ISSUE_WALK + WALK_ADDRESS] >> shift
    state[STORE, OPEN] = burst
    earliest, more = max(state[STORE, SOONEST], free), True
    while more and state[STORE, ISSUE_WALK + WALK_ADDRESS] >> shift == burst:
        piece = min(
            state[STORE, ISSUE_WALK + WALK_LEFT],
            ((burst + 1) << shift) - state[STORE, ISSUE_WALK + WALK_ADDRESS],
        )
        beats = _beats(piece - state[STORE, PARTIAL], width, True)
        if beats > 0:
            first = max(state[STORE, MOVER], earliest)
            state[STORE, MOVER] = first + beats
            busy(engines, STORE, 1, first, first + beats)
        else:
            state[STORE, MOVER] = max(state[STORE, MOVER], earliest + 1)
        state[STORE, PARTIAL] = (
            min(state[STORE, PARTIAL] + beats * width, state[STORE, ISSUE_WALK + WALK_LEFT]) - piece
        )
        state[STORE, ISSUE_WALK + WALK_ADDRESS] += piece
        state[STORE, ISSUE_WALK + WALK_LEFT] -= piece
        if state[STORE, ISSUE_WALK + WALK_LEFT] == 0:
            more = _next_run(engines.state, STORE, ISSUE_WALK, transfer)
    if not more:
        state[STORE, LAST] = 1
    idle = (
        state[STORE, ISSUE]
        if state[STORE, ISSUED] < constants[REQUESTS_PER_CYCLE]
        else state[STORE, ISSUE] + 1
    )
    state[STORE, NEXT] = max(state[STORE, MOVER], idle)
    state[STORE, SOONEST] = 0


@inner
def store_bursts(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send gathered bursts and gather others while slots are known; True after the instruction's last."""
    state = engines.state
    while state[STORE, NEXT] < NEVER:
        now = state[STORE, NEXT]
        count_issue(engines, STORE, now)
        send(engines, constants, STORE, state[STORE, OPEN], now, 1)
        state[STORE, NEXT] = NEVER
        if state[STORE, LAST]:
            state[STORE, CURRENT] = -1
            return True
        gather_burst(engines, transfer, constants)
    return False


@inner
def accept_burst(engines: Engines, constants: Integers) -> None:
    """Note that the memory has taken the oldest write that was open."""
    state = engines.state
    taken = answer_to_oldest(engines, constants, STORE, A_ADMITTED)
    accepted = max(taken, issue_of_oldest(engines, STORE))
    state[STORE, ANSWERED] = max(state[STORE, ANSWERED], accepted)
    leave_slot(engines, STORE, accepted)
