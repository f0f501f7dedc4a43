"""Between ONNX's own values and what the typed graph stores: uint8 tensors are kept minus 128."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.graph.ir import DType, Quantization, Tensor

Array = npt.NDArray[Any]


def to_stored(tensor: Tensor, value: Array) -> Array:
    """The stored form of a value that has ONNX's own type."""
    if tensor.dtype is DType.INT8 and tensor.unsigned:
        return (value.astype(np.int16) - 128).astype(np.int8)
    return value


def from_stored(tensor: Tensor, value: Array) -> Array:
    """ONNX's own value of a stored one."""
    if tensor.dtype is DType.INT8 and tensor.unsigned:
        return (value.astype(np.int16) + 128).astype(np.uint8)
    return value


def quantization_of(tensor: Tensor) -> Quantization:
    """The quantization that an int8 tensor must have."""
    assert tensor.quantization is not None, f"int8 tensor {tensor.name} has no quantization"
    return tensor.quantization


def requantized(
    total: Array, factor: Array | np.float32, zero: int, clamp: tuple[int, int]
) -> npt.NDArray[np.int8]:
    """f32(total) * factor in one float32 step, round half to even, plus zero point, saturate to `clamp`."""
    scaled = np.rint(total.astype(np.float32) * factor)
    return saturated(scaled, zero, clamp)


def saturated(rounded: Array, zero: int, clamp: tuple[int, int]) -> npt.NDArray[np.int8]:
    """Add the zero point to whole float32 numbers and saturate to `clamp`."""
    whole = np.clip(rounded, -(2.0**30), 2.0**30).astype(np.int64) + zero
    stored: npt.NDArray[np.int8] = np.clip(whole, *clamp).astype(np.int8)
    return stored


def wrap_int32(total: Array) -> npt.NDArray[np.int32]:
    """The low 32 bits of exact integers, as two's complement."""
    return total.astype(np.int64).astype(np.int32)
