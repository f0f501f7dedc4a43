"""The checker finds every planted violation of the tables' rules: illegal at t-1, legal at t."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from plain_checker import (
    PREA,
    REFA,
    Broken,
    LegalTraffic,
    PlainChecker,
    Record,
    as_commands,
    broken_rules,
    check,
    record,
    same,
)
from small_standards import NAMES, ONE_OF_FAMILY, standard_of, whole_clocks

from hanok.dram.checker import Checker, check_commands
from hanok.dram.commands import describe_command
from hanok.dram.standard import Command, Rule, Standard

UNITS = [(0, 0), (5, 0)]


def all_rules() -> list[tuple[str, int]]:
    return [(name, index) for name in NAMES for index in range(len(standard_of(name).rules))]


def at_place(standard: Standard, rule: Rule, command: Command, cycle: int, second: bool) -> Record:
    """A command in the place of `rule`; the second one as far from the first as the rule's level allows."""
    if command in (PREA, REFA):
        return record(cycle, command, 0, 0)
    shape = standard.organisation
    rank, group, bank = 0, 0, 0
    if second:
        rank = int(rule.level in ("other_rank", "pseudo") and shape.ranks > 1)
        group = int(rule.level in ("other_rank", "rank", "pseudo"))
        bank = int(rule.level != "bank")
    return record(cycle, command, 0, 0, rank, group, bank, 7, 0)


def planted(standard: Standard, rule: Rule, start: int, early: int) -> tuple[list[Record], Record] | None:
    """The commands before, and the one after, `early` cycles too early; None where that cannot be."""
    firsts = [at_place(standard, rule, rule.before, start + i, second=False) for i in range(rule.window)]
    second = at_place(standard, rule, rule.after, start + rule.cycles - early, second=True)
    if second["cycle"] < firsts[-1]["cycle"] or (
        rule.level == "other_rank" and standard.organisation.ranks == 1
    ):
        return None
    return firsts, second


@pytest.mark.parametrize(("name", "index"), all_rules())
def test_each_rule_is_illegal_one_cycle_early_and_legal_in_time(name: str, index: int) -> None:
    standard = standard_of(name)
    rule = standard.rules[index]
    for early in (1, 0):
        commands = planted(standard, rule, 0, early)
        if commands is None:
            assert rule.cycles <= rule.window or rule.level == "other_rank"
            continue
        firsts, second = commands
        found = [item for item in check([*firsts, second], standard).found if item.rule == rule]
        assert len(found) == early
        if found:
            assert found[0].first is not None
            assert found[0].first == as_commands(firsts)[0]
            assert found[0].second == as_commands([second])[0]
            one, two = describe_command(found[0].first), describe_command(found[0].second)
            assert str(found[0]) == f"{two} after {one} breaks '{rule}'"


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_does_not_reach_beyond_its_place(name: str) -> None:
    standard = standard_of(name)
    shape = standard.organisation
    parts = {
        "pseudo": ("pseudo", shape.pseudo_channels),
        "rank": ("rank", shape.ranks),
        "group": ("group", shape.groups),
        "bank": ("bank", shape.banks_per_group),
    }
    for rule in standard.rules:
        commands = planted(standard, rule, 0, 1)
        if commands is None:
            continue
        firsts, second = commands
        away = [second | {"channel": 9}]
        if rule.level == "other_rank":
            away.append(second | {"rank": 0})
        elif parts[rule.level][1] > 1:
            part = parts[rule.level][0]
            away.append(second | {part: 1 - second[part]})
        for item in away:
            assert str(rule) not in broken_rules([*firsts, item], standard)


@pytest.mark.parametrize("name", ONE_OF_FAMILY)
def test_violations_of_every_rule_planted_in_a_long_trace_are_all_found(name: str) -> None:
    """Between pieces of random legal traffic, each rule is broken once; nothing else may be found."""
    standard = standard_of(name)
    traffic = LegalTraffic(standard, Checker(standard).sentences, seed=3, units=UNITS)
    quiet = 2 * max(rule.cycles for rule in standard.rules)
    quiet += quiet % 2
    expected: list[tuple[Rule, Record, Record]] = []
    planted_records: list[Record] = []
    for rule in standard.rules:
        traffic.run(8)
        for unit in UNITS:
            traffic.close(unit)
        start = traffic.cycle + quiet
        commands = planted(standard, rule, start + start % 2, 1)
        if commands is None:
            continue
        firsts, second = commands
        for item in (*firsts, second):
            traffic.keep(item)
        expected.append((rule, firsts[0], second))
        traffic.cycle += quiet
        traffic.close(UNITS[0])  # an activate without its other half is noticed here at the latest
        planted_records += [*firsts, second, traffic.records[-1]]
        traffic.cycle += quiet
    report = check(traffic.records, standard)
    for rule, first, second in expected:
        assert [
            item
            for item in report.found
            if item.rule == rule and same(item.first, first) and same(item.second, second)
        ], str(rule)
    allowed = {tuple(item.values()) for item in planted_records}
    assert [str(item) for item in report.found if item.second.item() not in allowed] == []
    assert report.commands == len(traffic.records)


@pytest.mark.parametrize("name", ONE_OF_FAMILY)
@pytest.mark.parametrize("seed", [1, 2])
def test_random_legal_and_damaged_traces_agree_with_the_plain_checker(name: str, seed: int) -> None:
    standard = standard_of(name)
    sentences = Checker(standard).sentences
    traffic = LegalTraffic(standard, sentences, seed, units=UNITS)
    traffic.run(250)
    assert broken_rules(traffic.records, standard) == []

    random = np.random.default_rng(seed)
    shape = standard.organisation
    damaged = []
    for item in traffic.records:
        chance = random.random()
        if chance < 0.05:
            continue
        if chance < 0.15:
            item = item | {"cycle": max(0, item["cycle"] - int(random.integers(1, 40)))}
        if chance > 0.95 and item["bank"] >= 0:
            item = item | {"bank": int(random.integers(shape.banks_per_group)), "rank": shape.ranks - 1}
        if 0.92 < chance < 0.95:
            item = item | {
                "cycle": item["cycle"] + int(random.integers(12 * standard.refresh_interval_cycles))
            }
        damaged.append(item)
    damaged.sort(key=lambda item: item["cycle"])
    plain = PlainChecker(standard, sentences, refresh=True)
    broken = [broken for item in damaged for broken in plain.check(item)]
    expected = Counter(key(item) for item in [*broken, *plain.finish()])
    report = check(damaged, standard, refresh=True)
    found = Counter(
        (str(item.rule), item.first.item() if item.first is not None else None, item.second.item())
        for item in report.found
    )
    assert found - expected == expected - found == Counter()
    assert report.violations == sum(expected.values()) > 20


def key(broken: Broken) -> tuple[str, tuple[int, ...] | None, tuple[int, ...]]:
    rule, first, second = broken
    return str(rule), tuple(first.values()) if first else None, tuple(second.values())


def test_a_trace_in_pieces_gives_the_same_report() -> None:
    standard = whole_clocks()
    traffic = LegalTraffic(standard, Checker(standard).sentences, 4, units=[(0, 0), (3, 1), (1, 0)])
    traffic.run(400)
    traffic.records = [item for item in traffic.records if item["cycle"] % 7]
    commands = as_commands(traffic.records)
    whole = check_commands(commands, standard, limit=30)
    checker = Checker(standard, limit=30)
    for begin in range(0, len(commands), 13):
        checker.feed(commands[begin : begin + 13])
    checker.feed(commands[:0])
    assert str(checker.report()) == str(whole)
    assert whole.violations > 30 == len(whole.found)
    assert whole.violations == sum(whole.by_rule.values())
    assert str(whole).startswith(f"{len(commands)} commands, {whole.violations} violations\n")
