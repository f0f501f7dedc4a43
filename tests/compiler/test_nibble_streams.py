"""Weights of four bits in memory: the same values from half the bytes, where they are such weights."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import run_program
from qdq_models import QdqModel, random_feeds

from hanok.compiler.pipeline import compile_graph
from hanok.graph import Graph, import_graph, run_reference
from hanok.isa import Opcode, Program, decode
from hanok.machine import Chip
from hanok.numerics.nibble_grids import fit_entries, nearest_nibbles
from hanok.numerics.nibbles import weights_of
from hanok.simulator.engine import simulate

SMALL = {
    "name": "small",
    "clock_mhz": 300,
    "core": {
        "matrix": {"rows": 12, "columns": 8, "accumulator_rows": 23, "accumulator_banks": 3},
        "vector": {"lanes": 4, "stages": 3, "pipeline": {"dividers": 3, "batch": 16}},
        "sram": {"banks": 24, "bank_bytes": 576},
        "dma": {"bytes_per_cycle": 8, "outstanding": 3},
        "control": {"queue_depth": 3, "semaphore_limit": 5, "fetch_buffer_bytes": 512},
    },
    "memory": {"standard": "FLAT:700", "channels": 1, "capacity_mib": 16},
}
"""Everything is cut: the sum over K in parts of whole tiles, which groups do not divide."""


def chip_of(name: str, int4: bool) -> Chip:
    content = SMALL if name == "small" else Chip.load(name).model_dump()
    core = content["core"]
    return Chip.from_dict(content | {"core": core | {"dma": core["dma"] | {"int4": int4}}}, name)


def on_grids(inputs: int, outputs: int, group_rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((inputs, outputs))
    steps = values / (np.abs(values).max(0) / 127)
    entries = fit_entries(steps, group_rows)
    return weights_of(nearest_nibbles(steps, entries), entries)


def product(rows: int, weights: np.ndarray) -> Graph:
    model = QdqModel()
    value = model.input((rows, len(weights)), 0.05, 3)
    scale = np.linspace(0.001, 0.003, weights.shape[1])
    model.output(model.apply("MatMul", [value, model.weight(weights, scale, axis=1)]), 0.1)
    return import_graph(model.model())


def opcodes(program: Program) -> list[int]:
    return list(decode(program.npu_stages[0].code).records["dma"]["opcode"])


def timing(program: Program) -> tuple[int, int]:
    stage = program.npu_stages[0]
    found = simulate(stage.code, program.chip, code_address=stage.code_address)
    return found.cycles, found.load_bytes


@pytest.mark.parametrize("name", ["edge", "small"])
@pytest.mark.parametrize(
    ("inputs", "outputs", "group_rows"), [(384, 256, 128), (96, 264, 32), (160, 128, 16)]
)
@pytest.mark.parametrize("rows", [1, 5])
def test_the_same_values_from_half_the_bytes(
    name: str, inputs: int, outputs: int, group_rows: int, rows: int
) -> None:
    graph = product(rows, on_grids(inputs, outputs, group_rows))
    plain = compile_graph(graph, chip_of(name, int4=False))
    packed = compile_graph(graph, chip_of(name, int4=True))
    feeds = random_feeds(graph, 1)
    expected = run_reference(graph, feeds)
    for mode in ("fast", "stepwise"):
        found = run_program(packed, feeds, mode)
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert Opcode.UNPACK not in opcodes(plain)
    assert Opcode.UNPACK in opcodes(packed)
    whole = outputs // packed.chip.core.matrix.columns * packed.chip.core.matrix.columns
    saved = len(plain.constants) - len(packed.constants)
    most = inputs * whole * (0.5 - 2 / group_rows)
    pieces = opcodes(packed).count(Opcode.UNPACK)
    assert saved <= most + 64 * pieces, "each piece's address is a multiple of 64"
    if name == "edge":
        assert saved > most - 64 * pieces
        assert timing(packed)[1] < timing(plain)[1] - 0.95 * most


def test_long_products_take_half_the_cycles_where_dram_bounds_them() -> None:
    graph = product(1, on_grids(2048, 1024, 128))
    plain, packed = (compile_graph(graph, chip_of("edge", int4=int4)) for int4 in (False, True))
    assert timing(packed)[0] < 0.62 * timing(plain)[0]


def test_streams_begin_with_a_beat_where_beats_are_wide() -> None:
    """Beats of 128 bytes, and constants of odd lengths between the streams."""
    content = Chip.load("edge").model_dump()
    content["core"]["dma"] |= {"bytes_per_cycle": 128, "int4": True}
    model = QdqModel()
    value = model.input((1, 96), 0.05)
    for seed in range(3):
        inputs, outputs = (96, 384) if seed == 0 else (384, 384)
        weight = model.weight(on_grids(inputs, outputs, 32, seed), 0.002)
        value = model.dequantize(model.quantize(model.apply("MatMul", [value, weight]), 0.1), 0.1)
    model.output(value, 0.1)
    graph = import_graph(model.model())
    program = compile_graph(graph, Chip.from_dict(content, "wide"))
    assert opcodes(program).count(Opcode.UNPACK) >= 3
    feeds = random_feeds(graph, 2)
    found, expected = run_program(program, feeds), run_reference(graph, feeds)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_plain_weights_stay_plain() -> None:
    weights = np.random.default_rng(1).integers(-127, 128, (256, 256)).astype(np.int8)
    program = compile_graph(product(1, weights), chip_of("edge", int4=True))
    assert Opcode.UNPACK not in opcodes(program)


def test_columns_that_do_not_fill_the_array_stay_plain() -> None:
    program = compile_graph(product(1, on_grids(256, 72, 32)), chip_of("edge", int4=True))
    assert Opcode.UNPACK not in opcodes(program)


def test_compilation_is_the_same_each_time() -> None:
    graph = product(2, on_grids(256, 256, 64))
    first, second = (compile_graph(graph, chip_of("edge", int4=True)) for _ in range(2))
    assert first.constants == second.constants
    assert first.npu_stages[0].code == second.npu_stages[0].code
