"""The controller against formulas: bandwidth, latency, refresh, posted writes, determinism."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from traffic import Traffic, play, random_traffic, stream_end

from hanok.dram import (
    Command,
    Standard,
    check_trace,
    command_trace,
    get_standard,
    make_state,
    read_counters,
    standards,
    state_of,
)
from hanok.dram import _layout as layout
from hanok.dram._kernels import flush, read, write
from hanok.machine import Memory

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command
ONE_PSEUDO = 128
"""A stride that stays on one pseudo-channel of one channel of HBM2."""


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def to_ps(standard: Standard, cycles: int) -> int:
    return -(-cycles * standard.tck_fs // 1000)


def unloaded_cycles(standard: Standard) -> int:
    """ACT1, one cycle later ACT, tRCD, read latency, burst."""
    return 1 + standard.delay("bank", ACT, RD) + standard.read_latency_cycles + standard.burst_cycles


@pytest.mark.parametrize("name", standards())
def test_unloaded_read_of_a_closed_bank_takes_rcd_latency_and_burst(name: str) -> None:
    standard = standard_of(name)
    assert read(state_of(standard, 2), 0, 0) == to_ps(standard, unloaded_cycles(standard))


@pytest.mark.parametrize("name", standards())
def test_row_hit_and_row_conflict_latency(name: str) -> None:
    standard = standard_of(name)
    state = state_of(standard, 1, refresh=False)
    late = to_ps(standard, 1000)
    read(state, 0, 0)
    hit = read(state, 0, late)
    data = standard.read_latency_cycles + standard.burst_cycles
    assert hit == to_ps(standard, 1000 + data)
    row_bytes = standard.channel_bytes // standard.organisation.rows
    same_bank = 4 * row_bytes  # four rows on, the row's low bits turn the bank number to the same again
    conflict = read(state, same_bank, 2 * late)
    pre = standard.delay("bank", PRE, ACT1)
    assert conflict == to_ps(standard, 2000 + pre + unloaded_cycles(standard))
    counters = read_counters(state)
    assert (counters.row_hits, counters.row_misses, counters.row_conflicts) == (1, 1, 1)


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("name", standards())
def test_stream_without_refresh_reaches_the_bus_limit(name: str, channels: int) -> None:
    standard = standard_of(name)
    count = 20_000
    window = 256 * channels * standard.organisation.pseudo_channels
    end = stream_end(state_of(standard, channels, refresh=False), count, window)
    ideal = count * standard.burst_bytes / (standard.peak_bytes_per_second * channels) * 1e12
    assert ideal <= end <= ideal * 1.005 + 2 * to_ps(standard, unloaded_cycles(standard))


@pytest.mark.parametrize("name", standards())
def test_stream_loses_refresh_and_restart_only(name: str) -> None:
    """Between two refreshes: tREFI less read-to-precharge, tRP, tRFC, ACT1 and tRCD is left for data."""
    standard = standard_of(name)
    units = standard.organisation.pseudo_channels
    bursts = 10 * standard.refresh_interval_cycles * units // standard.burst_cycles
    end = stream_end(state_of(standard, 1), bursts, 256 * units)
    share = bursts * standard.burst_bytes / (end * 1e-12) / standard.peak_bytes_per_second
    interval = standard.refresh_interval_cycles
    refresh = standard.delay("pseudo", REFA, ACT1)
    restart = (
        standard.delay("pseudo", RD, PREA)
        + standard.delay("pseudo", PREA, REFA)
        + 1
        + standard.delay("bank", ACT, RD)
    )
    slack = 4 * standard.delay("pseudo", ACT, ACT, 4) + 16
    assert 1 - (refresh + restart + slack) / interval <= share <= 1 - refresh * 9 / 10 / interval


@pytest.mark.parametrize("name", standards())
def test_writes_stream_at_the_bus_limit(name: str) -> None:
    standard = standard_of(name)
    state = state_of(standard, 1, refresh=False)
    count = 8_000
    accepted = 0
    for index in range(count):
        accepted = write(state, index * 32, accepted)
    end = flush(state)
    ideal = count * standard.burst_bytes / standard.peak_bytes_per_second * 1e12
    assert ideal <= end <= ideal * 1.05 + 4 * to_ps(standard, unloaded_cycles(standard))
    assert read_counters(state).turnarounds == 0


@pytest.mark.parametrize("pattern", ["random", "local", "gaps"])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", standards())
def test_random_traffic_obeys_every_rule(name: str, channels: int, pattern: str) -> None:
    standard = standard_of(name)
    state = state_of(standard, channels, trace_commands=60_000)
    play(state, random_traffic(7, 5_000, 1 << 30, pattern))
    trace = command_trace(state, standard)
    assert [str(violation) for violation in check_trace(trace, standard)[:3]] == []
    counters = read_counters(state)
    commands = [item.command for item in trace]
    assert commands.count(RD) == counters.reads - counters.forwarded_reads
    assert commands.count(WR) == counters.writes
    assert commands.count(ACT) == counters.activates == counters.row_misses + counters.row_conflicts
    assert commands.count(REFA) == counters.refreshes
    assert commands.count(PRE) + commands.count(PREA) == counters.precharges
    assert counters.row_hits + counters.activates == counters.writes + commands.count(RD)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["random", "local", "gaps"])
@pytest.mark.parametrize("name", standards())
def test_long_random_traffic_obeys_every_rule(name: str, pattern: str) -> None:
    standard = standard_of(name)
    state = state_of(standard, 2, trace_commands=1_200_000)
    play(state, random_traffic(11, 100_000, 1 << 30, pattern))
    assert check_trace(command_trace(state, standard), standard) == []


def test_tracing_changes_no_answer() -> None:
    standard = standard_of("HBM3_6400")
    traffic = random_traffic(3, 4_000, 1 << 28, "gaps")
    plain = play(state_of(standard, 2), traffic)
    assert play(state_of(standard, 2, trace_commands=100_000), traffic) == plain
    assert play(state_of(standard, 2), traffic) == plain


def test_a_long_idle_time_is_refreshed_in_full_and_at_once() -> None:
    standard = standard_of("LPDDR5_6400")
    state = state_of(standard, 4)
    read(state, 0, 0)
    second_ps = 10**12
    end = read(state, 0, 100 * second_ps)
    due = 100 * second_ps * 1000 // (standard.tck_fs * standard.refresh_interval_cycles)
    flush(state)
    assert abs(read_counters(state).refreshes - 4 * due) <= 4
    assert end - 100 * second_ps <= to_ps(standard, 2 * standard.delay("pseudo", REFA, ACT1))


def test_skipped_refreshes_leave_the_state_that_single_ones_leave() -> None:
    standard = standard_of("HBM2_2000")
    arrivals = np.array([0, 5_000, 400_000_000, 400_000_500, 900_000_000, 900_001_000])
    addresses = np.array([0, 1 << 20, 32, 64, 1 << 21, 96])
    traffic = Traffic(addresses, np.array([False, True, False, True, False, False]), arrivals)
    traced = state_of(standard, 2, trace_commands=50_000)
    plain = state_of(standard, 2)
    assert play(traced, traffic) == play(plain, traffic)
    assert read_counters(traced) == read_counters(plain)
    assert check_trace(command_trace(traced, standard), standard) == []


def test_posted_write_returns_at_once_until_the_queue_is_full() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1, refresh=False)
    answers = [write(state, index * ONE_PSEUDO, 0) for index in range(layout.WRITE_QUEUE * 2)]
    assert answers[: layout.WRITE_QUEUE] == [0] * layout.WRITE_QUEUE
    assert answers[layout.WRITE_QUEUE] > 0
    assert answers == sorted(answers)


def test_writes_wait_for_the_high_watermark_or_for_idle_time() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1, refresh=False)
    for index in range(layout.WRITE_HIGH - 1):
        write(state, index * ONE_PSEUDO, 0)
    assert read_counters(state).writes == 0
    read(state, 1 << 20, 1)
    assert read_counters(state).writes == 0
    read(state, 1 << 20, to_ps(standard, 10_000))
    assert read_counters(state).writes == layout.WRITE_HIGH - 1
    assert read_counters(state).turnarounds == 2


def test_the_high_watermark_sends_a_batch_and_pays_one_turnaround() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1, refresh=False)
    read(state, 0, 0)
    for index in range(layout.WRITE_HIGH):
        write(state, (1 << 20) + index * ONE_PSEUDO, 0)
    read(state, ONE_PSEUDO, 0)
    counters = read_counters(state)
    assert counters.writes == layout.WRITE_HIGH - layout.WRITE_LOW
    assert counters.turnarounds == 2


def test_a_read_of_a_queued_write_is_forwarded_and_of_a_neighbour_is_not() -> None:
    standard = standard_of("LPDDR5_6400")
    state = state_of(standard, 1, refresh=False)
    write(state, 4096, 0)
    assert read(state, 4096, 1000) == to_ps(standard, 1 + standard.burst_cycles)
    read(state, 4096 + 32, 1000)
    counters = read_counters(state)
    assert (counters.forwarded_reads, counters.reads, counters.writes) == (1, 2, 0)
    flush(state)
    read(state, 4096, 10**6)
    assert read_counters(state).forwarded_reads == 1


def test_reads_of_a_pseudo_channel_come_back_in_order() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1)
    generator = np.random.default_rng(5)
    addresses = generator.integers(0, 1 << 20, 3_000) * ONE_PSEUDO
    answers = [read(state, address, 0) for address in addresses.tolist()]
    assert answers == sorted(answers)


def test_a_refresh_delays_a_read_and_counts_as_stall() -> None:
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 1)
    due = to_ps(standard, standard.refresh_interval_cycles)
    end = read(state, 0, due)
    refresh = standard.delay("pseudo", REFA, ACT1)
    assert end == due + to_ps(standard, refresh + unloaded_cycles(standard))
    assert read_counters(state).refresh_stall_ps == to_ps(standard, refresh)


def test_flat_memory_has_one_bandwidth_and_one_latency() -> None:
    state = make_state(Memory(standard="FLAT:470:100", channels=1, capacity_mib=16))
    last = 0
    for index in range(1_000):
        last = read(state, index * 32, 0)
    assert last == pytest.approx(1_000 * 32 / 470e6 * 1e12 + 100_000, rel=1e-6)
    first_write = write(state, 0, last)
    assert first_write == last
    assert flush(state) >= last
    counters = read_counters(state)
    assert (counters.reads, counters.writes, counters.activates) == (1_000, 1, 0)


def test_flat_channels_add_up() -> None:
    one = make_state(Memory(standard="FLAT:1000", channels=1, capacity_mib=16))
    four = make_state(Memory(standard="FLAT:1000", channels=4, capacity_mib=16))
    assert stream_end(one, 4_000, 64) == pytest.approx(4 * stream_end(four, 4_000, 64), rel=1e-3)


def test_a_rule_that_the_controller_does_not_know_is_our_bug() -> None:
    standard = standard_of("HBM2_2000")
    odd = replace(standard.rules[0], level="bank", before=WR, after=WR)
    with pytest.raises(AssertionError, match="does not know the rule"):
        state_of(replace(standard, rules=(*standard.rules, odd)), 1)
    longer = next(rule for rule in standard.rules if (rule.before, rule.after) == (PRE, REFA))
    rules = (*standard.rules, replace(longer, cycles=10_000))
    with pytest.raises(AssertionError, match="is not implied"):
        state_of(replace(standard, rules=rules), 1)
