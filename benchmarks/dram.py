"""Bandwidth, latency and simulation speed of the DRAM model for each standard, as shown in docs/dram.md."""

from __future__ import annotations

import time

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hanok.dram import Command, Standard, get_standard, standards, state_of
from hanok.dram._kernels import flush, read, write

CHANNELS = 8
WINDOW = 4096
BURSTS = 1_000_000


@njit
def play(
    state: NDArray[np.int64], addresses: NDArray[np.int64], writes: NDArray[np.bool_], window: int
) -> int:
    """Send each burst when the one `window` before has been answered; return the end of the last."""
    ends = np.zeros(window, np.int64)
    for index in range(len(addresses)):
        slot = index % window
        if writes[index]:
            ends[slot] = write(state, addresses[index], ends[slot])
        else:
            ends[slot] = read(state, addresses[index], ends[slot])
    return max(ends.max(), flush(state))


def measure(
    standard: Standard, addresses: NDArray[np.int64], writes: NDArray[np.bool_], refresh: bool = True
) -> tuple[float, float]:
    """Return the share of the peak bandwidth, and millions of bursts simulated in a second of CPU time."""
    fastest, end = float("inf"), 1
    for _ in range(3):
        state = state_of(standard, CHANNELS, refresh)
        start = time.process_time()
        end = play(state, addresses, writes, WINDOW)
        fastest = min(fastest, time.process_time() - start)
    moved = len(addresses) * standard.burst_bytes / (end * 1e-12)
    return moved / (standard.peak_bytes_per_second * CHANNELS), len(addresses) / fastest / 1e6


def main() -> None:
    """Print one row a standard."""
    stream = np.arange(BURSTS, dtype=np.int64) * 32
    reads, stores = np.zeros(BURSTS, np.bool_), np.ones(BURSTS, np.bool_)
    every_third = np.arange(BURSTS) % 3 == 2
    own_index = np.where(every_third, np.cumsum(every_third), np.cumsum(~every_third)) - 1
    two_streams = own_index * 32 + every_third * (1 << 26)
    scattered = np.random.default_rng(1).integers(0, 1 << 25, BURSTS // 2) * 32
    first = get_standard(standards()[0])
    assert isinstance(first, Standard)
    measure(first, stream[:1000], stores[:1000])
    print("             | GB/s      | share of the peak, percent              | bound: | closed | M bursts/s")
    print(
        "standard     | a channel | reads, no refresh  with  writes  2:1  random | tRFC   | row ns "
        "| stream random"
    )
    for name in standards():
        standard = get_standard(name)
        assert isinstance(standard, Standard)
        plain, _ = measure(standard, stream, reads, refresh=False)
        refreshed, stream_speed = measure(standard, stream, reads)
        stored, _ = measure(standard, stream, stores)
        mixed, _ = measure(standard, two_streams, every_third)
        random, random_speed = measure(standard, scattered, reads[: BURSTS // 2])
        refresh_cycles = standard.delay("pseudo", Command.REFA, Command.ACT1)
        bound = 1 - refresh_cycles / standard.refresh_interval_cycles
        latency_ns = read(state_of(standard, 1), 0, 0) / 1000
        print(
            f"{name:12} | {standard.peak_bytes_per_second / 1e9:9.2f} | {100 * plain:17.1f} "
            f"{100 * refreshed:5.1f} {100 * stored:7.1f} {100 * mixed:4.1f} {100 * random:7.1f} | "
            f"{100 * bound:6.1f} | {latency_ns:6.1f} | {stream_speed:6.1f} {random_speed:6.1f}"
        )


if __name__ == "__main__":
    main()
