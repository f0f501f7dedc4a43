"""Speed and memory of sealing and opening, as shown in docs/protect/sealing.md, beside what is required.

`python benchmarks/protect_seal.py [FOLDER] [MEBIBYTES] [RUNS]`: FOLDER should be in memory (default: /dev/shm
where there is one), because a disk that is slower than the figures would be what is measured.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from table import print_table

from hanok.protect.keys import PrivateKey, chosen_algorithms, make_key
from hanok.protect.licence import Licence
from hanok.protect.seal import seal
from hanok.protect.unseal import open_bundle, verify_bundle

MUST_SEAL, MUST_OPEN, MUST_MEMORY, RECIPIENTS = 700, 1024, 64, 1000
NOW = datetime(2027, 1, 1, tzinfo=UTC)
LICENCE = Licence("Evaluation", "Hanok", "Acme", "KR", (), "", "")
MIB = 1 << 20


class Watch:
    """The growth of this process's resident memory while it runs, sampled every 2 ms, in MiB."""

    def __enter__(self) -> Watch:
        self.start, self.most, self.stop = _resident_mib(), 0.0, Event()
        self.thread = Thread(target=self._sample)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.stop.wait(0.002):
            self.most = max(self.most, _resident_mib() - self.start)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def make_files(folder: Path, mebibytes: int) -> None:
    """Write one large file of half the data, four of a tenth each, and 1,000 small ones for the rest."""
    block = os.urandom(MIB)
    parts = {
        "weights.bin": mebibytes // 2,
        **{f"program_{number}.hanok": mebibytes // 10 for number in range(4)},
    }
    (folder / "rtl").mkdir(parents=True)
    for name, size in parts.items():
        with open(folder / name, "wb") as file:
            for _ in range(size):
                file.write(block)
    rest = (mebibytes - sum(parts.values())) * MIB
    for number in range(1000):
        (folder / "rtl" / f"block_{number}.v").write_bytes(block[: rest // 1000])


def best(run: Callable[[], object], runs: int, prepare: Callable[[], object]) -> float:
    """Return the shortest wall time in seconds."""
    times = []
    for _ in range(runs):
        prepare()
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def measure(place: Path, mebibytes: int, runs: int) -> None:
    """Print the figures for one recipient and for RECIPIENTS."""
    source, bundle, target, copy = (place / name for name in ("build", "delivery.hnk", "opened", "copy"))
    make_files(source, mebibytes)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file()) / MIB
    vendor = make_key("vendor", chosen_algorithms(True, False, False, True))
    keys = [
        make_key(f"firm-{number}", chosen_algorithms(False, True, False, True))
        for number in range(RECIPIENTS)
    ]
    rows = []
    for number in (1, RECIPIENTS):
        rows += _rows(source, bundle, target, vendor, keys[:number], size, runs)
    seconds = best(
        lambda: shutil.copytree(source, copy), runs, lambda: shutil.rmtree(copy, ignore_errors=True)
    )
    rows.append(("a plain copy of the files, to compare", "", f"{size / seconds:,.0f} MiB/s", ""))
    print(
        f"{size:,.0f} MiB in {place}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, best of {runs}"
    )
    print_table(("what", "required", "measured", "memory grew by"), rows)


def _rows(
    source: Path,
    bundle: Path,
    target: Path,
    vendor: PrivateKey,
    keys: list[PrivateKey],
    size: float,
    runs: int,
) -> list[tuple[str, str, str, str]]:
    publics = [key.public for key in keys]

    def clear() -> None:
        shutil.rmtree(target, ignore_errors=True)

    rows = []
    steps: list[tuple[str, int, Callable[[], object]]] = [
        ("seal", MUST_SEAL, lambda: seal([source], publics, LICENCE, vendor, bundle, NOW)),
        ("open", MUST_OPEN, lambda: open_bundle(bundle, keys[-1], vendor.public, target, NOW)),
        ("verify alone", 0, lambda: verify_bundle(bundle, keys[-1], vendor.public, NOW)),
    ]
    for name, must, step in steps:
        with Watch() as watch:
            seconds = best(step, runs, clear)
        required = f"{must:,} MiB/s, {MUST_MEMORY} MiB" if must else ""
        rows.append(
            (
                f"{name}, {len(keys):,} recipients",
                required,
                f"{size / seconds:,.0f} MiB/s",
                f"{watch.most:.0f} MiB",
            )
        )
    return rows


def main() -> None:
    """Measure in a temporary folder."""
    root = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm" if os.path.isdir("/dev/shm") else None
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory(dir=root) as folder:
        measure(Path(folder), mebibytes, runs)


if __name__ == "__main__":
    main()
