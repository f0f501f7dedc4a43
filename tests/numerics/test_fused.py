"""fusedMultiplyAdd in exact integers, held against the C library's fmaf and against its definition."""

from __future__ import annotations

import ctypes
import ctypes.util
from fractions import Fraction

import numpy as np
import pytest

from hanok.numerics.fused import fused_multiply_add, nearest_float32

CORNERS = np.array(
    [0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F800000, 0xFF800000,
     0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0xBF800000, 0x3F800001, 0x33800000, 0x4B800000],
    np.uint32,
).view(np.float32)  # fmt: skip


def operands(seed: int) -> tuple[np.ndarray, np.float32, np.ndarray]:
    """Numbers whose sums cancel, tie, or tie but for a bit far below."""
    rng = np.random.default_rng(seed)
    count = 500
    first = (rng.integers(1 << 12, 1 << 24, count) * 2.0 ** rng.integers(-30, 30)).astype(np.float32)
    second = np.float32(1 + rng.integers(0, 1 << 12) * 2.0**-12)
    distance = 2.0 ** rng.integers(-40, 41, count) * rng.choice([-1, 1], count)
    return first, second, (first.astype(np.float64) * second * distance).astype(np.float32)


def test_matches_the_c_library() -> None:
    name = ctypes.util.find_library("m")
    if name is None:
        pytest.skip("no C mathematics library")
    fmaf = ctypes.CDLL(name).fmaf
    fmaf.restype, fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3
    corners = [(*(a.ravel() for a in np.meshgrid(CORNERS, CORNERS)), factor) for factor in CORNERS]
    cases = [(first, factor, addend) for first, addend, factor in corners]
    for first, second, addend in cases + [operands(seed) for seed in range(20)]:
        found = fused_multiply_add(first, second, addend)
        expected = [fmaf(float(a), float(second), float(c)) for a, c in zip(first, addend, strict=True)]
        same = found.view(np.uint32) == np.array(expected, np.float32).view(np.uint32)
        assert np.all(same | (np.isnan(found) & np.isnan(expected)))


def test_nearest_float32_is_nearest_and_even() -> None:
    for seed in range(4):
        first, second, addend = operands(100 + seed)
        for a, c in zip(first[:200], addend[:200], strict=True):
            exact = Fraction(float(a)) * Fraction(float(second)) + Fraction(float(c))
            if not exact:
                continue
            found = np.float32(nearest_float32(exact))
            off = abs(Fraction(float(found)) - exact)
            for beside in (np.nextafter(found, np.float32(np.inf)), np.nextafter(found, np.float32(-np.inf))):
                distance = abs(Fraction(float(beside)) - exact)
                assert off < distance or (off == distance and found.view(np.uint32) % 2 == 0)


def test_shapes_broadcast() -> None:
    found = fused_multiply_add(np.ones((2, 1), np.float32), np.float32(3), np.arange(4, dtype=np.float32))
    assert np.array_equal(found, np.tile(np.arange(3, 7, dtype=np.float32), (2, 1)))
