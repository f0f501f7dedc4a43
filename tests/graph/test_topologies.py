"""Builders of well-known networks: sizes against published figures, statistics, determinism."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper

from hanok.graph.topologies import (
    TOPOLOGIES,
    autoencoder,
    ds_cnn,
    espcn,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3_small,
    resnet8,
    resnet18,
    resnet50,
    unet,
)

SMALL_IMAGES = {
    "resnet50": 64,
    "resnet18": 64,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
}


def small(name: str, **options) -> ModelProto:
    if name in SMALL_IMAGES:
        options["image"] = SMALL_IMAGES[name]
    return TOPOLOGIES[name](**options)


def shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {weight.name: tuple(weight.dims) for weight in inferred.initializer}
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        known[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return known


def multiply_accumulates(model: ModelProto) -> int:
    """Of convolutions and linear layers: outputs times the weights that each sums over."""
    known = shapes(model)
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += prod(known[node.output[0]]) * prod(known[node.input[1]][1:])
        elif node.op_type == "Gemm":
            total += prod(known[node.output[0]]) * known[node.input[1]][1]
        elif node.op_type == "ConvTranspose":
            total += prod(known[node.input[0]]) * prod(known[node.input[1]][1:])
    return total


def parameters(model: ModelProto) -> int:
    """Trainable parameters, as PyTorch counts them: without running statistics and bounds of Clip."""
    left_out = ("running_mean", "running_var", "relu6.min", "relu6.max")
    return sum(prod(weight.dims) for weight in model.graph.initializer if not weight.name.endswith(left_out))


def test_sizes_of_resnet50():
    """25,557,032 parameters (torchvision's model card) and 4.09 GMAC (3.8 GFLOP in the paper counts v1)."""
    model = resnet50()
    assert parameters(model) == 25_557_032
    assert multiply_accumulates(model) == 4_089_184_256
    assert Counter(node.op_type for node in model.graph.node) == {
        "Conv": 53,
        "BatchNormalization": 53,
        "Relu": 49,
        "Add": 16,
        "MaxPool": 1,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }


@pytest.mark.parametrize(
    ("build", "expected_parameters", "expected_macs"),
    [
        (mobilenet_v2, 3_504_872, 300_774_272),  # torchvision's model card; 300 M in the paper's table 4
        (mobilenet_v1, 4_231_976, 568_740_352),  # 4.2 M and 569 M in the paper's table 8
        (mobilenet_v3_small, 2_542_856, 56_510_400),  # torchvision's model card; 56 M in the paper's table 3
        (resnet18, 11_689_512, 1_814_073_344),  # torchvision's model card: 11689512, 1.81 GFLOPS
    ],
)
def test_sizes_of_image_classifiers(build, expected_parameters, expected_macs):
    model = build()
    assert parameters(model) == expected_parameters
    assert multiply_accumulates(model) == expected_macs


def test_sizes_of_mlperf_tiny_networks():
    """Multiply-accumulates of Banbury et al. 2021, table 2 and appendix: 12.5 M, 7.5 M, 2.66 M, 0.26 M."""
    assert multiply_accumulates(resnet8()) == pytest.approx(12.5e6, rel=0.01)
    assert multiply_accumulates(mobilenet_v1(alpha=0.25, image=96, classes=2)) == pytest.approx(
        7.5e6, rel=0.01
    )
    assert multiply_accumulates(ds_cnn()) == pytest.approx(2.66e6, rel=0.01)
    assert multiply_accumulates(autoencoder()) == 2 * 640 * 128 + 6 * 128 * 128 + 2 * 128 * 8


def test_sizes_of_image_to_image_networks():
    """ESPCN: 5x5x1x64 + 3x3x64x32 + 3x3x32x9 for each pixel. U-Net: 15 convolutions, 3 risers, 3 skips."""
    assert multiply_accumulates(espcn()) == 120 * 160 * (25 * 64 + 9 * 64 * 32 + 9 * 32 * 9)
    counts = Counter(node.op_type for node in unet().graph.node)
    assert (counts["Conv"], counts["ConvTranspose"], counts["MaxPool"], counts["Concat"]) == (15, 3, 3, 3)
    assert shapes(unet())["output"] == (1, 2, 128, 128)
    assert shapes(espcn(factor=2))["output"] == (1, 1, 240, 320)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_activations_stay_in_range_and_outputs_depend_on_inputs(name):
    """Every tensor's root mean square is within 0.02 .. 10, and two inputs give different outputs."""
    model = small(name)
    onnx.checker.check_model(model, full_check=True)
    for node in model.graph.node[:-1]:
        model.graph.output.append(helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    value = session.get_inputs()[0]
    random = np.random.default_rng(9)
    runs = [
        session.run(None, {value.name: random.standard_normal(value.shape, dtype=np.float32)})
        for _ in range(2)
    ]
    for made in runs[0]:
        assert np.isfinite(made).all()
        assert 0.02 < np.sqrt(np.square(made).mean()) < 10
    assert np.abs(runs[0][0] - runs[1][0]).max() > 1e-3


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name not in ("resnet18", "resnet50")])
def test_a_seed_gives_one_model(name):
    first, second, other = (
        small(name, seed=seed).SerializeToString(deterministic=True) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_batch_and_folded_forms():
    assert shapes(resnet8(batch=3))["output"] == (3, 10)
    kinds = Counter(node.op_type for node in resnet8(batch_norm=False).graph.node)
    assert "BatchNormalization" not in kinds
    assert all(
        len(node.input) == 3 for node in resnet8(batch_norm=False).graph.node if node.op_type == "Conv"
    )
