"""The checker finds every planted violation: illegal at t-1, legal at t."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from traffic import Traffic, play

from hanok.dram import (
    Command,
    Rule,
    Standard,
    TraceCommand,
    check_trace,
    command_trace,
    get_standard,
    standards,
    state_of,
)
from hanok.errors import HanokError

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def all_rules() -> list[tuple[str, int]]:
    return [(name, index) for name in standards() for index in range(len(standard_of(name).rules))]


def at_place(rule: Rule, command: Command, cycle: int, second: bool) -> TraceCommand:
    """A command in the place of `rule`; the second one as far from the first as the rule's level allows."""
    if command in (PREA, REFA):
        return TraceCommand(cycle, command, 0, 0)
    rank, group, bank = 0, 0, 0
    if second:
        rank = int(rule.level == "other_rank")
        group = int(rule.level in ("other_rank", "pseudo"))
        bank = int(rule.level != "bank")
    return TraceCommand(cycle, command, 0, 0, rank, group, bank, row=0, column=0)


@pytest.mark.parametrize(("name", "index"), all_rules())
def test_each_rule_is_illegal_one_cycle_early_and_legal_in_time(name: str, index: int) -> None:
    standard = standard_of(name)
    rule = standard.rules[index]
    firsts = [at_place(rule, rule.before, cycle, second=False) for cycle in range(rule.window)]
    for early, expected in ((1, 1), (0, 0)):
        second = at_place(rule, rule.after, rule.cycles - early, second=True)
        if second.cycle < rule.window:
            continue  # a delay shorter than its window's commands cannot be broken on one bus
        broken = [
            item for item in check_trace([*firsts, second], standard, refresh=False) if item.rule == rule
        ]
        assert len(broken) == expected
        if broken:
            assert (broken[0].first, broken[0].second) == (firsts[0], second)
            assert rule.formula in str(broken[0])


@pytest.mark.parametrize("name", standards())
def test_a_rule_does_not_reach_beyond_its_place(name: str) -> None:
    standard = standard_of(name)
    for rule in standard.rules:
        first = at_place(rule, rule.before, 0, second=False)
        away = replace(at_place(rule, rule.after, 1, second=True), channel=1)
        assert not [item for item in check_trace([first, away], standard) if item.rule == rule]


def opened(standard: Standard, row: int = 3) -> list[TraceCommand]:
    return [
        TraceCommand(0, ACT1, 0, 0, 0, 0, 0, row),
        TraceCommand(1, ACT, 0, 0, 0, 0, 0, row),
    ]


def messages(commands: list[TraceCommand], standard: Standard) -> str:
    return "\n".join(str(item) for item in check_trace(commands, standard))


@pytest.mark.parametrize("name", standards())
def test_bank_state_bus_and_refresh_violations_are_found(name: str) -> None:
    standard = standard_of(name)
    start = opened(standard)
    assert messages(start, standard) == ""
    far = standard.refresh_interval_cycles
    read = TraceCommand(far, RD, 0, 0, 0, 0, 0, 3, 0)
    assert messages([*start, read], standard) == ""
    assert "needs its row open; open is 3" in messages([*start, replace(read, row=4)], standard)
    assert "needs its row open; open is None" in messages([read], standard)
    closed = TraceCommand(far - 200, PRE, 0, 0, 0, 0, 0, 3)
    assert "open is None" in messages([*start, closed, read], standard)
    closed_all = TraceCommand(far - 200, PREA, 0, 0)
    assert "open is None" in messages([*start, closed_all, read], standard)
    again = [replace(item, cycle=item.cycle + far) for item in start]
    assert "ACT needs a closed bank; row 3 is open" in messages([*start, *again], standard)
    assert "REFA needs all banks closed" in messages([*start, TraceCommand(far, REFA, 0, 0)], standard)
    assert "after its ACT1" in messages([start[1]], standard)
    late = replace(start[1], cycle=1 + standard.activate_gap_cycles)
    assert "after its ACT1" in messages([start[0], late], standard)
    other_row = replace(start[1], row=4)
    assert "after its ACT1" in messages([start[0], other_row], standard)
    twin = replace(start[0], bank=1)
    assert "one command a cycle on a command bus" in messages([start[0], twin], standard)
    forgotten = replace(read, cycle=9 * far + 1)
    assert f"at most {9 * far} cycles between refreshes" in messages([*start, forgotten], standard)
    in_time = TraceCommand(9 * far, PREA, 0, 0)
    assert messages([*start, in_time], standard) == ""


def test_overlapping_bursts_on_the_data_bus_are_found() -> None:
    standard = standard_of("HBM2_2000")
    bare = replace(standard, rules=standard.rules[:1])
    gap = standard.read_latency_cycles + standard.burst_cycles - standard.write_latency_cycles
    read = TraceCommand(100, RD, 0, 0, 0, 0, 0, 3, 0)
    write = TraceCommand(100 + gap - 1, WR, 0, 0, 0, 0, 0, 3, 0)
    assert "one burst at a time" in messages([*opened(bare), read, write], bare)
    assert messages([*opened(bare), read, replace(write, cycle=100 + gap)], bare) == ""


@pytest.mark.parametrize("name", standards())
def test_a_controller_with_a_shorter_delay_is_caught(name: str) -> None:
    """The traffic of a controller built on a table with one rule less breaks that rule of the whole table."""
    standard = standard_of(name)
    generator = np.random.default_rng(1)
    blocks = generator.integers(0, 1 << 16, 400).repeat(4) * 4 + np.tile(np.arange(4), 400)
    traffic = Traffic(blocks * 64, generator.random(1600) < 0.4, np.zeros(1600, np.int64))
    missed = []
    for before, after, level in (
        (ACT, RD, "bank"),
        (PRE, ACT1, "bank"),
        (RD, PRE, "bank"),
        (WR, PRE, "bank"),
        (ACT, ACT, "pseudo"),
        (RD, WR, "pseudo"),
        (WR, RD, "group"),
        (REFA, ACT1, "pseudo"),
    ):
        weak = tuple(
            replace(rule, cycles=max(1, rule.cycles - 2))
            if (rule.before, rule.after, rule.level) == (before, after, level)
            else rule
            for rule in standard.rules
            if rule.after is not PREA and (rule.before, rule.after) != (REFA, REFA)  # these lean on others
        )
        state = state_of(replace(standard, rules=weak), 1, trace_commands=20_000)
        play(state, traffic)
        found = {
            (item.rule.before, item.rule.after)
            for item in check_trace(command_trace(state, standard), standard)
            if isinstance(item.rule, Rule)
        }
        if (before, after) not in found:
            missed.append((before.name, after.name, level))
    assert missed == []


def test_a_full_trace_is_refused() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1, trace_commands=10)
    play(state, Traffic(np.arange(10) * 4096, np.zeros(10, bool), np.zeros(10, np.int64)))
    with pytest.raises(HanokError, match="all 10 places are taken; ask for more"):
        command_trace(state, standard)
