"""The ledger of training compute: what each run took, measured or estimated, and the sum of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pydantic import model_validator

from hanok.rules._record import Line, NotNegative, Positive, Record, Words
from hanok.rules.exact import readable
from hanok.rules.facts import Fact
from hanok.rules.interval import NOTHING, Interval

FLOP_PER_PARAMETER_AND_TOKEN = 6
"""Of a dense transformer, both ways: Kaplan et al., 'Scaling Laws for Neural Language Models', 2020."""


class TrainingRun(Record):
    """One run: `flop`, or what the estimate of 6 x parameters x tokens needs, or an upper and a lower end."""

    name: Line
    flop: NotNegative | None = None
    flop_low: NotNegative | None = None
    flop_high: NotNegative | None = None
    parameters: Positive | None = None
    """That work on each token; of a mixture of experts, the active ones."""
    tokens: Positive | None = None
    epochs: Positive = Fraction(1)
    unknown: bool = False
    """That nobody says what it took, such as a base model's run."""
    source: Words = ""

    @model_validator(mode="after")
    def _one_way(self) -> TrainingRun:
        has_range = self.flop_low is not None or self.flop_high is not None
        has_estimate = self.parameters is not None and self.tokens is not None
        if sum((self.flop is not None, has_range, has_estimate, self.unknown)) != 1:
            raise ValueError(
                "give one of flop, flop_low and flop_high, parameters and tokens, unknown = true"
            )
        if self.flop_low is not None and self.flop_high is not None and self.flop_low > self.flop_high:
            raise ValueError("flop_low is above flop_high")
        return self


@dataclass(frozen=True)
class LedgerLine:
    """One run as the ledger shows it."""

    name: str
    flop: Interval
    how: str
    source: str


def ledger_lines(runs: Sequence[TrainingRun]) -> tuple[LedgerLine, ...]:
    """Return a line for each run."""
    return tuple(LedgerLine(run.name, *_flop(run), run.source) for run in runs)


def training_compute(lines: Sequence[LedgerLine]) -> Fact:
    """Return the sum over all lines, in FLOP; unknown where there is no line."""
    if not lines:
        return Fact(None, "no [[training_run]] is given")
    total = NOTHING
    for line in lines:
        total = total + line.flop
    if total == Interval(Fraction(0), None):
        return Fact(None, "no run says what it took")
    return Fact(total, f"ledger of {len(lines)} run{'' if len(lines) == 1 else 's'}")


def _flop(run: TrainingRun) -> tuple[Interval, str]:
    if run.unknown:
        return Interval(Fraction(0), None), "unknown"
    if run.flop is not None:
        return Interval.of(run.flop), "as given"
    if run.parameters is not None and run.tokens is not None:
        flop = FLOP_PER_PARAMETER_AND_TOKEN * run.parameters * run.tokens * run.epochs
        times = "" if run.epochs == 1 else f" x {readable(run.epochs)} epochs"
        how = f"6 x {readable(run.parameters)} parameters x {readable(run.tokens)} tokens{times}"
        return Interval.of(flop), how
    return Interval(run.flop_low or Fraction(0), run.flop_high), "a range, as given"
