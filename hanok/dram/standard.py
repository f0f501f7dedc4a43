"""What a DRAM standard is: organisation, timings, rules (one row each), energy figures and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hanok.numerics.ranges import Range


class Command(IntEnum):
    """Commands on the DRAM's buses; the numbers stand in command traces.

    An activate may take two commands: ACT1, then ACT, from which its timings count. PREA and REFA are for all
    banks of a pseudo-channel, REFB refreshes one bank.
    """

    ACT = 0
    PRE = 1
    PREA = 2
    RD = 3
    WR = 4
    REFA = 5
    ACT1 = 6
    REFB = 7


class Bus(IntEnum):
    """Which command bus of the channel carries a command."""

    ROW = 0
    COLUMN = 1


@dataclass(frozen=True)
class Form:
    """How a command lies on its bus: at cycle t it holds the cycles from t - `lead` to t + `tail`.

    t is a multiple of `align` (2 for commands that need a rising edge, where a cycle is half a clock).
    """

    bus: Bus
    lead: int = 0
    tail: int = 0
    align: int = 1


LEVELS = ("pseudo", "rank", "other_rank", "group", "bank")


@dataclass(frozen=True)
class Rule:
    """`after` comes at least `cycles` after the `window`-th last `before` in the same `level`.

    level is "pseudo" (pseudo-channel), "rank", "group" or "bank"; "other_rank" holds between two ranks (or
    stack identities) of one pseudo-channel. Commands of a whole pseudo-channel (PREA, REFA) stand in rules of
    the level "pseudo" alone.
    """

    level: str
    before: Command
    after: Command
    cycles: int
    formula: str
    window: int = 1

    def __str__(self) -> str:
        window = f", {self.window}th last" if self.window > 1 else ""
        return (
            f"{self.level}: {self.before.name} -> {self.after.name} at least {self.cycles} cycles"
            f" ({self.formula}{window})"
        )


@dataclass(frozen=True)
class RuleRow:
    """A row of a family's rule table, before a speed grade's timings are put in."""

    level: str
    before: tuple[Command, ...]
    after: tuple[Command, ...]
    formula: str
    window: int = 1


def evaluate_formula(formula: str, timings: Mapping[str, int]) -> int:
    """Return the value of a sum such as 'nCL + nBL + 2 - nCWL' under `timings`."""
    total, sign = 0, 1
    for token in formula.split():
        if token in "+-":
            sign = 1 if token == "+" else -1
        else:
            total += sign * (int(token) if token.isdigit() else timings[token])
    return total


def build_rules(rows: tuple[RuleRow, ...], timings: Mapping[str, int]) -> tuple[Rule, ...]:
    """Put `timings` (cycles) into a family's rows, one rule for each pair of commands."""
    return tuple(
        Rule(row.level, before, after, evaluate_formula(row.formula, timings), row.formula, row.window)
        for row in rows
        for before in row.before
        for after in row.after
    )


@dataclass(frozen=True)
class Organisation:
    """Powers of two: what one channel is made of. A column is one burst."""

    pseudo_channels: int
    ranks: int
    groups: int
    banks_per_group: int
    rows: int
    columns: int

    @property
    def banks(self) -> int:
        """Banks of a pseudo-channel, over all ranks and groups."""
        return self.ranks * self.groups * self.banks_per_group


@dataclass(frozen=True)
class Energy:
    """Picojoules for each command of one pseudo-channel, milliwatts of background for each channel.

    low and high span what the sources leave open.
    """

    activate_precharge_pj: Range
    read_pj: Range
    write_pj: Range
    refresh_pj: Range
    """Of all banks of a pseudo-channel (REFA)."""
    bank_refresh_pj: Range
    """Of one bank (REFB); nothing where the standard has none."""
    background_mw: Range
    source: str


@dataclass(frozen=True)
class Standard:
    """One speed grade and density of one standard.

    All times are cycles of `tck_fs` femtoseconds: the command clock, or half of it (`clock_cycles` 2) where
    row commands take half clocks.
    """

    name: str
    family: str
    speed_mbps: int
    """Mb/s a data pin."""
    density_gbit: int
    """Of one channel (HBM) or one die (others), as tRFC depends on it."""
    tck_fs: int
    clock_cycles: int
    burst_bytes: int
    burst_cycles: int
    read_latency_cycles: int
    write_latency_cycles: int
    refresh_interval_cycles: int
    bank_refresh_interval_cycles: int
    """From one REFB of a pseudo-channel to the next, over all its banks in turn; 0: it has none."""
    organisation: Organisation
    forms: Mapping[Command, Form]
    """The commands that the standard has, and how each lies on its bus."""
    activate_gap_cycles: tuple[int, int]
    """ACT comes at least and at most so many cycles after its ACT1; (0, 0): an activate is one command."""
    rules: tuple[Rule, ...]
    mapping: str
    energy: Energy
    sources: Mapping[str, str] = field(default_factory=dict)
    derived: str = ""
    """How figures without a public document were made; empty when there are none."""
    stack_channels: int = 1
    """Channels of one package: a stack (HBM), a die (others)."""
    timings: Mapping[str, int] = field(default_factory=dict)
    """In cycles, by the names that the formulas of `rows` use."""
    rows: tuple[RuleRow, ...] = ()
    """What `rules` was built from."""

    @property
    def tck_ps(self) -> float:
        """Length of a cycle in picoseconds."""
        return self.tck_fs / 1000

    @property
    def peak_bytes_per_second(self) -> float:
        """Data-bus bandwidth of one channel (all of its pseudo-channels)."""
        return self.organisation.pseudo_channels * self.burst_bytes * 1e15 / (self.burst_cycles * self.tck_fs)

    @property
    def channel_bytes(self) -> int:
        """Capacity of one channel."""
        shape = self.organisation
        return shape.pseudo_channels * shape.banks * shape.rows * shape.columns * self.burst_bytes

    def delay(self, level: str, before: Command, after: Command, window: int = 1) -> int:
        """Return the largest delay, in cycles, that the rules ask for in this place; 0 when none does."""
        return max(
            (
                rule.cycles
                for rule in self.rules
                if (rule.level, rule.before, rule.after, rule.window) == (level, before, after, window)
            ),
            default=0,
        )


@dataclass(frozen=True)
class FlatMemory:
    """Memory without banks: a bandwidth and a latency, for comparison with tools that know no more."""

    name: str
    megabytes_per_second: int
    latency_ps: int
    burst_bytes: int = 32

    @property
    def burst_fs(self) -> int:
        """Femtoseconds that a burst takes on a channel, rounded up."""
        return -(-self.burst_bytes * 1_000_000_000 // self.megabytes_per_second)

    @property
    def peak_bytes_per_second(self) -> float:
        """Bandwidth of one channel."""
        return self.megabytes_per_second * 1e6
