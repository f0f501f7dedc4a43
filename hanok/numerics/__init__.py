"""Bit-exact number rules that every part of hanok shares: wrapping, saturation and rounding."""

from hanok.numerics.rounding import (
    INT8_HIGH,
    INT8_LOW,
    INT32_HIGH,
    INT32_LOW,
    canonical_nan,
    round_clamp,
    round_half_even,
    saturate_int8,
    saturate_int32,
    wrap_int32,
)

__all__ = [
    "INT8_HIGH",
    "INT8_LOW",
    "INT32_HIGH",
    "INT32_LOW",
    "canonical_nan",
    "round_clamp",
    "round_half_even",
    "saturate_int8",
    "saturate_int32",
    "wrap_int32",
]
