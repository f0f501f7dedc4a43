"""Repeated keys become a broadcast, guards against masked rows go, and values stay as they were."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph import run_onnxruntime, simplify_float


def repeated(scaled: bool, turned_late: bool, guarded: bool) -> ModelProto:
    """Attention whose two key heads are repeated for six query heads, as exporters write it."""
    nodes, constants = [], []

    def constant(value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, f"c{len(constants)}"))
        return constants[-1].name

    def apply(op_type: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op_type}_{len(nodes)}"
        nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def heads(name: str) -> str:
        wide = apply("Unsqueeze", [name, constant(np.array([2]))])
        wide = apply("Expand", [wide, constant(np.array([1, 2, 3, 7, 4]))])
        return apply("Reshape", [wide, constant(np.array([1, 6, 7, 4]))])

    keys = heads("k")
    if turned_late:
        keys = apply("Reshape", [keys, constant(np.array([6, 7, 4]))])
        keys = apply("Transpose", [keys], perm=[0, 2, 1])
        keys = apply("Reshape", [keys, constant(np.array([1, 6, 4, 7]))])
    else:
        keys = apply("Transpose", [keys], perm=[0, 1, 3, 2])
    if scaled:
        keys = apply("Mul", [keys, constant(np.float32(0.7))])
    chances = apply("Softmax", [apply("MatMul", ["q", keys])], axis=-1)
    if guarded:
        nan = apply("IsNaN", [chances])
        chances = apply("Where", [nan, constant(np.float32(0)), chances])
    mixed = apply("MatMul", [chances, heads("v")])
    shapes = {"q": (1, 6, 5, 4), "k": (1, 2, 7, 4), "v": (1, 2, 7, 4)}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    output = helper.make_tensor_value_info(mixed, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_repeated_heads_are_broadcast() -> None:
    rng = np.random.default_rng(0)
    feeds = {n: rng.standard_normal(s).astype(np.float32) for n, s in
             (("q", (1, 6, 5, 4)), ("k", (1, 2, 7, 4)), ("v", (1, 2, 7, 4)))}  # fmt: skip
    for number in range(8):
        model = repeated(bool(number & 1), bool(number & 2), bool(number & 4))
        simple = simplify_float(model)
        kinds = [node.op_type for node in simple.graph.node]
        assert "Expand" not in kinds
        assert "IsNaN" not in kinds
        wanted = next(iter(run_onnxruntime(model, feeds).values()))
        found = next(iter(run_onnxruntime(simple, feeds).values()))
        assert np.abs(found - wanted).max() < 1e-6


def test_heads_that_something_else_reads_stay() -> None:
    model = repeated(False, False, False)
    heads = next(node for node in model.graph.node if node.op_type == "Reshape").output[0]
    model.graph.output.append(helper.make_tensor_value_info(heads, TensorProto.FLOAT, None))
    kinds = [node.op_type for node in simplify_float(model).graph.node]
    assert kinds.count("Expand") == 1
