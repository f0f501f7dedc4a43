"""Kernels of the controller's queues: requests enter from the ports, wait by bank, and leave with their data.

Each unit keeps its queued reads and writes twice linked in order of arrival, and by bank in the same order,
so that a bank's oldest request and its oldest row hit are known at once.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_commands import record, send
from hanok.dram._kernels_places import bank_of, column_of, row_of
from hanok.dram._kernels_wants import sort_bank
from hanok.dram._layout import (
    A_COMPLETED,
    A_SIZE,
    B_BYPASSED,
    B_HEAD_READ,
    B_HEAD_WRITE,
    B_HIT_READ,
    B_OWNER,
    B_REFRESHED,
    B_ROW,
    B_SIZE,
    B_TAIL_READ,
    C_CONFLICTS,
    C_HITS,
    C_LOST,
    C_MISSES,
    C_READS,
    C_TURNAROUNDS,
    COMMANDS,
    H_ANSWER_MASK,
    H_ANSWERS,
    H_BURST,
    H_GROUP_SHIFT,
    H_RANK_SHIFT,
    H_READ_LATENCY,
    N_HANDLE,
    N_KIND,
    N_PLACE,
    O_BANKS,
    O_GROUPS,
    O_RANKS,
    Q_ADMITTED,
    Q_AFTER,
    Q_BANK,
    Q_BEFORE,
    Q_COLUMN,
    Q_HANDLE,
    Q_KIND,
    Q_NEXT,
    Q_NUMBER,
    Q_PORT,
    Q_ROW,
    Q_SEEN,
    Q_SEQUENCE,
    RD,
    READ,
    U_ARRIVAL,
    U_BLOCKED,
    U_DATA_END,
    U_EARLIEST,
    U_FIRST_READ,
    U_FREE,
    U_LAST_KIND,
    U_LAST_READ,
    U_OWNED_READS,
    U_READS,
    U_REFRESHED,
    U_SEQUENCE,
    U_STRAY_READS,
    WRITE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf


@leaf
def answer_slot(state: State, handle: int) -> int:
    """Return where the answer to a request stands."""
    return state[H_ANSWERS] + (handle & state[H_ANSWER_MASK]) * A_SIZE


@leaf
def is_queued(state: State, unit: int, bank: int, row: int, column: int) -> bool:
    """Whether a write to this burst waits."""
    entry = state[unit + state[O_BANKS] + bank * B_SIZE + B_HEAD_WRITE]
    while entry >= 0:
        if state[entry + Q_ROW] == row and state[entry + Q_COLUMN] == column:
            return True
        entry = state[entry + Q_NEXT]
    return False


@leaf
def insert(state: State, unit: int, request: int, port: int, number: int, now: int) -> int:
    """Give request `number` of a port a queue entry, last in its unit's and its bank's order; return it."""
    kind, place = state[request + N_KIND], state[request + N_PLACE]
    bank, entry = bank_of(place), state[unit + U_FREE]
    state[unit + U_FREE] = state[entry + Q_NEXT]
    state[entry + Q_SEQUENCE] = state[unit + U_SEQUENCE]
    state[unit + U_SEQUENCE] += 1
    state[entry + Q_BANK], state[entry + Q_ROW] = bank, row_of(place)
    state[entry + Q_COLUMN], state[entry + Q_KIND] = column_of(place), kind
    state[entry + Q_SEEN], state[entry + Q_ADMITTED] = 0, now
    state[entry + Q_HANDLE] = state[request + N_HANDLE]
    state[entry + Q_PORT], state[entry + Q_NUMBER] = port, number
    state[entry + Q_NEXT], state[entry + Q_AFTER] = -1, -1
    last = state[unit + U_LAST_READ + kind]
    state[entry + Q_BEFORE] = last
    if last < 0:
        state[unit + U_FIRST_READ + kind] = entry
    else:
        state[last + Q_AFTER] = entry
    state[unit + U_LAST_READ + kind] = entry
    state[unit + U_READS + kind] += 1
    slot = unit + state[O_BANKS] + bank * B_SIZE
    if state[slot + B_HEAD_READ + kind] < 0:
        state[slot + B_HEAD_READ + kind] = entry
    else:
        state[state[slot + B_TAIL_READ + kind] + Q_NEXT] = entry
    state[slot + B_TAIL_READ + kind] = entry
    if state[slot + B_ROW] != state[entry + Q_ROW]:
        state[unit + U_STRAY_READS + kind] += 1
    elif state[slot + B_HIT_READ + kind] < 0:
        state[slot + B_HIT_READ + kind] = entry
    sort_bank(state, unit, bank, kind)
    return entry


@inner
def empty_queue(state: State, unit: int, kind: int) -> None:
    """Take all entries of a queue out of it; none may be an owner or want another row."""
    entry = state[unit + U_FIRST_READ + kind]
    while entry >= 0:
        after, bank = state[entry + Q_AFTER], state[entry + Q_BANK]
        slot = unit + state[O_BANKS] + bank * B_SIZE
        for part in (B_HEAD_READ, B_TAIL_READ, B_HIT_READ):
            state[slot + part + kind] = -1
        sort_bank(state, unit, bank, kind)
        state[entry + Q_NEXT] = state[unit + U_FREE]
        state[unit + U_FREE] = entry
        entry = after
    state[unit + U_FIRST_READ + kind] = state[unit + U_LAST_READ + kind] = -1
    state[unit + U_READS + kind] = 0


@leaf
def _leave(state: State, unit: int, entry: int) -> None:
    """Take an entry out of its unit's order and its bank's, and find the bank's next row hit."""
    kind, bank = state[entry + Q_KIND], state[entry + Q_BANK]
    before, after = state[entry + Q_BEFORE], state[entry + Q_AFTER]
    if before < 0:
        state[unit + U_FIRST_READ + kind] = after
    else:
        state[before + Q_AFTER] = after
    if after < 0:
        state[unit + U_LAST_READ + kind] = before
    else:
        state[after + Q_BEFORE] = before
    state[unit + U_READS + kind] -= 1
    if state[unit + U_BLOCKED]:
        state[unit + U_ARRIVAL] = 0
    slot = unit + state[O_BANKS] + bank * B_SIZE
    following = state[entry + Q_NEXT]
    head = state[slot + B_HEAD_READ + kind]
    if head == entry:
        state[slot + B_HEAD_READ + kind] = following
        state[slot + B_BYPASSED] = 0
    else:
        state[slot + B_BYPASSED] += 1
        while state[head + Q_NEXT] != entry:
            head = state[head + Q_NEXT]
        state[head + Q_NEXT] = following
        if following < 0:
            state[slot + B_TAIL_READ + kind] = head
    row = state[slot + B_ROW]
    while following >= 0 and state[following + Q_ROW] != row:
        following = state[following + Q_NEXT]
    state[slot + B_HIT_READ + kind] = following
    sort_bank(state, unit, bank, READ)
    sort_bank(state, unit, bank, WRITE)
    state[entry + Q_NEXT] = state[unit + U_FREE]
    state[unit + U_FREE] = entry


@inner
def account_loss(
    state: State, unit: int, kind: int, bank: int, seen: bool, admitted: int, cycle: int, start: int
) -> None:
    """Say why the data bus was idle from `start` on (as cycles of this column command) until `cycle`."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    command = RD + kind
    opening = state[slot + command] if seen else 0
    rank = state[unit + state[O_RANKS] + (bank >> state[H_RANK_SHIFT]) * COMMANDS + command]
    apart = max(state[unit + state[O_GROUPS] + (bank >> state[H_GROUP_SHIFT]) * COMMANDS + command], rank)
    turned = 0
    if state[unit + U_LAST_KIND] == 1 - kind:
        turned = max(state[unit + U_EARLIEST + command], rank)
    refreshed = max(state[unit + U_REFRESHED], state[slot + B_REFRESHED])
    cause = C_LOST
    for until in (admitted, refreshed, turned, opening, apart, cycle):
        reached = min(until, cycle)
        if reached > start:
            state[unit + cause] += reached - start
            start = reached
        cause += 1


@leaf
def serve(state: State, channel: int, unit: int, number: int, entry: int, cycle: int) -> None:
    """Send a queued request's column command, and let it go."""
    kind, bank = state[entry + Q_KIND], state[entry + Q_BANK]
    slot = unit + state[O_BANKS] + bank * B_SIZE
    latency = state[H_READ_LATENCY + kind]
    start = state[unit + U_DATA_END] - latency
    if cycle > start:
        account_loss(
            state, unit, kind, bank, state[entry + Q_SEEN] > 0, state[entry + Q_ADMITTED], cycle, start
        )
    send(state, channel, unit, RD + kind, cycle, bank)
    record(state, number, cycle, RD + kind, bank, state[entry + Q_ROW], state[entry + Q_COLUMN])
    state[unit + U_DATA_END] = cycle + latency + state[H_BURST]
    state[answer_slot(state, state[entry + Q_HANDLE]) + A_COMPLETED] = state[unit + U_DATA_END]
    if state[unit + U_LAST_KIND] == 1 - kind:
        state[unit + C_TURNAROUNDS] += 1
    state[unit + U_LAST_KIND] = kind
    state[unit + C_READS + kind] += 1
    if state[entry + Q_SEEN] == 0:
        state[unit + C_HITS] += 1
    if state[slot + B_OWNER] == entry:
        state[slot + B_OWNER] = -1
        state[unit + U_OWNED_READS + kind] -= 1
    _leave(state, unit, entry)


@inner
def see(state: State, unit: int, entry: int, conflict: bool) -> None:
    """Count a request whose first command is no column command."""
    if state[entry + Q_SEEN] == 0:
        state[entry + Q_SEEN] = 1
        state[unit + (C_CONFLICTS if conflict else C_MISSES)] += 1
