"""The search for an address mapping: its estimate derived by hand, its order, its findings, its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hanok.dram._mapping_estimate import costs_of, cut_pattern, estimate_cycles
from hanok.dram.mapping import parse_mapping
from hanok.dram.mapping_search import (
    Candidate,
    Requests,
    rank_candidates,
    sample_requests,
    search_mapping,
)
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Command, Standard
from hanok.dram.standards import get_standard
from hanok.errors import HanokError
from hanok.machine import Policy


def standard_of(name: str) -> Standard:
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    return standard


HBM2 = standard_of("HBM2_2000")
HBM3 = standard_of("HBM3_6400")
COUNT = 16_384
INDEX = np.arange(COUNT)
READS = np.zeros(COUNT, np.bool_)
NOW = np.zeros(COUNT, np.int64)
STREAM = INDEX * 32
COLUMN = INDEX * 4096 % (1 << 24)
"""A walk down a matrix with rows of 4,096 bytes."""
TILE = (INDEX // 256 * 128 + INDEX % 256 // 4 * 8192 + INDEX % 4 * 32) % (1 << 20)
"""64 rows x 128 bytes of a matrix with rows of 8,192 bytes, tile after tile."""
MIXED = np.where(INDEX % 2, (1 << 27) + STREAM, COLUMN)
NO_REFRESH = Policy(refresh="none")


def estimate(text: str, addresses: NDArray[np.int64], standard: Standard = HBM2) -> float:
    """In cycles for each request, without the thousandth of an activate that breaks ties."""
    units = standard.organisation.pseudo_channels
    pattern = cut_pattern(READS, addresses, units, Policy(), 0.5)
    mapping = parse_mapping(text, standard, 1)
    return estimate_cycles(mapping, standard, costs_of(standard), Policy(), pattern) / pattern.count


def test_estimates_are_the_bounds_of_what_is_busiest() -> None:
    """HBM2: the bus takes a burst each tBL on two pseudo-channels; one of them alone half as many."""
    burst = HBM2.burst_cycles
    close = pytest.approx
    assert estimate("row bank group column pseudo group:1", STREAM) == close(burst / 2, rel=0.01)
    assert estimate("pseudo row bank group column group:1", STREAM) == close(burst, rel=0.01)
    # One bank group: tCCD_L from burst to burst, on both pseudo-channels.
    long = HBM2.delay("group", Command.RD, Command.RD)
    assert long > burst
    assert estimate("group row bank column pseudo", STREAM) == close(long / 2, rel=0.02)
    # One bank, another row each time: tRC, or the longer of tRAS and a read, and the row change.
    opening = HBM2.delay("bank", Command.PRE, Command.ACT1) + HBM2.activate_gap_cycles[0]
    read = HBM2.delay("bank", Command.ACT, Command.RD) + HBM2.delay("bank", Command.RD, Command.PRE)
    cycle = max(
        HBM2.delay("bank", Command.ACT, Command.ACT),
        opening + max(read, HBM2.delay("bank", Command.ACT, Command.PRE)),
    )
    assert estimate("pseudo bank group column row", STREAM) == close(cycle, rel=0.02)
    # All banks in turn, another row each time: four activates in tFAW, or one each tRRD.
    activate = max(
        HBM2.delay("pseudo", Command.ACT, Command.ACT),
        HBM2.delay("pseudo", Command.ACT, Command.ACT, 4) / 4,
    )
    assert estimate("column row group bank pseudo", STREAM) == close(activate / 2, rel=0.15)


def test_estimate_counts_turnarounds_and_rank_switches() -> None:
    writes = INDEX // 4 % 2 == 1
    mapping = parse_mapping("row rank bank group column pseudo group:1", HBM3, 1)
    policy = Policy()
    costs = costs_of(HBM3)
    reading, both = (
        estimate_cycles(mapping, HBM3, costs, policy, cut_pattern(kinds, STREAM, 2, policy, 0.5))
        for kinds in (READS, writes)
    )
    # 64 requests a pseudo-channel and window, half of them writes: a drain for each high - low of those.
    drains = COUNT / 2 / 2 / (policy.write_high - policy.write_low)
    assert both - reading == pytest.approx(drains * costs.read_write_read, rel=0.02)
    assert costs.rank_switch == HBM3.delay("other_rank", Command.RD, Command.RD) - HBM3.burst_cycles > 0
    switching = estimate("row bank column group pseudo rank", STREAM, HBM3)
    # Rank is the lowest bit: each pseudo-channel's bursts change it every time but at the column's end.
    expected = (HBM3.burst_cycles + costs.rank_switch) / 2
    assert switching == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("standard", [HBM2, HBM3], ids=lambda standard: standard.name)
@pytest.mark.parametrize(
    ("addresses", "least"),
    [(STREAM, 0.97), (COLUMN, 0.95), (TILE, 0.95), (MIXED, 0.85)],
    ids=["stream", "column", "tile", "mixed"],
)
def test_found_mappings_come_near_the_peak(
    standard: Standard, addresses: NDArray[np.int64], least: float
) -> None:
    found = search_mapping(standard, 1, READS, addresses, NOW, NO_REFRESH)
    best = run_requests(standard, READS, addresses, NOW, policy=NO_REFRESH, mapping=found[0].text)
    assert best.cycles == found[0].cycles
    own = next(one for one in found if one.text == str(parse_mapping(standard.mapping, standard, 1)))
    assert found[0].cycles <= 1.003 * own.cycles
    ideal = COUNT * standard.burst_cycles / 2
    assert ideal / best.cycles > least
    assert found[0].estimated_cycles / best.cycles == pytest.approx(1, abs=0.1)


def test_a_short_queue_starves_a_stream_under_ramulators_default() -> None:
    """A row of 32 bursts is longer than the queue: one bank group at a time, its bursts tCCD_L apart.

    With one queue of 32 for both pseudo-channels, Ramulator 2.1 gets 21.5 of 51.2 GB/s; 16 each here.
    """
    policy = Policy(refresh="none", read_queue=16, write_queue=16, write_high=12, write_low=4)
    default = run_requests(HBM3, READS, STREAM, NOW, policy=policy, mapping="RoBaRaCoCh")
    gigabytes = default.bytes_moved / default.seconds / 1e9
    assert 0.4 * 51.2 < gigabytes < 0.55 * 51.2
    found = search_mapping(HBM3, 1, READS, STREAM, NOW, policy)[0]
    assert COUNT * HBM3.burst_cycles / 2 / found.cycles > 0.9


def test_the_search_is_the_same_each_time_and_keeps_to_its_limit() -> None:
    asked: list[str] = []

    def measure(text: str) -> tuple[int, float]:
        asked.append(text)
        return 1000 + len(text), 50.0

    first = search_mapping(HBM3, 4, READS[:2048], MIXED[:2048], NOW[:2048], limit=5, seed=3, measure=measure)
    count = len(asked)
    assert count == len(set(asked)) == len(first) <= 6
    assert asked[0] == str(parse_mapping(HBM3.mapping, HBM3, 4))
    assert (
        search_mapping(HBM3, 4, READS[:2048], MIXED[:2048], NOW[:2048], limit=5, seed=3, measure=measure)
        == first
    )
    assert asked[count:] == asked[:count]
    for candidate in first:
        parse_mapping(candidate.text, HBM3, 4)
        assert candidate.cycles == 1000 + len(candidate.text)
        assert candidate.requests == 2048


def test_short_notations_come_first_among_equals() -> None:
    def candidate(text: str, cycles: int, latency: float) -> Candidate:
        return Candidate(text, cycles, latency, float(cycles), 1)

    long, short = candidate("row:2 bank row", 1000, 50.0), candidate("row bank", 1002, 50.5)
    late, slow = candidate("bank", 1001, 60.0), candidate("row", 1100, 10.0)
    assert rank_candidates([slow, late, long, short]) == (short, long, late, slow)


def test_samples_are_runs_of_neighbours_that_arrive_one_after_another() -> None:
    count = 8_000
    pattern = Requests(np.arange(count) % 3 == 0, np.arange(count) * 32, np.arange(count) * 5 + 7)
    assert sample_requests(pattern, count) is pattern
    part = sample_requests(pattern, 800)
    assert len(part.addresses) == len(part.writes) == len(part.arrivals) == 800
    assert part.addresses[0] == 0
    assert part.addresses[-1] == (count - 1) * 32
    assert np.array_equal(part.writes, part.addresses // 32 % 3 == 0)
    assert np.count_nonzero(np.diff(part.addresses) != 32) == 7
    assert part.arrivals[0] == 7
    steps = np.diff(part.arrivals)
    assert set(steps.tolist()) == {0, 5}


def test_long_patterns_are_estimated_on_neighbouring_windows() -> None:
    addresses = np.arange(200_000) * 32
    pattern = cut_pattern(addresses < 0, addresses, 2, Policy(), 0.3)
    assert pattern.count == 16_384
    assert pattern.window == 128
    for number in np.unique(pattern.windows):
        inside = pattern.addresses[pattern.windows == number]
        assert len(inside) == 128
        assert (np.diff(inside) == 32).all()


def test_one_request_and_closed_pages_are_searched_too() -> None:
    one = search_mapping(HBM2, 1, READS[:1], STREAM[:1], NOW[:1], limit=2)
    assert one[0].requests == 1
    closed = Policy(page="closed", refresh="none")
    found = search_mapping(HBM2, 1, READS, STREAM, NOW, closed, limit=4)
    assert COUNT * HBM2.burst_cycles / 2 / found[0].cycles > 0.9


@pytest.mark.parametrize(
    ("writes", "addresses", "limit", "message"),
    [
        (READS[:2], STREAM[:3], 4, "2 writes, 3 addresses and 3 arrivals; allowed: one of each"),
        (READS[:0], STREAM[:0], 4, "there are no requests; give the pattern"),
        (READS[:3], STREAM[:3] - 32, 4, r"address -32 is outside the memory; allowed: 0\.\."),
        (READS[:3], STREAM[:3] + HBM2.channel_bytes, 4, r"address \d+ is outside the memory"),
        (READS[:3], STREAM[:3], 0, "limit is 0; allowed: 1 or more"),
    ],
)
def test_patterns_that_cannot_be_searched_are_refused(
    writes: NDArray[np.bool_], addresses: NDArray[np.int64], limit: int, message: str
) -> None:
    with pytest.raises(HanokError, match=f"mapping search: {message}"):
        search_mapping(HBM2, 1, writes, addresses, np.zeros(len(addresses), np.int64), limit=limit)
