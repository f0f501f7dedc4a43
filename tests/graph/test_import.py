"""Models as exporters and quantisers write them: what becomes int8, what stays on the host, the values."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from qdq_models import QdqModel, compare, random_feeds

from hanok.errors import ModelError
from hanok.graph import DType, Operator, import_graph, load_model, run_onnxruntime, run_reference


def _float_model(
    nodes: list[object],
    inputs: dict[str, list[object]],
    outputs: list[str],
    constants: dict[str, np.ndarray],
    opset: int = 17,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return load_model(model.SerializeToString())


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-127, 128, shape).astype(np.int8)


def _small_network(opset: int) -> ModelProto:
    """Conv, Relu, MaxPool, Conv, Add, ReduceMean or pool, Reshape, Gemm: QDQ on every tensor."""
    rng = np.random.default_rng(opset)
    q = QdqModel(opset=opset, ir_version=8 if opset < 20 else 10)

    def requantized(value: str, scale: float = 0.05, zero: int = -5) -> str:
        return q.dequantize(q.quantize(value, scale, zero), scale, zero)

    x = q.input((1, 3, 12, 12), 0.04, 2)
    w = q.weight(_weights(rng, 8, 3, 3, 3), rng.uniform(0.001, 0.004, 8), 0, 0)
    a = requantized(q.apply("Relu", [q.apply("Conv", [x, w], pads=[1, 1, 1, 1])]), 0.02, -128)
    a = q.apply("MaxPool", [a], kernel_shape=[2, 2], strides=[2, 2])
    a = requantized(a, 0.02, -128)
    w = q.weight(_weights(rng, 8, 8, 1, 1), rng.uniform(0.001, 0.004, 8), 0, 0)
    b = requantized(q.apply("Conv", [a, w]), 0.03, 4)
    c = requantized(q.apply("Add", [a, b]), 0.04, -60)
    d = requantized(q.apply("GlobalAveragePool", [c]), 0.02, -60)
    e = requantized(q.apply("Reshape", [d, q.constant(np.array([1, -1], np.int64))]), 0.02, -60)
    w = q.weight(_weights(rng, 8, 10), 0.01)
    f = requantized(q.apply("Gemm", [e, w, q.constant(rng.normal(0, 0.1, 10).astype(np.float32))]), 0.01, 0)
    q.output(q.apply("Softmax", [f], axis=-1), 1 / 256, -128)
    return q.model()


@pytest.mark.parametrize("opset", range(13, 24))
def test_opsets(opset: int) -> None:
    found = compare(_small_network(opset))
    assert found.operators() == [
        "CONV",
        "MAX_POOL",
        "CONV",
        "ADD",
        "AVERAGE_POOL",
        "RESHAPE",
        "MATMUL",
        "SOFTMAX",
    ]
    assert found.integer_steps <= 1


def test_float_border_has_one_quantize_and_one_dequantize() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    q.inputs.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 6, 6]))
    x = q.dequantize(q.quantize("image", 0.03, 5), 0.03, 5)
    y = q.apply("Conv", [x, q.weight(_weights(rng, 4, 4, 3, 3), 0.01)])
    q.raw_output(q.dequantize(q.quantize(y, 0.1, 0), 0.1, 0))
    model = q.model()
    graph = import_graph(model, input_shapes={"image": (2, 4, 6, 6)})
    assert [node.operator.name for node in graph.nodes] == ["QUANTIZE", "CONV", "DEQUANTIZE"]
    assert (graph.inputs, graph.outputs) == (("image",), (q.outputs[0].name,))
    feeds = random_feeds(graph, 0)
    mine, theirs = run_reference(graph, feeds), run_onnxruntime(model, feeds)
    np.testing.assert_array_equal(mine[graph.outputs[0]], theirs[graph.outputs[0]])
    assert import_graph(model).tensor("image").shape == (1, 4, 6, 6)
    with pytest.raises(
        ModelError, match=r"shape \[2, 5, 6, 6\] is given, but the model declares \['\?', 4, 6, 6\]"
    ):
        import_graph(model, input_shapes={"image": (2, 5, 6, 6)})
    with pytest.raises(ModelError, match="which is no input; inputs: image"):
        import_graph(model, input_shapes={"photo": (1,)})


def test_only_convolution_inputs_quantised() -> None:
    """Q and DQ only before Conv, as some toolkits write it: pools commute with Q, a float Add stays."""
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((1, 4, 12, 12), 0.03, 0)
    a = q.apply("Relu", [q.apply("Conv", [x, q.weight(_weights(rng, 4, 4, 3, 3), 0.005)], pads=[1] * 4)])
    a = q.apply("MaxPool", [a], kernel_shape=[2, 2], strides=[2, 2])
    a = q.apply("Transpose", [q.apply("Transpose", [a], perm=[0, 2, 3, 1])], perm=[0, 3, 1, 2])
    b = q.dequantize(q.quantize(a, 0.02), 0.02)
    c = q.apply("Conv", [b, q.weight(_weights(rng, 4, 4, 1, 1), 0.005)])
    d = q.apply("Relu", [q.apply("Add", [c, a])])
    e = q.dequantize(q.quantize(d, 0.03), 0.03)
    q.output(q.apply("Conv", [e, q.weight(_weights(rng, 4, 4, 1, 1), 0.005)]), 0.05)
    found = compare(q.model())
    assert found.on_host == ["MaxPool"]
    assert found.operators()[-2:] == ["FORMULA", "CONV"]
    assert found.float_steps <= 1


def test_pools_and_layout_between_convolution_and_its_quantizer() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((1, 4, 12, 12), 0.03, 0)
    a = q.apply("Relu", [q.apply("Conv", [x, q.weight(_weights(rng, 8, 4, 3, 3), 0.005)], pads=[1] * 4)])
    b = q.apply("Conv", [x, q.weight(_weights(rng, 4, 4, 3, 3), 0.005)], pads=[1] * 4)
    joined = q.apply("Concat", [a, b], axis=1)
    pooled = q.apply("MaxPool", [joined], kernel_shape=[2, 2], strides=[2, 2])
    q.output(q.apply("Flatten", [pooled]), 0.02, 7)
    found = compare(q.model())
    assert found.operators() == ["CONV", "CONV", "CONCAT", "MAX_POOL", "RESHAPE"]
    assert found.float_steps <= 1


def test_quantised_values_move_freely_before_a_float_reader() -> None:
    q = QdqModel()
    x = q.input((1, 4, 6, 6), 0.03, 3)
    moved = q.apply("Transpose", [q.apply("MaxPool", [x], kernel_shape=[3, 3])], perm=[0, 2, 3, 1])
    q.raw_output(q.apply("Relu", [q.apply("Reshape", [moved, q.constant(np.array([-1, 4]))])]))
    found = compare(q.model())
    assert found.operators() == ["MAX_POOL", "TRANSPOSE", "RESHAPE", "LOOKUP", "DEQUANTIZE"]
    assert found.float_mismatches == 0


def test_shared_and_repeated_quantizers() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((1, 4, 6, 6), 0.03, 3)
    shared = q.weight(_weights(rng, 4, 4, 1, 1), 0.01)
    y = q.apply("Conv", [x, shared])
    first, second = q.quantize(y, 0.05, 1), q.quantize(y, 0.05, 1)
    other = q.quantize(y, 0.11, 0)
    a, b = q.dequantize(first, 0.05, 1), q.dequantize(first, 0.05, 1)
    q.output(
        q.apply("Add", [q.apply("Conv", [a, shared]), q.constant(np.zeros((1, 4, 1, 1), np.float32))]), 0.1
    )
    q.output(q.apply("Mul", [b, q.dequantize(second, 0.05, 1)]), 0.1)
    q.output(q.apply("Sigmoid", [q.dequantize(other, 0.11)]), 1 / 256, -128)
    found = compare(q.model())
    assert (
        sorted(found.operators()) == ["CONV", "CONV", "CONV", "LOOKUP", "MUL"]
        or "LOOKUP" in found.operators()
    )
    assert not found.on_host
    assert found.float_steps <= 1


def test_equal_parameters_alias_and_others_requantise() -> None:
    q = QdqModel()
    x = q.input((2, 3), 0.03, 3)
    q.output(q.apply("Relu", [q.dequantize(q.quantize(x, 0.03, 3), 0.03, 3)]), 0.03, 3)
    q.output(x, 0.07, 0)
    found = compare(q.model())
    assert found.operators() == ["LOOKUP", "LOOKUP"]
    assert found.float_mismatches == 0


def test_batch_normalization_between_convolution_and_quantizer() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((1, 4, 6, 6), 0.03, 3)
    parameters = [rng.uniform(0.5, 2, 8), rng.normal(0, 1, 8), rng.normal(0, 1, 8), rng.uniform(0.5, 2, 8)]
    names = [q.constant(value.astype(np.float32)) for value in parameters]
    y = q.apply("Conv", [x, q.weight(_weights(rng, 8, 4, 3, 3), rng.uniform(0.001, 0.01, 8), 0, 0)])
    q.output(q.apply("Relu", [q.apply("BatchNormalization", [y, *names])]), 0.1, -128)
    found = compare(q.model())
    assert found.operators() == ["CONV"]
    assert found.float_steps <= 1


@pytest.mark.parametrize("shape", [(2, 6, 5, 7), (2, 6, 9)])
def test_lone_batch_normalization_and_channel_scales_become_depthwise(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input(shape, 0.03, 3)
    gains = rng.uniform(-2, 2, 6)
    gains[2] = 0
    parameters = [gains, rng.normal(0, 1, 6), rng.normal(0, 1, 6), rng.uniform(0.5, 2, 6)]
    names = [q.constant(value.astype(np.float32)) for value in parameters]
    q.output(q.apply("BatchNormalization", [x, *names]), 0.05, 5)
    row = (6, *([1] * (len(shape) - 2)))
    q.output(q.apply("Mul", [x, q.constant(rng.uniform(-2, 2, row).astype(np.float32))]), 0.05, 5)
    q.output(q.apply("Sub", [q.constant(rng.normal(0, 2, row).astype(np.float32)), x]), 0.05, 5)
    found = compare(q.model())
    assert set(found.operators()) <= {"CONV", "RESHAPE"}
    assert found.operators().count("CONV") == 3
    assert found.float_steps <= 1


def test_matmul_and_bias_of_any_rank() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((2, 5, 16), 0.03, 3)
    y = q.apply("MatMul", [x, q.weight(_weights(rng, 16, 8), rng.uniform(0.001, 0.01, 8), 0, 1)])
    q.output(q.apply("Add", [q.constant(rng.normal(0, 1, 8).astype(np.float32)), y]), 0.05, 5)
    found = compare(q.model())
    assert found.operators() == ["MATMUL"]
    assert len(found.graph.nodes[0].inputs) == 3
    assert found.float_steps <= 1


def test_weights_behind_a_transpose() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((5, 16), 0.03, 3)
    w = q.apply("Transpose", [q.weight(_weights(rng, 8, 16), rng.uniform(0.001, 0.01, 8), 0, 0)], perm=[1, 0])
    q.output(q.apply("MatMul", [x, w]), 0.05, 5)
    found = compare(q.model())
    assert (found.operators(), found.integer_steps) == (["MATMUL"], 0)


def test_weights_quantised_in_the_graph() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((5, 16), 0.03, 3)
    raw = q.constant(rng.normal(0, 0.3, (16, 8)).astype(np.float32))
    q.output(q.apply("MatMul", [x, q.dequantize(q.quantize(raw, 0.005), 0.005)]), 0.05, 5)
    found = compare(q.model())
    assert (found.operators(), found.integer_steps) == (["MATMUL"], 0)


def test_gemm_with_alpha_beta_and_transposes() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((16, 5), 0.03, 3)
    bias = q.constant(rng.normal(0, 1, (1, 8)).astype(np.float32))
    w = q.weight(_weights(rng, 8, 16), 0.01)
    q.output(q.apply("Gemm", [x, w, bias], alpha=0.5, beta=2.0, transA=1, transB=1), 0.05, 5)
    found = compare(q.model())
    assert found.operators() == ["TRANSPOSE", "MATMUL"]
    assert found.float_steps <= 1


def test_integers_that_other_operators_read() -> None:
    """MaxPool and Reshape on integers, ArgMax of a quantised tensor, a DQ with foreign parameters."""
    q = QdqModel(unsigned=True)
    x = q.input((1, 4, 6, 6), 0.03, 131)
    stored = q.quantize(q.apply("Sigmoid", [x]), 1 / 256, 0)
    pooled = q.apply(
        "Reshape", [q.apply("MaxPool", [stored], kernel_shape=[2, 2]), q.constant(np.array([4, -1]))]
    )
    q.output(q.apply("Exp", [q.dequantize(pooled, 1 / 256)]), 0.02)
    q.raw_output(q.apply("ArgMax", [stored], axis=1), TensorProto.INT64)
    q.raw_output(q.dequantize(stored, 0.5, 7))
    found = compare(q.model())
    operators = found.operators()
    assert [name for name in operators if name not in ("QUANTIZE", "DEQUANTIZE")] == [
        "LOOKUP",
        "MAX_POOL",
        "RESHAPE",
        "LOOKUP",
        "HOST",
        "HOST",
        "HOST",
    ]
    assert found.on_host == ["QuantizeLinear", "ArgMax", "DequantizeLinear"]
    assert found.float_mismatches == 0


def test_host_operators_between_integer_ones() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel()
    x = q.input((1, 6, 16), 0.03, 3)
    normal = q.apply("LpNormalization", [x])
    y = q.dequantize(q.quantize(normal, 0.03), 0.03)
    q.output(q.apply("MatMul", [y, q.weight(_weights(rng, 16, 4), 0.01)]), 0.05)
    found = compare(q.model())
    assert found.operators() == ["DEQUANTIZE", "HOST", "QUANTIZE", "MATMUL"]
    assert found.float_steps <= 1
    for node in found.graph.nodes:
        if node.operator is Operator.HOST:
            assert all(
                found.graph.tensor(name).dtype is DType.FLOAT32 for name in (*node.inputs, *node.outputs)
            )


def test_exporters_noise_disappears() -> None:
    constants = {
        "zero": np.array(0, np.int64),
        "one": np.array([1], np.int64),
        "minus": np.array([-1], np.int64),
        "ratio": np.array(0.5, np.float32),
        "weight": np.ones((4, 2), np.float32),
    }
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Dropout", ["a", "ratio"], ["b"]),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["c"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "one0"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "minus"], ["target"], axis=0),
        helper.make_node("ConstantOfShape", ["target1"], ["filled"]),
        helper.make_node("Reshape", ["c", "target"], ["d"]),
        helper.make_node("MatMul", ["d", "weight"], ["e"]),
        helper.make_node("Add", ["e", "filled"], ["f"]),
        helper.make_node("Identity", ["f"], ["y"]),
        helper.make_node("Exp", ["x"], ["unused"]),
    ]
    constants["one0"] = np.array([0], np.int64)
    constants["target1"] = np.array([1, 2], np.int64)
    model = _float_model(nodes, {"x": ["n", 2, 2]}, ["y"], constants)
    graph = import_graph(model, input_shapes={"x": (3, 2, 2)})
    assert [node.onnx_type for node in graph.nodes] == ["Reshape", "Gemm"]
    assert graph.tensor("y").shape == (3, 2)
    x = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(
        run_reference(graph, {"x": x})["y"], run_onnxruntime(model, {"x": x})["y"], rtol=1e-6
    )


def test_conditional_subgraphs_run_on_the_host() -> None:
    inner = [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)]
    positive = helper.make_graph([helper.make_node("Add", ["x", "x"], ["chosen"])], "then", [], inner)
    negative = helper.make_graph([helper.make_node("Neg", ["x"], ["chosen"])], "else", [], inner)
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=positive, else_branch=negative),
    ]
    model = _float_model(nodes, {"x": [2, 2]}, ["y"], {"limit": np.array(0, np.float32)})
    graph = import_graph(model)
    for sign in (1, -1):
        x = sign * np.ones((2, 2), np.float32)
        np.testing.assert_array_equal(
            run_reference(graph, {"x": x})["y"], 2 * np.ones((2, 2)) if sign > 0 else -x
        )


def _pair(q: QdqModel, value: str, scale: object, zero: object, **attributes: object) -> str:
    """Q and DQ with parameters as they are given."""
    names = [q.constant(scale), q.constant(zero)]
    stored = q.apply("QuantizeLinear", [value, *names], **attributes)
    return q.apply("DequantizeLinear", [stored, *names], **attributes)


def test_formats_that_the_npu_lacks_stay_on_the_host() -> None:
    """int16 activations, one scale for each channel of an activation, blocks of weights."""
    rng = np.random.default_rng(0)
    q = QdqModel(opset=21, ir_version=10)
    x = q.input((4, 6), 0.03, 3)
    wide = _pair(q, q.apply("Exp", [x]), np.float32(0.001), np.int16(0))
    rows = _pair(q, wide, rng.uniform(0.1, 0.2, 6).astype(np.float32), np.zeros(6, np.int8), axis=1)
    blocks = [
        q.constant(rng.uniform(0.01, 0.02, (3, 5)).astype(np.float32)),
        q.constant(np.zeros((3, 5), np.int8)),
    ]
    w = q.apply("DequantizeLinear", [q.constant(_weights(rng, 6, 5)), *blocks], axis=0, block_size=2)
    q.output(q.apply("MatMul", [rows, w]), 0.5)
    found = compare(q.model())
    assert "MATMUL" not in found.operators()
    assert found.on_host.count("QuantizeLinear") == 2
    assert found.float_steps <= 1


def test_narrow_weights_are_widened() -> None:
    rng = np.random.default_rng(0)
    q = QdqModel(opset=21, ir_version=10)
    x = q.input((4, 6), 0.03, 3)
    weights = helper.make_tensor("w4", TensorProto.INT4, [6, 4], rng.integers(-8, 8, 24).tolist())
    q.initializers.append(weights)
    w = q.apply("DequantizeLinear", ["w4", q.constant(np.float32(0.1))])
    q.output(q.apply("MatMul", [x, w]), 0.1)
    found = compare(q.model())
    assert found.operators() == ["MATMUL"]
    assert found.float_steps <= 1


def test_half_precision_runs_on_the_host() -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        [numpy_helper.from_array(np.full((3,), 2, np.float16), "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    imported = import_graph(load_model(model.SerializeToString()))
    assert (imported.tensor("x").dtype, imported.tensor("x").element_type) == (DType.OTHER, "FLOAT16")
    x = np.array([[1, -1, 3], [0.5, 2, -2]], np.float16)
    np.testing.assert_array_equal(run_reference(imported, {"x": x})["y"], np.maximum(2 * x, 0))


def test_a_host_operator_with_an_output_that_nobody_reads() -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["first", "second"], axis=0),
        helper.make_node("Exp", ["first"], ["y"]),
    ]
    model = _float_model(nodes, {"x": [4, 2]}, ["y"], {})
    x = np.ones((4, 2), np.float32)
    np.testing.assert_allclose(run_reference(import_graph(model), {"x": x})["y"], np.exp(x[:2]), rtol=1e-6)


def test_outputs_that_are_inputs_or_constants() -> None:
    constants = {"c": np.array([1, 2], np.float32), "shape": np.array([2], np.int64)}
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Cast", ["size"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["x", "shape"], ["again"]),
    ]
    model = _float_model(nodes, {"x": [2]}, ["same", "sizes", "again", "c"], constants)
    graph = import_graph(model)
    x = np.array([3, 4], np.float32)
    made = run_reference(graph, {"x": x})
    assert [made[name].tolist() for name in graph.outputs] == [[3, 4], [2], [3, 4], [1, 2]]


def test_an_integer_output_keeps_its_name_and_may_be_read_again() -> None:
    q = QdqModel()
    x = q.input((2, 3), 0.03, 3)
    first = q.quantize(x, 0.03, 3)
    q.raw_output(first, TensorProto.INT8)
    second = q.quantize(q.dequantize(first, 0.03, 3), 0.03, 3)
    q.raw_output(second, TensorProto.INT8)
    q.output(q.apply("Tanh", [q.dequantize(second, 0.03, 3)]), 0.01)
    found = compare(q.model())
    assert (found.graph.outputs[:2], found.on_host) == ((first, second), [])
    assert found.float_mismatches == 0


def test_import_is_deterministic() -> None:
    first, second = (import_graph(_small_network(17)) for _ in range(2))
    assert [(n.name, n.inputs, n.outputs, n.onnx_nodes) for n in first.nodes] == [
        (n.name, n.inputs, n.outputs, n.onnx_nodes) for n in second.nodes
    ]
    assert list(first.tensors) == list(second.tensors)
