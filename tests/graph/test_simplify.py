"""Float-level simplification: what is folded, and that the function stays the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph import load_model, run_onnxruntime, simplify_float


def _model(
    nodes: list[object], constants: dict[str, np.ndarray], shape: list[object], opset: int = 17
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return load_model(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def _simplified(model: ModelProto, *shape: int) -> list[str]:
    """Operator types after simplification, whose values are compared first."""
    simple = simplify_float(model, input_shapes={"x": shape})
    onnx.checker.check_model(simple)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before, after = (run_onnxruntime(one, {"x": x}, optimise=False)["y"] for one in (model, simple))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    return [node.op_type for node in simple.graph.node]


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, 1, shape).astype(np.float32)


def _batch_normalization(rng: np.random.Generator, channels: int) -> dict[str, np.ndarray]:
    values = {"gain": _normal(rng, channels), "shift": _normal(rng, channels), "mean": _normal(rng, channels)}
    return {**values, "variance": rng.uniform(0.5, 2, channels).astype(np.float32)}


BN = ["gain", "shift", "mean", "variance"]
node = helper.make_node


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_batch_normalization_joins_the_convolution(op_type: str) -> None:
    rng = np.random.default_rng(0)
    shape = (8, 4, 3, 3) if op_type == "Conv" else (4, 8, 3, 3)
    constants = {"w": _normal(rng, *shape), "b": _normal(rng, 8), **_batch_normalization(rng, 8)}
    nodes = [
        node(op_type, ["x", "w", "b"], ["a"]),
        node("BatchNormalization", ["a", *BN], ["c"]),
        node("Relu", ["c"], ["y"]),
    ]
    assert _simplified(_model(nodes, constants, ["n", 4, 6, 6]), 2, 4, 6, 6) == [op_type, "Relu"]


def test_chains_of_constant_arithmetic_join_the_convolution() -> None:
    rng = np.random.default_rng(0)
    constants = {
        "w": _normal(rng, 8, 4, 3, 3),
        "m": _normal(rng, 8, 1, 1),
        "d": np.float32(3),
        "s": _normal(rng, 1, 8, 1, 1),
        "t": _normal(rng, 8, 1, 1),
    }
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Mul", ["m", "a"], ["b"]),
        node("Div", ["b", "d"], ["c"]),
        node("Sub", ["s", "c"], ["e"]),
        node("Add", ["e", "t"], ["y"]),
    ]
    assert _simplified(_model(nodes, constants, [1, 4, 6, 6]), 1, 4, 6, 6) == ["Conv"]


def test_shared_convolutions_and_wide_constants_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    constants = {"w": _normal(rng, 4, 4, 1, 1), "wide": _normal(rng, 4, 6, 6)}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Add", ["a", "wide"], ["b"]),
        node("Mul", ["a", "b"], ["y"]),
    ]
    assert _simplified(_model(nodes, constants, [1, 4, 6, 6]), 1, 4, 6, 6) == ["Conv", "Add", "Mul"]


def test_one_weight_read_by_two_convolutions_is_scaled_for_one() -> None:
    rng = np.random.default_rng(0)
    constants = {"w": _normal(rng, 4, 4, 1, 1), "m": _normal(rng, 4, 1, 1)}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Mul", ["a", "m"], ["b"]),
        node("Conv", ["x", "w"], ["c"]),
        node("Add", ["b", "c"], ["y"]),
    ]
    assert _simplified(_model(nodes, constants, [1, 4, 6, 6]), 1, 4, 6, 6) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize("shape", [(2, 4, 6, 6), (2, 4, 9)])
def test_lone_batch_normalization_becomes_a_depthwise_convolution(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    nodes = [node("BatchNormalization", ["x", *BN], ["a"]), node("Relu", ["a"], ["y"])]
    assert _simplified(_model(nodes, _batch_normalization(rng, 4), list(shape)), *shape) == ["Conv", "Relu"]


def test_matmul_and_bias_become_gemm() -> None:
    rng = np.random.default_rng(0)
    constants = {"w": _normal(rng, 4, 8), "b": _normal(rng, 1, 8)}
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Add", ["b", "a"], ["y"])]
    assert _simplified(_model(nodes, constants, [3, 4]), 3, 4) == ["Gemm"]
    assert _simplified(_model(nodes, constants, [2, 3, 4]), 2, 3, 4) == ["Reshape", "Gemm", "Reshape"]


def test_zero_pads_join_the_convolution() -> None:
    rng = np.random.default_rng(0)
    constants = {"w": _normal(rng, 4, 4, 3, 3), "p": np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64)}
    nodes = [node("Pad", ["x", "p"], ["a"]), node("Conv", ["a", "w"], ["y"], pads=[1, 0, 1, 0])]
    assert _simplified(_model(nodes, constants, [1, 4, 6, 6]), 1, 4, 6, 6) == ["Conv"]


def test_layout_chains_become_one_step_or_none() -> None:
    constants = {"s": np.array([2, -1]), "t": np.array([4, 6])}
    nodes = [
        node("Reshape", ["x", "s"], ["a"]),
        node("Reshape", ["a", "t"], ["b"]),
        node("Transpose", ["b"], ["c"]),
        node("Transpose", ["c"], ["d"]),
        node("Relu", ["d"], ["y"]),
    ]
    assert _simplified(_model(nodes, constants, [2, 3, 4]), 2, 3, 4) == ["Reshape", "Relu"]


def test_names_of_inputs_and_outputs_stay() -> None:
    nodes = [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["b"]), node("Identity", ["b"], ["y"])]
    simple = simplify_float(_model(nodes, {}, [2, 2]))
    assert (
        [n.op_type for n in simple.graph.node],
        simple.graph.input[0].name,
        simple.graph.output[0].name,
    ) == (
        ["Relu"],
        "x",
        "y",
    )
