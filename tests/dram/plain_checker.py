"""A slow checker of command traces in plain Python, and random legal traces made with it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from hanok.dram.checker import CheckReport, check_commands
from hanok.dram.commands import COMMAND_DTYPE, Commands
from hanok.dram.standard import Command, Rule, Standard

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command
Record = dict[str, int]
Place = tuple[int, ...]
Broken = tuple[Rule | str, Record | None, Record]
NAMES = COMMAND_DTYPE.names or ()


def record(cycle: int, command: Command, *address: int) -> Record:
    """Address: channel, pseudo, rank, group, bank, row, column; -1 for those not given."""
    values = (cycle, command, *address, *(-1,) * (7 - len(address)))
    return {name: int(value) for name, value in zip(NAMES, values, strict=True)}


def as_commands(records: list[Record]) -> Commands:
    return np.array([tuple(item.values()) for item in records], COMMAND_DTYPE)


def check(records: list[Record], standard: Standard, refresh: bool = False) -> CheckReport:
    """The report of hanok's checker, with every violation."""
    return check_commands(as_commands(records), standard, refresh=refresh, limit=1_000_000)


def broken_rules(records: list[Record], standard: Standard, refresh: bool = False) -> list[str]:
    return [str(violation.rule) for violation in check(records, standard, refresh).found]


def same(found: np.void | None, expected: Record | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return bool(found.item() == tuple(expected.values()))


def place(item: Record, level: str) -> Place:
    depth = {"pseudo": 2, "rank": 3, "other_rank": 3, "group": 4, "bank": 5}[level]
    return tuple(item[name] for name in NAMES[2 : 2 + depth])


class PlainChecker:
    """Remembers everything; `sentences` name the checks besides the rules, in the kernel's order."""

    def __init__(self, standard: Standard, sentences: tuple[str, ...], refresh: bool) -> None:
        self.standard, self.refresh, self.cycle = standard, refresh, 0
        (
            self.bus,
            self.edge,
            self.closed,
            self.open,
            self.pair,
            self.half,
            self.data,
            self.late,
            self.round,
        ) = sentences
        shape = standard.organisation
        self.bank_parts = [
            (rank, group, bank)
            for rank in range(shape.ranks)
            for group in range(shape.groups)
            for bank in range(shape.banks_per_group)
        ]
        self.seen: dict[tuple[str, Place, int], list[Record]] = defaultdict(list)
        self.on_bus: dict[tuple[int, int], list[Record]] = defaultdict(list)
        self.rows: dict[Place, int] = {}
        self.changed: dict[Place, Record] = {}
        self.halves: dict[Place, Record] = {}
        self.on_data: dict[tuple[Place, int], Record] = {}
        self.refreshed: dict[Place, tuple[int, Record | None]] = {}
        self.rounds: dict[Place, set[Place]] = defaultdict(set)

    def befores(self, rule: Rule, item: Record) -> list[Record]:
        """The commands that `rule` holds `item` against."""
        places = [place(item, rule.level)]
        if rule.level == "other_rank":
            ranks = range(self.standard.organisation.ranks)
            places = [(item["channel"], item["pseudo"], rank) for rank in ranks if rank != item["rank"]]
        lists = [self.seen[rule.level, where, rule.before] for where in places]
        return [found[-rule.window] for found in lists if len(found) >= rule.window]

    def bank_of(self, item: Record) -> list[Place]:
        if item["command"] in (PREA, REFA):
            return [(*place(item, "pseudo"), *parts) for parts in self.bank_parts]
        return [place(item, "bank")]

    def span(self, item: Record) -> tuple[int, int]:
        form = self.standard.forms[Command(item["command"])]
        return item["cycle"] - form.lead, item["cycle"] + form.tail

    def bus_of(self, item: Record) -> list[Record]:
        return self.on_bus[item["channel"], self.standard.forms[Command(item["command"])].bus]

    def burst(self, item: Record) -> range:
        standard = self.standard
        if item["command"] not in (RD, WR):
            return range(0)
        reads = item["command"] == RD
        begin = item["cycle"] + (standard.read_latency_cycles if reads else standard.write_latency_cycles)
        return range(begin, begin + standard.burst_cycles)

    def timing(self, item: Record) -> list[Broken]:
        """What `item` breaks of rules, command bus, edges and data bus."""
        unit = place(item, "pseudo")
        broken: list[Broken] = [
            (rule, first, item)
            for rule in self.standard.rules
            if rule.after == item["command"]
            for first in self.befores(rule, item)
            if item["cycle"] - first["cycle"] < rule.cycles
        ]
        last = max(self.bus_of(item), key=lambda other: self.span(other)[1], default=None)
        if last and self.span(last)[1] >= self.span(item)[0]:
            latest = [other for other in self.bus_of(item) if self.span(other)[1] == self.span(last)[1]]
            broken.append((self.bus, latest[-1], item))
        if item["cycle"] % self.standard.forms[Command(item["command"])].align:
            broken.append((self.edge, None, item))
        taken = [self.on_data[unit, cycle] for cycle in self.burst(item) if (unit, cycle) in self.on_data]
        return broken + [(self.data, first, item) for first in taken[:1]]

    def state(self, item: Record) -> list[Broken]:
        """What `item` breaks of the states of its banks, and of refresh."""
        broken: list[Broken] = []
        low, high = self.standard.activate_gap_cycles
        command = item["command"]
        for bank in self.bank_of(item):
            half, row = self.halves.get(bank), self.rows.get(bank)
            if command == ACT and high:
                if not half or half["row"] != item["row"] or not low <= item["cycle"] - half["cycle"] <= high:
                    broken.append((self.pair, half, item))
            elif half:
                broken.append((self.half, half, item))
            if command in (RD, WR) and row != item["row"]:
                broken.append((self.open, self.changed.get(bank), item))
            if command in (ACT1, ACT, REFA, REFB) and row is not None:
                broken.append((self.closed, self.changed[bank], item))
        if self.refresh:
            unit = place(item, "pseudo")
            banks = [(*unit, *parts) for parts in self.bank_parts]
            limit = 9 * self.standard.refresh_interval_cycles
            late = [bank for bank in banks if item["cycle"] - self.refreshed.get(bank, (0, None))[0] > limit]
            if late:
                oldest = min(late, key=lambda bank: self.refreshed.get(bank, (0, None))[0])
                broken.append((self.late, self.refreshed.get(oldest, (0, None))[1], item))
                self.refreshed |= {
                    bank: (item["cycle"], self.refreshed.get(bank, (0, None))[1]) for bank in late
                }
            if command == REFB and place(item, "bank") in self.rounds[unit]:
                broken.append((self.round, self.refreshed[place(item, "bank")][1], item))
        return broken

    def add(self, item: Record) -> None:
        """Remember `item`."""
        command, unit = item["command"], place(item, "pseudo")
        for level in (
            ("pseudo",) if command in (PREA, REFA) else ("pseudo", "rank", "other_rank", "group", "bank")
        ):
            self.seen[level, place(item, level), command].append(item)
        self.bus_of(item).append(item)
        self.on_data |= {(unit, cycle): item for cycle in self.burst(item)}
        for bank in self.bank_of(item):
            self.halves.pop(bank, None)
            if command == ACT1:
                self.halves[bank] = item
            if command == ACT:
                self.rows[bank], self.changed[bank] = item["row"], item
            if command in (PRE, PREA) and self.rows.pop(bank, None) is not None:
                self.changed[bank] = item
            if command in (REFA, REFB):
                self.refreshed[bank] = (item["cycle"], item)
        if command == REFA:
            self.rounds[unit].clear()
        if command == REFB:
            self.rounds[unit].add(place(item, "bank"))
            if len(self.rounds[unit]) == len(self.bank_parts):
                self.rounds[unit].clear()

    def check(self, item: Record) -> list[Broken]:
        """Return what `item` breaks, and remember it."""
        broken = self.timing(item) + self.state(item)
        self.add(item)
        self.cycle = item["cycle"]
        return broken

    def finish(self) -> list[Broken]:
        """What is missing at the end of the trace."""
        last = self.cycle - self.standard.activate_gap_cycles[1]
        return [(self.half, None, item) for item in self.halves.values() if item["cycle"] < last]


class LegalTraffic:
    """Draws commands at random and sends each as early as it is legal, or a little later."""

    def __init__(self, standard: Standard, sentences: tuple[str, ...], seed: int, units: list[Place]) -> None:
        self.standard, self.units = standard, units
        self.checker = PlainChecker(standard, sentences, refresh=False)
        self.random = np.random.default_rng(seed)
        self.records: list[Record] = []
        self.cycle = 0
        self.next_refresh = dict.fromkeys(units, 0)
        self.refreshes = 0

    def send(self, command: Command, *address: int, wait: int = 0) -> Record:
        """Send a command as early as its timing is legal, at least `wait` cycles after the last one."""
        item = record(self.cycle + wait, command, *address)
        for rule in self.standard.rules:
            if rule.after == command:
                for first in self.checker.befores(rule, item):
                    item["cycle"] = max(item["cycle"], first["cycle"] + rule.cycles)
        while self.checker.timing(item):
            item["cycle"] += 1
        self.keep(item)
        return item

    def keep(self, item: Record) -> None:
        self.checker.add(item)
        self.records.append(item)
        self.cycle = item["cycle"]

    def activate(self, *address: int) -> None:
        low, high = self.standard.activate_gap_cycles
        if high:
            self.send(ACT1, *address)
        wait = low
        while True:
            item = record(self.cycle + wait, ACT, *address)
            if not self.checker.timing(item):
                break
            wait += 1
        if high and wait > high:  # ACT's own rules came in the way: an ACT1 nearer to its cycle was needed
            raise AssertionError(f"ACT {wait} cycles after ACT1")
        self.keep(item)

    def close(self, unit: Place) -> None:
        self.send(PREA, *unit, wait=1)

    def run(self, count: int) -> None:
        """Send about `count` commands."""
        end = len(self.records) + count
        while len(self.records) < end:
            unit = self.units[self.random.integers(len(self.units))]
            if self.cycle >= self.next_refresh[unit]:
                self.refresh(unit)
                continue
            parts = self.checker.bank_parts[self.random.integers(len(self.checker.bank_parts))]
            row = self.checker.rows.get((*unit, *parts))
            self.cycle += int(self.random.integers(6) == 0) * int(self.random.integers(20))
            if row is None:
                self.wait_for_activate(unit, parts)
                self.activate(*unit, *parts, int(self.random.integers(1 << 10)))
            elif self.random.random() < 0.2:
                self.send(PRE, *unit, *parts)
            else:
                column = int(self.random.integers(self.standard.organisation.columns))
                self.send(RD if self.random.random() < 0.6 else WR, *unit, *parts, row, column)

    def wait_for_activate(self, unit: Place, parts: Place) -> None:
        """Wait until an ACT, too, would be legal after an ACT1 sent now."""
        item = record(self.cycle, ACT, *unit, *parts, 0)
        for rule in self.standard.rules:
            if rule.after == ACT:
                for first in self.checker.befores(rule, item):
                    self.cycle = max(self.cycle, first["cycle"] + rule.cycles)

    def refresh(self, unit: Place) -> None:
        """All banks, or the next one where the standard can and chance wants it."""
        self.next_refresh[unit] += self.standard.refresh_interval_cycles
        if REFB in self.standard.forms and not self.checker.rounds[unit] and self.random.random() < 0.5:
            self.close(unit)
            for parts in self.random.permutation(self.checker.bank_parts).tolist():
                self.send(REFB, *unit, *parts)
            return
        self.close(unit)
        self.send(REFA, *unit)
