"""The controller's kernels as its users see them: place a burst, put a request in, go on, feed a trace."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.dram._kernels_commands import State
from hanok.dram._kernels_queues import answer_slot
from hanok.dram._kernels_schedule import advance
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    CH_UNITS,
    H_BANK_PIECES,
    H_CHANNEL_SIZE,
    H_CHANNELS,
    H_COLUMN_PIECES,
    H_FLAT,
    H_PIECES,
    H_PSEUDO,
    H_RING_MASK,
    H_ROW_PIECES,
    H_TCK_FS,
    H_UNIT_PIECES,
    H_UNIT_SIZE,
    H_UNITS,
    HUNGRY,
    I_MORE,
    I_PUT,
    I_SIZE,
    I_TAKEN,
    N_ARRIVAL,
    N_BANK,
    N_COLUMN,
    N_HANDLE,
    N_KIND,
    N_ROW,
    N_SIZE,
    NEVER,
    O_INPUT,
    O_PORTS,
    P_MASK,
    P_SHIFT,
    P_SIZE,
    P_TARGET,
    REACHED,
    TRACE_FULL,
    U_ARRIVAL,
    U_DATA_END,
    U_NEXT,
    U_NOW,
)
from hanok.numerics._kernels_compile import inner, kernel, leaf

Integers = NDArray[np.int64]


@leaf
def gather(state: State, address: int, first: int, last: int) -> int:
    """XOR the address bits that pieces first..last-1 choose into one number."""
    found = 0
    for piece in range(state[H_PIECES] + first * P_SIZE, state[H_PIECES] + last * P_SIZE, P_SIZE):
        found ^= ((address >> state[piece + P_SHIFT]) & state[piece + P_MASK]) << state[piece + P_TARGET]
    return found


@leaf
def unit_block(state: State, number: int) -> int:
    """Return where the block of unit `number`, counted over all channels, begins."""
    channel = number // state[H_PSEUDO]
    return (
        state[H_CHANNELS]
        + channel * state[H_CHANNEL_SIZE]
        + CH_UNITS
        + (number - channel * state[H_PSEUDO]) * state[H_UNIT_SIZE]
    )


@leaf
def put(
    state: State,
    unit: int,
    index: int,
    arrival: int,
    kind: int,
    bank: int,
    row: int,
    column: int,
    handle: int,
) -> None:
    """Put a request at the end of port `index` of a unit; the port must have room."""
    port = unit + state[O_PORTS] + index * I_SIZE
    count, mask = state[port + I_PUT], state[H_RING_MASK]
    request = unit + state[O_INPUT] + (index * (mask + 1) + (count & mask)) * N_SIZE
    state[request + N_ARRIVAL], state[request + N_KIND] = arrival, kind
    state[request + N_BANK], state[request + N_ROW], state[request + N_COLUMN] = bank, row, column
    state[request + N_HANDLE] = handle
    state[port + I_PUT] = count + 1
    state[unit + U_ARRIVAL] = min(state[unit + U_ARRIVAL], arrival)
    state[unit + U_NEXT] = min(state[unit + U_NEXT], max(arrival, state[unit + U_NOW]))


@kernel
def locate(state: State, address: int) -> tuple[int, int, int, int]:
    """Return unit (over all channels), bank within the unit, row and column of a byte address."""
    return (
        gather(state, address, 0, state[H_UNIT_PIECES]),
        gather(state, address, state[H_UNIT_PIECES], state[H_BANK_PIECES]),
        gather(state, address, state[H_BANK_PIECES], state[H_ROW_PIECES]),
        gather(state, address, state[H_ROW_PIECES], state[H_COLUMN_PIECES]),
    )


@kernel
def request(
    state: State, port: int, handle: int, address: int, cycle: int, kind: int
) -> int:
    """Put the request for the burst at `address`, arriving at `cycle`, into a port; return its channel."""
    slot = answer_slot(state, handle)
    state[slot + A_ADMITTED], state[slot + A_COMPLETED] = -1, -1
    number, bank, row, column = locate(state, address)
    put(state, unit_block(state, number), port, cycle, kind, bank, row, column, handle)
    return number // state[H_PSEUDO]


@kernel
def to_cycle(state: State, picoseconds: int) -> int:
    """Return the first clock edge that is not before a time."""
    return (picoseconds * 1000 + state[H_TCK_FS] - 1) // state[H_TCK_FS]


@kernel
def to_ps(state: State, cycle: int) -> int:
    """Return a clock edge in whole picoseconds, rounded up."""
    return (cycle * state[H_TCK_FS] + 999) // 1000


@kernel
def advance_all(state: State, until: int) -> int:
    """Let all channels make everything that begins before cycle `until`; return why the last one stopped."""
    why = REACHED
    for index in range(state[H_UNITS] // state[H_PSEUDO]):
        why = advance(state, index, until)
        if why == TRACE_FULL:
            return why
    return why


@kernel
def finish(state: State) -> int:
    """Let everything through that is queued; return the cycle of the last data, or -1 if the trace is full.

    Refreshes that are due by then are made too.
    """
    if advance_all(state, NEVER) == TRACE_FULL:
        return -1
    last = 0
    for number in range(state[H_UNITS]):
        last = max(last, state[unit_block(state, number) + U_DATA_END])
    if state[H_FLAT]:
        return (last + 999) // 1000
    if advance_all(state, last + 1) == TRACE_FULL:
        return -1
    return last


@inner
def _refill(
    state: State, number: int, requests: Integers, order: Integers, cursor: Integers, ends: Integers
) -> None:
    """Put as many of a unit's requests into its port as fit."""
    unit = unit_block(state, number)
    port = unit + state[O_PORTS]
    room = state[H_RING_MASK] + 1 - (state[port + I_PUT] - state[port + I_TAKEN])
    while room > 0 and cursor[number] < ends[number]:
        handle = order[cursor[number]]
        put(
            state, unit, 0, requests[0, handle], requests[1, handle], requests[2, handle],
            requests[3, handle], requests[4, handle], handle,
        )  # fmt: skip
        cursor[number] += 1
        room -= 1
    state[port + I_MORE] = 1 if cursor[number] < ends[number] else 0


@kernel
def feed_channel(
    state: State, index: int, requests: Integers, order: Integers,
    cursor: Integers, ends: Integers,
) -> int:  # fmt: skip
    """Run a channel's requests through it, until all are through or the trace is nearly full.

    requests: rows arrival, kind, bank, row, column. order: request numbers, unit by unit; of each unit those
    from cursor[unit] (which moves) to ends[unit].
    """
    units = state[H_PSEUDO]
    while True:
        for number in range(index * units, (index + 1) * units):
            _refill(state, number, requests, order, cursor, ends)
        why = advance(state, index, NEVER)
        if why != HUNGRY:
            return why


@kernel
def feed_in_order(
    state: State,
    requests: Integers,
    units: Integers,
    window: int,
    cursor: Integers,
) -> int:
    """Run requests that come one after the other, request n not before n - `window` has entered its queue.

    requests: rows as of `feed_channel`; units: of each, over all channels. cursor: next request and the cycle
    of the last one put in; they move, so that the call can be repeated when the trace is nearly full.
    """
    count, pseudo = units.shape[0], state[H_PSEUDO]
    while True:
        while cursor[0] < count:
            handle = cursor[0]
            cycle = max(cursor[1], requests[0, handle])
            if handle >= window:
                entered = state[answer_slot(state, handle - window) + A_ADMITTED]
                if entered < 0:
                    break
                cycle = max(cycle, entered)
            put(
                state, unit_block(state, units[handle]), 0, cycle, requests[1, handle], requests[2, handle],
                requests[3, handle], requests[4, handle], handle,
            )  # fmt: skip
            cursor[0], cursor[1] = handle + 1, cycle
        if cursor[0] == count:
            return advance_all(state, NEVER)
        awaited = cursor[0] - window
        why = advance(state, units[awaited] // pseudo, NEVER, awaited)
        if why == TRACE_FULL:
            return why
