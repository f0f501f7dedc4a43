"""Marks in a specification of 600 values: how many copied values name who copied them.

`python benchmarks/protect_figures.py`: about 2 minutes on one core. Values are made up, moved by 1 to 4 units
of their last digit; copies are read from a list of names and values, from the numbers alone in order, and
from the numbers alone in any order; three colluders average or mix theirs.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "protect"))
from specifications import specification, written
from table import print_table

from hanok.protect.accuse import accuse
from hanok.protect.figures import FigureMarks
from hanok.protect.tardos import Code

SECRET = bytes(range(32))
VALUES, LIMIT, RUNS = 600, 1e-6, 100


def figures_needed(marks: FigureMarks, recipients: int) -> int:
    """Least values, to 8 %, of which 99 % of copies name their copier."""
    code = Code(SECRET, marks.subject, marks.marks)
    words = code.words([f"recipient {row}" for row in range(recipients)]).astype(np.float64)
    groups = list(marks._marks_of.values())
    count = 20
    while count <= len(groups):
        hits = 0
        for run in range(RUNS):
            random = np.random.default_rng([run, count])
            guilty = int(random.integers(recipients))
            evidence = np.full(marks.marks, np.nan)
            for place in random.choice(len(groups), count, replace=False):
                evidence[groups[place]] = 2 * words[guilty][groups[place]] - 1
            hits += accuse(code.biases, words, evidence, LIMIT).accused.tolist() == [guilty]
        if hits >= 0.99 * RUNS:
            return count
        count = int(np.ceil(count * 1.08))
    return 0


def values_of(marks: FigureMarks, word: np.ndarray) -> list[tuple[str, str]]:
    (text,) = marks.embed(word).values()
    return [
        (each["name"], str(each["value"])) for each in tomllib.loads(text.decode(), parse_float=str)["value"]
    ]


def copies(marks: FigureMarks, folder: Path) -> list[list[str]]:
    """Rows: what was copied how, and who is named of 1,000."""
    code = Code(SECRET, marks.subject, marks.marks)
    words = code.words([f"recipient {row}" for row in range(1000)])
    random = np.random.default_rng(1)
    one, *others = (values_of(marks, words[row]) for row in range(3))
    some = np.sort(random.choice(VALUES, 150, replace=False))
    mixed = [
        random.choice([a[1], *rest])
        for a, *rest in zip(one, [b[1] for b in others[0]], [c[1] for c in others[1]], strict=True)
    ]
    means = [
        str((sum(map(Decimal, each)) / 3).quantize(Decimal(each[0])))
        for each in zip(*([value for _, value in copy] for copy in (one, *others)), strict=True)
    ]
    order = random.permutation(VALUES)
    kinds = {
        "all, with names": ([f"{name}: {value}" for name, value in one], 1),
        "150, with names": ([f"{one[place][0]}: {one[place][1]}" for place in some], 1),
        "all, numbers in order": ([value for _, value in one], 1),
        "150, numbers in order": ([one[place][1] for place in some], 1),
        "all, numbers in any order": ([one[place][1] for place in order], 1),
        "three mix their copies": (
            [f"{name}: {value}" for (name, _), value in zip(one, mixed, strict=True)],
            3,
        ),
        "three average their copies": (
            [f"{name}: {value}" for (name, _), value in zip(one, means, strict=True)],
            3,
        ),
    }
    rows = []
    for name, (lines, guilty) in kinds.items():
        evidence = marks.read(written(folder, "\n".join(lines), "leak.txt"))
        accusation = accuse(code.biases, words, evidence, LIMIT)
        named = accusation.accused.tolist()
        right = f"{sum(row < guilty for row in named)} of {guilty}"
        read = int((np.nan_to_num(evidence) != 0).sum())
        rows.append(
            [
                name,
                f"{read:,} of {marks.marks:,}",
                right,
                str(sum(row >= guilty for row in named)),
                f"{max(float(accusation.bounds.min()), 1e-99):.0e}",
            ]
        )
    return rows


def main() -> None:
    needed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for reach in (1, 2, 4):
            marks = FigureMarks(written(folder, specification(VALUES, reach=reach)), SECRET)
            counts = [str(figures_needed(marks, recipients)) for recipients in (10, 100, 1000)]
            needed.append([f"+-{reach} units of the last digit", str(marks.marks), *counts])
        print(f"copied values that name one of so many recipients in 99 % of copies, bound {LIMIT:g}")
        print_table(("values may move by", "marks in 600", "of 10", "of 100", "of 1,000"), needed)
        for reach in (1, 2):
            print(f"\n600 values, +-{reach} units of the last digit, 1,000 recipients")
            marks = FigureMarks(written(folder, specification(VALUES, reach=reach)), SECRET)
            print_table(("copy", "marks read", "named", "falsely", "bound"), copies(marks, folder))


if __name__ == "__main__":
    main()
