"""Seeded request patterns and a loop that plays them, for the DRAM tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram import State
from hanok.dram._kernels import flush, read, write

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Traffic:
    """Bursts in the order of their arrival."""

    addresses: Integers
    writes: NDArray[np.bool_]
    arrivals_ps: Integers


def play(state: State, traffic: Traffic) -> tuple[list[int], int]:
    """Return each burst's answer, and the end of it all after the flush."""
    answers = [
        write(state, address, arrival) if is_write else read(state, address, arrival)
        for address, is_write, arrival in zip(
            traffic.addresses.tolist(), traffic.writes.tolist(), traffic.arrivals_ps.tolist(), strict=True
        )
    ]
    return answers, flush(state)


def random_traffic(seed: int, count: int, span_bytes: int, pattern: str) -> Traffic:
    """Return 35 % writes: 'random' addresses, 'local' walks with jumps, or 'gaps' of idle time between."""
    generator = np.random.default_rng(seed)
    addresses = generator.integers(0, span_bytes // 32, count)
    gaps = generator.integers(0, 2_000, count)
    if pattern == "local":
        steps = generator.integers(-3, 9, count) * generator.choice([1, 1, 1, 64], count)
        addresses = np.cumsum(steps) % (span_bytes // 32)
        gaps = generator.integers(0, 500, count)
    if pattern == "gaps":
        gaps = (generator.random(count) < 0.02) * generator.integers(0, 20_000_000, count)
    return Traffic(addresses * 32, generator.random(count) < 0.35, np.cumsum(gaps))


def stream_end(state: State, count: int, window: int, burst_bytes: int = 32) -> int:
    """Read `count` bursts in a row, each sent when the one `window` before has come; return the end."""
    ends = [0] * window
    last = 0
    for index in range(count):
        last = read(state, index * burst_bytes, ends[index % window])
        ends[index % window] = last
    return last
