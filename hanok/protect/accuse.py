"""Naming colluders: only where recipients x the bound on an innocent's score stays below a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.protect._collusion import Floats, MarkScores, fitted_scores, symmetric_scores

SIZES = (1, 2, 3, 4, 6, 9, 14)
"""Numbers of colluders for which a score is made; the bound holds for any number."""
MAX_STEPS = 12
DEFAULT_LIMIT = 1e-6
_MAX_EVIDENCE = 0.999
_TILTS = 6
"""Halvings in the search for the best Chernoff exponent."""


@dataclass(frozen=True)
class Accusation:
    """What a trace says of each recipient.

    bounds: float64 [recipients]: bound on the chance that any innocent at all would be accused on a score as
    high as this recipient's; 1 where it says nothing.
    steps: [recipients], in which round it was accused: 1 by itself, later ones given those accused before;
    0: not accused.
    """

    limit: float
    bounds: Floats
    steps: npt.NDArray[np.int64]
    marks_read: int

    @property
    def accused(self) -> npt.NDArray[np.intp]:
        """Rows of the accused, the surest first."""
        rows = np.flatnonzero(self.steps)
        return rows[np.argsort(self.bounds[rows], kind="stable")]


def accuse(
    biases: Floats, words: npt.NDArray[np.generic], evidence: Floats, limit: float = DEFAULT_LIMIT
) -> Accusation:
    """Say who made a copy, so that an innocent is accused with probability `limit` at most.

    biases: [marks]; words: bits [recipients, marks]; evidence: [marks] in -1..1 (certainly 0 .. certainly 1),
    NaN where a mark is lost.

    Given the biases, an innocent's word is independent of what was read, whatever the colluders did: the
    moments of its score are a product over marks, and Chernoff's bound on it is exact. The limit is shared
    among recipients, among scores (one for each of SIZES and the symmetric one), and among rounds (a half,
    a quarter ...). Later rounds know the words of those accused before. They do not depend on an innocent's
    word unless it was accused itself, so that the same bound holds in each (docs/protect/fingerprints.md).
    """
    read = ~np.isnan(evidence) & (evidence != 0)
    p, seen = biases[read], np.clip(evidence[read], -_MAX_EVIDENCE, _MAX_EVIDENCE)
    table = np.asarray(words, np.float64)
    bounds, steps = np.ones(len(table)), np.zeros(len(table), np.int64)
    for step in range(1, MAX_STEPS + 1):
        known = table[np.ix_(steps > 0, read)].astype(np.uint8)
        scores = _scores(p, seen, known)
        if not scores or not len(p):
            break
        tries = len(table) * len(scores) * 2.0**step
        found = np.minimum(1.0, tries * np.exp(_log_tails(p, table, read, scores)))
        free = steps == 0
        bounds[free] = np.minimum(bounds[free], found[free])
        new = free & (found <= limit)
        steps[new] = step
        if not new.any():
            break
    return Accusation(limit, bounds, steps, int(read.sum()))


def _scores(biases: Floats, evidence: Floats, known: npt.NDArray[np.uint8]) -> list[MarkScores]:
    fitted = [fitted_scores(biases, evidence, known, size) for size in SIZES if size > len(known)]
    return fitted if len(known) else [symmetric_scores(biases, evidence), *fitted]


def _log_tails(
    biases: Floats, table: Floats, read: npt.NDArray[np.bool_], scores: list[MarkScores]
) -> Floats:
    """Log of the least bound on the chance of an innocent's score being as high, [recipients]."""
    gains = np.zeros((table.shape[1], len(scores)))
    gains[read] = np.stack([score.one - score.zero for score in scores], axis=1)
    totals = table @ gains
    lowest = np.zeros(len(table))
    for score, total in zip(scores, totals.T, strict=True):
        reached = total + score.zero.sum()
        for tilt in (1.0, _best_tilt(biases, score, float(reached.max(initial=-math.inf)))):
            lowest = np.minimum(lowest, _moment(biases, score, tilt)[0] - tilt * reached)
    return lowest


def _best_tilt(biases: Floats, score: MarkScores, reached: float) -> float:
    """The exponent at which Chernoff's bound of the highest score is least; any one would be true."""
    low, high = 0.0, 1.0
    while _moment(biases, score, high)[1] < reached and high < 64:
        low, high = high, 2 * high
    for _ in range(_TILTS if reached > 0 else 0):
        middle = (low + high) / 2
        if _moment(biases, score, middle)[1] < reached:
            low = middle
        else:
            high = middle
    return high


def _moment(biases: Floats, score: MarkScores, tilt: float) -> tuple[float, float]:
    """Log of E exp(tilt x an innocent's score), and its derivative."""
    peak = tilt * np.maximum(score.one, score.zero)
    ones = biases * np.exp(tilt * score.one - peak)
    zeros = (1 - biases) * np.exp(tilt * score.zero - peak)
    both = ones + zeros
    return (
        float((np.log(both) + peak).sum()),
        float(((ones * score.one + zeros * score.zero) / both).sum()),
    )
