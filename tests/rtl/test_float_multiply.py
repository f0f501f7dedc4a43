"""FloatMultiply against NumPy: all pairs of corners, and random pairs that tie, underflow and overflow."""

from collections.abc import Iterator

import numpy as np
import pytest
from float_operands import (
    CORNERS,
    Bits,
    Pipelined,
    any_bits,
    check_pairs,
    combinations,
    in_parts,
    near_exponents,
)

from hanok.rtl.float_multiply import FloatMultiply


def random_pairs(seed: int, total: int) -> Iterator[tuple[Bits, Bits]]:
    """A sixth each: any bits; products that are normal, subnormal, near the largest, of subnormal factors."""
    random = np.random.default_rng(seed)
    for count in in_parts(total // 6):
        yield any_bits(random, count), any_bits(random, count)
        for first, second in ((120, 127), (60, 45), (200, 177), (0, 130), (250, 0)):
            a = near_exponents(random, count, first, first + 4)
            yield a, near_exponents(random, count, second, min(second + 24, 254))


@pytest.mark.parametrize("latency", [0, 1, 2, 3, 4, 7, 10])
def test_all_pairs_of_corners(latency: int) -> None:
    unit = Pipelined(FloatMultiply(latency))
    check_pairs(unit, np.multiply, *combinations(CORNERS, 2))
    for a, b in random_pairs(latency, 60_000):
        check_pairs(unit, np.multiply, a, b)


def test_random_pairs() -> None:
    unit = Pipelined(FloatMultiply())
    for a, b in random_pairs(1, 1_200_000):
        check_pairs(unit, np.multiply, a, b)


@pytest.mark.slow
def test_many_random_pairs() -> None:
    unit = Pipelined(FloatMultiply())
    for a, b in random_pairs(2, 24_000_000):
        check_pairs(unit, np.multiply, a, b)
