"""The core in gates beside the cycle engine: cycles of models (the difference must be 0), and speed.

    python benchmarks/rtl.py [MODEL.onnx ...] [--chip NAME ...]

Without models, the shipped recogniser. Prints a line for each model and chip: cycles in gates and in the
engine, instructions of which a time differs, bytes of DRAM that differ, cycles a second of the simulation.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from hanok.flows.compile_and_run import compile_model
from hanok.flows.cosim import cosimulate
from hanok.flows.demo import load_demonstration
from hanok.machine import Chip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--chip", action="append", default=[])
    options = parser.parse_args()
    models = options.models or [load_demonstration().model]
    print("| model | chip | gates | engine | difference | late instructions | wrong bytes | speed |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.chip or ["nano"]:
        chip = Chip.load(name)
        for model in models:
            print(row(model, chip), flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"compilers: {used.ru_utime + used.ru_stime:.0f} s of CPU; none where the core is in the cache")


def row(model: Path, chip: Chip) -> str:
    """Run a model in gates."""
    begin = time.perf_counter()
    record = cosimulate(compile_model(model, chip))
    engine = sum(stage.engine_cycles for stage in record.stages)
    late = sum(unit.different_instructions for stage in record.stages for unit in stage.units)
    wrong = sum(stage.different_bytes for stage in record.stages)
    speed = f"{record.cycles_per_second / 1e3:,.0f} k cycles/s"
    cells = [
        model.stem,
        chip.name,
        f"{record.gate_cycles:,}",
        f"{engine:,}",
        f"{record.gate_cycles - engine:,}",
        f"{late:,}",
        f"{wrong:,}",
        f"{speed}, {time.perf_counter() - begin:.0f} s in all",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
