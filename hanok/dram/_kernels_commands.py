"""Kernels that find the earliest legal cycle of each DRAM command and keep what follows from it."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.dram._layout import (
    ACT,
    ACT1,
    B_ACT,
    B_PRE,
    B_READ,
    B_ROW,
    B_SIZE,
    B_WRITE,
    BUS_NEWEST,
    BUS_RING,
    BUS_SIZE,
    BUS_SLOTS,
    C_ACTIVATES,
    C_CONFLICTS,
    C_HITS,
    C_MISSES,
    C_PRECHARGES,
    C_READS,
    C_REFRESHES,
    C_STALL,
    C_TURNAROUNDS,
    G_ACT,
    G_READ,
    G_SIZE,
    G_WRITE,
    H_ACT_ACT,
    H_ACT_GAP,
    H_BANK_ACT_ACT,
    H_BANK_ACT_PRE,
    H_BANK_ACT_RD,
    H_BANK_ACT_WR,
    H_BANK_COUNT,
    H_BANK_PIECES,
    H_BANK_PRE_ACT,
    H_BANK_RD_PRE,
    H_BANK_WR_PRE,
    H_BANKS,
    H_BURST_CYCLES,
    H_BUSES,
    H_CHANNEL_SHIFT,
    H_COLUMN_BUS,
    H_COLUMN_PIECES,
    H_FAW,
    H_GROUP_ACT_ACT,
    H_GROUP_COUNT,
    H_GROUP_RD_RD,
    H_GROUP_RD_WR,
    H_GROUP_SHIFT,
    H_GROUP_WR_RD,
    H_GROUP_WR_WR,
    H_GROUPS,
    H_HASH_MASK,
    H_INTERVAL,
    H_OTHER_RD_RD,
    H_OTHER_WR_WR,
    H_PIECES,
    H_PRE_PRE,
    H_PREA_REFA,
    H_RANK_SHIFT,
    H_RD_RD,
    H_RD_WR,
    H_READ_LATENCY,
    H_REFA_ACT,
    H_ROW_MASK,
    H_ROW_SHIFT,
    H_TRACE,
    H_TRACE_COUNT,
    H_TRACE_SIZE,
    H_UNIT_PIECES,
    H_UNITS,
    H_WR_RD,
    H_WR_WR,
    H_WRITE_LATENCY,
    P_MASK,
    P_SHIFT,
    P_SIZE,
    P_TARGET,
    PRE,
    PREA,
    RD,
    REFA,
    T_BANK,
    T_COLUMN,
    T_COMMAND,
    T_CYCLE,
    T_ROW,
    T_SIZE,
    T_UNIT,
    U_ACT,
    U_ACT1,
    U_DATA_END,
    U_DUE,
    U_FAW0,
    U_FAW_NEXT,
    U_LAST_COLUMN,
    U_LAST_KIND,
    U_LAST_RANK,
    U_OTHER_READ,
    U_OTHER_WRITE,
    U_PRE,
    U_READ,
    U_SIZE,
    U_WRITE,
)
from hanok.numerics._kernels_compile import kernel

State = NDArray[np.int64]


@kernel
def gather(state: State, address: int, first: int, last: int) -> int:
    """Collect the address bits that pieces first..last-1 choose."""
    found = 0
    for index in range(first, last):
        piece = state[H_PIECES] + index * P_SIZE
        found |= ((address >> state[piece + P_SHIFT]) & state[piece + P_MASK]) << state[piece + P_TARGET]
    return found


@kernel
def locate(state: State, address: int) -> tuple[int, int, int]:
    """Return unit, bank within the unit, and row of a byte address."""
    row = (address >> state[H_ROW_SHIFT]) & state[H_ROW_MASK]
    unit = gather(state, address, 0, state[H_UNIT_PIECES])
    bank = gather(state, address, state[H_UNIT_PIECES], state[H_BANK_PIECES])
    return unit, bank ^ (row & state[H_HASH_MASK]), row


@kernel
def _record(state: State, cycle: int, unit: int, command: int, bank: int, row: int, address: int) -> None:
    """Append a command to the trace, if there is room."""
    count = state[H_TRACE_COUNT]
    if count >= state[H_TRACE_SIZE]:
        return
    state[H_TRACE_COUNT] = count + 1
    entry = state[H_TRACE] + count * T_SIZE
    state[entry + T_CYCLE] = cycle
    state[entry + T_UNIT] = unit
    state[entry + T_COMMAND] = command
    state[entry + T_BANK] = bank
    state[entry + T_ROW] = row
    column = -1
    if address >= 0:
        column = gather(state, address, state[H_BANK_PIECES], state[H_COLUMN_PIECES])
    state[entry + T_COLUMN] = column


@kernel
def _free_slot(state: State, bus: int, cycle: int) -> int:
    """Return the first cycle, not before `cycle`, in which a command bus is free.

    A slot is taken when it holds its own cycle number. Slots further back than the ring are forgotten, so
    nothing is put there.
    """
    cycle = max(cycle, state[bus + BUS_NEWEST] - BUS_RING + 1)
    slots = bus + BUS_SLOTS
    while state[slots + (cycle & (BUS_RING - 1))] == cycle:
        cycle += 1
    return cycle


@kernel
def _free_pair(state: State, bus: int, first_from: int, second_from: int, gap: int) -> tuple[int, int]:
    """Return the earliest second, and for it the earliest first, of two free slots at most `gap` apart."""
    second = max(second_from, first_from + 1, state[bus + BUS_NEWEST] - BUS_RING + 2)
    while True:
        second = _free_slot(state, bus, second)
        first = _free_slot(state, bus, max(first_from, second - gap))
        if first < second:
            return first, second
        second += 1


@kernel
def _take_slot(state: State, bus: int, cycle: int) -> None:
    """Mark a slot that was found free."""
    state[bus + BUS_SLOTS + (cycle & (BUS_RING - 1))] = cycle
    state[bus + BUS_NEWEST] = max(state[bus + BUS_NEWEST], cycle)


@kernel
def refresh_unit(state: State, unit: int) -> None:
    """Close all banks of a unit and refresh them, at its due cycle or as soon after as is legal."""
    base = state[H_UNITS] + unit * U_SIZE
    bus = state[H_BUSES] + (unit >> state[H_CHANNEL_SHIFT]) * 2 * BUS_SIZE
    first = state[H_BANKS] + unit * state[H_BANK_COUNT] * B_SIZE
    last = first + state[H_BANK_COUNT] * B_SIZE
    opened = False
    precharge = max(state[base + U_DUE], state[base + U_PRE])
    refresh = max(state[base + U_DUE], state[base + U_ACT1])
    for bank in range(first, last, B_SIZE):
        refresh = max(refresh, state[bank + B_ACT])
        if state[bank + B_ROW] >= 0:
            opened = True
            precharge = max(precharge, state[bank + B_PRE])
            state[bank + B_ROW] = -1
    if opened:
        precharge = _free_slot(state, bus, precharge)
        _take_slot(state, bus, precharge)
        _record(state, precharge, unit, PREA, -1, -1, -1)
        state[base + C_PRECHARGES] += 1
        state[base + U_PRE] = precharge + state[H_PRE_PRE]
        refresh = max(refresh, precharge + state[H_PREA_REFA])
    refresh = _free_slot(state, bus, refresh)
    _take_slot(state, bus, refresh)
    _record(state, refresh, unit, REFA, -1, -1, -1)
    state[base + U_ACT1] = refresh + state[H_REFA_ACT]
    state[base + C_REFRESHES] += 1
    state[base + U_DUE] += state[H_INTERVAL]


@kernel
def skip_refreshes(state: State, unit: int, cycle: int) -> None:
    """Count the refreshes of a long idle time at once; the last three are left to be made one by one."""
    base = state[H_UNITS] + unit * U_SIZE
    if state[base + U_DUE] + 8 * state[H_INTERVAL] > cycle or state[H_TRACE_SIZE] > 0:
        return
    refresh_unit(state, unit)
    skipped = (cycle - state[base + U_DUE]) // state[H_INTERVAL] - 3
    state[base + C_REFRESHES] += skipped
    state[base + U_DUE] += skipped * state[H_INTERVAL]


@kernel
def _open_row(
    state: State, unit: int, bank: int, row: int, precharge: int, first: int, activate: int
) -> None:
    """Make the precharge (if not negative) and the two-cycle activate that were found free and legal."""
    base = state[H_UNITS] + unit * U_SIZE
    bus = state[H_BUSES] + (unit >> state[H_CHANNEL_SHIFT]) * 2 * BUS_SIZE
    group = state[H_GROUPS] + (unit * state[H_GROUP_COUNT] + (bank >> state[H_GROUP_SHIFT])) * G_SIZE
    slot = state[H_BANKS] + (unit * state[H_BANK_COUNT] + bank) * B_SIZE
    if precharge >= 0:
        _take_slot(state, bus, precharge)
        _record(state, precharge, unit, PRE, bank, state[slot + B_ROW], -1)
        state[base + C_PRECHARGES] += 1
        state[base + C_CONFLICTS] += 1
        state[base + U_PRE] = precharge + state[H_PRE_PRE]
    else:
        state[base + C_MISSES] += 1
    _take_slot(state, bus, first)
    _take_slot(state, bus, activate)
    _record(state, first, unit, ACT1, bank, row, -1)
    _record(state, activate, unit, ACT, bank, row, -1)
    state[base + C_ACTIVATES] += 1
    state[base + U_ACT] = activate + state[H_ACT_ACT]
    oldest = state[base + U_FAW_NEXT]
    state[base + U_FAW0 + oldest] = activate + state[H_FAW]
    state[base + U_FAW_NEXT] = (oldest + 1) & 3
    state[group + G_ACT] = activate + state[H_GROUP_ACT_ACT]
    state[slot + B_ROW] = row
    state[slot + B_ACT] = activate + state[H_BANK_ACT_ACT]
    state[slot + B_PRE] = activate + state[H_BANK_ACT_PRE]
    state[slot + B_READ] = activate + state[H_BANK_ACT_RD]
    state[slot + B_WRITE] = activate + state[H_BANK_ACT_WR]


@kernel
def _after_column(state: State, unit: int, bank: int, column: int, kind: int) -> None:
    """Move the earliest cycles of everything that must follow a column command; kind 0 reads, 1 writes."""
    base = state[H_UNITS] + unit * U_SIZE
    group = state[H_GROUPS] + (unit * state[H_GROUP_COUNT] + (bank >> state[H_GROUP_SHIFT])) * G_SIZE
    slot = state[H_BANKS] + (unit * state[H_BANK_COUNT] + bank) * B_SIZE
    if kind == 0:
        next_read, next_write, same_read, same_write, until_precharge, latency = (
            state[H_RD_RD], state[H_RD_WR], state[H_GROUP_RD_RD], state[H_GROUP_RD_WR], state[H_BANK_RD_PRE],
            state[H_READ_LATENCY],
        )  # fmt: skip
        state[base + U_OTHER_READ] = column + state[H_OTHER_RD_RD]
    else:
        next_read, next_write, same_read, same_write, until_precharge, latency = (
            state[H_WR_RD], state[H_WR_WR], state[H_GROUP_WR_RD], state[H_GROUP_WR_WR], state[H_BANK_WR_PRE],
            state[H_WRITE_LATENCY],
        )  # fmt: skip
        state[base + U_OTHER_WRITE] = column + state[H_OTHER_WR_WR]
    state[base + U_READ] = max(state[base + U_READ], column + next_read)
    state[base + U_WRITE] = max(state[base + U_WRITE], column + next_write)
    state[group + G_READ] = max(state[group + G_READ], column + same_read)
    state[group + G_WRITE] = max(state[group + G_WRITE], column + same_write)
    state[slot + B_PRE] = max(state[slot + B_PRE], column + until_precharge)
    state[base + U_DATA_END] = max(state[base + U_DATA_END], column + latency + state[H_BURST_CYCLES])
    state[base + U_LAST_COLUMN] = column
    if state[base + U_LAST_KIND] == 1 - kind:
        state[base + C_TURNAROUNDS] += 1
    state[base + U_LAST_KIND] = kind
    state[base + U_LAST_RANK] = bank >> state[H_RANK_SHIFT]


@kernel
def _plan(
    state: State, unit: int, bank: int, row: int, kind: int, earliest: int
) -> tuple[int, int, int, int]:
    """Find the earliest legal precharge, two-cycle activate (-1: none) and column command of a burst."""
    base = state[H_UNITS] + unit * U_SIZE
    row_bus = state[H_BUSES] + (unit >> state[H_CHANNEL_SHIFT]) * 2 * BUS_SIZE
    group = state[H_GROUPS] + (unit * state[H_GROUP_COUNT] + (bank >> state[H_GROUP_SHIFT])) * G_SIZE
    slot = state[H_BANKS] + (unit * state[H_BANK_COUNT] + bank) * B_SIZE
    precharge, first, activate = -1, -1, -1
    column = max(earliest, state[base + U_READ + kind], state[group + G_READ + kind])
    column = max(column, state[base + U_LAST_COLUMN] + 1)
    if state[base + U_LAST_RANK] != bank >> state[H_RANK_SHIFT]:
        column = max(column, state[base + U_OTHER_READ + kind])
    if state[slot + B_ROW] == row:
        column = max(column, state[slot + B_READ + kind])
    else:
        ready = max(earliest, state[base + U_ACT1])
        if state[slot + B_ROW] >= 0:
            precharge = max(earliest, state[slot + B_PRE], state[base + U_PRE])
            precharge = _free_slot(state, row_bus, precharge)
            ready = max(ready, precharge + state[H_BANK_PRE_ACT])
        activate = max(state[slot + B_ACT], state[group + G_ACT], state[base + U_ACT])
        activate = max(activate, state[base + U_FAW0 + state[base + U_FAW_NEXT]])
        first, activate = _free_pair(state, row_bus, ready, activate, state[H_ACT_GAP])
        column = max(column, activate + state[H_BANK_ACT_RD + kind])
    return precharge, first, activate, _free_slot(state, row_bus + state[H_COLUMN_BUS], column)


@kernel
def issue(state: State, unit: int, bank: int, row: int, kind: int, earliest: int, address: int) -> int:
    """Make all commands of one burst (kind 0 reads, 1 writes) and return its column command's cycle."""
    base = state[H_UNITS] + unit * U_SIZE
    precharge, first, activate, column = _plan(state, unit, bank, row, kind, earliest)
    without_refresh = column
    while column >= state[base + U_DUE]:
        refresh_unit(state, unit)
        precharge, first, activate, column = _plan(state, unit, bank, row, kind, earliest)
    state[base + C_STALL] += column - without_refresh
    if activate >= 0:
        _open_row(state, unit, bank, row, precharge, first, activate)
    else:
        state[base + C_HITS] += 1
    bus = state[H_BUSES] + (unit >> state[H_CHANNEL_SHIFT]) * 2 * BUS_SIZE
    _take_slot(state, bus + state[H_COLUMN_BUS], column)
    _record(state, column, unit, RD + kind, bank, row, address)
    state[base + C_READS + kind] += 1
    _after_column(state, unit, bank, column, kind)
    return column
