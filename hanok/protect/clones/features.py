"""Features of a design: hashes with the place that each comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, order=True)
class Place:
    """Where a feature is: file and line (0: unknown), the module around it, the name if it is a register."""

    file: str
    line: int
    module: str
    register: str = ""


@dataclass(frozen=True)
class Features:
    """Hashes of 32 bits in the order of their places."""

    hashes: NDArray[np.uint32]
    places: tuple[Place, ...]

    def __len__(self) -> int:
        return len(self.hashes)


NONE = Features(np.zeros(0, np.uint32), ())


def label(*parts: object) -> int:
    """Return a stable hash of 64 bits of numbers, texts and tuples of them."""
    return int.from_bytes(blake2b(repr(parts).encode("utf-8", "replace"), digest_size=8).digest(), "little")


def features_of(found: Iterable[tuple[int, Place]]) -> Features:
    """Return features in the order of their places."""
    ordered: Sequence[tuple[int, Place]] = sorted(found, key=lambda each: (each[1], each[0]))
    hashes = np.array([value >> 32 for value, _ in ordered], np.uint64).astype(np.uint32)
    return Features(hashes, tuple(place for _, place in ordered))
