"""Tensors between the user, ONNX Runtime and DRAM: quantised on the way in, dequantised on the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import HanokError
from hanok.isa import Binding, Program

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

UNSIGNED_SHIFT = 128
"""ONNX's uint8 value minus the stored int8 value."""


def dram_image(program: Program) -> Bytes:
    """Return the program's DRAM with its constants and code in place, the rest zero."""
    image = np.zeros(program.dram_bytes, np.uint8)
    _place(image, program.constants_address, program.constants, "constants")
    for number, stage in enumerate(program.npu_stages):
        _place(image, stage.code_address, stage.code, f"code of stage {number}")
    return image


def _place(image: Bytes, address: int, content: bytes, what: str) -> None:
    if not 0 <= address <= len(image) - len(content):
        raise HanokError(
            f"{what}: {len(content)} bytes at {address} are outside the program's {len(image)} bytes of DRAM"
        )
    image[address : address + len(content)] = np.frombuffer(content, np.uint8)


def write_tensor(image: Bytes, binding: Binding, value: Array) -> None:
    """Store `value` (float32 is quantised as QuantizeLinear does; int8 and uint8 are taken as they are)."""
    stored = np.asarray(_to_stored(binding, value).transpose(binding.permutation), order="C")
    image[binding.address : binding.address + stored.nbytes] = stored.reshape(-1).view(np.uint8)


def read_tensor(image: Bytes, binding: Binding, dtype: str = "float32") -> Array:
    """Return the tensor in ONNX's axis order: dequantised, or as int8 or uint8 where that is its type."""
    kind = np.int8 if binding.element_bytes == 1 else np.float32
    size = int(np.prod(binding.shape, dtype=np.int64)) * binding.element_bytes
    raw = image[binding.address : binding.address + size].view(kind).reshape(binding.stored_shape)
    stored = np.asarray(raw.transpose(np.argsort(binding.permutation)), order="C")
    if binding.element_bytes > 1:
        return stored.astype(dtype)
    if dtype == "int8":
        return stored
    if dtype == "uint8":
        return (stored.astype(np.int16) + UNSIGNED_SHIFT).astype(np.uint8)
    real = (stored.astype(np.int32) - binding.zero_point).astype(np.float32) * np.float32(binding.scale)
    return real.astype(np.float16) if dtype == "float16" else real


def _to_stored(binding: Binding, value: Array) -> Array:
    if value.shape != binding.shape:
        raise HanokError(
            f"'{binding.name}': shape {list(value.shape)} was given; allowed: {list(binding.shape)}"
        )
    if binding.element_bytes > 1:
        return value.astype(np.float32)
    if value.dtype == np.uint8:
        return (value.astype(np.int16) - UNSIGNED_SHIFT).astype(np.int8)
    if value.dtype == np.int8:
        return value
    if np.isnan(value).any():
        raise HanokError(f"'{binding.name}': holds NaN, which has no quantised value; replace it")
    with np.errstate(over="ignore"):
        scaled = np.rint(value.astype(np.float32) / np.float32(binding.scale))
    whole = np.clip(scaled, -1024, 1024).astype(np.int32) + np.int32(binding.zero_point)
    stored: npt.NDArray[np.int8] = np.clip(whole, -128, 127).astype(np.int8)
    return stored
