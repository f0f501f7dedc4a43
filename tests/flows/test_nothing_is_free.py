"""Nothing is free: bytes moved against the bytes that must move, and busy cycles against the work.

The bounds come from the ONNX model alone, with onnx's own shape inference; nothing here asks the compiler
what a layer costs. They hold on every topology and chip, in both directions: a transfer or operator that is
forgotten falls below the lower bound, and bytes that are fetched again and again rise above the upper one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from hanok.dram import get_standard
from hanok.flows.compile_and_run import compile_model
from hanok.graph import topologies
from hanok.graph.quantise import quantise_model
from hanok.isa import Opcode, Program, Source, Unit, decode
from hanok.machine import Chip
from hanok.numerics.huffman import histogram
from hanok.simulator.counters import Timing
from hanok.simulator.engine import simulate

MODELS: dict[str, Callable[[], ModelProto]] = {
    "autoencoder": topologies.autoencoder,
    "ds_cnn": topologies.ds_cnn,
    "espcn": lambda: topologies.espcn(height=24, width=32),
    "mobilenet_v1": lambda: topologies.mobilenet_v1(alpha=0.25, image=64, classes=10),
    "mobilenet_v2": lambda: topologies.mobilenet_v2(image=32, classes=10),
    "mobilenet_v3_small": lambda: topologies.mobilenet_v3_small(image=64, classes=10),
    "resnet8": topologies.resnet8,
    "resnet18": lambda: topologies.resnet18(image=32, classes=10),
    "unet": lambda: topologies.unet(image=32, channels=8, depth=2),
}
CHIPS = ("nano", "edge", "u55-128")
"""Little SRAM; much SRAM; a decoder of packed weights."""
CASES = [(name, chip) for name in MODELS for chip in CHIPS if chip == "edge" or name != "resnet18"]
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")
PARAMETER_BYTES = 8
"""A bias and a scale for each output channel."""
EXCESS = {"nano": 1.5, "edge": 1.1, "u55-128": 1.0}
"""Bytes that LOAD and STORE may move, by those of a machine that keeps nothing between two layers."""


@dataclass(frozen=True)
class Work:
    """What a model asks for, whatever runs it."""

    weight_bytes: int
    packed_weight_bytes: int
    """The least that any code of single bytes, one for each tensor, can make of the weights (Shannon)."""
    input_bytes: int
    output_bytes: int
    unfused_bytes: int
    """Weights, biases, scales, inputs and outputs of every operator that computes, each once."""
    macs: int
    vector_elements: int
    """Sums that must be requantised, and elements under the windows of pooling."""
    added_elements: int
    """Elements of the results of Add and Mul of two activations."""


@dataclass(frozen=True)
class Case:
    """A compiled model, its timing and its work."""

    chip: Chip
    program: Program
    timing: Timing
    work: Work


def _entropy_bytes(weights: np.ndarray) -> int:
    counts = histogram(np.ascontiguousarray(weights).view(np.uint8).reshape(-1)).astype(np.float64)
    share = counts[counts > 0] / counts.sum()
    return int(-(share * np.log2(share)).sum() * weights.size / 8)


class _Model:
    """A QDQ model with its shapes and constants by name."""

    def __init__(self, model: ModelProto) -> None:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        self.graph = inferred.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        values = (*self.graph.value_info, *self.graph.input, *self.graph.output)
        self.shapes = {
            value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim) for value in values
        }
        self.maker = {name: node for node in self.graph.node for name in node.output}

    def size(self, name: str) -> int:
        return prod(self.shapes[name])

    def activation_bytes(self, node: NodeProto) -> int:
        """int8 bytes of the activations that a node reads and writes."""
        read = [name for name in node.input if name and not self._constant(name)]
        return sum(self.size(name) for name in (*dict.fromkeys(read), node.output[0]))

    def _constant(self, name: str) -> bool:
        maker = self.maker.get(name)
        return name in self.constants or (maker is not None and maker.input[0] in self.constants)

    def weights(self, node: NodeProto) -> np.ndarray | None:
        """The stored weights of a matrix operator; None where both operands are activations."""
        source = self.maker.get(node.input[1])
        return self.constants.get(source.input[0]) if source is not None else None

    def matrix_nodes(self) -> Iterator[tuple[NodeProto, np.ndarray]]:
        for node in self.graph.node:
            if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
                weights = self.weights(node)
                assert weights is not None
                yield node, weights


def _macs(model: _Model, node: NodeProto, weights: np.ndarray) -> int:
    """Products of whole windows (those on padding included)."""
    positions = model.shapes[node.output[0]]
    match node.op_type:
        case "Conv":
            return prod(positions) * prod(weights.shape[1:])
        case "ConvTranspose":
            return prod(model.shapes[node.input[0]]) * prod(weights.shape[1:])
        case _:
            return prod(positions) * (weights.size // positions[-1])


def _window(model: _Model, node: NodeProto) -> int:
    """Elements that a pooling node or a mean looks at, without overlaps counted by padding."""
    if node.op_type == "MaxPool":
        kernel = next(
            list(attribute.ints) for attribute in node.attribute if attribute.name == "kernel_shape"
        )
        return min(model.size(node.output[0]) * prod(kernel) // 2, model.size(node.input[0]))
    return model.size(node.input[0])


def _work(content: ModelProto) -> Work:
    model = _Model(content)
    matrix = list(model.matrix_nodes())
    pools = [node for node in model.graph.node if node.op_type in POOLS]
    pairs = [
        node
        for node in model.graph.node
        if node.op_type in ("Add", "Mul") and all(model.size(name) > 1 for name in node.input)
    ]
    weight_bytes = sum(weights.size for _, weights in matrix)
    computing = [*(node for node, _ in matrix), *pools, *pairs]
    return Work(
        weight_bytes=weight_bytes,
        packed_weight_bytes=sum(_entropy_bytes(weights) for _, weights in matrix),
        input_bytes=sum(model.size(value.name) for value in model.graph.input),
        output_bytes=sum(model.size(value.name) for value in model.graph.output),
        unfused_bytes=weight_bytes
        + sum(PARAMETER_BYTES * model.shapes[node.output[0]][1] for node, _ in matrix)
        + sum(model.activation_bytes(node) for node in computing),
        macs=sum(_macs(model, *pair) for pair in matrix),
        vector_elements=sum(model.size(node.output[0]) for node, _ in matrix)
        + sum(_window(model, node) for node in pools),
        added_elements=sum(model.size(node.output[0]) for node in pairs),
    )


@pytest.fixture(scope="module")
def quantised() -> dict[str, ModelProto]:
    return {}


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, quantised: dict[str, ModelProto]) -> Case:
    name, chip_name = request.param
    if name not in quantised:
        quantised[name] = quantise_model(MODELS[name](), seed=0, repair=False).model
    chip, model = Chip.load(chip_name), quantised[name]
    program = compile_model(model.SerializeToString(), chip, no_host=True)
    (stage,) = program.npu_stages
    timing = simulate(stage.code, chip, code_address=stage.code_address)
    return Case(chip, program, timing, _work(model))


def _compulsory(case: Case) -> int:
    packed = case.chip.core.dma.expand_lanes > 0
    work = case.work
    return work.packed_weight_bytes if packed else work.weight_bytes


def test_every_weight_and_input_is_read_and_every_output_written(case: Case) -> None:
    assert case.timing.load_bytes >= _compulsory(case) + case.work.input_bytes
    assert case.timing.store_bytes >= case.work.output_bytes


def test_little_is_read_twice(case: Case) -> None:
    timing = case.timing
    assert timing.load_bytes + timing.store_bytes <= EXCESS[case.chip.name] * case.work.unfused_bytes


def test_bytes_of_instructions_engines_and_memory_are_the_same(case: Case) -> None:
    timing = case.timing
    (stage,) = case.program.npu_stages
    standard = get_standard(case.chip.memory.standard)
    moved = {unit: int(timing.transferred_bytes[timing.unit == unit].sum()) for unit in Unit}
    assert moved == {
        Unit.LOAD: timing.load_bytes,
        Unit.STORE: timing.store_bytes,
        Unit.MATRIX: 0,
        Unit.VECTOR: 0,
    }
    assert timing.fetch_bytes >= len(stage.code)
    assert timing.dram.reads * standard.burst_bytes == timing.load_bytes + timing.fetch_bytes
    assert timing.dram.writes * standard.burst_bytes == timing.store_bytes


def test_memory_is_not_faster_than_its_bus(case: Case) -> None:
    memory, timing = case.chip.memory, case.timing
    rate = get_standard(memory.standard).peak_bytes_per_second * memory.channels / (case.chip.clock_mhz * 1e6)
    assert timing.cycles >= (timing.dram_read_bytes + timing.dram_write_bytes) / rate


def test_every_product_takes_a_multiplier_for_a_cycle(case: Case) -> None:
    timing, work = case.timing, case.work
    assert sum(layer.macs for layer in case.program.layers) == work.macs
    assert timing.macs >= work.macs
    assert timing.array_slots >= timing.macs
    assert _busy(timing, Unit.MATRIX) >= work.macs / case.chip.core.matrix.macs


def test_requantisation_and_pooling_take_lanes(case: Case) -> None:
    lanes = case.chip.core.vector.lanes
    assert _busy(case.timing, Unit.VECTOR) >= case.work.vector_elements / lanes


def test_additions_read_a_second_operand(case: Case) -> None:
    """Fused or not: so many elements go through chains that read two activations."""
    (stage,) = case.program.npu_stages
    chains = decode(stage.code).records["vector"]
    chains = chains[chains["opcode"] == Opcode.CHAIN]
    loops = ("outer_2", "outer_1", "outer_0", "inner")
    elements = np.prod([chains[name].astype(np.int64) for name in loops], axis=0)
    paired = (chains["kind_1"] == Source.INT8) | (chains["kind_2"] == Source.INT8)
    assert elements[paired].sum() >= case.work.added_elements


def _busy(timing: Timing, unit: Unit) -> int:
    return int(timing.active_cycles_of[timing.unit == unit].sum())


def _quantise_dequantise(name: str, output: str) -> list[NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [output]),
    ]


def test_concatenation_moves_its_operands() -> None:
    """Of inputs of the graph: there is no layer before, which could write to the right place."""
    shape, joined = (1, 24, 10, 6), (1, 48, 10, 6)
    graph = helper.make_graph(
        [
            *(node for name in "ab" for node in _quantise_dequantise(name, f"{name}_d")),
            helper.make_node("Concat", ["a_d", "b_d"], ["c"], axis=1),
            *_quantise_dequantise("c", "y"),
        ],
        "joined",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "ab"],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, joined)],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, (), [0.5]),
            helper.make_tensor("zero", TensorProto.INT8, (), [3]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    chip = Chip.load("edge")
    program = compile_model(model.SerializeToString(), chip, no_host=True)
    timings = [simulate(stage.code, chip, code_address=stage.code_address) for stage in program.npu_stages]
    assert sum(timing.load_bytes for timing in timings) >= 2 * prod(shape)
    assert sum(timing.store_bytes for timing in timings) >= prod(joined)
