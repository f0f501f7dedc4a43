"""Narrowing rules against Python integers and exact fractions, scalar kernels against arrays."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hanok import numerics
from hanok.numerics import _kernels_scalar as scalar
from hanok.numerics._kernels_compile import kernel

CASES = np.array(
    [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 126.5, 127.5, -128.5, 1e-42, 8388607.5, 16777216.0, 3e9, -3e9,
     3e38, 2147483520.0, -2147483648.0, np.inf, -np.inf, np.nan],
    np.float32,
)  # fmt: skip


def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 1 << 32, 20000, np.uint64).astype(np.uint32).view(np.float32)
    ties = (rng.integers(-400, 400, 2000) / 2).astype(np.float32)
    return np.concatenate([CASES, wide, ties])


def exact_round(value: float) -> int:
    return round(Fraction(value))


def expected_clamp(value: float, zero: int, low: int, high: int) -> int:
    if np.isnan(value):
        return min(low, high)
    if np.isinf(value):
        return high if value > 0 else min(low, high)
    return min(max(exact_round(value) + zero, low), high)


@pytest.mark.parametrize(
    ("zero", "low", "high"), [(0, -128, 127), (-7, -128, 127), (300, -32768, 32767), (5, 9, 3)]
)
def test_round_clamp_is_exact(zero: int, low: int, high: int) -> None:
    given = values()
    expected = [expected_clamp(float(value), zero, low, high) for value in given]
    assert numerics.round_clamp(given, zero, low, high).tolist() == expected


def test_saturate_int32_is_exact() -> None:
    given = values()
    low, high = numerics.INT32_LOW, numerics.INT32_HIGH
    expected = [low if np.isnan(value) else expected_clamp(float(value), 0, low, high) for value in given]
    assert numerics.saturate_int32(given).tolist() == expected


def test_integers_wrap_and_saturate() -> None:
    given = np.array([0, -1, 1 << 31, (1 << 31) - 1, -(1 << 31) - 1, (1 << 40) + 5, 128, -129], np.int64)
    wrapped = [(int(value) + (1 << 31)) % (1 << 32) - (1 << 31) for value in given]
    assert numerics.wrap_int32(given).tolist() == wrapped
    assert numerics.saturate_int8(given).tolist() == [max(-128, min(127, int(value))) for value in given]


def test_round_half_even_and_canonical_nan() -> None:
    assert numerics.round_half_even(np.float32([0.5, 1.5, -2.5])).tolist() == [0.0, 2.0, -2.0]
    given = np.array([0x7FC00000, 0xFFC12345, 0x3F800000], np.uint32).view(np.float32)
    assert numerics.canonical_nan(given).view(np.uint32).tolist() == [0x7FC00000, 0x7FC00000, 0x3F800000]


@kernel
def clamp_all(given, low, high, result):
    for i in range(len(given)):
        result[i] = scalar.round_clamp(given[i], low, high)


@kernel
def saturate_all(given, result):
    for i in range(len(given)):
        result[i] = scalar.saturate_int32(given[i])


def test_kernels_agree_with_arrays() -> None:
    given = values()
    clamped, saturated = np.zeros_like(given), np.zeros(len(given), np.int32)
    clamp_all(given, np.float32(-121), np.float32(134), clamped)
    assert np.array_equal(clamped, numerics.round_clamp(given, 0, -121, 134))
    assert not np.any(np.signbit(clamped) & (clamped == 0))
    saturate_all(given, saturated)
    assert np.array_equal(saturated, numerics.saturate_int32(given))
