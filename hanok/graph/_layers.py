"""Layers of a QDQ model whose constant int8 weights can be refitted: their scales and biases."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, Operation, WorkingGraph

INT32_LIMIT = 2**31 - 1
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One Conv, ConvTranspose, Gemm or MatMul with its dequantisers."""

    operation: Operation
    x_scale: np.float32
    weight: Operation
    """The weight's DequantizeLinear, read by nothing else."""
    bias_dequantiser: Operation | None
    quantiser: Operation | None
    """The QuantizeLinear that alone reads the output, or None."""
    channels: int
    channel_axis: int
    taps_per_step: float
    """In how many outputs of a channel each input takes part."""

    @property
    def name(self) -> str:
        """The node's name, which is the float node's too."""
        return self.operation.name

    @property
    def output(self) -> str:
        """The raw output's tensor name."""
        return self.operation.outputs[0]

    @property
    def has_bias(self) -> bool:
        """Whether the operator can add a bias."""
        return self.operation.op_type != "MatMul"

    def scale(self, graph: WorkingGraph) -> FloatArray:
        """Weight scales, one or one a channel."""
        return graph.constants[self.weight.inputs[1]].astype(np.float64).reshape(-1)

    def bias(self, graph: WorkingGraph) -> FloatArray:
        """The real bias of each channel; zeros where there is none."""
        if self.bias_dequantiser is None:
            return np.zeros(self.channels)
        content, scale = (graph.constants[name].reshape(-1) for name in self.bias_dequantiser.inputs[:2])
        return content.astype(np.float64) * scale.astype(np.float64)

    def limits(self, graph: WorkingGraph) -> tuple[float, float]:
        """Real values at which the output's quantisation begins to clip."""
        if self.quantiser is None:
            return -np.inf, np.inf
        scale = float(graph.constants[self.quantiser.inputs[1]].reshape(-1)[0])
        zero = graph.constants[self.quantiser.inputs[2]].reshape(-1)[0]
        bounds = np.iinfo(zero.dtype)
        return (bounds.min - int(zero)) * scale, (bounds.max - int(zero)) * scale

    def output_step(self, graph: WorkingGraph) -> float:
        """One step of the output's quantisation; 1 where it stays float."""
        return (
            1.0 if self.quantiser is None else float(graph.constants[self.quantiser.inputs[1]].reshape(-1)[0])
        )

    def store(self, graph: WorkingGraph, scale: npt.NDArray[np.float32], bias: FloatArray) -> FloatArray:
        """Write new scales and bias into the graph; return the bias as its int32 form gives it."""
        old = graph.constants[self.weight.inputs[1]]
        self.weight.inputs[1] = graph.add_constant(self.weight.inputs[1], scale.reshape(old.shape))
        if not self.has_bias:
            return np.zeros(self.channels)
        unit = (self.x_scale * scale).astype(np.float32)
        steps = np.rint(bias / unit.astype(np.float64))
        content = np.clip(steps, -INT32_LIMIT, INT32_LIMIT).astype(np.int32)
        stem = f"{self.name}.bias"
        unit_shape = () if unit.size == 1 else (unit.size,)
        inputs = [
            graph.add_constant(f"{stem}_quantized", content),
            graph.add_constant(f"{stem}_scale", unit.reshape(unit_shape)),
            graph.add_constant(f"{stem}_zero_point", np.zeros(unit_shape, np.int32)),
        ]
        if self.bias_dequantiser is not None:
            self.bias_dequantiser.inputs = inputs
        else:
            output = graph.fresh(f"{stem}/dequantized")
            dequantiser = Operation.make(DEQUANTIZE, inputs, [output], f"{stem}_dequantizer", axis=0)
            graph.operations.insert(graph.operations.index(self.operation), dequantiser)
            self.operation.inputs = [*self.operation.inputs[:2], output]
        stored: FloatArray = content.astype(np.float64) * unit.astype(np.float64)
        return stored


def find_layers(graph: WorkingGraph) -> list[Layer]:
    """The layers that can be refitted, in topological order."""
    producers, consumers = graph.producers(), graph.consumers()
    layers = [_layer(graph, producers, consumers, operation) for operation in graph.operations]
    return [layer for layer in layers if layer is not None]


def _layer(
    graph: WorkingGraph,
    producers: dict[str, Operation],
    consumers: dict[str, list[Operation]],
    operation: Operation,
) -> Layer | None:
    if operation.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or operation.domain:
        return None
    if operation.op_type == "Gemm" and not _plain_gemm(operation):
        return None
    x, weight = (producers.get(name) for name in operation.inputs[:2])
    bias = producers.get(operation.input(2)) if operation.input(2) else None
    if not _is_own_constant(graph, consumers, weight) or (operation.input(2) and bias is None):
        return None
    if bias is not None and not _is_own_constant(graph, consumers, bias):
        return None
    if x is None or x.op_type != DEQUANTIZE or x.inputs[0] in graph.constants:
        return None
    assert weight is not None, "a constant weight has a dequantiser"
    scale = graph.constants[weight.inputs[1]]
    channel_axis = 1 if operation.op_type.startswith("Conv") else len(graph.shape(operation.outputs[0])) - 1
    channels = graph.shape(operation.outputs[0])[channel_axis]
    if scale.size not in (1, channels):
        return None
    readers = consumers.get(operation.outputs[0], [])
    alone = len(readers) == 1 and readers[0].op_type == QUANTIZE and operation.outputs[0] not in graph.outputs
    return Layer(
        operation,
        np.float32(graph.constants[x.inputs[1]].reshape(-1)[0]),
        weight,
        bias,
        readers[0] if alone else None,
        channels,
        channel_axis,
        _taps_per_step(operation, graph.constants[weight.inputs[0]]),
    )


def _plain_gemm(operation: Operation) -> bool:
    return operation.real("alpha", 1.0) == 1.0 and operation.real("beta", 1.0) == 1.0


def _is_own_constant(
    graph: WorkingGraph, consumers: dict[str, list[Operation]], dequantiser: Operation | None
) -> bool:
    """Whether this dequantises a constant, with constant scales, for one reader only."""
    if dequantiser is None or dequantiser.op_type != DEQUANTIZE:
        return False
    constant = all(name in graph.constants for name in dequantiser.inputs)
    return constant and len(consumers.get(dequantiser.outputs[0], [])) == 1


def _taps_per_step(operation: Operation, weight: Array) -> float:
    if operation.op_type != "Conv":
        return 1.0
    taps = prod(weight.shape[2:]) / prod(operation.integers("strides", [1]))
    return float(max(1.0, taps))
