"""Attention and RotaryEmbedding of opset 23 in their parts, against ONNX Runtime's own operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hanok.graph import Operator, import_graph, run_reference

KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(bool): TensorProto.BOOL,
    np.dtype(np.int64): TensorProto.INT64,
}


def differences(
    op_type: str, feeds: list[Any], outputs: int, constants: tuple[int, ...] = (), **attributes: Any
) -> tuple[list[str], float]:
    """Operators of the host, and the largest difference to ONNX's reference implementation."""
    names = [f"x{number}" if feed is not None else "" for number, feed in enumerate(feeds)]
    made = [f"y{number}" for number in range(outputs)]
    node = helper.make_node(op_type, names, made, **attributes)
    inputs, initialisers = [], []
    for number, (name, feed) in enumerate(zip(names, feeds, strict=True)):
        if feed is None:
            continue
        if number in constants:
            initialisers.append(numpy_helper.from_array(feed, name))
        else:
            inputs.append(helper.make_tensor_value_info(name, KINDS[feed.dtype], feed.shape))
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in made]
    graph = helper.make_graph([node], "g", inputs, results, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    given = {n: f for n, f in zip(names, feeds, strict=True) if f is not None}
    wanted = ReferenceEvaluator(model).run(None, given)
    imported = import_graph(model)
    found = run_reference(imported, {name: given[name] for name in imported.inputs})
    hosted = [node.onnx_type for node in imported.nodes if node.operator is Operator.HOST]
    return hosted, max(float(np.abs(found[n] - w).max()) for n, w in zip(made, wanted, strict=True))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


MASK = np.random.default_rng(0).integers(0, 2, (5, 9)).astype(bool) | (np.arange(9) == 0)
ATTENTIONS: dict[str, tuple[list[Any], int, dict[str, Any]]] = {
    "plain": ([normal(2, 3, 5, 8), normal(2, 3, 9, 8), normal(2, 3, 9, 6)], 1, {}),
    "causal": ([normal(2, 3, 5, 8), normal(2, 3, 5, 8), normal(2, 3, 5, 8)], 1, {"is_causal": 1}),
    "three axes, shared keys": (
        [normal(2, 5, 24), normal(2, 9, 8), normal(2, 9, 8)],
        1,
        {"q_num_heads": 6, "kv_num_heads": 2, "scale": 0.3},
    ),
    "additive mask of heads": (
        [normal(2, 4, 5, 8), normal(2, 2, 9, 8), normal(2, 2, 9, 8), normal(2, 4, 5, 9)],
        1,
        {},
    ),
    "bool mask": ([normal(2, 3, 5, 8), normal(2, 3, 9, 8), normal(2, 3, 9, 8), MASK], 1, {}),
    "short mask": ([normal(1, 3, 5, 8), normal(1, 3, 9, 8), normal(1, 3, 9, 8), normal(5, 7)], 1, {}),
    "past": (
        [
            normal(2, 4, 3, 8),
            normal(2, 2, 3, 8),
            normal(2, 2, 3, 8),
            None,
            normal(2, 2, 6, 8),
            normal(2, 2, 6, 8),
        ],
        3,
        {"is_causal": 1},
    ),
    "soft cap": ([normal(2, 3, 5, 8), normal(2, 3, 9, 8), normal(2, 3, 9, 6)], 1, {"softcap": 1.5}),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention(name: str) -> None:
    feeds, outputs, attributes = ATTENTIONS[name]
    hosted, difference = differences("Attention", feeds, outputs, (), **attributes)
    assert difference < 2e-6
    assert set(hosted) <= {"MatMul", "Where", "Pad"}  # float products, and what becomes of bool inputs
    assert "Softmax" not in hosted


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("form", ["four axes", "three axes", "partial", "positions"])
def test_rotary_embedding(form: str, interleaved: int) -> None:
    angles = [np.cos(normal(2, 5, 4)), np.sin(normal(2, 5, 4))]
    attributes: dict[str, Any] = {"interleaved": interleaved}
    x = normal(2, 3, 5, 8)
    feeds = [x, *angles]
    if form == "three axes":
        feeds, attributes = [normal(2, 5, 24), *angles], attributes | {"num_heads": 3}
    elif form == "partial":
        feeds, attributes = [normal(2, 3, 5, 12), *angles], attributes | {"rotary_embedding_dim": 8}
    elif form == "positions":
        tables = [np.cos(normal(20, 4)), np.sin(normal(20, 4))]
        feeds = [x, *tables, np.random.default_rng(1).integers(0, 20, (2, 5))]
    hosted, difference = differences(
        "RotaryEmbedding", feeds, 1, (3,) if form == "positions" else (), **attributes
    )
    assert difference < 1e-6
    assert hosted in ([], ["Gather", "Gather"])
