"""Each constraint sends an operator that breaks it to the host, in its own words; the page is current."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled import CONTENT, check, chip
from model_parts import convolve, finish, image, weights
from operator_models import build_model
from qdq_models import QdqModel

from hanok.compiler import supported
from hanok.compiler.operators import ARRIVES, RUNS, TABLES, operators_page
from hanok.compiler.pipeline import compile_graph
from hanok.compiler.supported import CONSTRAINTS, Constraint, constraints_in_order, reason_for_host
from hanok.errors import CompileError, UnsupportedError
from hanok.graph import (
    Attributes,
    AxesAttributes,
    ConvAttributes,
    DType,
    ElementwiseAttributes,
    Graph,
    MatMulAttributes,
    Node,
    Operator,
    PoolAttributes,
    Quantization,
    ResizeAttributes,
    SliceAttributes,
    Tensor,
    import_graph,
)
from hanok.machine import Chip

ONE = Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
TWO = Quantization(np.ones(2, np.float32), np.zeros(2, np.int32), 1)
CONV = ConvAttributes((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1)
POOL = PoolAttributes((2, 2), (1, 1), (0, 0, 0, 0))
TAPS, TAP_WEIGHTS = np.zeros((3, 4), np.int32), np.zeros((3, 4), np.float32)


def _tensor(name: str, *shape: int, constant: bool = False) -> Tensor:
    return Tensor(name, shape, DType.INT8, ONE, np.zeros(shape, np.int8) if constant else None)


def _graph(operator: Operator, attributes: Attributes, *tensors: Tensor) -> tuple[Graph, Node]:
    """One node over all tensors but the last, which it makes."""
    *inputs, output = tensors
    node = Node(
        "n", operator, tuple(tensor.name for tensor in inputs), (output.name,), attributes, operator.value
    )
    return Graph("g", {tensor.name: tensor for tensor in tensors}, (node,), ("x",), (output.name,)), node


X, Y = _tensor("x", 1, 2, 4, 4), _tensor("y", 1, 2, 4, 4)
W = _tensor("w", 2, 2, 1, 1, constant=True)
VECTOR, LONG = _tensor("x", 4), _tensor("x", 1, 1, 300, 300)

BROKEN: dict[Constraint, tuple[Operator, Attributes, tuple[Tensor, ...]]] = {
    supported.int8_tensors: (Operator.LOOKUP, Attributes(), (replace(X, dtype=DType.FLOAT32), Y)),
    supported.real_or_int8: (Operator.RESHAPE, Attributes(), (replace(X, dtype=DType.INT64), Y)),
    supported.int8_operands: (Operator.CONV, CONV, (replace(X, dtype=DType.FLOAT32), W, Y)),
    supported.finite_size: (Operator.RESHAPE, Attributes(), (_tensor("x", 3, 0), _tensor("y", 0))),
    supported.per_tensor_activations: (Operator.RESHAPE, Attributes(), (replace(X, quantization=TWO), Y)),
    supported.plain_activation: (Operator.CONV, CONV, (_tensor("x", 1, 2, 4, 4, constant=True), W, Y)),
    supported.constant_weights: (Operator.CONV, CONV, (X, _tensor("w", 2, 2, 1, 1), Y)),
    supported.image_of_rank_4: (Operator.CONV, CONV, (VECTOR, W, Y)),
    supported.strides_and_taps: (Operator.MAX_POOL, replace(POOL, strides=(70000, 1)), (X, Y)),
    supported.weights_or_activation: (Operator.MATMUL, MatMulAttributes(), (VECTOR, W, Y)),
    supported.one_activation: (
        Operator.ADD,
        ElementwiseAttributes(),
        (_tensor("x", 4, constant=True), _tensor("w", 4, constant=True), Y),
    ),
    supported.same_scale_pool: (
        Operator.MAX_POOL,
        POOL,
        (X, replace(Y, quantization=replace(ONE, zero_point=np.ones(1, np.int32)))),
    ),
    supported.exact_sums: (Operator.REDUCE_MEAN, AxesAttributes((2, 3)), (LONG, Y)),
    supported.some_axes: (Operator.REDUCE_MEAN, AxesAttributes(()), (X, Y)),
    supported.one_axis: (Operator.SOFTMAX, AxesAttributes((1, 2)), (X, Y)),
    supported.one_or_two_taps: (
        Operator.RESIZE,
        ResizeAttributes("cubic", TAPS, TAP_WEIGHTS, TAPS, TAP_WEIGHTS),
        (X, Y),
    ),
    supported.forward_steps: (Operator.SLICE, SliceAttributes((0, 0, 0, 0), (1, 1, 0, 1)), (X, Y)),
}


@pytest.mark.parametrize("constraint", BROKEN, ids=lambda constraint: str(constraint.__name__))
def test_a_broken_constraint_is_the_reason(constraint: Constraint) -> None:
    operator, attributes, tensors = BROKEN[constraint]
    graph, node = _graph(operator, attributes, *tensors)
    assert reason_for_host(graph, node) == f"{operator.value}: not true that: {constraint.__doc__}"


def test_every_constraint_has_a_case_and_a_sentence() -> None:
    every = constraints_in_order(*CONSTRAINTS.values())
    assert set(every) == set(BROKEN)
    for constraint in every:
        assert constraint.__doc__ is not None
        assert "\n" not in constraint.__doc__
        assert not constraint.__doc__.endswith(".")


def test_what_obeys_runs_on_the_npu() -> None:
    assert reason_for_host(*_graph(Operator.CONV, CONV, X, W, Y)) is None


def test_other_operators_are_named() -> None:
    graph, node = _graph(Operator.HOST, Attributes(), X, Y)
    assert reason_for_host(graph, replace(node, onnx_type="NonZero")) == "NonZero has no form on the NPU"
    graph, node = _graph(Operator.QUANTIZE, Attributes(), X, Y)
    assert reason_for_host(graph, node) == "QuantizeLinear is a border between float and int8"


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "operators.md"
    assert page.read_text("utf-8") == operators_page(), (
        "python -m hanok.compiler.operators > docs/operators.md"
    )


def test_the_page_names_what_the_importer_knows() -> None:
    from hanok.graph._convert import _MATCHERS
    from hanok.graph._match_float import DRAFTERS

    named = {name for names in ARRIVES.values() for name in names}
    assert named == set(_MATCHERS) | set(DRAFTERS) | {"BatchNormalization"}
    assert ARRIVES.keys() == RUNS.keys() == CONSTRAINTS.keys()
    for name in ("Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu"):
        assert name in TABLES


def _refused(build: Callable[[QdqModel, np.random.Generator], None], chip_used: Chip) -> str:
    q = QdqModel()
    build(q, np.random.default_rng(0))
    with pytest.raises(CompileError) as caught:
        compile_graph(import_graph(q.model()), chip_used)
    return str(caught.value)


def test_a_row_that_no_tile_can_hold_is_refused_by_name() -> None:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        q.output(q.apply("Softmax", [image(q, rng, 1, 9000)]), 1 / 256, -128)

    message = _refused(build, chip("odd"))
    assert message.startswith("Softmax 'node_1' does not fit chip 'odd': ")
    assert "21 banks of 576 bytes" in message
    assert "choose a chip with a larger core.sram" in message


def test_a_window_that_no_tile_can_hold_is_refused_by_name() -> None:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        x = image(q, rng, 1, 1, 200, 200)
        finish(q, rng, q.apply("AveragePool", [x], kernel_shape=[190, 190]), 0.01, 0.02)

    message = _refused(build, chip("odd"))
    assert message.startswith("AveragePool 'node_1' does not fit chip 'odd': ")


def test_a_model_larger_than_the_memory_is_refused() -> None:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        x = image(q, rng, 1, 1100)
        finish(q, rng, q.apply("MatMul", [x, q.weight(weights(rng, 1100, 1000), 0.001)]))

    small = Chip.from_dict(CONTENT | {"memory": CONTENT["memory"] | {"capacity_mib": 1}}, "odd")
    message = _refused(build, small)
    assert "bytes of DRAM; chip 'odd' has 1048576 (memory.capacity_mib = 1)" in message


def test_no_host_names_the_operators() -> None:
    graph = import_graph(build_model("host in the middle", 0, False))
    with pytest.raises(
        UnsupportedError, match=r"need the host: LpNormalization 'node_\d+' \(LpNormalization "
    ):
        compile_graph(graph, chip("odd"), no_host=True)
    graph = import_graph(build_model("conv", 0, False))
    assert compile_graph(graph, chip("odd"), no_host=True).host_operators == ()


def test_the_host_takes_what_breaks_a_constraint() -> None:
    rng, q = np.random.default_rng(0), QdqModel()
    x = image(q, rng, 1, 1, 300, 300)
    y = convolve(q, rng, x, 1, 1, [1, 1])
    finish(q, rng, y)
    finish(q, rng, q.apply("GlobalAveragePool", [x]), 0.01, 0.02)
    found = check(q.model(), "edge")
    assert found.on_host == ["GlobalAveragePool"]
    assert found.reference_mismatches == 0
