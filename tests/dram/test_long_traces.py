"""Four million commands of each standard through the checker, which knows the table alone: all are legal."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from hanok.dram import Checker, Standard, get_standard, run_requests, standards
from hanok.machine import Policy

COMMANDS = 4_000_000
REQUESTS = 160_000


def traffic(generator: np.random.Generator, bursts: int, pattern: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each request writes, and its burst: scattered, in short runs, a stream, or strided streams."""
    if pattern == 0:
        found = generator.integers(0, bursts, REQUESTS)
    elif pattern == 1:
        starts = generator.integers(0, bursts >> 3, REQUESTS // 8) * 8
        found = starts.repeat(8) + np.tile(np.arange(8), REQUESTS // 8)
    elif pattern == 2:
        found = (np.arange(REQUESTS) + generator.integers(0, bursts)) % bursts
    else:
        found = (np.arange(REQUESTS) * 1021 + np.arange(REQUESTS) % 4 * (bursts >> 2)) % bursts
    return generator.random(REQUESTS) < (0, 0.2, 0.5, 1)[generator.integers(4)], found


@pytest.mark.slow
@pytest.mark.parametrize("name", standards())
def test_four_million_commands_break_no_rule(name: str) -> None:
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    generator, total, turn = np.random.default_rng(7), 0, 0
    kinds: tuple[Literal["all_bank", "per_bank"], ...] = ("all_bank",)
    if standard.bank_refresh_interval_cycles:
        kinds = ("all_bank", "per_bank")
    while total < COMMANDS:
        policy = Policy(
            refresh=kinds[turn % len(kinds)],
            page="closed" if turn % 3 == 2 else "open",
            postponed_refreshes=(0, 4)[turn // 2 % 2],
            row_hit_cap=(16, 1)[turn // 3 % 2],
        )
        writes, bursts = traffic(generator, standard.channel_bytes // standard.burst_bytes, turn % 4)
        arrivals = np.zeros(REQUESTS, np.int64)
        if turn % 5 == 4:
            arrivals = np.cumsum(generator.integers(0, 60, REQUESTS))
        run = run_requests(
            standard, writes, bursts * standard.burst_bytes, arrivals, policy=policy, trace=True
        )
        assert run.commands is not None
        checker = Checker(standard)
        checker.feed(run.commands)
        report = checker.report()
        assert report.violations == 0, [str(violation) for violation in report.found[:3]]
        total += report.commands
        turn += 1


def test_a_table_with_a_shorter_delay_is_caught() -> None:
    """The same traffic of a controller whose table asks for two cycles less breaks the whole table's rule."""
    standard = get_standard("HBM2_2000")
    assert isinstance(standard, Standard)
    weak = replace(
        standard,
        rules=tuple(
            replace(rule, cycles=rule.cycles - 2) if rule.formula == "nRP" and rule.level == "bank" else rule
            for rule in standard.rules
        ),
    )
    generator = np.random.default_rng(7)
    bursts = generator.integers(0, standard.channel_bytes // 32, 5_000)
    run = run_requests(weak, np.zeros(5_000, bool), bursts * 32, np.zeros(5_000, np.int64), trace=True)
    assert run.commands is not None
    checker = Checker(standard)
    checker.feed(run.commands)
    assert checker.report().violations > 0
