"""Weights in groups of few bits are what ONNX Runtime takes them for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hanok.errors import ModelError
from hanok.flows import compile_model, run_program
from hanok.graph import load_model
from hanok.graph.oracle import run_onnxruntime
from hanok.machine import Chip

EDGE = Chip.load("edge")

ROWS, INNER, COLUMNS, BLOCK = 5, 72, 24, 32
GROUPS = 3


def build(nodes: list[Any], constants: dict[str, Any], opset: int = 21) -> bytes:
    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        "packed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, INNER])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [ROWS, COLUMNS])],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def product(random: np.random.Generator, width: int, *, zeros: str = "", order: bool = False) -> bytes:
    """MatMulNBits with packed codes, and a bias."""
    constants: dict[str, Any] = {
        "codes": random.integers(0, 256, (COLUMNS, GROUPS, BLOCK * width // 8)).astype(np.uint8),
        "scales": random.normal(0, 0.1, COLUMNS * GROUPS).astype(np.float32),
        "bias": random.normal(0, 1, COLUMNS).astype(np.float32),
    }
    inputs = ["x", "codes", "scales", "", "", "bias"]
    if zeros == "packed":
        padded = -(-GROUPS * width // 8)
        constants["zeros"] = random.integers(0, 256, COLUMNS * padded).astype(np.uint8)
    elif zeros == "float":
        constants["zeros"] = random.normal(8, 2, (COLUMNS, GROUPS)).astype(np.float32)
    if zeros:
        inputs[3] = "zeros"
    if order:
        constants["order"] = random.integers(0, GROUPS, INNER).astype(np.int32)
        inputs[4] = "order"
    node = helper.make_node(
        "MatMulNBits",
        inputs,
        ["y"],
        "product",
        domain="com.microsoft",
        K=INNER,
        N=COLUMNS,
        bits=width,
        block_size=BLOCK,
    )
    return build([node], constants)


def blocked(random: np.random.Generator, kind: int, *, zeros: bool, axis: int = 0) -> bytes:
    """A DequantizeLinear with blocks in front of a MatMul."""
    low, high = (0, 16) if kind == TensorProto.UINT4 else (-8, 8)
    shape = (INNER, COLUMNS)
    scale_shape = tuple(-(-size // BLOCK) if place == axis else size for place, size in enumerate(shape))
    codes = random.integers(low, high, shape)
    constants: dict[str, Any] = {
        "codes": helper.make_tensor("codes", kind, shape, codes.reshape(-1).tolist()),
        "scales": random.normal(0, 0.1, scale_shape).astype(np.float32),
    }
    inputs = ["codes", "scales"]
    if zeros:
        content = random.integers(low, high, scale_shape).reshape(-1).tolist()
        constants["zeros"] = helper.make_tensor("zeros", kind, scale_shape, content)
        inputs.append("zeros")
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["w"], "unpack", axis=axis, block_size=BLOCK),
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
    ]
    return build(nodes, constants)


def onnxruntime(content: bytes, x: Any) -> Any:
    return run_onnxruntime(content, {"x": x}, ["y"])["y"]


def evaluator(content: bytes, x: Any) -> Any:
    return ReferenceEvaluator(ModelProto.FromString(content)).run(["y"], {"x": x})[0]


def same_as(oracle: Callable[[bytes, Any], Any], content: bytes) -> None:
    x = np.random.default_rng(1).normal(0, 1, (ROWS, INNER)).astype(np.float32)
    wanted = oracle(content, x)
    model = load_model(content)
    assert {node.op_type for node in model.graph.node} <= {"MatMul", "Add"}
    found = run_onnxruntime(model.SerializeToString(), {"x": x}, ["y"])["y"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["", "packed", "float"])
def test_packed_product_is_onnxruntimes(width: int, zeros: str) -> None:
    if zeros == "float" and width != 4:
        pytest.skip("ONNX Runtime takes float zero points of 4 bits alone")
    same_as(onnxruntime, product(np.random.default_rng(width), width, zeros=zeros))


def test_groups_in_another_order() -> None:
    same_as(onnxruntime, product(np.random.default_rng(9), 4, order=True))


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8])
@pytest.mark.parametrize(("zeros", "axis"), [(False, 0), (True, 0), (True, 1)])
def test_blocked_weights_are_onnx_own(kind: int, zeros: bool, axis: int) -> None:
    """ONNX Runtime fuses these into products whose activations it rounds to int8."""
    same_as(evaluator, blocked(np.random.default_rng(kind), kind, zeros=zeros, axis=axis))


def test_packed_weights_run_on_the_npu() -> None:
    """Against ONNX Runtime on the packed model: what is lost is int8 activations' and weights' rounding."""
    content = product(np.random.default_rng(3), 4, zeros="packed")
    x = np.random.default_rng(4).normal(0, 1, (64, ROWS, INNER)).astype(np.float32)
    program = compile_model(content, EDGE, calibration=[{"x": each} for each in x], no_host=True)
    given = run_program(program, {"x": x[0]}).outputs["y"]
    wanted = run_onnxruntime(content, {"x": x[0]}, ["y"])["y"]
    noise = np.square(given - wanted).mean()
    assert 10 * np.log10(np.square(wanted).mean() / noise) > 35


def test_packed_weights_beside_int8_activations_become_int8() -> None:
    random = np.random.default_rng(5)
    model = ModelProto.FromString(blocked(random, TensorProto.INT4, zeros=True))
    for name, value in (("s", np.float32(0.03)), ("z", np.int8(3)), ("t", np.float32(0.2))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    unpack, multiply = model.graph.node
    del model.graph.node[:]
    multiply.input[0], multiply.output[0] = "x8f", "yf"
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x8"]),
            helper.make_node("DequantizeLinear", ["x8", "s", "z"], ["x8f"]),
            unpack,
            multiply,
            helper.make_node("QuantizeLinear", ["yf", "t", "z"], ["y8"]),
            helper.make_node("DequantizeLinear", ["y8", "t", "z"], ["y"]),
        ]
    )
    content = model.SerializeToString()
    x = random.normal(0, 1, (ROWS, INNER)).astype(np.float32)
    program = compile_model(content, EDGE, no_host=True)
    given = run_program(program, {"x": x}).outputs["y"]
    wanted = run_onnxruntime(content, {"x": x}, ["y"])["y"]
    assert np.abs(given - wanted).max() <= 0.2 * 1.001  # a step of the output's scale


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bits", 3, "3 bits in blocks of 32; allowed: 2, 4 or 8 bits"),
        ("block_size", 24, "4 bits in blocks of 24"),
        ("K", 1 << 40, "weights; allowed: weights of"),
        ("N", COLUMNS + 1, "input 1; allowed: a constant of 1200 bytes"),
        ("N", -1, "weights; allowed"),
    ],
)
def test_attributes_that_do_not_fit(name: str, value: int, message: str) -> None:
    model = ModelProto.FromString(product(np.random.default_rng(0), 4))
    for attribute in model.graph.node[0].attribute:
        if attribute.name == name:
            attribute.i = value
    with pytest.raises(ModelError, match=message):
        load_model(model.SerializeToString())


def test_scales_and_order_that_do_not_fit() -> None:
    model = ModelProto.FromString(product(np.random.default_rng(0), 4, order=True))
    for tensor in model.graph.initializer:
        if tensor.name == "order":
            tensor.CopyFrom(numpy_helper.from_array(np.full(INNER, GROUPS, np.int32), "order"))
    with pytest.raises(ModelError, match=r"group indices; allowed: 72 of them, each in 0\.\.2"):
        load_model(model.SerializeToString())
    model = ModelProto.FromString(blocked(np.random.default_rng(0), TensorProto.INT4, zeros=False))
    for tensor in model.graph.initializer:
        if tensor.name == "scales":
            tensor.CopyFrom(numpy_helper.from_array(np.ones((2, COLUMNS), np.float32), "scales"))
    with pytest.raises(ModelError, match="scales"):
        load_model(model.SerializeToString())
