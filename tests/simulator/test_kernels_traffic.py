"""Quotients by inverses are those of integers."""

from __future__ import annotations

import random

import numpy as np
from numba import njit

from hanok.simulator._kernels_traffic import quotient


@njit
def quotients(numbers: np.ndarray, divisors: np.ndarray, out: np.ndarray) -> None:
    for index in range(len(numbers)):
        out[index] = quotient(numbers[index], divisors[index], 1.0 / divisors[index])


def test_quotients_are_those_of_integers() -> None:
    rng, pairs = random.Random(1), []
    for divisor in (1, 3, 999, 1200, 1501, 312_500, 937_537, 1_000_000):
        for _ in range(500):
            multiple = rng.randrange(1 << rng.randrange(1, 50)) * divisor
            pairs += [(max(0, multiple + step), divisor) for step in (-1, 0, 1) if multiple < 1 << 62]
    numbers, divisors = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    found = np.zeros_like(numbers)
    quotients(numbers, divisors, found)
    assert found.tolist() == [number // divisor for number, divisor in pairs]
