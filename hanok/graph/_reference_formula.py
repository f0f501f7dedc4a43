"""Reference of FORMULA: its lines in NumPy float32, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanok.graph._stored import Array, quantization_of
from hanok.graph.ir import DType, FormulaAttributes, Node, Tensor
from hanok.numerics import round_clamp


def evaluate_formula(
    node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array], lanes: int
) -> Array:
    """FORMULA: float32 values of the lines; an int8 result is rounded and gets its zero point."""
    attributes = node.attributes
    assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
    full = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    axes = attributes.axes
    inputs = [
        _rows(_real(tensor, operand), full, axes) for tensor, operand in zip(tensors, operands, strict=True)
    ]
    value = attributes.formula.evaluate(inputs, lanes)[attributes.result]
    value = _from_rows(value, full, output.shape, axes)
    if output.dtype is DType.FLOAT32:
        return np.ascontiguousarray(value)
    low, high = attributes.clamp
    return round_clamp(value, quantization_of(output).scalar_zero, low, high).astype(np.int8)


def _real(tensor: Tensor, operand: Array) -> Array:
    if tensor.dtype is not DType.INT8:
        return operand.astype(np.float32)
    quantization = quantization_of(tensor)
    shifted = operand.astype(np.int32) - quantization.scalar_zero
    return shifted.astype(np.float32) * quantization.scalar_scale


def _rows(value: Array, full: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """The folded axes as one, at the end; of length 1 where the value is the same along all of them."""
    value = value.reshape((1,) * (len(full) - value.ndim) + value.shape)
    if not axes:
        return value
    if any(value.shape[axis] != 1 for axis in axes):
        wanted = [full[a] if a in axes else length for a, length in enumerate(value.shape)]
        value = np.broadcast_to(value, wanted)
    value = np.moveaxis(value, axes, range(len(full) - len(axes), len(full)))
    return value.reshape(*value.shape[: len(full) - len(axes)], -1)


def _from_rows(value: Array, full: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    if not axes:
        return np.broadcast_to(value, shape)
    outer = [length for axis, length in enumerate(full) if axis not in axes]
    inner = [shape[axis] for axis in axes]
    value = np.broadcast_to(value, (*outer, int(np.prod(inner)))).reshape(*outer, *inner)
    return np.moveaxis(value, range(len(outer), len(full)), axes).reshape(shape)
