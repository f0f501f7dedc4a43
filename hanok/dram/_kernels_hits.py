"""Kernels of the stream path: row hits that nothing can come between are sent one after the other."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_admission import (
    admit,
    is_hungry,
)
from hanok.dram._kernels_commands import (
    MOST_COMMANDS,
    aligned,
    earliest,
)
from hanok.dram._kernels_queues import serve
from hanok.dram._layout import (
    B_OWNER,
    B_SIZE,
    CH_BUSES,
    CH_LAST,
    F_BUS,
    F_LEAD,
    F_SIZE,
    H_CLOSED,
    H_FORMS,
    H_HIGH,
    H_LOW,
    H_TRACE_COUNT,
    H_TRACE_ROOM,
    O_BANKS,
    Q_AFTER,
    Q_BANK,
    Q_KIND,
    RD,
    READ,
    U_ARRIVAL,
    U_DUE,
    U_EARLIEST,
    U_FIRST_READ,
    U_HALF,
    U_MODE,
    U_NEXT,
    U_NOW,
    U_OPENED,
    U_OWED,
    U_OWNED_READS,
    U_OWNED_WRITES,
    U_PLANNED,
    U_READS,
    U_STRAY_READS,
    U_WRITES,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf

LOOKED_AT = 4
"""Of the oldest row hits; where more in succession are held back, as in one bank group, all are weighed."""

NO_OWNER, MANY_OWNERS = -1, -2


@leaf
def _owner(state: State, unit: int, mode: int) -> int:
    """Return the one request whose row was opened for it, if it waits in the queue that is served.

    NO_OWNER if there is none, MANY_OWNERS for any others.
    """
    owned = state[unit + U_OWNED_READS] + state[unit + U_OWNED_WRITES]
    if owned == 0:
        return NO_OWNER
    owner = state[unit + state[O_BANKS] + state[unit + U_OPENED] * B_SIZE + B_OWNER]
    return owner if owned == 1 and owner >= 0 and state[owner + Q_KIND] == mode else MANY_OWNERS


@leaf
def is_steady(state: State, unit: int) -> bool:
    """Whether nothing but row hits waits in the queue that is served, and nothing else can come between."""
    mode = state[unit + U_MODE]
    if state[unit + U_OWED] > 0 or state[unit + U_STRAY_READS + mode] > 0 or state[unit + U_HALF] >= 0:
        return False
    if state[H_CLOSED] or state[unit + U_READS + mode] == 0 or _owner(state, unit, mode) == MANY_OWNERS:
        return False
    reads = state[unit + U_READS] - state[unit + U_OWNED_READS]
    writes = state[unit + U_WRITES] - state[unit + U_OWNED_WRITES]
    if mode == READ:
        return writes < state[H_HIGH] and (reads > 0 or writes == 0)
    return reads == 0 or (writes > 0 and writes >= state[H_LOW])


@leaf
def _oldest_by(state: State, unit: int, entry: int, command: int, cycle: int) -> int:
    """Return the oldest row hit, from `entry` on, that can go in `cycle`; -1 if none of the first few can."""
    for _ in range(LOOKED_AT):
        if entry < 0 or earliest(state, unit, state[entry + Q_BANK], command) <= cycle:
            return entry
        entry = state[entry + Q_AFTER]
    return -1


STUCK, MOVED, WAITS = 0, 1, 2


@inner
def run_hits(state: State, channel: int, unit: int, number: int, until: int, other: int) -> int:
    """The stream path: send row hits one after the other, each in the first cycle in which the rules of the
    whole unit let one go: what a row was opened for if it can go then, or else the oldest that can.

    Ends where anything else could happen: a refresh, another row, the other queue (MOVED, or STUCK when
    nothing was sent), or the turn of the other unit or of the caller, with U_NEXT set (WAITS).
    """
    moved = STUCK
    while is_steady(state, unit):
        if state[H_TRACE_ROOM] > 0 and state[H_TRACE_COUNT] + MOST_COMMANDS > state[H_TRACE_ROOM]:
            return MOVED
        mode = state[unit + U_MODE]
        entry, command = state[unit + U_FIRST_READ + mode], RD + mode
        form = state[H_FORMS] + command * F_SIZE
        lead = state[form + F_LEAD]
        floor = max(state[unit + U_NOW], state[channel + CH_BUSES + state[form + F_BUS]]) + lead
        floor = aligned(state, command, max(floor, state[unit + U_EARLIEST + command]))
        owner = _owner(state, unit, mode)
        if owner >= 0 and earliest(state, unit, state[owner + Q_BANK], command) <= floor:
            entry = owner
        else:
            entry = _oldest_by(state, unit, entry, command, floor)
            if entry < 0:
                return moved
        start = floor - lead
        while state[unit + U_ARRIVAL] <= start:
            event = max(state[unit + U_ARRIVAL], state[unit + U_NOW])
            if state[unit + U_DUE] <= event:
                return moved
            if event >= until:
                state[unit + U_NEXT] = event
                return WAITS
            moved = MOVED
            state[unit + U_NOW] = event
            state[unit + U_PLANNED] = 0
            state[unit + U_ARRIVAL] = admit(state, channel, unit, event)
            if is_hungry(state, unit):
                state[unit + U_ARRIVAL] = event
                return MOVED
            if not is_steady(state, unit):
                return MOVED
        if state[unit + U_DUE] <= start:
            return moved
        if start >= until or start > other or (start == other and state[channel + CH_LAST] == number):
            state[unit + U_NEXT] = start
            return WAITS
        state[channel + CH_LAST] = number
        serve(state, channel, unit, number, entry, floor)
        moved = MOVED
        state[unit + U_NOW] = start
        state[unit + U_PLANNED] = 0
    return moved
