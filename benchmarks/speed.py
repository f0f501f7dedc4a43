"""Time and memory of hanok itself: ResNet-50 int8, batch 1, on one 128x128 core with HBM2 (preset hbm2-128).

`python benchmarks/speed.py [RESNET50.onnx [MOBILENET_V2.onnx]]`; without models: seeded ones. Every
measurement is a process of its own; seconds are CPU seconds of all its threads. A first run with an empty
kernel cache (a temporary one) comes first, and fills it for the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from table import HEADINGS, Row, print_table

CHIP = "hbm2-128"
HERE = Path(__file__).parent
HANOK = (sys.executable, "-m", "hanok")


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    cpu_seconds: float
    seconds: float
    peak_gb: float


def cost_of(command: tuple[str, ...], environment: dict[str, str]) -> Cost:
    """Run a command to its end; raise SystemExit with its words if it fails."""
    with tempfile.TemporaryFile("w+") as words:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=words, stderr=words)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{words.read()}")
    return Cost(usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss * 1024 / 1e9)


def said(command: tuple[str, ...], environment: dict[str, str]) -> str:
    """What a command prints."""
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def emulator_ratios(models: list[Path], environment: dict[str, str]) -> list[float]:
    """Time of the emulator by that of ONNX Runtime, one thread each, as emulator.py prints it."""
    single = {**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    lines = said((sys.executable, str(HERE / "emulator.py"), CHIP, *map(str, models)), single).splitlines()
    return [float(line.split()[-1]) for line in lines[1:]]


def rows(resnet50: Path, mobilenet: Path, environment: dict[str, str]) -> list[Row]:
    """All measurements."""
    run = (*HANOK, "run", str(resnet50), "--chip", CHIP)
    first = cost_of(run, environment)
    later = min((cost_of(run, environment) for _ in range(3)), key=lambda cost: cost.cpu_seconds)
    engine, compiling = (
        float(said((sys.executable, str(HERE / "probe.py"), what, str(resnet50), CHIP), environment))
        for what in ("engine", "compile")
    )
    on_resnet50, on_mobilenet = emulator_ratios([resnet50, mobilenet], environment)
    said((*HANOK, "--help"), environment)
    helping = min(cost_of((*HANOK, "--help"), environment).seconds for _ in range(5))
    return [
        Row("cycle engine, warm kernels, CPU", 0.9, 0.09, engine, "s"),
        Row("hanok run, kernels from their cache, CPU", 15, 2, later.cpu_seconds, "s"),
        Row("hanok run, first ever: kernels compiled, CPU", 15, 2, first.cpu_seconds, "s"),
        Row("hanok run, peak memory", 1.5, 0.7, max(first.peak_gb, later.peak_gb), "GB"),
        Row("compile, warm kernels, CPU", 5, 1, compiling, "s"),
        Row("emulator by ONNX Runtime int8, one thread, ResNet-50", 10, 2, on_resnet50, "x"),
        Row("emulator by ONNX Runtime int8, one thread, MobileNetV2", 10, 2, on_mobilenet, "x"),
        Row("hanok --help, wall clock", 0.5, 0.2, helping, "s"),
    ]


def main() -> None:
    """Build what is not given, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "kernels")}
        models = [Path(path) for path in sys.argv[1:3]]
        for name in ("resnet50", "mobilenet_v2")[len(models) :]:
            models.append(Path(folder) / f"{name}.onnx")
            said((sys.executable, str(HERE / "models.py"), name, str(models[-1])), dict(os.environ))
        print_table(HEADINGS, (row.cells for row in rows(*models, environment)))


if __name__ == "__main__":
    main()
