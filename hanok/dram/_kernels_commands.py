"""Kernels that send commands: each moves the earliest cycles of all that the rules put behind it.

The rules come from the standard's table, row by row; nothing here knows a particular delay.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_wants import sort_bank
from hanok.dram._layout import (
    ACT,
    ACT1,
    B_BYPASSED,
    B_HEAD_READ,
    B_HIT_READ,
    B_OWNER,
    B_REFRESHED,
    B_ROW,
    B_SIZE,
    C_ACTIVATES,
    C_BANK_REFRESHES,
    C_PRECHARGES,
    C_REFRESHES,
    CH_BUSES,
    COMMANDS,
    F_ALIGN,
    F_BUS,
    F_SIZE,
    F_TAIL,
    H_BANKS,
    H_FORMS,
    H_GAP_LEAST,
    H_GAP_MOST,
    H_GROUP_SHIFT,
    H_RANK_SHIFT,
    H_RANKS,
    H_REFRESH_CYCLES,
    H_RULES,
    H_TRACE,
    H_TRACE_COUNT,
    H_TRACE_ROOM,
    L_BANK,
    L_GROUP,
    L_OTHER_RANK,
    L_PSEUDO,
    L_RANK,
    LEVELS,
    O_BANKS,
    O_GROUPS,
    O_RANKS,
    PRE,
    PREA,
    Q_KIND,
    Q_NEXT,
    Q_ROW,
    R_SIZE,
    READ,
    REFA,
    REFB,
    RING,
    ROW_CLOSED,
    ROW_OPENING,
    T_BANK,
    T_COLUMN,
    T_COMMAND,
    T_CYCLE,
    T_ROW,
    T_SIZE,
    T_UNIT,
    U_ARRIVAL,
    U_BLOCKED,
    U_DEADLINE,
    U_EARLIEST,
    U_HALF,
    U_HALF_ENTRY,
    U_OPEN,
    U_OPENED,
    U_OWED,
    U_OWNED_READS,
    U_REFRESHED,
    U_RING,
    U_RING_NEXT,
    U_STRAY_READS,
    U_TARGET,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf

MOST_COMMANDS = 4
"""The trace has room for so many commands when a step begins."""


@leaf
def record(state: State, number: int, cycle: int, command: int, bank: int, row: int, column: int) -> None:
    """Append a command of unit `number` to the trace, if one is kept."""
    if state[H_TRACE_ROOM] == 0:
        return
    entry = state[H_TRACE] + state[H_TRACE_COUNT] * T_SIZE
    state[H_TRACE_COUNT] += 1
    state[entry + T_CYCLE] = cycle
    state[entry + T_UNIT] = number
    state[entry + T_COMMAND] = command
    state[entry + T_BANK] = bank
    state[entry + T_ROW] = row
    state[entry + T_COLUMN] = column


@leaf
def _follow(state: State, rules: int, place: int, cycle: int) -> None:
    """What the rules between rules[0] and rules[1] name comes so many cycles after `cycle` at `place`."""
    for rule in range(state[rules], state[rules + 1], 2):
        slot = place + state[rule]
        when = cycle + state[rule + 1]
        state[slot] = max(state[slot], when)


@leaf
def send(state: State, channel: int, unit: int, command: int, cycle: int, bank: int) -> None:
    """Put a command on its bus and apply all rules that begin with it; bank -1 is the whole unit."""
    form = state[H_FORMS] + command * F_SIZE
    state[channel + CH_BUSES + state[form + F_BUS]] = cycle + state[form + F_TAIL] + 1
    follow(state, unit, command, cycle, bank)


@leaf
def follow(state: State, unit: int, command: int, cycle: int, bank: int) -> None:
    """Apply all rules that begin with a command; bank -1 is the whole unit."""
    rules = state[H_RULES] + command * LEVELS * R_SIZE
    _follow(state, rules + L_PSEUDO * R_SIZE, unit + U_EARLIEST, cycle)
    if bank < 0:
        return
    _follow(
        state,
        rules + L_GROUP * R_SIZE,
        unit + state[O_GROUPS] + (bank >> state[H_GROUP_SHIFT]) * COMMANDS,
        cycle,
    )
    _follow(state, rules + L_BANK * R_SIZE, unit + state[O_BANKS] + bank * B_SIZE, cycle)
    rank = bank >> state[H_RANK_SHIFT]
    _follow(state, rules + L_RANK * R_SIZE, unit + state[O_RANKS] + rank * COMMANDS, cycle)
    if state[rules + L_OTHER_RANK * R_SIZE] < state[rules + L_OTHER_RANK * R_SIZE + 1]:
        for other in range(state[H_RANKS]):
            if other != rank:
                _follow(state, rules + L_OTHER_RANK * R_SIZE, unit + state[O_RANKS] + other * COMMANDS, cycle)


@leaf
def earliest(state: State, unit: int, bank: int, command: int) -> int:
    """Return the first cycle in which no rule forbids `command` in `bank`."""
    cycle = max(
        state[unit + U_EARLIEST + command],
        state[unit + state[O_GROUPS] + (bank >> state[H_GROUP_SHIFT]) * COMMANDS + command],
    )
    cycle = max(cycle, state[unit + state[O_BANKS] + bank * B_SIZE + command])
    return max(cycle, state[unit + state[O_RANKS] + (bank >> state[H_RANK_SHIFT]) * COMMANDS + command])


@leaf
def aligned(state: State, command: int, cycle: int) -> int:
    """Return the first cycle from `cycle` on in which the command's form lets it begin."""
    align = state[state[H_FORMS] + command * F_SIZE + F_ALIGN]
    return cycle if align == 1 else (cycle + align - 1) // align * align


@inner
def _count_row(state: State, unit: int, bank: int, kind: int) -> int:
    """Find the bank's first queued request for its open row, and return how many there are."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    row, entry, count = state[slot + B_ROW], state[slot + B_HEAD_READ + kind], 0
    state[slot + B_HIT_READ + kind] = -1
    while entry >= 0:
        if state[entry + Q_ROW] == row:
            count += 1
            if count == 1:
                state[slot + B_HIT_READ + kind] = entry
        entry = state[entry + Q_NEXT]
    return count


@inner
def _opened(state: State, unit: int, bank: int, entry: int, cycle: int) -> None:
    slot = unit + state[O_BANKS] + bank * B_SIZE
    state[slot + B_ROW] = state[entry + Q_ROW]
    state[slot + B_OWNER] = entry
    state[unit + U_OWNED_READS + state[entry + Q_KIND]] += 1
    if state[unit + U_BLOCKED]:
        state[unit + U_ARRIVAL] = 0
    state[slot + B_BYPASSED] = 0
    state[unit + U_OPEN] += 1
    state[unit + U_OPENED] = bank
    state[unit + C_ACTIVATES] += 1
    state[unit + U_RING + state[unit + U_RING_NEXT]] = cycle
    state[unit + U_RING_NEXT] = (state[unit + U_RING_NEXT] + 1) & (RING - 1)
    for kind in range(2):
        state[unit + U_STRAY_READS + kind] -= _count_row(state, unit, bank, kind)
        sort_bank(state, unit, bank, kind)


@inner
def _closed(state: State, unit: int, bank: int) -> None:
    slot = unit + state[O_BANKS] + bank * B_SIZE
    for kind in range(2):
        if state[slot + B_HIT_READ + kind] >= 0:
            state[unit + U_STRAY_READS + kind] += _count_row(state, unit, bank, kind)
            state[slot + B_HIT_READ + kind] = -1
    state[slot + B_ROW] = ROW_CLOSED
    state[unit + U_OPEN] -= 1
    owner = state[slot + B_OWNER]
    if owner >= 0:
        state[slot + B_OWNER] = -1
        state[unit + U_OWNED_READS + state[owner + Q_KIND]] -= 1
    sort_bank(state, unit, bank, READ)
    sort_bank(state, unit, bank, WRITE)


@inner
def send_activate(
    state: State, channel: int, unit: int, number: int, bank: int, entry: int, start: int
) -> None:
    """Open the row of queue entry `entry`: in one command, in two at once, or its first half of two."""
    row = state[entry + Q_ROW]
    if state[H_GAP_MOST] == 0:
        send(state, channel, unit, ACT, start, bank)
        record(state, number, start, ACT, bank, row, -1)
        _opened(state, unit, bank, entry, start)
        return
    send(state, channel, unit, ACT1, start, bank)
    record(state, number, start, ACT1, bank, row, -1)
    state[unit + state[O_BANKS] + bank * B_SIZE + B_ROW] = ROW_OPENING
    state[unit + U_HALF], state[unit + U_HALF_ENTRY] = bank, entry
    state[unit + U_DEADLINE] = start + state[H_GAP_MOST]
    if state[H_GAP_LEAST] == state[H_GAP_MOST]:
        send_second_half(state, channel, unit, number, start + state[H_GAP_LEAST])


@inner
def send_second_half(state: State, channel: int, unit: int, number: int, cycle: int) -> None:
    """Send the ACT that belongs to the last ACT1."""
    bank, entry = state[unit + U_HALF], state[unit + U_HALF_ENTRY]
    send(state, channel, unit, ACT, cycle, bank)
    record(state, number, cycle, ACT, bank, state[entry + Q_ROW], -1)
    state[unit + U_HALF] = -1
    _opened(state, unit, bank, entry, cycle)


@inner
def send_row_command(
    state: State, channel: int, unit: int, number: int, command: int, bank: int, start: int
) -> None:
    """Send a PRE, PREA, REFA or REFB."""
    send(state, channel, unit, command, start, bank)
    row = -1
    if command == PRE:
        row = state[unit + state[O_BANKS] + bank * B_SIZE + B_ROW]
        _closed(state, unit, bank)
        state[unit + C_PRECHARGES] += 1
    elif command == PREA:
        for other in range(state[H_BANKS]):
            if state[unit + state[O_BANKS] + other * B_SIZE + B_ROW] >= 0:
                _closed(state, unit, other)
        state[unit + C_PRECHARGES] += 1
    elif command == REFA:
        state[unit + C_REFRESHES] += 1
        state[unit + U_OWED] -= 1
        state[unit + U_REFRESHED] = start + state[H_REFRESH_CYCLES]
    elif command == REFB:
        state[unit + C_BANK_REFRESHES] += 1
        state[unit + U_OWED] -= 1
        state[unit + state[O_BANKS] + bank * B_SIZE + B_REFRESHED] = start + state[H_REFRESH_CYCLES]
        state[unit + U_TARGET] = bank + 1 if bank + 1 < state[H_BANKS] else 0
    record(state, number, start, command, bank, row, -1)
