"""The controller against formulas: latency, bandwidth, what is lost and why, order, rules, and bad input."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from small_standards import standard_of
from traffic import PATTERNS, PLAIN, Traffic, at_places, cycles_of, random_traffic, series, traced

from hanok.dram import (
    Command,
    Loss,
    RequestRun,
    Standard,
    check_commands,
    make_state,
    parse_mapping,
    run_requests,
    standards,
)
from hanok.dram._kernels import finish, request
from hanok.dram.state import answers_of, read_counters
from hanok.errors import ChipError, HanokError
from hanok.machine import Memory, Policy

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command
NO_REFRESH = Policy(refresh="none")
LATER = 10_000
"""A cycle in which an early request is long done; a rising edge."""
SINGLE_BANKS = [name for name in standards() if REFB in standard_of(name).forms]
"""Standards that can refresh one bank."""
ROWS_FIRST = "row bank group rank pseudo column"
"""As Ramulator's RoBaRaCoCh: a whole row of one bank before anything else changes."""


def first_of_activate(standard: Standard) -> Command:
    return ACT1 if ACT1 in standard.forms else ACT


def latency(standard: Standard, command: Command) -> int:
    """From a column command to the end of its data."""
    start = standard.read_latency_cycles if command == RD else standard.write_latency_cycles
    return start + standard.burst_cycles


def from_activate(standard: Standard, command: Command) -> int:
    """From the first command of an activate to the end of the data of the column command that follows it."""
    opening = standard.activate_gap_cycles[0] + standard.delay("bank", ACT, command)
    return opening + latency(standard, command)


@pytest.mark.parametrize("command", [RD, WR])
@pytest.mark.parametrize("name", standards())
def test_latency_of_a_closed_row_a_row_hit_and_a_row_conflict(name: str, command: Command) -> None:
    standard = standard_of(name)
    rows = at_places(standard, [{}, {}, {"row": 1}], write=command == WR)
    traffic = replace(rows, arrivals=np.array([0, LATER, 2 * LATER]))
    run = traffic.run(standard, NO_REFRESH, mapping=PLAIN)
    closed, hit, conflict = (run.completed - run.arrivals).tolist()
    assert closed == from_activate(standard, command)
    assert hit == standard.forms[command].lead + latency(standard, command)
    assert conflict == standard.delay("bank", PRE, first_of_activate(standard)) + closed
    counters = run.counters
    assert (counters.row_misses, counters.row_hits, counters.row_conflicts) == (1, 1, 1)
    assert run.admitted.tolist() == run.arrivals.tolist()


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("write", [False, True], ids=["reads", "writes"])
@pytest.mark.parametrize("name", standards())
def test_stream_without_refresh_reaches_the_bus_limit(name: str, write: bool, channels: int) -> None:
    standard = standard_of(name)
    units, count = channels * standard.organisation.pseudo_channels, 20_000
    run = series(standard, count, write=write).run(standard, NO_REFRESH, channels=channels)
    first = from_activate(standard, WR if write else RD)
    ideal = first + (count // units - 1) * standard.burst_cycles
    assert ideal <= run.cycles <= 1.005 * ideal + first
    assert run.counters.turnarounds == 0


@pytest.mark.parametrize("write", [False, True], ids=["reads", "writes"])
@pytest.mark.parametrize("name", standards())
def test_stream_loses_refresh_and_restart_only(name: str, write: bool) -> None:
    """A refresh takes from the last column command before it to the first after it: the recovery before a
    precharge, tRP, tRFC, an activate and tRCD. What may come on top: the row that was just opened must have
    been open for tRAS, and the four-activate window passes before a fifth bank is open.
    """
    standard, command = standard_of(name), WR if write else RD
    units, count = standard.organisation.pseudo_channels, 60_000
    run = series(standard, count, write=write).run(standard, trace=True)
    least = (
        standard.delay("pseudo", command, PREA)
        + standard.delay("pseudo", PREA, REFA)
        + standard.delay("pseudo", REFA, first_of_activate(standard))
        + standard.activate_gap_cycles[0]
        + standard.delay("bank", ACT, command)
        - standard.burst_cycles
    )
    most = least + standard.delay("pseudo", ACT, PREA) + standard.delay("pseudo", ACT, ACT, 4)
    refreshes = sum(cycle < run.cycles for cycle in cycles_of(run, REFA))
    assert refreshes == (run.cycles - 1) // standard.refresh_interval_cycles
    first = from_activate(standard, command)
    ideal = first + (count // units - 1) * standard.burst_cycles
    assert ideal + refreshes * least <= run.cycles <= 1.005 * ideal + first + refreshes * most


@pytest.mark.parametrize("write", [False, True], ids=["reads", "writes"])
@pytest.mark.parametrize("name", SINGLE_BANKS)
def test_stream_loses_less_to_refreshes_of_one_bank(name: str, write: bool) -> None:
    standard = standard_of(name)
    traffic = series(standard, 60_000, write=write)
    none, one, every = (
        traffic.run(standard, Policy(refresh=refresh)) for refresh in ("none", "per_bank", "all_bank")
    )
    assert none.cycles < one.cycles < every.cycles
    assert one.counters.refreshes == every.counters.bank_refreshes == 0
    units, banks = standard.organisation.pseudo_channels, standard.organisation.banks
    rounds = one.counters.bank_refreshes / banks / units
    assert rounds == pytest.approx(one.cycles / standard.refresh_interval_cycles, rel=0.1)


@pytest.mark.parametrize("name", ["HBM3_6400", "HBM3E_9200"])
def test_a_host_that_waits_is_held_up_by_the_head_of_its_line(name: str) -> None:
    """With whole rows first, the 64 queued bursts of a pseudo-channel are a row of either rank. Bursts of two
    ranks come tCCD_R apart, which is 1.5 bursts, and the waiting host lets no other row into the queue.
    """
    standard, traffic = standard_of(name), series(standard_of(name), 20_000)
    apart = standard.delay("other_rank", RD, RD) / standard.burst_cycles
    assert apart == 1.5
    good = traffic.run(standard, NO_REFRESH, window=1)
    bad = traffic.run(standard, NO_REFRESH, window=1, mapping=ROWS_FIRST)
    assert 0.9 * apart * good.cycles < bad.cycles < 1.1 * apart * good.cycles
    for run in (good, bad):
        assert (np.diff(run.admitted) >= 0).all()
    free = traffic.run(standard, NO_REFRESH, mapping=ROWS_FIRST)
    assert free.cycles < 0.8 * bad.cycles
    assert (np.diff(free.admitted) < 0).any()


@pytest.mark.parametrize("window", [1, 2, 8, 300])
def test_a_window_is_the_number_of_requests_that_wait_for_their_entry(window: int) -> None:
    standard = standard_of("HBM3_6400")
    traffic = random_traffic(standard, 2, 5, 2_000, "anywhere")
    traffic = replace(traffic, arrivals=traffic.arrivals // 8)
    run = traffic.run(standard, channels=2, window=window, trace=True)
    assert (run.admitted[window:] >= run.admitted[:-window]).all()
    assert (run.admitted >= np.maximum.accumulate(run.arrivals)).all()
    assert not check_commands(traced(run), standard).violations


@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400", "LPDDR5_6400"])
def test_channels_do_not_wait_for_each_other(name: str) -> None:
    """Each channel's requests take as long as when it works alone."""
    standard = standard_of(name)
    traffic = random_traffic(standard, 4, 6, 4_000, "walk")
    together = traffic.run(standard, channels=4)
    channel = parse_mapping(standard.mapping, standard, 4).locate_all(traffic.addresses)["channel"]
    for number in range(4):
        mine = channel == number
        alone = Traffic(traffic.writes[mine], traffic.addresses[mine], traffic.arrivals[mine])
        run = alone.run(standard, channels=4)
        assert run.completed.tolist() == together.completed[mine].tolist()


@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400"])
def test_channels_are_alike(name: str) -> None:
    """The same requests for each of four channels give the same commands on each."""
    standard, generator = standard_of(name), np.random.default_rng(8)
    shape, count = standard.organisation, 400
    places = [
        {
            "pseudo": int(generator.integers(shape.pseudo_channels)),
            "bank": int(generator.integers(shape.banks_per_group)),
            "row": int(generator.integers(3)),
            "column": int(generator.integers(shape.columns)),
        }
        for _ in range(count)
    ]
    everywhere = [place | {"channel": channel} for place in places for channel in range(4)]
    traffic = at_places(standard, everywhere, channels=4)
    commands = traced(traffic.run(standard, channels=4, mapping=PLAIN, trace=True))
    kept = [name for name in commands.dtype.names or () if name != "channel"]
    first, *others = (commands[commands["channel"] == channel][kept].tolist() for channel in range(4))
    assert all(other == first for other in others)


def data_ends(run: RequestRun) -> int:
    """The cycles of the last data of all pseudo-channels, summed, from the trace."""
    commands, standard, total = traced(run), run.standard, 0
    for channel, pseudo in product(range(run.channels), range(standard.organisation.pseudo_channels)):
        mine = commands[(commands["channel"] == channel) & (commands["pseudo"] == pseudo)]
        ends = [
            int(mine["cycle"][mine["command"] == command].max(initial=-latency(standard, command)))
            + latency(standard, command)
            for command in (RD, WR)
        ]
        total += max(ends)
    return total


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", standards())
def test_lost_cycles_are_all_those_without_data(name: str, pattern: str) -> None:
    standard = standard_of(name)
    run = random_traffic(standard, 2, 9, 2_000, pattern).run(standard, channels=2, trace=True)
    moved = run.counters.reads + run.counters.writes
    assert sum(run.counters.lost_cycles) == data_ends(run) - moved * standard.burst_cycles
    assert min(run.counters.lost_cycles) >= 0


def test_lost_cycles_name_their_cause() -> None:
    """Of each cause one example, whose loss is known to the cycle."""
    standard = standard_of("HBM2_2000")
    group, ccd = standard.organisation.banks_per_group, standard.delay("group", RD, RD)
    assert group > 1
    same_group = at_places(standard, [{"column": column} for column in range(3)])
    lost = same_group.run(standard, NO_REFRESH, mapping=PLAIN).counters.lost_cycles
    assert lost[Loss.BANK_GROUP] == 2 * (ccd - standard.burst_cycles)
    opening = from_activate(standard, RD) - latency(standard, RD)
    assert lost[Loss.ACTIVATE] == opening
    assert lost[Loss.NO_REQUEST] == standard.read_latency_cycles  # before data can come at all
    assert sum(lost) == lost[Loss.BANK_GROUP] + lost[Loss.ACTIVATE] + lost[Loss.NO_REQUEST]
    due = standard.refresh_interval_cycles
    late = at_places(standard, [{"pseudo": 1}], arrival=due)  # of two that are due, the second goes first
    lost = late.run(standard, mapping=PLAIN).counters.lost_cycles
    assert lost[Loss.NO_REQUEST] == due + standard.read_latency_cycles
    assert lost[Loss.REFRESH] == standard.delay("pseudo", REFA, ACT1)
    turn = at_places(standard, [{}, {}]) + at_places(standard, [{"column": 1}], write=True)
    lost = turn.run(standard, NO_REFRESH, mapping=PLAIN).counters.lost_cycles
    gap = standard.delay("pseudo", RD, WR) + standard.write_latency_cycles
    assert lost[Loss.TURNAROUND] == gap - standard.read_latency_cycles - standard.burst_cycles


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("page", ["open", "closed"])
@pytest.mark.parametrize(
    ("name", "refresh"),
    [(name, "all_bank") for name in standards()] + [(name, "per_bank") for name in SINGLE_BANKS],
)
def test_random_traffic_obeys_every_rule(name: str, refresh: str, page: str, pattern: str) -> None:
    standard = standard_of(name)
    policy = Policy(page=page, refresh=refresh)  # type: ignore[arg-type]
    run = random_traffic(standard, 2, 7, 2_000, pattern).run(standard, policy, channels=2, trace=True)
    report = check_commands(traced(run), standard)
    assert not report.violations, str(report)
    sent = np.bincount(traced(run)["command"], minlength=len(Command)).tolist()
    counters = run.counters
    assert (sent[RD], sent[WR]) == (counters.reads, counters.writes)
    assert sent[RD] + counters.forwarded_reads == len(run.writes) - run.writes.sum()
    assert sent[WR] + counters.coalesced_writes == run.writes.sum()
    assert sent[ACT] == counters.activates
    assert sent[PRE] + sent[PREA] == counters.precharges
    assert (sent[REFA], sent[REFB]) == (counters.refreshes, counters.bank_refreshes)
    assert counters.row_hits + counters.row_misses + counters.row_conflicts == sent[RD] + sent[WR]
    assert (run.admitted >= run.arrivals).all()
    assert (run.completed >= run.admitted).all()
    assert run.cycles == run.completed.max()


@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_again_and_without_a_trace(pattern: str, window: int) -> None:
    standard = standard_of("HBM3_6400")
    traffic = random_traffic(standard, 2, 3, 3_000, pattern)
    plain, again, noted = (
        traffic.run(standard, channels=2, window=window, trace=trace) for trace in (False, False, True)
    )
    for other in (again, noted):
        assert other.admitted.tolist() == plain.admitted.tolist()
        assert other.completed.tolist() == plain.completed.tolist()
        assert other.counters == plain.counters


def test_no_requests() -> None:
    run = series(standard_of("HBM2_2000"), 0).run(standard_of("HBM2_2000"), trace=True)
    assert (run.cycles, run.bytes_moved, len(traced(run))) == (0, 0, 0)


def test_arrays_that_do_not_fit_together() -> None:
    standard = standard_of("HBM2_2000")
    three, two = np.zeros(3, np.int64), np.zeros(2, np.int64)
    for writes, addresses, arrivals in (
        (three, three, two),
        (two, three, three),
        (three.reshape(3, 1), three.reshape(3, 1), three.reshape(3, 1)),
    ):
        with pytest.raises(HanokError, match=r"arrays of shapes .*; allowed: three of one dimension"):
            run_requests(standard, writes.astype(np.bool_), addresses, arrivals)


@pytest.mark.parametrize("address", [-32, 2 * (1 << 30), 1 << 60])
def test_an_address_beyond_the_memory(address: int) -> None:
    standard = standard_of("HBM2_2000")
    assert standard.channel_bytes == 1 << 30
    last = 2 * (1 << 30) - 1
    traffic = Traffic(np.zeros(3, np.bool_), np.array([0, last - 31, address]), np.zeros(3, np.int64))
    message = f"request 2: address {address}; allowed: 0..{last}"
    with pytest.raises(HanokError, match=re.escape(message)):
        traffic.run(standard, channels=2)


@pytest.mark.parametrize("arrival", [-1, 1 << 50])
def test_an_arrival_out_of_time(arrival: int) -> None:
    standard = standard_of("HBM2_2000")
    traffic = Traffic(np.zeros(2, np.bool_), np.zeros(2, np.int64), np.array([0, arrival]))
    message = f"request 1: arrival {arrival}; allowed: 0..{(1 << 50) - 1}"
    with pytest.raises(HanokError, match=re.escape(message)):
        traffic.run(standard)


def test_a_mapping_that_is_none() -> None:
    standard = standard_of("HBM2_2000")
    with pytest.raises(ChipError, match="mapping"):
        series(standard, 1).run(standard, mapping="row column")


def test_a_memory_larger_than_its_channels() -> None:
    memory = Memory(standard="HBM2_2000", channels=2, capacity_mib=2049)
    message = r"memory\.capacity_mib: 2049 MiB; allowed: at most 2048 for 2 channels of HBM2_2000"
    with pytest.raises(ChipError, match=message):
        make_state(memory)


def test_a_window_rule_that_the_controller_cannot_keep_is_our_bug() -> None:
    standard = standard_of("HBM2_2000")
    rule = next(rule for rule in standard.rules if rule.window > 1)
    for odd in (replace(rule, level="bank"), replace(rule, before=RD), replace(rule, window=9)):
        with pytest.raises(AssertionError, match="the controller cannot keep"):
            series(standard, 1).run(replace(standard, rules=(*standard.rules, odd)))


def flat_run(channels: int, count: int, megabytes_per_second: int = 400) -> list[int]:
    """When reads that all arrive at once are through, in ps; the last is a write."""
    memory = Memory(standard=f"FLAT:{megabytes_per_second}:50", channels=channels, capacity_mib=16)
    state = make_state(memory, port_depth=count, answers=count)
    for number in range(count):
        request(state, 0, number, number * 32, 0, int(number == count - 1))
    finish(state)
    counters = read_counters(state)
    assert (counters.reads, counters.writes, counters.activates) == (count - 1, 1, 0)
    done: list[int] = answers_of(state)[:count, 1].tolist()
    return done


@pytest.mark.parametrize("channels", [1, 4])
def test_flat_memory_has_one_bandwidth_and_one_latency(channels: int) -> None:
    """32 bytes at 400 MB/s take 80 ns; 50 ns of latency come on top of each."""
    expected = [(number // channels + 1) * 80_000 + 50_000 for number in range(400)]
    assert flat_run(channels, 400) == expected
