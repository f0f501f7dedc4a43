"""Which token comes next: the likeliest, or one drawn with a temperature from the likeliest few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.arrays import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sampling:
    """temperature 0 takes the likeliest; top_p keeps the likeliest tokens that together reach this chance."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature {self.temperature:g} and top-p {self.top_p:g}; allowed: 0..100, and above 0 up "
                "to 1"
            )


class Sampler:
    """Draws tokens; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, logits: Array) -> int:
        """The next token."""
        if self._sampling.temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64) / self._sampling.temperature
        chances = np.exp(scaled - scaled.max())
        order = np.argsort(-chances, kind="stable")
        share = np.cumsum(chances[order]) / chances.sum()
        kept = order[: int(np.searchsorted(share, self._sampling.top_p)) + 1]
        return int(self._random.choice(kept, p=chances[kept] / chances[kept].sum()))
