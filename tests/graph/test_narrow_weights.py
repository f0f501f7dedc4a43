"""Weights of four bits out of float models and out of users' own: on grids, near, and never by accident."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph import import_graph, load_model, run_reference
from hanok.graph._round_weights import rounded_by_moments, second_moments
from hanok.graph.quantise import GROUP_ROWS, quantise_model
from hanok.numerics.nibble_grids import find_entries, fit_entries

INNER, COLUMNS = 128, 96


def model_of(nodes: list[Any], constants: dict[str, Any], width: int = INNER, opset: int = 21) -> ModelProto:
    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return load_model(helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())


def two_products(width: int = INNER) -> ModelProto:
    """A MatMul, a normalisation that makes it a transformer, and a Gemm with a turned weight."""
    random = np.random.default_rng(0)
    constants = {
        "first": random.normal(0, 0.1, (width, 64)).astype(np.float32),
        "gain": np.ones(64, np.float32),
        "second": random.normal(0, 0.1, (COLUMNS, 64)).astype(np.float32),
        "bias": random.normal(0, 0.1, COLUMNS).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], "one"),
        helper.make_node("LayerNormalization", ["a", "gain"], ["b"], "norm"),
        helper.make_node("Gemm", ["b", "second", "bias"], ["y"], "two", transB=1),
    ]
    return model_of(nodes, constants, width)


def samples(width: int = INNER, count: int = 6) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    mixing = random.normal(0, 1, (width, width)) / np.sqrt(width)
    return [
        {"x": (random.normal(0, 1, (16, width)) @ mixing * np.linspace(0.2, 2, width)).astype(np.float32)}
        for _ in range(count)
    ]


def matrices(model: ModelProto) -> list[np.ndarray]:
    """The int8 constant matrices as [K, N]."""
    graph = import_graph(model)
    found = [
        tensor.data
        for tensor in graph.tensors.values()
        if tensor.data is not None and tensor.data.dtype == np.int8 and tensor.data.ndim == 2
    ]
    return [each for each in found if each.size >= 1024]


def quality_db(model: ModelProto, float_model: ModelProto) -> float:
    from hanok.graph.oracle import reference_session, run_session

    signal = noise = 0.0
    session = reference_session(float_model)
    graph = import_graph(model)
    for sample in samples(count=9)[6:]:
        wanted = run_session(session, sample)["y"]
        signal += float(np.square(wanted).sum())
        noise += float(np.square(wanted - run_reference(graph, sample)["y"]).sum())
    return 10 * np.log10(signal / noise)


@pytest.mark.parametrize("repair", [False, True])
def test_all_constant_matrices_lie_on_grids(repair: bool) -> None:
    narrow = quantise_model(two_products(), samples(), weight_bits=4, repair=repair).model
    found = matrices(narrow)
    assert len(found) == 2
    assert all(find_entries(weights, GROUP_ROWS) is not None for weights in found)
    assert not any(
        find_entries(weights, GROUP_ROWS) is not None
        for weights in matrices(quantise_model(two_products(), samples(), repair=repair).model)
    )


def test_rounding_row_by_row_beats_the_nearest_weights() -> None:
    """On inputs that hang together, as those of real layers do, and that neither has seen."""
    plain = quantise_model(two_products(), samples(), weight_bits=4, repair=False).model
    refined = quantise_model(two_products(), samples(), weight_bits=4).model
    wide = quantise_model(two_products(), samples()).model
    source = two_products()
    assert quality_db(refined, source) > quality_db(plain, source) + 0.5
    assert quality_db(plain, source) > 15
    assert quality_db(wide, source) > quality_db(refined, source) + 5


def test_activations_are_not_split_for_what_weights_lose() -> None:
    """The goal is beyond what four bits a weight reach; no operand in two parts would help."""
    done = quantise_model(two_products(), samples(), weight_bits=4, goal_db=30)
    assert done.record.transformer is not None
    assert not done.record.transformer.two_parts
    assert done.record.snr_repaired_db is not None
    assert done.record.snr_repaired_db < 30


def test_rows_that_groups_do_not_divide_stay_in_eight_bits() -> None:
    narrow = quantise_model(two_products(120), samples(120), weight_bits=4).model
    found = {len(weights): find_entries(weights, 8) is not None for weights in matrices(narrow)}
    assert found == {120: False, 64: True}


def test_a_grid_keeps_what_moments_round() -> None:
    random = np.random.default_rng(2)
    weight = random.normal(0, 1, (64, 24))
    scale = np.abs(weight).max(0) / 127
    rows = random.normal(0, 1, (400, 64)) @ random.normal(0, 1, (64, 64))
    moments = second_moments([rows])
    grid = fit_entries(weight / scale, 16)
    rounded = rounded_by_moments(weight, scale, moments, grid)
    nearest = rounded_by_moments(weight, scale, np.zeros((64, 64)), grid)
    assert find_entries(rounded.astype(np.int8), 16) is not None
    errors = [np.square(rows @ (each * scale - weight)).sum() for each in (rounded, nearest)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("axis", [0, 1])
def test_blocked_weights_of_a_quantised_model_keep_their_four_bits(axis: int) -> None:
    """DequantizeLinear of INT4 in blocks, between int8 activations; stored either way round."""
    random = np.random.default_rng(3)
    shape = (INNER, COLUMNS) if axis == 0 else (COLUMNS, INNER)
    blocks = (INNER // 32, COLUMNS) if axis == 0 else (COLUMNS, INNER // 32)
    codes = random.integers(-8, 8, shape)
    constants: dict[str, Any] = {
        "codes": helper.make_tensor("codes", TensorProto.INT4, shape, codes.reshape(-1).tolist()),
        "scales": random.uniform(0.01, 0.03, blocks).astype(np.float32),
        "s": np.float32(0.03),
        "z": np.int8(3),
        "t": np.float32(0.2),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["f"]),
        helper.make_node("DequantizeLinear", ["codes", "scales"], ["w"], axis=axis, block_size=32),
        helper.make_node("Gemm", ["f", "w"], ["g"], "product", transB=axis),
        helper.make_node("QuantizeLinear", ["g", "t", "z"], ["o"]),
        helper.make_node("DequantizeLinear", ["o", "t", "z"], ["y"]),
    ]
    (weights,) = matrices(model_of(nodes, constants))
    assert weights.shape == (INNER, COLUMNS)
    assert find_entries(weights, 32) is not None
    values = (codes * np.repeat(constants["scales"], 32, axis)).astype(np.float64)
    values = values if axis == 0 else values.T
    step = np.abs(values).max(0) / 127
    assert np.abs(weights - values / step).max() <= 1.1
