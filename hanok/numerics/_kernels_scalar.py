"""The narrowing rules of `rounding` for one number inside Numba kernels."""

from __future__ import annotations

import numpy as np

from hanok.numerics._kernels_compile import part

_ROUNDER = np.float32(3 << 22)
"""1.5 * 2**23: adding it leaves no fraction bits, so the addition itself rounds half to even."""
_WIDE_ROUNDER = np.float64(3 << 51)
_INT32_LOW, _INT32_HIGH = np.float64(-(1 << 31)), np.float64((1 << 31) - 1)


@part
def wrap_int32(value: int) -> np.int32:
    """Keep the low 32 bits of an int64."""
    return np.int32(value)


@part
def round_clamp(value: np.float32, low: np.float32, high: np.float32) -> np.float32:
    """round_half_even(clamp(value, low, high)) for integers low and high below 2**22; NaN gives low.

    Rounding is monotone and leaves integers alone, so clamping first moves no result. Never gives -0.0.
    """
    bounded = value if value > low else low
    bounded = bounded if bounded < high else high
    return (bounded + _ROUNDER) - _ROUNDER


@part
def saturate_int32(value: np.float32) -> np.int32:
    """Round half to even and clamp to int32; NaN gives the lowest (float64 holds every case)."""
    wide = np.float64(value)
    wide = wide if wide > _INT32_LOW else _INT32_LOW
    wide = wide if wide < _INT32_HIGH else _INT32_HIGH
    return np.int32(np.int64((wide + _WIDE_ROUNDER) - _WIDE_ROUNDER))
