"""Long streams: skipping what repeats and simulating like channels once changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from hanok.dram import Standard, get_standard, run_requests
from hanok.dram.streams import Stream, run_streams
from hanok.errors import HanokError
from hanok.machine import Policy

NAMES = ("HBM2_2000", "HBM3_6400", "LPDDR5_6400", "DDR5_4800", "GDDR6_16000")
MAPPINGS = (
    "",
    "row bank group rank pseudo channel column",
    "row rank bank group column channel pseudo",
    "column row rank bank group channel pseudo",
    "row rank bank group column channel pseudo^row",
)


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def often_refreshed(standard: Standard) -> Standard:
    """With refreshes often enough that states repeat within a test."""
    return replace(standard, refresh_interval_cycles=standard.refresh_interval_cycles // 2)


def random_streams(generator: np.random.Generator, standard: Standard, channels: int) -> list[Stream]:
    found = []
    for _ in range(generator.integers(1, 4)):
        stride = int(generator.choice([1, 1, 1, 2, 8, 64, 3, 17])) * standard.burst_bytes
        bursts = int(generator.integers(1, 12_000))
        room = standard.channel_bytes * channels - bursts * stride
        address = int(generator.integers(0, room // standard.burst_bytes)) * standard.burst_bytes
        arrival = int(generator.choice([0, 0, 5_000]))
        found.append(Stream(address, bursts, stride, bool(generator.random() < 0.4), arrival))
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", NAMES)
def test_the_stream_path_equals_the_step_path(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    standard, channels = often_refreshed(standard_of(name)), int(generator.choice([1, 2, 4]))
    kinds: list[Literal["all_bank", "per_bank", "none"]] = ["all_bank", "none"]
    if standard.bank_refresh_interval_cycles:
        kinds.append("per_bank")
    policy = Policy(refresh=kinds[seed % len(kinds)])
    streams = random_streams(generator, standard, channels)
    mapping = MAPPINGS[int(generator.integers(len(MAPPINGS)))]
    if standard.organisation.pseudo_channels == 1:
        mapping = mapping.replace("pseudo^row", "pseudo")
    stream, step = (
        run_streams(standard, streams, channels=channels, policy=policy, mapping=mapping, stream=path)
        for path in (True, False)
    )
    assert step.simulated_bursts == step.counters.reads + step.counters.writes
    assert (stream.cycles, stream.counters) == (step.cycles, step.counters)


@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400"])
def test_a_long_stream_is_skipped_exactly(name: str) -> None:
    """Two channels that see the same, and intervals that repeat."""
    standard = often_refreshed(standard_of(name))
    streams = [Stream(1 << 16, 1_500_000)]
    stream, step = (run_streams(standard, streams, channels=2, stream=path) for path in (True, False))
    assert (stream.cycles, stream.counters) == (step.cycles, step.counters)
    assert stream.simulated_bursts <= stream.bursts // 2
    assert step.simulated_bursts == stream.bursts


@pytest.mark.parametrize("name", NAMES)
def test_one_stream_is_its_requests(name: str) -> None:
    standard, count = standard_of(name), 20_000
    addresses = 4096 + np.arange(count) * standard.burst_bytes
    run = run_requests(standard, np.zeros(count, bool), addresses, np.zeros(count, np.int64), channels=2)
    found = run_streams(standard, [Stream(4096, count)], channels=2)
    assert (found.cycles, found.counters.reads, found.counters.row_hits) == (
        run.cycles,
        run.counters.reads,
        run.counters.row_hits,
    )


@pytest.mark.parametrize("window", [0, 1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_requests_step_and_stream_alike_command_by_command(name: str, window: int) -> None:
    standard, generator, count = standard_of(name), np.random.default_rng(window), 3_000
    patterns = (
        np.arange(count),
        np.arange(count) * 17,
        generator.integers(0, 1 << 18, count),
        np.arange(count) // 4 * 1024 + np.arange(count) % 4,
    )
    for number, bursts in enumerate(patterns):
        writes = generator.random(count) < (0, 0.3, 0.3, 0.5)[number]
        arrivals = np.sort(generator.integers(0, (1, 20_000)[number % 2], count))
        stream, step = (
            run_requests(
                standard,
                writes,
                bursts * standard.burst_bytes,
                arrivals,
                channels=2,
                window=window,
                trace=True,
                stream=path,
            )
            for path in (True, False)
        )
        np.testing.assert_array_equal(stream.admitted, step.admitted)
        np.testing.assert_array_equal(stream.completed, step.completed)
        np.testing.assert_array_equal(stream.commands, step.commands)
        assert stream.counters == step.counters


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Stream(1, 10), "address and stride in whole bursts of 32"),
        (Stream(0, -1), "allowed: bursts and arrival of at least 0"),
        (Stream(0, 4, arrival=-1), "allowed: bursts and arrival of at least 0"),
        (Stream(1 << 40, 4), "stream 0: addresses"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(stream: Stream, message: str) -> None:
    with pytest.raises(HanokError, match=message):
        run_streams(standard_of("HBM2_2000"), [stream])
