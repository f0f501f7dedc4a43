"""What a QuantizeLinear or DequantizeLinear says: scale, zero point, axis, element type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from hanok.errors import ModelError
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, Operation, WorkingGraph
from hanok.graph.ir import Quantization

_NARROW = {TensorProto.INT8: 0, TensorProto.UINT8: 128, TensorProto.INT4: 0, TensorProto.UINT4: 0}
"""Element types that are stored as int8, with what is subtracted from their values."""


@dataclass(frozen=True)
class Border:
    """The parameters of one Q or DQ, with zero points already in the stored int8 form."""

    quantization: Quantization
    element_type: int

    @property
    def unsigned(self) -> bool:
        """Whether the ONNX values are uint8."""
        return bool(self.element_type == TensorProto.UINT8)

    @property
    def is_activation(self) -> bool:
        """Whether the NPU can hold an activation of this kind: (u)int8 with one scale."""
        return self.element_type in (TensorProto.INT8, TensorProto.UINT8) and self.quantization.per_tensor

    def equals(self, other: Border) -> bool:
        """Whether stored values mean the same real values under both."""
        mine, theirs = self.quantization, other.quantization
        return (
            mine.axis == theirs.axis
            and np.array_equal(mine.scale, theirs.scale)
            and np.array_equal(mine.zero_point, theirs.zero_point)
        )


def read_border(working: WorkingGraph, operation: Operation) -> Border | None:
    """Read a Q or DQ; None where the typed graph has no such form (dynamic scales, blocks, float8 ...)."""
    if operation.op_type not in (QUANTIZE, DEQUANTIZE) or operation.domain or operation.on_host:
        return None
    if len(operation.inputs) < 2:
        return None
    scale, zero = working.constant(operation.inputs[1]), working.constant(operation.input(2))
    if scale is None or (operation.input(2) and zero is None):
        return None
    check_scale(operation, scale)
    if scale.dtype != np.float32 or scale.ndim > 1 or operation.integer("block_size"):
        return None
    if zero is not None and zero.size != scale.size:
        raise ModelError(
            f"{operation.label}: {scale.size} scales and {zero.size} zero points; allowed: equally many"
        )
    element_type = _element_type(working, operation)
    if element_type not in _NARROW and element_type != TensorProto.INT32:
        return None
    rank = len(working.shape(operation.inputs[0]))
    axis = _axis(operation, scale, rank)
    if axis is not None and working.shape(operation.inputs[0])[axis] != scale.size:
        size = working.shape(operation.inputs[0])[axis]
        raise ModelError(f"{operation.label}: {scale.size} scales for an axis of {size} slices")
    return Border(
        Quantization(scale.reshape(-1), stored_zero_point(zero, scale, element_type), axis), element_type
    )


def check_scale(operation: Operation, scale: Array) -> None:
    """Refuse scales that are not positive finite numbers."""
    values = np.asarray(scale, np.float32)
    bad = values[~(np.isfinite(values) & (values > 0))]
    if bad.size:
        raise ModelError(f"{operation.label}: scale {bad.reshape(-1)[0]}; allowed: finite numbers above zero")


def stored_zero_point(zero: Array | None, scale: Array, element_type: int) -> npt.NDArray[np.int32]:
    """Zero points as int32 in stored form, one for each scale."""
    raw = np.zeros(scale.size, np.int32) if zero is None else np.asarray(zero).astype(np.int32).reshape(-1)
    shifted: npt.NDArray[np.int32] = (raw - _NARROW.get(element_type, 0)).astype(np.int32)
    return shifted


def stored_values(values: Array, element_type: int) -> Array:
    """Constant content as stored: int8 (uint8 minus 128), or int32 unchanged."""
    if element_type == TensorProto.INT32:
        return values.astype(np.int32)
    return (values.astype(np.int16) - _NARROW[element_type]).astype(np.int8)


def _element_type(working: WorkingGraph, operation: Operation) -> int:
    if operation.op_type == DEQUANTIZE:
        return int(working.types.get(operation.inputs[0], TensorProto.UNDEFINED))
    if operation.input(2):
        return int(working.types.get(operation.inputs[2], TensorProto.UNDEFINED))
    return operation.integer("output_dtype") or int(TensorProto.UINT8)


def _axis(operation: Operation, scale: Array, rank: int) -> int | None:
    if scale.size == 1:
        return None
    axis = operation.integer("axis", 1)
    if not -rank <= axis < rank:
        raise ModelError(f"{operation.label}: axis {axis} is outside {-rank}..{rank - 1}")
    return axis % rank
