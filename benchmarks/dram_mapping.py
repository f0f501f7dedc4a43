"""Address mappings by access pattern: Ramulator's default, the standard's own, and the one that is searched.

    python benchmarks/dram_mapping.py [STANDARD[:CHANNELS] ...]

The first table is of a controller with one queue of 32 entries for both pseudo-channels of a channel, as in
Ramulator 2.1; there, without refresh, a stream under RoBaRaCoCh reads 21.5 of 51.2 GB/s on HBM3-6400 and 16.9
of 32 on HBM2-2000. The second has the controller of this package, with all-bank refresh; requests arrive at
the rate of the peak. Shares of the peak in percent.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from table import print_table

from hanok.dram.mapping_search import search_mapping
from hanok.dram.results import RequestRun
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.machine import Policy

REQUESTS = 1 << 17
SHARED_REQUESTS = 4_000
SHARED_QUEUE = 32
ROUNDS = 400
OTHERS = ("RoBaRaCoCh", "MOP4CLXOR")


@dataclass(frozen=True)
class Pattern:
    """A name and the requests, in order."""

    name: str
    addresses: NDArray[np.int64]
    writes: NDArray[np.bool_]


def patterns(burst: int, capacity: int) -> Iterator[Pattern]:
    """Streams, power-of-two strides, tiles of a row-major matrix, and mixes of them."""
    index = np.arange(REQUESTS)
    reads = np.zeros(REQUESTS, np.bool_)
    yield Pattern("read stream", index * burst, reads)
    yield Pattern("write stream", index * burst, ~reads)
    for stride in (256, 4096, 65536, 1 << 20):
        wrapped = index * stride // capacity * burst
        yield Pattern(f"stride {stride}", (index * stride + wrapped) % capacity, reads)
    for pitch in (8192, 32768):
        tile = (np.arange(64)[:, None] * pitch + np.arange(0, 128, burst)).ravel()
        corners = (np.arange(128)[:, None] * 64 * pitch + np.arange(0, pitch, 128)).ravel()
        tiles = (corners[:, None] + tile).ravel()[:REQUESTS]
        yield Pattern(f"tiles 64 x 128 bytes of rows of {pitch}", tiles, reads[: len(tiles)])
    second = index % 2 == 1
    yield Pattern("copy", index // 2 * burst + second * (1 << 28), second)
    three = index % 3
    yield Pattern("two read streams, one written", index // 3 * burst + three * (1 << 27), three == 2)
    column = (index // 2 * 8192 + (index // 2 * 8192 >> 23) * burst) % (1 << 23)
    yield Pattern(
        "stream beside a matrix column", np.where(second, (1 << 28) + column, index // 2 * burst), reads
    )
    third = REQUESTS // 3
    phases = [index[:third] * burst, tiles[:third], index[:third] * 4096 % capacity]
    yield Pattern("stream, then tiles, then stride 4096", np.concatenate(phases), reads[: 3 * third])
    yield Pattern("random", np.random.default_rng(1).integers(0, capacity // burst, REQUESTS) * burst, reads)


def run_shared(standard: Standard, pattern: Pattern, mapping: str) -> RequestRun:
    """Run through one queue for the whole channel: each request waits until one of 32 before it has left.

    Arrivals and departures depend on each other: they are put in again until they agree.
    """
    arrivals = np.zeros(len(pattern.addresses), np.int64)
    for _ in range(ROUNDS):
        run = run_requests(
            standard,
            pattern.writes,
            pattern.addresses,
            arrivals,
            policy=Policy(refresh="none"),
            mapping=mapping,
        )
        queue: list[int] = []
        now, entered = 0, []
        for left in (run.completed - standard.read_latency_cycles - standard.burst_cycles).tolist():
            if len(queue) == SHARED_QUEUE:
                now = max(now, heapq.heappop(queue))
            entered.append(now)
            heapq.heappush(queue, left)
        if entered == arrivals.tolist():
            break
        arrivals = np.array(entered, np.int64)
    return run


def shared_rows(standard: Standard) -> Iterator[tuple[str, ...]]:
    """Yield the row of a read stream; the search sees half the shared queue for each pseudo-channel."""
    count = SHARED_REQUESTS
    stream = Pattern("", np.arange(count) * standard.burst_bytes, np.zeros(count, np.bool_))
    half = Policy(
        refresh="none",
        read_queue=SHARED_QUEUE // 2,
        write_queue=SHARED_QUEUE // 2,
        write_high=12,
        write_low=4,
    )
    found = search_mapping(standard, 1, stream.writes, stream.addresses, stream.addresses * 0, half)
    figures = []
    for mapping in ("RoBaRaCoCh", standard.mapping, found[0].text):
        run = run_shared(standard, stream, mapping)
        figures.append(f"{run.bytes_moved / run.seconds / 1e9:.1f}")
    peak = f"{standard.peak_bytes_per_second / 1e9:.1f}"
    yield (standard.name, peak, *figures, found[0].text)


def pattern_rows(standard: Standard, channels: int) -> Iterator[tuple[str, ...]]:
    """Yield the shares of the peak of each pattern."""
    units = channels * standard.organisation.pseudo_channels
    for pattern in patterns(standard.burst_bytes, standard.channel_bytes * channels):
        count = len(pattern.addresses)
        arrivals = np.arange(count) * standard.burst_cycles // units
        begin = perf_counter()
        best = search_mapping(standard, channels, pattern.writes, pattern.addresses, arrivals)[0].text
        spent = perf_counter() - begin
        shares = []
        for mapping in (*OTHERS, standard.mapping, best):
            run = run_requests(
                standard, pattern.writes, pattern.addresses, arrivals, channels=channels, mapping=mapping
            )
            shares.append(f"{100 * count * standard.burst_cycles / units / run.cycles:.1f}")
        yield (pattern.name, *shares, f"{spent:.1f}", best)


def main() -> None:
    """Print the tables."""
    names = sys.argv[1:] or ["HBM3_6400:1", "HBM2_2000:1", "LPDDR5_6400:1"]
    chosen = []
    for text in names:
        name, _, channels = text.partition(":")
        standard = get_standard(name)
        assert isinstance(standard, Standard), f"{name} has no address mapping"
        chosen.append((standard, int(channels or 1)))
    print("One queue of 32 for both pseudo-channels, no refresh, read stream, GB/s")
    headings = ("standard", "peak", OTHERS[0], "standard's own", "searched", "the mapping found")
    shared = {one.name: one for one, _ in chosen if one.organisation.pseudo_channels == 2}
    print_table(headings, [row for standard in shared.values() for row in shared_rows(standard)])
    for standard, channels in chosen:
        print(f"\n{standard.name}, {channels} channels, percent of the peak")
        headings = ("pattern", *OTHERS, "standard's own", "searched", "seconds", "the mapping found")
        print_table(headings, pattern_rows(standard, channels))


if __name__ == "__main__":
    main()
