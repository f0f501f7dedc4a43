"""Movement of data, alone and between convolutions."""

from __future__ import annotations

import numpy as np
from model_parts import (
    Build,
    Random,
    between,
    channels_of,
    convolve,
    finish,
    image,
    pick,
    scale,
    weights,
    zero,
)
from qdq_models import QdqModel


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
    y = q.apply(
        "Concat", pick(rng, [x, x], [x, constant, x], [sliced, x], [constant, sliced, sliced, x]), axis=axis
    )
    q.output(y, step, point)


def _concat_between_convolutions(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 7, 9)
    step, point = scale(rng), zero(q, rng)
    parts = []
    for outputs in (4, 7, between(rng, 1, 9)):
        y = convolve(q, rng, x, 5, outputs, [3, 3], pads=[1, 1, 1, 1])
        parts.append(q.dequantize(q.quantize(y, step, point), step, point))
    joined = q.dequantize(q.quantize(q.apply("Concat", parts, axis=1), step, point), step, point)
    finish(q, rng, convolve(q, rng, joined, sum(channels_of(q, part) for part in parts), 6, [1, 1]))


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
                shape = pick(
                    rng, [12, 32], [1, 384], [2, 6, 32], [1, 24, 16], [3, 4, 8, 4], [4, 96], [2, 3, 4, 4, 4]
                )
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


LAYOUT: dict[str, tuple[Build, bool]] = {
    "concat": (_concat, True),
    "concat of constants and slices": (_concat_of_everything, True),
    "concat between convolutions": (_concat_between_convolutions, True),
    "slice": (_slice, True),
    "split": (_split, True),
    "pad": (_pad, True),
    "pad before a convolution": (_pad_before_convolution, True),
    "moves": (_moves, True),
    "depth to space": (_depth_to_space, True),
    "space to depth": (_space_to_depth, True),
}
"""Name -> builder, and whether ONNX Runtime gives the same in every bit."""
