"""Long streams: the stream path, skipping what repeats and running like channels once change nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from small_standards import standard_of
from traffic import Traffic, random_traffic, series, traced

from hanok.dram import Command, RequestRun, Standard
from hanok.dram.streams import Stream, StreamRun, run_streams
from hanok.errors import ChipError, HanokError
from hanok.machine import Policy

NAMES = ("HBM2_2000", "HBM3_6400", "LPDDR5_6400", "DDR5_4800", "GDDR6_16000")
MAPPINGS = (
    "",
    "RoBaRaCoCh",
    "row rank bank group column channel pseudo",
    "row column rank bank group channel pseudo",
    "row bank group rank pseudo channel column",
    "rank row bank group column channel pseudo",
    "column row rank bank group channel pseudo",
    "channel row rank bank group column pseudo",
    "row rank bank group row:3 column channel pseudo",
    "row rank bank group column channel^row pseudo group:1",
    "row rank bank group column channel pseudo^row+2",
)
"""Rows as the highest bits, below others, in two places; channel and pseudo-channel plain and hashed."""


@dataclass(frozen=True)
class Load:
    """Streams, and the memory that they are for."""

    name: str
    channels: int
    mapping: str
    policy: Policy
    streams: tuple[Stream, ...]

    @property
    def standard(self) -> Standard:
        return standard_of(self.name)

    def run(self, stream: bool = True) -> StreamRun:
        return run_streams(
            self.standard,
            self.streams,
            channels=self.channels,
            policy=self.policy,
            mapping=self.mapping,
            stream=stream,
        )

    def requests(self, gap: int = 0) -> Traffic:
        """The streams' bursts in the order of their arrival, those of a stream `gap` cycles apart."""
        traffic = series(self.standard, 0)
        for item in self.streams:
            step = (item.stride_bytes or self.standard.burst_bytes) // self.standard.burst_bytes
            first = item.address // self.standard.burst_bytes
            bursts = series(self.standard, item.bursts, first=first, step=step, write=item.write)
            traffic += replace(bursts, arrivals=item.arrival + np.arange(item.bursts) * gap)
        order = np.argsort(traffic.arrivals, kind="stable")
        return Traffic(traffic.writes[order], traffic.addresses[order], traffic.arrivals[order])


@some.composite
def loads(draw: some.DrawFn, most: int, streams: int) -> Load:
    """Up to `streams` streams of up to `most` bursts: contiguous, of a power of two or odd, far or near."""
    standard, channels = standard_of(draw(some.sampled_from(NAMES))), draw(some.sampled_from((1, 2, 4)))
    kinds: list[Literal["all_bank", "per_bank", "none"]] = ["all_bank", "none"]
    if Command.REFB in standard.forms:
        kinds.append("per_bank")
    policy = Policy(
        page=draw(some.sampled_from(("open", "open", "closed"))),
        row_hit_cap=draw(some.sampled_from((16, 4, 0))),
        refresh=draw(some.sampled_from(kinds)),
        postponed_refreshes=draw(some.sampled_from((0, 0, 2, 7))),
    )
    room = standard.channel_bytes * channels // standard.burst_bytes
    found = []
    for _ in range(draw(some.integers(1, streams))):
        step = draw(some.sampled_from((1, 1, 1, 2, 8, 64, 1 << 10, 1 << 13, 3, 17, 255, 4097)))
        near, far = some.integers(0, 63).map(lambda number: number << 9), some.integers(0, room - 1)
        address = draw(near | far)
        bursts = min(draw(some.integers(0, most)), (room - 1 - address) // step + 1)
        size = standard.burst_bytes
        arrival = draw(some.sampled_from((0, 0, 0, 1, 1_000, 20_000, 100_000)))
        stride = 0 if step == 1 else step * size
        found.append(Stream(address * size, bursts, stride, draw(some.booleans()), arrival))
    return Load(standard.name, channels, draw(some.sampled_from(MAPPINGS)), policy, tuple(found))


SEEDED = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def check_streams(load: Load) -> StreamRun:
    """Both ways give the same, but for how many bursts were stepped."""
    stream, step = load.run(), load.run(stream=False)
    counters = step.counters
    answered = counters.forwarded_reads + counters.coalesced_writes
    assert step.simulated_bursts + answered == step.bursts == sum(item.bursts for item in load.streams)
    assert replace(stream, simulated_bursts=0) == replace(step, simulated_bursts=0)
    return stream


@given(loads(most=4_000, streams=3))
@settings(SEEDED, max_examples=400)
def test_streams_are_what_every_burst_of_theirs_is(load: Load) -> None:
    check_streams(load)


@given(loads(most=40_000, streams=2))
@settings(SEEDED, max_examples=150)
def test_long_streams_are_what_every_burst_of_theirs_is(load: Load) -> None:
    check_streams(load)


@pytest.mark.slow
@given(loads(most=60_000, streams=3))
@settings(SEEDED, max_examples=1_500)
def test_many_streams_are_what_every_burst_of_theirs_is(load: Load) -> None:
    check_streams(load)


LONG = 2_000_000


@pytest.mark.parametrize(
    ("name", "refresh", "page", "streams"),
    [
        ("LPDDR5_6400", "all_bank", "open", (Stream(1 << 16, LONG),)),
        ("LPDDR5_6400", "all_bank", "open", (Stream(0, LONG, write=True),)),
        ("LPDDR5_6400", "all_bank", "open", (Stream(0, LONG // 2), Stream(1 << 30, LONG // 2))),
        ("LPDDR5_6400", "all_bank", "closed", (Stream(0, LONG),)),
        ("LPDDR5_6400", "per_bank", "open", (Stream(0, LONG, 64),)),
        ("GDDR6_16000", "none", "open", (Stream(0, LONG), Stream(1 << 28, LONG // 2, arrival=10_000))),
        ("GDDR6_16000", "none", "closed", (Stream(0, LONG, write=True),)),
        ("GDDR6_16000", "per_bank", "open", (Stream(0, LONG),)),
        ("HBM2_2000", "all_bank", "open", (Stream(0, LONG // 2), Stream(1 << 29, LONG // 2))),
        ("HBM2_2000", "all_bank", "closed", (Stream(0, LONG),)),
        ("HBM3_6400", "all_bank", "open", (Stream(0, LONG),)),
        ("DDR5_4800", "all_bank", "open", (Stream(0, LONG // 2), Stream(1 << 31, LONG // 2))),
    ],
)
def test_what_repeats_is_skipped(
    name: str,
    refresh: Literal["all_bank", "per_bank", "none"],
    page: Literal["open", "closed"],
    streams: tuple[Stream, ...],
) -> None:
    """Within a million bursts or so all but the time and the rows' numbers comes back, refreshes and all."""
    found = check_streams(Load(name, 1, "", Policy(page=page, refresh=refresh), streams))
    assert found.simulated_bursts < found.bursts


@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400", "HBM3E_9200", "LPDDR5_6400", "DDR5_4800"])
def test_what_repeats_in_other_banks_is_skipped(name: str) -> None:
    """Bank after bank, each pseudo-channel at its own pace: the banks have exchanged their parts."""
    streams = (Stream(0, 2 * LONG), Stream(1 << 27, LONG))
    found = check_streams(Load(name, 1, "RoBaRaCoCh", Policy(), streams))
    assert found.simulated_bursts < found.bursts


def test_like_channels_are_run_once() -> None:
    """Four channels have the same to do; no state repeats in so short a stream."""
    load = Load("HBM2_2000", 4, "", Policy(), (Stream(0, 4_096),))
    assert check_streams(load).simulated_bursts == 1_024


def check_requests(traffic: Traffic, load: Load, window: int) -> None:
    """The stream path, each command planned anew, and no trace: the same, command by command."""

    def run(stream: bool, trace: bool) -> RequestRun:
        return traffic.run(
            load.standard,
            load.policy,
            channels=load.channels,
            mapping=load.mapping,
            window=window,
            trace=trace,
            stream=stream,
        )

    streamed, stepped, silent = run(True, True), run(False, True), run(True, False)
    for other in (stepped, silent):
        np.testing.assert_array_equal(streamed.admitted, other.admitted)
        np.testing.assert_array_equal(streamed.completed, other.completed)
        assert streamed.counters == other.counters
    np.testing.assert_array_equal(traced(streamed), traced(stepped))


@given(loads(most=1_500, streams=3), some.sampled_from((0, 0, 1, 3, 40)), some.sampled_from((0, 0, 1, 8)))
@settings(SEEDED, max_examples=400)
def test_requests_stream_and_step_alike_command_by_command(load: Load, gap: int, window: int) -> None:
    check_requests(load.requests(gap), load, window)


@pytest.mark.slow
@given(loads(most=6_000, streams=4), some.sampled_from((0, 0, 1, 3, 40)), some.sampled_from((0, 0, 1, 8)))
@settings(SEEDED, max_examples=1_500)
def test_many_requests_stream_and_step_alike(load: Load, gap: int, window: int) -> None:
    check_requests(load.requests(gap), load, window)


@pytest.mark.parametrize("window", [0, 1, 8])
@pytest.mark.parametrize("pattern", ["walk", "hot rows", "gaps"])
@pytest.mark.parametrize("name", NAMES)
def test_random_requests_stream_and_step_alike(name: str, pattern: str, window: int) -> None:
    traffic = random_traffic(standard_of(name), 2, 4, 3_000, pattern)
    check_requests(traffic, Load(name, 2, "", Policy(), ()), window)


@given(loads(most=20_000, streams=1))
@settings(SEEDED, max_examples=80)
def test_one_stream_is_its_requests(load: Load) -> None:
    """Of several channels, those that are done early may be refreshed until the last one is, or not."""
    found = load.run()
    run = load.requests().run(load.standard, load.policy, channels=load.channels, mapping=load.mapping)
    assert found.cycles == run.cycles
    if load.channels == 1:
        assert found.counters == run.counters
    plain, listed = (
        replace(counters, refreshes=0, bank_refreshes=0, precharges=0)
        for counters in (found.counters, run.counters)
    )
    assert plain == listed


def test_speed_is_bytes_by_time() -> None:
    standard = standard_of("HBM2_2000")
    found = run_streams(standard, [Stream(0, 1_000), Stream(1 << 20, 500, write=True)])
    assert found.seconds == found.cycles * 1e-9
    assert found.bytes_per_second == 1_500 * 32 / found.seconds


def test_no_bursts_take_no_time() -> None:
    for streams in ([], [Stream(0, 0)], [Stream(1 << 50, 0)]):
        found = run_streams(standard_of("HBM2_2000"), streams)
        assert (found.cycles, found.bursts, found.simulated_bursts, found.bytes_per_second) == (0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            Stream(0, -1),
            "allowed: bursts and arrival of at least 0, address and stride in whole bursts of 32",
        ),
        (Stream(0, 1, arrival=-1), "arrival=-1.*; allowed: bursts and arrival of at least 0"),
        (Stream(16, 1), "address=16.*; allowed: .* address and stride in whole bursts of 32 bytes"),
        (Stream(0, 2, 48), "stride_bytes=48.*; allowed: .* address and stride in whole bursts of 32 bytes"),
        (Stream(0, 2, -32), "stride_bytes=-32.*; allowed"),
        (Stream(1 << 30, 1), r"addresses 1073741824\.\.1073741855; allowed: 0\.\.1073741823"),
        (Stream(-32, 1), r"addresses -32\.\.-1; allowed: 0\.\.1073741823"),
        (Stream(0, 3, 1 << 29), r"addresses 0\.\.1073741855; allowed: 0\.\.1073741823"),
    ],
)
def test_a_stream_that_cannot_be(stream: Stream, message: str) -> None:
    with pytest.raises(HanokError, match=f"stream 1: .*{message}"):
        run_streams(standard_of("HBM2_2000"), [Stream(0, 1), stream])


def test_a_mapping_or_policy_that_cannot_be() -> None:
    with pytest.raises(ChipError, match="mapping"):
        run_streams(standard_of("HBM2_2000"), [Stream(0, 1)], mapping="row column")
    with pytest.raises(ChipError, match="per_bank"):
        run_streams(standard_of("DDR5_4800"), [Stream(0, 1)], policy=Policy(refresh="per_bank"))
