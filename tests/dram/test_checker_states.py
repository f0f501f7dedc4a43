"""Checks besides the tables' rules: banks, buses, edges, refresh, and records that make no sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plain_checker import (
    ACT,
    ACT1,
    PRE,
    PREA,
    RD,
    REFA,
    REFB,
    WR,
    Record,
    as_commands,
    broken_rules,
    check,
    record,
    same,
)
from small_standards import (
    NAMES,
    half_clocks,
    one_bus,
    single_activate,
    standard_of,
    two_cycle_columns,
    whole_clocks,
)

from hanok.dram.checker import Checker
from hanok.dram.standard import Command, Rule, Standard
from hanok.errors import ChipError, HanokError


def opened(standard: Standard, row: int = 3, start: int = 0) -> list[Record]:
    """The commands that open a row in bank 0."""
    gap = standard.activate_gap_cycles[0]
    halves = [record(start, ACT1, 0, 0, 0, 0, 0, row)] if gap else []
    return [*halves, record(start + gap, ACT, 0, 0, 0, 0, 0, row)]


@pytest.mark.parametrize("name", NAMES)
def test_bank_states_are_checked(name: str) -> None:
    standard = standard_of(name)
    closed, is_open = "an activate or refresh needs its banks closed", "a read or write needs its row open"
    start = opened(standard)
    far = standard.refresh_interval_cycles - standard.refresh_interval_cycles % 2
    read = record(far, RD, 0, 0, 0, 0, 0, 3, 0)
    assert broken_rules([*start, read], standard, refresh=True) == []
    assert broken_rules([*start, read | {"row": 4}], standard) == [is_open]
    assert broken_rules([read], standard) == [is_open]
    assert broken_rules([read | {"command": int(WR)}], standard) == [is_open]
    middle = far // 4 * 2
    close_one, close_all = record(middle, PRE, 0, 0, 0, 0, 0), record(middle, PREA, 0, 0)
    for close in (close_one, close_all):
        found = check([*start, close, read], standard).found
        assert [str(item.rule) for item in found] == [is_open]
        assert same(found[0].first, close)
        assert broken_rules([*start, close, *opened(standard, 5, far)], standard) == []
    assert broken_rules([close_one], standard) == []
    again = check([*start, *opened(standard, 3, far)], standard).found
    assert {str(item.rule) for item in again} == {closed}
    assert all(same(item.first, start[-1]) for item in again)
    refresh = check([*start, record(far, REFA, 0, 0)], standard).found
    assert [str(item.rule) for item in refresh] == [closed]
    assert same(refresh[0].first, start[-1])
    if REFB in standard.forms:
        assert broken_rules([*start, record(far, REFB, 0, 0, 0, 0, 0)], standard) == [closed]
        assert broken_rules([*start, record(far, REFB, 0, 0, 0, 0, 1)], standard) == []


@pytest.mark.parametrize("name", [name for name in NAMES if ACT1 in standard_of(name).forms])
def test_an_activate_needs_its_two_halves(name: str) -> None:
    standard = standard_of(name)
    low, high = standard.activate_gap_cycles
    pair = f"ACT comes {low}..{high} cycles after the ACT1 of its bank and row"
    half = f"ACT1 is followed in its bank by an ACT, within {high} cycles"
    first, second = opened(standard)
    step = standard.forms[ACT].align
    assert broken_rules([first, second | {"cycle": high}], standard) == []
    assert broken_rules([second], standard) == [pair]
    assert broken_rules([first, second | {"row": 4}], standard) == [pair]
    assert pair in broken_rules([first, second | {"cycle": low - step}], standard)
    assert broken_rules([first, second | {"cycle": high + step}], standard) == [pair]
    assert pair in broken_rules([first, second, second | {"cycle": low + step}], standard)
    for other in (first, record(0, PRE, 0, 0, 0, 0, 0), record(0, PREA, 0, 0), record(0, REFA, 0, 0)):
        found = check([first, other | {"cycle": 40}], standard).found
        assert [str(item.rule) for item in found] == [half]
        assert same(found[0].first, first)
    elsewhere = record(high + 2, PRE, 0, 0, 0, 1, 0)
    left = check([first, elsewhere], standard).found
    assert [(str(item.rule), item.first) for item in left] == [(half, None)]
    assert same(left[0].second, first)
    assert broken_rules([first, elsewhere | {"cycle": high}], standard) == []


def test_command_buses_carry_one_command_at_a_time() -> None:
    busy = "a command bus carries one command at a time"

    def on_bus(standard: Standard, first: Command, second: Command, gap: int, pseudo: int = 0) -> bool:
        one = record(100, first, 0, 0, 0, 0, 0, 3, 0)
        two = record(100 + gap, second, 0, pseudo, 0, 1, 1, 3, 0)
        return busy in broken_rules([one, two], standard)

    whole, half, single, two_cycles = whole_clocks(), half_clocks(), one_bus(), two_cycle_columns()
    assert on_bus(whole, PRE, ACT1, 0)
    assert on_bus(whole, PRE, ACT1, 0, pseudo=1)
    assert not on_bus(whole, PRE, ACT1, 1)
    assert not on_bus(whole, PRE, RD, 0)
    assert on_bus(single, PRE, RD, 0)
    assert on_bus(half, RD, RD, 1)
    assert not on_bus(half, RD, RD, 2)
    assert on_bus(half, ACT1, PRE, 1)
    assert not on_bus(half, ACT1, PRE, 2)
    assert not on_bus(half, PRE, PRE, 1, pseudo=1)
    assert on_bus(two_cycles, PRE, RD, 1)
    assert not on_bus(two_cycles, PRE, RD, 2)
    assert not on_bus(two_cycles, RD, PRE, 1)
    assert on_bus(two_cycles, RD, RD, 1)
    assert not on_bus(single_activate(), ACT, RD, 1)


def test_commands_lie_on_their_clock_edges() -> None:
    standard = half_clocks()
    for command, legal in ((ACT1, False), (RD, False), (REFB, False), (PRE, True)):
        found = broken_rules([record(101, command, 0, 0, 0, 0, 0, 3, 0)], standard)
        assert any(rule.startswith("a command lies on its clock edge (") for rule in found) is not legal
    assert "RD a multiple of 2" in Checker(standard).sentences[1]
    assert "any cycle" in Checker(one_bus()).sentences[1]


def test_the_data_bus_carries_one_burst_at_a_time() -> None:
    standard = replace(whole_clocks(), rules=())
    busy = "the data bus carries one burst at a time"
    gap = standard.read_latency_cycles + standard.burst_cycles - standard.write_latency_cycles
    read = record(100, RD, 0, 0, 0, 0, 0, 3, 0)
    write = record(100 + gap - 1, WR, 0, 0, 0, 0, 0, 3, 0)
    start = opened(standard)
    found = check([*start, read, write], standard).found
    assert [str(item.rule) for item in found] == [busy]
    assert same(found[0].first, read)
    assert broken_rules([*start, read, write | {"cycle": 100 + gap}], standard) == []
    before = write | {"cycle": 100 + gap - 2 * standard.burst_cycles}
    assert broken_rules([*start, read, before], standard) == []
    away = write | {"pseudo": 1}
    assert busy not in broken_rules([*start, read, away], standard)


@pytest.mark.parametrize("name", NAMES)
def test_refreshes_are_missed(name: str) -> None:
    standard = standard_of(name)
    interval = standard.refresh_interval_cycles
    step = interval - interval % standard.forms[REFA].align
    late = f"a bank is refreshed again within 9 x {interval} cycles"
    refreshes = [record(step * i, REFA, 0, 0) for i in range(1, 30)]
    assert broken_rules(refreshes, standard, refresh=True) == []
    assert broken_rules(refreshes[:10] + refreshes[18:], standard, refresh=True) == []
    missed = refreshes[:10] + refreshes[19:]
    found = check(missed, standard, refresh=True).found
    assert [str(item.rule) for item in found] == [late]
    assert same(found[0].first, refreshes[9])
    assert same(found[0].second, refreshes[19])
    assert broken_rules(missed, standard, refresh=False) == []
    never = [record(cycle, PREA, 0, 0) for cycle in (9 * interval, 9 * interval + 100)]
    found = check(never, standard, refresh=True).found
    assert [(str(item.rule), item.first) for item in found] == [(late, None)]
    assert same(found[0].second, never[1])


@pytest.mark.parametrize("name", [name for name in NAMES if REFB in standard_of(name).forms])
def test_single_banks_are_refreshed_in_rounds(name: str) -> None:
    standard = standard_of(name)
    shape = standard.organisation
    interval = standard.refresh_interval_cycles
    parts = [
        (rank, group, bank)
        for rank in range(shape.ranks)
        for group in range(shape.groups)
        for bank in range(shape.banks_per_group)
    ]
    step = interval // len(parts) // 2 * 2
    bare = replace(standard, rules=())  # some have longer delays between REFBs than an even spread leaves
    rounds = [
        record((i * len(parts) + j) * step, REFB, 0, 0, *parts[j])
        for i in range(25)
        for j in np.random.default_rng(i).permutation(len(parts))
    ]
    rounds.sort(key=lambda item: item["cycle"])
    assert broken_rules(rounds, bare, refresh=True) == []
    once = "single banks are refreshed in rounds, each bank once"
    number = 10 * len(parts) + 3
    twice = [*rounds[:number], rounds[number - 2] | {"cycle": rounds[number]["cycle"]}, *rounds[number + 1 :]]
    found = [item for item in check(twice, bare, refresh=True).found if item.rule == once]
    assert same(found[0].first, rounds[number - 2])
    assert same(found[0].second, twice[number])
    all_banks = record(rounds[number]["cycle"], REFA, 0, 0)
    anew = [item | {"cycle": item["cycle"] + rounds[number + 1]["cycle"]} for item in rounds]
    assert once not in broken_rules([*rounds[:number], all_banks, *anew], bare, refresh=True)
    assert once in broken_rules([*rounds[:number], *anew], bare, refresh=True)
    late = f"a bank is refreshed again within 9 x {interval} cycles"
    left_out = [item for item in rounds if tuple(item.values())[4:7] != parts[-1]]
    assert late in broken_rules(left_out, bare, refresh=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycle": 39}, "record 3: cycle 39 is too early; allowed: that of the record before or later"),
        ({"command": 9}, r"record 3: command 9 is not one of single; allowed: ACT \(0\), PRE \(1\)"),
        ({"command": int(ACT1)}, "record 3: command ACT1 is not one of single"),
        ({"command": -1}, "record 3: command -1 is not one of single"),
        ({"channel": -1}, r"record 3: RD has channel -1; allowed: 0\.\.32767"),
        ({"pseudo": 2}, r"record 3: RD has pseudo 2; allowed: 0\.\.1"),
        ({"rank": 1}, r"record 3: RD has rank 1; allowed: 0\.\.0"),
        ({"group": -1}, r"record 3: RD has group -1; allowed: 0\.\.3"),
        ({"bank": 4}, r"record 3: RD has bank 4; allowed: 0\.\.3"),
        ({"row": 1 << 14}, r"record 3: RD has row 16384; allowed: 0\.\.16383"),
        ({"column": 64}, r"record 3: RD has column 64; allowed: 0\.\.63"),
        (
            {"command": int(REFA)},
            r"record 3: REFA has rank 0; allowed: -1 \(it is for a whole pseudo-channel\)",
        ),
    ],
)
def test_records_that_cannot_be_checked_are_refused(change: dict[str, int], message: str) -> None:
    good = [record(40, RD, 1, 1, 0, 2, 3, 5, 6)] * 3
    with pytest.raises(HanokError, match=f"command trace: {message}"):
        check([*good, good[0] | change], single_activate())


def test_pieces_out_of_order_are_refused() -> None:
    checker = Checker(single_activate())
    checker.feed(as_commands([record(40, PREA, 0, 0), record(50, PREA, 0, 0)]))
    with pytest.raises(HanokError, match="record 2: cycle 49 is too early; allowed: 50 or later"):
        checker.feed(as_commands([record(49, PREA, 0, 0)]))
    with pytest.raises(HanokError, match="record 0: cycle -1 is too early; allowed: 0 or later"):
        check([record(-1, PREA, 0, 0)], single_activate())


def test_rules_that_cannot_be_checked_are_refused() -> None:
    standard = whole_clocks()
    for rule, message in (
        (
            Rule("bank", PREA, ACT1, 4, "n"),
            "has level 'bank', but PREA is for a whole pseudo-channel; allowed",
        ),
        (Rule("chip", PRE, ACT1, 4, "n"), "has level 'chip' and window 1; allowed: pseudo, rank, other_rank"),
        (Rule("bank", PRE, ACT1, 4, "n", window=0), "has level 'bank' and window 0; allowed: .* 1 or more"),
    ):
        with pytest.raises(ChipError, match=f"whole: rule '.*' {message}"):
            Checker(replace(standard, rules=(rule,)))
