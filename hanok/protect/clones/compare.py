"""Is a design in a suspect: scores, what chance would explain of them, and which part stands where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from hanok.protect.clones._matches import RegionMatch, RegisterMatch, match_regions, match_registers
from hanok.protect.clones._score import Bag, family_scores
from hanok.protect.clones.background import Background, Sketch, different, sketch_of
from hanok.protect.clones.fingerprint import FAMILIES, Fingerprint

CEILINGS = {"text": 1.0, "cells": 1.0, "registers": 1.0, "gates": 1.0}
"""What unrelated designs reach at most, by family, as measured: in units of it families are comparable."""


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
    regions: tuple[RegionMatch, ...]
    registers: tuple[RegisterMatch, ...]
    notes: tuple[str, ...]

    @property
    def resolution(self) -> float:
        """The smallest p-value that so many unrelated designs can give."""
        return 1 / (self.unrelated + 1)


def compare(
    suspect: Fingerprint,
    ours: Fingerprint,
    background: Background,
    families: Collection[str] = FAMILIES,
) -> Comparison:
    """Say how much of ours is in the suspect; both may be of any size.

    The p-value is conformal: the rank of the score among those of designs that are as unrelated as the null
    hypothesis says, counted both ways, the larger of both. It is valid for a design that could as well have
    stood among them (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).
    """
    ours_sketch, suspect_sketch = sketch_of(ours), sketch_of(suspect)
    whole = {family: np.unique(suspect.families[family].hashes) for family in FAMILIES}
    bag = Bag(background, ours_sketch)
    once = dict.fromkeys(FAMILIES, 1)

    def of_ours(member: Sketch) -> dict[str, tuple[float, float]]:
        return family_scores(bag, member, whole, once, True)

    other_bag = Bag(background, suspect_sketch)

    def of_suspect(member: Sketch) -> dict[str, tuple[float, float]]:
        found = {family: np.sort(member.hashes[family]) for family in FAMILIES}
        return family_scores(other_bag, ours_sketch, found, member.steps, False)

    measured = of_ours(ours_sketch)
    score = joined(measured, families)
    forth = [joined(of_ours(member), families) for member in background.sketches]
    reached = joined(of_suspect(suspect_sketch), families)
    back = [joined(of_suspect(member), families) for member in background.sketches]
    forth_p = (1 + sum(other >= score for other in forth)) / (len(background) + 1)
    back_p = (1 + sum(other >= reached for other in back)) / (len(background) + 1)
    notes = [f"suspect: {note}" for note in suspect.notes] + [f"ours: {note}" for note in ours.notes]
    return Comparison(
        suspect.name,
        ours.name,
        tuple(
            FamilyScore(
                family,
                len(different(ours.families[family])),
                len(whole[family]),
                *measured[family],
                joined(measured, (family,)),
            )
            for family in FAMILIES
            if family in families
        ),
        score,
        max(forth_p, back_p),
        forth_p,
        back_p,
        len(background),
        match_regions(suspect, ours, bag, families),
        match_registers(suspect, ours, bag, families),
        tuple(notes),
    )


def joined(scores: Mapping[str, tuple[float, float]], families: Collection[str]) -> float:
    """Return one score: the highest of the families, each the mean of whole and part by its ceiling."""
    return max(sum(scores[family]) / 2 / CEILINGS[family] for family in families)
