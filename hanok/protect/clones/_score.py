"""How much of one design is in another: containment by what few designs have, in all and in a part."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from hanok.protect.clones.background import Background, Hashes, Sketch, thin

PART = 0.25
"""Of a design's weight, in the order of its text: what a copied part has at least."""
PRIOR_FEATURES = 8
"""Features that nobody has, added to every design and part: a tiny one proves little, whatever it matches."""
MIN_PART_FEATURES = 16


class Bag:
    """Sketches by how many of them have a hash; each is scored as if it were not among them."""

    def __init__(self, background: Background, more: Sketch) -> None:
        self.members = [*background.sketches, more]
        self._values: dict[str, Hashes] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}

    def weights(self, family: str, hashes: Hashes, own: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the rarity of hashes; `own` says which of them the member that is scored has itself.

        The logarithm of members by members that have it (inverse document frequency).
        """
        if family not in self._values:
            together = np.concatenate([np.unique(member.hashes[family]) for member in self.members])
            self._values[family], self._counts[family] = np.unique(together, return_counts=True)
        values, counts = self._values[family], self._counts[family]
        places = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
        known = (
            np.where(values[places] == hashes, counts[places], 0) if len(values) else np.zeros(len(hashes))
        )
        rarity: NDArray[np.float64] = np.log((len(self.members) + 1) / (known - own + 1))
        return rarity


def contained(
    hashes: Hashes, weights: NDArray[np.float64], is_found: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return how much of a design's weight is found: in all of it, and in its best part of PART of it."""
    if not len(hashes):
        return 0.0, 0.0
    prior = PRIOR_FEATURES * float(weights.max(initial=0.0))
    total = np.concatenate(([0.0], np.cumsum(weights)))
    found = np.concatenate(([0.0], np.cumsum(weights * is_found)))
    whole = float(found[-1] / (total[-1] + prior)) if total[-1] else 0.0
    ends = np.searchsorted(total, total[:-1] + PART * total[-1] * (1 - 1e-9))
    ends = np.maximum(ends, np.arange(len(hashes)) + MIN_PART_FEATURES)
    starts = np.arange(len(hashes))[ends <= len(hashes)]
    if not len(starts):
        return whole, whole
    ends = ends[starts]
    return whole, float(np.max((found[ends] - found[starts]) / (total[ends] - total[starts] + prior)))


def is_in(hashes: Hashes, values: Hashes) -> NDArray[np.bool_]:
    """Return which hashes are among values, which are sorted."""
    if not len(values):
        return np.zeros(len(hashes), np.bool_)
    found: NDArray[np.bool_] = values[np.minimum(np.searchsorted(values, hashes), len(values) - 1)] == hashes
    return found


def family_scores(
    bag: Bag,
    ours: Sketch,
    suspect: Mapping[str, Hashes],
    steps: Mapping[str, int],
    families: Collection[str],
    is_ours_member: bool,
) -> dict[str, tuple[float, float]]:
    """Return `contained` by family. The member that is scored is ours, or else the suspect.

    Hashes of the suspect are sorted and multiples of `steps`, so that of ours only such count.
    """
    scores = {}
    for family in families:
        hashes = thin(ours.hashes[family], steps[family])
        is_found = is_in(hashes, suspect[family])
        own = np.ones(len(hashes), np.bool_) if is_ours_member else is_found
        scores[family] = contained(hashes, bag.weights(family, hashes, own), is_found)
    return scores
