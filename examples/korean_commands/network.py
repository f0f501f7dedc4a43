"""DS-CNN in PyTorch for training, and the same network as an ONNX model without PyTorch's exporter."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hanok.flows.apps._voice_features import FRAMES, MEL_BANDS

OPSET = 17
IR_VERSION = 8


class DepthwiseSeparableNetwork(nn.Module):
    """10x4 convolution with stride 2, depthwise separable blocks (the first with stride 2), mean, linear."""

    def __init__(self, classes: int, stem: int = 32, channels: int = 96, blocks: int = 4) -> None:
        super().__init__()
        layers = [_stage(1, stem, (10, 4), stride=2, padding=(4, 1))]
        for block in range(blocks):
            inputs, stride = (stem, 2) if block == 0 else (channels, 1)
            layers.append(_stage(inputs, inputs, (3, 3), stride, (1, 1), groups=inputs))
            layers.append(_stage(inputs, channels, (1, 1)))
        self.stages = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores [N, classes] of features [N, 1, FRAMES, MEL_BANDS]."""
        return self.classifier(self.dropout(self.stages(x).mean((2, 3))))


def to_onnx(network: DepthwiseSeparableNetwork) -> onnx.ModelProto:
    """The trained network as a float ONNX model of batch 1, convolution and normalisation apart."""
    weights, nodes, value = [], [], "features"
    for index, stage in enumerate(network.stages):
        convolution, normalisation = stage[0], stage[1]
        inputs = [value, _store(weights, f"conv{index}.weight", convolution.weight)]
        nodes.append(
            helper.make_node(
                "Conv",
                inputs,
                [f"conv{index}"],
                name=f"conv{index}",
                kernel_shape=convolution.kernel_size,
                strides=convolution.stride,
                pads=convolution.padding * 2,
                group=convolution.groups,
            )
        )
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [f"conv{index}"]
        inputs += [_store(weights, f"bn{index}.{part}", getattr(normalisation, part)) for part in parts]
        nodes.append(helper.make_node("BatchNormalization", inputs, [f"bn{index}"], name=f"bn{index}"))
        nodes.append(helper.make_node("Relu", [f"bn{index}"], [f"relu{index}"], name=f"relu{index}"))
        value = f"relu{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["mean"], name="mean"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["vector"], name="vector"))
    inputs = ["vector"]
    inputs += [
        _store(weights, f"linear.{part}", getattr(network.classifier, part)) for part in ("weight", "bias")
    ]
    nodes.append(helper.make_node("Gemm", inputs, ["scores"], name="linear", transB=1))
    classes = network.classifier.out_features
    graph = helper.make_graph(
        nodes,
        "korean_commands",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, 1, FRAMES, MEL_BANDS))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, classes))],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _stage(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _store(weights: list[onnx.TensorProto], name: str, values: torch.Tensor) -> str:
    weights.append(numpy_helper.from_array(values.detach().numpy().astype(np.float32), name))
    return name
