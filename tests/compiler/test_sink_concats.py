"""Readers of large concatenations work on the parts; what must stay whole does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from compiled import chip
from models_float import FloatModel
from onnx import ModelProto
from test_formulas import compare, feeds_of

from hanok.compiler.passes.fuse_formulas import fuse_formulas
from hanok.compiler.passes.sink_concats import sink_concats
from hanok.compiler.pipeline import compile_graph
from hanok.graph import Graph, Operator, import_graph, run_reference
from hanok.simulator import simulate

ROWS, WIDTH = (100, 70, 140), 32
Build = Callable[[], ModelProto]


def parts_of(m: FloatModel, width: int = WIDTH) -> list[str]:
    """Blocks of rows that products make, of uneven length."""
    return [
        m.apply("MatMul", [m.rounded(m.input(1, rows, 8), 0.03), m.weights(8, width, scale=0.004)])
        for rows in ROWS
    ]


def evened() -> ModelProto:
    """Rows divided by their largest value and rounded, a product, and the divisor behind it."""
    m = FloatModel(1)
    whole = m.apply("Concat", parts_of(m), axis=1)
    last = m.constant(np.array([-1]))
    largest = m.apply("ReduceMax", [m.apply("Abs", [whole]), last], keepdims=1)
    divisor = m.apply("Max", [largest, m.constant(np.float32(1e-30))])
    even = m.rounded(m.apply("Mul", [whole, m.apply("Reciprocal", [divisor])]), 1 / 127)
    m.output(m.apply("Mul", [m.apply("MatMul", [even, m.weights(WIDTH, 9)]), divisor]))
    return m.model()


def turned_and_given() -> ModelProto:
    """A concatenation that the user reads too, transposed, and a formula of it and of what differs by row."""
    m = FloatModel(2)
    heads = [m.apply("Reshape", [part, m.constant(np.array([1, -1, 4, 8]))]) for part in parts_of(m)]
    whole = m.apply("Transpose", [m.apply("Concat", heads, axis=1)], perm=[0, 2, 1, 3])
    m.output(whole)
    made = m.apply("Add", [whole, m.normal(sum(ROWS), 8)])
    made = m.apply("Mul", [made, m.input(1, 1, sum(ROWS), 1)])
    m.output(m.apply("Mul", [made, m.constant(np.float32(0.7))]))
    return m.model()


def sunk(build: Build, target_name: str = "odd many") -> tuple[Graph, Graph]:
    """A graph with its formulas joined, and the same with concatenations below them."""
    target = chip(target_name)
    graph = fuse_formulas(import_graph(build()), target)
    return graph, sink_concats(graph, target)


@pytest.mark.parametrize("build", [evened, turned_and_given])
def test_bits_stay(build: Build) -> None:
    graph, found = sunk(build)
    parts = [node for node in found.nodes if node.operator is Operator.FORMULA and "[part" in node.name]
    assert {node.name[-10:] for node in parts} == {f"[part {n + 1}/{len(ROWS)}]" for n in range(len(ROWS))}
    feeds = feeds_of(graph, 3)
    first, second = (run_reference(each, feeds, lanes=4) for each in (graph, found))
    for output in graph.outputs:
        assert np.array_equal(first[output].view(np.int32), second[output].view(np.int32))


@pytest.mark.parametrize("name", ["odd many", "nano", "edge"])
def test_programs_compute_the_same(name: str) -> None:
    """To the bit as the reference; evened rows may round to int8 apart from ONNX Runtime's."""
    compare("transformer block", evened, name, 5)
    compare("turned and given", turned_and_given, name, 5)


def test_each_part_follows_its_maker() -> None:
    _, found = sunk(evened)
    made = [node for node in found.nodes if node.operator in (Operator.MATMUL, Operator.FORMULA)]
    products = [place for place, node in enumerate(made) if node.operator is Operator.MATMUL]
    assert len(products) == len(ROWS) + 1
    for place, following in pairwise(products):
        assert following - place > 1, "formulas stand between the products"
    assert not any(
        node.operator is Operator.CONCAT
        and found.tensor(node.outputs[0]).shape == (1, sum(ROWS), WIDTH)
        and found.tensor(node.outputs[0]).dtype.name == "FLOAT32"
        for node in found.nodes
    )


def test_float_rows_do_not_go_to_dram() -> None:
    """They are more than the SRAM holds."""
    graph, target = import_graph(evened()), chip("odd many")
    (stage,) = compile_graph(graph, target).npu_stages
    assert simulate(stage.code, target).dram_write_bytes < 4 * sum(ROWS) * WIDTH


def joined_with_a_product() -> ModelProto:
    """A formula that the product with weights makes on its own tiles."""
    m = FloatModel(3)
    whole = m.apply("Concat", parts_of(m), axis=1)
    other = m.apply("MatMul", [m.rounded(m.input(1, sum(ROWS), 8), 0.03), m.weights(8, WIDTH)])
    m.output(m.apply("Add", [whole, other]))
    return m.model()


def folded() -> ModelProto:
    """A formula that folds the axis of the concatenation."""
    m = FloatModel(4)
    whole = m.apply("Concat", parts_of(m), axis=1)
    m.output(m.apply("ReduceSum", [whole, m.constant(np.array([1]))], keepdims=1))
    return m.model()


def in_columns() -> ModelProto:
    """Parts side by side in each row."""
    m = FloatModel(5)
    source = m.rounded(m.input(1, sum(ROWS), 8), 0.03)
    parts = [m.apply("MatMul", [source, m.weights(8, 16)]) for _ in range(3)]
    m.output(m.apply("Sigmoid", [m.apply("Concat", parts, axis=2)]))
    return m.model()


@pytest.mark.parametrize("build", [joined_with_a_product, folded, in_columns])
def test_what_must_stay_whole_does(build: Build) -> None:
    graph, found = sunk(build)
    assert [node.name for node in found.nodes] == [node.name for node in graph.nodes]


def test_what_may_stay_in_sram_stays_whole() -> None:
    graph, found = sunk(evened, "edge")
    assert [node.name for node in found.nodes] == [node.name for node in graph.nodes]
