"""Sketches of designs that have nothing to do with each other: what chance and habit make alike."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hanok.errors import HanokError
from hanok.protect.clones.features import Features
from hanok.protect.clones.fingerprint import FAMILIES, Fingerprint

SKETCH_HASHES = 512
"""Hashes of a family that a sketch keeps; of a larger design those that are divisible by a power of two."""
FILE = "clones/background.npz"
Hashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Sketch:
    """A sample of the different hashes of a design, in the order of their places, by family."""

    hashes: Mapping[str, Hashes]
    steps: Mapping[str, int]
    """Of what power of two each hash of a family is a multiple."""


@dataclass(frozen=True)
class Background:
    """Sketches of unrelated designs. Of those designs there are numbers here, and nothing of their text."""

    names: tuple[str, ...]
    sketches: tuple[Sketch, ...]

    def __len__(self) -> int:
        return len(self.sketches)

    def without(self, names: Sequence[str]) -> Background:
        """Return the background without some of its designs."""
        kept = [number for number, name in enumerate(self.names) if name not in names]
        return Background(
            tuple(self.names[number] for number in kept), tuple(self.sketches[number] for number in kept)
        )

    def joined_by(self, more: Sequence[Fingerprint]) -> Background:
        """Return the background with further designs."""
        return Background(
            (*self.names, *(each.name for each in more)), (*self.sketches, *map(sketch_of, more))
        )

    def to_bytes(self) -> bytes:
        """Return the contents of a file."""
        arrays: dict[str, Any] = {"names": np.array(self.names)}
        for family in FAMILIES:
            parts = [sketch.hashes[family] for sketch in self.sketches]
            arrays[family] = np.concatenate(parts)
            arrays[f"{family}_lengths"] = np.array([len(part) for part in parts], np.int32)
            arrays[f"{family}_steps"] = np.array([sketch.steps[family] for sketch in self.sketches], np.int32)
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        return packed.getvalue()


def different(features: Features) -> Hashes:
    """Return each hash once, where it is first."""
    _, first = np.unique(features.hashes, return_index=True)
    once: Hashes = features.hashes[np.sort(first)]
    return once


def thin(hashes: Hashes, step: int) -> Hashes:
    """Return the hashes that are a multiple of a power of two."""
    kept: Hashes = hashes[hashes & np.uint32(step - 1) == 0]
    return kept


def sketch_of(found: Fingerprint) -> Sketch:
    """Return the sketch of a design."""
    hashes, steps = {}, {}
    for family in FAMILIES:
        all_hashes = different(found.families[family])
        step = 1
        while len(thin(all_hashes, step)) > SKETCH_HASHES:
            step *= 2
        hashes[family], steps[family] = thin(all_hashes, step), step
    return Sketch(hashes, steps)


def read_background(content: bytes) -> Background:
    """Return what `to_bytes` wrote. Raises HanokError for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = tuple(str(name) for name in arrays["names"])
            split = {
                family: np.split(
                    arrays[family].astype(np.uint32), np.cumsum(arrays[f"{family}_lengths"])[:-1]
                )
                for family in FAMILIES
            }
            steps = {family: arrays[f"{family}_steps"].tolist() for family in FAMILIES}
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise HanokError(f"background of unrelated designs: {error}; install hanok again") from None
    sketches = tuple(
        Sketch(
            {family: split[family][number] for family in FAMILIES},
            {family: steps[family][number] for family in FAMILIES},
        )
        for number in range(len(names))
    )
    return Background(names, sketches)


@lru_cache
def load_background() -> Background:
    """Return the background that hanok ships, made by `benchmarks/protect_clones.py background`."""
    return read_background((resources.files("hanok") / "assets" / FILE).read_bytes())
