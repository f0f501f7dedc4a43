"""A controller's policy: queues, pages and refresh do what each choice says; what cannot be is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from small_standards import standard_of
from traffic import PLAIN, Traffic, at_places, cycles_of, series, traced

from hanok.dram import Command, RequestRun, Standard, check_commands, standards
from hanok.errors import ChipError
from hanok.machine import Policy

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command
LATER = 10_000
NAMES = ("HBM2_2000", "HBM3_6400", "LPDDR5_6400", "DDR5_4800", "GDDR6_16000")
SINGLE_BANKS = [name for name in NAMES if REFB in standard_of(name).forms]
"""Standards that can refresh one bank."""


def column_commands(run: RequestRun) -> str:
    """The column commands of the only pseudo-channel in use, in order: 'RRWR'."""
    found = traced(run)["command"]
    return "".join("R" if command == RD else "W" for command in found[np.isin(found, (RD, WR))])


def runs_of(letters: str) -> list[tuple[str, int]]:
    """Lengths of runs: 'RRWR' is R 2, W 1, R 1."""
    found: list[tuple[str, int]] = []
    for letter in letters:
        count = found.pop()[1] if found and found[-1][0] == letter else 0
        found.append((letter, count + 1))
    return found


def in_one_bank(
    standard: Standard, count: int, *, write: bool = False, row: int = 0, arrival: int = 0
) -> Traffic:
    """Requests for one row of bank 0 of pseudo-channel 0, column by column, over and over."""
    columns = [{"row": row, "column": number % standard.organisation.columns} for number in range(count)]
    return at_places(standard, columns, write=write, arrival=arrival)


@pytest.mark.parametrize("size", [1, 5, 20])
@pytest.mark.parametrize("write", [False, True], ids=["reads", "writes"])
@pytest.mark.parametrize("name", NAMES)
def test_requests_enter_at_once_until_their_queue_is_full(name: str, write: bool, size: int) -> None:
    """The request that a row was opened for leaves its place in the queue, so one more enters at once; then
    one enters with each column command, which come tCCD_L apart in one bank.
    """
    standard, command, count = standard_of(name), WR if write else RD, size + 5
    policy = Policy(refresh="none", read_queue=size, write_queue=size, write_high=size, write_low=0)
    run = in_one_bank(standard, count, write=write).run(standard, policy, mapping=PLAIN, trace=True)
    apart, lead = standard.delay("group", command, command), standard.forms[command].lead
    first = standard.activate_gap_cycles[0] + standard.delay("bank", ACT, command)
    sent = [first + number * apart for number in range(count)]
    assert cycles_of(run, command) == sent
    least, most = standard.activate_gap_cycles
    opened = 0 if least == most else cycles_of(run, ACT)[0]
    assert run.admitted.tolist() == [0] * size + [opened] + [cycle - lead for cycle in sent[1:5]]


@pytest.mark.parametrize(("high", "low"), [(32, 11), (32, 1), (20, 20), (5, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_writes_drain_from_the_high_mark_to_the_low_mark(name: str, high: int, low: int) -> None:
    """At the high mark writes go, until fewer than `low` (or none) are left; then reads, then the rest."""
    standard = standard_of(name)
    policy = Policy(refresh="none", write_high=high, write_low=low)
    traffic = in_one_bank(standard, 40) + in_one_bank(standard, high, write=True, row=1)
    run = traffic.run(standard, policy, mapping=PLAIN, trace=True)
    batch = high - max(low, 1) + 1
    rest = [("W", high - batch)] if batch < high else []
    assert runs_of(column_commands(run)) == [("W", batch), ("R", 40), *rest]
    assert run.counters.turnarounds == 1 + len(rest)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_writes_than_the_high_mark_wait_for_the_reads(name: str) -> None:
    standard = standard_of(name)
    policy = Policy(refresh="none", write_high=32, write_low=8)
    traffic = in_one_bank(standard, 40) + in_one_bank(standard, 31, write=True, row=1)
    run = traffic.run(standard, policy, mapping=PLAIN, trace=True)
    assert runs_of(column_commands(run)) == [("R", 40), ("W", 31)]


@pytest.mark.parametrize("name", NAMES)
def test_a_read_of_a_queued_write_is_answered_and_a_second_write_absorbed(name: str) -> None:
    standard = standard_of(name)
    write, read = at_places(standard, [{}], write=True), at_places(standard, [{}])
    beside = at_places(standard, [{"column": 1}])
    late = at_places(standard, [{}], arrival=LATER)
    run = (write + write + read + beside + late).run(standard, Policy(refresh="none"), mapping=PLAIN)
    done = standard.read_latency_cycles + standard.burst_cycles
    assert run.completed[1:3].tolist() == [0, done]
    assert run.completed[4] == LATER + standard.forms[RD].lead + done  # the row is open, the write long done
    counters = run.counters
    assert (counters.forwarded_reads, counters.coalesced_writes) == (1, 1)
    assert (counters.reads, counters.writes) == (2, 1)


@pytest.mark.parametrize("cap", [0, 1, 4, 16, 100])
@pytest.mark.parametrize("name", NAMES)
def test_no_more_row_hits_pass_than_the_cap(name: str, cap: int) -> None:
    standard = standard_of(name)
    policy = Policy(refresh="none", row_hit_cap=cap)
    traffic = in_one_bank(standard, 1) + in_one_bank(standard, 1, row=1) + in_one_bank(standard, 32)
    run = traffic.run(standard, policy, mapping=PLAIN, trace=True)
    found = traced(run)
    rows = found["row"][found["command"] == RD].tolist()
    passed = min(cap, 32)
    assert rows == [0] * (1 + passed) + [1] + [0] * (32 - passed)
    assert run.counters.row_conflicts == (1 if passed == 32 else 2)


@pytest.mark.parametrize("command", [RD, WR])
@pytest.mark.parametrize("name", standards())
def test_closed_pages_close_what_nobody_wants(name: str, command: Command) -> None:
    """As soon as the row was open for tRAS and the column command has recovered; the next is a miss then."""
    standard, write = standard_of(name), command == WR
    other = in_one_bank(standard, 1, write=write, row=1, arrival=LATER)
    traffic = in_one_bank(standard, 2, write=write) + other
    opened, closed = (
        traffic.run(standard, Policy(refresh="none", page=page), mapping=PLAIN, trace=True)
        for page in ("open", "closed")
    )
    activate, last = cycles_of(closed, ACT)[0], cycles_of(closed, command)[1]
    expected = max(activate + standard.delay("bank", ACT, PRE), last + standard.delay("bank", command, PRE))
    assert cycles_of(closed, PRE)[0] == expected
    assert cycles_of(opened, PRE) == [LATER]
    precharge = standard.delay("bank", PRE, ACT1 if ACT1 in standard.forms else ACT)
    assert opened.completed[2] == closed.completed[2] + precharge
    assert (opened.counters.row_conflicts, closed.counters.row_conflicts) == (1, 0)
    assert closed.counters.row_hits == opened.counters.row_hits == 1


def intervals_of(standard: Standard, policy: Policy) -> int:
    return (
        standard.bank_refresh_interval_cycles
        if policy.refresh == "per_bank"
        else standard.refresh_interval_cycles
    )


@pytest.mark.parametrize("postponed", [0, 1, 4, 7])
@pytest.mark.parametrize("name", NAMES)
def test_refreshes_wait_while_there_are_requests_and_are_made_up(name: str, postponed: int) -> None:
    """With n postponed, the first comes at the (n+1)th due time, by when all banks must be closed, and one at
    each after it; when the requests end, the n that are owed come in a row, tRFC apart.
    """
    standard = standard_of(name)
    interval, units = standard.refresh_interval_cycles, standard.organisation.pseudo_channels
    bursts = (postponed + 2) * interval // standard.burst_cycles * units
    late = series(standard, 1, arrival=interval * (postponed + 20))
    run = (series(standard, bursts) + late).run(standard, Policy(postponed_refreshes=postponed), trace=True)
    refreshes, idle = cycles_of(run, REFA), cycles_of(run, RD)[-2]
    closing = sum(standard.delay("pseudo", *pair) for pair in ((ACT, PREA), (RD, PREA), (PREA, REFA)))
    opening = standard.activate_gap_cycles[1] + standard.delay("bank", ACT, RD)
    while_busy = [cycle for cycle in refreshes if cycle < idle]
    assert len(while_busy) == idle // interval - postponed == 2
    for number, cycle in enumerate(while_busy):
        due = (postponed + 1 + number) * interval
        assert abs(cycle - due) <= closing + opening
    made_up = refreshes[2 : 2 + postponed]
    assert not made_up or made_up[0] <= idle + closing
    assert all(second - first == standard.delay("pseudo", REFA, REFA) for first, second in pairwise(made_up))
    rest = [cycle // interval for cycle in refreshes[2 + postponed :]]
    waits = 1 if postponed else 0  # the last one is due when the last read comes
    assert rest == list(range(postponed + 3, postponed + 21 - waits))
    assert not check_commands(traced(run), standard).violations


@pytest.mark.parametrize("postponed", [0, 7])
@pytest.mark.parametrize("name", SINGLE_BANKS)
def test_single_banks_are_refreshed_in_turn(name: str, postponed: int) -> None:
    standard = standard_of(name)
    policy = Policy(refresh="per_bank", postponed_refreshes=postponed)
    banks, shape = standard.organisation.banks, standard.organisation
    run = series(standard, 30_000).run(standard, policy, trace=True)
    found = traced(run)
    mine = found[(found["command"] == REFB) & (found["pseudo"] == 0)]
    numbers = (mine["rank"] * shape.groups + mine["group"]) * shape.banks_per_group + mine["bank"]
    assert numbers.tolist() == [number % banks for number in range(len(mine))]
    owed = run.cycles // standard.bank_refresh_interval_cycles - len(mine)
    assert 0 <= owed <= postponed * banks + 1
    assert not check_commands(found, standard).violations


@pytest.mark.parametrize("postponed", [0, 2])
@pytest.mark.parametrize(
    ("name", "refresh"),
    [(name, "all_bank") for name in standards()]
    + [(name, "per_bank") for name in standards() if REFB in standard_of(name).forms],
)
def test_busy_banks_are_refreshed_in_time(name: str, refresh: str, postponed: int) -> None:
    """Activates as fast as the rules let them come keep no refresh waiting: the n-th comes when as many are
    due as may be postponed and it, but for the time to close the banks, which is less than tREFI.
    """
    standard, count = standard_of(name), 20_000
    policy = Policy(refresh=refresh, postponed_refreshes=postponed)  # type: ignore[arg-type]
    numbers = np.random.default_rng(3).integers(0, standard.channel_bytes // standard.burst_bytes, count)
    reads = replace(series(standard, count), addresses=numbers * standard.burst_bytes)
    run = reads.run(standard, policy, trace=True)
    interval, most = intervals_of(standard, policy), standard.refresh_interval_cycles
    for pseudo in range(standard.organisation.pseudo_channels):
        sent = np.array(cycles_of(run, REFA, REFB, pseudo=pseudo))
        late = sent - (np.arange(len(sent)) + 1) * interval
        assert len(sent) > 3
        assert late.max() < (postponed + 1) * most


@pytest.mark.parametrize("refresh", ["all_bank", "per_bank"])
def test_a_pseudo_channel_without_requests_is_refreshed_too(refresh: str) -> None:
    standard = standard_of("HBM2_2000")
    policy = Policy(refresh=refresh)  # type: ignore[arg-type]
    rows = at_places(standard, [{"row": row} for row in range(2_000)])
    run = rows.run(standard, policy, mapping=PLAIN, trace=True)
    due = run.cycles // intervals_of(standard, policy)
    command = REFB if refresh == "per_bank" else REFA
    busy, idle = (len(cycles_of(run, command, pseudo=pseudo)) for pseudo in (0, 1))
    assert abs(busy - due) <= 1
    assert idle == due
    assert not check_commands(traced(run), standard).violations


@pytest.mark.parametrize("refresh", ["all_bank", "per_bank"])
@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400", "LPDDR5_6400"])
def test_a_hundred_idle_seconds_are_refreshed_in_full_and_quickly(name: str, refresh: str) -> None:
    standard, channels = standard_of(name), 8
    policy = Policy(refresh=refresh)  # type: ignore[arg-type]
    units = channels * standard.organisation.pseudo_channels
    blocked = max(standard.delay("pseudo", REFA, command) for command in (ACT, ACT1, REFA))
    series(standard, 1).run(standard, policy)  # compiles
    for seconds in (1, 10, 100):
        late = seconds * 10**15 // standard.tck_fs
        begin = time.perf_counter()
        gap = series(standard, 1) + series(standard, 1, arrival=late)
        run = gap.run(standard, policy, channels=channels)
        assert time.perf_counter() - begin < 3
        made = run.counters.refreshes + run.counters.bank_refreshes
        assert abs(made - units * (run.cycles // intervals_of(standard, policy))) <= 2 * units
        assert run.completed[1] - late < 2 * blocked


@pytest.mark.parametrize("postponed", [0, 4])
@pytest.mark.parametrize(
    ("name", "refresh"),
    [(name, refresh) for name in NAMES for refresh in ("all_bank", "none")]
    + [(name, "per_bank") for name in SINGLE_BANKS],
)
def test_idle_refreshes_that_are_skipped_change_nothing(name: str, refresh: str, postponed: int) -> None:
    """A traced run makes them one by one. Gaps of up to 40 intervals, from one burst to a few hundred."""
    standard, generator = standard_of(name), np.random.default_rng(12)
    policy = Policy(refresh=refresh, postponed_refreshes=postponed)  # type: ignore[arg-type]
    traffic, arrival = series(standard, 0), 0
    for count in generator.integers(1, 300, 30).tolist():
        arrival += int(generator.integers(0, 40 * standard.refresh_interval_cycles))
        first, step = int(generator.integers(0, 1 << 12)), int(generator.integers(1, 100))
        write = bool(generator.random() < 0.4)
        traffic += series(standard, count, first=first, step=step, write=write, arrival=arrival)
    plain, noted = (traffic.run(standard, policy, channels=2, trace=trace) for trace in (False, True))
    assert plain.completed.tolist() == noted.completed.tolist()
    assert plain.admitted.tolist() == noted.admitted.tolist()
    assert plain.counters == noted.counters
    if refresh != "none":
        assert not check_commands(traced(noted), standard).violations


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"row_hit_cap": -1}, r"row_hit_cap is -1; allowed: 0\.\.1048576"),
        ({"row_hit_cap": (1 << 20) + 1}, r"row_hit_cap is 1048577; allowed: 0\.\.1048576"),
        ({"read_queue": 0}, r"read_queue is 0; allowed: 1\.\.256"),
        ({"read_queue": 257}, r"read_queue is 257; allowed: 1\.\.256"),
        ({"write_queue": 0}, r"write_queue is 0; allowed: 1\.\.256"),
        ({"write_queue": 257}, r"write_queue is 257; allowed: 1\.\.256"),
        ({"write_high": 0}, r"write_high is 0; allowed: 1\.\.64"),
        ({"write_high": 65}, r"write_high is 65; allowed: 1\.\.64"),
        ({"write_queue": 47}, r"write_high is 48; allowed: 1\.\.47"),
        ({"write_low": -1}, r"write_low is -1; allowed: 0\.\.48"),
        ({"write_low": 49}, r"write_low is 49; allowed: 0\.\.48"),
        ({"postponed_refreshes": -1}, r"postponed_refreshes is -1; allowed: 0\.\.7"),
        ({"postponed_refreshes": 8}, r"postponed_refreshes is 8; allowed: 0\.\.7"),
        ({"page": "ajar"}, "page is 'ajar'; allowed: open, closed"),
        ({"refresh": "never"}, "refresh is 'never'; allowed: all_bank, per_bank, none"),
    ],
)
def test_a_policy_that_cannot_be(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChipError, match=f"^memory controller: {message}$"):
        Policy(**choice)


def test_the_limits_of_a_policy_are_allowed() -> None:
    standard = standard_of("HBM2_2000")
    least = Policy("closed", 0, 1, 1, 1, 0, "per_bank", 0)
    most = Policy("open", 1 << 20, 256, 256, 256, 256, "all_bank", 7)
    for policy in (least, most, replace(most, refresh="none")):
        run = series(standard, 500, step=37, write=True).run(standard, policy, trace=True)
        report = check_commands(traced(run), standard, refresh=policy.refresh != "none")
        assert not report.violations, str(report)


def test_single_banks_of_a_standard_that_cannot_refresh_them() -> None:
    standard = standard_of("DDR5_4800")
    message = "refresh is 'per_bank', but DDR5_4800 has no refresh of single banks; allowed: all_bank, none"
    with pytest.raises(ChipError, match=message):
        series(standard, 1).run(standard, Policy(refresh="per_bank"))
