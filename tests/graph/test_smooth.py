"""Quantisation of transformers: smoothing, even rows, ranges, rounding, operands in two parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph._calibration import ENOUGH_ROWS, MOST_RANDOM_SAMPLES, random_samples, samples_for_rows
from hanok.graph._even_rows import even_rows
from hanok.graph._observe import observe_ranges
from hanok.graph._quantise_onnxruntime import insert_quantisers
from hanok.graph._quantise_select import keep_float
from hanok.graph._round_weights import rounded_by_moments, second_moments
from hanok.graph._smooth import smooth_channels
from hanok.graph._steps import best_range, rounded
from hanok.graph._two_parts import split_operands
from hanok.graph._working import WorkingGraph, to_model
from hanok.graph.quantise import prepare_float, quantise_model
from hanok.graph.topologies import ds_cnn

WIDTH, TOKENS, HEADS, VOCABULARY = 32, 12, 2, 50
OUTLIERS = (3, 17)
"""Channels that the normalisations' gains make 40 times as large as the others."""


def constants_of(random: np.random.Generator, layers: int) -> dict[str, np.ndarray]:
    gain = np.ones(WIDTH, np.float32)
    gain[list(OUTLIERS)] = 40
    found: dict[str, np.ndarray] = {
        "table": random.standard_normal((VOCABULARY, WIDTH)),
        "heads": np.array([1, TOKENS, HEADS, WIDTH // HEADS], np.int64),
        "joined": np.array([1, TOKENS, WIDTH], np.int64),
        "root": np.array((WIDTH // HEADS) ** -0.5),
        "mask": np.triu(np.full((TOKENS, TOKENS), -1e9), 1),
        "minus_one": np.array([-1], np.int64),
        "two": np.array(2.0),
        "epsilon": np.array(1e-6),
    }
    for layer in range(layers):
        for name, columns in (
            ("q", WIDTH),
            ("k", WIDTH),
            ("v", WIDTH),
            ("o", WIDTH),
            ("up", 64),
            ("gate", 64),
        ):
            weight = random.standard_normal((WIDTH, columns)) / np.sqrt(WIDTH)
            if name in ("q", "k", "v", "up", "gate"):
                weight[list(OUTLIERS)] /= 40
            found[f"{name}{layer}"] = weight
        found[f"down{layer}"] = random.standard_normal((64, WIDTH)) / 8
        found[f"gain_a{layer}"], found[f"gain_b{layer}"] = gain, gain
        found[f"shift{layer}"] = 0.1 * random.standard_normal(WIDTH)
    found["head"] = random.standard_normal((WIDTH, VOCABULARY)) / np.sqrt(WIDTH)
    return {
        name: value if value.dtype == np.int64 else value.astype(np.float32) for name, value in found.items()
    }


def layer_nodes(index: int, x: str) -> tuple[list[onnx.NodeProto], str]:
    """A pre-norm block: LayerNormalization, causal attention, RMS normalisation in parts, gated MLP."""
    nodes: list[onnx.NodeProto] = []

    def node(kind: str, inputs: list[str], output: str, **attributes) -> str:
        name = f"{output}{index}"
        nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}_node", **attributes))
        return name

    normal = node("LayerNormalization", [x, f"gain_a{index}", f"shift{index}"], "normal", axis=-1)
    turned = {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}
    parts = {}
    for part, order in turned.items():
        product = node("MatMul", [normal, f"{part}{index}"], f"{part}_product")
        split = node("Reshape", [product, "heads"], f"{part}_split")
        parts[part] = node("Transpose", [split], f"{part}_turned", perm=order)
    scores = node("Mul", [node("MatMul", [parts["q"], parts["k"]], "scores"), "root"], "scaled")
    shares = node("Softmax", [node("Add", [scores, "mask"], "masked")], "shares", axis=-1)
    mixed = node("Transpose", [node("MatMul", [shares, parts["v"]], "mix")], "mixed", perm=[0, 2, 1, 3])
    attended = node("MatMul", [node("Reshape", [mixed, "joined"], "rows"), f"o{index}"], "attended")
    x = node("Add", [x, attended], "residual")
    mean = node("ReduceMean", [node("Pow", [x, "two"], "square"), "minus_one"], "mean", keepdims=1)
    root = node("Sqrt", [node("Add", [mean, "epsilon"], "safe")], "square_root")
    scaled = node("Mul", [x, node("Reciprocal", [root], "factor")], "unit")
    normal = node("Mul", [scaled, f"gain_b{index}"], "normal_b")
    gate = node("MatMul", [normal, f"gate{index}"], "gate_product")
    gate = node("Mul", [gate, node("Sigmoid", [gate], "sigmoid")], "silu")
    hidden = node("Mul", [gate, node("MatMul", [normal, f"up{index}"], "up_product")], "hidden")
    return nodes, node("Add", [x, node("MatMul", [hidden, f"down{index}"], "down_product")], "result")


def transformer(layers: int = 2, seed: int = 0) -> ModelProto:
    nodes = [helper.make_node("Gather", ["table", "ids"], ["x"], name="embedding")]
    x = "x"
    for index in range(layers):
        more, x = layer_nodes(index, x)
        nodes += more
    nodes.append(helper.make_node("MatMul", [x, "head"], ["logits"], name="head_node"))
    constants = constants_of(np.random.default_rng(seed), layers)
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, (1, TOKENS))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, TOKENS, VOCABULARY))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: ModelProto, sample: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, sample)[0]


def snr_db(model: ModelProto, quantised: ModelProto, samples: list[dict[str, np.ndarray]]) -> float:
    wanted = np.stack([run(model, sample) for sample in samples]).astype(np.float64)
    found = np.stack([run(quantised, sample) for sample in samples])
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()))


def samples_of(seed: int, count: int = 16) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [{"ids": random.integers(0, VOCABULARY, (1, TOKENS))} for _ in range(count)]


def prepared(model: ModelProto) -> tuple[WorkingGraph, list[dict[str, np.ndarray]]]:
    return prepare_float(model), samples_of(1)


def largest_difference(model: ModelProto, changed: ModelProto) -> float:
    worst = 0.0
    for sample in samples_of(2, 4):
        wanted, found = run(model, sample), run(changed, sample)
        worst = max(worst, float(np.abs(wanted - found).max() / np.abs(wanted).max()))
    return worst


def test_smoothing_keeps_the_float_function_and_costs_no_operation():
    model = transformer()
    working, samples = prepared(model)
    before = [operation.op_type for operation in working.operations]
    smoothed = smooth_channels(working, samples)
    free = {item.name for item in smoothed if item.is_free}
    assert {"normal0", "normal_b0", "normal1", "normal_b1"} <= free
    assert all(item.gain_db > 3 for item in smoothed if item.name.startswith("normal"))
    assert [operation.op_type for operation in working.operations] == before
    assert largest_difference(model, to_model(working)) < 1e-5


def test_smoothing_evens_out_the_channels_of_a_normalisation():
    working, samples = prepared(transformer())
    smooth_channels(working, samples)
    gains = {
        operation.name: np.abs(working.constants[operation.inputs[1]])
        for operation in working.operations
        if operation.op_type == "LayerNormalization"
    }
    assert len(gains) == 2
    for gain in gains.values():
        assert gain.max() / np.median(gain) < 20


def test_smoothing_multiplies_where_nothing_can_absorb_it():
    """An activation that the model gives out keeps its values; a product's copy of it is multiplied."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((16, 8)).astype(np.float32)
    spread = np.ones(16, np.float32)
    spread[5] = 100
    weight /= spread[:, None]
    nodes = [
        helper.make_node("Mul", ["a", "spread"], ["x"], name="spread_node"),
        helper.make_node("Tanh", ["x"], ["other"], name="other_node"),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
    ]
    values = [("a", (1, 64, 16)), ("y", (1, 64, 8)), ("other", (1, 64, 16))]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values]
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(spread, "spread")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    working = prepare_float(model)
    samples = [{"a": random.standard_normal((1, 64, 16), dtype=np.float32)} for _ in range(4)]
    (item,) = smooth_channels(working, samples)
    assert not item.is_free
    assert item.gain_db > 10
    assert [operation.op_type for operation in working.operations].count("Mul") == 2
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, samples[0])
    found = onnxruntime.InferenceSession(to_model(working).SerializeToString()).run(None, samples[0])
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_nothing_is_smoothed_where_channels_are_alike():
    """What is left is chance, and rows that did not choose the factors judge them."""
    random = np.random.default_rng(3)
    constants = {"g": np.ones(64, np.float32), "w": random.standard_normal((64, 32), dtype=np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("LayerNormalization", ["x", "g"], ["n"], name="norm", axis=-1),
            helper.make_node("MatMul", ["n", "w"], ["y"], name="product"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (128, 64))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (128, 32))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    samples = [{"x": random.standard_normal((128, 64), dtype=np.float32)} for _ in range(4)]
    assert all(item.gain_db < 0.5 for item in smooth_channels(prepare_float(model), samples))


@pytest.mark.parametrize("grouped", [False, True])
def test_even_rows_keep_the_float_function(grouped):
    """Causal attention: the first row sees one token, the last a mean of all, which is smaller.

    Where heads share keys, a Reshape stands between the probabilities and their product.
    """
    model = transformer()
    if grouped:
        for index in (0, 1):
            place = next(i for i, node in enumerate(model.graph.node) if node.name == f"mix{index}_node")
            product = model.graph.node[place]
            between = [
                helper.make_node("Unsqueeze", [product.input[i], "first_axis"], [f"five{i}.{index}"])
                for i in (0, 1)
            ]
            product.input[:] = [node.output[0] for node in between]
            product.output[0] = f"mix_of_five{index}"
            after = helper.make_node("Squeeze", [f"mix_of_five{index}", "first_axis"], [f"mix{index}"])
            model.graph.node.insert(place + 1, after)
            for node in between:
                model.graph.node.insert(place, node)
        model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first_axis"))
    working, samples = prepared(model)
    gains = even_rows(working, samples)
    assert {"mix0_node", "mix1_node"} <= gains.keys()
    assert "Softmax" not in {operation.op_type for operation in working.operations}
    assert largest_difference(model, to_model(working)) < 1e-5


@pytest.mark.parametrize("opset", [17, 23])
@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_rows_of_different_size_are_divided(kind, opset):
    """Rows between 1 and 10^-3: with one scale the small ones are lost, with one for each they are not."""
    random = np.random.default_rng(4)
    weight = random.standard_normal((16, 8)).astype(np.float32)
    bias = random.standard_normal(8).astype(np.float32) * np.float32(1e-3)
    inputs = ["x", "w", "b"] if kind == "Gemm" else ["x", "w"]
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, ["raw"], name="product"),
            helper.make_node("LayerNormalization", ["raw", "gain"], ["y"], name="norm", epsilon=1e-12),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (32, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (32, 8))],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(bias, "b"),
            numpy_helper.from_array(np.ones(8, np.float32), "gain"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    sizes = np.logspace(0, -3, 32, dtype=np.float32)[:, None]
    samples = [{"x": random.standard_normal((32, 16), dtype=np.float32) * sizes} for _ in range(8)]
    samples[0]["x"][5] = 0
    done = quantise_model(model, samples[:4])
    assert list(done.record.transformer.evened_rows) == ["product"]
    assert snr_db(model, done.model, samples[4:]) > 30
    assert np.isfinite(run(done.model, samples[0])).all()


def test_a_quantised_transformer_is_good_on_unseen_data():
    model = transformer()
    unseen = samples_of(9)
    done = quantise_model(model, samples_of(1))
    onnx.checker.check_model(done.model, full_check=True)
    assert snr_db(model, done.model, unseen) > 30
    assert done.record.snr_repaired_db >= done.record.snr_plain_db


def test_smoothing_is_what_outlier_channels_need(monkeypatch):
    model, unseen = transformer(), samples_of(9)
    smooth = quantise_model(model, samples_of(1), repair=False)
    monkeypatch.setattr("hanok.graph._quantise_transformer.smooth_channels", lambda *_: [])
    rough = quantise_model(model, samples_of(1), repair=False)
    assert smooth.record.transformer.smoothed
    assert snr_db(model, smooth.model, unseen) > snr_db(model, rough.model, unseen) + 3


def test_operands_in_two_parts_reach_a_goal_that_eight_bits_do_not():
    model, samples = transformer(), samples_of(1)
    working = prepare_float(model)
    ranges = observe_ranges(working, samples)
    form = insert_quantisers(working, ranges, keep_float(working, ranges), True)
    wanted = [{"logits": run(model, sample)} for sample in samples]
    before = snr_db(model, form, samples)
    better, parts = split_operands(working, form, samples, wanted, ranges, before + 6)
    assert parts
    assert parts == sorted(parts, key=lambda part: -part.noise_db)
    onnx.checker.check_model(better, full_check=True)
    assert snr_db(model, better, samples) > before + 5
    same, none = split_operands(working, form, samples, wanted, ranges, before - 1)
    assert none == []
    assert same is form


def test_a_network_of_convolutions_has_no_transformer_record():
    done = quantise_model(ds_cnn())
    assert done.record.transformer is None
    assert done.record.samples == 4


def test_the_same_transformer_gives_the_same_bytes_in_any_process():
    code = (
        "import hashlib, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_smooth import quantise_model, transformer\n"
        "model = quantise_model(transformer(layers=1), goal_db=36).model\n"
        "print(hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())\n"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]


def test_rounding_by_moments_beats_rounding_to_nearest_on_correlated_rows():
    """Rows of 2 factors and little noise: errors along the factors can be made up for by other weights."""
    random = np.random.default_rng(5)
    mixing = random.standard_normal((2, 24))
    rows = random.standard_normal((800, 2)) @ mixing + 0.05 * random.standard_normal((800, 24))
    weight = random.standard_normal((24, 6))
    scale = np.abs(weight).max(0) / 7
    chosen = rounded_by_moments(weight, scale, second_moments([rows[:400]]))
    nearest = np.rint(weight / scale)
    errors = [np.square(rows[400:] @ (part * scale - weight)).sum() for part in (chosen, nearest)]
    assert errors[0] < errors[1] / 4


def test_rounding_without_correlation_is_rounding_to_nearest():
    random = np.random.default_rng(6)
    weight, scale = random.standard_normal((24, 6)), np.full(6, 0.02)
    chosen = rounded_by_moments(weight, scale, np.eye(24))
    np.testing.assert_array_equal(chosen, np.clip(np.rint(weight / scale), -127, 127))
    np.testing.assert_array_equal(rounded_by_moments(weight, scale, np.zeros((24, 24))), chosen)


def test_few_rows_shrink_the_moments_to_the_unit_matrix():
    rows = np.random.default_rng(7).standard_normal((4, 64))
    moments = second_moments([rows])
    largest = np.abs(moments - np.diag(np.diag(moments))).max()
    assert largest < 0.2 * np.diag(moments).mean()


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_range_cuts_off_what_is_rare(symmetric):
    """Two of 100,000 normal values lie at 12. Cut at b they cost c (12 - b)^2, c = 1 / 50,000, and the steps
    of the others d (b - low)^2, d = 1 / (12 * 255^2), where low is -b with one scale for both signs: least at
    b = (12 c + low d) / (c + d), or 12 c / (c + 4 d). Parts of the range are 0.3 apart.
    """
    random = np.random.default_rng(8)
    values = random.standard_normal(100_000)
    values[[10, 60_000]] = 12
    low, high = best_range(np.array_split(values, 2), symmetric=symmetric)
    c, d = 1 / 50_000, 1 / (12 * 255**2)
    assert high == pytest.approx(12 * c / (c + 4 * d) if symmetric else (12 * c + low * d) / (c + d), abs=0.3)
    chosen = rounded(values, low, high, symmetric=symmetric)
    whole = rounded(values, values.min(), values.max(), symmetric=symmetric)
    assert np.square(chosen - values).sum() < np.square(whole - values).sum()


@pytest.mark.parametrize("symmetric", [False, True])
def test_nothing_is_cut_off_of_uniform_values(symmetric):
    values = np.random.default_rng(8).uniform(-1, 1, 10_000)
    low, high = best_range(np.array_split(values, 2), symmetric=symmetric)
    assert 0.95 < high < 1.1
    assert -1.1 < low < -0.95


def test_random_samples_of_language_models():
    """Token ids over the whole table, positions ascending within theirs, masks of ones, rows enough."""
    values = [("ids", 5), ("positions_of_tokens", 5), ("mask", 5)]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, (1, size)) for name, size in values]
    inputs[1].name = "position_ids"
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["a"]),
        helper.make_node("Gather", ["places", "position_ids"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Cast", ["mask"], ["seen"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["seen", "last"], ["seen3"]),
        helper.make_node("Where", ["seen3", "c", "zero"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    constants = {
        "table": np.ones((1000, 4), np.float32),
        "places": np.ones((9, 4), np.float32),
        "w": np.ones((4, 3), np.float32),
        "last": np.array([2], np.int64),
        "zero": np.array(0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5, 3))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    working = prepare_float(model)
    assert samples_for_rows(working) == min(-(-ENOUGH_ROWS // 5), MOST_RANDOM_SAMPLES)
    samples = random_samples(working, 0, 50)
    ids = np.stack([sample["ids"] for sample in samples])
    assert ids.min() < 100
    assert 900 < ids.max() < 1000
    places = np.concatenate([sample["position_ids"] for sample in samples])
    np.testing.assert_array_equal(np.diff(places), 1)
    assert places.min() == 0
    assert places.max() == 8
    assert all((sample["mask"] == 1).all() for sample in samples)
