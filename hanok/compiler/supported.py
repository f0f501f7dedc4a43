"""What the NPU can run: one constraint a function; its docstring is its error message and its manual line."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from hanok.graph import (
    AxesAttributes,
    ConvAttributes,
    DType,
    Graph,
    Node,
    Operator,
    PoolAttributes,
    ResizeAttributes,
    SliceAttributes,
)

Constraint = Callable[[Graph, Node], bool]
MAX_RANK = 8
MOST_SUMMED = 65535
"""255 times this is below 2**24, and a reduce loop counts no further."""


def int8_tensors(graph: Graph, node: Node) -> bool:
    """Data inputs and outputs are int8 tensors with scales (biases int32)"""
    if node.operator in (Operator.QUANTIZE, Operator.DEQUANTIZE):
        return True
    names = [*node.inputs, *node.outputs]
    allowed = (DType.INT8, DType.INT32)
    return all(graph.tensor(name).dtype in allowed for name in names if name)


def int8_operands(graph: Graph, node: Node) -> bool:
    """Operands are int8 tensors with scales (biases int32); the result is int8 too, or float32"""
    allowed = (DType.INT8, DType.INT32)
    return all(graph.tensor(name).dtype in allowed for name in node.inputs if name)


def real_or_int8(graph: Graph, node: Node) -> bool:
    """Data inputs and outputs are int8 tensors with scales, or float32 tensors"""
    names = [*node.inputs, *node.outputs]
    allowed = (DType.INT8, DType.INT32, DType.FLOAT32)
    return all(graph.tensor(name).dtype in allowed for name in names if name)


def finite_size(graph: Graph, node: Node) -> bool:
    """No tensor is empty, has more than 8 axes, or more than 2 GiB of elements"""
    tensors = [graph.tensor(name) for name in (*node.inputs, *node.outputs) if name]
    return all(0 < t.elements < 1 << 31 and len(t.shape) <= MAX_RANK for t in tensors)


def per_tensor_activations(graph: Graph, node: Node) -> bool:
    """Activations have one scale and zero point for the whole tensor"""
    names = [name for name in (*node.inputs[:1], *node.outputs) if name]
    quantizations = [graph.tensor(name).quantization for name in names]
    return all(q is None or (q.per_tensor and q.zero_point.size == 1) for q in quantizations)


def constant_weights(graph: Graph, node: Node) -> bool:
    """Weights and biases are constants"""
    return all(graph.tensor(name).data is not None for name in node.inputs[1:] if name)


def plain_activation(graph: Graph, node: Node) -> bool:
    """The first input is not a constant"""
    return graph.tensor(node.inputs[0]).data is None


def image_of_rank_4(graph: Graph, node: Node) -> bool:
    """The input is [N, C, H, W]"""
    return len(graph.tensor(node.inputs[0]).shape) == 4


def weights_or_activation(graph: Graph, node: Node) -> bool:
    """The second input is a constant matrix [K, N], or an activation with one scale; a bias is constant"""
    right = graph.tensor(node.inputs[1])
    if right.data is not None:
        return len(right.shape) == 2 and constant_weights(graph, node)
    quantization = right.quantization
    one = quantization is not None and quantization.per_tensor and quantization.zero_point.size == 1
    return one and len(right.shape) >= 2 and len(node.inputs) == 2


def strides_and_taps(graph: Graph, node: Node) -> bool:
    """Kernel axes are within 1..65535 taps, strides and dilations at least 1"""
    attributes = node.attributes
    assert isinstance(attributes, (ConvAttributes, PoolAttributes)), f"{node.name}: not a window"
    numbers = (*attributes.kernel, *attributes.strides, *attributes.dilations)
    return all(1 <= number <= 65535 for number in numbers)


def one_activation(graph: Graph, node: Node) -> bool:
    """At least one operand is an activation"""
    return any(graph.tensor(name).data is None for name in node.inputs)


def same_scale_pool(graph: Graph, node: Node) -> bool:
    """Maximum pooling has the same scale and zero point before and after"""
    before, after = graph.tensor(node.inputs[0]).quantization, graph.tensor(node.outputs[0]).quantization
    if before is None or after is None:
        return False
    same_zero = np.array_equal(before.zero_point, after.zero_point)
    return bool(same_zero and np.array_equal(before.scale, after.scale))


def some_axes(graph: Graph, node: Node) -> bool:
    """At least one axis is reduced"""
    return isinstance(node.attributes, AxesAttributes) and bool(node.attributes.axes)


def exact_sums(graph: Graph, node: Node) -> bool:
    """A mean is of at most 65535 elements, so that float32 holds every sum exactly"""
    attributes = node.attributes
    if isinstance(attributes, PoolAttributes):
        return attributes.kernel[0] * attributes.kernel[1] <= MOST_SUMMED
    assert isinstance(attributes, AxesAttributes), f"{node.name}: no axes"
    shape = graph.tensor(node.inputs[0]).shape
    return prod(shape[axis] for axis in attributes.axes) <= MOST_SUMMED


def one_axis(graph: Graph, node: Node) -> bool:
    """Softmax runs along one axis"""
    attributes = node.attributes
    return isinstance(attributes, AxesAttributes) and len(attributes.axes) == 1


def one_or_two_taps(graph: Graph, node: Node) -> bool:
    """Resizing is nearest or linear: at most two taps along each axis"""
    attributes = node.attributes
    assert isinstance(attributes, ResizeAttributes), f"{node.name}: not a resize"
    most: int = max(attributes.rows.shape[1], attributes.columns.shape[1])
    return most <= 2


def forward_steps(graph: Graph, node: Node) -> bool:
    """Slices step forwards or backwards by a constant"""
    return isinstance(node.attributes, SliceAttributes) and all(step != 0 for step in node.attributes.steps)


_ALWAYS: tuple[Constraint, ...] = (int8_tensors, finite_size, per_tensor_activations)
_MOVED: tuple[Constraint, ...] = (real_or_int8, finite_size, per_tensor_activations)
_PRODUCT: tuple[Constraint, ...] = (int8_operands, finite_size, per_tensor_activations)
_WINDOW: tuple[Constraint, ...] = (image_of_rank_4, strides_and_taps)
CONSTRAINTS: dict[Operator, tuple[Constraint, ...]] = {
    Operator.CONV: (*_PRODUCT, plain_activation, constant_weights, *_WINDOW),
    Operator.CONV_TRANSPOSE: (*_PRODUCT, plain_activation, constant_weights, *_WINDOW),
    Operator.MATMUL: (*_PRODUCT, plain_activation, weights_or_activation),
    Operator.ADD: (*_ALWAYS, one_activation),
    Operator.SUB: (*_ALWAYS, one_activation),
    Operator.MUL: (*_ALWAYS, one_activation),
    Operator.DIV: (*_ALWAYS, one_activation),
    Operator.LOOKUP: _ALWAYS,
    Operator.MAX_POOL: (*_ALWAYS, *_WINDOW, same_scale_pool),
    Operator.AVERAGE_POOL: (*_ALWAYS, *_WINDOW, exact_sums),
    Operator.REDUCE_MEAN: (*_ALWAYS, some_axes, exact_sums),
    Operator.SOFTMAX: (*_ALWAYS, one_axis),
    Operator.CONCAT: _MOVED,
    Operator.SLICE: (*_MOVED, forward_steps),
    Operator.PAD: _MOVED,
    Operator.RESHAPE: _MOVED,
    Operator.TRANSPOSE: _MOVED,
    Operator.FORMULA: _MOVED,
    Operator.RESIZE: (*_ALWAYS, image_of_rank_4, one_or_two_taps),
}


HOST_REASONS = {
    "Gather": "Gather by indices that are no constants: the load engine has no indirect addresses",
    "GatherND": "GatherND by indices that are no constants: the load engine has no indirect addresses",
    "Cast": "Cast of integers or truth values, which the host has",
    "And": "logic of truth values that the host has",
}
"""Why the host keeps operators that users ask about."""


def constraints_in_order(*groups: tuple[Constraint, ...]) -> list[Constraint]:
    """Every constraint of the groups once, in order of first appearance."""
    return list(dict.fromkeys(constraint for group in groups for constraint in group))


def reason_for_host(graph: Graph, node: Node) -> str | None:
    """Why `node` must run on the host, or None if the NPU runs it."""
    if node.operator is Operator.HOST:
        return HOST_REASONS.get(node.onnx_type, f"{node.onnx_type} has no form on the NPU")
    constraints = CONSTRAINTS.get(node.operator)
    if constraints is None:
        return f"{node.onnx_type or node.operator.value} is a border between float and int8"
    for constraint in constraints:
        if not constraint(graph, node):
            return f"{node.onnx_type}: not true that: {constraint.__doc__}"
    return None
