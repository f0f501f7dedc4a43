"""hanok's memory controller beside Ramulator 2.1: cycles, row hits, latency, and speed of simulation.

`python benchmarks/dram_peers.py [STANDARD]`. Ramulator's side is read from tests/dram/reference, whose README
says how it was measured; it need not be installed. Speeds compare only on machines alike: Ramulator's were
taken on one core of a shared AMD EPYC server.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import numpy as np
from table import print_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "dram"))

from reference.generate import MAPPING, make_requests
from reference.peer import FOLDER, Measured, measured_rows, read_latency, run_hanok, table

from hanok.dram.simulate import run_requests

SCHEDULER = "FRFCFS-RowHit"


def compared(row: Measured) -> tuple[str, ...]:
    """Return a row's figures, Ramulator's and hanok's."""
    run = run_hanok(row.standard, row.pattern, row.requests, row.refresh)
    hits = run.counters.row_hits
    return (
        f"{row.standard} {row.pattern}",
        row.timings,
        row.refresh,
        f"{row.cycles}",
        f"{run.cycles}",
        f"{100 * (run.cycles / row.cycles - 1):+.2f}",
        f"{row.row_hits}",
        f"{hits}",
        f"{100 * (hits - row.row_hits) / row.requests:+.2f}",
        f"{row.read_latency:.1f}",
        f"{read_latency(run):.1f}",
    )


def hanok_speed(standard: str, pattern: str, requests: int, stream: bool) -> float:
    """Return requests a second of CPU time, the best of three runs."""
    made = make_requests(standard, pattern, requests)
    arrivals = np.zeros(requests, np.int64)
    fastest = float("inf")
    for _ in range(4):
        start = time.process_time()
        run_requests(
            table(standard), made.writes, made.addresses, arrivals, mapping=MAPPING, stream=stream
        )
        fastest = min(fastest, time.process_time() - start)
    return requests / fastest


def speeds(chosen: str) -> list[tuple[str, ...]]:
    """Return thousands of requests a second of Ramulator, hanok's step path and hanok's stream path."""
    rows = []
    with (FOLDER / "ramulator_speed.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if not row["standard"].startswith(chosen):
                continue
            requests = int(row["requests"])
            theirs = requests / float(row["cpu_seconds"])
            steps, streams = (
                hanok_speed(row["standard"], row["pattern"], requests, stream) for stream in (False, True)
            )
            name = f"{row['standard']} {row['pattern']}"
            rates = (f"{rate / 1000:.0f}" for rate in (theirs, steps, streams))
            rows.append((name, *rates, f"{steps / theirs:.1f}", f"{streams / theirs:.1f}"))
    return rows


def main() -> None:
    """Print all rows whose standard begins with the argument."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else ""
    rows = (row for row in measured_rows() if row.scheduler == SCHEDULER and row.standard.startswith(chosen))
    print_table(
        (
            "pattern", "timings", "refresh", "cycles", "hanok", "off %", "row hits", "hanok", "off %",
            "read latency", "hanok",
        ),
        map(compared, rows),
    )  # fmt: skip
    print()
    print_table(("thousand requests/s", "Ramulator", "steps", "stream", "times", "times"), speeds(chosen))


if __name__ == "__main__":
    main()
