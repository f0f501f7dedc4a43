"""A checker of command traces that knows the standard's table alone, and nothing of the controller."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hanok.dram.standard import Bus, Command, Rule, Standard
from hanok.dram.trace import TraceCommand

POSTPONED_REFRESHES = 8
"""Refreshes that may be postponed (JESD235, JESD238, JESD209-5)."""

Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """`second` breaks `rule`, because of `first` where two commands are needed for that."""

    rule: Rule | str
    first: TraceCommand | None
    second: TraceCommand

    def __str__(self) -> str:
        because = f" after {self.first}" if self.first else ""
        return f"{self.second}{because} breaks '{self.rule}'"


class _Checker:
    """Replays commands in order; keeps the last few of each kind at each place."""

    def __init__(self, standard: Standard, refresh: bool) -> None:
        self.standard = standard
        self.refresh = refresh
        self.rules: dict[Command, list[Rule]] = {
            command: [rule for rule in standard.rules if rule.after is command] for command in Command
        }
        depth = max(rule.window for rule in standard.rules)
        self.history: dict[tuple[str, Place, Command], deque[TraceCommand]] = defaultdict(
            lambda: deque(maxlen=depth)
        )
        self.on_bus: dict[tuple[int, Bus], TraceCommand] = {}
        self.opened: dict[Place, int] = {}
        self.on_data: dict[Place, tuple[int, TraceCommand]] = {}
        self.refreshed: dict[Place, int] = {}

    def check(self, item: TraceCommand) -> Iterator[Violation]:
        """Yield what `item` breaks, then remember it."""
        yield from self._command_bus(item)
        for rule in self.rules[item.command]:
            yield from self._timing(rule, item)
        yield from self._bank_state(item)
        if item.command in (Command.RD, Command.WR):
            yield from self._data_bus(item)
        if self.refresh:
            yield from self._refresh_interval(item)
        for level in ("pseudo", "other_rank", "group", "bank"):
            self.history[level, _place(level, item), item.command].append(item)

    def _command_bus(self, item: TraceCommand) -> Iterator[Violation]:
        bus = (item.channel, self.standard.bus_of[item.command])
        last = self.on_bus.get(bus)
        if last is not None and last.cycle >= item.cycle:
            yield Violation("one command a cycle on a command bus", last, item)
        self.on_bus[bus] = item

    def _timing(self, rule: Rule, item: TraceCommand) -> Iterator[Violation]:
        places = [_place(rule.level, item)]
        if rule.level == "other_rank":
            ranks = range(self.standard.organisation.ranks)
            places = [(item.channel, item.pseudo, rank) for rank in ranks if rank != item.rank]
        for place in places:
            before = self.history.get((rule.level, place, rule.before))
            if before is None or len(before) < rule.window:
                continue
            first = before[-rule.window]
            if item.cycle - first.cycle < rule.cycles:
                yield Violation(rule, first, item)

    def _bank_state(self, item: TraceCommand) -> Iterator[Violation]:
        place = _place("bank", item)
        row = self.opened.get(place)
        match item.command:
            case Command.ACT:
                if row is not None:
                    yield Violation(f"ACT needs a closed bank; row {row} is open", None, item)
                yield from self._activate_pair(item)
                self.opened[place] = item.row
            case Command.RD | Command.WR if row != item.row:
                yield Violation(f"a column command needs its row open; open is {row}", None, item)
            case Command.PRE:
                self.opened.pop(place, None)
            case Command.PREA:
                for other in [other for other in self.opened if other[:2] == place[:2]]:
                    del self.opened[other]
            case Command.REFA:
                for other in [other for other in self.opened if other[:2] == place[:2]]:
                    yield Violation(f"REFA needs all banks closed; {other} is open", None, item)

    def _activate_pair(self, item: TraceCommand) -> Iterator[Violation]:
        halves = self.history.get(("bank", _place("bank", item), Command.ACT1))
        gap = self.standard.activate_gap_cycles
        if not halves or not 1 <= item.cycle - halves[-1].cycle <= gap or halves[-1].row != item.row:
            yield Violation(f"ACT comes 1..{gap} cycles after its ACT1", halves[-1] if halves else None, item)

    def _data_bus(self, item: TraceCommand) -> Iterator[Violation]:
        standard = self.standard
        reads = item.command is Command.RD
        start = item.cycle + (standard.read_latency_cycles if reads else standard.write_latency_cycles)
        place = _place("pseudo", item)
        until, last = self.on_data.get(place, (start, item))
        if start < until:
            yield Violation("one burst at a time on the data bus", last, item)
        self.on_data[place] = (start + standard.burst_cycles, item)

    def _refresh_interval(self, item: TraceCommand) -> Iterator[Violation]:
        place = _place("pseudo", item)
        limit = (POSTPONED_REFRESHES + 1) * self.standard.refresh_interval_cycles
        if item.cycle - self.refreshed.get(place, 0) > limit:
            yield Violation(f"at most {limit} cycles between refreshes", None, item)
            self.refreshed[place] = item.cycle
        if item.command is Command.REFA:
            self.refreshed[place] = item.cycle


def _place(level: str, item: TraceCommand) -> Place:
    match level:
        case "pseudo":
            return (item.channel, item.pseudo)
        case "other_rank":
            return (item.channel, item.pseudo, item.rank)
        case "group":
            return (item.channel, item.pseudo, item.rank, item.group)
    return (item.channel, item.pseudo, item.rank, item.group, item.bank)


def check_trace(
    commands: Iterable[TraceCommand], standard: Standard, refresh: bool = True
) -> list[Violation]:
    """Return every violation in `commands`, which are sorted by cycle here; empty when the trace is legal."""
    checker = _Checker(standard, refresh)
    return [
        violation
        for item in sorted(commands, key=lambda command: command.cycle)
        for violation in checker.check(item)
    ]
