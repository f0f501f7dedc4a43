"""Kernels of the scheduler: commands go out, one channel from event to event."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_admission import (
    admit,
    is_hungry,
)
from hanok.dram._kernels_commands import (
    MOST_COMMANDS,
    send_activate,
    send_row_command,
    send_second_half,
)
from hanok.dram._kernels_flat import (
    step_flat,
)
from hanok.dram._kernels_flow import (
    HUNGRY_FLOW,
    begin_flow,
    can_flow,
    end_flow,
    run_flow,
)
from hanok.dram._kernels_hits import (
    MOVED,
    WAITS,
    is_steady,
    run_hits,
)
from hanok.dram._kernels_offers import (
    after_column,
    after_row,
)
from hanok.dram._kernels_plan import (
    COLUMNS,
    ROWS,
    plan,
)
from hanok.dram._kernels_queues import (
    answer_slot,
    see,
    serve,
)
from hanok.dram._layout import (
    A_ADMITTED,
    B_HEAD_READ,
    B_HIT_READ,
    B_SIZE,
    C_BANK_REFRESHES,
    C_REFRESHES,
    CH_BUSES,
    CH_LAST,
    CH_UNITS,
    ENTERED,
    F_BUS,
    F_LEAD,
    F_SIZE,
    F_TAIL,
    H_ADVANCE,
    H_BANK_INTERVAL,
    H_BANKS,
    H_CHANNEL_SIZE,
    H_CHANNELS,
    H_FLAT,
    H_FORMS,
    H_GAP_LEAST,
    H_GAP_MOST,
    H_INTERVAL,
    H_PORTS,
    H_PSEUDO,
    H_STREAM,
    H_TRACE_COUNT,
    H_TRACE_ROOM,
    H_UNIT_SIZE,
    HUNGRY,
    I_MORE,
    I_PUT,
    I_SIZE,
    I_TAKEN,
    NEVER,
    O_BANKS,
    O_PORTS,
    PRE,
    PREA,
    Q_BANK,
    Q_KIND,
    RD,
    REACHED,
    REFA,
    REFB,
    TRACE_FULL,
    U_ARRIVAL,
    U_COLUMN_AT,
    U_COLUMN_ENTRY,
    U_DEADLINE,
    U_DUE,
    U_FLOWING,
    U_HALF,
    U_MODE,
    U_NEXT,
    U_NOW,
    U_OPEN,
    U_OWED,
    U_PLANNED,
    U_READS,
    U_ROW_AT,
    U_ROW_BANK,
    U_ROW_COMMAND,
    U_WRITES,
    State,
)
from hanok.numerics._kernels_compile import address_of, call_at, inner, leaf


@leaf
def _half_start(state: State, channel: int, unit: int) -> int:
    """Return the first cycle for the ACT that an ACT1 waits for, or NEVER."""
    if state[unit + U_HALF] < 0:
        return NEVER
    soonest = state[unit + U_DEADLINE] - state[H_GAP_MOST] + state[H_GAP_LEAST]
    return max(soonest, state[unit + U_NOW], state[channel + CH_BUSES])


@inner
def _send_row(state: State, channel: int, unit: int, number: int) -> None:
    """Send the unit's row candidate."""
    command, bank, start = state[unit + U_ROW_COMMAND], state[unit + U_ROW_BANK], state[unit + U_ROW_AT]
    if command in (REFA, PREA, REFB):
        send_row_command(state, channel, unit, number, command, bank, start)
        return
    entry = state[unit + state[O_BANKS] + bank * B_SIZE + B_HEAD_READ + state[unit + U_MODE]]
    if command == PRE:
        slot = unit + state[O_BANKS] + bank * B_SIZE
        if entry >= 0 and entry != state[slot + B_HIT_READ + state[unit + U_MODE]]:
            see(state, unit, entry, True)
        send_row_command(state, channel, unit, number, PRE, bank, start)
    else:
        see(state, unit, entry, False)
        send_activate(state, channel, unit, number, bank, entry, start)


@inner
def _skip_idle_refreshes(state: State, channel: int, until: int) -> None:
    """Make the refreshes of a channel's long idle time at once, but not the last ones, which set the state.

    Only where all of its units are idle, since their refreshes share a bus.
    """
    latest, known, interval = 0, until, state[H_INTERVAL]
    for position in range(state[H_PSEUDO]):
        unit = channel + CH_UNITS + position * state[H_UNIT_SIZE]
        if state[unit + U_READS] + state[unit + U_WRITES] + state[unit + U_OPEN] + state[unit + U_OWED] > 0:
            return
        if state[unit + U_HALF] >= 0:
            return
        latest = max(latest, state[unit + U_DUE])
        known = min(known, state[unit + U_ARRIVAL])
    if state[H_TRACE_ROOM] > 0 or known >= NEVER:
        return
    rounds = (known - latest) // interval - 2
    if state[H_BANK_INTERVAL]:
        rounds = (rounds - state[H_BANKS]) // state[H_BANKS] * state[H_BANKS]
    if rounds <= 0:
        return
    for position in range(state[H_PSEUDO]):
        unit = channel + CH_UNITS + position * state[H_UNIT_SIZE]
        state[unit + U_DUE] += rounds * interval
        state[unit + U_NEXT] = state[unit + U_DUE]
        state[unit + (C_BANK_REFRESHES if state[H_BANK_INTERVAL] else C_REFRESHES)] += rounds


COLUMN, ROW, HALF = 0, 1, 2


@leaf
def _choose(state: State, column: int, row: int, half: int, deadline: int, mode: int) -> tuple[int, int]:
    """Return start and kind of what goes first: a column command, the ACT of an ACT1, a row command."""
    if half < column and half <= row:
        return half, HALF
    if column <= row:
        form = state[H_FORMS] + (RD + mode) * F_SIZE
        if half <= deadline and column + state[form + F_LEAD] + state[form + F_TAIL] >= deadline:
            return half, HALF
        return column, COLUMN
    return row, ROW


@leaf
def step(
    state: State, channel: int, unit: int, number: int, until: int,
    other: int, awaited: int,
) -> int:  # fmt: skip
    """Go on with a unit until cycle `until`, or until a row command of it would come after cycle `other`."""
    while True:
        now = state[unit + U_NOW]
        if now >= until:
            state[unit + U_NEXT] = now
            return REACHED
        if state[H_TRACE_ROOM] > 0 and state[H_TRACE_COUNT] + MOST_COMMANDS > state[H_TRACE_ROOM]:
            return TRACE_FULL
        if state[unit + U_FLOWING] and awaited >= 0:
            end_flow(state, unit)
        if state[unit + U_FLOWING] == 0 and state[unit + U_ARRIVAL] <= now:
            state[unit + U_ARRIVAL] = admit(state, channel, unit, now)
            if is_hungry(state, unit):
                state[unit + U_ARRIVAL] = now
                return HUNGRY
        if awaited >= 0 and state[answer_slot(state, awaited) + A_ADMITTED] >= 0:
            state[unit + U_NEXT] = now
            return ENTERED
        if state[unit + U_FLOWING] or (awaited < 0 and can_flow(state, unit) and begin_flow(state, unit)):
            ended = run_flow(state, channel, unit, number, until, other)
            if ended == HUNGRY_FLOW:
                return HUNGRY
            if ended == WAITS:
                return REACHED
            if until == NEVER and state[unit + U_READS] + state[unit + U_WRITES] == 0:
                state[unit + U_NEXT] = state[unit + U_NOW]
                return REACHED
            continue
        if state[H_STREAM] and awaited < 0 and is_steady(state, unit):
            ended = run_hits(state, channel, unit, number, until, other)
            if ended == WAITS:
                return REACHED
            if ended == MOVED:
                if until == NEVER and state[unit + U_READS] + state[unit + U_WRITES] == 0:
                    state[unit + U_NEXT] = state[unit + U_NOW]
                    return REACHED
                continue
        if state[unit + U_ROW_AT] < state[channel + CH_BUSES]:
            state[unit + U_PLANNED] &= ~ROWS
        if (
            state[unit + U_COLUMN_AT]
            < state[channel + CH_BUSES + state[state[H_FORMS] + RD * F_SIZE + F_BUS]]
        ):
            state[unit + U_PLANNED] &= ~COLUMNS
        plan(state, channel, unit)
        half = _half_start(state, channel, unit)
        start, kind = _choose(
            state, state[unit + U_COLUMN_AT], state[unit + U_ROW_AT], half, state[unit + U_DEADLINE],
            state[unit + U_MODE],
        )  # fmt: skip
        soonest = state[unit + U_ARRIVAL]
        event = min(start, soonest)
        if state[unit + U_DUE] <= event:
            waits = state[unit + U_DUE] > other or (min(event, until) == NEVER and other == NEVER)
            idle = state[unit + U_READS] + state[unit + U_WRITES] == 0
            if waits or (idle and state[unit + U_NEXT] != state[unit + U_DUE]):
                state[unit + U_NEXT] = state[unit + U_DUE]
                return REACHED
            due = state[unit + U_DUE]
            state[unit + U_NEXT] = due
            if due >= until:
                return REACHED
            state[unit + U_NOW] = max(now, due)
            state[unit + U_OWED] += 1
            state[unit + U_DUE] += state[H_INTERVAL]
            state[unit + U_PLANNED] = 0
            continue
        state[unit + U_NEXT] = event
        if event >= until:
            return REACHED
        if soonest <= start:
            state[unit + U_NOW] = soonest
            continue
        if start > other or (start == other and state[channel + CH_LAST] == number):
            return REACHED
        state[channel + CH_LAST] = number
        state[unit + U_NOW] = start
        if kind == COLUMN:
            entry = state[unit + U_COLUMN_ENTRY]
            cycle = start + state[state[H_FORMS] + (RD + state[entry + Q_KIND]) * F_SIZE + F_LEAD]
            bank = state[entry + Q_BANK]
            serve(state, channel, unit, number, entry, cycle)
            after_column(state, channel, unit, bank)
        elif kind == HALF:
            bank = state[unit + U_HALF]
            send_second_half(state, channel, unit, number, start)
            after_row(state, channel, unit, bank)
        else:
            _send_row(state, channel, unit, number)
            after_row(state, channel, unit, state[unit + U_ROW_BANK])
        if until == NEVER and state[unit + U_READS] + state[unit + U_WRITES] == 0:
            state[unit + U_NEXT] = start
            return REACHED


@leaf
def _has_work(state: State, channel: int) -> bool:
    """Whether any unit of a channel holds a request or gets one."""
    for position in range(state[H_PSEUDO]):
        unit = channel + CH_UNITS + position * state[H_UNIT_SIZE]
        if state[unit + U_READS] + state[unit + U_WRITES] > 0:
            return True
        for index in range(state[H_PORTS]):
            port = unit + state[O_PORTS] + index * I_SIZE
            if state[port + I_MORE] or state[port + I_TAKEN] < state[port + I_PUT]:
                return True
    return False


def _advance(state: State, index: int, until: int, awaited: int) -> int:
    """`advance`, which is compiled once, for all that call it."""
    channel = state[H_CHANNELS] + index * state[H_CHANNEL_SIZE]
    units = state[H_PSEUDO]
    if state[H_FLAT]:
        return step_flat(state, channel + CH_UNITS, until)
    while True:
        first, least, other = 0, NEVER, NEVER
        for position in range(units):
            following = state[channel + CH_UNITS + position * state[H_UNIT_SIZE] + U_NEXT]
            if following < least or (
                following == least and state[channel + CH_LAST] == index * units + first
            ):
                first, least, other = position, following, least
            else:
                other = min(other, following)
        if least >= until or (until == NEVER and not _has_work(state, channel)):
            return REACHED
        unit = channel + CH_UNITS + first * state[H_UNIT_SIZE]
        if least == state[unit + U_DUE]:
            _skip_idle_refreshes(state, channel, until)
        why = step(state, channel, unit, index * units + first, until, other, awaited)
        if why != REACHED:
            return why


@leaf
def advance(state: State, index: int, until: int, awaited: int = -1) -> int:
    """Let channel `index` make everything that begins before cycle `until`.

    Stops early when the request `awaited` (or -1) has entered its queue, when a port that gets more is empty,
    or when the trace is nearly full; returns which. What has been put into the ports must be all that arrives
    before `until`.
    """
    return call_at(state[H_ADVANCE], state, (index, until, awaited))


def advance_address() -> int:
    """Return where the machine code of `advance` begins; compile it, if it is not there yet."""
    return address_of(_advance)


@leaf
def next_event(state: State, index: int) -> int:
    """Return a cycle before which nothing happens in channel `index`, or NEVER."""
    channel = state[H_CHANNELS] + index * state[H_CHANNEL_SIZE]
    soonest = NEVER
    for position in range(state[H_PSEUDO]):
        soonest = min(soonest, state[channel + CH_UNITS + position * state[H_UNIT_SIZE] + U_NEXT])
    return soonest
