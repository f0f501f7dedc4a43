"""Requests for the controller's tests: in words, as streams, and seeded random ones of several patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram import Command, Commands, RequestRun, Standard, parse_mapping, run_requests
from hanok.machine import Policy

PLAIN = "row rank bank group column channel pseudo"
"""A mapping in which no field depends on another."""
PATTERNS = ("anywhere", "walk", "hot rows", "stride", "gaps")


@dataclass(frozen=True)
class Traffic:
    """Requests in the order in which they are given; arrivals are cycles."""

    writes: NDArray[np.bool_]
    addresses: NDArray[np.int64]
    arrivals: NDArray[np.int64]

    def __add__(self, later: Traffic) -> Traffic:
        return Traffic(
            np.concatenate([self.writes, later.writes]),
            np.concatenate([self.addresses, later.addresses]),
            np.concatenate([self.arrivals, later.arrivals]),
        )

    def run(
        self,
        standard: Standard,
        policy: Policy | None = None,
        *,
        channels: int = 1,
        mapping: str = "",
        window: int = 0,
        trace: bool = False,
        stream: bool = True,
    ) -> RequestRun:
        return run_requests(
            standard,
            self.writes,
            self.addresses,
            self.arrivals,
            channels=channels,
            policy=policy,
            mapping=mapping,
            window=window,
            trace=trace,
            stream=stream,
        )


def series(
    standard: Standard, count: int, *, first: int = 0, step: int = 1, write: bool = False, arrival: int = 0
) -> Traffic:
    """`count` bursts from the one numbered `first`, each `step` bursts on, all of which arrive at once."""
    addresses = (first + np.arange(count) * step) * standard.burst_bytes
    return Traffic(np.full(count, write), addresses, np.full(count, arrival))


def at_places(
    standard: Standard,
    places: Iterable[Mapping[str, int]],
    *,
    write: bool = False,
    arrival: int = 0,
    channels: int = 1,
) -> Traffic:
    """Requests for places by their fields, under the mapping PLAIN; what is not named is 0."""
    mapping = parse_mapping(PLAIN, standard, channels)
    addresses = np.array([mapping.address_of(place) for place in places], np.int64)
    return Traffic(np.full(len(addresses), write), addresses, np.full(len(addresses), arrival))


def random_traffic(standard: Standard, channels: int, seed: int, count: int, pattern: str) -> Traffic:
    """About a third of them writes, over the whole memory; the mean time between arrivals is a burst's."""
    generator = np.random.default_rng([seed, count])
    bursts = standard.channel_bytes * channels // standard.burst_bytes
    steps = generator.integers(0, 2 * standard.burst_cycles + 1, count) // channels
    numbers = generator.integers(0, bursts, count)
    match pattern:
        case "walk":
            jumps = generator.choice([1, 1, 1, 1, 64, 1 << 14], count)
            numbers = np.cumsum(generator.integers(-1, 4, count) * jumps)
        case "hot rows":
            numbers = generator.choice(numbers[:8], count) + generator.integers(0, 128, count)
        case "stride":
            numbers = np.arange(count) << int(generator.integers(1, 13))
        case "gaps":
            numbers = np.repeat(numbers, 8)[:count] + np.arange(count) % 8
            steps = (generator.random(count) < 0.02) * generator.integers(
                0, 2 * standard.refresh_interval_cycles, count
            )
    return Traffic(generator.random(count) < 0.35, numbers % bursts * standard.burst_bytes, np.cumsum(steps))


def cycles_of(run: RequestRun, *commands: Command, pseudo: int = 0) -> list[int]:
    """When `commands` were sent on a pseudo-channel of channel 0."""
    found = traced(run)
    mine = (found["channel"] == 0) & (found["pseudo"] == pseudo) & np.isin(found["command"], commands)
    cycles: list[int] = found["cycle"][mine].tolist()
    return cycles


def traced(run: RequestRun) -> Commands:
    """The commands of a run that was traced."""
    assert run.commands is not None
    return run.commands
