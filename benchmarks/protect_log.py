"""Speed of the transparency log, as shown in docs/protect/log.md: appends, proofs, verification.

`python benchmarks/protect_log.py [FOLDER] [ENTRIES]`: FOLDER is on the disk that is to be measured; every
batch is on it (fsync), under a signed head, before the next begins.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from table import print_table

from hanok.protect.keys import chosen_algorithms, make_key
from hanok.protect.log import BATCH, TransparencyLog
from hanok.protect.log_proofs import prove_consistency, prove_inclusion
from hanok.protect.log_verify import verify_file

MUST_APPENDS = 100_000
SINGLE = 100
RUNS = 3


def seconds_of(step: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor time."""
    wall, busy = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - busy


def measure(place: Path, entries: int) -> None:
    """Print the figures for one log."""
    signer = make_key("vendor", chosen_algorithms(True, False, False, True))
    marks = [
        (
            "mark",
            {
                "commitment": os.urandom(32).hex(),
                "recipient": f"firm-{number}",
                "sha256": os.urandom(32).hex(),
            },
        )
        for number in range(entries)
    ]
    appends = []
    for number in range(RUNS):
        with TransparencyLog.create(place / f"{number}.db", signer) as log:
            appends.append(seconds_of(lambda log=log: log.append_many(marks)))  # type: ignore[misc]
    wall, busy = min(appends)
    path = place / "0.db"
    verified = seconds_of(lambda: verify_file(path, signer.public))[0]
    with TransparencyLog.open(path, signer) as log:
        seen = log.head
        one = seconds_of(lambda: [log.append(*marks[number]) for number in range(SINGLE)])[0] / SINGLE
        included = seconds_of(lambda: prove_inclusion(log, entries // 3))[0]
        consistent = seconds_of(lambda: prove_consistency(log, seen))[0]
        size = len(prove_inclusion(log, entries // 3).data)
    print(f"{entries:,} marks, batches of {BATCH:,}, {place}, load {os.getloadavg()[0]:.1f}, best of {RUNS}")
    print_table(
        ("what", "required", "measured"),
        [
            ("appends, each batch durable", f"{MUST_APPENDS:,}/s", f"{entries / wall:,.0f}/s"),
            ("appends a second of processor time", "", f"{entries / busy:,.0f}/s"),
            ("verifying the log", "", f"{entries / verified:,.0f} entries/s"),
            ("one append, durable", "", f"{one * 1e3:.2f} ms"),
            (f"an inclusion proof ({size:,} bytes)", "", f"{included * 1e3:.2f} ms"),
            ("a consistency proof", "", f"{consistent * 1e3:.2f} ms"),
            ("file, for each entry", "", f"{path.stat().st_size / entries:.0f} bytes"),
        ],
    )


def main() -> None:
    """Measure in a temporary folder."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    entries = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    with tempfile.TemporaryDirectory(dir=root) as folder:
        measure(Path(folder), entries)


if __name__ == "__main__":
    main()
