"""Numba kernels of the load and store engines, in cycles of the core: requests go out, answers come in.

A request is sent as soon as its cycle is known, ahead of everything else; the memory goes on only when no
engine can send more, and no further than where an answer could bring it another request (`run_memory`).
"""

from __future__ import annotations

from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
)
from hanok.isa.timing import (
    EXPAND_BEAT_CYCLES,
    EXPAND_BEGIN_CYCLES,
    EXPAND_ROOM_CYCLES,
    EXPAND_TABLE_CYCLES,
    EXPAND_WRITE_CYCLES,
    FILL_START_CYCLES,
    LOAD_ANSWER_STAGES,
    LOAD_REQUEST_STAGES,
    LOAD_START_CYCLES,
    STORE_REQUEST_STAGES,
    STORE_START_CYCLES,
)
from hanok.numerics._kernels_compile import inner, leaf
from hanok.simulator._kernels_lines import plan_load, send_whole_lines
from hanok.simulator._kernels_state import (
    ADDRESS,
    COUNT_1,
    COUNT_2,
    COUNT_3,
    FIRST_GROUP,
    GROUPS,
    RUN_BYTES,
    STRIDE_1,
    STRIDE_2,
    STRIDE_3,
    TABLE,
)
from hanok.simulator._kernels_traffic import (
    ANSWERED,
    ARRIVAL_WALK,
    BEAT,
    BURST_SHIFT,
    BYTES_PER_CYCLE,
    CURRENT,
    EXPAND_LANES,
    EXPAND_RING,
    GROUP,
    GROUP_AT,
    ISSUE,
    ISSUE_WALK,
    LAST,
    LATENCY,
    LATER,
    LINE_SHIFT,
    LOAD,
    MOVER,
    NEVER,
    NEXT,
    OPEN,
    PARTIAL,
    ROOM_GROUP,
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
    bring,
    bus_of_oldest,
    busy,
    engine_of,
    forget_intervals,
    leave_slot,
    open_line,
    send,
    slot_cycle,
)


@leaf
def _beats(gathered: int, width: int, all_of_it: bool) -> int:
    """Whole beats in `gathered` bytes; with `all_of_it`, the last may be short."""
    if all_of_it:
        gathered += width - 1
    if gathered < 2 * width:
        return 1 if gathered >= width else 0
    return gathered // width


@leaf
def _next_run(state: Integers, walk: int, transfer: Integers) -> bool:
    """Step to the next run of the instruction; False when there is none."""
    state[walk + WALK_1] += 1
    if state[walk + WALK_1] == transfer[COUNT_1]:
        state[walk + WALK_1] = 0
        state[walk + WALK_2] += 1
        if state[walk + WALK_2] == transfer[COUNT_2]:
            state[walk + WALK_2] = 0
            state[walk + WALK_3] += 1
            if state[walk + WALK_3] == transfer[COUNT_3]:
                return False
    state[walk + WALK_ADDRESS] = (
        transfer[ADDRESS]
        + state[walk + WALK_3] * transfer[STRIDE_3]
        + state[walk + WALK_2] * transfer[STRIDE_2]
        + state[walk + WALK_1] * transfer[STRIDE_1]
    )
    state[walk + WALK_LEFT] = transfer[RUN_BYTES]
    return True


@leaf
def _first_run(state: Integers, walk: int, transfer: Integers) -> None:
    state[walk + WALK_3] = state[walk + WALK_2] = state[walk + WALK_1] = 0
    state[walk + WALK_ADDRESS] = transfer[ADDRESS]
    state[walk + WALK_LEFT] = transfer[RUN_BYTES]


@inner
def fill(engines: Engines, transfer: Integers, constants: Integers, start: int) -> int:
    """Time a FILL that starts at `start`, when all earlier bursts are in; return its end."""
    state = engine_of(engines, LOAD)
    width = constants[BYTES_PER_CYCLE]
    runs = transfer[COUNT_1] * transfer[COUNT_2] * transfer[COUNT_3]
    beats = runs * ((transfer[RUN_BYTES] + width - 1) // width)
    first = max(start + FILL_START_CYCLES + constants[LATER], state[MOVER])
    forget_intervals(engines, LOAD, start)
    state[MOVER] = first + beats
    busy(engines, LOAD, 1, first, first + beats)
    return int(first + beats)


@inner
def begin_load(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the load engine take instruction `row` at cycle `start`."""
    state = engine_of(engines, LOAD)
    state[CURRENT] = row
    _first_run(state, ISSUE_WALK, transfer)
    state[SOONEST] = start + LOAD_START_CYCLES
    plan_load(engines, constants)


@inner
def _send_block(engines: Engines, constants: Integers, first: int, last: int, cycle: int) -> None:
    """Send a load's request for bursts `first` to `last` of a line, with those that AXI brings beside them.

    A transfer has a power of two of bytes, and its address is a multiple of that.
    """
    differing, bursts = first ^ last, 1
    while differing > 0:
        differing >>= 1
        bursts <<= 1
    arrival = open_line(engines, constants, LOAD, cycle)
    for part in range(bursts):
        send(engines, constants, LOAD, (first & -bursts) + part, arrival, 0)


@inner
def load_lines(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send requests as long as their slots are known; True after the instruction's last.

    A run that lies wholly in the line requested last costs a cycle. The request for a line in which another
    run begins is one for all of it.
    """
    state = engine_of(engines, LOAD)
    shift, burst_shift = constants[LINE_SHIFT], constants[BURST_SHIFT]
    while state[NEXT] < NEVER:
        send_whole_lines(engines, constants)
        if state[NEXT] == NEVER:
            break
        now = state[NEXT]
        line = state[ISSUE_WALK + WALK_ADDRESS] >> shift
        first, last = state[ISSUE_WALK + WALK_ADDRESS] >> burst_shift, 0
        more, pieces, walked = True, 0, 0
        while more and state[ISSUE_WALK + WALK_ADDRESS] >> shift == line:
            piece = min(
                state[ISSUE_WALK + WALK_LEFT],
                ((line + 1) << shift) - state[ISSUE_WALK + WALK_ADDRESS],
            )
            walked += pieces > 0 and piece == transfer[RUN_BYTES]
            pieces += 1
            state[ISSUE_WALK + WALK_ADDRESS] += piece
            state[ISSUE_WALK + WALK_LEFT] -= piece
            last = (state[ISSUE_WALK + WALK_ADDRESS] - 1) >> burst_shift
            if state[ISSUE_WALK + WALK_LEFT] == 0:
                more = _next_run(state, ISSUE_WALK, transfer)
        if pieces > 1:
            first, last = line * engines.parts, (line + 1) * engines.parts - 1
        _send_block(engines, constants, first, last, now + LOAD_REQUEST_STAGES)
        busy(engines, LOAD, 0, now, now + 1 + walked)
        state[NEXT], state[SOONEST] = NEVER, now + 1 + walked
        if not more:
            state[CURRENT] = -1
            return True
        plan_load(engines, constants)
    return False


@inner
def begin_taking(engines: Engines, transfer: Integers, row: int, start: int) -> None:
    """Let the SRAM side of the load engine take the lines of instruction `row`, which started at `start`."""
    state = engine_of(engines, LOAD)
    state[TAKING], state[STARTED], state[PARTIAL] = row, start, 0
    state[BEAT] = state[GROUP] = state[GROUP_AT] = state[ROOM_GROUP] = 0
    _first_run(state, ARRIVAL_WALK, transfer)


@inner
def _unpack_beat(engines: Engines, transfer: Integers, constants: Integers, earliest: int) -> int:
    """Let the next beat of an EXPAND go when there is room; return its cycle.

    Then those groups of symbols take their words for which they are in.
    """
    state, width, table = engine_of(engines, LOAD), constants[BYTES_PER_CYCLE], transfer[TABLE]
    first, behind = transfer[FIRST_GROUP], (state[BEAT] + 1) * width
    gone = earliest
    lacking = behind - table - constants[EXPAND_RING]
    if lacking > 0:
        while state[ROOM_GROUP] + 1 < state[GROUP] and 2 * engines.taken[first + state[ROOM_GROUP]] < lacking:
            state[ROOM_GROUP] += 1
        gone = max(gone, engines.taken_at[first + state[ROOM_GROUP]] + EXPAND_ROOM_CYCLES)
    if state[BEAT] == (max(table, 1) + width - 1) // width - 1:
        state[GROUP_AT] = gone - 1 + (EXPAND_TABLE_CYCLES if table > 0 else EXPAND_BEGIN_CYCLES)
    state[BEAT] += 1
    while state[GROUP] < transfer[GROUPS]:
        taken = engines.taken[first + state[GROUP] - 1] if state[GROUP] > 0 else 0
        if behind < min(transfer[RUN_BYTES], table + 2 * (taken + constants[EXPAND_LANES])):
            break
        state[GROUP_AT] = max(state[GROUP_AT] + 1, gone + EXPAND_BEAT_CYCLES)
        engines.taken_at[first + state[GROUP]] = state[GROUP_AT]
        state[GROUP] += 1
    return int(gone)


@inner
def take_line(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Move what the oldest answer brings to SRAM; True after the instruction's last."""
    state = engine_of(engines, LOAD)
    shift, width = constants[LINE_SHIFT], constants[BYTES_PER_CYCLE]
    ready = answer_to_oldest(engines, constants, LOAD, A_COMPLETED) + constants[LATENCY]
    arrived = bring(engines, max(ready, bus_of_oldest(engines, LOAD) + 1))
    state[ANSWERED] = max(arrived + LOAD_ANSWER_STAGES + constants[LATER], state[ANSWERED])
    line = state[ARRIVAL_WALK + WALK_ADDRESS] >> shift
    gone, more = state[MOVER], True
    while more and state[ARRIVAL_WALK + WALK_ADDRESS] >> shift == line:
        piece = min(
            state[ARRIVAL_WALK + WALK_LEFT],
            ((line + 1) << shift) - state[ARRIVAL_WALK + WALK_ADDRESS],
        )
        state[ARRIVAL_WALK + WALK_ADDRESS] += piece
        state[ARRIVAL_WALK + WALK_LEFT] -= piece
        state[PARTIAL] += piece
        gone = max(state[ANSWERED], state[MOVER])
        beats = _beats(state[PARTIAL], width, state[ARRIVAL_WALK + WALK_LEFT] == 0)
        if beats > 0:
            state[MOVER] = gone + beats
            if transfer[GROUPS] > 0:
                state[MOVER] = gone
                for _ in range(beats):
                    state[MOVER] = _unpack_beat(engines, transfer, constants, state[MOVER]) + 1
            busy(engines, LOAD, 1, gone, state[MOVER])
            gone = state[MOVER] - 1
            state[PARTIAL] -= beats * width
        if state[ARRIVAL_WALK + WALK_LEFT] == 0:
            state[PARTIAL] = 0
            more = _next_run(state, ARRIVAL_WALK, transfer)
    leave_slot(engines, LOAD, gone)
    if more:
        return False
    if transfer[GROUPS] > 0:
        decoded = state[GROUP_AT] + EXPAND_WRITE_CYCLES + 1
        busy(engines, LOAD, 1, state[MOVER], decoded)
        state[MOVER] = decoded
    state[TAKING] = -1
    return True


@inner
def begin_store(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the store engine take instruction `row` at cycle `start`."""
    state = engine_of(engines, STORE)
    state[CURRENT], state[LAST], state[PARTIAL] = row, 0, 0
    _first_run(state, ISSUE_WALK, transfer)
    state[SOONEST] = start + STORE_START_CYCLES
    gather_line(engines, transfer, constants)


@leaf
def _want(engines: Engines, constants: Integers, line: int, address: int, size: int) -> None:
    """Note the bursts of a line in which the store writes `size` bytes from `address` on."""
    shift, first = constants[BURST_SHIFT], line * engines.parts
    for burst in range(address >> shift, ((address + size - 1) >> shift) + 1):
        engines.wanted[burst - first] = 1


@inner
def gather_line(engines: Engines, transfer: Integers, constants: Integers) -> None:
    """Read from SRAM what the next line needs, and set its request's cycle, if its slot is known.

    The end of a run that is in the beat register takes a cycle.
    """
    state = engine_of(engines, STORE)
    if state[CURRENT] < 0 or state[NEXT] < NEVER:
        return
    free = slot_cycle(engines, constants, STORE)
    if free == NEVER:
        return
    shift, width = constants[LINE_SHIFT], constants[BYTES_PER_CYCLE]
    line = state[ISSUE_WALK + WALK_ADDRESS] >> shift
    state[OPEN] = line
    earliest, more = max(state[SOONEST], free), True
    while more and state[ISSUE_WALK + WALK_ADDRESS] >> shift == line:
        piece = min(
            state[ISSUE_WALK + WALK_LEFT],
            ((line + 1) << shift) - state[ISSUE_WALK + WALK_ADDRESS],
        )
        _want(engines, constants, line, state[ISSUE_WALK + WALK_ADDRESS], piece)
        beats = _beats(piece - state[PARTIAL], width, True)
        if beats > 0:
            first = max(state[MOVER], earliest)
            state[MOVER] = first + beats
            busy(engines, STORE, 1, first, first + beats)
        else:
            state[MOVER] = max(state[MOVER], earliest) + 1
        state[PARTIAL] = min(state[PARTIAL] + beats * width, state[ISSUE_WALK + WALK_LEFT]) - piece
        state[ISSUE_WALK + WALK_ADDRESS] += piece
        state[ISSUE_WALK + WALK_LEFT] -= piece
        if state[ISSUE_WALK + WALK_LEFT] == 0:
            more = _next_run(state, ISSUE_WALK, transfer)
    if not more:
        state[LAST] = 1
    state[NEXT] = max(state[MOVER], state[ISSUE] + 1)
    state[SOONEST] = 0


@inner
def store_lines(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Send gathered lines and gather others while slots are known; True after the instruction's last.

    The memory is asked for those bursts of a line in which a byte is written.
    """
    state = engine_of(engines, STORE)
    while state[NEXT] < NEVER:
        now = state[NEXT]
        busy(engines, STORE, 0, now, now + 1)
        arrival = open_line(engines, constants, STORE, now + STORE_REQUEST_STAGES)
        for part in range(engines.parts):
            if engines.wanted[part]:
                send(engines, constants, STORE, state[OPEN] * engines.parts + part, arrival, 1)
                engines.wanted[part] = 0
        state[ISSUE], state[NEXT] = now, NEVER
        if state[LAST]:
            state[CURRENT] = -1
            return True
        gather_line(engines, transfer, constants)
    return False


@inner
def accept_line(engines: Engines, constants: Integers) -> None:
    """Note that the memory has taken the oldest line that was open; responses come in order, one a cycle."""
    state = engine_of(engines, STORE)
    taken = answer_to_oldest(engines, constants, STORE, A_ADMITTED)
    state[ANSWERED] = max(taken, bus_of_oldest(engines, STORE) + 1, state[ANSWERED] + 1)
    leave_slot(engines, STORE, state[ANSWERED])
