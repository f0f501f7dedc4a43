"""A checker of command traces that knows the standard's table alone, and nothing of the controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram import _kernels_checker as kernels
from hanok.dram.commands import COMMAND_DTYPE, Commands, describe_command
from hanok.dram.standard import LEVELS, Bus, Command, Form, Rule, Standard
from hanok.errors import ChipError, HanokError
from hanok.machine import MAX_POSTPONED

CHUNK_RECORDS = 1 << 20
_WHOLE = (Command.PREA, Command.REFA)
_MOST_CHANNELS = np.iinfo(COMMAND_DTYPE["channel"]).max + 1


@dataclass(frozen=True, slots=True)
class Violation:
    """`second` breaks `rule`, because of `first` where two commands are needed for that.

    Both are records of COMMAND_DTYPE. `rule` is a row of the standard's table, or a sentence of
    `Checker.sentences`.
    """

    rule: Rule | str
    first: np.void | None
    second: np.void

    def __str__(self) -> str:
        because = f" after {describe_command(self.first)}" if self.first is not None else ""
        return f"{describe_command(self.second)}{because} breaks '{self.rule}'"


@dataclass(frozen=True)
class CheckReport:
    """What a checker found in a trace."""

    commands: int
    violations: int
    by_rule: Mapping[Rule | str, int]
    """Violations of each rule that has any."""
    found: tuple[Violation, ...]
    """The first of them, up to the limit asked for."""

    def __str__(self) -> str:
        lines = [f"{self.commands} commands, {self.violations} violations"]
        lines += [f"{count} x {rule}" for rule, count in self.by_rule.items()]
        return "\n".join(lines + [str(violation) for violation in self.found])


class Checker:
    """Checks a trace that comes in pieces, in bounded memory.

    With `refresh`, no bank may go longer than nine refresh intervals without a refresh, from cycle 0 to the
    last command of its pseudo-channel, and REFBs come in rounds. Raises ChipError for rules that could never
    be broken as they are written.
    """

    def __init__(self, standard: Standard, *, refresh: bool = True, limit: int = 100) -> None:
        self.standard = standard
        self.sentences = _sentences(standard)
        """What is checked besides the table's rules, in the order of the kernel's numbers."""
        self._refresh = refresh
        self._table = _table(standard)
        self._channel_place = np.full(_MOST_CHANNELS, -1, np.int64)
        self._state = _fresh_state(standard, self._table.refresh_limit, 0)
        self._found = kernels.Found(
            _no_records(1),
            np.zeros(1, np.int64),
            np.zeros(len(standard.rules) + kernels.CHECKS, np.int64),
            np.zeros(limit, np.int64),
            np.zeros(limit, COMMAND_DTYPE),
            np.zeros(limit, COMMAND_DTYPE),
        )
        self._commands = 0
        self._cycle = 0

    def feed(self, commands: Commands) -> None:
        """Check the next `commands`.

        Raises HanokError, with the record's number counted from the first ever fed, for records that go back
        in time, that the standard does not have, or that lie outside its organisation; what stands before
        them in `commands` need not have been checked then.
        """
        for begin in range(0, len(commands), CHUNK_RECORDS):
            self._feed_chunk(commands[begin : begin + CHUNK_RECORDS])

    def report(self) -> CheckReport:
        """Return what was found so far. An ACT1 at the end still has its time to get its ACT."""
        found = self._found
        rules: tuple[Rule | str, ...] = (*self.standard.rules, *self.sentences)
        kept = min(int(found.total[0]), len(found.code))
        violations = [
            Violation(
                rules[code],
                found.first[i].copy() if found.first["command"][i] >= 0 else None,
                found.second[i].copy(),
            )
            for i, code in enumerate(found.code[:kept].tolist())
        ]
        counts = found.by_code.copy()
        half = self._state.half
        late = half[(half["command"] >= 0) & (half["cycle"] < self._cycle - self._table.gap_high)]
        counts[len(self.standard.rules) + kernels.HALF] += len(late)
        room = len(found.code) - kept
        violations += [Violation(self.sentences[kernels.HALF], None, item.copy()) for item in late[:room]]
        by_rule: dict[Rule | str, int] = {}
        for rule, count in zip(rules, counts.tolist(), strict=True):
            if count:
                by_rule[rule] = by_rule.get(rule, 0) + count
        return CheckReport(self._commands, int(counts.sum()), by_rule, tuple(violations))

    def _feed_chunk(self, commands: Commands) -> None:
        index, bad = kernels.find_bad_record(commands, self._cycle, self._table)
        if bad != kernels.RECORD_OK:
            raise HanokError(
                f"command trace: record {self._commands + index}: "
                f"{_complaint(commands[index], bad, self._cycle if index == 0 else None, self.standard)}"
            )
        self._make_room(np.unique(commands["channel"]))
        kernels.check_records(
            commands, self._channel_place, self._refresh, self._table, self._state, self._found
        )
        self._commands += len(commands)
        self._cycle = int(commands["cycle"][-1])

    def _make_room(self, channels: NDArray[np.int16]) -> None:
        new = channels[self._channel_place[channels] < 0]
        if len(new) == 0:
            return
        known = len(self._state.bus_end)
        self._channel_place[new] = np.arange(known, known + len(new))
        fresh = _fresh_state(self.standard, self._table.refresh_limit, len(new))
        grown = [np.concatenate(pair) for pair in zip(self._state, fresh, strict=True)]
        self._state = kernels.State(*grown)


def check_commands(
    commands: Commands, standard: Standard, *, refresh: bool = True, limit: int = 100
) -> CheckReport:
    """Hold a whole trace, sorted by cycle, against `standard`; the report keeps up to `limit` violations.

    Raises HanokError and ChipError as Checker does.
    """
    checker = Checker(standard, refresh=refresh, limit=limit)
    checker.feed(commands)
    return checker.report()


def _sentences(standard: Standard) -> tuple[str, ...]:
    low, high = standard.activate_gap_cycles
    intervals = f"{MAX_POSTPONED + 1} x {standard.refresh_interval_cycles}"
    texts = {
        kernels.ON_BUS: "a command bus carries one command at a time",
        kernels.ON_EDGE: f"a command lies on its clock edge ({_edges(standard)})",
        kernels.CLOSED: "an activate or refresh needs its banks closed",
        kernels.OPEN: "a read or write needs its row open",
        kernels.PAIR: f"ACT comes {low}..{high} cycles after the ACT1 of its bank and row",
        kernels.HALF: f"ACT1 is followed in its bank by an ACT, within {high} cycles",
        kernels.ON_DATA: "the data bus carries one burst at a time",
        kernels.REFRESH: f"a bank is refreshed again within {intervals} cycles",
        kernels.ROUND: "single banks are refreshed in rounds, each bank once",
    }
    return tuple(texts[check] for check in range(kernels.CHECKS))


def _edges(standard: Standard) -> str:
    aligned = [
        f"{command.name} a multiple of {form.align}"
        for command, form in standard.forms.items()
        if form.align > 1
    ]
    return ", ".join(aligned) or "any cycle"


def _complaint(record: np.void, bad: int, after: int | None, standard: Standard) -> str:
    """Say what find_bad_record found in `record`; `after` is the least cycle, where that is known."""
    number = int(record["command"])
    if bad == kernels.BAD_ORDER:
        least = "that of the record before" if after is None else str(after)
        return f"cycle {record['cycle']} is too early; allowed: {least} or later"
    if bad == kernels.BAD_COMMAND:
        name = Command(number).name if number in list(Command) else str(number)
        names = ", ".join(f"{command.name} ({int(command)})" for command in sorted(standard.forms))
        return f"command {name} is not one of {standard.name}; allowed: {names}"
    shape = standard.organisation
    part, size = {
        kernels.BAD_CHANNEL: ("channel", _MOST_CHANNELS),
        kernels.BAD_PSEUDO: ("pseudo", shape.pseudo_channels),
        kernels.BAD_RANK: ("rank", shape.ranks),
        kernels.BAD_GROUP: ("group", shape.groups),
        kernels.BAD_BANK: ("bank", shape.banks_per_group),
        kernels.BAD_ROW: ("row", shape.rows),
        kernels.BAD_COLUMN: ("column", shape.columns),
    }[bad]
    whole = number in _WHOLE and part in ("rank", "group", "bank")
    span = "-1 (it is for a whole pseudo-channel)" if whole else f"0..{size - 1}"
    return f"{Command(number).name} has {part} {record[part]}; allowed: {span}"


def _require_checkable(rules: tuple[Rule, ...], name: str) -> None:
    for rule in rules:
        if rule.level not in LEVELS or rule.window < 1:
            raise ChipError(
                f"{name}: rule '{rule}' has level '{rule.level}' and window {rule.window}; allowed: "
                f"{', '.join(LEVELS)}; 1 or more"
            )
        whole = [command.name for command in (rule.before, rule.after) if command in _WHOLE]
        if whole and rule.level != "pseudo":
            raise ChipError(
                f"{name}: rule '{rule}' has level '{rule.level}', but {whole[0]} is for a whole "
                "pseudo-channel; allowed: pseudo"
            )


def _table(standard: Standard) -> kernels.Table:
    _require_checkable(standard.rules, standard.name)
    order = sorted(range(len(standard.rules)), key=lambda code: standard.rules[code].after)
    rules = [standard.rules[code] for code in order]
    forms = [standard.forms.get(command, Form(Bus.ROW)) for command in Command]
    shape = standard.organisation
    return kernels.Table(
        rule_first=np.searchsorted([rule.after for rule in rules], np.arange(len(Command) + 1)),
        rule_code=np.array(order, np.int64),
        rule_level=np.array([LEVELS.index(rule.level) for rule in rules], np.int64),
        rule_before=np.array([rule.before for rule in rules], np.int64),
        rule_cycles=np.array([rule.cycles for rule in rules], np.int64),
        rule_window=np.array([rule.window for rule in rules], np.int64),
        known=np.array([command in standard.forms for command in Command]),
        bus=np.array([form.bus for form in forms], np.int64),
        lead=np.array([form.lead for form in forms], np.int64),
        tail=np.array([form.tail for form in forms], np.int64),
        align=np.array([form.align for form in forms], np.int64),
        latency=np.array((standard.read_latency_cycles, standard.write_latency_cycles), np.int64),
        pseudo_channels=shape.pseudo_channels,
        ranks=shape.ranks,
        groups=shape.groups,
        banks_per_group=shape.banks_per_group,
        rows=shape.rows,
        columns=shape.columns,
        gap_low=standard.activate_gap_cycles[0],
        gap_high=standard.activate_gap_cycles[1],
        burst_cycles=standard.burst_cycles,
        refresh_limit=(MAX_POSTPONED + 1) * standard.refresh_interval_cycles,
    )


def _fresh_state(standard: Standard, refresh_limit: int, channels: int) -> kernels.State:
    """Return the memory of `channels` channels to which nothing was sent yet."""
    shape = standard.organisation
    units = channels * shape.pseudo_channels
    groups = shape.ranks * shape.groups
    places = units * (1 + shape.ranks + groups + shape.banks)
    deepest = _power_of_two(max((rule.window for rule in standard.rules), default=1))
    latency = max(standard.read_latency_cycles, standard.write_latency_cycles)
    reach = _power_of_two(latency + standard.burst_cycles)
    banks = units * shape.banks
    return kernels.State(
        count=np.zeros((places, len(Command)), np.int64),
        last=_no_records(places, len(Command), deepest),
        bus_end=np.full((channels, 2), -(1 << 62), np.int64),
        bus_last=_no_records(channels, 2),
        open_row=np.full(banks, -1, np.int64),
        changed=_no_records(banks),
        half=_no_records(banks),
        data_cycle=np.full((units, reach), -1, np.int64),
        data_last=_no_records(units, reach),
        refreshed=np.zeros(banks, np.int64),
        refreshed_by=_no_records(banks),
        in_round=np.zeros(banks, np.bool_),
        refresh_due=np.full(units, refresh_limit, np.int64),
    )


def _no_records(*shape: int) -> Commands:
    records = np.zeros(shape, COMMAND_DTYPE)
    records["command"] = -1
    return records


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
