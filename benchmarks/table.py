"""Tables that benchmarks print: figures beside what is required of them; needs nothing but Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement: the smaller the better."""

    what: str
    must: float
    aim: float
    measured: float
    unit: str

    @property
    def verdict(self) -> str:
        """Whether the figure is as required."""
        if self.measured <= self.aim:
            return "aim reached"
        return "met" if self.measured <= self.must else "MISSED"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        figures = (f"{number:.3g} {self.unit}" for number in (self.must, self.aim, self.measured))
        return (self.what, *figures, self.verdict)


HEADINGS = ("what", "required", "aim", "measured", "verdict")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell: the first to the left, the others to the right."""
    lines = [tuple(headings), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells), flush=True)
        if number == 0:
            print("  ".join("-" * width for width in widths))
