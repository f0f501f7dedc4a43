"""Seeded random QDQ models, one operator or one pattern each, for the compiler's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qdq_models import QdqModel

Random = np.random.Generator
Build = Callable[[QdqModel, Random], None]


def pick(rng: Random, *choices: Any) -> Any:
    """One of the choices."""
    return choices[int(rng.integers(len(choices)))]


def between(rng: Random, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(rng.integers(low, high + 1))


def scale(rng: Random, low: float = 0.01, high: float = 0.1) -> float:
    """A scale."""
    return float(rng.uniform(low, high))


def zero(q: QdqModel, rng: Random) -> int:
    """A zero point of the model's type."""
    return int(rng.integers(-30, 30)) + (128 if q.kind is np.uint8 else 0)


def image(q: QdqModel, rng: Random, *shape: int) -> str:
    """A graph input."""
    return q.input(shape, scale(rng), zero(q, rng))


def finish(q: QdqModel, rng: Random, value: str, low: float = 0.02, high: float = 0.1) -> None:
    """Quantise a value into a graph output."""
    q.output(value, scale(rng, low, high), zero(q, rng))


def between_layers(q: QdqModel, rng: Random, value: str, low: float = 0.02, high: float = 0.1) -> str:
    """Quantise and dequantise a value."""
    step, point = scale(rng, low, high), zero(q, rng)
    return q.dequantize(q.quantize(value, step, point), step, point)


def weights(rng: Random, *shape: int) -> np.ndarray:
    """int8 weights."""
    return rng.integers(-127, 128, shape).astype(np.int8)


def convolve(
    q: QdqModel, rng: Random, x: str, inputs: int, outputs: int, kernel: Sequence[int], **attributes: Any
) -> str:
    """A Conv with per-channel weights and a bias."""
    group = attributes.get("group", 1)
    spread = 0.4 / np.sqrt(np.prod(kernel) * inputs / group)
    per_channel = rng.uniform(0.01 * spread, 0.1 * spread, outputs)
    w = q.weight(weights(rng, outputs, inputs // group, *kernel), per_channel, 0, 0)
    bias = q.constant(rng.normal(0, 0.5, outputs).astype(np.float32))
    return q.apply("Conv", [x, w, bias], **attributes)


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
    attributes = {"pads": [1, 1, 1, 2], "strides": [1, between(rng, 1, 2)], "dilations": [1, between(rng, 1, 3)]}
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
    lead = pick(rng, (between(rng, 1, 4), between(rng, 1, 9)), (2, 3, between(rng, 1, 5)), (between(rng, 1, 9),))
    x = image(q, rng, *lead, depth)
    w = q.weight(weights(rng, depth, columns), rng.uniform(0.001, 0.003, columns), 0, 1)
    finish(q, rng, q.apply("MatMul", [x, w]))


BROADCASTS = {
    "equal": ((2, 7, 5, 9), (2, 7, 5, 9)),
    "scalar": ((2, 7, 5, 9), ()),
    "per channel": ((2, 7, 5, 9), (1, 7, 1, 1)),
    "per channel, image": ((2, 7, 5, 9), (7, 1, 1)),
    "row": ((2, 7, 5, 9), (9,)),
    "column": ((2, 7, 5, 9), (5, 1)),
    "spatial": ((2, 7, 5, 9), (1, 1, 5, 9)),
    "per image": ((2, 7, 5, 9), (2, 1, 1, 1)),
    "per image and channel": ((2, 7, 5, 9), (2, 7, 1, 1)),
    "both": ((2, 1, 5, 1), (7, 1, 9)),
    "outer": ((40, 1), (1, 31)),
    "five axes": ((2, 3, 1, 4, 5), (1, 3, 6, 1, 5)),
    "five axes, equal": ((2, 3, 2, 4, 5), (2, 3, 2, 4, 5)),
    "long": ((1, 3000), (1, 3000)),
}


def binary(op_type: str, kind: str, swapped: bool, constant: bool) -> Build:
    """One arithmetic operator on two tensors that broadcast."""

    def build(q: QdqModel, rng: Random) -> None:
        first, second = BROADCASTS[kind]
        a = image(q, rng, *first)
        if constant:
            low = 1 if op_type == "Div" and q.kind is np.int8 else 0
            content = rng.integers(low, 100, second).astype(q.kind)
            b = q.weight(content, scale(rng), 0)
        else:
            b = image(q, rng, *second)
        finish(q, rng, q.apply(op_type, [b, a] if swapped else [a, b]), 0.05, 0.2)

    return build


def _same_twice(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 2, 7, 5, 9)
    finish(q, rng, q.apply(pick(rng, "Add", "Mul", "Sub"), [x, x]), 0.1, 0.3)


def _residual(q: QdqModel, rng: Random) -> None:
    channels = between(rng, 1, 30)
    x = image(q, rng, between(rng, 1, 2), channels, between(rng, 3, 9), between(rng, 3, 15))
    first = between_layers(q, rng, convolve(q, rng, x, channels, channels, [3, 3], pads=[1, 1, 1, 1]))
    if between(rng, 0, 1):
        first = between_layers(q, rng, q.apply("Sigmoid", [first]), 0.005, 0.01)
    other = pick(rng, x, "branch")
    if other == "branch":
        other = between_layers(q, rng, convolve(q, rng, x, channels, channels, [1, 1]))
    total = q.apply("Add", [first, other] if between(rng, 0, 1) else [other, first])
    last = q.apply("Relu", [total]) if between(rng, 0, 1) else total
    if between(rng, 0, 1):
        last = between_layers(q, rng, last)
        last = q.apply("HardSwish", [last])
    finish(q, rng, last)


def _fused_activation(op_type: str, **attributes: Any) -> Build:
    def build(q: QdqModel, rng: Random) -> None:
        x = image(q, rng, 1, 6, 7, 8)
        if op_type == "Clip":
            attributes_used: list[str] = [q.constant(np.float32(-0.5)), q.constant(np.float32(1.7))]
        else:
            attributes_used = []
        alone = q.apply(op_type, [x, *attributes_used], **attributes)
        y = between_layers(q, rng, convolve(q, rng, x, 6, between(rng, 2, 20), [3, 3]))
        fused = between_layers(q, rng, q.apply(op_type, [y, *attributes_used], **attributes), 0.01, 0.03)
        finish(q, rng, alone, 0.01, 0.03)
        finish(q, rng, convolve(q, rng, fused, _channels_of(q, y), 3, [1, 1]))

    return build


def _channels_of(q: QdqModel, value: str) -> int:
    """Output channels of the Conv behind a value of `between_layers`."""
    makers = {name: node for node in q.nodes for name in node.output}
    node = makers[value]
    while node.op_type != "Conv":
        node = makers[node.input[0]]
    stored = makers[node.input[1]].input[0]
    (content,) = (item for item in q.initializers if item.name == stored)
    return int(content.dims[0])


def _gelu(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 6, 7, 8)
    root = q.constant(np.float32(np.sqrt(2)))
    erf = q.apply("Add", [q.apply("Erf", [q.apply("Div", [x, root])]), q.constant(np.float32(1))])
    finish(q, rng, q.apply("Mul", [q.apply("Mul", [x, erf]), q.constant(np.float32(0.5))]))


def _pool(op_type: str) -> Build:
    def build(q: QdqModel, rng: Random) -> None:
        step, point = scale(rng), zero(q, rng)
        kernel = [between(rng, 1, 4), between(rng, 1, 5)]
        shape = (between(rng, 1, 2), between(rng, 1, 30), between(rng, 8, 15), between(rng, 8, 30))
        x = q.input(shape, step, point)
        attributes: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": [between(rng, 1, 3), between(rng, 1, 3)],
            "pads": [between(rng, 0, size - 1) for size in (*kernel, *kernel)],
        }
        if between(rng, 0, 1):
            attributes["ceil_mode"] = 1
            attributes["pads"] = [*attributes["pads"][:2], 0, 0]
            attributes["strides"] = [between(rng, 1, size) for size in kernel]
        if op_type == "MaxPool":
            attributes["dilations"] = [between(rng, 1, 2), between(rng, 1, 2)]
            q.output(q.apply(op_type, [x], **attributes), step, point)
            return
        if "ceil_mode" not in attributes:
            attributes["count_include_pad"] = between(rng, 0, 1)
        finish(q, rng, q.apply(op_type, [x], **attributes), 0.01, 0.05)

    return build


def _global_pool(op_type: str) -> Build:
    def build(q: QdqModel, rng: Random) -> None:
        step, point = scale(rng), zero(q, rng)
        shape = (between(rng, 1, 2), between(rng, 1, 60), between(rng, 1, 9), between(rng, 1, 19))
        y = q.apply(op_type, [q.input(shape, step, point)])
        q.output(y, step if "Max" in op_type else scale(rng, 0.01, 0.05), point)

    return build


def _reduce_mean(q: QdqModel, rng: Random) -> None:
    axes = pick(rng, [0], [1], [2], [-1], [0, 1], [1, 2], [2, 3], [0, 2], [1, 3], [1, 2, 3], [0, 1, 2, 3], [0, 2, 3])
    x = image(q, rng, 2, between(rng, 1, 20), between(rng, 1, 9), between(rng, 1, 14))
    keep = 1 if axes == [0, 1, 2, 3] else between(rng, 0, 1)
    finish(q, rng, q.apply("ReduceMean", [x], axes=axes, keepdims=keep), 0.01, 0.02)


def _mean_of_convolution(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 9, 8)
    y = between_layers(q, rng, convolve(q, rng, x, 5, 13, [3, 3]))
    axes = pick(rng, [2, 3], [1], [-1], [2], [1, 2], [1, 2, 3])
    keep = between(rng, 0, 1)
    finish(q, rng, q.apply("ReduceMean", [y], axes=axes, keepdims=keep), 0.01, 0.02)


def _softmax(q: QdqModel, rng: Random) -> None:
    shape = pick(rng, (3, 17, 40), (5, 100), (2, 9, 4, 6), (2, 700))
    x = q.input(shape, scale(rng, 0.02, 0.2), zero(q, rng))
    axis = between(rng, -len(shape), len(shape) - 1)
    q.output(q.apply("Softmax", [x], axis=axis), 1 / 256, 0 if q.kind is np.uint8 else -128)


def _softmax_of_convolution(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 6, 7)
    y = between_layers(q, rng, convolve(q, rng, x, 5, 11, [1, 1]))
    q.output(q.apply("Softmax", [y], axis=pick(rng, 1, 2, 3)), 1 / 256, 0 if q.kind is np.uint8 else -128)


def _concat(q: QdqModel, rng: Random) -> None:
    axis, step, point = between(rng, 0, 3), scale(rng), zero(q, rng)
    shape = [2, 5, 6, 7]
    parts, equal = [], between(rng, 0, 1)
    for size in (3, 5, 1):
        part = [size if place == axis else length for place, length in enumerate(shape)]
        parts.append(q.input(part, step, point) if equal else image(q, rng, *part))
    if equal:
        q.output(q.apply("Concat", parts, axis=axis), step, point)
        return
    finish(q, rng, q.apply("Concat", parts, axis=axis))


def _concat_of_everything(q: QdqModel, rng: Random) -> None:
    axis, step, point = between(rng, 0, 3), scale(rng), zero(q, rng)
    x = q.input((2, 6, 4, 8), step, point)
    part = [2, 6, 4, 8]
    part[axis] = 3
    constant = q.dequantize(q.constant(rng.integers(0, 100, part).astype(q.kind)), step, point)
    starts, ends, axes, strides = ([1], [1 << 31], [axis], [2])
    operands = [q.constant(np.array(item, np.int64)) for item in (starts, ends, axes, strides)]
    sliced = q.apply("Slice", [x, *operands])
    y = q.apply("Concat", pick(rng, [x, x], [x, constant, x], [sliced, x], [constant, sliced, sliced, x]), axis=axis)
    q.output(y, step, point)


def _concat_between_convolutions(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 7, 9)
    step, point = scale(rng), zero(q, rng)
    parts = []
    for outputs in (4, 7, between(rng, 1, 9)):
        y = convolve(q, rng, x, 5, outputs, [3, 3], pads=[1, 1, 1, 1])
        parts.append(q.dequantize(q.quantize(y, step, point), step, point))
    joined = q.dequantize(q.quantize(q.apply("Concat", parts, axis=1), step, point), step, point)
    finish(q, rng, convolve(q, rng, joined, sum(_channels_of(q, part) for part in parts), 6, [1, 1]))


def _slice(q: QdqModel, rng: Random) -> None:
    step, point, shape = scale(rng), zero(q, rng), (2, 8, 9, 10)
    starts, ends, steps = [], [], []
    for length in shape:
        stride = pick(rng, 1, 1, 2, 3, -1, -2)
        low, high = sorted(rng.choice(length + 1, 2, replace=False).tolist())
        starts.append(low if stride > 0 else high - 1)
        ends.append(high if stride > 0 else (low - 1 if low else -(1 << 31)))
        steps.append(stride)
    operands = [q.constant(np.array(item, np.int64)) for item in (starts, ends, [0, 1, 2, 3], steps)]
    y = q.apply("Slice", [q.input(shape, step, point), *operands])
    q.output(y, step, point)


def _split(q: QdqModel, rng: Random) -> None:
    step, point, axis = scale(rng), zero(q, rng), between(rng, 0, 3)
    shape = [2, 3, 4, 5]
    shape[axis] = 9
    sizes = q.constant(np.array([2, 6, 1]))
    q.apply("Split", [q.input(shape, step, point), sizes], 3, axis=axis)
    for name in list(q.nodes[-1].output):
        if between(rng, 0, 1):
            q.output(name, step, point)
        else:
            finish(q, rng, name)


def _pad(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 2, 3, 5, 6)
    content = [between(rng, 0, 3) for _ in range(8)]
    pads = q.constant(np.array(content, np.int64))
    finish(q, rng, q.apply("Pad", [x, pads, q.constant(np.float32(pick(rng, 0.0, 0.7)))]))


def _pad_before_convolution(q: QdqModel, rng: Random) -> None:
    step, point = scale(rng), zero(q, rng)
    x = q.input((1, 6, 9, 8), step, point)
    pads = q.constant(np.array([0, 0, 1, 2, 0, 0, 3, 0], np.int64))
    padded = q.apply("Pad", [x, pads, q.constant(np.float32(pick(rng, 0.0, 0.0, 0.6)))])
    y = q.dequantize(q.quantize(padded, step, point), step, point)
    finish(q, rng, convolve(q, rng, y, 6, 7, [3, 3], strides=[2, 2], pads=[0, 1, 0, 0]))
    if between(rng, 0, 1):
        finish(q, rng, convolve(q, rng, y, 6, 4, [1, 1]))


def _moves(q: QdqModel, rng: Random) -> None:
    """Convolutions with a chain of Reshape, Transpose, Squeeze, Unsqueeze and Flatten between them."""
    step, point = scale(rng), zero(q, rng)
    x = image(q, rng, 1, 6, 4, 8)
    y = convolve(q, rng, x, 6, 12, [1, 1])
    value = q.dequantize(q.quantize(y, step, point), step, point)
    shape: list[int] = [1, 12, 4, 8]
    for _ in range(between(rng, 1, 4)):
        match between(rng, 0, 4):
            case 0:
                order = rng.permutation(len(shape)).tolist()
                value, shape = q.apply("Transpose", [value], perm=order), [shape[axis] for axis in order]
            case 1:
                shape = pick(rng, [12, 32], [1, 384], [2, 6, 32], [1, 24, 16], [3, 4, 8, 4], [4, 96], [2, 3, 4, 4, 4])
                value = q.apply("Reshape", [value, q.constant(np.array(shape, np.int64))])
            case 2:
                place = between(rng, 0, len(shape))
                value = q.apply("Unsqueeze", [value, q.constant(np.array([place], np.int64))])
                shape = [*shape[:place], 1, *shape[place:]]
            case 3:
                if 1 in shape:
                    place = shape.index(1)
                    value = q.apply("Squeeze", [value, q.constant(np.array([place], np.int64))])
                    shape = [*shape[:place], *shape[place + 1 :]]
            case _:
                place = between(rng, 0, len(shape))
                value = q.apply("Flatten", [value], axis=place)
                shape = [int(np.prod(shape[:place])), int(np.prod(shape[place:]))]
        value = q.dequantize(q.quantize(value, step, point), step, point)
    match between(rng, 0, 2):
        case 0:
            value = q.apply("Reshape", [value, q.constant(np.array([1, 12, 4, 8]))])
            value = q.dequantize(q.quantize(value, step, point), step, point)
            finish(q, rng, convolve(q, rng, value, 12, 5, [3, 3], pads=[1, 1, 1, 1]))
        case 1:
            w = q.weight(weights(rng, shape[-1], 5), 0.002)
            finish(q, rng, q.apply("MatMul", [value, w]))
        case _:
            q.output(value, step, point)


RESIZE_FORMS = [
    ("nearest", "asymmetric", "floor"),
    ("nearest", "half_pixel", "round_prefer_floor"),
    ("nearest", "align_corners", "round_prefer_ceil"),
    ("nearest", "pytorch_half_pixel", "ceil"),
    ("linear", "half_pixel", "floor"),
    ("linear", "asymmetric", "floor"),
    ("linear", "align_corners", "floor"),
    ("linear", "pytorch_half_pixel", "floor"),
]


def _resize(q: QdqModel, rng: Random) -> None:
    step, point = scale(rng), zero(q, rng)
    shape = (between(rng, 1, 2), between(rng, 1, 12), between(rng, 2, 9), between(rng, 2, 9))
    mode, transformation, rounding = pick(rng, *RESIZE_FORMS)
    sizes = [*shape[:2], between(rng, 1, 20), between(rng, 1, 20)]
    if between(rng, 0, 1):
        sizes[2:] = [2 * shape[2], 3 * shape[3]]
    operands = ["", "", q.constant(np.array(sizes, np.int64))]
    attributes = {"mode": mode, "coordinate_transformation_mode": transformation, "nearest_mode": rounding}
    y = q.apply("Resize", [q.input(shape, step, point), *operands], **attributes)
    if between(rng, 0, 1):
        q.output(y, step, point)
    else:
        finish(q, rng, y)


def _depth_to_space(q: QdqModel, rng: Random) -> None:
    step, point, block = scale(rng), zero(q, rng), between(rng, 2, 3)
    x = image(q, rng, 1, 5, 4, 6)
    y = q.dequantize(q.quantize(convolve(q, rng, x, 5, 36, [1, 1]), step, point), step, point)
    moved = q.apply("DepthToSpace", [y], blocksize=block, mode=pick(rng, "DCR", "CRD"))
    if between(rng, 0, 1):
        q.output(moved, step, point)
        return
    value = q.dequantize(q.quantize(moved, step, point), step, point)
    finish(q, rng, convolve(q, rng, value, 36 // block**2, 5, [3, 3], pads=[1, 1, 1, 1]))


def _space_to_depth(q: QdqModel, rng: Random) -> None:
    step, point = scale(rng), zero(q, rng)
    x = q.input((1, 3, 8, 12), step, point)
    moved = q.apply("SpaceToDepth", [x], blocksize=2)
    value = q.dequantize(q.quantize(moved, step, point), step, point)
    finish(q, rng, convolve(q, rng, value, 12, 5, [3, 3], pads=[1, 1, 1, 1]))


def _batch_normalization(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 6, 7)
    y = convolve(q, rng, x, 5, 8, [3, 3])
    numbers = [rng.uniform(0.5, 1.5, 8), rng.normal(0, 0.2, 8), rng.normal(0, 0.2, 8), rng.uniform(0.5, 1.5, 8)]
    operands = [q.constant(item.astype(np.float32)) for item in numbers]
    finish(q, rng, q.apply("BatchNormalization", [y, *operands]))


def _outputs_in_the_middle(q: QdqModel, rng: Random) -> None:
    step, point = scale(rng), zero(q, rng)
    x, other = image(q, rng, 1, 5, 6, 7), image(q, rng, 1, 5, 6, 7)
    stored = q.quantize(convolve(q, rng, x, 5, 5, [3, 3], pads=[1, 1, 1, 1]), step, point)
    q.raw_output(stored, 2 if q.kind is np.uint8 else 3)
    value = q.dequantize(stored, step, point)
    total = between_layers(q, rng, q.apply("Add", [value, other]))
    finish(q, rng, q.apply("Sigmoid", [total]), 0.003, 0.005)
    finish(q, rng, convolve(q, rng, total, 5, 4, [1, 1]))
    finish(q, rng, q.apply("Mul", [total, value]), 0.1, 0.2)


def _output_of_an_input(q: QdqModel, rng: Random) -> None:
    step, point = scale(rng), zero(q, rng)
    x = q.input((1, 6, 4, 8), step, point)
    q.output(q.apply("Reshape", [x, q.constant(np.array([6, 32], np.int64))]), step, point)
    starts = [q.constant(np.array([item], np.int64)) for item in (1, 5, 1, 2)]
    q.output(q.apply("Slice", [x, *starts]), step, point)
    q.output(q.apply("Transpose", [x], perm=[0, 3, 1, 2]), step, point)
    finish(q, rng, convolve(q, rng, x, 6, 4, [1, 1]))


def _host_in_the_middle(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 6, 4, 8)
    y = between_layers(q, rng, convolve(q, rng, x, 6, 12, [1, 1]))
    gain, shift = (q.constant(rng.normal(1, 0.1, 8).astype(np.float32)) for _ in range(2))
    normal = q.apply("LayerNormalization", [y, gain, shift], axis=-1)
    value = between_layers(q, rng, normal)
    finish(q, rng, convolve(q, rng, value, 12, 5, [3, 3]))
    finish(q, rng, q.apply("Add", [value, y]))


def _float_island(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 6, 4, 8)
    y = between_layers(q, rng, convolve(q, rng, x, 6, 12, [1, 1]))
    island = q.apply("Sin", [q.apply("CumSum", [y, q.constant(np.int64(3))])])
    q.raw_output(island)
    value = between_layers(q, rng, island, 0.01, 0.02)
    finish(q, rng, convolve(q, rng, value, 12, 5, [3, 3]))


def _float_borders(q: QdqModel, rng: Random) -> None:
    from onnx import TensorProto, helper

    q.inputs.append(helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 5, 6, 7]))
    x = between_layers(q, rng, "picture")
    y = between_layers(q, rng, convolve(q, rng, x, 5, 6, [3, 3]))
    q.raw_output(y)
    q.raw_output(q.apply("Flatten", [y]))
    q.raw_output(x)


MODELS: dict[str, tuple[Build, bool]] = {
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
    "same tensor twice": (_same_twice, False),
    "residual": (_residual, False),
    "relu": (_fused_activation("Relu"), False),
    "leaky relu": (_fused_activation("LeakyRelu", alpha=0.1), False),
    "clip": (_fused_activation("Clip"), False),
    "sigmoid": (_fused_activation("Sigmoid"), False),
    "hard sigmoid": (_fused_activation("HardSigmoid", alpha=0.3), False),
    "hard swish": (_fused_activation("HardSwish"), False),
    "tanh": (_fused_activation("Tanh"), False),
    "gelu": (_gelu, False),
    "max pool": (_pool("MaxPool"), True),
    "average pool": (_pool("AveragePool"), False),
    "global max pool": (_global_pool("GlobalMaxPool"), True),
    "global average pool": (_global_pool("GlobalAveragePool"), False),
    "reduce mean": (_reduce_mean, False),
    "mean of a convolution": (_mean_of_convolution, False),
    "softmax": (_softmax, False),
    "softmax of a convolution": (_softmax_of_convolution, False),
    "concat": (_concat, True),
    "concat of constants and slices": (_concat_of_everything, True),
    "concat between convolutions": (_concat_between_convolutions, True),
    "slice": (_slice, True),
    "split": (_split, True),
    "pad": (_pad, True),
    "pad before a convolution": (_pad_before_convolution, True),
    "moves": (_moves, True),
    "resize": (_resize, False),
    "depth to space": (_depth_to_space, True),
    "space to depth": (_space_to_depth, True),
    "batch normalization": (_batch_normalization, False),
    "outputs in the middle": (_outputs_in_the_middle, False),
    "output of an input": (_output_of_an_input, True),
    "host in the middle": (_host_in_the_middle, False),
    "float island": (_float_island, False),
    "float borders": (_float_borders, True),
}
"""Name -> builder, and whether ONNX Runtime's result is the same in every bit."""


def build_model(name: str, seed: int, unsigned: bool) -> Any:
    """The seeded ONNX model of a row of MODELS."""
    q = QdqModel(unsigned=unsigned)
    MODELS[name][0](q, np.random.default_rng(seed))
    return q.model()
