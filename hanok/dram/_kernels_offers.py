"""Kernels that keep a unit's candidates right when something has changed, where that needs no new search."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_commands import (
    aligned,
    earliest,
)
from hanok.dram._kernels_plan import (
    BOTH,
    COLUMNS,
    ROWS,
    bus_free,
    offer_row,
    row_floor,
)
from hanok.dram._layout import (
    B_BYPASSED,
    B_HEAD_READ,
    B_HIT_READ,
    B_OWNER,
    B_ROW,
    B_SIZE,
    F_LEAD,
    F_SIZE,
    H_CAP,
    H_CLOSED,
    H_FIRST,
    H_FORMS,
    NEVER,
    O_BANKS,
    PRE,
    Q_BANK,
    Q_KIND,
    Q_SEQUENCE,
    RD,
    U_COLUMN_AT,
    U_COLUMN_ENTRY,
    U_HALF,
    U_MODE,
    U_NOW,
    U_OWED,
    U_PLANNED,
    U_ROW_AT,
    U_ROW_BANK,
    U_ROW_COMMAND,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf


@leaf
def _column_start(state: State, channel: int, unit: int, entry: int) -> int:
    """Return the first cycle in which a queued row hit's column command can begin."""
    command = RD + state[entry + Q_KIND]
    lead = state[state[H_FORMS] + command * F_SIZE + F_LEAD]
    floor = max(state[unit + U_NOW], bus_free(state, channel, command)) + lead
    return aligned(state, command, max(floor, earliest(state, unit, state[entry + Q_BANK], command))) - lead


@leaf
def _precedes(state: State, unit: int, one: int, other: int) -> bool:
    """Whether of two row hits that can go at the same cycle the first goes: owners first, then by age."""
    owns = state[unit + state[O_BANKS] + state[one + Q_BANK] * B_SIZE + B_OWNER] == one
    other_owns = state[unit + state[O_BANKS] + state[other + Q_BANK] * B_SIZE + B_OWNER] == other
    return owns if owns != other_owns else state[one + Q_SEQUENCE] < state[other + Q_SEQUENCE]


@leaf
def _offer_column(state: State, channel: int, unit: int, kind: int, bank: int) -> None:
    """Take a bank's row hit as the unit's column candidate when it is earlier, or as early and older."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    hit = state[slot + B_HIT_READ + kind]
    if hit != state[slot + B_HEAD_READ + kind] and state[slot + B_BYPASSED] >= state[H_CAP]:
        return
    start, at, entry = (
        _column_start(state, channel, unit, hit),
        state[unit + U_COLUMN_AT],
        state[unit + U_COLUMN_ENTRY],
    )
    if start < at or (start == at and _precedes(state, unit, hit, entry)):
        state[unit + U_COLUMN_AT], state[unit + U_COLUMN_ENTRY] = start, hit


@leaf
def _offer_bank_row(state: State, channel: int, unit: int, mode: int, bank: int) -> None:
    """Take what a bank's oldest request needs as the unit's row candidate, if its row is not open."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    hit, head = state[slot + B_HIT_READ + mode], state[slot + B_HEAD_READ + mode]
    half = state[unit + U_HALF]
    if hit == head or bank == half:
        return
    command = state[H_FIRST]
    if state[slot + B_ROW] >= 0:
        if (hit >= 0 and state[slot + B_BYPASSED] < state[H_CAP]) or state[slot + B_OWNER] >= 0:
            return
        command = PRE
    elif half >= 0:
        return
    best = NEVER
    if state[unit + U_ROW_AT] < NEVER:
        other = unit + state[O_BANKS] + state[unit + U_ROW_BANK] * B_SIZE
        best = state[state[other + B_HEAD_READ + mode] + Q_SEQUENCE]
    floor = row_floor(state, channel, unit, command)
    offer_row(state, unit, bank, command, floor, state[head + Q_SEQUENCE], best)


@leaf
def after_admission(state: State, channel: int, unit: int, entry: int) -> None:
    """Keep the candidates right when a request has entered a queue."""
    if state[unit + U_PLANNED] != BOTH or state[unit + U_OWED] > 0 or state[H_CLOSED]:
        state[unit + U_PLANNED] = 0
        return
    mode, bank = state[unit + U_MODE], state[entry + Q_BANK]
    if state[entry + Q_KIND] != mode:
        return
    slot = unit + state[O_BANKS] + bank * B_SIZE
    if state[slot + B_HIT_READ + mode] == entry:
        _offer_column(state, channel, unit, mode, bank)
        if state[unit + U_ROW_BANK] == bank:
            state[unit + U_PLANNED] = COLUMNS
    elif state[slot + B_HEAD_READ + mode] == entry:
        _offer_bank_row(state, channel, unit, mode, bank)


@leaf
def _row_holds(state: State, channel: int, unit: int) -> bool:
    """Whether the row candidate can still begin when it was to begin."""
    if state[unit + U_ROW_AT] == NEVER:
        return True
    command, bank = state[unit + U_ROW_COMMAND], state[unit + U_ROW_BANK]
    cycle = max(row_floor(state, channel, unit, command), earliest(state, unit, bank, command))
    return cycle <= state[unit + U_ROW_AT]


@leaf
def after_column(state: State, channel: int, unit: int, bank: int) -> None:
    """Keep the row candidate after a column command in `bank`, if it can be kept."""
    if state[unit + U_OWED] > 0 or state[H_CLOSED]:
        state[unit + U_PLANNED] = 0
        return
    holds = (
        state[unit + U_PLANNED] & ROWS
        and state[unit + U_ROW_BANK] != bank
        and _row_holds(state, channel, unit)
    )
    state[unit + U_PLANNED] = 0
    if holds:
        state[unit + U_PLANNED] = ROWS
        mode = state[unit + U_MODE]
        if state[unit + state[O_BANKS] + bank * B_SIZE + B_HEAD_READ + mode] >= 0:
            _offer_bank_row(state, channel, unit, mode, bank)


@inner
def after_row(state: State, channel: int, unit: int, bank: int) -> None:
    """Keep the column candidate after a row command in `bank` (-1: in all), if it can be kept."""
    if bank < 0 or state[unit + U_OWED] > 0 or state[H_CLOSED] or not state[unit + U_PLANNED] & COLUMNS:
        state[unit + U_PLANNED] = 0
        return
    state[unit + U_PLANNED] = 0
    entry = state[unit + U_COLUMN_ENTRY]
    if entry >= 0 and _column_start(state, channel, unit, entry) > state[unit + U_COLUMN_AT]:
        return
    state[unit + U_PLANNED] = COLUMNS
    slot = unit + state[O_BANKS] + bank * B_SIZE
    owner, mode = state[slot + B_OWNER], state[unit + U_MODE]
    if state[slot + B_HIT_READ + mode] >= 0:
        _offer_column(state, channel, unit, mode, bank)
    if owner >= 0 and state[owner + Q_KIND] != mode:
        _offer_column(state, channel, unit, 1 - mode, bank)
