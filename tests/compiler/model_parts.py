"""Seeded random parts of the compiler's test models."""

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


def channels_of(q: QdqModel, value: str) -> int:
    """Output channels of the Conv behind a value of `between_layers`."""
    makers = {name: node for node in q.nodes for name in node.output}
    node = makers[value]
    while node.op_type != "Conv":
        node = makers[node.input[0]]
    stored = makers[node.input[1]].input[0]
    (content,) = (item for item in q.initializers if item.name == stored)
    return int(content.dims[0])
