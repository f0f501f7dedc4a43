"""One measurement of speed.py in a process of its own: `python benchmarks/probe.py engine|compile FILE CHIP`.

Prints CPU seconds. Kernels are compiled, or loaded from their cache, before the clock starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from hanok.flows.compile_and_run import compile_model
from hanok.machine import Chip
from hanok.simulator.engine import simulate

REPEATS = 3


def best_seconds(action: Callable[[], object]) -> float:
    """CPU seconds of the fastest of a few calls after a first one."""
    action()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Measure what the command line says."""
    what, path, chip_name = sys.argv[1:]
    chip = Chip.load(chip_name)
    if what == "compile":
        print(best_seconds(lambda: compile_model(path, chip)))
        return
    stages = compile_model(path, chip).npu_stages

    def count_cycles() -> None:
        for stage in stages:
            simulate(stage.code, chip, code_address=stage.code_address)

    print(best_seconds(count_cycles))


if __name__ == "__main__":
    main()
