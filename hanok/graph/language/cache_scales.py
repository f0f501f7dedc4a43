"""Scales of cached keys and values, one a head, so that every head has all of int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CacheScales:
    """For each cache, by the name of its input, what its values are divided by: [1, key heads, 1, 1]."""

    by_name: Mapping[str, Floats]

    @classmethod
    def of(cls, caches: Sequence[Mapping[str, npt.NDArray[Any]]]) -> CacheScales:
        """The largest magnitude of each head in examples [1, key heads, tokens, head size]; 1 for zeros."""
        found = {}
        for name in caches[0]:
            largest = np.max([np.abs(cache[name]).max((0, 2, 3)) for cache in caches], 0)
            found[name] = np.where(largest > 0, largest, 1).astype(np.float32).reshape(1, -1, 1, 1)
        return cls(found)

    def divide(self, caches: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """What a decode program takes for caches."""
        return {name: cache / self.by_name[name] for name, cache in caches.items()}


UNSCALED = CacheScales({})
"""Caches as they are, of programs that read none."""
