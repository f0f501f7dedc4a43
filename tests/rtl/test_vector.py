"""The vector unit against the emulator, bit for bit, and against its formula, cycle for cycle."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from vector_model import Bench, bench_chip, chain, random_legal_chain, scattered_memories

from hanok.isa import Opcode, Reduction, Step, decode, encode
from hanok.simulator.emulator_state import Memories
from hanok.simulator.emulator_stepwise import execute

LEAST = dict.fromkeys(("to_integer", "multiply", "add", "fused"), 1) | {"convert": 0, "batch": 2}
SHAPES = [
    pytest.param((4, 2, 7, {"batch": 16}), id="4x2"),
    pytest.param((8, 1, 8, LEAST | {"batch": 4}), id="8x1"),
    pytest.param((16, 1, 16, LEAST | {"batch": 32}), id="16x1", marks=pytest.mark.slow),
    pytest.param((4, 1, 8, {"batch": 8, "dividers": 2, "table_words": 2}), id="4x1", marks=pytest.mark.slow),
    pytest.param(
        (2, 1, 8, {"fused": 12, "add": 9, "multiply": 7, "convert": 5, "to_integer": 5, "division_bits": 1}),
        id="2x1",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        (4, 1, 5, LEAST | {"division_bits": 26, "dividers": 4, "table_words": 4}),
        id="least",
        marks=pytest.mark.slow,
    ),
]


@pytest.fixture(scope="module", params=SHAPES)
def bench(request: Any) -> Bench:
    lanes, stages, columns, pipeline = request.param
    return Bench(bench_chip(lanes, stages, columns, pipeline))


def check(bench: Bench, memories: Memories, code: bytes) -> None:
    """Run an instruction on both; compare the scratchpad and the time."""
    cycles = bench.execute(code)
    execute(memories, decode(code).record(0))
    wrong = np.flatnonzero(bench.sram() != memories.sram)
    assert not len(wrong), f"{len(wrong)} bytes differ, first {wrong[0]}; {decode(code).record(0)}"
    assert cycles == bench.expected_cycles(code), decode(code).record(0)


def filled(bench: Bench, rng: np.random.Generator) -> Memories:
    """Memories of the bench and the emulator with the same content, the LOOKUP table included."""
    memories = scattered_memories(rng, bench.chip)
    bench.load(memories)
    check(bench, memories, encode(Opcode.TABLE, {"address": 4 * int(rng.integers(1024))}))
    return memories


@pytest.mark.parametrize("seed", range(4))
def test_random_chains_and_tables(bench: Bench, seed: int) -> None:
    rng = np.random.default_rng(seed)
    memories = filled(bench, rng)
    for _ in range(30):
        check(bench, memories, random_legal_chain(rng, bench.chip))


@pytest.mark.parametrize("reduction", [Reduction.SUM, Reduction.MAX, Reduction.MIN])
@pytest.mark.parametrize("folded", [0, 1])
@pytest.mark.parametrize("results", [1, 2, 3, 5, 11, 16, 17, 40])
def test_batches_of_every_size(bench: Bench, reduction: Reduction, folded: int, results: int) -> None:
    rng = np.random.default_rng(results)
    memories = filled(bench, rng)
    code = chain(
        {
            "flags": folded, "outer_1": results, "inner": 6 if folded else bench.chip.core.vector.lanes,
            "reduction": int(reduction), "reduce_0": 3, "steps_before": 1, "steps": 2, "y_stride": 1,
            "x_dilation": 1, "row_pitch": 24, "pixel_pitch": 4, "y_limit": results, "x_limit": 2,
            "strides_out": [0, 64, 0, 4], "address_out": 4096, "step": [Step.MUL, Step.ADD],
            "immediate": [0.75, -1.5],
        }
    )  # fmt: skip
    check(bench, memories, code)


@pytest.mark.parametrize("step", [Step.DIV, Step.REVERSE_DIV])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_divisions(bench: Bench, step: Step, place: int) -> None:
    rng = np.random.default_rng(place)
    memories = filled(bench, rng)
    steps = [Step.ADD, Step.NONE, Step.MUL, Step.SUB]
    steps[place] = step
    code = chain(
        {
            "outer_0": 5, "inner": 7, "x_stride": 1, "x_limit": 5, "pixel_pitch": 28, "steps": 4,
            "kind_1": 4, "address_1": 512, "strides_1": [0, 0, 0, 4], "operand": [1, 0, 1, 1],
            "strides_out": [0, 0, 28, 4], "address_out": 4096, "step": steps, "immediate": [3.0] * 8,
        }
    )  # fmt: skip
    check(bench, memories, code)


def test_every_step_meets_special_numbers(bench: Bench) -> None:
    """Each step on zeros of both signs, NaN, infinities, subnormals and ties, with each as its operand."""
    rng = np.random.default_rng(8)
    memories = filled(bench, rng)
    numbers = np.array(
        [
            0.0,
            -0.0,
            np.nan,
            np.inf,
            -np.inf,
            1e-42,
            -1e-45,
            0.5,
            2.5,
            -1.5,
            3e38,
            -127.5,
            128.0,
            1e9,
            1.0,
            2.0,
        ],
        np.float32,
    )
    memories.sram[:64] = numbers.view(np.uint8)
    bench.load(memories)
    for step in Step:
        code = chain(
            {
                "outer_1": 16, "inner": 16, "y_limit": 16, "row_pitch": 0, "steps": 1, "step": [step],
                "operand": [1], "immediate": [1.5], "kind_1": 4, "address_1": 0, "strides_1": [0, 4, 0, 0],
                "strides_out": [0, 64, 0, 4], "address_out": 4096, "round_zero": 3, "round_low": -128,
                "round_high": 100,
            }
        )  # fmt: skip
        check(bench, memories, code)


def test_instructions_follow_one_another_without_a_gap(bench: Bench) -> None:
    """Each starts in the cycle in which the one before it is done."""
    rng = np.random.default_rng(3)
    memories = filled(bench, rng)
    codes = [random_legal_chain(rng, bench.chip) for _ in range(6)]
    codes.insert(3, encode(Opcode.TABLE, {"address": 128}))
    bench.start(codes[0])
    for before, code in pairwise(codes):
        bench.simulation.step(bench.expected_cycles(before) - 1)
        bench.start(code)
        assert bench.simulation.get("done")
    bench.wait()
    for code in codes:
        execute(memories, decode(code).record(0))
    assert np.array_equal(bench.sram(), memories.sram)
