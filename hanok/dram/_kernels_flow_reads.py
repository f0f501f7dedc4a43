"""Kernels of a flow's reads: which of those that wait goes first, and when; and its command."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import NamedTuple

from hanok.dram._kernels_commands import record
from hanok.dram._kernels_places import bank_of, column_of, row_of
from hanok.dram._kernels_queues import account_loss, answer_slot
from hanok.dram._kernels_wants import sort_bank
from hanok.dram._layout import (
    A_COMPLETED,
    B_BYPASSED,
    B_FLOWED,
    B_HEAD_WRITE,
    B_ROW,
    B_SIZE,
    COMMANDS,
    F_ALIGN,
    F_LEAD,
    F_SIZE,
    H_BURST,
    H_FLOW_GROUP,
    H_FLOW_OTHER_RANK,
    H_FLOW_RANK,
    H_FORMS,
    H_GROUP_SHIFT,
    H_RANK_SHIFT,
    H_RANKS,
    H_READ_LATENCY,
    H_RING_MASK,
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
    O_RANKS,
    RD,
    READ,
    U_FLOW_PORT,
    U_FLOWED,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf

LOOKED_AT, WEIGHED = 4, 16
"""How many of the oldest are asked whether they can go at once, and of how many the first is found."""


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
def flow_of(state: State, unit: int) -> Flow:
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
def request_of(flow: Flow, number: int) -> int:
    """Return where request `number` of the flow's port stands."""
    return flow.ring + (number & flow.mask) * N_SIZE


@leaf
def _ready(state: State, flow: Flow, number: int) -> int:
    """Return the first cycle in which bank, group and rank allow the read of request `number`."""
    bank = bank_of(state[request_of(flow, number) + N_PLACE])
    cycle = max(state[flow.banks + bank * B_SIZE], state[flow.groups + (bank >> flow.group_shift) * COMMANDS])
    return max(cycle, state[flow.ranks + (bank >> flow.rank_shift) * COMMANDS])


@leaf
def choose(
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
    """`choose`, where the oldest requests cannot go in the first cycle that is free."""
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
def is_plain(state: State, flow: Flow, request: int) -> bool:
    """Whether a request is a read that needs room in its queue, as no write of its bank is queued."""
    slot = flow.banks - RD + bank_of(state[request + N_PLACE]) * B_SIZE
    return state[request + N_KIND] == READ and state[slot + B_HEAD_WRITE] < 0


@leaf
def is_hit(state: State, flow: Flow, request: int) -> bool:
    place = state[request + N_PLACE]
    return state[flow.banks - RD + bank_of(place) * B_SIZE + B_ROW] == row_of(place)


@leaf
def serve_read(
    state: State, unit: int, number: int, flow: Flow, request: int, cycle: int, data_end: int
) -> int:
    """Send a request's column command and answer it; return when its data are through.

    Of the rules that it begins only those are applied that hold for other reads of its group and its rank,
    and of other ranks.
    """
    place, answer = state[request + N_PLACE], answer_slot(state, state[request + N_HANDLE])
    bank, delay = bank_of(place), state[H_READ_LATENCY]
    if cycle + delay > data_end:
        account_loss(state, unit, READ, bank, False, state[request + N_ARRIVAL], cycle, data_end - delay)
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
