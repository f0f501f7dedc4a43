"""Arithmetic, activations, pools, means, softmax and resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
from model_parts import (
    Build,
    Random,
    between,
    between_layers,
    channels_of,
    convolve,
    finish,
    image,
    pick,
    scale,
    zero,
)
from qdq_models import QdqModel

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
        finish(q, rng, convolve(q, rng, fused, channels_of(q, y), 3, [1, 1]))

    return build


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
    axes = pick(
        rng, [0], [1], [2], [-1], [0, 1], [1, 2], [2, 3], [0, 2], [1, 3], [1, 2, 3], [0, 1, 2, 3], [0, 2, 3]
    )
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


VECTOR: dict[str, tuple[Build, bool]] = {
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
    "resize": (_resize, False),
}
"""Name -> builder, and whether ONNX Runtime gives the same in every bit."""
