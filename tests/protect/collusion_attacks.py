"""What colluders do with their copies, mark by mark; they see their own words and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Attack = Callable[[Bits, np.random.Generator], Floats]
"""From the colluders' words [colluders, marks] to the evidence of their copy, [marks] in -1..1."""


def by_table(chances: npt.ArrayLike) -> Attack:
    """An attack that shows 1 with chances[k] where k of the copies hold 1."""
    table = np.asarray(chances, np.float64)
    assert table[[0, -1]].tolist() == [0, 1], "a mark on which all copies agree cannot be changed"

    def attack(words: Bits, random: np.random.Generator) -> Floats:
        ones = words.sum(axis=0, dtype=np.int64)
        return np.where(random.random(len(ones)) < table[ones], 1.0, -1.0)

    return attack


def standard_attacks(size: int) -> dict[str, Attack]:
    """The attacks of the literature on `size` copies, and the one that gives least away."""
    ones = np.arange(size + 1)
    inner = (ones > 0) & (ones < size)
    full = np.where(ones == size, 1.0, 0.0)
    majority = np.where(2 * ones == size, 0.5, (2 * ones > size) * 1.0)
    minority = np.where(inner, 1 - majority, full)
    return {
        "majority": by_table(majority),
        "minority": by_table(minority),
        "interleaving": by_table(ones / size),
        "all 1": by_table(np.where(inner, 1.0, full)),
        "all 0": by_table(full),
        "coin": by_table(np.where(inner, 0.5, full)),
        "worst case": by_table(worst_table(size)),
        "balancing": balance,
        "erasing": erase,
        "blocks": blocks,
    }


def worst_table(size: int) -> Floats:
    """Chances under which a mark tells least about a colluder (in bits, over arcsine biases), on a grid."""
    free, steps = size - 1, 8 if size < 5 else 4
    if not free:
        return np.array([0.0, 1.0])
    angles = (np.arange(64) + 0.5) / 64 * math.pi / 2
    biases = np.sin(angles) ** 2
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, steps + 1)] * free, indexing="ij"), -1).reshape(-1, free)
    tables = np.hstack([np.zeros((len(grid), 1)), grid, np.ones((len(grid), 1))])
    others = [math.comb(free, k) * biases**k * (1 - biases) ** (free - k) for k in range(size)]
    weights = np.stack(others, axis=1)
    one, zero = tables[:, 1:] @ weights.T, tables[:, :-1] @ weights.T
    mean = biases * one + (1 - biases) * zero
    told = _entropy(mean) - biases * _entropy(one) - (1 - biases) * _entropy(zero)
    return tables[np.argmin(told.mean(axis=1))]


def _entropy(chance: Floats) -> Floats:
    inside = np.clip(chance, 1e-12, 1 - 1e-12)
    return -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))


def balance(words: Bits, random: np.random.Generator) -> Floats:
    """Colluders who know the score: each differing mark is taken from whoever has the lowest score so far.

    Biases are unknown to them; they reckon with their share of ones.
    """
    size, marks = words.shape
    ones = words.sum(axis=0, dtype=np.int64)
    guess = (ones + 0.5) / (size + 1)
    gain = np.where(words == 1, np.sqrt((1 - guess) / guess), -np.sqrt(guess / (1 - guess)))
    shown = np.where(ones == size, 1.0, -1.0)
    totals = np.zeros(size)
    for mark in random.permutation(marks):
        if 0 < ones[mark] < size:
            choices = [totals + shown * gain[:, mark] for shown in (1.0, -1.0)]
            shown[mark] = 1.0 if choices[0].max() < choices[1].max() else -1.0
        totals += shown[mark] * gain[:, mark]
    return shown


def erase(words: Bits, random: np.random.Generator) -> Floats:
    """Colluders who destroy every mark on which they differ."""
    ones = words.sum(axis=0, dtype=np.int64)
    return np.where(ones == len(words), 1.0, np.where(ones == 0, -1.0, np.nan))


def blocks(words: Bits, random: np.random.Generator) -> Floats:
    """Colluders who cut the work into stretches of 64 marks and take each from one of them."""
    owner = np.repeat(random.integers(0, len(words), words.shape[1] // 64 + 1), 64)[: words.shape[1]]
    return np.where(words[owner, np.arange(words.shape[1])] == 1, 1.0, -1.0)


def lose(evidence: Floats, share: float, random: np.random.Generator) -> Floats:
    """Lose a share of the marks."""
    return np.where(random.random(len(evidence)) < share, np.nan, evidence)
