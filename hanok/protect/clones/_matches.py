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
    totals: Counter[str] = Counter()
    votes: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, str], tuple[list[Place], list[Place]]] = defaultdict(lambda: ([], []))
    for shared in _shared(suspect, ours, bag, families):
        our_modules = {place.module for place in shared.ours}
        their_modules = {place.module for place in shared.suspect}
        for module in our_modules:
            totals[module] += shared.weight
            for other in their_modules:
                votes[module, other] += shared.weight / len(their_modules)
        for place in shared.ours:
            for other in shared.suspect[:MAX_PLACES]:
                places[place.module, other.module][0].append(place)
                places[place.module, other.module][1].append(other)
    found = []
    for module, total in totals.items():
        partners = [(weight, other) for (ours_module, other), weight in votes.items() if ours_module == module]
        if not partners:
            continue
        weight, other = max(partners)
        if weight >= MIN_SHARE * total:
            near, far = places[module, other]
            found.append(
                RegionMatch(module, other, len(set(near)), weight / total, _span(near), _span(far))
            )
    return tuple(sorted(found, key=lambda each: (-each.features * each.share, each.ours))[:MAX_ROWS])


def match_registers(
    suspect: Fingerprint, ours: Fingerprint, bag: Bag, families: Collection[str]
) -> tuple[RegisterMatch, ...]:
    """Return pairs of registers that nothing else explains as well, each register in one pair at most."""
    votes: Counter[tuple[str, str]] = Counter()
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


def _span(places: list[Place]) -> str:
    """Return the lines that places are within, in the file that has most of them."""
    if not places:
        return ""
    file = Counter(place.file for place in places).most_common(1)[0][0]
    lines = sorted({place.line for place in places if place.file == file and place.line})
    return f"{file}:{lines[0]}-{lines[-1]}" if lines else file
