"""A table of quality by subgroup: the float model against the quantised one, with intervals of confidence.

Accuracies have Wilson's interval; the change from float to quantised, which is of the same samples, has
Bonett and Price's adjusted interval for paired proportions ('Adjusted Wald confidence interval for a
difference of binomial proportions based on paired data', 2012). The level holds for all subgroups together
(Bonferroni). The table says where quality changed; whether that is fair is for people to say.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist

from hanok.rules.errors import RulesError

COLUMNS = ("subgroup", "label", "float", "quantised")
LEVEL = 0.95
FEW_SAMPLES = 30
MAX_ROWS = 5_000_000
MAX_SUBGROUPS = 200
MAX_CELL = 200


@dataclass(frozen=True)
class Proportion:
    """A share with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SubgroupRow:
    """One subgroup: how often each model is right, and what changed between them."""

    subgroup: str
    samples: int
    float_right: Proportion
    quantised_right: Proportion
    change: Proportion
    """Quantised less float."""
    lost: int
    """Samples that the float model has right and the quantised one wrong."""
    won: int

    @property
    def finding(self) -> str:
        """What the interval of the change says."""
        if self.samples < FEW_SAMPLES:
            return f"fewer than {FEW_SAMPLES} samples"
        if self.change.high < 0:
            return "worse"
        return "better" if self.change.low > 0 else "no change is seen"


@dataclass(frozen=True)
class FairnessTable:
    """All subgroups in the order of their names, and all samples as the last row."""

    rows: tuple[SubgroupRow, ...]
    whole: SubgroupRow
    source: str

    @property
    def widest_gap(self) -> tuple[str, str, float]:
        """The subgroups whose changes differ most, the one that lost more first, and by how much."""
        low = min(self.rows, key=lambda row: row.change.value)
        high = max(self.rows, key=lambda row: row.change.value)
        return low.subgroup, high.subgroup, high.change.value - low.change.value


def fairness_table(path: str | Path) -> FairnessTable:
    """Return the table of a CSV file of predictions with the columns of COLUMNS (others are ignored).

    Raises RulesError for missing columns, empty cells, and more rows or subgroups than the limits.
    """
    counts: dict[str, list[int]] = {}
    for subgroup, label, float_answer, quantised_answer in _rows(Path(path)):
        cells = counts.setdefault(subgroup, [0, 0, 0, 0])
        if len(counts) > MAX_SUBGROUPS:
            raise RulesError(f"{path}: more than {MAX_SUBGROUPS} subgroups; join some")
        cells[2 * (float_answer != label) + (quantised_answer != label)] += 1
    if not counts:
        raise RulesError(f"{path}: no row of predictions")
    quantile = NormalDist().inv_cdf(1 - (1 - LEVEL) / (2 * len(counts)))
    rows = tuple(subgroup_row(name, counts[name], quantile) for name in sorted(counts))
    sums = [sum(cells[place] for cells in counts.values()) for place in range(4)]
    return FairnessTable(rows, subgroup_row("all", sums, NormalDist().inv_cdf((1 + LEVEL) / 2)), str(path))


def subgroup_row(name: str, cells: list[int], quantile: float) -> SubgroupRow:
    """Return a row from the counts (both right, float alone right, quantised alone right, both wrong)."""
    both, lost, won, _ = cells
    samples = sum(cells)
    return SubgroupRow(
        name,
        samples,
        wilson(both + lost, samples, quantile),
        wilson(both + won, samples, quantile),
        paired_change(lost, won, samples, quantile),
        lost,
        won,
    )


def wilson(right: int, samples: int, quantile: float) -> Proportion:
    """Wilson's interval of a share."""
    share, square = right / samples, quantile * quantile
    middle = (share + square / (2 * samples)) / (1 + square / samples)
    half = (
        quantile
        * sqrt(share * (1 - share) / samples + square / (4 * samples * samples))
        / (1 + square / samples)
    )
    return Proportion(share, max(0.0, middle - half), min(1.0, middle + half))


def paired_change(lost: int, won: int, samples: int, quantile: float) -> Proportion:
    """Bonett and Price's interval of (won - lost) / samples."""
    one, two = (won + 1) / (samples + 2), (lost + 1) / (samples + 2)
    half = quantile * sqrt((one + two - (one - two) ** 2) / (samples + 2))
    return Proportion((won - lost) / samples, max(-1.0, one - two - half), min(1.0, one - two + half))


def _rows(path: Path) -> Iterator[tuple[str, str, str, str]]:
    try:
        if not path.is_file():
            raise RulesError(f"{path}: there is no such file")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise RulesError(f"{path}: no column {', '.join(absent)}; needed are {', '.join(COLUMNS)}")
            for number, row in enumerate(reader, 2):
                if number > MAX_ROWS + 1:
                    raise RulesError(f"{path}: more than {MAX_ROWS:,} rows")
                cells = [(row[name] or "").strip() for name in COLUMNS]
                for name, cell in zip(COLUMNS, cells, strict=True):
                    if not cell or len(cell) > MAX_CELL:
                        found = "is empty" if not cell else f"has {len(cell)} characters"
                        raise RulesError(f"{path}: row {number}: {name} {found}; allowed: 1..{MAX_CELL}")
                yield cells[0], cells[1], cells[2], cells[3]
    except UnicodeDecodeError as error:
        raise RulesError(f"{path}: not UTF-8 near byte {error.start}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise RulesError(f"{path}: cannot be read: {getattr(error, 'strerror', '') or error}") from None
