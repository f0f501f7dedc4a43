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

from typing import NamedTuple

from hanok.dram._kernels_commands import MOST_COMMANDS, follow, record
from hanok.dram._kernels_places import bank_of, column_of, row_of
from hanok.dram._kernels_queues import account_loss, answer_slot, empty_queue, insert
from hanok.dram._kernels_wants import sort_bank
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    B_BYPASSED,
    B_FLOWED,
    B_HEAD_WRITE,
    B_ROW,
    B_SIZE,
    C_HITS,
    C_READS,
    CH_BUSES,
    CH_LAST,
    COMMANDS,
    F_ALIGN,
    F_BUS,
    F_LEAD,
    F_SIZE,
    F_TAIL,
    H_BURST,
    H_FLOW_GROUP,
    H_FLOW_OTHER_RANK,
    H_FLOW_RANK,
    H_FLOW_UNIT,
    H_FORMS,
    H_GROUP_SHIFT,
    H_HIGH,
    H_PORTS,
    H_RANK_SHIFT,
    H_RANKS,
    H_READ_LATENCY,
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
    N_KIND,
    N_PLACE,
    N_SIZE,
    NEVER,
    O_BANKS,
    O_FLOWED,
    O_GROUPS,
    O_INPUT,
    O_PORTS,
    O_RANKS,
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

LOOKED_AT, WEIGHED = 4, 16
"""How many of the oldest are asked whether they can go at once, and of how many the first is found."""
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
            admitted = state[answer_slot(state, state[request + N_HANDLE]) + A_ADMITTED]
            insert(state, unit, request, port, number, admitted)
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


class Flow(NamedTuple):
    """Where parts of a unit are that its flow needs often, and figures of its standard."""

    ring: int
    mask: int
    """Request n of the port is at ring + (n & mask) * N_SIZE."""
    banks: int
    groups: int
    ranks: int
    """Where the first cycles for a read stand, of the first bank, group and rank."""
    group_shift: int
    rank_shift: int
    lead: int
    align: int
    """One less than the clock edges on which a command can begin are apart."""


@leaf
def _flow_of(state: State, unit: int) -> Flow:
    form, mask = state[H_FORMS] + RD * F_SIZE, state[H_RING_MASK]
    return Flow(
        unit + state[O_INPUT] + state[unit + U_FLOW_PORT] * (mask + 1) * N_SIZE,
        mask,
        unit + state[O_BANKS] + RD,
        unit + state[O_GROUPS] + RD,
        unit + state[O_RANKS] + RD,
        state[H_GROUP_SHIFT],
        state[H_RANK_SHIFT],
        state[form + F_LEAD],
        state[form + F_ALIGN] - 1,
    )


@leaf
def _request(flow: Flow, number: int) -> int:
    """Return where request `number` of the flow's port stands."""
    return flow.ring + (number & flow.mask) * N_SIZE


@leaf
def _ready(state: State, flow: Flow, number: int) -> int:
    """Return the first cycle in which bank, group and rank allow the read of request `number`."""
    bank = bank_of(state[_request(flow, number) + N_PLACE])
    cycle = max(state[flow.banks + bank * B_SIZE], state[flow.groups + (bank >> flow.group_shift) * COMMANDS])
    return max(cycle, state[flow.ranks + (bank >> flow.rank_shift) * COMMANDS])


@leaf
def _choose(
    state: State, flow: Flow, head: int, entered: int, served: int, floor: int
) -> tuple[int, int]:  # fmt: skip
    """Return what goes first of what waits, the oldest of those, and its cycle, `floor` or later.

    -1 if too many would have to be asked.
    """
    chosen, asked, gone = head, 0, served
    while chosen < entered and asked < LOOKED_AT:
        if gone & 1 == 0:
            if _ready(state, flow, chosen) <= floor:
                return chosen, floor
            asked += 1
        gone >>= 1
        chosen += 1
    return _first_ready(state, flow, head, entered, served, floor)


@inner
def _first_ready(
    state: State, flow: Flow, head: int, entered: int, served: int, floor: int
) -> tuple[int, int]:  # fmt: skip
    """`_choose`, where the oldest requests cannot go in the first cycle that is free."""
    chosen, soonest, asked = -1, NEVER, 0
    for number in range(head, entered):
        if served & 1 == 0:
            if asked == WEIGHED:
                return -1, soonest
            asked += 1
            cycle = (max(floor, _ready(state, flow, number)) + flow.align) & ~flow.align
            if cycle < soonest:
                chosen, soonest = number, cycle
        served >>= 1
    return chosen, soonest


@leaf
def _is_plain(state: State, flow: Flow, request: int) -> bool:
    """Whether a request is a read that needs room in its queue, as no write of its bank is queued."""
    slot = flow.banks - RD + bank_of(state[request + N_PLACE]) * B_SIZE
    return state[request + N_KIND] == READ and state[slot + B_HEAD_WRITE] < 0


@leaf
def _is_hit(state: State, flow: Flow, request: int) -> bool:
    place = state[request + N_PLACE]
    return state[flow.banks - RD + bank_of(place) * B_SIZE + B_ROW] == row_of(place)


@leaf
def _serve(state: State, unit: int, number: int, flow: Flow, request: int, cycle: int, data_end: int) -> int:
    """Send a request's column command and answer it; return when its data are through.

    Of the rules that it begins only those are applied that hold for other reads of its group and its rank,
    and of other ranks.
    """
    place, answer = state[request + N_PLACE], answer_slot(state, state[request + N_HANDLE])
    bank, delay = bank_of(place), state[H_READ_LATENCY]
    if cycle + delay > data_end:
        admitted = state[answer + A_ADMITTED]
        account_loss(state, unit, READ, bank, False, admitted, cycle, data_end - delay)
    state[answer + A_COMPLETED] = cycle + delay + state[H_BURST]
    state[flow.groups + (bank >> flow.group_shift) * COMMANDS] = cycle + state[H_FLOW_GROUP]
    rank = bank >> flow.rank_shift
    state[flow.ranks + rank * COMMANDS] = cycle + state[H_FLOW_RANK]
    for other in range(state[H_RANKS]):
        if other != rank:
            slot = flow.ranks + other * COMMANDS
            state[slot] = max(state[slot], cycle + state[H_FLOW_OTHER_RANK])
    slot = flow.banks - RD + bank * B_SIZE
    if state[slot + B_FLOWED] < 0:
        state[unit + state[O_FLOWED] + state[unit + U_FLOWED]] = bank
        state[unit + U_FLOWED] += 1
        state[slot + B_BYPASSED] = 0
        sort_bank(state, unit, bank, WRITE)
    state[slot + B_FLOWED] = cycle
    record(state, number, cycle, RD, bank, row_of(place), column_of(place))
    return cycle + delay + state[H_BURST]


ENDED, HUNGRY_FLOW, WAITS, GOES_ON = 0, 1, 2, 3
"""Why `run_flow` returns: something else comes first; its port is empty; it is its caller's turn."""


@inner
def run_flow(state: State, channel: int, unit: int, number: int, until: int, other: int) -> int:
    """Go on with a flow until cycle `until`, or until a command would come after cycle `other`.

    Returns WAITS with U_NEXT set, HUNGRY_FLOW when the port is empty and gets more, or ENDED when anything
    but a read of an open row comes next; then the flow is over.
    """
    flow, port, queue = _flow_of(state, unit), state[unit + U_FLOW_PORT], state[H_READ_QUEUE]
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
            chosen, cycle = _choose(state, flow, head, entered, served, floor)
        start = cycle - lead if waiting > 0 else NEVER
        if chosen < 0 or chosen - head >= REACH:
            why = ENDED
        entering = True
        while entering and why == GOES_ON and entered < end:
            request = _request(flow, entered)
            arrival = max(now, state[request + N_ARRIVAL])
            if arrival > start or (waiting >= queue and _is_plain(state, flow, request)):
                break
            if limit <= arrival:
                why = ENDED
            elif arrival >= until:
                state[unit + U_NEXT], why = arrival, WAITS
            else:
                now = arrival
                if _is_plain(state, flow, request) and _is_hit(state, flow, request):
                    state[answer_slot(state, state[request + N_HANDLE]) + A_ADMITTED] = now
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
            data_end = _serve(state, unit, number, flow, _request(flow, chosen), cycle, data_end)
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
