"""The controller's kernels as its users see them: place a burst, put a request in, go on, feed a trace."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.dram._kernels_places import channel_of, locate, unit_block, unit_of
from hanok.dram._kernels_queues import answer_slot
from hanok.dram._kernels_schedule import advance
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    H_FLAT,
    H_PSEUDO,
    H_RING_MASK,
    H_TCK_FS,
    H_UNITS,
    HUNGRY,
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
    REACHED,
    READ,
    TRACE_FULL,
    U_ARRIVAL,
    U_DATA_END,
    U_NEXT,
    U_NOW,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, kernel, leaf, pointer_of

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@leaf
def put(state: State, place: int, index: int, handle: int, arrival: int, kind: int) -> None:
    """Put the request for the burst at a place last into port `index` of its unit, which must have room."""
    unit = unit_block(state, unit_of(place))
    port = unit + state[O_PORTS] + index * I_SIZE
    count, mask = state[port + I_PUT], state[H_RING_MASK]
    request = unit + state[O_INPUT] + (index * (mask + 1) + (count & mask)) * N_SIZE
    state[request + N_ARRIVAL], state[request + N_KIND] = arrival, kind
    state[request + N_PLACE], state[request + N_HANDLE] = place, handle
    state[port + I_PUT] = count + 1
    state[unit + U_ARRIVAL] = min(state[unit + U_ARRIVAL], arrival)
    state[unit + U_NEXT] = min(state[unit + U_NEXT], max(arrival, state[unit + U_NOW]))


@kernel
def request(state: State, port: int, handle: int, address: int, cycle: int, kind: int) -> int:
    """Put the request for the burst at `address`, arriving at `cycle`, into a port; return its channel."""
    memory = pointer_of(state)
    slot = answer_slot(memory, handle)
    memory[slot + A_ADMITTED], memory[slot + A_COMPLETED] = -1, -1
    place = locate(memory, address)
    put(memory, place, port, handle, cycle, kind)
    return channel_of(memory, unit_of(place))


@inner
def request_line(
    state: State, port: int, handle: int, address: int, burst_bytes: int, cycle: int, kind: int,
    channels: Integers, bursts: int,
) -> None:  # fmt: skip
    """Make a `request` for each burst of a line, with handles that follow each other; note their channels."""
    for part in range(bursts):
        channels[part] = request(state, port, handle + part, address, cycle, kind)
        address += burst_bytes


@leaf
def to_cycle(state: State, picoseconds: int) -> int:
    """Return the first clock edge that is not before a time."""
    return (picoseconds * 1000 + state[H_TCK_FS] - 1) // state[H_TCK_FS]


@leaf
def to_ps(state: State, cycle: int) -> int:
    """Return a clock edge in whole picoseconds, rounded up."""
    return (cycle * state[H_TCK_FS] + 999) // 1000


@kernel
def advance_all(state: State, until: int) -> int:
    """Let all channels make everything that begins before cycle `until`; return why the last one stopped."""
    memory, why = pointer_of(state), REACHED
    for index in range(memory[H_UNITS] // memory[H_PSEUDO]):
        why = advance(memory, index, until)
        if why == TRACE_FULL:
            return why
    return why


@kernel
def finish(state: State) -> int:
    """Let everything through that is queued; return the cycle of the last data, or -1 if the trace is full.

    Refreshes that are due by then are made too.
    """
    memory = pointer_of(state)
    if advance_all(memory, NEVER) == TRACE_FULL:
        return -1
    last = 0
    for number in range(memory[H_UNITS]):
        last = max(last, memory[unit_block(memory, number) + U_DATA_END])
    if memory[H_FLAT]:
        return (last + 999) // 1000
    if advance_all(memory, last + 1) == TRACE_FULL:
        return -1
    return last


@kernel
def sort_by_unit(
    state: State, addresses: Integers, order: Integers, cursor: Integers, ends: Integers
) -> None:
    """Fill `order` with the numbers of the requests, unit by unit and in order within a unit.

    cursor, ends: filled for each unit with where its numbers begin in `order` and where they end.
    """
    memory = pointer_of(state)
    ends[:] = 0
    for address in addresses:
        ends[unit_of(locate(memory, address))] += 1
    total = 0
    for number in range(ends.shape[0]):
        cursor[number] = total
        total += ends[number]
        ends[number] = cursor[number]
    for index in range(addresses.shape[0]):
        number = unit_of(locate(memory, addresses[index]))
        order[ends[number]] = index
        ends[number] += 1


@inner
def _refill(
    state: State, number: int, arrivals: Integers, writes: Flags, addresses: Integers, order: Integers,
    cursor: Integers, ends: Integers,
) -> None:  # fmt: skip
    """Put as many of a unit's requests into its port as fit."""
    port = unit_block(state, number) + state[O_PORTS]
    room = state[H_RING_MASK] + 1 - (state[port + I_PUT] - state[port + I_TAKEN])
    first, end = cursor[number], ends[number]
    last = min(end, first + room)
    for index in range(first, last):
        handle = order[index]
        kind = WRITE if writes[handle] else READ
        put(state, locate(state, addresses[handle]), 0, handle, arrivals[handle], kind)
    cursor[number] = last
    state[port + I_MORE] = 1 if last < end else 0


@kernel
def feed_channel(
    state: State, index: int, arrivals: Integers, writes: Flags, addresses: Integers, order: Integers,
    cursor: Integers, ends: Integers,
) -> int:  # fmt: skip
    """Run a channel's requests through it, until all are through or the trace is nearly full.

    order, cursor (which moves), ends: as `sort_by_unit` fills them.
    """
    memory = pointer_of(state)
    units = memory[H_PSEUDO]
    while True:
        for number in range(index * units, (index + 1) * units):
            _refill(memory, number, arrivals, writes, addresses, order, cursor, ends)
        why = advance(memory, index, NEVER)
        if why != HUNGRY:
            return why


@kernel
def feed_in_order(
    state: State, arrivals: Integers, writes: Flags, addresses: Integers, window: int, cursor: Integers
) -> int:
    """Run requests that come one after the other, request n not before n - `window` has entered its queue.

    cursor: next request and the cycle of the last one put in; they move, so that the call can be repeated
    when the trace is nearly full.
    """
    memory, count = pointer_of(state), addresses.shape[0]
    while True:
        while cursor[0] < count:
            handle = cursor[0]
            cycle = max(cursor[1], arrivals[handle])
            if handle >= window:
                entered = memory[answer_slot(memory, handle - window) + A_ADMITTED]
                if entered < 0:
                    break
                cycle = max(cycle, entered)
            place = locate(memory, addresses[handle])
            put(memory, place, 0, handle, cycle, WRITE if writes[handle] else READ)
            cursor[0], cursor[1] = handle + 1, cycle
        if cursor[0] == count:
            return advance_all(memory, NEVER)
        awaited = cursor[0] - window
        channel = channel_of(memory, unit_of(locate(memory, addresses[awaited])))
        why = advance(memory, channel, NEVER, awaited)
        if why == TRACE_FULL:
            return why
