"""The DRAM controller as Numba kernels on one flat int64 array: `read`, `write` and `flush`.

In-order per pseudo-channel: column commands keep the order of the calls, while precharges and activates of
later bursts run ahead, as soon as the burst has entered the queue and the rules allow. The array is laid out
by `hanok.dram.state`; times inside are cycles of the DRAM's clock.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_commands import State, gather, issue, locate, refresh_unit, skip_refreshes
from hanok.dram._layout import (
    BUCKETS,
    C_FORWARDS,
    C_READS,
    H_BURST_CYCLES,
    H_BURST_SHIFT,
    H_CHANNEL_SHIFT,
    H_FLAT,
    H_FLAT_FS,
    H_FLAT_LATENCY_FS,
    H_READ_LATENCY,
    H_READ_QUEUES,
    H_TCK_FS,
    H_UNIT_COUNT,
    H_UNIT_PIECES,
    H_UNITS,
    H_WRITE_LATENCY,
    H_WRITE_QUEUES,
    IDLE_LONG,
    IDLE_SHORT,
    READ_QUEUE,
    REFRESH_LAG,
    U_DATA_END,
    U_DUE,
    U_LAST_COLUMN,
    U_LAST_KIND,
    U_READ_NEXT,
    U_SIZE,
    U_WRITE_COUNT,
    U_WRITE_HEAD,
    W_ADDRESS,
    W_BUCKETS,
    W_CYCLE,
    W_FREE,
    W_SIZE,
    WRITE_HIGH,
    WRITE_LOW,
    WRITE_QUEUE,
)
from hanok.numerics._kernels_compile import kernel


@kernel
def _bucket(address: int) -> int:
    """Hash an address to one of the write queue's counts."""
    return ((address * 0x9E3779B1) >> 24) & (BUCKETS - 1)


@kernel
def _drain_one(state: State, unit: int, earliest: int) -> None:
    """Send the oldest queued write of a unit."""
    base = state[H_UNITS] + unit * U_SIZE
    queue = state[H_WRITE_QUEUES] + unit * W_SIZE
    head = state[base + U_WRITE_HEAD]
    address = state[queue + W_ADDRESS + head]
    _, bank, row = locate(state, address)
    column = issue(state, unit, bank, row, 1, max(earliest, state[queue + W_CYCLE + head]), address)
    state[queue + W_FREE + head] = column + state[H_WRITE_LATENCY] + state[H_BURST_CYCLES]
    state[queue + W_BUCKETS + _bucket(address)] -= 1
    state[base + U_WRITE_HEAD] = (head + 1) & (WRITE_QUEUE - 1)
    state[base + U_WRITE_COUNT] -= 1


@kernel
def _drain_idle(state: State, unit: int, now: int) -> None:
    """Send writes that had started before `now` because nothing else was to be done.

    A batch of at least WRITE_LOW begins after IDLE_SHORT cycles without reads, a smaller one after IDLE_LONG.
    """
    base = state[H_UNITS] + unit * U_SIZE
    queue = state[H_WRITE_QUEUES] + unit * W_SIZE
    while state[base + U_WRITE_COUNT] > 0:
        start = max(state[queue + W_CYCLE + state[base + U_WRITE_HEAD]], state[base + U_LAST_COLUMN])
        if state[base + U_LAST_KIND] != 1:
            start += IDLE_SHORT if state[base + U_WRITE_COUNT] >= WRITE_LOW else IDLE_LONG
        if start >= now:
            return
        _drain_one(state, unit, start)


@kernel
def _catch_up(state: State, unit: int, now: int) -> None:
    """Bring a channel's pseudo-channels, which share its buses, to at most REFRESH_LAG behind `now`.

    Without this, a pseudo-channel that nobody calls would make its refreshes at cycles whose bus slots are
    forgotten already.
    """
    shift = state[H_CHANNEL_SHIFT]
    first = (unit >> shift) << shift
    behind = False
    for sibling in range(first, first + (1 << shift)):
        behind |= state[state[H_UNITS] + sibling * U_SIZE + U_DUE] + REFRESH_LAG <= now
    if not behind:
        return
    for sibling in range(first, first + (1 << shift)):
        _drain_idle(state, sibling, now)
        skip_refreshes(state, sibling, now)
    while behind:
        behind = False
        for sibling in range(first, first + (1 << shift)):
            if state[state[H_UNITS] + sibling * U_SIZE + U_DUE] + REFRESH_LAG <= now:
                refresh_unit(state, sibling)
                behind = True


@kernel
def _queued_cycle(state: State, unit: int, address: int) -> int:
    """Return the arrival of the newest queued write to `address`, or -1."""
    base = state[H_UNITS] + unit * U_SIZE
    queue = state[H_WRITE_QUEUES] + unit * W_SIZE
    if state[queue + W_BUCKETS + _bucket(address)] == 0:
        return -1
    for back in range(state[base + U_WRITE_COUNT] - 1, -1, -1):
        index = (state[base + U_WRITE_HEAD] + back) & (WRITE_QUEUE - 1)
        if state[queue + W_ADDRESS + index] == address:
            return state[queue + W_CYCLE + index]
    return -1


@kernel
def _to_cycle(state: State, picoseconds: int) -> int:
    """Return the first clock edge that is not before a time."""
    return (picoseconds * 1000 + state[H_TCK_FS] - 1) // state[H_TCK_FS]


@kernel
def _to_ps(state: State, cycle: int) -> int:
    """Return a clock edge in whole picoseconds, rounded up."""
    return (cycle * state[H_TCK_FS] + 999) // 1000


@kernel
def _flat(state: State, address: int, arrival_ps: int, kind: int) -> int:
    """A burst of a memory without banks: its channel is busy for a fixed time."""
    unit = gather(state, address, 0, state[H_UNIT_PIECES])
    base = state[H_UNITS] + unit * U_SIZE
    state[base + C_READS + kind] += 1
    start = max(state[base + U_DATA_END], arrival_ps * 1000)
    end = start + state[H_FLAT_FS]
    state[base + U_DATA_END] = end
    if kind == 1:
        return (max(arrival_ps * 1000, start - WRITE_QUEUE * state[H_FLAT_FS]) + 999) // 1000
    return (end + state[H_FLAT_LATENCY_FS] + 999) // 1000


@kernel
def read(state: State, address: int, arrival_ps: int) -> int:
    """Read the burst at `address`, which arrives at `arrival_ps`; return when its last data are there."""
    if state[H_FLAT]:
        return _flat(state, address, arrival_ps, 0)
    unit, bank, row = locate(state, address)
    base = state[H_UNITS] + unit * U_SIZE
    now = _to_cycle(state, arrival_ps)
    _catch_up(state, unit, now)
    if state[base + U_WRITE_COUNT] > 0:
        _drain_idle(state, unit, now)
        burst = (address >> state[H_BURST_SHIFT]) << state[H_BURST_SHIFT]
        queued = _queued_cycle(state, unit, burst)
        if queued >= 0:
            state[base + C_FORWARDS] += 1
            return _to_ps(state, max(now, queued) + state[H_BURST_CYCLES])
    entry = state[H_READ_QUEUES] + unit * READ_QUEUE + state[base + U_READ_NEXT]
    column = issue(state, unit, bank, row, 0, max(now, state[entry]), address)
    state[entry] = column
    state[base + U_READ_NEXT] = (state[base + U_READ_NEXT] + 1) & (READ_QUEUE - 1)
    return _to_ps(state, column + state[H_READ_LATENCY] + state[H_BURST_CYCLES])


@kernel
def write(state: State, address: int, arrival_ps: int) -> int:
    """Post the write of the burst at `address`; return when the write queue has taken it."""
    if state[H_FLAT]:
        return _flat(state, address, arrival_ps, 1)
    unit, _, _ = locate(state, address)
    base = state[H_UNITS] + unit * U_SIZE
    queue = state[H_WRITE_QUEUES] + unit * W_SIZE
    now = _to_cycle(state, arrival_ps)
    _catch_up(state, unit, now)
    _drain_idle(state, unit, now)
    burst = (address >> state[H_BURST_SHIFT]) << state[H_BURST_SHIFT]
    tail = (state[base + U_WRITE_HEAD] + state[base + U_WRITE_COUNT]) & (WRITE_QUEUE - 1)
    accepted = max(now, state[queue + W_FREE + tail])
    state[queue + W_ADDRESS + tail] = burst
    state[queue + W_CYCLE + tail] = accepted
    state[queue + W_BUCKETS + _bucket(burst)] += 1
    state[base + U_WRITE_COUNT] += 1
    if state[base + U_WRITE_COUNT] >= WRITE_HIGH:
        while state[base + U_WRITE_COUNT] > WRITE_LOW:
            _drain_one(state, unit, accepted)
    return _to_ps(state, accepted)


@kernel
def flush(state: State) -> int:
    """Send all queued writes and the refreshes due by then; return when the last data are through, in ps."""
    last = 0
    for unit in range(state[H_UNIT_COUNT]):
        base = state[H_UNITS] + unit * U_SIZE
        while state[base + U_WRITE_COUNT] > 0:
            _drain_one(state, unit, state[base + U_LAST_COLUMN])
        last = max(last, state[base + U_DATA_END])
    if state[H_FLAT]:
        return (last + 999) // 1000
    for unit in range(state[H_UNIT_COUNT]):
        base = state[H_UNITS] + unit * U_SIZE
        _catch_up(state, unit, last)
        while state[base + U_DUE] <= last:
            refresh_unit(state, unit)
    return _to_ps(state, last)
