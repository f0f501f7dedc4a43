"""Operands of single products in two parts, for the few whose eight bits ruin a model.

An operand becomes its int8 form and what that leaves over, in int8 again; the product is the sum of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from hanok.graph._calibration import Sample
from hanok.graph._layers import find_layers
from hanok.graph._quantise_select import PRODUCTS, Range
from hanok.graph._repair import signal_to_noise_db
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, Operation, WorkingGraph, from_model, to_model

MOST_ROUNDS = 4
JUDGED_SAMPLES = 2
"""Samples on which each operand's noise is measured."""


@dataclass(frozen=True)
class SplitOperand:
    """An operand in two parts: of which product, which of its inputs, and its noise under the signal."""

    product: str
    position: int
    noise_db: float


def split_operands(
    float_graph: WorkingGraph,
    quantised: ModelProto,
    samples: Sequence[Sample],
    wanted: Sequence[dict[str, Array]],
    ranges: Mapping[str, Range],
    goal_db: float,
) -> tuple[ModelProto, list[SplitOperand]]:
    """Put the noisiest operands in two parts until the outputs reach `goal_db` on the samples.

    `ranges` are the smallest and largest values of the float activations.
    """
    reached = signal_to_noise_db(wanted, quantised, samples)
    if reached >= goal_db:
        return quantised, []
    graph = _graph_of(quantised)
    waiting = _noise_of_operands(float_graph, graph, samples[:JUDGED_SAMPLES], wanted[:JUDGED_SAMPLES])
    splitter = _Splitter(float_graph, graph, ranges)
    done: list[SplitOperand] = []
    for _ in range(MOST_ROUNDS):
        expected, goal = 10 ** (-reached / 10), 10 ** (-goal_db / 10)
        while waiting and expected > goal:
            operand = waiting.pop(0)
            expected -= 10 ** (operand.noise_db / 10)
            splitter.split(operand)
            done.append(operand)
        reached = signal_to_noise_db(wanted, to_model(graph), samples)
        if reached >= goal_db or not waiting:
            break
    infer_shapes(graph)
    return to_model(graph), done


def _graph_of(quantised: ModelProto) -> WorkingGraph:
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    return graph


def _noise_of_operands(
    float_graph: WorkingGraph,
    graph: WorkingGraph,
    samples: Sequence[Sample],
    wanted: Sequence[dict[str, Array]],
) -> list[SplitOperand]:
    """Every operand with the noise that its eight bits alone bring into the outputs, most first."""
    producers = graph.producers()
    sources = {operation.name: operation for operation in float_graph.operations}
    found: list[SplitOperand] = []
    for operation in graph.operations:
        if operation.op_type not in PRODUCTS or operation.name not in sources:
            continue
        for position in (0, 1):
            maker = producers.get(operation.inputs[position])
            if maker is None or maker.op_type != DEQUANTIZE:
                continue
            model = _with_one_rounded(float_graph, sources[operation.name], position, graph, maker)
            noise_db = -signal_to_noise_db(wanted, model, samples)
            found.append(SplitOperand(operation.name, position, noise_db))
    return sorted(found, key=lambda operand: -operand.noise_db)


def _with_one_rounded(
    float_graph: WorkingGraph, source: Operation, position: int, graph: WorkingGraph, maker: Operation
) -> ModelProto:
    """The float model with one operand of one product as int8 gives it back."""
    old_inputs, old_operations = source.inputs, float_graph.operations
    known = dict(float_graph.constants)
    name = source.inputs[position]
    try:
        parameters = [float_graph.add_constant(part, graph.constants[part]) for part in maker.inputs[1:]]
        rounded = float_graph.fresh(f"{name}/rounded")
        if maker.inputs[0] in graph.constants:
            stored = float_graph.add_constant(name, graph.constants[maker.inputs[0]])
            before = []
        else:
            stored = float_graph.fresh(f"{name}/stored")
            before = [Operation.make(QUANTIZE, [name, *parameters], [stored], f"{stored}/quantise")]
        after = Operation(
            DEQUANTIZE, [stored, *parameters], [rounded], dict(maker.attributes), f"{rounded}/dequantise"
        )
        source.inputs = [rounded if i == position else item for i, item in enumerate(old_inputs)]
        place = old_operations.index(source)
        float_graph.operations = [*old_operations[:place], *before, after, *old_operations[place:]]
        return to_model(float_graph)
    finally:
        source.inputs, float_graph.operations, float_graph.constants = old_inputs, old_operations, known


class _Splitter:
    """Adds second products to a quantised graph."""

    def __init__(self, float_graph: WorkingGraph, graph: WorkingGraph, ranges: Mapping[str, Range]) -> None:
        self.float_graph = float_graph
        self.graph = graph
        self.ranges = ranges
        self.sources = {operation.name: operation for operation in float_graph.operations}
        self.layers = {layer.name: layer for layer in find_layers(graph)}
        self.rests: dict[str, str] = {}

    def split(self, operand: SplitOperand) -> None:
        """Add the product of what the operand's int8 form leaves over."""
        graph = self.graph
        operation = next(item for item in graph.operations if item.name == operand.product)
        maker = graph.producers()[operation.inputs[operand.position]]
        if maker.inputs[0] in graph.constants:
            rest = self._rest_of_weight(operation, operand.position, maker)
        else:
            rest = self._rest_of_activation(operation, maker)
        inputs = [rest if i == operand.position else name for i, name in enumerate(operation.inputs[:2])]
        output = operation.outputs[0]
        parts = [graph.fresh(f"{output}/part") for _ in (0, 1)]
        for part in parts:
            graph.note(part, graph.shape(output), graph.types[output])
        operation.outputs = [parts[0]]
        second = Operation(
            operation.op_type,
            inputs,
            [parts[1]],
            dict(operation.attributes),
            f"{operation.name}/rest{operand.position}",
        )
        total = Operation.make("Add", parts, [output], f"{operation.name}/parts{operand.position}")
        place = graph.operations.index(operation) + 1
        graph.operations[place:place] = [second, total]

    def _rest_of_activation(self, operation: Operation, maker: Operation) -> str:
        """x less its int8 form, in steps that also cover what the range cut off."""
        if maker.outputs[0] in self.rests:
            return self.rests[maker.outputs[0]]
        graph = self.graph
        quantiser = graph.producers()[maker.inputs[0]]
        source = quantiser.inputs[0]
        scale, zero = (graph.constants[name] for name in maker.inputs[1:3])
        bounds = np.iinfo(zero.dtype)
        low, high = self.ranges.get(source, (0.0, 0.0))
        ends = [
            (bound - int(zero.reshape(-1)[0])) * float(scale.reshape(-1)[0])
            for bound in (bounds.min, bounds.max)
        ]
        reach = max(float(scale.reshape(-1)[0]) / 2, ends[0] - low, high - ends[1])
        rest = graph.fresh(f"{source}/rest")
        graph.note(rest, graph.shape(source), graph.types[source])
        subtract = Operation.make("Sub", [source, maker.outputs[0]], [rest], f"{rest}/difference")
        pair, result = self._pair(rest, np.full(scale.shape, reach / 127, np.float32), np.zeros_like(zero))
        place = graph.operations.index(maker) + 1
        graph.operations[place:place] = [subtract, *pair]
        self.rests[maker.outputs[0]] = result
        return result

    def _pair(self, source: str, scale: Array, zero: Array) -> tuple[list[Operation], str]:
        graph = self.graph
        names = [graph.add_constant(f"{source}/scale", scale), graph.add_constant(f"{source}/zero", zero)]
        stored, result = graph.fresh(f"{source}/stored"), graph.fresh(f"{source}/dequantized")
        quantise = Operation.make(QUANTIZE, [source, *names], [stored], f"{stored}/quantise")
        return [
            quantise,
            Operation.make(DEQUANTIZE, [stored, *names], [result], f"{result}/dequantise"),
        ], result

    def _rest_of_weight(self, operation: Operation, position: int, maker: Operation) -> str:
        """The float weight less its int8 form, with scales of its own; the bias as it was in float."""
        graph = self.graph
        self._restore_bias(operation)
        weight = self.float_graph.constants[self.sources[operation.name].inputs[position]]
        content, scale = (graph.constants[name] for name in maker.inputs[:2])
        axis = maker.integer("axis", 1) % weight.ndim
        shape = [1] * weight.ndim
        if scale.size > 1:
            shape[axis] = scale.size
        rest = weight.astype(np.float64) - content * scale.astype(np.float64).reshape(shape)
        others = tuple(i for i in range(weight.ndim) if scale.size == 1 or i != axis)
        largest = np.abs(rest).max(axis=others).reshape(scale.shape)
        step = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
        stored = np.clip(np.rint(rest / step.reshape(shape)), -127, 127).astype(np.int8)
        names = [
            graph.add_constant(f"{maker.inputs[0]}/rest", stored),
            graph.add_constant(f"{maker.inputs[1]}/rest", step),
            graph.add_constant(f"{maker.inputs[2]}/rest", np.zeros(step.shape, np.int8)),
        ]
        result = graph.fresh(f"{maker.outputs[0]}/rest")
        dequantise = Operation(DEQUANTIZE, names, [result], dict(maker.attributes), f"{result}/dequantise")
        graph.operations.insert(graph.operations.index(operation), dequantise)
        return result

    def _restore_bias(self, operation: Operation) -> None:
        """Take back what repair put into the bias for the weight's rounding."""
        layer = self.layers.get(operation.name)
        if layer is None or not operation.input(2):
            return
        name = self.sources[operation.name].input(2)
        bias = np.zeros(layer.channels) if not name else self.float_graph.constants[name].astype(np.float64)
        layer.store(self.graph, layer.scale(self.graph).astype(np.float32), bias)
