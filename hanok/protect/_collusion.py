"""What colluders may have done with their copies, and what a mark that was read then says of a recipient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDS = 16
"""Of expectation and maximisation; the fit need not be exact: the bound holds for any."""
_PRIOR_MARKS = 2.0
"""Weight of the first guess, that each colluder is copied equally often."""
_EDGE = 1e-3


@dataclass(frozen=True)
class MarkScores:
    """What a recipient's bit adds to its score: float64 [marks] for a 1 and for a 0."""

    one: Floats
    zero: Floats


def symmetric_scores(biases: Floats, evidence: Floats) -> MarkScores:
    """Return the scores of Skoric, Katzenbeisser and Celik (2008), weighted by the evidence in -1..1."""
    odds = np.sqrt((1 - biases) / biases)
    return MarkScores(evidence * odds, -evidence / odds)


def fitted_scores(biases: Floats, evidence: Floats, known: npt.NDArray[np.uint8], size: int) -> MarkScores:
    """Return log likelihood ratios: colluder against innocent, were there `size` colluders, some known.

    biases, evidence: [marks]; known: bits of colluders already found [colluders, marks], fewer than size.
    The attack is a chance of reading 1 where k of the copies hold 1, for k in 0..size; it is fitted to the
    evidence by expectation and maximisation (Furon and Perez-Freire, 2009; Meerwald and Furon, 2012).
    It depends on what was read and on known colluders, never on the recipient whose score it makes.
    """
    found, others = known.sum(axis=0, dtype=np.int64), size - len(known)
    seen_one, seen_zero = (1 + evidence) / 2, (1 - evidence) / 2
    attack = _fit(_tally(biases, others, found, size), seen_one, seen_zero)
    rest = _tally(biases, others - 1, found, size)
    if_zero = rest[:, :-1] @ attack[:-1]
    if_one = rest[:, :-1] @ attack[1:]
    likelihood_one = seen_one * if_one + seen_zero * (1 - if_one)
    likelihood_zero = seen_one * if_zero + seen_zero * (1 - if_zero)
    mean = biases * likelihood_one + (1 - biases) * likelihood_zero
    return MarkScores(np.log(likelihood_one / mean), np.log(likelihood_zero / mean))


def _tally(biases: Floats, others: int, found: npt.NDArray[np.int64], size: int) -> Floats:
    """Chances [marks, size + 1] that k copies hold 1: `found` of known colluders, the others by the bias."""
    chances = np.zeros((len(biases), size + 1))
    marks = np.arange(len(biases))
    for ones in range(others + 1):
        share = math.comb(others, ones) * biases**ones * (1 - biases) ** (others - ones)
        chances[marks, found + ones] = share
    return chances


def _fit(tally: Floats, seen_one: Floats, seen_zero: Floats) -> Floats:
    """Chances of reading 1 where k copies hold 1, [size + 1]: the likeliest, near the first guess."""
    guess = np.linspace(0, 1, tally.shape[1])
    attack = np.clip(guess, 0.02, 0.98)
    for _ in range(_ROUNDS):
        mean = tally @ attack
        likelihood = seen_one * mean + seen_zero * (1 - mean)
        ones = attack * (seen_one / likelihood @ tally) + _PRIOR_MARKS * guess
        zeros = (1 - attack) * (seen_zero / likelihood @ tally) + _PRIOR_MARKS * (1 - guess)
        attack = np.clip(ones / (ones + zeros), _EDGE, 1 - _EDGE)
    return attack
