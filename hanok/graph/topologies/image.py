"""Networks whose output is an image or a reconstruction: U-Net, ESPCN and MLPerf Tiny's autoencoder."""

from __future__ import annotations

from onnx import ModelProto

from hanok.graph.topologies._builder import TopologyWriter, Value


def unet(
    seed: int = 0,
    *,
    image: int = 128,
    channels: int = 16,
    depth: int = 3,
    classes: int = 2,
    batch: int = 1,
    batch_norm: bool = True,
) -> ModelProto:
    """U-Net (Ronneberger et al. 2015) with padded convolutions: `depth` halvings, `channels` at the top."""
    writer = TopologyWriter("unet", seed, batch=batch, batch_norm=batch_norm)
    x = writer.input("input", (3, image, image))
    skips: list[Value] = []
    for level in range(depth):
        x = _double_convolution(writer, x, f"down{level}", channels << level)
        skips.append(x)
        x = writer.max_pool(x, f"pool{level}", 2, 2)
    x = _double_convolution(writer, x, "bottom", channels << depth)
    for level in reversed(range(depth)):
        x = writer.up_convolution(x, f"up{level}.rise", channels << level)
        x = writer.concat(skips[level], x, f"up{level}.concat")
        x = _double_convolution(writer, x, f"up{level}", channels << level)
    return writer.model(writer.convolution(x, "head", classes, 1, normalise=False))


def espcn(
    seed: int = 0, *, height: int = 120, width: int = 160, factor: int = 3, batch: int = 1
) -> ModelProto:
    """ESPCN super-resolution (Shi et al. 2016): 5x5x64, 3x3x32, 3x3 to factor^2, then pixel shuffle."""
    writer = TopologyWriter("espcn", seed, batch=batch, batch_norm=False)
    x = writer.input("input", (1, height, width))
    x = writer.tanh(writer.convolution(x, "conv1", 64, 5), "tanh1")
    x = writer.tanh(writer.convolution(x, "conv2", 32, 3), "tanh2")
    x = writer.convolution(x, "conv3", factor**2, 3)
    return writer.model(writer.depth_to_space(x, "shuffle", factor))


def autoencoder(
    seed: int = 0, *, features: int = 640, hidden: int = 128, code: int = 8, batch: int = 1
) -> ModelProto:
    """MLPerf Tiny's anomaly detector: ten linear layers, 640-128x4-8-128x4-640, Relu between."""
    writer = TopologyWriter("autoencoder", seed, batch=batch)
    x = writer.input("input", (features,))
    for index, width in enumerate((*(hidden,) * 4, code, *(hidden,) * 4)):
        x = writer.relu(writer.linear(x, f"fc{index}", width), f"relu{index}")
    return writer.model(writer.linear(x, "fc9", features))


def _double_convolution(writer: TopologyWriter, x: Value, name: str, channels: int) -> Value:
    x = writer.relu(writer.convolution(x, f"{name}.conv1", channels, 3), f"{name}.relu1")
    return writer.relu(writer.convolution(x, f"{name}.conv2", channels, 3), f"{name}.relu2")
