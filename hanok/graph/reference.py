"""The reference: int8 operators in NumPy integers and float32 steps, host operators in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hanok.errors import ModelError
from hanok.graph._reference_formula import evaluate_formula
from hanok.graph._reference_layout import concatenate, look_up, pad, reshape, slice_steps, transpose
from hanok.graph._reference_matrix import convolve, convolve_transposed, multiply_matrices
from hanok.graph._reference_vector import (
    add,
    average_pool,
    divide,
    max_pool,
    multiply,
    reduce_mean,
    resize,
    softmax,
    subtract,
)
from hanok.graph._stored import Array, from_stored, saturated, to_stored
from hanok.graph.ir import DType, Graph, Node, Operator, Tensor

_Kernel = Callable[[Node, Sequence[Tensor], Tensor, Sequence[Array]], Array]

_KERNELS: dict[Operator, _Kernel] = {
    Operator.CONV: convolve,
    Operator.CONV_TRANSPOSE: convolve_transposed,
    Operator.MATMUL: multiply_matrices,
    Operator.ADD: add,
    Operator.SUB: subtract,
    Operator.MUL: multiply,
    Operator.DIV: divide,
    Operator.LOOKUP: look_up,
    Operator.MAX_POOL: max_pool,
    Operator.AVERAGE_POOL: average_pool,
    Operator.REDUCE_MEAN: reduce_mean,
    Operator.SOFTMAX: softmax,
    Operator.CONCAT: concatenate,
    Operator.SLICE: slice_steps,
    Operator.PAD: pad,
    Operator.RESHAPE: reshape,
    Operator.TRANSPOSE: transpose,
    Operator.RESIZE: resize,
}


def run_reference(
    graph: Graph, inputs: Mapping[str, Array], *, every_tensor: bool = False, lanes: int = 1
) -> dict[str, Array]:
    """Compute the graph; return its outputs in ONNX's own types, or every tensor as the graph stores it.

    Inputs have ONNX's own types (uint8 where the model says uint8). With `every_tensor` the result holds all
    activations: int8 ones as stored (uint8 minus 128), others unchanged. `lanes` are those of the chip's
    vector unit, which decide the order of float sums.
    """
    values: dict[str, Array] = {}
    for name in graph.inputs:
        values[name] = to_stored(graph.tensor(name), _checked_input(graph, inputs, name))
    for node in graph.nodes:
        for name, value in _run_node(graph, node, values, lanes).items():
            values[name] = value
    if every_tensor:
        return values
    return {name: from_stored(graph.tensor(name), _value(graph, values, name)) for name in graph.outputs}


def run_node(graph: Graph, node: Node, values: Mapping[str, Array], lanes: int = 1) -> dict[str, Array]:
    """Compute one node from stored operand values (constants are taken from the graph)."""
    return _run_node(graph, node, values, lanes)


def _checked_input(graph: Graph, inputs: Mapping[str, Array], name: str) -> Array:
    if name not in inputs:
        raise ModelError(f"{graph.name}: no value was given for input '{name}'")
    value, shape = np.asarray(inputs[name]), graph.tensor(name).shape
    if value.shape != shape:
        raise ModelError(
            f"{graph.name}: input '{name}' has shape {list(value.shape)}; allowed: {list(shape)}"
        )
    return value


def _value(graph: Graph, values: Mapping[str, Array], name: str) -> Array:
    data = graph.tensor(name).data
    return values[name] if data is None else data


def _run_node(graph: Graph, node: Node, values: Mapping[str, Array], lanes: int) -> dict[str, Array]:
    operands = [_value(graph, values, name) for name in node.inputs]
    if node.operator is Operator.HOST:
        return _run_host(graph, node, operands)
    tensors = [graph.tensor(name) for name in node.inputs]
    output = graph.tensor(node.outputs[0])
    if node.operator is Operator.QUANTIZE:
        made = quantize_linear(operands[0], output)
    elif node.operator is Operator.DEQUANTIZE:
        made = dequantize_linear(operands[0], tensors[0])
    elif node.operator is Operator.FORMULA:
        made = evaluate_formula(node, tensors, output, operands, lanes)
    else:
        made = _KERNELS[node.operator](node, tensors, output, operands)
    assert made.shape == output.shape, f"{node.name}: made {made.shape}, the graph says {output.shape}"
    return {output.name: made}


def quantize_linear(values: Array, output: Tensor) -> Array:
    """QUANTIZE: saturate(rint(x / scale) + zero point), in float32; NaN becomes -128, as in ONNX Runtime."""
    assert output.quantization is not None, f"{output.name} has no quantization"
    with np.errstate(over="ignore"):
        scaled = values.astype(np.float32) / output.quantization.scalar_scale
    scaled = np.nan_to_num(scaled, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return saturated(np.rint(scaled), output.quantization.scalar_zero, (-128, 127))


def dequantize_linear(stored: Array, tensor: Tensor) -> Array:
    """DEQUANTIZE: f32(stored - zero point) * scale."""
    assert tensor.quantization is not None, f"{tensor.name} has no quantization"
    shifted = stored.astype(np.int32) - tensor.quantization.scalar_zero
    return shifted.astype(np.float32) * tensor.quantization.scalar_scale


def _run_host(graph: Graph, node: Node, operands: Sequence[Array]) -> dict[str, Array]:
    from hanok.graph.host import host_model
    from hanok.graph.oracle import run_onnxruntime

    feeds = {
        name: value
        for name, value in zip(node.inputs, operands, strict=True)
        if graph.tensor(name).data is None and graph.tensor(name).dtype is not DType.INT8
    }
    return run_onnxruntime(host_model(graph, [node]), feeds, optimise=False)
