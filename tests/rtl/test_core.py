"""The whole core: random programs and a whole model in gates, bit for bit and cycle for cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hanok.flows.compile_and_run import compile_model
from hanok.flows.cosim import compare, cosimulate
from hanok.flows.demo import first_input, load_demonstration
from hanok.isa import decode
from hanok.machine import Chip
from hanok.rtl.testbench import Testbench
from hanok.simulator import emulate, simulate
from tests.rtl.core_programs import CODE_ADDRESS, memory_image, random_instructions, random_program


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
                "dma": {"bytes_per_cycle": get.get("width", 8), "outstanding": get.get("outstanding", 4)},
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


HBM = {"standard": "HBM2_2000", "channels": 1, "capacity_mib": 512, "latency_cycles": 0}
LPDDR = {"standard": "LPDDR5_6400", "channels": 2, "capacity_mib": 64, "latency_cycles": 20}
SHAPES = (
    ("high-bandwidth", HBM, {"rows": 4, "columns": 7, "preload": 2, "extra": 1, "lanes": 8, "stages": 2}),
    (
        "two-channels",
        LPDDR,
        {"rows": 9, "columns": 5, "outstanding": 1, "queue_depth": 1, "semaphore_limit": 2},
    ),
    ("wide", None, {"rows": 16, "columns": 16, "preload": 4, "lanes": 16, "bank_bytes": 1024, "width": 16}),
)
"""Memories and sizes of cores that differ in everything."""

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
    timing = simulate(decoded, chip, code_address=CODE_ADDRESS)
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, found, 4 * timing.cycles + 10_000)
    stage = compare(0, decoded, timing, run, expected, found)
    assert stage.equal, (what, stage)
    return run.cycles


def run_random(chip: Chip, seed: int, programs: int, instructions: int) -> None:
    rng = np.random.default_rng(seed)
    pool = random_instructions(rng, chip, 8 * instructions)
    for number in range(programs):
        code = random_program(rng, chip, pool, int(rng.integers(1, instructions)))
        assert_equal(chip, code, memory_image(rng, code), f"program {number} of seed {seed}")


def test_random_programs_agree_in_every_bit_and_cycle() -> None:
    run_random(small_chip(), seed=1, programs=1000, instructions=30)


def test_a_whole_model_agrees_in_every_bit_and_cycle() -> None:
    demonstration = load_demonstration()
    program = compile_model(demonstration.model, Chip.load("nano"))
    record = cosimulate(program, first_input(demonstration))
    assert record.stages
    assert record.equal, [stage for stage in record.stages if not stage.equal]
    assert record.gate_cycles > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "memory", "sizes"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_random_programs_on_other_shapes(
    name: str, memory: dict[str, Any] | None, sizes: dict[str, int]
) -> None:
    run_random(small_chip(memory, **sizes), seed=2, programs=150, instructions=25)
