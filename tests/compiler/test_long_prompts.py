"""What keeps float32 of long prompts off the DRAM: blocks of columns, heads side by side, parts apart."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import chip
from models_float import FloatModel
from onnx import ModelProto
from test_formulas import compare, feeds_of

from hanok.compiler.passes.fuse_formulas import fuse_formulas
from hanok.compiler.passes.split_columns import split_columns
from hanok.compiler.pipeline import compile_graph
from hanok.graph import Operator, import_graph, run_reference
from hanok.simulator import simulate


def gated(rows: int, width: int, columns: int) -> ModelProto:
    """Gate and up joined by a formula with one value a column and one a row, and what reads that."""
    m = FloatModel(4)
    x = m.input(1, rows, width)
    one_a_row = m.input(1, rows, 1)
    source = m.rounded(x, 0.03, 4)
    up, gate = (m.apply("MatMul", [source, m.weights(width, columns)]) for _ in range(2))
    made = m.apply("Mul", [m.apply("Mul", [gate, m.apply("Sigmoid", [gate])]), up])
    made = m.apply("Mul", [made, m.constant(np.linspace(-1, 1, columns, dtype=np.float32))])
    made = m.apply("Mul", [made, one_a_row])
    m.output(m.apply("MatMul", [m.rounded(made, 0.02, -7), m.weights(columns, 9)]))
    return m.model()


@pytest.mark.parametrize(("rows", "columns"), [(41, 90), (200, 23)])
def test_products_in_blocks_of_columns(rows: int, columns: int) -> None:
    """The blocks' last one is shorter; of 200 rows a block has no more columns than the array."""
    graph, target = import_graph(gated(rows, 24, columns)), chip("odd many")
    split = split_columns(fuse_formulas(graph, target), target)
    blocks = [node for node in split.nodes if "[2/" in node.name]
    assert [node.operator for node in blocks] == [Operator.MATMUL, Operator.MATMUL, Operator.FORMULA]
    compare("feed forward", lambda: gated(rows, 24, columns), "odd many", 1)
    feeds = feeds_of(graph, 6)
    first, second = (run_reference(each, feeds, lanes=4) for each in (graph, split))
    for output in graph.outputs:
        assert np.array_equal(first[output].view(np.int32), second[output].view(np.int32))


def test_small_products_stay_whole() -> None:
    target = chip("edge")
    graph = fuse_formulas(import_graph(gated(41, 24, 90)), target)
    assert split_columns(graph, target) is graph


def test_float_results_of_two_products_hardly_go_to_dram() -> None:
    """The first product's are 8 MiB; a block of them may go where another result stays in their place."""
    graph, target = import_graph(gated(512, 256, 4096)), chip("edge")
    (stage,) = compile_graph(graph, target).npu_stages
    int8_rows = 512 * 4096
    assert simulate(stage.code, target).dram_write_bytes < int8_rows + 4 * 512 * 4096 / 4


def test_rows_of_a_product_with_large_weights_are_read_once() -> None:
    """Neither fits the SRAM: weights come once for a tile of rows, and rows not for each block of columns."""
    rows, depth, columns = 512, 7168, 2048
    m = FloatModel(7)
    m.output(m.apply("MatMul", [m.rounded(m.input(1, rows, depth), 0.03), m.weights(depth, columns)]))
    target = chip("edge")
    (stage,) = compile_graph(import_graph(m.model()), target).npu_stages
    given, tiles = 4 * rows * depth, 3
    least = given + rows * depth + tiles * depth * columns
    assert simulate(stage.code, target).dram_read_bytes < 1.05 * least


def side_by_side(heads: int, rows: int, size: int) -> ModelProto:
    """Blocks of rows of heads put behind one another, then rows before heads, then heads as one row."""
    m = FloatModel()
    parts = [m.apply("Sigmoid", [m.input(1, heads, rows, size)]) for _ in range(3)]
    whole = m.apply("Transpose", [m.apply("Concat", parts, axis=2)], perm=[0, 2, 1, 3])
    m.output(m.apply("Reshape", [whole, m.constant(np.array([1, 3 * rows, heads * size]))]))
    return m.model()


def grouped(heads: int, rows: int, size: int) -> ModelProto:
    """Blocks of heads behind one another, counted in groups, then rows before heads, heads as one row."""
    m = FloatModel()
    parts = [m.apply("Sigmoid", [m.input(heads, rows, size)]) for _ in range(2)]
    whole = m.apply("Concat", parts, axis=0)
    for shape in ((1, heads, 2, rows, size), (1, 2 * heads, rows, size)):
        whole = m.apply("Reshape", [whole, m.constant(np.array(shape))])
    whole = m.apply("Transpose", [whole], perm=[0, 2, 1, 3])
    m.output(m.apply("Reshape", [whole, m.constant(np.array([1, rows, 2 * heads * size]))]))
    return m.model()


def turned(rows: int, size: int) -> ModelProto:
    """Both halves of a tensor that is larger than the SRAM, in one formula."""
    m = FloatModel()
    whole, angles = m.input(1, rows, 3, 2 * size), m.input(1, rows, 1, size)
    halves = [
        m.apply("Slice", [whole, *(m.constant(np.array([n])) for n in (first, first + size, 3))])
        for first in (0, size)
    ]
    m.output(m.apply("Sub", [m.apply("Mul", [halves[0], angles]), m.apply("Mul", [halves[1], angles])]))
    return m.model()


@pytest.mark.parametrize("name", ["heads", "groups", "halves"])
def test_nothing_is_moved_before_it_is_used(name: str) -> None:
    def build() -> ModelProto:
        makers = {"heads": lambda: side_by_side(4, 10, 8), "groups": lambda: grouped(4, 15, 8)}
        return makers[name]() if name in makers else turned(150, 16)

    program = compile_graph(import_graph(build()), chip("odd many"))
    assert not [layer.name for layer in program.layers if "(layout)" in layer.onnx_type]
    compare(name, build, "odd many", 2)
    compare(name, build, "odd many", 2, mode="stepwise", trap=True, order="random:3")
