"""FloatAdd against NumPy: all pairs of corners, and random pairs that cancel, tie and underflow."""

from collections.abc import Iterator

import numpy as np
import pytest
from float_operands import (
    CORNERS,
    Bits,
    Pipelined,
    any_bits,
    beside,
    check_pairs,
    combinations,
    in_parts,
    near_exponents,
)

from hanok.rtl.float_add import FloatAdd


def random_pairs(seed: int, total: int) -> Iterator[tuple[Bits, Bits]]:
    """A fifth each: any bits, near exponents, subnormal, neighbours, large."""
    random = np.random.default_rng(seed)
    for count in in_parts(total // 5):
        yield any_bits(random, count), any_bits(random, count)
        for low, high in ((120, 150), (0, 3), (228, 254)):
            yield near_exponents(random, count, low, high), near_exponents(random, count, low, high)
        a = any_bits(random, count)
        yield a, beside(random, a)


def check_add(unit: Pipelined, a: Bits, b: Bits) -> None:
    plus, minus = np.zeros(len(a), np.uint8), np.ones(len(a), np.uint8)
    check_pairs(unit, np.add, a, b, subtract=plus)
    check_pairs(unit, np.subtract, a, b, subtract=minus)


@pytest.mark.parametrize("latency", [0, 1, 2, 3, 4, 7, 11, 14])
def test_all_pairs_of_corners(latency: int) -> None:
    unit = Pipelined(FloatAdd(latency))
    check_add(unit, *combinations(CORNERS, 2))
    for a, b in random_pairs(latency, 50_000):
        check_add(unit, a, b)


def test_random_pairs() -> None:
    unit = Pipelined(FloatAdd())
    for a, b in random_pairs(1, 1_000_000):
        check_add(unit, a, b)


@pytest.mark.slow
def test_many_random_pairs() -> None:
    unit = Pipelined(FloatAdd())
    for a, b in random_pairs(2, 20_000_000):
        check_add(unit, a, b)


def test_addition_and_subtraction_may_alternate() -> None:
    random = np.random.default_rng(5)
    a, b = any_bits(random, 1000), any_bits(random, 1000)
    subtract = random.integers(0, 2, 1000).astype(np.uint8)
    negated = b ^ subtract.astype(np.uint32) << np.uint32(31)
    found = Pipelined(FloatAdd())(a=a, b=b, subtract=subtract)
    expected = Pipelined(FloatAdd(0))(a=a, b=negated, subtract=subtract * 0)
    assert np.array_equal(found, expected)
