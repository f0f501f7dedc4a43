"""How near translations are to those of a catalogue: chrF, exact matches, and spans that came through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

LONGEST_GROUP = 6
RECALL_WEIGHT = 2.0


def chrf(made: Sequence[str], wanted: Sequence[str]) -> float:
    """chrF2 of a corpus, 0..100: groups of 1 to 6 characters without white space (Popović 2015)."""
    precision = recall = 0.0
    for length in range(1, LONGEST_GROUP + 1):
        common = ours = theirs = 0
        for first, second in zip(made, wanted, strict=True):
            found, known = _groups(first, length), _groups(second, length)
            common += sum((found & known).values())
            ours += sum(found.values())
            theirs += sum(known.values())
        precision += common / max(ours, 1) / LONGEST_GROUP
        recall += common / max(theirs, 1) / LONGEST_GROUP
    weight = RECALL_WEIGHT**2
    below = weight * precision + recall
    return 100 * (1 + weight) * precision * recall / below if below else 0.0


def _groups(text: str, length: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[place : place + length] for place in range(len(letters) - length + 1))


def exact(made: Sequence[str], wanted: Sequence[str]) -> float:
    """The share of translations that are the catalogue's."""
    return sum(first == second for first, second in zip(made, wanted, strict=True)) / len(made)
