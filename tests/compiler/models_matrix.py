"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np
from model_parts import Build, Random, between, convolve, finish, image, pick, weights
from qdq_models import QdqModel


def _conv(q: QdqModel, rng: Random) -> None:
    inputs, outputs = between(rng, 1, 40), between(rng, 1, 40)
    kernel = [between(rng, 1, 5), between(rng, 1, 5)]
    dilations = [between(rng, 1, 2), between(rng, 1, 3)]
    pads = [between(rng, 0, 4) for _ in range(4)]
    height = max(1, (kernel[0] - 1) * dilations[0] + 1 - pads[0] - pads[2]) + between(rng, 0, 14)
    width = max(1, (kernel[1] - 1) * dilations[1] + 1 - pads[1] - pads[3]) + between(rng, 0, 40)
    x = image(q, rng, between(rng, 1, 2), inputs, height, width)
    strides = [between(rng, 1, 3), between(rng, 1, 3)]
    y = convolve(q, rng, x, inputs, outputs, kernel, strides=strides, dilations=dilations, pads=pads)
    finish(q, rng, q.apply("Relu", [y]) if between(rng, 0, 1) else y)


def _conv_few_channels(q: QdqModel, rng: Random) -> None:
    channels, outputs = between(rng, 1, 4), between(rng, 2, 9)
    x = image(q, rng, between(rng, 1, 2), channels, 24, pick(rng, 24, 48, 31))
    kernel, stride = pick(rng, [3, 3], [7, 7], [10, 4]), between(rng, 1, 2)
    y = convolve(q, rng, x, channels, outputs, kernel, strides=[stride, stride], auto_pad="SAME_UPPER")
    finish(q, rng, y)


def _conv_grouped(q: QdqModel, rng: Random) -> None:
    group, inputs, outputs = between(rng, 2, 6), between(rng, 2, 9), between(rng, 1, 9)
    x = image(q, rng, between(rng, 1, 2), group * inputs, between(rng, 5, 12), between(rng, 5, 20))
    kernel = [between(rng, 1, 3), between(rng, 1, 3)]
    strides, dilations = [between(rng, 1, 2), between(rng, 1, 2)], [1, between(rng, 1, 2)]
    attributes = {"strides": strides, "dilations": dilations, "pads": [1, 0, 2, 1]}
    finish(q, rng, convolve(q, rng, x, group * inputs, group * outputs, kernel, group=group, **attributes))


def _depthwise(q: QdqModel, rng: Random) -> None:
    channels, kernel = between(rng, 2, 40), [between(rng, 1, 5), between(rng, 1, 5)]
    x = image(q, rng, between(rng, 1, 2), channels, between(rng, 9, 16), between(rng, 9, 30))
    strides, dilations = [between(rng, 1, 3), between(rng, 1, 3)], [between(rng, 1, 2), between(rng, 1, 2)]
    pads = [between(rng, 0, 2) for _ in range(4)]
    attributes = {"strides": strides, "dilations": dilations, "pads": pads}
    y = convolve(q, rng, x, channels, channels, kernel, group=channels, **attributes)
    finish(q, rng, q.apply("Relu", [y]))


def _depthwise_multiplier(q: QdqModel, rng: Random) -> None:
    channels, times = between(rng, 2, 20), between(rng, 2, 5)
    x = image(q, rng, 1, channels, 9, 11)
    finish(q, rng, convolve(q, rng, x, channels, channels * times, [3, 3], group=channels, pads=[1, 1, 1, 1]))


def _conv_1d(q: QdqModel, rng: Random) -> None:
    group, inputs, outputs = between(rng, 1, 3), between(rng, 1, 12), between(rng, 1, 12)
    x = image(q, rng, between(rng, 1, 2), group * inputs, between(rng, 20, 70))
    attributes = {"strides": [between(rng, 1, 3)], "dilations": [between(rng, 1, 3)], "pads": [3, 1]}
    y = convolve(q, rng, x, group * inputs, group * outputs, [between(rng, 1, 5)], group=group, **attributes)
    finish(q, rng, y)


def _conv_nine_bits(q: QdqModel, rng: Random) -> None:
    inputs, outputs = between(rng, 1, 20), between(rng, 1, 20)
    group = pick(rng, 1, 1, inputs)
    outputs = inputs if group > 1 else outputs
    x = image(q, rng, 1, inputs, 9, 10)
    points = rng.integers(90, 160, outputs)
    content = rng.integers(0, 256, (outputs, inputs // group, 3, 3)).astype(np.uint8)
    w = q.weight(content, rng.uniform(0.001, 0.003, outputs), points, 0)
    finish(q, rng, q.apply("Conv", [x, w], group=group, auto_pad="SAME_LOWER", strides=[2, 1]), 0.1, 0.2)


def _conv_deep(q: QdqModel, rng: Random) -> None:
    inputs = between(rng, 200, 700)
    x = image(q, rng, 1, inputs, 3, 4)
    finish(q, rng, convolve(q, rng, x, inputs, between(rng, 1, 12), [3, 3], pads=[1, 1, 1, 1]))


def _conv_kernel_larger_than_image(q: QdqModel, rng: Random) -> None:
    inputs, outputs = between(rng, 1, 9), between(rng, 1, 9)
    x = image(q, rng, 1, inputs, between(rng, 1, 3), between(rng, 1, 3))
    attributes = {"pads": [5, 3, 4, 4], "strides": [between(rng, 1, 3), 1], "dilations": [1, pick(rng, 1, 2)]}
    finish(q, rng, convolve(q, rng, x, inputs, outputs, [7, 4], **attributes))


def _conv_wide(q: QdqModel, rng: Random) -> None:
    inputs = between(rng, 3, 24)
    x = image(q, rng, 1, inputs, 2, between(rng, 300, 700))
    attributes = {
        "pads": [1, 1, 1, 2],
        "strides": [1, between(rng, 1, 2)],
        "dilations": [1, between(rng, 1, 3)],
    }
    finish(q, rng, convolve(q, rng, x, inputs, between(rng, 1, 10), [3, 3], **attributes))


def _conv_tail(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, between(rng, 1, 3), between(rng, 50, 150), 1, 1)
    shape = q.inputs[-1].type.tensor_type.shape
    inputs = shape.dim[1].dim_value
    finish(q, rng, convolve(q, rng, x, inputs, between(rng, 10, 100), [1, 1]))


def _transposed(q: QdqModel, rng: Random) -> None:
    group, inputs, outputs = pick(rng, 1, 1, 2, 3), between(rng, 1, 10), between(rng, 1, 10)
    kernel, strides = [between(rng, 1, 5), between(rng, 1, 5)], [between(rng, 1, 3), between(rng, 1, 3)]
    x = image(q, rng, between(rng, 1, 2), group * inputs, between(rng, 2, 7), between(rng, 2, 12))
    w = q.weight(weights(rng, group * inputs, outputs, *kernel), 0.002)
    bias = q.constant(rng.normal(0, 0.5, group * outputs).astype(np.float32))
    dilations = [between(rng, 1, 2), between(rng, 1, 3)]
    pads = [between(rng, 0, size - 1) // 2 for size in (*kernel, *kernel)]
    padding = [between(rng, 0, stride - 1) for stride in strides]
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": padding}
    finish(q, rng, q.apply("ConvTranspose", [x, w, bias], group=group, **attributes))


def _transposed_1d(q: QdqModel, rng: Random) -> None:
    inputs, outputs = between(rng, 1, 10), between(rng, 1, 10)
    x = image(q, rng, 1, inputs, between(rng, 5, 30))
    w = q.weight(weights(rng, inputs, outputs, 4), 0.005)
    finish(q, rng, q.apply("ConvTranspose", [x, w], strides=[2], pads=[1, 1]))


def _gemm(q: QdqModel, rng: Random) -> None:
    rows, depth, columns = between(rng, 1, 20), between(rng, 1, 300), between(rng, 1, 60)
    turned = between(rng, 0, 1)
    x = image(q, rng, rows, depth)
    shape = (columns, depth) if turned else (depth, columns)
    w = q.weight(weights(rng, *shape), rng.uniform(0.001, 0.003, columns), 0, 0 if turned else 1)
    bias = q.constant(rng.normal(0, 1, columns).astype(np.float32))
    finish(q, rng, q.apply("Gemm", [x, w, bias], transB=turned))


def _matmul(q: QdqModel, rng: Random) -> None:
    depth, columns = between(rng, 1, 200), between(rng, 1, 60)
    lead = pick(
        rng, (between(rng, 1, 4), between(rng, 1, 9)), (2, 3, between(rng, 1, 5)), (between(rng, 1, 9),)
    )
    x = image(q, rng, *lead, depth)
    w = q.weight(weights(rng, depth, columns), rng.uniform(0.001, 0.003, columns), 0, 1)
    finish(q, rng, q.apply("MatMul", [x, w]))


MATRIX: dict[str, tuple[Build, bool]] = {
    "conv": (_conv, True),
    "conv, few channels": (_conv_few_channels, True),
    "conv, grouped": (_conv_grouped, True),
    "conv, depthwise": (_depthwise, True),
    "conv, depthwise multiplier": (_depthwise_multiplier, True),
    "conv, 1-D": (_conv_1d, True),
    "conv, nine-bit weights": (_conv_nine_bits, False),
    "conv, deep": (_conv_deep, True),
    "conv, kernel larger than image": (_conv_kernel_larger_than_image, True),
    "conv, wide": (_conv_wide, True),
    "conv, 1x1 tail": (_conv_tail, True),
    "conv transposed": (_transposed, False),
    "conv transposed, 1-D": (_transposed_1d, False),
    "gemm": (_gemm, True),
    "matmul": (_matmul, True),
}
"""Name -> builder, and whether ONNX Runtime gives the same in every bit."""
