"""Kernels that make long streams' requests on demand, and that describe a channel's state without time."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.dram._kernels import put
from hanok.dram._kernels_flow import end_flow
from hanok.dram._kernels_places import locate, unit_block, unit_of
from hanok.dram._kernels_schedule import advance
from hanok.dram._layout import (
    B_BYPASSED,
    B_OWNER,
    B_REFRESHED,
    B_ROW,
    B_SIZE,
    CH_BUSES,
    CH_LAST,
    CH_UNITS,
    COMMANDS,
    H_BANKS,
    H_CHANNEL_SIZE,
    H_CHANNELS,
    H_GROUP_SHIFT,
    H_GROUPS,
    H_PORTS,
    H_PSEUDO,
    H_RANK_SHIFT,
    H_RANKS,
    H_RING_MASK,
    H_UNIT_SIZE,
    HUNGRY,
    I_MORE,
    I_PUT,
    I_SIZE,
    I_TAKEN,
    N_HANDLE,
    N_SIZE,
    O_BANKS,
    O_ENTRIES,
    O_GROUPS,
    O_INPUT,
    O_PORTS,
    O_RANKS,
    O_WANTING,
    Q_ADMITTED,
    Q_AFTER,
    Q_BANK,
    Q_COLUMN,
    Q_KIND,
    Q_ROW,
    Q_SEEN,
    Q_SEQUENCE,
    Q_SIZE,
    RING,
    U_ARRIVAL,
    U_DATA_END,
    U_DEADLINE,
    U_DUE,
    U_EARLIEST,
    U_FIRST_READ,
    U_FLOWING,
    U_HALF,
    U_HALF_ENTRY,
    U_LAST_KIND,
    U_MODE,
    U_NEXT,
    U_NOW,
    U_OPEN,
    U_OWED,
    U_PLANNED,
    U_PORT,
    U_REFRESHED,
    U_RING,
    U_RING_NEXT,
    U_TARGET,
    State,
)
from hanok.numerics._kernels_compile import inner, kernel, pointer_of

Integers = NDArray[np.int64]

# Columns of a stream.
S_ADDRESS, S_STRIDE, S_COUNT, S_KIND, S_ARRIVAL, S_BURST, S_SIZE = range(7)
LONG_AGO = -(1 << 20)
FAR = 1 << 40


@kernel
def next_on_unit(address: int, mask: int, value: int) -> int:
    """Return the first address from `address` on whose bits in `mask` are `value`."""
    while True:
        wrong = (address & mask) ^ value
        if wrong == 0:
            return address
        bit = 1
        while wrong > 1:
            wrong >>= 1
            bit <<= 1
        address = (address & -bit) | bit if value & bit else (address & -(2 * bit)) + 2 * bit
        address |= value & (bit - 1)


@inner
def _refill(
    state: State,
    number: int,
    unit: int,
    port: int,
    stream: Integers,
    position: Integers,
    mask: int,
    value: int,
) -> None:
    """Put a stream's next bursts on unit `number` into its port, as many as fit.

    position: number of the stream's next burst that is to be looked at. Where the unit is chosen by the
    address bits in `mask` alone, which are `value` for it, and the stream is contiguous, others are skipped.
    """
    contiguous = mask != 0 and stream[S_STRIDE] == stream[S_BURST]
    slot = unit + state[O_PORTS] + port * I_SIZE
    room = state[H_RING_MASK] + 1 - (state[slot + I_PUT] - state[slot + I_TAKEN])
    index = position[0]
    while room > 0 and index < stream[S_COUNT]:
        address = stream[S_ADDRESS] + index * stream[S_STRIDE]
        if contiguous:
            index = (next_on_unit(address, mask, value) - stream[S_ADDRESS]) // stream[S_STRIDE]
            if index >= stream[S_COUNT]:
                break
            address = stream[S_ADDRESS] + index * stream[S_STRIDE]
        place = locate(state, address)
        if unit_of(place) == number:
            put(state, place, port, index, stream[S_ARRIVAL], stream[S_KIND])
            room -= 1
        index += 1
    position[0] = min(index, stream[S_COUNT])
    state[slot + I_MORE] = 1 if index < stream[S_COUNT] else 0


@kernel
def feed_streams(
    state: State, index: int, streams: Integers, positions: Integers,
    mask: int, values: Integers, until: int,
) -> int:  # fmt: skip
    """Run a channel's share of the streams until cycle `until`; return why it stopped.

    streams: [stream, S_SIZE]. positions: [unit of the channel, stream], which move. mask: the address bits
    that choose the unit, or 0; values: [unit], over all channels, what they are.
    """
    memory = pointer_of(state)
    units = memory[H_PSEUDO]
    while True:
        for position in range(units):
            number = index * units + position
            unit = unit_block(memory, number)
            for port in range(streams.shape[0]):
                if positions[position, port] < streams[port, S_COUNT]:
                    _refill(
                        memory, number, unit, port, streams[port], positions[position, port : port + 1], mask,
                        values[number],
                    )  # fmt: skip
        why = advance(memory, index, until)
        if why != HUNGRY:
            break
    for number in range(index * units, (index + 1) * units):
        unit = unit_block(memory, number)
        if memory[unit + U_FLOWING]:
            end_flow(memory, unit)
    return why


@kernel
def next_untaken(state: State, index: int, streams: Integers, positions: Integers, out: Integers) -> None:
    """Write the number of the next burst that each unit of a channel will take of each stream to `out`."""
    units, ring = state[H_PSEUDO], state[H_RING_MASK]
    for position in range(units):
        unit = unit_block(state, index * units + position)
        for port in range(streams.shape[0]):
            slot = unit + state[O_PORTS] + port * I_SIZE
            taken = state[slot + I_TAKEN]
            out[position, port] = positions[position, port]
            if taken < state[slot + I_PUT]:
                request = unit + state[O_INPUT] + (port * (ring + 1) + (taken & ring)) * N_SIZE
                out[position, port] = state[request + N_HANDLE]


@inner
def _describe_times(state: State, first: int, count: int, now: int, out: Integers, at: int) -> int:
    """Append earliest cycles as delays from `now`; those that have passed are all alike."""
    for slot in range(first, first + count):
        out[at] = max(0, state[slot] - now)
        at += 1
    return at


@inner
def _describe_entry(
    state: State, unit: int, entry: int, now: int, parts: Integers, rows: Integers, out: Integers, at: int
) -> int:
    """Append a queued request, with its row counted from that of its part."""
    bank = state[entry + Q_BANK]
    out[at] = parts[bank]
    out[at + 1] = state[entry + Q_ROW] - rows[parts[bank]]
    out[at + 2] = state[entry + Q_COLUMN] * 4 + state[entry + Q_SEEN] * 2 + state[entry + Q_KIND]
    out[at + 3] = max(LONG_AGO, state[entry + Q_ADMITTED] - now)
    out[at + 4] = 1 if state[unit + state[O_BANKS] + bank * B_SIZE + B_OWNER] == entry else 0
    return at + 5


@inner
def _describe_queues(
    state: State, unit: int, now: int, parts: Integers, rows: Integers, out: Integers, at: int
) -> int:
    """Append all queued requests in the order of their numbers, reads and writes merged."""
    read, write = state[unit + U_FIRST_READ], state[unit + U_FIRST_READ + 1]
    while read >= 0 or write >= 0:
        if write < 0 or (read >= 0 and state[read + Q_SEQUENCE] < state[write + Q_SEQUENCE]):
            at = _describe_entry(state, unit, read, now, parts, rows, out, at)
            read = state[read + Q_AFTER]
        else:
            at = _describe_entry(state, unit, write, now, parts, rows, out, at)
            write = state[write + Q_AFTER]
    out[at] = -1
    return at + 1


@inner
def _describe_unit(
    state: State,
    unit: int,
    now: int,
    banks: Integers,
    parts: Integers,
    rows: Integers,
    out: Integers,
    at: int,
) -> int:
    """Append everything that a unit's future depends on, in time from `now`, its banks by their parts."""
    for slot in (U_MODE, U_PORT, U_OWED, U_TARGET, U_OPEN, U_LAST_KIND):
        out[at] = state[unit + slot]
        at += 1
    half = state[unit + U_HALF]
    out[at] = min(FAR, state[unit + U_DUE] - now)
    out[at + 1] = state[unit + U_DATA_END] - now
    out[at + 2] = max(LONG_AGO, state[unit + U_REFRESHED] - now)
    out[at + 3] = parts[half] if half >= 0 else half
    out[at + 4] = state[unit + U_DEADLINE] - now if half >= 0 else 0
    out[at + 5] = state[state[unit + U_HALF_ENTRY] + Q_SEQUENCE] if half >= 0 else 0
    if half >= 0:
        out[at + 5] -= state[state[unit + U_FIRST_READ + state[unit + U_MODE]] + Q_SEQUENCE]
    at += 6
    for back in range(RING):
        slot = unit + U_RING + ((state[unit + U_RING_NEXT] + back) & (RING - 1))
        out[at] = max(LONG_AGO, state[slot] - now)
        at += 1
    at = _describe_times(state, unit + U_EARLIEST, COMMANDS, now, out, at)
    for level, shift in ((O_RANKS, H_RANK_SHIFT), (O_GROUPS, H_GROUP_SHIFT)):
        for first in range(0, state[H_BANKS], 1 << state[shift]):
            slot = unit + state[level] + (banks[first] >> state[shift]) * COMMANDS
            at = _describe_times(state, slot, COMMANDS, now, out, at)
    for part in range(state[H_BANKS]):
        slot = unit + state[O_BANKS] + banks[part] * B_SIZE
        at = _describe_times(state, slot, COMMANDS, now, out, at)
        out[at] = state[slot + B_ROW] - rows[part] if state[slot + B_ROW] >= 0 else -(1 << 40)
        out[at + 1] = state[slot + B_BYPASSED]
        out[at + 2] = max(LONG_AGO, state[slot + B_REFRESHED] - now)
        at += 3
    return _describe_queues(state, unit, now, parts, rows, out, at)


@kernel
def describe_channel(
    state: State, index: int, now: int, banks: Integers, parts: Integers, rows: Integers, out: Integers
) -> int:
    """Write what a channel's future depends on to `out`; return how many numbers those are.

    banks: [unit, part] the bank that plays it now; parts: [unit, bank] its part; rows: [unit, part] the row
    from which its rows are counted. Two equal descriptions have equal futures, if the streams stand alike:
    every cycle later by the difference of the times, each bank and row that of the same part.
    """
    channel = state[H_CHANNELS] + index * state[H_CHANNEL_SIZE]
    at = _describe_times(state, channel + CH_BUSES, 2, now, out, 0)
    out[at] = state[channel + CH_LAST] - index * state[H_PSEUDO]
    at += 1
    for position in range(state[H_PSEUDO]):
        unit = channel + CH_UNITS + position * state[H_UNIT_SIZE]
        at = _describe_unit(state, unit, now, banks[position], parts[position], rows[position], out, at)
    return at


@inner
def _shift_times(state: State, first: int, count: int, cycles: int) -> None:
    for slot in range(first, first + count):
        state[slot] += cycles


@inner
def _exchange(state: State, first: int, size: int, banks: Integers, shift: int, scratch: Integers) -> None:
    """Move what stands for each bank, or for 2**shift of them, in places of `size`, to that of another."""
    for bank in range(0, banks.shape[0], 1 << shift):
        for slot in range(size):
            scratch[(bank >> shift) * size + slot] = state[first + (bank >> shift) * size + slot]
    for bank in range(0, banks.shape[0], 1 << shift):
        for slot in range(size):
            state[first + (banks[bank] >> shift) * size + slot] = scratch[(bank >> shift) * size + slot]


@inner
def _shift_unit(
    state: State, unit: int, cycles: int, banks: Integers, rows: Integers, scratch: Integers
) -> None:
    """Move a unit's state on, as `shift_channel` does."""
    for slot in (U_NOW, U_DUE, U_DATA_END, U_REFRESHED, U_DEADLINE):
        state[unit + slot] += cycles
    state[unit + U_NEXT] = state[unit + U_NOW]
    state[unit + U_PLANNED] = 0
    state[unit + U_ARRIVAL] = 0
    if state[unit + U_HALF] >= 0:
        state[unit + U_HALF] = banks[state[unit + U_HALF]]
    _shift_times(state, unit + U_RING, RING, cycles)
    _shift_times(state, unit + U_EARLIEST, COMMANDS, cycles)
    _shift_times(state, unit + state[O_RANKS], state[H_RANKS] * COMMANDS, cycles)
    _shift_times(state, unit + state[O_GROUPS], state[H_GROUPS] * COMMANDS, cycles)
    for bank in range(state[H_BANKS]):
        slot = unit + state[O_BANKS] + bank * B_SIZE
        _shift_times(state, slot, COMMANDS, cycles)
        state[slot + B_REFRESHED] += cycles
        if state[slot + B_ROW] >= 0:
            state[slot + B_ROW] += rows[bank]
    _exchange(state, unit + state[O_RANKS], COMMANDS, banks, state[H_RANK_SHIFT], scratch)
    _exchange(state, unit + state[O_GROUPS], COMMANDS, banks, state[H_GROUP_SHIFT], scratch)
    _exchange(state, unit + state[O_BANKS], B_SIZE, banks, 0, scratch)
    for slot in range(unit + state[O_WANTING], unit + state[O_ENTRIES]):
        state[slot] = banks[state[slot]]
    for entry in range(unit + state[O_ENTRIES], unit + state[O_PORTS], Q_SIZE):
        state[entry + Q_ROW] += rows[state[entry + Q_BANK]]
        state[entry + Q_BANK] = banks[state[entry + Q_BANK]]
        state[entry + Q_ADMITTED] += cycles


@kernel
def shift_channel(
    state: State, index: int, cycles: int, banks: Integers, rows: Integers, scratch: Integers
) -> None:
    """Move a channel's state `cycles` on; what waits in its ports is dropped.

    banks: [unit, bank] the one that plays its part then; rows: [unit, bank] how many rows later; scratch: at
    least as large as a channel's block.
    """
    channel = state[H_CHANNELS] + index * state[H_CHANNEL_SIZE]
    _shift_times(state, channel + CH_BUSES, 2, cycles)
    for position in range(state[H_PSEUDO]):
        unit = channel + CH_UNITS + position * state[H_UNIT_SIZE]
        _shift_unit(state, unit, cycles, banks[position], rows[position], scratch)
        for port in range(state[H_PORTS]):
            slot = unit + state[O_PORTS] + port * I_SIZE
            state[slot + I_TAKEN] = state[slot + I_PUT]


@kernel
def last_data(state: State, index: int) -> int:
    """Return the cycle in which a channel's last data were through."""
    last = 0
    for position in range(state[H_PSEUDO]):
        last = max(last, state[unit_block(state, index * state[H_PSEUDO] + position) + U_DATA_END])
    return last
