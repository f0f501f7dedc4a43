"""Conversions against NumPy and hanok.numerics.rounding: edges, ties, limits in any order."""

from typing import Any

import numpy as np
import pytest
from float_operands import (
    CORNERS,
    NANS,
    SIGN,
    Bits,
    Pipelined,
    any_bits,
    beside,
    check,
    floats,
    near_exponents,
)

from hanok.numerics.rounding import round_clamp, saturate_int32
from hanok.rtl.float_convert import FloatToInt32, FloatToInteger, IntegerToFloat


def integers(random: np.random.Generator, bits: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Integers of every size, halves between float32 among them, and all edges."""
    values = random.integers(-(1 << bits - 1), 1 << bits - 1, count)
    values >>= random.integers(0, bits, count)
    position = random.integers(0, max(1, bits - 24), count)
    ties = values & ~((1 << position) - 1)
    values[::3] = ties[::3]
    edges = [sign * (1 << bit) + near for sign in (1, -1) for bit in range(bits) for near in range(-2, 3)]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return np.concatenate([values, [value for value in edges if low <= value <= high], [low, high]])


@pytest.mark.parametrize(
    ("bits", "latency"),
    [(1, 0), (8, 1), (17, 2), (24, 3), (25, 0), (26, 1), (32, 2), (33, 0), (33, 2), (33, 7), (64, 4)],
)
def test_integer_to_float(bits: int, latency: int) -> None:
    values = integers(np.random.default_rng(bits), bits, 1_000_000 if (bits, latency) == (33, 2) else 100_000)
    found = Pipelined(IntegerToFloat(bits, latency))(a=values)
    check(values.astype(np.float32).view(np.uint32), found, values)


def test_every_difference_of_a_byte_and_a_zero() -> None:
    values = np.arange(-(1 << 16), 1 << 16)
    check(values.astype(np.float32).view(np.uint32), Pipelined(IntegerToFloat(17))(a=values), values)


def numbers(random: np.random.Generator, count: int, top: int) -> Bits:
    """Corners, any bits, numbers up to 2 ** top, halves and their neighbours."""
    halves = (random.integers(-(1 << 18), 1 << 18, count) / 2).astype(np.float32).view(np.uint32)
    return np.concatenate(
        [
            CORNERS,
            any_bits(random, count),
            near_exponents(random, count, 120, 128 + top),
            halves,
            beside(random, halves) & np.uint32(0xFFFFFFFF),
            halves + np.uint32(1),
            halves - np.uint32(1),
        ]
    )


@pytest.mark.parametrize("latency", [0, 1, 2, 3, 5, 8])
def test_float_to_integer(latency: int) -> None:
    random = np.random.default_rng(latency)
    unit = Pipelined(FloatToInteger(latency))
    a = numbers(random, 200_000 if latency == 2 else 20_000, 18)
    edges = np.array([-32768, -32767, -129, -128, -1, 0, 1, 127, 128, 255, 32766, 32767])
    for kind in range(3):
        zero, low, high = (random.integers(-32768, 32768, len(a)) for _ in range(3))
        if kind == 0:
            low, high = np.minimum(low, high), np.maximum(low, high)
        elif kind == 1:
            zero, low, high = (random.choice(edges, len(a)) for _ in range(3))
        else:
            zero, low, high = random.integers(-128, 128, len(a)), np.full(len(a), -128), np.full(len(a), 127)
        found = unit(a=a, zero=zero, low=low, high=high)
        check(expected_integers(floats(a), zero, low, high), found, a, zero, low, high)


def expected_integers(value: Any, zero: Any, low: Any, high: Any) -> Any:
    """round_clamp of each, with limits of its own: the formula in float64, which holds every sum."""
    with np.errstate(invalid="ignore"):
        wide = np.clip(np.rint(value.astype(np.float64)), -(1 << 20), 1 << 20) + zero
    return np.minimum(np.where(np.isnan(value), low, np.maximum(wide, low)), high).astype(np.int64)


@pytest.mark.parametrize(
    ("zero", "low", "high"),
    [(0, -128, 127), (-128, -128, 127), (77, -5, 99), (-32768, -32768, 32767), (32767, 5, -5)],
)
def test_round_clamp(zero: int, low: int, high: int) -> None:
    a = numbers(np.random.default_rng(3), 20_000, 18)
    found = Pipelined(FloatToInteger())(
        a=a,
        **{name: np.full(len(a), value) for name, value in (("zero", zero), ("low", low), ("high", high))},
    )
    check(round_clamp(floats(a), zero, low, high), found, a)


@pytest.mark.parametrize("latency", [0, 1, 2, 3, 5, 8])
def test_float_to_int32(latency: int) -> None:
    a = numbers(np.random.default_rng(latency), 300_000 if latency == 2 else 20_000, 33)
    limit = np.arange(-4, 5) + (158 << 23)
    limit = np.concatenate([limit, limit | SIGN]).astype(np.uint32)
    a = np.concatenate([a, limit, np.array(NANS, np.uint32)])
    check(saturate_int32(floats(a)), Pipelined(FloatToInt32(latency))(a=a), a)
