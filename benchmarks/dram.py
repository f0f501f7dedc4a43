"""The DRAM model: speed of simulation beside what is required, and bandwidth and latency of each family.

`python benchmarks/dram.py`; docs/dram.md has its tables. Speeds are requests in a second of CPU time on one
core, kernels compiled, the median of three runs; they compare with those of Ramulator 2.1 only on a machine
alike (tests/dram/reference/README.md says on which one its own were taken).
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from table import HEADINGS, Row, print_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "dram"))

from reference.generate import MAPPING, make_requests
from reference.peer import FOLDER

from hanok.dram import Command, Standard, get_standard, parse_mapping, run_requests
from hanok.dram.streams import Stream, StreamRun, run_streams
from hanok.machine import Policy

Bursts = NDArray[np.int64]
Refresh = Literal["none", "all_bank", "per_bank"]

REQUESTS = 1_000_000
STREAMED = 1 << 20
SCATTERED = 200_000
RANDOM = 500_000
SPAN_BYTES = 1 << 28
WEIGHT_BYTES = 8_000_000_000
LONG_RUN_SECONDS = 10.0
"""Of such runs one is enough."""

FAMILIES = (
    "HBM2_2000", "HBM2E_3600", "HBM3_6400", "HBM3E_9200", "HBM4_8000", "LPDDR5_6400", "LPDDR5X_8533",
    "DDR5_4800", "GDDR6_16000",
)  # fmt: skip
BESIDE_RAMULATOR = (
    ("HBM2_2000@2Gb", 94.8, 43.7),
    ("HBM3_6400@4Gb", 91.9, 46.8),
    ("LPDDR5_6400@8Gb", 93.4, 62.8),
)
"""Standards of the density (and so tRFC) of Ramulator's presets; its percent of the peak for 50,000 streaming
reads with all-bank refresh, and its unloaded latency in ns."""
COMPARED_READS = 50_000
STREAMS: tuple[tuple[Refresh, bool], ...] = (
    ("none", False), ("all_bank", False), ("per_bank", False), ("all_bank", True),
)  # fmt: skip
"""Refresh, and whether the stream writes."""
CHAIN = 600


@dataclass(frozen=True)
class Rate:
    """One measurement: the larger the better."""

    what: str
    must: float
    aim: float
    measured: float
    unit: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        numbers = (self.must, self.aim, self.measured)
        figures = (f"{number:,.0f}" if number >= 100 else f"{number:.2g}" for number in numbers)
        return (self.what, *(f"{figure} {self.unit}" for figure in figures), self.verdict)

    @property
    def verdict(self) -> str:
        """Whether the figure is as required."""
        if self.measured >= self.aim:
            return "aim reached"
        return "met" if self.measured >= self.must else "MISSED"


def table_of(name: str) -> Standard:
    """Return a standard with banks."""
    standard = get_standard(name)
    assert isinstance(standard, Standard), f"{name} has no banks"
    return standard


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the median CPU seconds of three runs."""
    found: list[float] = []
    while len(found) < 3:
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
        if found[0] > LONG_RUN_SECONDS:
            break
    return statistics.median(found)


def run(
    standard: Standard,
    bursts: Bursts,
    writes: NDArray[np.bool_] | None = None,
    *,
    mapping: str = "",
    stream: bool = True,
) -> int:
    """Run requests, all wanted at once, through one channel; return the cycles."""
    if writes is None:
        writes = np.zeros(len(bursts), np.bool_)
    arrivals = np.zeros(len(bursts), np.int64)
    addresses = bursts * standard.burst_bytes
    return run_requests(standard, writes, addresses, arrivals, mapping=mapping, stream=stream).cycles


def whole_memory(standard: Standard, channels: int = 1, mapping: str = "") -> StreamRun:
    """Read all of a memory, burst after burst."""
    bursts = standard.channel_bytes * channels // standard.burst_bytes
    return run_streams(standard, [Stream(0, bursts)], channels=channels, mapping=mapping)


def random_bursts(standard: Standard, count: int) -> Bursts:
    """Return bursts anywhere in SPAN_BYTES."""
    return np.random.default_rng(1).integers(0, SPAN_BYTES // standard.burst_bytes, count)


def first_calls() -> None:
    """Print what the first calls take, in which kernels are compiled or loaded from their cache."""
    standard = table_of("HBM3_6400")
    for name, work in (
        ("requests", partial(run, standard, np.arange(1000))),
        ("streams", partial(run_streams, standard, [Stream(0, 1000)])),
    ):
        start = time.process_time()
        work()
        print(f"first call, {name}: {time.process_time() - start:.1f} s CPU")


def required() -> Iterator[Rate | Row]:
    """Measure what is required of the model."""
    hbm3, hbm3e = table_of("HBM3_6400"), table_of("HBM3E_9200")
    stream, random = np.arange(REQUESTS), random_bursts(hbm3, RANDOM)
    located = parse_mapping(hbm3.mapping, hbm3, 1).locate_all(np.arange(2 * REQUESTS) * hbm3.burst_bytes)
    one_pseudo = np.flatnonzero(located["pseudo"] == 0)
    for what, bursts, must, aim in (
        ("step path, HBM3 stream", stream, 5, 10),
        ("step path, HBM3 stream on one pseudo-channel", one_pseudo, 5, 10),
        ("step path, HBM3 random", random, 0.6, 2),
    ):
        seconds = cpu_seconds(partial(run, hbm3, bursts, stream=False))
        yield Rate(what, must, aim, len(bursts) / seconds / 1e6, "M/s")
    for channels in (1, 16):
        seconds = cpu_seconds(partial(whole_memory, hbm3, channels))
        size = hbm3.channel_bytes * channels
        what = f"stream path, {size >> 30} GiB of HBM3, {channels} channel{'s' if channels > 1 else ''}"
        yield Rate(what, 100, 1000, size / hbm3.burst_bytes / seconds / 1e6, "M/s")
    weights = [Stream(0, WEIGHT_BYTES // hbm3e.burst_bytes)]
    seconds = cpu_seconds(partial(run_streams, hbm3e, weights, channels=16))
    yield Row("every burst of 8 GB of weights, HBM3E-9200, 16 channels", 2, 0.2, seconds, "s")


def beside_ramulator() -> Iterator[Rate]:
    """Compare the speed with Ramulator's: the step path on its traces, the stream path on longer streams."""
    with (FOLDER / "ramulator_speed.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        standard, pattern, requests = table_of(row["standard"]), row["pattern"], int(row["requests"])
        theirs = requests / float(row["cpu_seconds"])
        made = make_requests(row["standard"], pattern, requests)
        bursts = made.addresses // standard.burst_bytes
        seconds = cpu_seconds(partial(run, standard, bursts, mapping=MAPPING, stream=False))
        name = f"{row['standard']} {pattern} by Ramulator's {theirs / 1000:.0f} k/s"
        yield Rate(f"step path, {name}", 10, 10, requests / seconds / theirs, "x")
        mapping = {"stream": MAPPING, "spread": standard.mapping}.get(pattern)
        if mapping is None:
            continue
        seconds = cpu_seconds(partial(whole_memory, standard, mapping=mapping))
        rate = standard.channel_bytes / standard.burst_bytes / seconds
        yield Rate(f"stream path, {name}", 1000, 1000, rate / theirs, "x")


def families() -> Iterator[tuple[str, ...]]:
    """Measure what share of the peak one channel of each family gives, in percent, and its latency."""
    index = np.arange(SCATTERED)
    third = index % 3 == 2
    for standard in map(table_of, FAMILIES):
        shares = [
            f"{100 * streamed_share(standard, refresh, write):.1f}"
            if refresh != "per_bank" or standard.bank_refresh_interval_cycles
            else "-"
            for refresh, write in STREAMS
        ]
        second = SPAN_BYTES // 2 // standard.burst_bytes
        two_streams = np.where(third, index // 3 + second, index - index // 3)
        for bursts, writes in ((two_streams, third), (random_bursts(standard, SCATTERED), None)):
            busy = SCATTERED * standard.burst_cycles / standard.organisation.pseudo_channels
            shares.append(f"{100 * busy / run(standard, bursts, writes):.1f}")
        latency = run(standard, index[:1]) * standard.tck_fs * 1e-6
        gigabytes = f"{standard.peak_bytes_per_second / 1e9:.2f}"
        yield standard.name, gigabytes, f"{100 * refresh_bound(standard):.1f}", *shares, f"{latency:.1f}"


def streamed_share(standard: Standard, refresh: Refresh, write: bool) -> float:
    """Return the share of the peak that a stream gets."""
    found = run_streams(standard, [Stream(0, STREAMED, write=write)], policy=Policy(refresh=refresh))
    return found.bytes_per_second / standard.peak_bytes_per_second


def refresh_bound(standard: Standard) -> float:
    """Return the share of the time in which all-bank refresh leaves the banks alone."""
    closed = max(standard.delay("pseudo", Command.REFA, first) for first in (Command.ACT1, Command.ACT))
    return 1 - closed / standard.refresh_interval_cycles


def chain_ns(standard: Standard) -> float:
    """Return the mean latency of random reads, each sent when the one before it has been answered."""
    bursts = random_bursts(standard, CHAIN)
    arrivals, writes = np.zeros(CHAIN, np.int64), np.zeros(CHAIN, np.bool_)
    for sent in range(1, CHAIN + 1):
        part = slice(0, sent)
        found = run_requests(standard, writes[part], bursts[part] * standard.burst_bytes, arrivals[part])
        arrivals[sent : sent + 1] = found.completed[-1]
    return float(found.completed[-1]) / CHAIN * standard.tck_fs * 1e-6


def bandwidths() -> Iterator[tuple[str, ...]]:
    """Compare bandwidth and unloaded latency with Ramulator's, at its densities."""
    for name, percent, latency in BESIDE_RAMULATOR:
        standard = table_of(name)
        moved = COMPARED_READS * standard.burst_bytes
        seconds = run(standard, np.arange(COMPARED_READS)) * standard.tck_fs * 1e-15
        share = 100 * moved / seconds / standard.peak_bytes_per_second
        yield name, f"{percent:.1f}", f"{share:.1f}", f"{latency:.1f}", f"{chain_ns(standard):.1f}"


def main() -> None:
    """Print all tables."""
    first_calls()
    print()
    print_table(HEADINGS, (row.cells for row in required()))
    print()
    print_table(HEADINGS, (row.cells for row in beside_ramulator()))
    print()
    print_table(
        (
            "percent of the peak", "GB/s", "bound", "no refresh", "all-bank", "per-bank", "writes", "2:1",
            "random", "closed row, ns",
        ),
        families(),
    )  # fmt: skip
    print()
    print_table(("all-bank refresh", "Ramulator, %", "hanok, %", "Ramulator, ns", "hanok, ns"), bandwidths())


if __name__ == "__main__":
    main()
