"""The whole core: random programs and a whole model in gates, bit for bit and cycle for cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_bench import run_random, small_chip
from core_corners import CORNERS
from models_float import transformer_block

from hanok.compiler.pipeline import compile_graph
from hanok.flows.compile_and_run import compile_model
from hanok.flows.cosim import cosimulate
from hanok.flows.demo import first_input, load_demonstration
from hanok.graph import import_graph
from hanok.machine import Chip
from hanok.simulator import simulate

HBM = {"standard": "HBM2_2000", "channels": 1, "capacity_mib": 512, "latency_cycles": 0}
LPDDR = {"standard": "LPDDR5_6400", "channels": 2, "capacity_mib": 64, "latency_cycles": 20}
SHAPES = (
    ("high-bandwidth", HBM, {"rows": 4, "columns": 7, "preload": 2, "extra": 1, "lanes": 8}),
    (
        "two-channels",
        LPDDR,
        {"rows": 9, "columns": 5, "stages": 2, "outstanding": 1, "queue_depth": 1, "semaphore_limit": 2},
    ),
    ("wide", None, {"rows": 16, "columns": 16, "preload": 4, "bank_bytes": 1024, "width": 16}),
    (
        "two bursts a beat",
        LPDDR,
        {"rows": 4, "bank_bytes": 1024, "width": 64, "outstanding": 16},
    ),
    (
        "four bursts a beat",
        HBM | {"capacity_mib": 1},
        {"rows": 4, "bank_bytes": 1024, "width": 100, "outstanding": 9, "expand_lanes": 4},
    ),
)
"""Memories and sizes of cores that differ in everything."""


@pytest.mark.parametrize("seed", [2, 4])
def test_random_programs_agree_in_every_bit_and_cycle(seed: int) -> None:
    """A thousand programs in two halves, in each of which each instruction meets each of its corners."""
    reached = run_random(small_chip(), seed=seed, programs=500, instructions=30)
    missed = [(name, corner) for name, corners in CORNERS.items() for corner in corners]
    assert [one for one in missed if not reached[one]] == []


def test_a_whole_model_agrees_in_every_bit_and_cycle() -> None:
    demonstration = load_demonstration()
    program = compile_model(demonstration.model, Chip.load("nano"))
    record = cosimulate(program, first_input(demonstration))
    assert record.stages
    assert record.equal, [stage for stage in record.stages if not stage.equal]
    assert record.gate_cycles > 10_000


def test_a_transformer_block_agrees_in_every_bit_and_cycle() -> None:
    graph, chip = import_graph(transformer_block()), Chip.load("nano")
    program = compile_graph(graph, chip, no_host=True, measure=lambda code: simulate(code, chip))
    x = np.random.default_rng(0).standard_normal((1, 16, 32)).astype(np.float32)
    record = cosimulate(program, {graph.inputs[0]: x})
    assert record.equal, [stage for stage in record.stages if not stage.equal]
    assert record.gate_cycles > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "memory", "sizes"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_random_programs_on_other_shapes(
    name: str, memory: dict[str, Any] | None, sizes: dict[str, int]
) -> None:
    run_random(small_chip(memory, **sizes), seed=2, programs=60, instructions=25)
