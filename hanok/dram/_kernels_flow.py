"""Kernels of flows: while nothing but reads of open rows comes to a unit, they are served from their port.

In a flow requests that have entered are not linked into queues: they are a stretch of their port's ring, with
a mask of those that went before older ones. Of the rules that a column command begins, only those for other
column commands of reads are applied at once; the others are made up for when the flow ends, for the last
command of each bank. What is served when is the same as without flows: of all that can go in the first
possible cycle, the oldest.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_commands import MOST_COMMANDS, follow
from hanok.dram._kernels_flow_reads import choose, flow_of, is_hit, is_plain, request_of, serve_read
from hanok.dram._kernels_queues import answer_slot, empty_queue, insert
from hanok.dram._layout import (
    A_ADMITTED,
    B_FLOWED,
    B_SIZE,
    C_HITS,
    C_READS,
    CH_BUSES,
    CH_LAST,
    F_BUS,
    F_SIZE,
    F_TAIL,
    H_FLOW_UNIT,
    H_FORMS,
    H_HIGH,
    H_PORTS,
    H_READ_QUEUE,
    H_RING_MASK,
    H_TRACE_COUNT,
    H_TRACE_ROOM,
    I_MORE,
    I_PUT,
    I_SIZE,
    I_TAKEN,
    N_ARRIVAL,
    N_HANDLE,
    N_SIZE,
    NEVER,
    O_BANKS,
    O_FLOWED,
    O_INPUT,
    O_PORTS,
    Q_ADMITTED,
    Q_AFTER,
    Q_NUMBER,
    Q_PORT,
    Q_SEEN,
    RD,
    READ,
    U_ARRIVAL,
    U_DATA_END,
    U_DUE,
    U_EARLIEST,
    U_FIRST_READ,
    U_FLOW_AGAIN,
    U_FLOW_ENTERED,
    U_FLOW_PORT,
    U_FLOW_SERVED,
    U_FLOW_WAITING,
    U_FLOWED,
    U_FLOWING,
    U_HALF,
    U_LAST_KIND,
    U_MODE,
    U_NEXT,
    U_NOW,
    U_OWED,
    U_OWNED_READS,
    U_OWNED_WRITES,
    U_PLANNED,
    U_PORT,
    U_READS,
    U_STRAY_READS,
    U_WRITES,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf

AT_LEAST = 32
"""After a flow of fewer reads the next begins so many reads later; it would not pay."""
REACH = 60
"""Requests of a ring between the oldest one that waits and those served before it, at most."""


@leaf
def _request_at(state: State, unit: int, port: int, number: int) -> int:
    """Return where request `number` of a port stands."""
    mask = state[H_RING_MASK]
    return unit + state[O_INPUT] + (port * (mask + 1) + (number & mask)) * N_SIZE


@leaf
def _port(state: State, unit: int, port: int) -> int:
    return unit + state[O_PORTS] + port * I_SIZE


@leaf
def can_flow(state: State, unit: int) -> bool:
    """Whether a unit's state allows a flow of reads: all that wait are row hits, and reads are served."""
    if state[unit + U_STRAY_READS] > 0 or state[unit + U_MODE] != READ or state[unit + U_READS] == 0:
        return False
    if state[unit + U_OWED] > 0 or state[unit + U_HALF] >= 0 or state[unit + U_LAST_KIND] == WRITE:
        return False
    if state[unit + U_OWNED_READS] + state[unit + U_OWNED_WRITES] > 0:
        return False
    if state[unit + C_READS] < state[unit + U_FLOW_AGAIN]:
        return False
    return state[H_FLOW_UNIT] > 0 and state[unit + U_WRITES] < state[H_HIGH]


@inner
def begin_flow(state: State, unit: int) -> bool:
    """Let a flow begin with all that waits in the queue of reads, if that can be; it came from one port."""
    entry = state[unit + U_FIRST_READ]
    port, head = state[entry + Q_PORT], state[entry + Q_NUMBER]
    place, size = _port(state, unit, port), state[H_RING_MASK] + 1
    state[unit + U_FLOW_AGAIN] = state[unit + C_READS] + AT_LEAST
    if state[place + I_PUT] - head > size or (state[place + I_MORE] and size < state[H_READ_QUEUE] + 64):
        return False
    following, served = head, 0
    while entry >= 0:
        number = state[entry + Q_NUMBER]
        if state[entry + Q_PORT] != port or state[entry + Q_SEEN] > 0:
            return False
        if number > following:
            if number - head >= REACH:
                return False
            served |= (1 << (number - head)) - (1 << (following - head))
        state[_request_at(state, unit, port, number) + N_ARRIVAL] = state[entry + Q_ADMITTED]
        following = number + 1
        entry = state[entry + Q_AFTER]
    taken = state[place + I_TAKEN]
    if taken > following:
        if taken - head >= REACH:
            return False
        served |= (1 << (taken - head)) - (1 << (following - head))
    state[unit + U_FLOW_WAITING] = state[unit + U_READS]
    empty_queue(state, unit, READ)
    state[place + I_TAKEN] = head
    state[unit + U_FLOWING], state[unit + U_FLOWED], state[unit + U_FLOW_PORT] = 1, 0, port
    state[unit + U_FLOW_ENTERED], state[unit + U_FLOW_SERVED] = taken, served
    return True


@inner
def end_flow(state: State, unit: int) -> None:
    """Put what waits back into the queue, and apply the rules that begin with what was served."""
    listed = unit + state[O_FLOWED]
    for index in range(listed, listed + state[unit + U_FLOWED]):
        slot = unit + state[O_BANKS] + state[index] * B_SIZE
        follow(state, unit, RD, state[slot + B_FLOWED], state[index])
        state[slot + B_FLOWED] = -1
    if state[unit + C_READS] < state[unit + U_FLOW_AGAIN]:
        state[unit + U_FLOW_AGAIN] = state[unit + C_READS] + AT_LEAST
    port, served = state[unit + U_FLOW_PORT], state[unit + U_FLOW_SERVED]
    place = _port(state, unit, port)
    for number in range(state[place + I_TAKEN], state[unit + U_FLOW_ENTERED]):
        if served & 1 == 0:
            request = _request_at(state, unit, port, number)
            insert(state, unit, request, port, number, state[request + N_ARRIVAL])
        served >>= 1
    state[place + I_TAKEN] = state[unit + U_FLOW_ENTERED]
    state[unit + U_FLOWING], state[unit + U_PLANNED], state[unit + U_ARRIVAL] = 0, 0, 0


@leaf
def _other_arrival(state: State, unit: int, port: int) -> int:
    """Return the first arrival at any other port."""
    soonest = NEVER
    for other in range(state[H_PORTS]):
        place = _port(state, unit, other)
        if other != port:
            if state[place + I_PUT] > state[place + I_TAKEN]:
                soonest = min(
                    soonest, state[_request_at(state, unit, other, state[place + I_TAKEN]) + N_ARRIVAL]
                )
            elif state[place + I_MORE]:
                return -1
    return soonest


ENDED, HUNGRY_FLOW, WAITS, GOES_ON = 0, 1, 2, 3
"""Why `run_flow` returns: something else comes first; its port is empty; it is its caller's turn."""


@inner
def run_flow(state: State, channel: int, unit: int, number: int, until: int, other: int) -> int:
    """Go on with a flow until cycle `until`, or until a command would come after cycle `other`.

    Returns WAITS with U_NEXT set, HUNGRY_FLOW when the port is empty and gets more, or ENDED when anything
    but a read of an open row comes next; then the flow is over.
    """
    flow, port, queue = flow_of(state, unit), state[unit + U_FLOW_PORT], state[H_READ_QUEUE]
    place, form = _port(state, unit, port), state[H_FORMS] + RD * F_SIZE
    head, end, more = state[place + I_TAKEN], state[place + I_PUT], state[place + I_MORE]
    entered, served = state[unit + U_FLOW_ENTERED], state[unit + U_FLOW_SERVED]
    waiting, before, reads = state[unit + U_FLOW_WAITING], entered, 0
    lead, tail, bus = flow.lead, state[form + F_TAIL], channel + CH_BUSES + state[form + F_BUS]
    now, soonest = state[unit + U_NOW], max(state[unit + U_EARLIEST + RD], state[bus] + lead)
    step, data_end = max(state[H_FLOW_UNIT], lead + tail + 1), state[unit + U_DATA_END]
    limit = min(state[unit + U_DUE], _other_arrival(state, unit, port))
    alone, why, last = state[unit + U_WRITES] == 0, GOES_ON, 0
    while why == GOES_ON:
        if entered == end and more > 0:
            why = HUNGRY_FLOW
            break
        if waiting == 0 and (entered == end or not alone):
            why = ENDED
            break
        floor = (max(now + lead, soonest) + flow.align) & ~flow.align
        chosen, cycle = head, NEVER
        if waiting > 0:
            chosen, cycle = choose(state, flow, head, entered, served, floor)
        start = cycle - lead if waiting > 0 else NEVER
        if chosen < 0 or chosen - head >= REACH:
            why = ENDED
        entering = True
        while entering and why == GOES_ON and entered < end:
            request = request_of(flow, entered)
            arrival = max(now, state[request + N_ARRIVAL])
            if arrival > start or (waiting >= queue and is_plain(state, flow, request)):
                break
            if limit <= arrival:
                why = ENDED
            elif arrival >= until:
                state[unit + U_NEXT], why = arrival, WAITS
            else:
                now = arrival
                if is_plain(state, flow, request) and is_hit(state, flow, request):
                    state[answer_slot(state, state[request + N_HANDLE]) + A_ADMITTED] = now
                    state[request + N_ARRIVAL] = now
                    entered += 1
                    waiting += 1
                    entering = cycle == floor
                    if entered == end and more > 0:
                        why = HUNGRY_FLOW
                else:
                    why = ENDED
        if why != GOES_ON or not entering:
            continue
        if limit <= start:
            why = ENDED
        elif start >= until or start > other or (start == other and state[channel + CH_LAST] == number):
            state[unit + U_NEXT], why = start, WAITS
        elif state[H_TRACE_ROOM] > 0 and state[H_TRACE_COUNT] + MOST_COMMANDS > state[H_TRACE_ROOM]:
            why = ENDED
        else:
            data_end = serve_read(state, unit, number, flow, request_of(flow, chosen), cycle, data_end)
            state[channel + CH_LAST] = number
            now, last, soonest = start, cycle, cycle + step
            reads += 1
            waiting -= 1
            served |= 1 << (chosen - head)
            while served & 1:
                served >>= 1
                head += 1
    state[place + I_TAKEN] = head
    state[unit + U_FLOW_ENTERED], state[unit + U_FLOW_SERVED] = entered, served
    state[unit + U_FLOW_WAITING], state[unit + U_NOW] = waiting, now
    if entered > before:
        state[unit + U_PORT] = port + 1 if port + 1 < state[H_PORTS] else 0
    if reads > 0:
        state[unit + U_DATA_END], state[unit + U_LAST_KIND] = data_end, READ
        state[unit + U_EARLIEST + RD] = last + state[H_FLOW_UNIT]
        state[bus] = last + tail + 1
        state[unit + C_READS] += reads
        state[unit + C_HITS] += reads
    if why == ENDED:
        end_flow(state, unit)
    return why
