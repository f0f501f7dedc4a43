"""LSTM, GRU and CumSum written out, against ONNX Runtime's own operators."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph import import_graph, run_onnxruntime, run_reference, simplify_float
from hanok.graph.quantise import quantise_model

STEPS, BATCH, WIDTH, SIZE = 6, 2, 5, 4


def recurrent(
    op_type: str, direction: str, outputs: int, bias: bool = True, initial: bool = False, **attributes: Any
) -> ModelProto:
    rng = np.random.default_rng(len(direction) + outputs)
    gates, turns = {"LSTM": 4, "GRU": 3}[op_type] * SIZE, 2 if direction == "bidirectional" else 1
    batch_first = attributes.get("layout", 0)
    shapes: dict[str, tuple[int, ...]] = {
        "x": (BATCH, STEPS, WIDTH) if batch_first else (STEPS, BATCH, WIDTH)
    }
    names = ["x", "w", "r", "b" if bias else "", ""]
    weights = {"w": (turns, gates, WIDTH), "r": (turns, gates, SIZE), "b": (turns, 2 * gates)}
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name)
        for name, shape in weights.items()
        if name in names
    ]
    if initial:
        states = ["h", "c"] if op_type == "LSTM" else ["h"]
        names += states
        shapes |= dict.fromkeys(states, (turns, BATCH, SIZE))
    made = [f"y{number}" for number in range(outputs)]
    node = helper.make_node(op_type, names, made, hidden_size=SIZE, direction=direction, **attributes)
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in made]
    graph = helper.make_graph([node], "g", inputs, results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def feeds_of(model: ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        value.name: rng.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in model.graph.input
    }


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
def test_recurrent_layers(op_type: str, direction: str) -> None:
    for bias, initial, after in product((False, True), repeat=3):
        if op_type == "LSTM" and after:
            continue
        attributes = {"linear_before_reset": 1} if after else {}
        outputs = 3 if op_type == "LSTM" else 2
        model = recurrent(op_type, direction, outputs, bias, initial, **attributes)
        feeds = feeds_of(model)
        wanted = run_onnxruntime(model, feeds)
        assert op_type not in [node.op_type for node in simplify_float(model).graph.node]
        found = run_reference(import_graph(model), feeds)
        assert max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted) < 2e-6


def test_a_quantised_lstm_runs_whole_on_the_npu() -> None:
    model = recurrent("LSTM", "forward", 1)
    feeds = feeds_of(model)
    quantised = quantise_model(model, [feeds], repair=False).model
    graph = import_graph(quantised)
    assert [node.onnx_type for node in graph.nodes if node.operator.value == "Host"] == []
    wanted = run_onnxruntime(model, feeds)["y0"]
    found = run_reference(graph, feeds)["y0"]
    assert 10 * np.log10((wanted**2).sum() / ((found - wanted) ** 2).sum()) > 30


@pytest.mark.parametrize(("exclusive", "reverse"), list(product((0, 1), repeat=2)))
def test_cumulative_sums(exclusive: int, reverse: int) -> None:
    for axis, length in ((0, 1), (1, 13), (-1, 8)):
        shape = [3, 13, 8]
        shape[axis] = length
        node = helper.make_node("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.array(axis, np.int64), "axis")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        feeds = feeds_of(model)
        wanted = run_onnxruntime(model, feeds)["y"]
        graph_of = import_graph(model)
        assert "CumSum" not in [node.onnx_type for node in graph_of.nodes]
        assert np.abs(run_reference(graph_of, feeds)["y"] - wanted).max() < 1e-5
