"""From the normalised working graph to the typed graph: int8 nodes where they exist, HOST nodes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from hanok.graph._affine import constant_value
from hanok.graph._convert_float import float_nodes, settle_borders
from hanok.graph._float_form import float_form
from hanok.graph._match import QMAX, QMIN, Context, Match
from hanok.graph._match_elementwise import match_binary, match_table
from hanok.graph._match_layout import (
    match_concat,
    match_depth_to_space,
    match_expand,
    match_gather,
    match_pad,
    match_reshape,
    match_slice,
    match_space_to_depth,
    match_split,
    match_transpose,
)
from hanok.graph._match_matrix import match_convolution, match_gemm, match_matmul
from hanok.graph._match_pools import match_pool, match_reduce_mean, match_softmax
from hanok.graph._match_resize import match_resize
from hanok.graph._quantized import read_border
from hanok.graph._tidy import tidy
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Operation, WorkingGraph
from hanok.graph.ir import DType, Graph, Node, Operator, Tensor

_MATCHERS: dict[str, Callable[[Context, Match], list[Node] | None]] = {
    "Add": match_binary,
    "AveragePool": match_pool,
    "Concat": match_concat,
    "Conv": match_convolution,
    "ConvTranspose": match_convolution,
    "DepthToSpace": match_depth_to_space,
    "Div": match_binary,
    "Expand": match_expand,
    "Flatten": match_reshape,
    "Gather": match_gather,
    "Gemm": match_gemm,
    "GlobalAveragePool": match_pool,
    "GlobalMaxPool": match_pool,
    "MatMul": match_matmul,
    "MaxPool": match_pool,
    "Mul": match_binary,
    "Pad": match_pad,
    "ReduceMean": match_reduce_mean,
    "Reshape": match_reshape,
    "Resize": match_resize,
    "Slice": match_slice,
    "Softmax": match_softmax,
    "SpaceToDepth": match_space_to_depth,
    "Split": match_split,
    "Squeeze": match_reshape,
    "Sub": match_binary,
    "Tile": match_expand,
    "Transpose": match_transpose,
    "Unsqueeze": match_reshape,
}
_DTYPES = {
    TensorProto.FLOAT: DType.FLOAT32,
    TensorProto.INT64: DType.INT64,
    TensorProto.INT32: DType.INT32,
    TensorProto.BOOL: DType.BOOL,
}
_MAX_FOLDED_ELEMENTS = 1 << 20
"""Constants up to this size are dequantised at import; larger ones keep their DQ on the host."""


def convert(working: WorkingGraph) -> Graph:
    """Convert from the outputs to the inputs, so that only what is needed appears."""
    context = Context.of(working)
    demanded = set(working.outputs)
    reversed_nodes: list[Node] = []
    for operation in reversed(working.operations):
        if demanded.isdisjoint(operation.outputs):
            continue
        for node in reversed(_nodes_of(context, operation)):
            reversed_nodes.append(node)
            demanded.update(node.inputs)
    tidied = tidy(reversed_nodes[::-1], context.tensors, tuple(working.outputs))
    tidied = settle_borders(context, tidied)
    nodes = tuple(_with_float_form(context, node) for node in tidied)
    used = dict.fromkeys(
        [*working.inputs, *(n for node in nodes for n in [*node.inputs, *node.outputs]), *working.outputs]
    )
    return Graph(
        working.name,
        {name: _tensor(context, name) for name in used if name},
        nodes,
        tuple(working.inputs),
        tuple(working.outputs),
        working.opset,
        working.ir_version,
        {domain: version for domain, version in sorted(working.domains.items()) if domain},
    )


def _with_float_form(context: Context, node: Node) -> Node:
    """The node with the NodeProtos that define it on the host."""
    if node.operator in (Operator.HOST, Operator.QUANTIZE, Operator.DEQUANTIZE, Operator.FORMULA):
        return node
    tensors = [context.tensors[name] for name in node.inputs]
    protos = float_form(node, tensors, context.tensors[node.outputs[0]], context.working.opset)
    return replace(node, onnx_nodes=tuple(proto.SerializeToString(deterministic=True) for proto in protos))


def _nodes_of(context: Context, operation: Operation) -> list[Node]:
    border = read_border(context.working, operation)
    if border is not None and border.is_activation:
        if operation.op_type == QUANTIZE:
            output = context.activation(operation.outputs[0], border)
            nodes = _match(context, operation, output)
            return nodes or [_border_node(context, operation, Operator.QUANTIZE)]
        if operation.inputs[0] not in context.working.constants:
            context.activation(operation.inputs[0], border)
            return [_border_node(context, operation, Operator.DEQUANTIZE)]
    if _becomes_constant(context, operation):
        return []
    return float_nodes(context, operation, _MATCHERS) or [_host_node(context, operation)]


def _becomes_constant(context: Context, operation: Operation) -> bool:
    """Turn the DQ of a small constant, which a host operator reads, into a float constant."""
    content = context.working.constant(operation.inputs[0]) if operation.inputs else None
    if operation.op_type != DEQUANTIZE or content is None or content.size > _MAX_FOLDED_ELEMENTS:
        return False
    real = constant_value(context.working, context.producers, operation.outputs[0])
    if real is None:
        return False
    context.working.constants[operation.outputs[0]] = real
    return True


def _match(context: Context, quantizer: Operation, output: Tensor) -> list[Node] | None:
    """The int8 nodes that compute a Q's output, or None."""
    value, low, high = _behind_activations(context, quantizer.inputs[0])
    core = context.producers.get(value)
    if core is None:
        return None
    if not core.domain and core.op_type in _MATCHERS:
        clamp = _stored_clamp(output, low, high)
        nodes = _MATCHERS[core.op_type](context, Match(quantizer, core, value, output, clamp))
        if nodes:
            return nodes
    last = context.producers[quantizer.inputs[0]]
    return match_table(context, Match(quantizer, last, quantizer.inputs[0], output))


def _behind_activations(context: Context, value: str) -> tuple[str, float, float]:
    """Walk up through Relu and Clip; return the value before them and the range that they leave."""
    low, high = -np.inf, np.inf
    while True:
        maker = context.producers.get(value)
        bounds = None if maker is None else _bounds(context.working, maker)
        if maker is None or bounds is None:
            return value, low, high
        low, high = (float(np.clip(bound, low, high)) for bound in bounds)
        value = maker.inputs[0]


def _bounds(working: WorkingGraph, operation: Operation) -> tuple[float, float] | None:
    """The range of a Relu or a constant Clip, None for any other operation."""
    if operation.domain or operation.op_type not in ("Relu", "Clip"):
        return None
    if operation.op_type == "Relu":
        return 0.0, np.inf
    found = []
    for position, default in ((1, -np.inf), (2, np.inf)):
        content = working.constant(operation.input(position))
        if operation.input(position) and (content is None or content.size != 1):
            return None
        found.append(default if content is None else float(content.reshape(-1)[0]))
    return (found[0], found[1]) if found[0] <= found[1] else None


def _stored_clamp(output: Tensor, low: float, high: float) -> tuple[int, int]:
    assert output.quantization is not None, f"int8 tensor {output.name} has no quantization"
    scale, zero = output.quantization.scalar_scale, output.quantization.scalar_zero
    limits = []
    for bound, limit in ((low, QMIN), (high, QMAX)):
        stored = limit if np.isinf(bound) else float(np.rint(np.float32(bound) / scale)) + zero
        limits.append(int(min(max(stored, QMIN), QMAX)))
    return limits[0], limits[1]


def _border_node(context: Context, operation: Operation, operator: Operator) -> Node:
    name = context._node_name(operation.name or f"{operation.op_type}:{operation.outputs[0]}")
    return Node(name, operator, (operation.inputs[0],), (operation.outputs[0],), onnx_type=operation.op_type)


def _host_node(context: Context, operation: Operation) -> Node:
    name = context._node_name(operation.name or f"{operation.op_type}:{operation.outputs[0]}")
    inputs = dict.fromkeys(name for name in [*operation.inputs, *operation.captured()] if name)
    outputs = tuple(name for name in operation.outputs if name)
    return Node(
        name,
        Operator.HOST,
        tuple(inputs),
        outputs,
        onnx_type=operation.standard_type,
        onnx_nodes=(operation.to_proto().SerializeToString(deterministic=True),),
    )


def _tensor(context: Context, name: str) -> Tensor:
    if name in context.tensors:
        return context.tensors[name]
    working = context.working
    element_type = working.types.get(name, TensorProto.UNDEFINED)
    dtype = _DTYPES.get(element_type, DType.OTHER)
    label = TensorProto.DataType.Name(element_type) if dtype is DType.OTHER else ""
    return Tensor(name, working.shape(name), dtype, data=working.constant(name), element_type=label)
