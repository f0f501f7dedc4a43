"""Chips for tests of the whole core, and a run in gates and in the models side by side."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from core_corners import corners_of_program
from core_programs import CODE_ADDRESS, random_programs

from hanok.flows.cosim import compare
from hanok.isa import decode
from hanok.machine import Chip
from hanok.rtl.testbench import Testbench
from hanok.simulator import emulate, simulate


def small_chip(memory: dict[str, Any] | None = None, **sizes: int) -> Chip:
    """A core that compiles in a minute."""
    get = {"rows": 5, "columns": 4, "preload": 1, "extra": 0, "lanes": 4, "stages": 1, "banks": 16} | sizes
    return Chip.from_dict(
        {
            "name": "small",
            "clock_mhz": 100,
            "core": {
                "matrix": {
                    "rows": get["rows"],
                    "columns": get["columns"],
                    "preload_rows_per_cycle": get["preload"],
                    "extra_stages": get["extra"],
                    "accumulator_rows": 128,
                    "accumulator_banks": 2,
                },
                "vector": {"lanes": get["lanes"], "stages": get["stages"]},
                "sram": {"banks": get["banks"], "bank_bytes": get.get("bank_bytes", 512)},
                "dma": {
                    "bytes_per_cycle": get.get("width", 8),
                    "outstanding": get.get("outstanding", 4),
                    "expand_lanes": get.get("expand_lanes", 0),
                    "int4": bool(get.get("int4", 0)),
                },
                "control": {
                    "queue_depth": get.get("queue_depth", 4),
                    "semaphore_limit": get.get("semaphore_limit", 15),
                    "fetch_buffer_bytes": 512,
                },
            },
            "memory": memory
            or {"standard": "FLAT:800", "channels": 1, "capacity_mib": 1, "latency_cycles": 7},
        },
        "test",
    )


BENCHES: dict[str, Testbench] = {}


def bench_of(chip: Chip) -> Testbench:
    key = chip.model_dump_json()
    if key not in BENCHES:
        BENCHES[key] = Testbench(chip)
    return BENCHES[key]


def assert_equal(chip: Chip, code: bytes, image: npt.NDArray[np.uint8], what: str) -> int:
    """Run a code in gates and in the models; return its cycles."""
    decoded, expected, found = decode(code), image.copy(), image.copy()
    emulate(decoded, chip, expected)
    timing = simulate(decoded, chip, code_address=CODE_ADDRESS, content=image)
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, found, 4 * timing.cycles + 10_000)
    stage = compare(0, decoded, timing, run, expected, found)
    assert stage.equal, (what, stage)
    return run.cycles


def run_random(chip: Chip, seed: int, programs: int, instructions: int) -> Counter[tuple[str, str]]:
    """Run random programs; return how many of their instructions reach each corner (`core_corners`)."""
    corners: Counter[tuple[str, str]] = Counter()
    for number, (code, image) in enumerate(random_programs(chip, seed, programs, instructions)):
        assert_equal(chip, code, image, f"program {number} of seed {seed}")
        corners += corners_of_program(chip, code, image)
    return corners
