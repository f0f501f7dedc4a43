"""Numba kernels of the load, store and fetch engines, in cycles of the core: requests go out, answers come in.

A request is sent as soon as its cycle is known, ahead of everything else; the memory goes on only when no
engine can send more, and no further than where an answer could bring it another request (`run_memory`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hanok.dram._kernels import request, to_cycle, to_ps
from hanok.dram._kernels_schedule import advance, next_event
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    H_BURST,
    H_PSEUDO,
    H_READ_LATENCY,
    H_TCK_FS,
    H_UNITS,
    TRACE_FULL,
)
from hanok.numerics._kernels_compile import inner

Integers = npt.NDArray[np.int64]

LOAD, STORE, FETCH = 0, 1, 2
ENGINES = 3

# Columns of a DMA instruction.
FILL, RUN_BYTES, ADDRESS, COUNT_3, COUNT_2, COUNT_1, STRIDE_3, STRIDE_2, STRIDE_1, DECODER = range(10)
TRANSFER_COLUMNS = 10

# Columns of the constants of a simulation.
CLOCK_MHZ, BURST_SHIFT, BYTES_PER_CYCLE, OUTSTANDING, REQUESTS_PER_CYCLE, LATENCY = range(6)
CONSTANT_COLUMNS = 6

# A walk over an instruction's runs.
WALK_ADDRESS, WALK_LEFT, WALK_3, WALK_2, WALK_1, WALK_SIZE = range(6)

# Columns of a DMA engine's state.
(
    NEXT,  # cycle of the next request, or NEVER while that is not known
    SOONEST,  # that cycle but for the slot that it needs
    CURRENT,  # row of the instruction that issues requests, or -1
    ISSUE,  # cycle of the last request
    ISSUED,  # requests in that cycle
    SENT,  # bursts of this engine so far
    ANSWERED_BURSTS,  # of them, how many answers are in
    TAKING,  # load: row of the instruction whose bursts are coming in, or -1
    STARTED,  # load: cycle in which that instruction started
    PARTIAL,  # load: bytes waiting for a whole beat; store: bytes of the last beat not yet in a burst
    MOVER,  # first cycle in which the SRAM side is free
    ANSWERED,  # latest answer of the memory so far
    BUSY,  # cycles in which it issues or moves
    LAST,  # store: 1 when the open burst is the last of the instruction
    OPEN,  # store: burst number of the write that is being gathered
    DECODED,  # load: cycle in which the decoder of an EXPAND is done
    CHECK,  # a start in this cycle needs to know whether earlier instructions have ended, or NEVER
    CERTAIN,  # instructions whose end is not known end after this cycle
    ISSUE_FRONT, ISSUE_BACK,  # first interval of busy requests, and behind the last one
    MOVE_FRONT, MOVE_BACK,  # the same of the SRAM side
    ISSUE_WALK,
) = range(23)  # fmt: skip
ARRIVAL_WALK = ISSUE_WALK + WALK_SIZE
ENGINE_COLUMNS = ARRIVAL_WALK + WALK_SIZE
"""The rings follow: for each burst the cycle of its request, its memory channel and the cycle in which it left
its slot; then the busy intervals of both sides, twice as many, each a first cycle and one behind."""

NEVER = np.int64(1) << 60


class Engines(NamedTuple):
    """State of the DMA engines and of the instruction fetch, and the memory behind them."""

    state: Integers
    """[engine, ENGINE_COLUMNS + 11 * ring]; the ring is a power of two, larger than what is ever open."""
    answers: Integers
    """[4 * ring, A_SIZE] of hanok.dram: the answer to burst n of an engine is at engine * ring + n % ring."""
    memory: Integers
    trace: Integers


def ring_columns(ring: int) -> int:
    """Return how many columns an engine's state has with rings of `ring` bursts."""
    return ENGINE_COLUMNS + 11 * ring


@inner
def _ring(engines: Engines) -> int:
    """Return the size of the rings."""
    return engines.answers.shape[0] >> 2


@inner
def cycle_of(picoseconds: int, clock_mhz: int) -> int:
    """`hanok.units.picoseconds_to_cycles`."""
    return (picoseconds * clock_mhz + 999_999) // 1_000_000


@inner
def picosecond_of(cycle: int, clock_mhz: int) -> int:
    """`hanok.units.cycles_to_picoseconds`."""
    return (cycle * 1_000_000 + clock_mhz - 1) // clock_mhz


@inner
def memory_cycle(engines: Engines, constants: Integers, cycle: int) -> int:
    """Return the memory's cycle in which a request of a cycle of the core arrives."""
    if cycle >= NEVER:
        return int(NEVER)
    return int(to_cycle(engines.memory, picosecond_of(cycle, constants[CLOCK_MHZ])))


@inner
def core_cycle(engines: Engines, constants: Integers, cycle: int) -> int:
    """Return the first cycle of the core that does not begin before a cycle of the memory."""
    return int(cycle_of(to_ps(engines.memory, cycle), constants[CLOCK_MHZ]))


@inner
def busy(engines: Engines, engine: int, side: int, first: int, behind: int) -> None:
    """Count cycles in which an engine's requests (side 0) or SRAM side (1) are busy, each cycle once."""
    state, ring = engines.state, _ring(engines)
    state[engine, BUSY] += behind - first
    start = ENGINE_COLUMNS + (3 + 4 * side) * ring
    front, back = ISSUE_FRONT + 2 * side, ISSUE_BACK + 2 * side
    last = start + 2 * ((state[engine, back] - 1) & (2 * ring - 1))
    if state[engine, back] > state[engine, front] and state[engine, last + 1] == first:
        state[engine, last + 1] = behind
    else:
        slot = start + 2 * (state[engine, back] & (2 * ring - 1))
        state[engine, slot], state[engine, slot + 1] = first, behind
        state[engine, back] += 1
    _compare(state, engine, ring)


@inner
def _compare(state: Integers, engine: int, ring: int) -> None:
    """Take what both sides hold off the busy cycles; forget intervals that the other side has passed."""
    mask = 2 * ring - 1
    issues = ENGINE_COLUMNS + 3 * ring
    moves = issues + 4 * ring
    while (
        state[engine, ISSUE_FRONT] < state[engine, ISSUE_BACK]
        and state[engine, MOVE_FRONT] < state[engine, MOVE_BACK]
    ):
        a = issues + 2 * (state[engine, ISSUE_FRONT] & mask)
        b = moves + 2 * (state[engine, MOVE_FRONT] & mask)
        shared = min(state[engine, a + 1], state[engine, b + 1]) - max(state[engine, a], state[engine, b])
        if shared > 0:
            state[engine, BUSY] -= shared
        if state[engine, a + 1] <= state[engine, b + 1]:
            state[engine, ISSUE_FRONT] += 1
        else:
            state[engine, MOVE_FRONT] += 1


@inner
def _forget_intervals(engines: Engines, engine: int, passed: int) -> None:
    """Drop intervals that end by a cycle before which neither side does anything any more."""
    state, ring = engines.state, _ring(engines)
    for side in range(2):
        start = ENGINE_COLUMNS + (3 + 4 * side) * ring
        front, back = ISSUE_FRONT + 2 * side, ISSUE_BACK + 2 * side
        while state[engine, front] < state[engine, back]:
            if state[engine, start + 2 * (state[engine, front] & (2 * ring - 1)) + 1] > passed:
                break
            state[engine, front] += 1


@inner
def _beats(gathered: int, width: int, all_of_it: bool) -> int:
    """Whole beats in `gathered` bytes; with `all_of_it`, the last may be short."""
    if all_of_it:
        gathered += width - 1
    if gathered < 2 * width:
        return 1 if gathered >= width else 0
    return gathered // width


@inner
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


@inner
def _first_run(state: Integers, engine: int, walk: int, transfer: Integers) -> None:
    state[engine, walk + WALK_3] = state[engine, walk + WALK_2] = state[engine, walk + WALK_1] = 0
    state[engine, walk + WALK_ADDRESS] = transfer[ADDRESS]
    state[engine, walk + WALK_LEFT] = transfer[RUN_BYTES]


@inner
def send(engines: Engines, constants: Integers, engine: int, burst: int, cycle: int, kind: int) -> None:
    """Send the request for a burst in a cycle of the core."""
    state, ring = engines.state, _ring(engines)
    slot = state[engine, SENT] & (ring - 1)
    state[engine, SENT] += 1
    state[engine, ENGINE_COLUMNS + slot] = cycle
    state[engine, ENGINE_COLUMNS + ring + slot] = request(
        engines.memory,
        engines.answers,
        engine,
        engine * ring + slot,
        burst << constants[BURST_SHIFT],
        memory_cycle(engines, constants, cycle),
        kind,
    )


@inner
def _count_issue(engines: Engines, engine: int, now: int) -> None:
    """Note a request in cycle `now`."""
    state = engines.state
    if now != state[engine, ISSUE]:
        state[engine, ISSUE], state[engine, ISSUED] = now, 0
        busy(engines, engine, 0, now, now + 1)
    state[engine, ISSUED] += 1


@inner
def _oldest(engines: Engines, engine: int) -> int:
    """Return the ring's slot of an engine's oldest open burst."""
    return engines.state[engine, ANSWERED_BURSTS] & (_ring(engines) - 1)


@inner
def issue_of_oldest(engines: Engines, engine: int) -> int:
    """Return the cycle in which the request of the oldest open burst was sent."""
    return engines.state[engine, ENGINE_COLUMNS + _oldest(engines, engine)]


@inner
def answer_to_oldest(engines: Engines, constants: Integers, engine: int, column: int) -> int:
    """Return the cycle of the core of an answer to an engine's oldest open burst."""
    slot = engine * _ring(engines) + _oldest(engines, engine)
    return core_cycle(engines, constants, engines.answers[slot, column])


@inner
def _leave_slot(engines: Engines, engine: int, cycle: int) -> None:
    """Note that the oldest open burst leaves its slot in `cycle`."""
    engines.state[engine, ENGINE_COLUMNS + 2 * _ring(engines) + _oldest(engines, engine)] = cycle
    engines.state[engine, ANSWERED_BURSTS] += 1


@inner
def _slot_cycle(engines: Engines, constants: Integers, engine: int) -> int:
    """Return the first cycle in which the slot of the next burst is free, or NEVER if that is not known."""
    state, ring = engines.state, _ring(engines)
    before = state[engine, SENT] - constants[OUTSTANDING]
    if before < 0:
        return 0
    if before >= state[engine, ANSWERED_BURSTS]:
        return int(NEVER)
    return state[engine, ENGINE_COLUMNS + 2 * ring + (before & (ring - 1))] + 1


@inner
def fill(engines: Engines, transfer: Integers, constants: Integers, start: int) -> int:
    """Time a FILL that starts at `start`, when all earlier bursts are in; return its end."""
    state = engines.state[LOAD]
    width = constants[BYTES_PER_CYCLE]
    runs = transfer[COUNT_1] * transfer[COUNT_2] * transfer[COUNT_3]
    beats = runs * ((transfer[RUN_BYTES] + width - 1) // width)
    first = max(start, state[MOVER])
    _forget_intervals(engines, LOAD, start)
    state[MOVER] = first + beats
    busy(engines, LOAD, 1, first, first + beats)
    return int(first + beats)


@inner
def begin_load(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the load engine take instruction `row` at cycle `start`."""
    state = engines.state[LOAD]
    state[CURRENT] = row
    _first_run(engines.state, LOAD, ISSUE_WALK, transfer)
    state[SOONEST] = start
    plan_load(engines, constants)


@inner
def plan_load(engines: Engines, constants: Integers) -> None:
    """Set the cycle of the next request, if its slot is known."""
    state = engines.state[LOAD]
    if state[CURRENT] >= 0 and state[NEXT] == NEVER:
        free = _slot_cycle(engines, constants, LOAD)
        if free < NEVER:
            state[NEXT] = max(state[SOONEST], free)


@inner
def load_bursts(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send requests as long as their slots are known; True after the instruction's last."""
    state, walk = engines.state[LOAD], engines.state[LOAD, ISSUE_WALK : ISSUE_WALK + WALK_SIZE]
    shift = constants[BURST_SHIFT]
    while state[NEXT] < NEVER:
        now = state[NEXT]
        _count_issue(engines, LOAD, now)
        burst = walk[WALK_ADDRESS] >> shift
        send(engines, constants, LOAD, burst, now, 0)
        more = True
        while more and walk[WALK_ADDRESS] >> shift == burst:
            piece = min(walk[WALK_LEFT], ((burst + 1) << shift) - walk[WALK_ADDRESS])
            walk[WALK_ADDRESS] += piece
            walk[WALK_LEFT] -= piece
            if walk[WALK_LEFT] == 0:
                more = _next_run(engines.state, LOAD, ISSUE_WALK, transfer)
        state[NEXT] = NEVER
        if not more:
            state[CURRENT] = -1
            return True
        state[SOONEST] = now if state[ISSUED] < constants[REQUESTS_PER_CYCLE] else now + 1
        plan_load(engines, constants)
    return False


@inner
def begin_taking(engines: Engines, transfer: Integers, row: int, start: int) -> None:
    """Let the SRAM side of the load engine take the bursts of instruction `row`, which started at `start`."""
    state = engines.state[LOAD]
    state[TAKING], state[STARTED], state[PARTIAL] = row, start, 0
    state[DECODED] = max(start, state[MOVER]) + transfer[DECODER] if transfer[DECODER] > 0 else 0
    _first_run(engines.state, LOAD, ARRIVAL_WALK, transfer)


@inner
def take_burst(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Move what the oldest answer brings to SRAM; True after the instruction's last."""
    state, walk = engines.state[LOAD], engines.state[LOAD, ARRIVAL_WALK : ARRIVAL_WALK + WALK_SIZE]
    shift, width = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE]
    ready = answer_to_oldest(engines, constants, LOAD, A_COMPLETED) + constants[LATENCY]
    state[ANSWERED] = max(ready, issue_of_oldest(engines, LOAD) + 1, state[ANSWERED])
    burst = walk[WALK_ADDRESS] >> shift
    gone, more = state[MOVER], True
    while more and walk[WALK_ADDRESS] >> shift == burst:
        piece = min(walk[WALK_LEFT], ((burst + 1) << shift) - walk[WALK_ADDRESS])
        walk[WALK_ADDRESS] += piece
        walk[WALK_LEFT] -= piece
        state[PARTIAL] += piece
        gone = max(state[ANSWERED], state[MOVER])
        beats = _beats(state[PARTIAL], width, walk[WALK_LEFT] == 0)
        if beats > 0:
            state[MOVER] = gone + beats
            busy(engines, LOAD, 1, gone, gone + beats)
            gone = state[MOVER] - 1
            state[PARTIAL] -= beats * width
        if walk[WALK_LEFT] == 0:
            state[PARTIAL] = 0
            more = _next_run(engines.state, LOAD, ARRIVAL_WALK, transfer)
    _leave_slot(engines, LOAD, gone)
    if more:
        return False
    if state[DECODED] > state[MOVER]:
        busy(engines, LOAD, 1, state[MOVER], state[DECODED])
        state[MOVER] = state[DECODED]
    state[TAKING] = -1
    return True


@inner
def begin_store(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the store engine take instruction `row` at cycle `start`."""
    state = engines.state[STORE]
    state[CURRENT], state[LAST], state[PARTIAL] = row, 0, 0
    _first_run(engines.state, STORE, ISSUE_WALK, transfer)
    state[SOONEST] = start
    gather_burst(engines, transfer, constants)


@inner
def gather_burst(engines: Engines, transfer: Integers, constants: Integers) -> None:
    """Read from SRAM what the next write burst needs, and set the cycle of its request, if its slot is known."""
    state, walk = engines.state[STORE], engines.state[STORE, ISSUE_WALK : ISSUE_WALK + WALK_SIZE]
    if state[CURRENT] < 0 or state[NEXT] < NEVER:
        return
    free = _slot_cycle(engines, constants, STORE)
    if free == NEVER:
        return
    shift, width = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE]
    burst = walk[WALK_ADDRESS] >> shift
    state[OPEN] = burst
    earliest, more = max(state[SOONEST], free), True
    while more and walk[WALK_ADDRESS] >> shift == burst:
        piece = min(walk[WALK_LEFT], ((burst + 1) << shift) - walk[WALK_ADDRESS])
        beats = _beats(piece - state[PARTIAL], width, True)
        if beats > 0:
            first = max(state[MOVER], earliest)
            state[MOVER] = first + beats
            busy(engines, STORE, 1, first, first + beats)
        else:
            state[MOVER] = max(state[MOVER], earliest + 1)
        state[PARTIAL] = min(state[PARTIAL] + beats * width, walk[WALK_LEFT]) - piece
        walk[WALK_ADDRESS] += piece
        walk[WALK_LEFT] -= piece
        if walk[WALK_LEFT] == 0:
            more = _next_run(engines.state, STORE, ISSUE_WALK, transfer)
    if not more:
        state[LAST] = 1
    idle = state[ISSUE] if state[ISSUED] < constants[REQUESTS_PER_CYCLE] else state[ISSUE] + 1
    state[NEXT] = max(state[MOVER], idle)
    state[SOONEST] = 0


@inner
def store_bursts(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send gathered bursts and gather further ones while slots are known; True after the instruction's last."""
    state = engines.state[STORE]
    while state[NEXT] < NEVER:
        now = state[NEXT]
        _count_issue(engines, STORE, now)
        send(engines, constants, STORE, state[OPEN], now, 1)
        state[NEXT] = NEVER
        if state[LAST]:
            state[CURRENT] = -1
            return True
        gather_burst(engines, transfer, constants)
    return False


@inner
def accept_burst(engines: Engines, constants: Integers) -> None:
    """Note that the memory has taken the oldest write that was open."""
    state = engines.state[STORE]
    taken = answer_to_oldest(engines, constants, STORE, A_ADMITTED)
    accepted = max(taken, issue_of_oldest(engines, STORE))
    state[ANSWERED] = max(state[ANSWERED], accepted)
    _leave_slot(engines, STORE, accepted)


@inner
def is_answered(engines: Engines, engine: int) -> bool:
    """Whether the answer to an engine's oldest open burst is known."""
    if engines.state[engine, ANSWERED_BURSTS] == engines.state[engine, SENT]:
        return False
    slot = engine * _ring(engines) + _oldest(engines, engine)
    column = A_ADMITTED if engine == STORE else A_COMPLETED
    return bool(engines.answers[slot, column] >= 0)


PROGRESS, STILL, FULL = 1, 0, -1


@inner
def run_memory(engines: Engines, constants: Integers, limit: int) -> int:
    """Let the memory go on, when no answer that is next in its engine's order is known, but not to cycle `limit`.

    No channel goes further than where the next answer of any engine could bring it a request: the answer to a
    read comes its latency and burst after its command, that to a write in the cycle of its entry. Returns
    PROGRESS, STILL when nothing happens before `limit`, or FULL for the command trace.
    """
    ring, memory = _ring(engines), engines.memory
    pipe = (constants[LATENCY] * 1_000_000 // constants[CLOCK_MHZ]) * 1000 // memory[H_TCK_FS]
    bound = limit
    for engine in range(ENGINES):
        if engines.state[engine, ANSWERED_BURSTS] < engines.state[engine, SENT]:
            channel = engines.state[engine, ENGINE_COLUMNS + ring + _oldest(engines, engine)]
            ahead = 1 if engine == STORE else max(1, memory[H_READ_LATENCY] + memory[H_BURST] + pipe)
            bound = min(bound, next_event(memory, channel) + ahead)
    if bound >= NEVER:
        return STILL
    found = STILL
    for channel in range(memory[H_UNITS] // memory[H_PSEUDO]):
        if next_event(memory, channel) < bound:
            found = PROGRESS
            if advance(memory, engines.trace, engines.answers, channel, bound) == TRACE_FULL:
                return FULL
    return found
