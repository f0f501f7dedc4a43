"""Depthwise-separable networks: MobileNet V1, V2 and V3, and the keyword spotter DS-CNN."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from hanok.graph.topologies._builder import TopologyWriter, Value

PROJECTION_GAIN = 0.5
"""Deviation of a projection that is added to its block's input."""

_V1_STRIDES_AND_CHANNELS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
_V2_STAGES = (  # expansion, channels, blocks, stride: table 2 of Sandler et al. 2018
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True)
class _GatedBlock:
    """One row of table 2 of Howard et al. 2019."""

    kernel: int
    hidden: int
    channels: int
    gated: bool
    swish: bool
    stride: int


_V3_SMALL_BLOCKS = (
    _GatedBlock(3, 16, 16, True, False, 2),
    _GatedBlock(3, 72, 24, False, False, 2),
    _GatedBlock(3, 88, 24, False, False, 1),
    _GatedBlock(5, 96, 40, True, True, 2),
    _GatedBlock(5, 240, 40, True, True, 1),
    _GatedBlock(5, 240, 40, True, True, 1),
    _GatedBlock(5, 120, 48, True, True, 1),
    _GatedBlock(5, 144, 48, True, True, 1),
    _GatedBlock(5, 288, 96, True, True, 2),
    _GatedBlock(5, 576, 96, True, True, 1),
    _GatedBlock(5, 576, 96, True, True, 1),
)


def mobilenet_v1(
    seed: int = 0,
    *,
    alpha: float = 1.0,
    image: int = 224,
    classes: int = 1000,
    batch: int = 1,
    batch_norm: bool = True,
) -> ModelProto:
    """MobileNet V1; alpha 1.0 at 224x224: 4,231,976 parameters, 569 MMAC; alpha 0.25 at 96x96 is VWW's."""
    writer = TopologyWriter("mobilenet_v1", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (3, image, image))
    x = writer.relu(writer.convolution(x, "conv1", max(8, int(32 * alpha)), 3, stride=2), "relu1")
    for index, (stride, channels) in enumerate(_V1_STRIDES_AND_CHANNELS, start=1):
        x = _separable(writer, x, f"block{index}", max(8, int(channels * alpha)), stride)
    return _classifier(writer, x, classes)


def mobilenet_v2(
    seed: int = 0, *, image: int = 224, classes: int = 1000, batch: int = 1, batch_norm: bool = True
) -> ModelProto:
    """MobileNet V2 of width 1.0: 3,504,872 parameters, 301 MMAC at 224x224."""
    writer = TopologyWriter("mobilenet_v2", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (3, image, image))
    x = writer.relu6(writer.convolution(x, "features.0", 32, 3, stride=2), "features.0.relu")
    index = 1
    for expansion, channels, blocks, first_stride in _V2_STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _inverted_residual(writer, x, f"features.{index}", (expansion, channels, stride))
            index += 1
    x = writer.relu6(writer.convolution(x, f"features.{index}", 1280, 1), f"features.{index}.relu")
    return _classifier(writer, x, classes)


def mobilenet_v3_small(
    seed: int = 0, *, image: int = 224, classes: int = 1000, batch: int = 1, batch_norm: bool = True
) -> ModelProto:
    """MobileNet V3 small: hard swish, and channel gates of global pool, two 1x1 and a hard sigmoid."""
    writer = TopologyWriter("mobilenet_v3_small", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (3, image, image))
    x = writer.hard_swish(writer.convolution(x, "features.0", 16, 3, stride=2), "features.0.swish")
    for index, block in enumerate(_V3_SMALL_BLOCKS, start=1):
        x = _gated_residual(writer, x, f"features.{index}", block)
    x = writer.hard_swish(writer.convolution(x, "features.12", 576, 1), "features.12.swish")
    x = writer.flatten(writer.global_average(x, "avgpool"), "flatten")
    x = writer.hard_swish(writer.linear(x, "classifier.0", 1024), "classifier.1")
    return writer.model(writer.linear(x, "classifier.3", classes))


def ds_cnn(
    seed: int = 0,
    *,
    frames: int = 49,
    features: int = 10,
    classes: int = 12,
    channels: int = 64,
    blocks: int = 4,
    batch: int = 1,
    batch_norm: bool = True,
) -> ModelProto:
    """DS-CNN keyword spotter (Zhang et al. 2017): 10x4 convolution, separable blocks, pool, linear."""
    writer = TopologyWriter("ds_cnn", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (1, frames, features))
    x = writer.convolution(x, "conv1", channels, (10, 4), stride=(2, 2), pads=(4, 1, 5, 1))
    x = writer.relu(x, "relu1")
    for index in range(1, blocks + 1):
        x = _separable(writer, x, f"block{index}", channels, 1)
    return _classifier(writer, x, classes, softmax=True)


def _separable(writer: TopologyWriter, x: Value, name: str, channels: int, stride: int) -> Value:
    x = writer.convolution(x, f"{name}.depthwise", x.channels, 3, stride=stride, group=x.channels)
    x = writer.relu(x, f"{name}.relu1")
    return writer.relu(writer.convolution(x, f"{name}.pointwise", channels, 1), f"{name}.relu2")


def _inverted_residual(writer: TopologyWriter, x: Value, name: str, block: tuple[int, int, int]) -> Value:
    expansion, channels, stride = block
    hidden, y = expansion * x.channels, x
    if expansion > 1:
        y = writer.relu6(writer.convolution(y, f"{name}.expand", hidden, 1), f"{name}.relu1")
    y = writer.convolution(y, f"{name}.depthwise", hidden, 3, stride=stride, group=hidden)
    return _projection(writer, x, writer.relu6(y, f"{name}.relu2"), name, channels)


def _gated_residual(writer: TopologyWriter, x: Value, name: str, block: _GatedBlock) -> Value:
    activate = TopologyWriter.hard_swish if block.swish else TopologyWriter.relu
    hidden, y = block.hidden, x
    if hidden != x.channels:
        y = activate(writer, writer.convolution(y, f"{name}.expand", hidden, 1), f"{name}.act1")
    y = writer.convolution(y, f"{name}.depthwise", hidden, block.kernel, stride=block.stride, group=hidden)
    y = activate(writer, y, f"{name}.act2")
    if block.gated:
        y = _gate(writer, y, f"{name}.gate", _round_to_eight(hidden / 4))
    return _projection(writer, x, y, name, block.channels)


def _projection(writer: TopologyWriter, x: Value, y: Value, name: str, channels: int) -> Value:
    """Project y to `channels` and add the block's input x where the shapes agree."""
    joined = x.probe.shape == (x.probe.shape[0], channels, *y.probe.shape[2:])
    y = writer.convolution(y, f"{name}.project", channels, 1, gain=PROJECTION_GAIN if joined else 1.0)
    return writer.add(x, y, f"{name}.add") if joined else y


def _gate(writer: TopologyWriter, x: Value, name: str, squeezed: int) -> Value:
    """Squeeze and excitation: every channel is scaled by a function of all channel means."""
    y = writer.global_average(x, f"{name}.pool")
    y = writer.relu(writer.convolution(y, f"{name}.fc1", squeezed, 1, normalise=False), f"{name}.relu")
    y = writer.convolution(y, f"{name}.fc2", x.channels, 1, normalise=False)
    gate = writer.hard_sigmoid(y, f"{name}.sigmoid")
    return writer.multiply(x, gate, f"{name}.mul")


def _round_to_eight(value: float) -> int:
    """The multiple of 8 nearest to `value`, not more than 10 % below it, as MobileNets round channels."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def _classifier(writer: TopologyWriter, x: Value, classes: int, softmax: bool = False) -> ModelProto:
    x = writer.flatten(writer.global_average(x, "avgpool"), "flatten")
    x = writer.linear(x, "fc", classes)
    return writer.model(writer.softmax(x, "softmax") if softmax else x)
