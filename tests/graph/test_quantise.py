"""Quantisation of float models: coverage of operators, calibration data, determinism, repair."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.errors import ModelError, UnsupportedError
from hanok.graph.quantise import RANDOM_DATA_WARNING, is_quantised, quantise_model
from hanok.graph.topologies import ds_cnn, resnet8

NPU_OPERATORS = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div",
    "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu",
    "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Concat", "Slice", "Split", "Pad",
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Resize", "DepthToSpace", "SpaceToDepth",
    "Softmax",
})  # fmt: skip
SHAPE = (1, 8, 6, 10)


def constant(name: str, values) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def model_of(
    nodes, constants=(), *, shape=SHAPE, inputs=None, output="y", output_shape=None, opset=20
) -> ModelProto:
    inputs = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def weights(name: str, *shape: int) -> TensorProto:
    seed = sum(shape) + len(name)
    values = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return constant(name, values.astype(np.float32))


def run(model: ModelProto, feeds) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def snr_db(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / max(np.square(wanted - found).sum(), 1e-30)))


def float_edges(model: ModelProto) -> list[str]:
    """NPU operators that read or make a float tensor that is no side of a Q or DQ."""
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[str]] = {value.name: ["output"] for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    integer = {init.name for init in model.graph.initializer if init.data_type != TensorProto.FLOAT}
    bad = []
    for node in model.graph.node:
        if node.op_type not in NPU_OPERATORS:
            continue
        reads = [name for name in node.input if name and name not in integer]
        if node.op_type in ("Clip", "Resize"):
            reads = reads[:1]
        bad += [f"{node.op_type} reads {name}" for name in reads if _kind(makers, name) != "DequantizeLinear"]
        for name in node.output:
            bad += [
                f"{node.op_type} makes {name} for {to}"
                for to in readers.get(name, [])
                if to != "QuantizeLinear"
            ]
    return bad


def _kind(makers, name: str) -> str:
    return makers[name].op_type if name in makers else "nothing"


def unary(kind: str, **attributes):
    return [helper.make_node(kind, ["a"], ["b"], name="op", **attributes)], []


ints = lambda *values: np.array(values, np.int64)  # noqa: E731
CASES = {
    "Conv": (
        [helper.make_node("Conv", ["a", "w"], ["b"], name="op", pads=[1, 1, 1, 1])],
        [weights("w", 8, 8, 3, 3)],
    ),
    "Conv depthwise": (
        [helper.make_node("Conv", ["a", "w", "c"], ["b"], name="op", group=8)],
        [weights("w", 8, 1, 3, 3), constant("c", np.linspace(-1, 1, 8, dtype=np.float32))],
    ),
    "ConvTranspose": (
        [helper.make_node("ConvTranspose", ["a", "w"], ["b"], name="op", strides=[2, 2])],
        [weights("w", 8, 4, 2, 2)],
    ),
    "ConvTranspose grouped": (
        [helper.make_node("ConvTranspose", ["a", "w", "c"], ["b"], name="op", group=2)],
        [weights("w", 8, 3, 2, 2), constant("c", np.linspace(-1, 1, 6, dtype=np.float32))],
    ),
    "MatMul": ([helper.make_node("MatMul", ["a", "w"], ["b"], name="op")], [weights("w", 10, 5)]),
    "MatMul of activations": (
        [
            helper.make_node("Transpose", ["a"], ["t"], name="turn", perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["a", "t"], ["b"], name="op"),
        ],
        [],
    ),
    "Add": ([helper.make_node("Add", ["a", "c"], ["b"], name="op")], [weights("c", 1, 8, 1, 1)]),
    "Sub": ([helper.make_node("Sub", ["c", "a"], ["b"], name="op")], [constant("c", np.float32(1))]),
    "Mul": (
        [
            helper.make_node("Sigmoid", ["a"], ["s"], name="s"),
            helper.make_node("ReduceMean", ["s", "axes"], ["m"], name="m"),
            helper.make_node("Mul", ["a", "m"], ["b"], name="op"),
        ],
        [constant("axes", ints(2, 3))],
    ),
    "Div": ([helper.make_node("Div", ["a", "c"], ["b"], name="op")], [constant("c", np.float32([[[3]]]))]),
    "Relu": unary("Relu"),
    "LeakyRelu": unary("LeakyRelu", alpha=0.1),
    "Clip": (
        [helper.make_node("Clip", ["a", "lo", "hi"], ["b"], name="op")],
        [constant("lo", np.float32(0)), constant("hi", np.float32(6))],
    ),
    "Clip without zero": (
        [helper.make_node("Clip", ["a", "lo"], ["b"], name="op")],
        [constant("lo", np.float32(0.5))],
    ),
    "Sigmoid": unary("Sigmoid"),
    "HardSigmoid": unary("HardSigmoid"),
    "HardSwish": unary("HardSwish"),
    "Tanh": unary("Tanh"),
    "Gelu": unary("Gelu"),
    "MaxPool": unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool": unary("AveragePool", kernel_shape=[2, 2]),
    "GlobalAveragePool": unary("GlobalAveragePool"),
    "ReduceMean": (
        [helper.make_node("ReduceMean", ["a", "axes"], ["b"], name="op")],
        [constant("axes", ints(1))],
    ),
    "Concat": (
        [
            helper.make_node("Tanh", ["a"], ["t"], name="t"),
            helper.make_node("Concat", ["a", "t"], ["b"], name="op", axis=1),
        ],
        [],
    ),
    "Slice": (
        [helper.make_node("Slice", ["a", "s", "e", "axes"], ["b"], name="op")],
        [constant("s", ints(1)), constant("e", ints(5)), constant("axes", ints(2))],
    ),
    "Split": (
        [
            helper.make_node("Split", ["a"], ["p", "q"], name="op", axis=1, num_outputs=2),
            helper.make_node("Add", ["p", "q"], ["b"], name="add"),
        ],
        [],
    ),
    "Pad": (
        [helper.make_node("Pad", ["a", "p"], ["b"], name="op")],
        [constant("p", ints(0, 0, 1, 2, 0, 0, 3, 4))],
    ),
    "Pad with a value": (
        [helper.make_node("Pad", ["a", "p", "v"], ["b"], name="op")],
        [constant("p", ints(0, 0, 1, 2, 0, 0, 3, 4)), constant("v", np.float32(-1.5))],
    ),
    "Reshape": (
        [helper.make_node("Reshape", ["a", "s"], ["b"], name="op")],
        [constant("s", ints(1, 4, 12, 10))],
    ),
    "Flatten": unary("Flatten"),
    "Transpose": unary("Transpose", perm=[0, 2, 3, 1]),
    "Squeeze": ([helper.make_node("Squeeze", ["a", "axes"], ["b"], name="op")], [constant("axes", ints(0))]),
    "Unsqueeze": (
        [helper.make_node("Unsqueeze", ["a", "axes"], ["b"], name="op")],
        [constant("axes", ints(0))],
    ),
    "Resize": (
        [helper.make_node("Resize", ["a", "", "s"], ["b"], name="op", mode="linear")],
        [constant("s", np.float32([1, 1, 2, 2]))],
    ),
    "DepthToSpace": unary("DepthToSpace", blocksize=2),
    "SpaceToDepth": unary("SpaceToDepth", blocksize=2),
    "Softmax": unary("Softmax", axis=-1),
}


@pytest.mark.parametrize("name", CASES)
def test_every_operator_stands_between_q_and_dq(name):
    """Between a 1x1 convolution and a Tanh, no NPU operator is left with a float side, and values hold.

    Products of activations have float results, since what follows them needs more than eight bits.
    """
    nodes, constants = CASES[name]
    before = helper.make_node("Conv", ["x", "k"], ["a"], name="before")
    after = helper.make_node("Tanh", ["b"], ["y"], name="after")
    model = model_of([before, *nodes, after], [weights("k", 8, 8, 1, 1), *constants])
    x = np.random.default_rng(3).standard_normal((4, *SHAPE), dtype=np.float32)
    quantised = quantise_model(model, {"x": x}).model
    onnx.checker.check_model(quantised, full_check=True)
    if name not in ("Clip without zero", "MatMul of activations"):
        assert float_edges(quantised) == []
    wanted, found = run(model, {"x": x[0]}), run(quantised, {"x": x[0]})
    assert wanted.shape == found.shape
    assert snr_db(wanted, found) > 25


@pytest.mark.parametrize("name", [name for name in CASES if " " not in name])
def test_every_operator_alone_is_quantised(name):
    """As the first and last operator of a model, too."""
    nodes, constants = CASES[name]
    model = model_of(nodes, constants, output="b")
    model.graph.input[0].name = "a"
    quantised = quantise_model(model).model
    assert float_edges(quantised) == []


@pytest.mark.parametrize("bias_shape", [(5,), (1, 5), (1,), (), (3, 1), (3, 5)])
@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}])
def test_gemm_with_every_kind_of_bias(bias_shape, attributes):
    bias = np.random.default_rng(5).standard_normal(bias_shape).astype(np.float32)
    weight = weights("w", 5, 7) if "transB" in attributes else weights("w", 7, 5)
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], name="op", **attributes)
    model = model_of([node], [weight, constant("c", bias)], shape=(3, 7))
    x = np.random.default_rng(3).standard_normal((5, 3, 7), dtype=np.float32)
    quantised = quantise_model(model, {"x": x}).model
    onnx.checker.check_model(quantised, full_check=True)
    assert snr_db(run(model, {"x": x[0]}), run(quantised, {"x": x[0]})) > 30


def test_a_quantised_model_is_returned_untouched():
    once = quantise_model(resnet8()).model
    again = quantise_model(once)
    assert again.model is once
    assert again.record.was_quantised
    assert is_quantised(once)
    assert not is_quantised(resnet8())


def test_weights_are_per_channel_int8_and_activations_int8():
    quantised = quantise_model(resnet8()).model
    constants = {item.name: numpy_helper.to_array(item) for item in quantised.graph.initializer}
    makers = {name: node for node in quantised.graph.node for name in node.output}
    convolutions = [node for node in quantised.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 9
    for node in convolutions:
        x, weight, bias = (makers[name] for name in node.input)
        content, scale, zero = (constants[name] for name in weight.input)
        assert content.dtype == np.int8
        assert scale.shape == (content.shape[0],)
        assert not zero.any()
        x_scale, x_zero = (constants[name] for name in x.input[1:])
        assert x_zero.dtype == np.int8
        assert constants[bias.input[0]].dtype == np.int32
        np.testing.assert_array_equal(constants[bias.input[1]], (x_scale * scale).astype(np.float32))


def test_the_same_input_gives_the_same_bytes_in_any_process():
    code = (
        "import hashlib\n"
        "from hanok.graph.quantise import quantise_model\n"
        "from hanok.graph.topologies import ds_cnn\n"
        "print(hashlib.sha256(quantise_model(ds_cnn()).model.SerializeToString(deterministic=True)).hexdigest())\n"
    )
    digests = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        digests.append(done.stdout)
    assert digests[0] == digests[1]


def test_nothing_is_printed_and_no_file_is_left(capfd, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quantise_model(ds_cnn())
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_random_data_is_warned_of_and_calibration_data_is_not():
    model = ds_cnn()
    assert quantise_model(model).record.warnings[0] == RANDOM_DATA_WARNING
    x = np.random.default_rng(0).standard_normal((3, 1, 49, 10), dtype=np.float32)
    record = quantise_model(model, {"input": x}).record
    assert record.samples == 3
    assert not record.random_data
    assert RANDOM_DATA_WARNING not in record.warnings


def test_forms_of_calibration_data_agree():
    model = ds_cnn()
    x = np.random.default_rng(0).standard_normal((3, 1, 49, 10), dtype=np.float32)
    forms = [
        {"input": x},
        {"input": x[:, None]},
        [{"input": part[None]} for part in x],
        iter([{"input": p[None]} for p in x]),
    ]
    models = [quantise_model(model, form).model.SerializeToString(deterministic=True) for form in forms]
    assert models.count(models[0]) == len(forms)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"inputs": np.zeros(1)}, r"calibration data: input 'input' is missing; the model's inputs: input"),
        (
            {"input": np.zeros((2, 3), np.float32)},
            r"input 'input' has shape \[2, 3\]; allowed: \[1, 1, 49, 10\]",
        ),
        ([{"input": np.zeros((1, 49, 10), np.float32)}], r"sample 0: input 'input' has shape \[1, 49, 10\]"),
        (
            [{"input": np.zeros((1, 1, 49, 10), np.complex64)}],
            r"has complex64 elements; the model takes float32",
        ),
        (
            [{"input": np.full((1, 1, 49, 10), np.nan, np.float32)}],
            r"sample 0: input 'input' holds infinite values",
        ),
        (
            [{"input": np.zeros((1, 1, 49, 10), np.float32), "y": np.zeros(1)}],
            r"'y' is no input of the model",
        ),
        ([], r"there is no sample in it"),
    ],
)
def test_bad_calibration_data_is_refused(calibration, message):
    with pytest.raises(ModelError, match=message):
        quantise_model(ds_cnn(), calibration)


def test_numbers_of_samples_must_agree():
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in ("a", "b")]
    model = model_of([helper.make_node("Add", ["a", "b"], ["y"], name="add")], inputs=values)
    with pytest.raises(ModelError, match=r"different numbers of samples: \{'a': 2, 'b': 3\}"):
        quantise_model(model, {"a": np.zeros((2, 4), np.float32), "b": np.zeros((3, 4), np.float32)})


def test_free_dimensions_follow_the_calibration_data():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 8, "height", 10))
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    model = model_of(nodes, [weights("w", 4, 8, 3, 3)], inputs=[value])
    quantised = quantise_model(model, {"x": np.zeros((5, 8, 12, 10), np.float32) + 1}).model
    assert [d.dim_value for d in quantised.graph.input[0].type.tensor_type.shape.dim] == [1, 8, 12, 10]
    quantised = quantise_model(model, input_shapes={"x": (2, 8, 9, 10)}).model
    assert [d.dim_value for d in quantised.graph.input[0].type.tensor_type.shape.dim] == [2, 8, 9, 10]


def test_random_indices_stay_inside_their_table_and_masks_let_all_through():
    """A table of 3 rows: any other index would fail in ONNX Runtime; an all-false mask would give NaN."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, (1, 6)) for name in ("ids", "mask")]
    nodes = [
        helper.make_node("Unsqueeze", ["ids", "axes"], ["ids3"]),
        helper.make_node("Gather", ["table", "ids3"], ["rows4"]),
        helper.make_node("Squeeze", ["rows4", "axes"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["scores"]),
        helper.make_node("Cast", ["mask"], ["allowed"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["allowed", "last"], ["allowed3"]),
        helper.make_node("Where", ["allowed3", "scores", "minus"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["y"], axis=1),
    ]
    constants = [
        weights("table", 3, 8),
        weights("w", 8, 4),
        constant("minus", np.float32(-np.inf)),
        constant("axes", ints(1)),
        constant("last", ints(2)),
    ]
    quantised = quantise_model(model_of(nodes, constants, inputs=inputs)).model
    feeds = {"ids": np.full((1, 6), 2), "mask": np.ones((1, 6), np.int64)}
    assert np.isfinite(run(quantised, feeds)).all()


def test_text_inputs_need_calibration_data():
    inputs = [helper.make_tensor_value_info("t", TensorProto.STRING, (1,))]
    nodes = [
        helper.make_node(
            "LabelEncoder", ["t"], ["y"], domain="ai.onnx.ml", keys_strings=["a"], values_floats=[1.0]
        )
    ]
    model = model_of(nodes, inputs=inputs)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    with pytest.raises(UnsupportedError, match="no random data of type STRING"):
        quantise_model(model)


def test_an_infinite_mask_stays_float():
    mask = np.triu(np.full((6, 6), -np.inf, np.float32), 1)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["scores"], name="scores"),
        helper.make_node("Add", ["scores", "mask"], ["masked"], name="mask"),
        helper.make_node("Softmax", ["masked"], ["p"], name="softmax", axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["y"], name="mix"),
    ]
    model = model_of(nodes, [constant("mask", mask)], shape=(1, 6, 8))
    x = np.random.default_rng(0).standard_normal((8, 1, 6, 8), dtype=np.float32)
    done = quantise_model(model, {"x": x})
    assert list(done.record.kept_float) == ["mask", "softmax"]
    assert "values between -inf and" in done.record.kept_float["mask"]
    assert snr_db(run(model, {"x": x[0]}), run(done.model, {"x": x[0]})) > 30


def test_a_normalisation_in_parts_stays_float():
    """8 bits would round mean squares next to zero to zero, and divide by it."""
    nodes = [
        helper.make_node("Pow", ["x", "two"], ["square"], name="square"),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], name="mean"),
        helper.make_node("Add", ["mean", "epsilon"], ["safe"], name="safe"),
        helper.make_node("Sqrt", ["safe"], ["root"], name="root"),
        helper.make_node("Reciprocal", ["root"], ["factor"], name="factor"),
        helper.make_node("Mul", ["x", "factor"], ["scaled"], name="scale"),
        helper.make_node("Mul", ["scaled", "gain"], ["normal"], name="gain"),
        helper.make_node("MatMul", ["normal", "w"], ["y"], name="product"),
    ]
    constants = [
        constant("two", np.float32(2)),
        constant("axes", ints(-1)),
        constant("epsilon", np.float32(1e-6)),
        constant("gain", np.ones(16, np.float32)),
        weights("w", 16, 4),
    ]
    model = model_of(nodes, constants, shape=(1, 5, 16))
    x = np.random.default_rng(0).standard_normal((8, 1, 5, 16), dtype=np.float32)
    x *= np.float32([1e-3, 1e-2, 0.1, 1, 10])[:, None]
    done = quantise_model(model, {"x": x})
    assert {"mean", "safe", "scale"} <= set(done.record.kept_float)
    assert snr_db(run(model, {"x": x[0]}), run(done.model, {"x": x[0]})) > 30


def test_a_function_in_parts_is_not_quantised_inside():
    """x * sigmoid(x) is one table between one DQ and one Q."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Sigmoid", ["a"], ["s"], name="sigmoid"),
        helper.make_node("Mul", ["a", "s"], ["b"], name="mul"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="conv2"),
    ]
    quantised = quantise_model(model_of(nodes, [weights("w", 8, 8, 1, 1)])).model
    makers = {name: node for node in quantised.graph.node for name in node.output}
    multiply = next(node for node in quantised.graph.node if node.op_type == "Mul")
    assert [makers[name].op_type for name in multiply.input] == ["DequantizeLinear", "Sigmoid"]
    readers = [node.op_type for node in quantised.graph.node if multiply.output[0] in node.input]
    assert readers == ["QuantizeLinear"]


def planted_model(channels: int = 16) -> ModelProto:
    """Every output channel has one large weight and 99 that are 0.4 of a step, all rounded to zero."""
    weight = np.zeros((channels, 100), np.float32)
    weight[:, 0] = np.linspace(0.5, 2, channels)
    weight[:, 1:] = 0.4 * weight[:, :1] / 127
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], name="layer", transB=1)]
    return model_of(nodes, [constant("w", weight)], shape=(20, 100))


def test_repair_restores_what_rounding_of_weights_took_away():
    """Inputs uniform in 0..1: the 99 lost weights of 0.4/127 add a mean of 99 * 0.4 / 127 * 0.5 = 0.156
    of the large weight, and scatter of sqrt(99/12) * 0.4/127 = 0.009. Repair can return the mean and not the
    scatter; so the error falls by about 20 log10(0.156 / 0.009) = 24 dB, less what 8-bit outputs add to both.
    """
    random = np.random.default_rng(1)
    model = planted_model()
    x = random.random((32, 20, 100), dtype=np.float32)
    unseen = random.random((20, 100), dtype=np.float32)
    wanted = run(model, {"x": unseen})
    plain = run(quantise_model(model, {"x": x}, repair=False).model, {"x": unseen})
    repaired = quantise_model(model, {"x": x})
    gain_db = snr_db(wanted, run(repaired.model, {"x": unseen})) - snr_db(wanted, plain)
    assert repaired.record.repair_used
    assert [layer.name for layer in repaired.record.repairs] == ["layer"]
    assert 15 < gain_db < 26


def test_repair_does_not_chase_chance():
    """With exact weights and one sample there is nothing to mend: repair must leave the weights alone."""
    random = np.random.default_rng(2)
    weight = random.integers(-127, 128, (8, 30)).astype(np.float32)
    weight[:, 0] = 127
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], name="layer", transB=1)]
    model = model_of(nodes, [constant("w", weight / 127)], shape=(4, 30))
    x = random.standard_normal((4, 30), dtype=np.float32)
    unseen = random.standard_normal((4, 30), dtype=np.float32)
    wanted = run(model, {"x": unseen})
    plain = snr_db(wanted, run(quantise_model(model, {"x": x}, repair=False).model, {"x": unseen}))
    repaired = snr_db(wanted, run(quantise_model(model, {"x": x}).model, {"x": unseen}))
    assert repaired > plain - 0.5


def test_repair_of_a_network_helps_on_unseen_data():
    model = ds_cnn()
    random = np.random.default_rng(4)
    x = random.standard_normal((24, 1, 49, 10), dtype=np.float32)
    unseen = random.standard_normal((16, 1, 1, 49, 10), dtype=np.float32)
    wanted = np.stack([run(model, {"input": part}) for part in unseen])
    ratios = []
    for repair in (False, True):
        session = onnxruntime.InferenceSession(
            quantise_model(model, {"input": x}, repair=repair).model.SerializeToString()
        )
        ratios.append(snr_db(wanted, np.stack([session.run(None, {"input": part})[0] for part in unseen])))
    assert ratios[1] > ratios[0] + 0.5


def test_no_bias_becomes_a_bias_where_repair_needs_one():
    quantised = quantise_model(
        planted_model(), {"x": np.random.default_rng(0).random((8, 20, 100), dtype=np.float32)}
    )
    gemm = next(node for node in quantised.model.graph.node if node.op_type == "Gemm")
    assert len(gemm.input) == 3


def test_rows_that_are_made_even_behind_a_bias_have_names_of_their_own():
    """The product is flattened for its bias, and its rows, of very different sizes, are divided."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], "chances", axis=-1),
        helper.make_node("MatMul", ["p", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "b"], ["y"], "bias"),
        helper.make_node("LayerNormalization", ["y", "gain"], ["z"], "norm"),
    ]
    tensors = {"w": rng.normal(0, 1, (32, 16)), "b": rng.normal(0, 1, 16), "gain": np.ones(16)}
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 24, 32])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 24, 16])],
        [constant(name, value.astype(np.float32)) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    sizes = np.exp(rng.normal(0, 3, (4, 24, 1)))
    samples = [{"x": (rng.normal(0, 1, (24, 32)) * each).astype(np.float32)[None]} for each in sizes]
    made = quantise_model(model, samples).model
    names = [node.name for node in made.graph.node]
    assert "product/inverse" in names
    assert len(set(names)) == len(names)
    assert snr_db(run(model, samples[0]), run(made, samples[0])) > 25


def test_bounds_of_a_clip_may_be_arrays_of_one_element():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Clip", ["c", "low", "high"], ["y"], "clip"),
    ]
    bounds = [constant("low", np.zeros(1, np.float32)), constant("high", np.full(1, 6, np.float32))]
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6])],
        [weights("w", 8, 4, 1, 1), *bounds],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert is_quantised(quantise_model(model).model)
