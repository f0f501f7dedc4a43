"""Which module and which register of a suspect stands where one of ours stands."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from hanok.protect.clones._score import Bag
from hanok.protect.clones.features import Features, Place
from hanok.protect.clones.fingerprint import Fingerprint

MAX_ROWS = 40
MAX_PLACES = 6
"""A feature at more places than these says nothing about which of them belong together."""
MIN_SHARE = 0.05
_BIT = re.compile(r"\[\d+\]$")


@dataclass(frozen=True)
class RegionMatch:
    """A module of ours, the module of the suspect that has most of it, and how much of ours that is."""

    ours: str
    suspect: str
    features: int
    share: float
    lines_ours: str
    lines_suspect: str


@dataclass(frozen=True)
class RegisterMatch:
    """A register of ours, one of the suspect that does what it does, and what speaks for it (in bits)."""

    ours: str
    suspect: str
    evidence_bits: float


@dataclass(frozen=True)
class _Shared:
    weight: float
    ours: tuple[Place, ...]
    suspect: tuple[Place, ...]


def match_regions(
    suspect: Fingerprint, ours: Fingerprint, bag: Bag, families: Collection[str]
) -> tuple[RegionMatch, ...]:
    """Return modules of ours by how much of them is found in one module of the suspect."""
    totals: dict[str, float] = defaultdict(float)
    votes: dict[tuple[str, str], float] = defaultdict(float)
    places: dict[tuple[str, str], tuple[set[Place], set[Place]]] = defaultdict(lambda: (set(), set()))
    for shared in _shared(suspect, ours, bag, families):
        their_modules = {place.module for place in shared.suspect}
        for module in {place.module for place in shared.ours}:
            totals[module] += shared.weight
            for other in their_modules:
                votes[module, other] += shared.weight / len(their_modules)
        for near in shared.ours[:MAX_PLACES]:
            for far in shared.suspect[:MAX_PLACES]:
                places[near.module, far.module][0].add(near)
                places[near.module, far.module][1].add(far)
    best: dict[str, tuple[float, str]] = {}
    for (module, other), weight in votes.items():
        best[module] = max(best.get(module, (0.0, "")), (weight, other))
    found = []
    for module, (weight, other) in best.items():
        if weight >= MIN_SHARE * totals[module]:
            here, there = places[module, other]
            share = weight / totals[module]
            found.append(RegionMatch(module, other, len(here), share, _span(here), _span(there)))
    return tuple(sorted(found, key=lambda each: (-each.features * each.share, each.ours))[:MAX_ROWS])


def match_registers(
    suspect: Fingerprint, ours: Fingerprint, bag: Bag, families: Collection[str]
) -> tuple[RegisterMatch, ...]:
    """Return pairs of registers that nothing else explains as well, each register in one pair at most."""
    votes: dict[tuple[str, str], float] = defaultdict(float)
    for shared in _shared(suspect, ours, bag, [each for each in families if each in ("registers", "gates")]):
        near = {_BIT.sub("", place.register) for place in shared.ours if place.register}
        far = {_BIT.sub("", place.register) for place in shared.suspect if place.register}
        if 0 < len(near) <= MAX_PLACES and 0 < len(far) <= MAX_PLACES:
            for one in near:
                for other in far:
                    votes[one, other] += shared.weight / float(np.log(2)) / len(near) / len(far)
    found: list[RegisterMatch] = []
    taken_ours: set[str] = set()
    taken_suspect: set[str] = set()
    for (one, other), bits in sorted(votes.items(), key=lambda each: (-each[1], each[0])):
        if one not in taken_ours and other not in taken_suspect:
            taken_ours.add(one)
            taken_suspect.add(other)
            found.append(RegisterMatch(one, other, bits))
    return tuple(found[:MAX_ROWS])


def _shared(
    suspect: Fingerprint, ours: Fingerprint, bag: Bag, families: Collection[str]
) -> Iterator[_Shared]:
    """Yield each different feature of ours with its places on both sides."""
    for family in families:
        near, far = _by_hash(ours.families[family]), _by_hash(suspect.families[family])
        hashes = np.array(list(near), np.uint32)
        weights = bag.weights(family, hashes, np.zeros(len(hashes), np.bool_))
        for value, weight in zip(near, weights.tolist(), strict=True):
            yield _Shared(weight, tuple(near[value]), tuple(far.get(value, ())))


def _by_hash(features: Features) -> dict[int, list[Place]]:
    found: dict[int, list[Place]] = defaultdict(list)
    for value, place in zip(features.hashes.tolist(), features.places, strict=True):
        found[value].append(place)
    return found


def _span(places: Collection[Place]) -> str:
    """Return the lines that places are within, in the file that has most of them."""
    if not places:
        return ""
    counted = Counter(place.file for place in places)
    file = min(counted, key=lambda name: (-counted[name], name))
    lines = sorted({place.line for place in places if place.file == file and place.line})
    return f"{file}:{lines[0]}-{lines[-1]}" if lines else file
