"""Narrowing rules on NumPy arrays: the only places where wide integers and float32 lose bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

INT8_LOW, INT8_HIGH = -128, 127
INT32_LOW, INT32_HIGH = -(1 << 31), (1 << 31) - 1
CANONICAL_NAN_BITS = 0x7FC00000

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


def wrap_int32(value: Int64Array) -> npt.NDArray[np.int32]:
    """Keep the low 32 bits of each int64, as an accumulator does."""
    return (value & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def saturate_int8(value: Int64Array) -> npt.NDArray[np.int8]:
    """Clamp each integer to -128 .. 127."""
    return np.clip(value, INT8_LOW, INT8_HIGH).astype(np.int8)


def saturate_int32(value: Float32Array) -> npt.NDArray[np.int32]:
    """Round each float32 half to even and clamp it to int32; NaN gives the lowest int32."""
    wide = round_half_even(value).astype(np.float64)
    wide = np.where(np.isnan(wide), float(INT32_LOW), np.clip(wide, float(INT32_LOW), float(INT32_HIGH)))
    return wide.astype(np.int64).astype(np.int32)


def round_half_even(value: Float32Array) -> Float32Array:
    """Round each float32 to the nearest integer, ties to even; NaN and infinities stay."""
    with np.errstate(invalid="ignore"):
        return np.rint(value)


def round_clamp(value: Float32Array, zero: int, low: int, high: int) -> Int64Array:
    """Return clamp(round_half_even(v) + zero, low, high) as integers; NaN counts as less than low.

    The clamp before the conversion moves no result: zero, low and high are 16-bit numbers.
    """
    bounded = np.clip(round_half_even(value), np.float32(-(1 << 20)), np.float32(1 << 20))
    missing = np.isnan(bounded)
    integer = np.where(missing, np.float32(0), bounded).astype(np.int64) + zero
    return np.minimum(np.where(missing, low, np.maximum(integer, low)), high)


def canonical_nan(value: Float32Array) -> Float32Array:
    """Replace every NaN by the canonical quiet NaN 0x7FC00000, so that payloads never differ."""
    canonical = np.array(CANONICAL_NAN_BITS, np.uint32).view(np.float32)
    return np.where(np.isnan(value), canonical, value)
