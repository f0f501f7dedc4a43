"""Trained weights as float ONNX models of fixed size, operator by operator."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from networks import DENOISE_DILATIONS, Block, Cutter, Denoiser, Upscaler
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IR_VERSION = 8
TILE = {"denoise": 256, "upscale": 256, "cutout": 256}
SHUFFLED = np.arange(12).reshape(3, 4).T.ravel()
"""ONNX's SpaceToDepth counts colours fastest, PyTorch's pixel_unshuffle places of the block."""


class Graph:
    """Nodes and constants of a model as it grows; `value` is the name of the last result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.value = "picture"

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Append a node behind `inputs`, or behind the last result."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs) or [self.value], [name], name=name, **attributes)
        )
        self.value = name
        return name

    def constant(self, array: np.ndarray) -> str:
        """The name of a new constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def convolution(
        self, weights: np.ndarray, bias: np.ndarray, *, stride: int = 1, dilation: int = 1
    ) -> str:
        """A convolution that keeps the size, or divides it by the stride."""
        side = weights.shape[2]
        pad = dilation * (side // 2)
        return self.add(
            "Conv",
            self.value,
            self.constant(weights.astype(np.float32)),
            self.constant(bias.astype(np.float32)),
            kernel_shape=[side, side],
            strides=[stride, stride],
            dilations=[dilation, dilation],
            pads=[pad] * 4,
        )

    def clamp(self) -> str:
        """Into 0..1."""
        low, high = (self.constant(np.float32(value)) for value in (0.0, 1.0))
        return self.add("Clip", self.value, low, high)

    def model(self, name: str, outputs: int, side: int, scale: int) -> onnx.ModelProto:
        """The finished model: picture [1, 3, side, side] -> result [1, outputs, scale*side, scale*side]."""
        self.nodes[-1].output[0] = "result"
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, side, side])],
            [
                helper.make_tensor_value_info(
                    "result", TensorProto.FLOAT, [1, outputs, scale * side, scale * side]
                )
            ],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="hanok examples/photo"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


def plain(layer: nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
    """Weights [outputs, inputs, 3, 3] and bias of a layer."""
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def folded(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a block with its batch normalisation inside."""
    weights, bias = plain(block.convolution)
    normal = block.normalise
    gain = (normal.weight / torch.sqrt(normal.running_var + normal.eps)).detach().double().numpy()
    shift = normal.bias.detach().double().numpy()
    mean = normal.running_mean.double().numpy()
    return weights * gain[:, None, None, None], (bias - mean) * gain + shift


def export_denoiser(network: Denoiser, side: int = TILE["denoise"]) -> onnx.ModelProto:
    """Blocks of 2x2 pixels, eight convolutions that say the noise, its subtraction, pixels again."""
    graph = Graph()
    blocks = graph.add("SpaceToDepth", blocksize=2)
    for index, (layer, dilation) in enumerate(zip(network.layers, DENOISE_DILATIONS, strict=True)):
        weights, bias = plain(layer)
        if index == 0:
            weights = weights[:, SHUFFLED]
        if index == len(DENOISE_DILATIONS) - 1:
            weights, bias = weights[SHUFFLED], bias[SHUFFLED]
        graph.convolution(weights, bias, dilation=dilation)
        if index < len(DENOISE_DILATIONS) - 1:
            graph.add("Relu")
    graph.add("Add", graph.value, blocks)
    graph.clamp()
    graph.add("DepthToSpace", blocksize=2, mode="DCR")
    return graph.model("denoise", 3, side, 1)


def export_upscaler(network: Upscaler, side: int = TILE["upscale"]) -> onnx.ModelProto:
    """Convolutions at the small size, the input four times over as anchor, depth to space."""
    graph = Graph()
    for layer in (network.first, *network.middle):
        graph.convolution(*plain(layer))
        graph.add("Relu")
    weights, bias = plain(network.last)
    details = graph.convolution(weights[SHUFFLED], bias[SHUFFLED])
    anchor = graph.add("Concat", *["picture"] * 4, axis=1)
    graph.add("Add", details, anchor)
    graph.clamp()
    graph.add("DepthToSpace", blocksize=2, mode="DCR")
    return graph.model("upscale", 3, side, 2)


def export_cutter(network: Cutter, side: int = TILE["cutout"]) -> onnx.ModelProto:
    """The U-Net, with nearest enlargement and a sigmoid at its end."""
    graph = Graph()
    graph.add("SpaceToDepth", blocksize=2)

    def block(module: Block) -> str:
        weights, bias = folded(module)
        if weights.shape[1] == 12:
            weights = weights[:, SHUFFLED]
        graph.convolution(weights, bias, stride=module.convolution.stride[0])
        return graph.add("Relu")

    def blocks(modules: nn.Sequential | Block) -> str:
        for module in modules if isinstance(modules, nn.Sequential) else (modules,):
            name = block(module)
        return name

    blocks(network.stem)
    skips = [blocks(stage) for stage in (network.quarter, network.eighth, network.sixteenth)]
    blocks(network.deepest)
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    for narrow, join, skip in zip(network.narrow, network.join, reversed(skips), strict=True):
        graph.convolution(*plain(narrow))
        larger = graph.add(
            "Resize", graph.value, "", scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
        graph.add("Add", larger, skip)
        block(join)
    graph.convolution(*plain(network.last))
    graph.add("Sigmoid")
    graph.add("DepthToSpace", blocksize=4, mode="CRD")
    return graph.model("cutout", 1, side, 1)


EXPORTS = {
    "denoise": (Denoiser, export_denoiser),
    "upscale": (Upscaler, export_upscaler),
    "cutout": (Cutter, export_cutter),
}
