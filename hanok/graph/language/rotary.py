"""Rotary position embedding on the host's side: frequencies, and the cosines and sines of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """How frequencies are stretched for contexts longer than the model was first trained for.

    With only `factor`, all are divided by it ("linear"). With the rest, as Llama 3.1 does: wavelengths above
    original / low_frequency_factor are divided, those below original / high_frequency_factor stay, and in
    between the two are mixed.
    """

    factor: float
    low_frequency_factor: float = 0.0
    high_frequency_factor: float = 0.0
    original_context: int = 0


@dataclass(frozen=True)
class Rotary:
    """`size` elements at the front of every head are turned, in pairs."""

    size: int
    theta: float
    interleaved: bool = False
    """Pairs are neighbours, not elements of the two halves."""
    scaling: Scaling | None = None

    def frequencies(self) -> npt.NDArray[np.float64]:
        """Radians by which each pair turns from one position to the next."""
        plain = self.theta ** -(np.arange(0, self.size, 2, dtype=np.float64) / self.size)
        if self.scaling is None:
            return plain
        stretched = plain / self.scaling.factor
        if not self.scaling.original_context:
            return stretched
        low, high = self.scaling.low_frequency_factor, self.scaling.high_frequency_factor
        turns = self.scaling.original_context * plain / (2 * math.pi)
        share = np.clip((turns - low) / (high - low), 0.0, 1.0)
        return share * plain + (1 - share) * stretched

    def angles(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Cosines and sines [positions, size / 2]."""
        angle = np.asarray(positions, np.float64)[:, None] * self.frequencies()
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
