"""Random networks: layers in any order, tensors read by several, outputs in the middle, hosts between."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from compiled import check
from model_parts import Random, between, between_layers, convolve, finish, image, pick
from onnx import ModelProto
from qdq_models import QdqModel

Shape = tuple[int, int, int, int]


@dataclass
class Network:
    """Image tensors so far, each with its shape."""

    q: QdqModel
    rng: Random
    values: list[tuple[str, Shape]] = field(default_factory=list)

    def pick(self) -> tuple[str, Shape]:
        """One of the latest four tensors."""
        return self.values[-1 - between(self.rng, 0, min(3, len(self.values) - 1))]

    def add(self, value: str, shape: Shape, low: float = 0.02, high: float = 0.06) -> None:
        """Quantise a value and keep it."""
        self.values.append((between_layers(self.q, self.rng, value, low, high), shape))

    def partner(self, shape: Shape, *, channels: bool) -> str | None:
        """A tensor of the same image size, and of as many channels if asked."""
        fits = [
            value
            for value, other in self.values
            if other[2:] == shape[2:] and other[0] == shape[0] and (not channels or other[1] == shape[1])
        ]
        return pick(self.rng, *fits) if fits else None

    def grow(self) -> None:
        """Add one random layer."""
        x, shape = self.pick()
        images, channels, height, width = shape
        match between(self.rng, 0, 11):
            case 0 | 1:
                outputs, stride = between(self.rng, 1, 20), between(self.rng, 1, 2)
                y = convolve(
                    *(self.q, self.rng, x, channels, outputs, [3, 3]), pads=[1] * 4, strides=[stride] * 2
                )
                self.add(y, (images, outputs, -(-height // stride), -(-width // stride)))
            case 2:
                y = convolve(self.q, self.rng, x, channels, channels, [3, 3], group=channels, pads=[1] * 4)
                self.add(self.q.apply("Relu", [y]), shape)
            case 3:
                outputs = between(self.rng, 1, 20)
                y = convolve(self.q, self.rng, x, channels, outputs, [1, 1])
                self.add(y, (images, outputs, height, width))
            case 4 | 5:
                other = self.partner(shape, channels=True)
                operands = [x, other] if between(self.rng, 0, 1) else [other, x]
                self.add(self.q.apply(pick(self.rng, "Add", "Add", "Mul", "Sub"), operands), shape)
            case 6:
                other = self.partner(shape, channels=False)
                more = next(found[1] for value, found in self.values if value == other)
                if channels + more <= 60:
                    y = self.q.apply("Concat", [x, other], axis=1)
                    self.add(y, (images, channels + more, height, width))
            case 7 if height > 3 and width > 3:
                kind = pick(self.rng, "MaxPool", "AveragePool")
                y = self.q.apply(kind, [x], kernel_shape=[2, 2], strides=[2, 2])
                self.add(y, (images, channels, height // 2, width // 2))
            case 8:
                kind = pick(self.rng, "HardSwish", "Sigmoid", "LeakyRelu", "Tanh")
                self.add(self.q.apply(kind, [x]), shape, 0.01, 0.03)
            case 9:
                mean = between_layers(self.q, self.rng, self.q.apply("GlobalAveragePool", [x]), 0.01, 0.03)
                gate = convolve(self.q, self.rng, mean, channels, channels, [1, 1])
                gate = between_layers(self.q, self.rng, gate)
                gate = between_layers(self.q, self.rng, self.q.apply("Sigmoid", [gate]), 0.004, 0.008)
                self.add(self.q.apply("Mul", [x, gate]), shape)
            case 10 if channels > 2:
                first = between(self.rng, 1, channels - 1)
                sizes = self.q.constant(np.array([first, channels - first]))
                self.q.apply("Split", [x, sizes], 2, axis=1)
                left, right = self.q.nodes[-1].output
                self.add(left, (images, first, height, width))
                self.add(right, (images, channels - first, height, width))
            case 11:
                gain = self.q.constant(self.rng.normal(1, 0.1, width).astype(np.float32))
                self.add(self.q.apply("LayerNormalization", [x, gain], axis=-1), shape)


def network(seed: int, unsigned: bool) -> ModelProto:
    """A random network of a dozen layers, all of whose leaves and some other tensors are outputs."""
    rng, q = np.random.default_rng(seed), QdqModel(unsigned=unsigned)
    found = Network(q, rng)
    for _ in range(between(rng, 1, 2)):
        shape = (between(rng, 1, 2), between(rng, 1, 9), between(rng, 6, 12), between(rng, 6, 14))
        found.values.append((image(q, rng, *shape), shape))
    for _ in range(between(rng, 8, 14)):
        found.grow()
    read = {name for node in q.nodes for name in node.input}
    for value, _ in found.values:
        if value not in read or between(rng, 0, 6) == 0:
            finish(q, rng, q.apply("Relu", [value]))
    return q.model()


@pytest.mark.parametrize("seed", range(10))
def test_random_network(seed: int) -> None:
    unsigned = seed % 2 == 1
    model = network(seed, unsigned)
    for chip_name in ("odd", ("nano", "u55-64", "edge", "odd packed")[seed % 4]):
        found = check(model, chip_name, seed)
        assert set(found.on_host) <= {"LayerNormalization", "QuantizeLinear", "DequantizeLinear"}
        assert found.reference_mismatches == 0, chip_name


@pytest.mark.parametrize("seed", range(10, 13))
def test_random_network_in_a_random_order(seed: int) -> None:
    found = check(network(seed, False), "odd", seed, mode="stepwise", trap=True, order=f"random:{seed}")
    assert found.reference_mismatches == 0


def test_a_tensor_beside_which_a_layer_finds_no_room_goes_to_dram() -> None:
    """Its network leaves six banks free in pieces of less than the four that a resident tensor wants."""
    found = check(network(50, False), "odd", 50)
    assert found.reference_mismatches == 0


@pytest.mark.parametrize("seed", range(13, 16))
def test_random_network_with_measured_plans(seed: int) -> None:
    found = check(network(seed, False), "odd", seed, measured=True)
    assert found.reference_mismatches == 0
