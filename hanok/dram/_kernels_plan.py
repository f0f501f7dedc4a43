"""Kernels that find a unit's candidates: the column command and the row command that would go next.

FR-FCFS: of all column commands that a queue holds, the one that can go first; of those that can go at the
same cycle, what a row was opened for, and then the oldest. The same for row commands, which never close a row
that an older request wants, and close a row that younger ones want only after H_CAP of them have passed. A
candidate is kept until something changes that it depends on.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_commands import (
    aligned,
    earliest,
)
from hanok.dram._kernels_wants import wanting, wanting_count
from hanok.dram._layout import (
    B_HEAD_READ,
    B_HEAD_WRITE,
    B_HIT_READ,
    B_HIT_WRITE,
    B_OWNER,
    B_ROW,
    B_SIZE,
    CH_BUSES,
    COMMANDS,
    F_ALIGN,
    F_BUS,
    F_LEAD,
    F_SIZE,
    H_BANK_INTERVAL,
    H_BANKS,
    H_BEFORE_REFB,
    H_CLOSED,
    H_FIRST,
    H_FORMS,
    H_GROUP_SHIFT,
    H_HIGH,
    H_LOW,
    H_POSTPONED,
    H_RANK_SHIFT,
    H_WINDOW,
    H_WINDOW_ACT,
    H_WINDOW_REFB,
    NEVER,
    O_BANKS,
    O_GROUPS,
    O_RANKS,
    PRE,
    PREA,
    Q_SEQUENCE,
    RD,
    READ,
    REFA,
    REFB,
    RING,
    ROW_CLOSED,
    U_COLUMN_AT,
    U_COLUMN_ENTRY,
    U_EARLIEST,
    U_HALF,
    U_MODE,
    U_NOW,
    U_OPEN,
    U_OWED,
    U_OWNED_READS,
    U_OWNED_WRITES,
    U_PLANNED,
    U_READS,
    U_RING,
    U_RING_NEXT,
    U_ROW_AT,
    U_ROW_BANK,
    U_ROW_COMMAND,
    U_STRAY_READS,
    U_TARGET,
    U_WRITES,
    WANTS_ACTIVATE,
    WANTS_COLUMN,
    WANTS_PRECHARGE,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf

COLUMNS, ROWS, BOTH = 1, 2, 3
"""Bits of U_PLANNED: which candidates hold."""


AGE_BITS = 40


YOUNGER = 1 << (AGE_BITS - 1)
"""Requests are numbered below this, and candidates lie less than 2**20 cycles ahead."""


@leaf
def _rank(now: int, cycle: int, age: int) -> int:
    """Order candidates by cycle and then by age, in one number, which needs no branches to compare."""
    return ((cycle - now) << AGE_BITS) | age


@leaf
def _choose_queue(state: State, unit: int) -> int:
    """Reads go first; a drain of the writes begins at the high mark or without reads, and ends at the low."""
    reads = state[unit + U_READS] - state[unit + U_OWNED_READS]
    writes = state[unit + U_WRITES] - state[unit + U_OWNED_WRITES]
    mode = state[unit + U_MODE]
    if mode == READ:
        if writes >= state[H_HIGH] or (reads == 0 and writes > 0):
            mode = WRITE
    elif reads > 0 and (writes < state[H_LOW] or writes == 0):
        mode = READ
    state[unit + U_MODE] = mode
    return mode


@leaf
def _window(state: State, unit: int, cycles: int) -> int:
    """Return the cycle `cycles` after the activate that is the window's oldest."""
    return state[unit + U_RING + ((state[unit + U_RING_NEXT] - state[H_WINDOW]) & (RING - 1))] + cycles


@leaf
def row_floor(state: State, channel: int, unit: int, command: int) -> int:
    """Return the first cycle in which anything but a bank and its group lets a row command begin."""
    floor = max(state[unit + U_EARLIEST + command], state[unit + U_NOW], state[channel + CH_BUSES])
    if command == state[H_FIRST]:
        return max(floor, _window(state, unit, state[H_WINDOW_ACT]))
    if command == REFB:
        return max(floor, _window(state, unit, state[H_WINDOW_REFB]))
    return floor


@inner
def offer_row(state: State, unit: int, bank: int, command: int, floor: int, age: int, best: int) -> int:
    """Take a row command of one bank as the unit's candidate when it is earlier, or as early and older.

    best: the present candidate's age; returns the age of what is the candidate then.
    """
    cycle = aligned(state, command, max(floor, earliest(state, unit, bank, command)))
    if cycle < state[unit + U_ROW_AT] or (cycle == state[unit + U_ROW_AT] and age < best):
        state[unit + U_ROW_AT] = cycle
        state[unit + U_ROW_BANK] = bank
        state[unit + U_ROW_COMMAND] = command
        return age
    return best


@inner
def _plan_refresh_of_all(state: State, channel: int, unit: int) -> None:
    """Candidates of a unit whose refresh is wanted: requests whose row is new go first, then PREA, REFA."""
    if state[unit + U_COLUMN_AT] < NEVER or state[unit + U_HALF] >= 0:
        return
    command = PREA if state[unit + U_OPEN] > 0 else REFA
    cycle = max(state[unit + U_EARLIEST + command], state[unit + U_NOW], state[channel + CH_BUSES])
    state[unit + U_ROW_AT] = aligned(state, command, cycle)
    state[unit + U_ROW_BANK] = -1
    state[unit + U_ROW_COMMAND] = command


@inner
def _plan_refresh_of_bank(state: State, channel: int, unit: int, bank: int, best: int) -> int:
    """Offer the PRE or the REFB of a bank that must be refreshed, before other row commands of that cycle."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    command = REFB
    if state[slot + B_ROW] >= 0:
        if state[slot + B_OWNER] >= 0:
            return best
        command = PRE
    elif state[unit + U_HALF] >= 0:
        return best
    return offer_row(state, unit, bank, command, row_floor(state, channel, unit, command), -1, best)


@inner
def _plan_closing(state: State, channel: int, unit: int, best: int) -> None:
    """Closed pages: a row that no queued request wants is closed when nothing else can be done."""
    floor = row_floor(state, channel, unit, PRE)
    for bank in range(state[H_BANKS]):
        slot = unit + state[O_BANKS] + bank * B_SIZE
        if state[slot + B_ROW] < 0 or state[slot + B_OWNER] >= 0:
            continue
        if state[slot + B_HIT_READ] < 0 and state[slot + B_HIT_WRITE] < 0:
            best = offer_row(state, unit, bank, PRE, floor, NEVER - 1, best)


@inner
def _wanted_bank(state: State, unit: int) -> int:
    """Return the bank whose REFB is wanted now, or -1."""
    owed = state[unit + U_OWED]
    if owed == 0 or state[H_BANK_INTERVAL] == 0:
        return -1
    bank = state[unit + U_TARGET]
    slot = unit + state[O_BANKS] + bank * B_SIZE
    idle = state[slot + B_HEAD_READ] < 0 and state[slot + B_HEAD_WRITE] < 0
    if idle or owed > state[H_POSTPONED] * state[H_BANKS]:
        return bank
    return -1


@leaf
def bus_free(state: State, channel: int, command: int) -> int:
    """Return the first cycle in which the bus of `command` is free."""
    return state[channel + CH_BUSES + state[state[H_FORMS] + command * F_SIZE + F_BUS]]


@leaf
def _best_column(
    state: State, channel: int, unit: int, kind: int, other: bool, target: int, all_banks: bool, best: int
) -> int:
    """Offer the column commands of one queue to the unit's candidate, whose rank is `best`; return its rank.

    other: it is not the queue that is served, so only what a row was opened for may go. target: a bank that
    must be refreshed; all_banks: all of them must; there too.
    """
    command, now = RD + kind, state[unit + U_NOW]
    form = state[H_FORMS] + command * F_SIZE
    lead, align = state[form + F_LEAD], state[form + F_ALIGN] - 1
    floor = max(now, bus_free(state, channel, command)) + lead
    floor = max(floor, state[unit + U_EARLIEST + command])
    groups, ranks, banks = (
        unit + state[O_GROUPS] + command,
        unit + state[O_RANKS] + command,
        unit + state[O_BANKS],
    )
    group_shift, rank_shift = state[H_GROUP_SHIFT], state[H_RANK_SHIFT]
    best_entry = -1
    first = wanting(state, unit, kind, WANTS_COLUMN)
    for index in range(first, first + state[wanting_count(unit, kind, WANTS_COLUMN)]):
        bank = state[index]
        slot = banks + bank * B_SIZE
        hit = state[slot + B_HIT_READ + kind]
        if (other or all_banks or bank == target) and hit != state[slot + B_OWNER]:
            continue
        cycle = max(floor, state[slot + command])
        cycle = max(cycle, state[groups + (bank >> group_shift) * COMMANDS])
        cycle = max(cycle, state[ranks + (bank >> rank_shift) * COMMANDS])
        cycle = (cycle + align) & ~align
        later = 0 if hit == state[slot + B_OWNER] else YOUNGER
        rank = _rank(now, cycle - lead, state[hit + Q_SEQUENCE] + later)
        best_entry = hit if rank < best else best_entry
        best = min(best, rank)
    if best_entry >= 0:
        state[unit + U_COLUMN_AT] = now + (best >> AGE_BITS)
        state[unit + U_COLUMN_ENTRY] = best_entry
    return best


@leaf
def _plan_columns(state: State, channel: int, unit: int, mode: int, target: int, all_banks: bool) -> None:
    """Find the best column command: the earliest, and the oldest of those.

    Of the queue that is not served, only requests whose row was opened for them may go.
    """
    state[unit + U_COLUMN_AT], state[unit + U_COLUMN_ENTRY] = NEVER, -1
    best = _best_column(state, channel, unit, mode, False, target, all_banks, NEVER)
    if state[unit + U_OWNED_READS + 1 - mode] > 0:
        _best_column(state, channel, unit, 1 - mode, True, target, all_banks, best)


@leaf
def _best_row(
    state: State, channel: int, unit: int, mode: int, want: int, target: int, refresh: int, best: int
) -> int:
    """Offer the row commands that a queue wants, activates or precharges; return the best rank then.

    target: a bank that is to be refreshed; refresh: when that can begin, if its row is closed, or 0.
    Activates that would put it off wait for it.
    """
    command = PRE if want == WANTS_PRECHARGE else state[H_FIRST]
    floor, now = row_floor(state, channel, unit, command), state[unit + U_NOW]
    groups, ranks, banks = (
        unit + state[O_GROUPS] + command,
        unit + state[O_RANKS] + command,
        unit + state[O_BANKS],
    )
    group_shift, rank_shift, before = state[H_GROUP_SHIFT], state[H_RANK_SHIFT], state[H_BEFORE_REFB]
    align = state[state[H_FORMS] + command * F_SIZE + F_ALIGN] - 1
    best_bank = -1
    first = wanting(state, unit, mode, want)
    for index in range(first, first + state[wanting_count(unit, mode, want)]):
        bank = state[index]
        slot = banks + bank * B_SIZE
        cycle = max(floor, state[slot + command])
        cycle = max(cycle, state[groups + (bank >> group_shift) * COMMANDS])
        cycle = max(cycle, state[ranks + (bank >> rank_shift) * COMMANDS])
        cycle = (cycle + align) & ~align
        if bank == target or cycle < refresh < cycle + before:
            continue
        rank = _rank(now, cycle, state[state[slot + B_HEAD_READ + mode] + Q_SEQUENCE])
        best_bank = bank if rank < best else best_bank
        best = min(best, rank)
    if best_bank >= 0:
        state[unit + U_ROW_AT] = now + (best >> AGE_BITS)
        state[unit + U_ROW_BANK] = best_bank
        state[unit + U_ROW_COMMAND] = command
    return best


@inner
def _plan_rows(state: State, channel: int, unit: int, mode: int, target: int) -> int:
    """Find the best row command for requests whose row is not open; return its request's number, or NEVER."""
    best = _best_row(state, channel, unit, mode, WANTS_PRECHARGE, target, 0, NEVER)
    if state[unit + U_HALF] < 0:
        refresh = 0
        if target >= 0 and state[unit + state[O_BANKS] + target * B_SIZE + B_ROW] == ROW_CLOSED:
            floor = row_floor(state, channel, unit, REFB)
            refresh = aligned(state, REFB, max(floor, earliest(state, unit, target, REFB)))
        best = _best_row(state, channel, unit, mode, WANTS_ACTIVATE, target, refresh, best)
    return best & ((1 << AGE_BITS) - 1) if best < NEVER else NEVER


@inner
def _plan_all(state: State, channel: int, unit: int, mode: int) -> None:
    """Find both candidates where refreshes are due or rows are closed early."""
    state[unit + U_ROW_AT], state[unit + U_ROW_COMMAND] = NEVER, -1
    owed = state[unit + U_OWED]
    waiting = state[unit + U_READS] + state[unit + U_WRITES]
    all_banks = owed > 0 and state[H_BANK_INTERVAL] == 0 and (owed > state[H_POSTPONED] or waiting == 0)
    target = _wanted_bank(state, unit)
    _plan_columns(state, channel, unit, mode, target, all_banks)
    if all_banks:
        _plan_refresh_of_all(state, channel, unit)
    else:
        age = NEVER
        if state[unit + U_STRAY_READS + mode] > 0:
            age = _plan_rows(state, channel, unit, mode, target)
        if target >= 0:
            age = _plan_refresh_of_bank(state, channel, unit, target, age)
        if state[H_CLOSED]:
            _plan_closing(state, channel, unit, age)


@leaf
def plan(state: State, channel: int, unit: int) -> None:
    """Find the unit's next column command and its next row command, as if nothing else arrived."""
    before = state[unit + U_MODE]
    mode = _choose_queue(state, unit)
    if mode != before:
        state[unit + U_PLANNED] = 0
    owed = state[unit + U_OWED]
    if owed == 0 and not state[H_CLOSED]:
        if not state[unit + U_PLANNED] & COLUMNS:
            _plan_columns(state, channel, unit, mode, -1, False)
        if not state[unit + U_PLANNED] & ROWS:
            state[unit + U_ROW_AT], state[unit + U_ROW_COMMAND] = NEVER, -1
            if state[unit + U_STRAY_READS + mode] > 0:
                _plan_rows(state, channel, unit, mode, -1)
    elif state[unit + U_PLANNED] != BOTH:
        _plan_all(state, channel, unit, mode)
    state[unit + U_PLANNED] = BOTH
