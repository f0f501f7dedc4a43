"""The checker of command traces as a Numba kernel: each command is held against each rule, directly.

Every place (pseudo-channel, rank, group, bank) remembers its last few commands of each kind. This is meant to
be plain rather than quick, and has nothing from the controller.
"""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any, NamedTuple

from hanok.dram.standard import LEVELS, Command
from hanok.numerics._kernels_compile import kernel, part

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = (int(command) for command in Command)
PSEUDO, RANK, OTHER_RANK, GROUP, BANK = range(len(LEVELS))

ON_BUS, ON_EDGE, CLOSED, OPEN, PAIR, HALF, ON_DATA, REFRESH, ROUND = range(9)
CHECKS = 9
"""What is checked besides the table's rules."""

RECORD_OK, BAD_ORDER, BAD_COMMAND, BAD_CHANNEL, BAD_PSEUDO = range(5)
BAD_RANK, BAD_GROUP, BAD_BANK, BAD_ROW, BAD_COLUMN = range(5, 10)


class Table(NamedTuple):
    """A standard as arrays; the rules of a command stand at rule_first[command] up to the next one's."""

    rule_first: Any
    rule_code: Any
    rule_level: Any
    rule_before: Any
    rule_cycles: Any
    rule_window: Any
    known: Any
    bus: Any
    lead: Any
    tail: Any
    align: Any
    latency: Any
    pseudo_channels: int
    ranks: int
    groups: int
    banks_per_group: int
    rows: int
    columns: int
    gap_low: int
    gap_high: int
    burst_cycles: int
    refresh_limit: int


class State(NamedTuple):
    """What the checker remembers; first axes grow with the channels. A record with command -1 is none."""

    count: Any
    """Commands of each kind seen in each place: [place, command]."""
    last: Any
    """The last of them: [place, command, count modulo the deepest window]. Both moduli are powers of two."""
    bus_end: Any
    bus_last: Any
    """By [channel, bus]: the last cycle held, and the command that holds it."""
    open_row: Any
    changed: Any
    half: Any
    """By [bank]: open row or -1, the command that opened or closed it last, an ACT1 without its ACT."""
    data_cycle: Any
    data_last: Any
    """By [pseudo-channel, cycle modulo the reach]: the cycle that is taken on the data bus; by whom."""
    refreshed: Any
    refreshed_by: Any
    in_round: Any
    """By [bank]: cycle and command of its last refresh, and whether this round of REFBs has had it."""
    refresh_due: Any
    """By [pseudo-channel]: no bank is overdue until after this cycle."""


class Found(NamedTuple):
    """Violations: how many by code, and the first few with their two commands."""

    nothing: Any
    """One record that stands for none."""
    total: Any
    by_code: Any
    code: Any
    first: Any
    second: Any


@part
def _report(found: Found, code: int, first: Any, second: Any) -> None:
    """Count a violation, and keep it while there is room."""
    n = found.total[0]
    if n < len(found.code):
        found.code[n] = code
        found.first[n] = first
        found.second[n] = second
    found.total[0] = n + 1
    found.by_code[code] += 1


@part
def _place(table: Table, unit: int, level: int, rank: int, group: int, bank: int) -> int:
    """Number the places of a pseudo-channel: itself, its ranks, its groups, its banks."""
    groups = table.ranks * table.groups
    first = unit * (1 + table.ranks + groups + groups * table.banks_per_group)
    if level == PSEUDO:
        return first
    if level == RANK:
        return first + 1 + rank
    if level == GROUP:
        return first + 1 + table.ranks + rank * table.groups + group
    return first + 1 + table.ranks + groups + (rank * table.groups + group) * table.banks_per_group + bank


@kernel
def find_bad_record(records: Any, after: int, table: Table) -> tuple[int, int]:
    """Return the index of the first record that cannot be checked and what is bad in it (BAD_...).

    `after` is the cycle of the record before these. (0, RECORD_OK) when all are good.
    """
    for i in range(len(records)):
        item = records[i]
        command = item.command
        if item.cycle < after:
            return i, BAD_ORDER
        after = item.cycle
        if command < 0 or command >= len(table.known) or not table.known[command]:
            return i, BAD_COMMAND
        if item.channel < 0:
            return i, BAD_CHANNEL
        if item.pseudo < 0 or item.pseudo >= table.pseudo_channels:
            return i, BAD_PSEUDO
        of_bank = command not in (PREA, REFA)
        if (item.rank < 0 or item.rank >= table.ranks) if of_bank else item.rank != -1:
            return i, BAD_RANK
        if (item.group < 0 or item.group >= table.groups) if of_bank else item.group != -1:
            return i, BAD_GROUP
        if (item.bank < 0 or item.bank >= table.banks_per_group) if of_bank else item.bank != -1:
            return i, BAD_BANK
        if command in (ACT1, ACT, RD, WR) and (item.row < 0 or item.row >= table.rows):
            return i, BAD_ROW
        if command in (RD, WR) and (item.column < 0 or item.column >= table.columns):
            return i, BAD_COLUMN
    return 0, RECORD_OK


@part
def _check_command_bus(item: Any, channel: int, table: Table, state: State, found: Found) -> None:
    """One command at a time, and at the edges that it may use."""
    command = item.command
    bus = table.bus[command]
    checks = len(found.by_code) - CHECKS
    if table.align[command] > 1 and item.cycle % table.align[command] != 0:
        _report(found, checks + ON_EDGE, found.nothing[0], item)
    if item.cycle - table.lead[command] <= state.bus_end[channel, bus]:
        _report(found, checks + ON_BUS, state.bus_last[channel, bus], item)
    end = item.cycle + table.tail[command]
    if end >= state.bus_end[channel, bus]:
        state.bus_end[channel, bus] = end
        state.bus_last[channel, bus] = item


@part
def _check_rule(
    item: Any, place: int, before: int, window: int, cycles: int, code: int, state: State, found: Found
) -> None:
    """Hold `item` against the `window`-th last `before` of a place."""
    count = state.count[place, before]
    if count >= window:
        first = state.last[place, before, (count - window) & (state.last.shape[2] - 1)]
        if item.cycle - first.cycle < cycles:
            _report(found, code, first, item)


@part
def _check_rules(item: Any, unit: int, table: Table, state: State, found: Found) -> None:
    """Hold `item` against each rule that ends in its command."""
    command = item.command
    for r in range(table.rule_first[command], table.rule_first[command + 1]):
        level, before, window = table.rule_level[r], table.rule_before[r], table.rule_window[r]
        cycles, code = table.rule_cycles[r], table.rule_code[r]
        if level == OTHER_RANK:
            for rank in range(table.ranks):
                if rank != item.rank:
                    place = _place(table, unit, RANK, rank, 0, 0)
                    _check_rule(item, place, before, window, cycles, code, state, found)
        else:
            place = _place(table, unit, level, item.rank, item.group, item.bank)
            _check_rule(item, place, before, window, cycles, code, state, found)


@part
def _remember(item: Any, unit: int, table: Table, state: State) -> None:
    """Add `item` to the history of its places; commands of a whole pseudo-channel belong to that alone."""
    command = item.command
    for level in (PSEUDO, RANK, GROUP, BANK):
        if level == PSEUDO or item.bank >= 0:
            place = _place(table, unit, level, item.rank, item.group, item.bank)
            count = state.count[place, command]
            state.last[place, command, count & (state.last.shape[2] - 1)] = item
            state.count[place, command] = count + 1


@part
def _check_bank(item: Any, bank: int, table: Table, state: State, found: Found) -> None:
    """Check `item` against the state of one bank that it touches, and change that."""
    command = item.command
    checks = len(found.by_code) - CHECKS
    half = state.half[bank]
    if command == ACT and table.gap_high > 0:
        gap = item.cycle - half.cycle
        if half.command < 0 or half.row != item.row or gap < table.gap_low or gap > table.gap_high:
            _report(found, checks + PAIR, half, item)
    elif half.command >= 0:
        _report(found, checks + HALF, half, item)
    if half.command >= 0:
        state.half[bank] = found.nothing[0]

    is_open = state.open_row[bank] >= 0
    if command in (RD, WR):
        if state.open_row[bank] != item.row:
            _report(found, checks + OPEN, state.changed[bank], item)
    elif is_open and command not in (PRE, PREA):
        _report(found, checks + CLOSED, state.changed[bank], item)

    if command == ACT1:
        state.half[bank] = item
    elif command == ACT:
        state.open_row[bank] = item.row
        state.changed[bank] = item
    elif command in (PRE, PREA) and is_open:
        state.open_row[bank] = -1
        state.changed[bank] = item


@part
def _check_data_bus(item: Any, unit: int, table: Table, state: State, found: Found) -> None:
    """Take the burst's cycles on the data bus, each of which must be free."""
    slots = state.data_cycle.shape[1] - 1
    begin = item.cycle + table.latency[int(item.command == WR)]
    free = True
    for cycle in range(begin, begin + table.burst_cycles):
        if state.data_cycle[unit, cycle & slots] == cycle and free:
            free = False
            _report(found, len(found.by_code) - CHECKS + ON_DATA, state.data_last[unit, cycle & slots], item)
        state.data_cycle[unit, cycle & slots] = cycle
        state.data_last[unit, cycle & slots] = item


@part
def _check_refresh_due(item: Any, unit: int, banks: int, table: Table, state: State, found: Found) -> None:
    """Report the longest overdue bank of the pseudo-channel, once for all that are; they count anew then."""
    limit = table.refresh_limit
    first, oldest = unit * banks, unit * banks
    for bank in range(first, first + banks):
        if state.refreshed[bank] < state.refreshed[oldest]:
            oldest = bank
    if item.cycle - state.refreshed[oldest] > limit:
        _report(found, len(found.by_code) - CHECKS + REFRESH, state.refreshed_by[oldest], item)
    due = item.cycle + limit
    for bank in range(first, first + banks):
        if item.cycle - state.refreshed[bank] > limit:
            state.refreshed[bank] = item.cycle
        due = min(due, state.refreshed[bank] + limit)
    state.refresh_due[unit] = due


@part
def _check_round(item: Any, bank: int, first: int, banks: int, state: State, found: Found) -> None:
    """Single banks are refreshed in rounds, each bank once; a refresh of all banks begins a round."""
    if state.in_round[bank]:
        _report(found, len(found.by_code) - CHECKS + ROUND, state.refreshed_by[bank], item)
    state.in_round[bank] = True
    for other in range(first, first + banks):
        if not state.in_round[other]:
            return
    for other in range(first, first + banks):
        state.in_round[other] = False


@kernel
def check_records(
    records: Any, channel_place: Any, refresh: bool, table: Table, state: State, found: Found
) -> None:
    """Check `records`, which find_bad_record has passed; channel_place[channel] is its place in `state`."""
    banks = table.ranks * table.groups * table.banks_per_group
    for i in range(len(records)):
        item = records[i]
        command = item.command
        channel = channel_place[item.channel]
        unit = channel * table.pseudo_channels + item.pseudo
        _check_command_bus(item, channel, table, state, found)
        _check_rules(item, unit, table, state, found)
        first, after = unit * banks, (unit + 1) * banks
        if item.bank >= 0:
            first += (item.rank * table.groups + item.group) * table.banks_per_group + item.bank
            after = first + 1
        for bank in range(first, after):
            _check_bank(item, bank, table, state, found)
        if command in (RD, WR):
            _check_data_bus(item, unit, table, state, found)
        if refresh:
            if item.cycle > state.refresh_due[unit]:
                _check_refresh_due(item, unit, banks, table, state, found)
            if command == REFB:
                _check_round(item, first, unit * banks, banks, state, found)
            if command in (REFA, REFB):
                for bank in range(first, after):
                    state.refreshed[bank] = item.cycle
                    state.refreshed_by[bank] = item
                    if command == REFA:
                        state.in_round[bank] = False
        _remember(item, unit, table, state)
