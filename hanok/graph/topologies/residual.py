"""Residual networks: ResNet-18 and ResNet-50 (He et al. 2016) and MLPerf Tiny's ResNet8."""

from __future__ import annotations

from onnx import ModelProto

from hanok.graph.topologies._builder import TopologyWriter, Value

BRANCH_GAIN = 0.4
"""Deviation of a residual branch, so that a stage's sum stays near unit variance."""


def resnet50(
    seed: int = 0, *, image: int = 224, classes: int = 1000, batch: int = 1, batch_norm: bool = True
) -> ModelProto:
    """ResNet-50 v1.5 (stride in the 3x3): 25,557,032 parameters, 4.09 GMAC at 224x224."""
    writer = TopologyWriter("resnet50", seed, batch=batch, batch_norm=batch_norm)
    x = _stem(writer, image, batch)
    for stage, (blocks, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 1 else 1
            x = _bottleneck(writer, x, f"layer{stage}.{block}", channels, stride)
    return _classifier(writer, x, classes)


def resnet18(
    seed: int = 0, *, image: int = 224, classes: int = 1000, batch: int = 1, batch_norm: bool = True
) -> ModelProto:
    """ResNet-18: 11,689,512 parameters, 1.81 GMAC at 224x224."""
    writer = TopologyWriter("resnet18", seed, batch=batch, batch_norm=batch_norm)
    x = _stem(writer, image, batch)
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if block == 0 and stage > 1 else 1
            x = _basic(writer, x, f"layer{stage}.{block}", channels, stride)
    return _classifier(writer, x, classes)


def resnet8(
    seed: int = 0, *, image: int = 32, classes: int = 10, batch: int = 1, batch_norm: bool = True
) -> ModelProto:
    """The ResNet8 of MLPerf Tiny for 32x32 images: stages of 16, 32 and 64 channels, one block each."""
    writer = TopologyWriter("resnet8", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (3, image, image))
    x = writer.relu(writer.convolution(x, "conv1", 16, 3), "relu1")
    for stage, channels in enumerate((16, 32, 64), start=1):
        x = _basic(writer, x, f"layer{stage}", channels, 1 if stage == 1 else 2)
    return _classifier(writer, x, classes, softmax=True)


def _stem(writer: TopologyWriter, image: int, batch: int) -> Value:
    x = writer.input("input", (3, image, image))
    x = writer.relu(writer.convolution(x, "conv1", 64, 7, stride=2), "relu1")
    return writer.max_pool(x, "maxpool", 3, 2, padding=1)


def _bottleneck(writer: TopologyWriter, x: Value, name: str, channels: int, stride: int) -> Value:
    y = writer.relu(writer.convolution(x, f"{name}.conv1", channels, 1), f"{name}.relu1")
    y = writer.relu(writer.convolution(y, f"{name}.conv2", channels, 3, stride=stride), f"{name}.relu2")
    y = writer.convolution(y, f"{name}.conv3", 4 * channels, 1, gain=BRANCH_GAIN)
    return _join(writer, x, y, name, stride)


def _basic(writer: TopologyWriter, x: Value, name: str, channels: int, stride: int) -> Value:
    y = writer.relu(writer.convolution(x, f"{name}.conv1", channels, 3, stride=stride), f"{name}.relu1")
    y = writer.convolution(y, f"{name}.conv2", channels, 3, gain=BRANCH_GAIN)
    return _join(writer, x, y, name, stride)


def _join(writer: TopologyWriter, x: Value, y: Value, name: str, stride: int) -> Value:
    if x.probe.shape != y.probe.shape:
        x = writer.convolution(x, f"{name}.downsample", y.channels, 1, stride=stride)
    return writer.relu(writer.add(y, x, f"{name}.add"), f"{name}.relu")


def _classifier(writer: TopologyWriter, x: Value, classes: int, softmax: bool = False) -> ModelProto:
    x = writer.flatten(writer.global_average(x, "avgpool"), "flatten")
    x = writer.linear(x, "fc", classes)
    return writer.model(writer.softmax(x, "softmax") if softmax else x)
