"""Is a design in a suspect: scores, what chance would explain of them, and which part stands where."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hanok.protect.clones._matches import RegionMatch, RegisterMatch, match_regions, match_registers
from hanok.protect.clones._score import Bag, family_scores
from hanok.protect.clones.background import Background, Sketch, different, sketch_of
from hanok.protect.clones.fingerprint import FAMILIES, Fingerprint

CEILINGS = {"text": 0.4, "cells": 0.4, "registers": 0.2, "gates": 0.15}
"""What unrelated designs rarely reach, by family: in units of it families are comparable.

Rounded from the first trials of `benchmarks/protect_clones.py`. The p-value holds whatever they are.
"""

MAY_BE_A_VERSION = 1.0
"""A score that unrelated designs rarely reach: a background design that has so much of ours is told of."""


@dataclass(frozen=True)
class FamilyScore:
    """One kind of features: how many ours has, how much of their weight the suspect has, 0 to 1."""

    family: str
    ours: int
    suspect: int
    whole: float
    part: float
    """In the quarter of ours that is found best."""
    score: float
    """Both in one, in units of what unrelated designs reach."""


@dataclass(frozen=True)
class Comparison:
    """What was found. `p_value`: how often a design that has nothing to do with the other scores as high."""

    suspect: str
    ours: str
    families: tuple[FamilyScore, ...]
    score: float
    p_value: float
    p_value_ours: float
    """The share of unrelated designs, ours among them, of which at least as much is in the suspect."""
    p_value_suspect: float
    """The share of unrelated designs, the suspect among them, that have at least as much of ours."""
    unrelated: int
    house: int
    """Of the unrelated designs, those that the user gave."""
    regions: tuple[RegionMatch, ...]
    registers: tuple[RegisterMatch, ...]
    notes: tuple[str, ...]

    @property
    def resolution(self) -> float:
        """The smallest p-value that so many unrelated designs can give."""
        return 1 / (self.unrelated + 1)


@dataclass(frozen=True)
class Ranking:
    """A score, whole and part by family, and its rank among unrelated designs, both ways."""

    measured: Mapping[str, tuple[float, float]]
    score: float
    p_value_ours: float
    p_value_suspect: float

    @property
    def p_value(self) -> float:
        """The larger of both: valid if either is."""
        return max(self.p_value_ours, self.p_value_suspect)


def compare(
    suspect: Fingerprint,
    ours: Fingerprint,
    background: Background,
    families: Collection[str] = FAMILIES,
    house: Sequence[Fingerprint] = (),
) -> Comparison:
    """Say how much of ours is in the suspect, where, and what chance explains; both may be of any size.

    `house` are designs of the user's that have nothing to do with either side; they join the background.
    """
    background = background.joined_by(house)
    ranking = rank(suspect, ours, background, families)
    bag = Bag(background, sketch_of(ours))
    counted = {
        family: (len(different(ours.families[family])), len(different(suspect.families[family])))
        for family in FAMILIES
    }
    rows = tuple(
        FamilyScore(family, *counted[family], *ranking.measured[family], joined(ranking.measured, (family,)))
        for family in FAMILIES
        if family in families
    )
    notes = [f"suspect: {note}" for note in suspect.notes] + [f"ours: {note}" for note in ours.notes]
    notes += _house_notes(suspect, ours, background, families, house)
    return Comparison(
        suspect=suspect.name,
        ours=ours.name,
        families=rows,
        score=ranking.score,
        p_value=ranking.p_value,
        p_value_ours=ranking.p_value_ours,
        p_value_suspect=ranking.p_value_suspect,
        unrelated=len(background),
        house=len(house),
        regions=match_regions(suspect, ours, bag, families),
        registers=match_registers(suspect, ours, bag, families),
        notes=tuple(notes),
    )


def _house_notes(
    suspect: Fingerprint,
    ours: Fingerprint,
    background: Background,
    families: Collection[str],
    house: Sequence[Fingerprint],
) -> Iterator[str]:
    """Yield what speaks against designs of the house as unrelated ones: each would hide a copy."""
    for design in house:
        yield from (f"background {design.name}: {note}" for note in design.notes)
        score = score_alone(design, ours, background, families)
        if score >= MAY_BE_A_VERSION:
            yield (
                f"background {design.name} has much of ours (score {score:.2f}): if it is a version of ours "
                "or holds it, it hides a copy; leave it out"
            )
        score = score_alone(suspect, design, background, families)
        if score >= MAY_BE_A_VERSION:
            yield (
                f"the suspect has much of background {design.name} (score {score:.2f}): that may be a copy "
                "too, and hides this one; leave it out, and compare the suspect with it"
            )


def rank(
    suspect: Fingerprint, ours: Fingerprint, background: Background, families: Collection[str] = FAMILIES
) -> Ranking:
    """Return the score of ours in the suspect, and its rank among those of unrelated designs.

    The p-values are conformal: a share of designs that score as high, the one in question among them. Each is
    valid for a design that could as well have stood among the unrelated ones (Vovk, Gammerman and Shafer,
    "Algorithmic Learning in a Random World", 2005): one for ours in the suspect's place, one for the suspect.
    """
    ours_sketch, suspect_sketch = sketch_of(ours), sketch_of(suspect)
    bag = Bag(background, ours_sketch)
    measured = _of_ours(ours_sketch, suspect, bag, families)
    score = joined(measured, families)
    forth = [joined(_of_ours(each, suspect, bag, families), families) for each in background.sketches]
    bag = Bag(background, suspect_sketch)
    reached = _of_suspect(suspect_sketch, ours_sketch, bag, families)
    back = [_of_suspect(each, ours_sketch, bag, families) for each in background.sketches]
    return Ranking(measured, score, _share(forth, score), _share(back, reached))


def score_alone(
    suspect: Fingerprint, ours: Fingerprint, background: Background, families: Collection[str] = FAMILIES
) -> float:
    """Return the score of `rank`, without its rank."""
    sketch = sketch_of(ours)
    return joined(_of_ours(sketch, suspect, Bag(background, sketch), families), families)


def _share(others: list[float], score: float) -> float:
    return (1 + sum(other >= score for other in others)) / (len(others) + 1)


def _of_ours(
    member: Sketch, suspect: Fingerprint, bag: Bag, families: Collection[str]
) -> dict[str, tuple[float, float]]:
    """Return how much of a member of the bag is in the suspect, by family."""
    return family_scores(bag, member, suspect.sorted_hashes, dict.fromkeys(FAMILIES, 1), families, True)


def _of_suspect(member: Sketch, ours: Sketch, bag: Bag, families: Collection[str]) -> float:
    """Return the score of ours in a member of the bag."""
    found = {family: np.sort(member.hashes[family]) for family in FAMILIES}
    return joined(family_scores(bag, ours, found, member.steps, families, False), families)


def joined(scores: Mapping[str, tuple[float, float]], families: Collection[str]) -> float:
    """Return one score: the highest of the families, each the mean of whole and part by its ceiling."""
    return max(sum(scores[family]) / 2 / CEILINGS[family] for family in families)
