"""Patterns of several operators: borders, hosts, outputs in the middle."""

from __future__ import annotations

import numpy as np
from model_parts import Build, Random, between_layers, convolve, finish, image, scale, zero
from qdq_models import QdqModel


def _batch_normalization(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 5, 6, 7)
    y = convolve(q, rng, x, 5, 8, [3, 3])
    numbers = [
        rng.uniform(0.5, 1.5, 8),
        rng.normal(0, 0.2, 8),
        rng.normal(0, 0.2, 8),
        rng.uniform(0.5, 1.5, 8),
    ]
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
    normal = q.apply("LpNormalization", [y], axis=-1)
    value = between_layers(q, rng, normal)
    finish(q, rng, convolve(q, rng, value, 12, 5, [3, 3]))
    finish(q, rng, q.apply("Add", [value, y]))


def _float_island(q: QdqModel, rng: Random) -> None:
    x = image(q, rng, 1, 6, 4, 8)
    y = between_layers(q, rng, convolve(q, rng, x, 6, 12, [1, 1]))
    island = q.apply("Sin", [q.apply("LpNormalization", [y], axis=3)])
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


PATTERN: dict[str, tuple[Build, bool]] = {
    "batch normalization": (_batch_normalization, False),
    "outputs in the middle": (_outputs_in_the_middle, False),
    "output of an input": (_output_of_an_input, True),
    "host in the middle": (_host_in_the_middle, False),
    "float island": (_float_island, False),
    "float borders": (_float_borders, True),
}
"""Name -> builder, and whether ONNX Runtime gives the same in every bit."""
