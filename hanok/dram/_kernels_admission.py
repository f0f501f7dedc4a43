"""Kernels that let requests in from the ports."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_offers import (
    after_admission,
)
from hanok.dram._kernels_places import bank_of, column_of, row_of
from hanok.dram._kernels_queues import (
    answer_slot,
    insert,
    is_queued,
)
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    C_COALESCED,
    C_FORWARDS,
    H_BURST,
    H_PORTS,
    H_READ_LATENCY,
    H_READ_QUEUE,
    H_RING_MASK,
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
    O_INPUT,
    O_PORTS,
    READ,
    U_BLOCKED,
    U_OWNED_READS,
    U_PORT,
    U_READS,
    State,
)
from hanok.numerics._kernels_compile import leaf


@leaf
def _take(state: State, channel: int, unit: int, index: int, now: int) -> bool:
    """Let a port's first request in, if its queue has room or knows the answer."""
    port = unit + state[O_PORTS] + index * I_SIZE
    taken, ring = state[port + I_TAKEN], state[H_RING_MASK]
    request = unit + state[O_INPUT] + (index * (ring + 1) + (taken & ring)) * N_SIZE
    kind, place = state[request + N_KIND], state[request + N_PLACE]
    slot = answer_slot(state, state[request + N_HANDLE])
    if is_queued(state, unit, bank_of(place), row_of(place), column_of(place)):
        state[slot + A_ADMITTED] = now
        state[slot + A_COMPLETED] = now + (state[H_READ_LATENCY] + state[H_BURST] if kind == READ else 0)
        state[unit + (C_FORWARDS if kind == READ else C_COALESCED)] += 1
    elif state[unit + U_READS + kind] - state[unit + U_OWNED_READS + kind] < state[H_READ_QUEUE + kind]:
        state[slot + A_ADMITTED] = now
        after_admission(state, channel, unit, insert(state, unit, request, index, taken, now))
    else:
        return False
    state[port + I_TAKEN] = taken + 1
    return True


@leaf
def admit(state: State, channel: int, unit: int, now: int) -> int:
    """Let in what has arrived by `now`, port by port in turn; return the next known arrival, or NEVER."""
    ports = state[H_PORTS]
    while True:
        soonest, moved, blocked = NEVER, False, 0
        for turn in range(ports):
            index = state[unit + U_PORT] + turn
            if index >= ports:
                index -= ports
            port = unit + state[O_PORTS] + index * I_SIZE
            taken = state[port + I_TAKEN]
            if taken == state[port + I_PUT]:
                continue
            ring = state[H_RING_MASK]
            arrival = state[
                unit + state[O_INPUT] + (index * (ring + 1) + (taken & ring)) * N_SIZE + N_ARRIVAL
            ]
            if arrival > now:
                soonest = min(soonest, arrival)
            elif _take(state, channel, unit, index, now):
                state[unit + U_PORT] = index + 1 if index + 1 < ports else 0
                moved = True
                break
            else:
                blocked = 1
        if not moved:
            state[unit + U_BLOCKED] = blocked
            return soonest


@leaf
def is_hungry(state: State, unit: int) -> bool:
    """Whether a port is empty that gets more."""
    for index in range(state[H_PORTS]):
        port = unit + state[O_PORTS] + index * I_SIZE
        if state[port + I_MORE] and state[port + I_TAKEN] == state[port + I_PUT]:
            return True
    return False
