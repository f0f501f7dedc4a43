"""What Ramulator 2.1 measured, row by row of `ramulator.csv`, and the same requests on hanok's controller."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from reference.generate import MAPPING, make_requests

from hanok.dram.results import RequestRun
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.machine import Policy

FOLDER = Path(__file__).parent
REQUESTS_A_CYCLE = 4
QUEUE = 32
REFRESH: dict[str, Literal["all_bank", "none"]] = {"all_bank": "all_bank", "none": "none"}


@dataclass(frozen=True)
class Measured:
    """One run of Ramulator; cycles are hanok's (half clocks on HBM3)."""

    standard: str
    timings: str
    """'preset', or 'matched' where its preset was changed to say what hanok's table says."""
    pattern: str
    requests: int
    scheduler: str
    refresh: str
    cycles: int
    """From the first cycle to the last data."""
    row_hits: int
    row_misses: int
    row_conflicts: int
    read_latency: float
    """Cycles from the queue to the last data, mean over all reads."""

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return "-".join((self.standard, self.timings, self.pattern, self.scheduler, self.refresh))

    @property
    def is_on_one_unit(self) -> bool:
        """Whether one pseudo-channel serves all requests: both simulators have one scheduler for them."""
        shape = table(self.standard).organisation
        return shape.pseudo_channels == 1 or self.pattern.endswith("_one_pseudo")


def measured_rows() -> tuple[Measured, ...]:
    """Return all rows of the table."""
    with (FOLDER / "ramulator.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            Measured(
                standard=row["standard"],
                timings=row["timings"],
                pattern=row["pattern"],
                requests=int(row["requests"]),
                scheduler=row["scheduler"],
                refresh=row["refresh"],
                cycles=int(row["cycles_to_last_data"]),
                row_hits=int(row["row_hits"]),
                row_misses=int(row["row_misses"]),
                row_conflicts=int(row["row_conflicts"]),
                read_latency=float(row["read_latency_cycles"]),
            )
            for row in csv.DictReader(lines)
        )


@cache
def table(name: str) -> Standard:
    """Return a standard of the shapes."""
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    return standard


@dataclass(frozen=True)
class Setting:
    """hanok's queues, in entries of each kind for a pseudo-channel, and how far its marks are moved."""

    queue: int = QUEUE
    high: int = 0
    low: int = 0


LIKE_RAMULATOR = Setting()


@cache
def run_hanok(
    standard: str, pattern: str, requests: int, refresh: str, setting: Setting = LIKE_RAMULATOR
) -> RequestRun:
    """Run a pattern on one channel with the policy that comes closest to Ramulator's 'FRFCFS-RowHit'.

    Its writes drain from more than 0.8 of the queue to less than 0.2: from 26 entries of 32 until 6 are left.
    Its front end waits until each request is taken.
    """
    made = make_requests(standard, pattern, requests)
    policy = Policy(
        row_hit_cap=1 << 20,
        read_queue=setting.queue,
        write_queue=setting.queue,
        write_high=setting.queue * 4 // 5 + 1 + setting.high,
        write_low=-(-setting.queue // 5) + setting.low,
        refresh=REFRESH[refresh],
    )
    arrivals = np.arange(requests) // REQUESTS_A_CYCLE
    return run_requests(
        table(standard), made.writes, made.addresses, arrivals, policy=policy, mapping=MAPPING, window=1
    )


def read_latency(run: RequestRun) -> float:
    """Return the mean cycles of the reads from the queue to the last data; 0 without reads."""
    reads = ~run.writes
    return float((run.completed - run.admitted)[reads].mean()) if reads.any() else 0.0
