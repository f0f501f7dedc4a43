"""hanok's memory controller beside Ramulator 2.1: cycles, row hits and latency on the same requests.

`python benchmarks/dram_peers.py [STANDARD]`. Ramulator's side is read from tests/dram/reference, whose README
says how it was measured; it need not be installed. dram.py compares the speed of simulation.
"""

from __future__ import annotations

import sys
from pathlib import Path

from table import print_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "dram"))

from reference.peer import Measured, measured_rows, read_latency, run_hanok

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


if __name__ == "__main__":
    main()
