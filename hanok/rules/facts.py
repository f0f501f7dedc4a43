"""Facts: what is known of a chip or a system, each with where it comes from, or with what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hanok.rules.interval import Interval

Value = Interval | bool | str
"""Of a number, of a flag, of a choice."""


@dataclass(frozen=True)
class Fact:
    """What is known of one quantity; `value` None: nothing, and `source` says why."""

    value: Value | None
    source: str

    @property
    def exact(self) -> bool:
        """One value and no other."""
        return self.value is not None and (
            not isinstance(self.value, Interval) or self.value.value is not None
        )

    @property
    def shown(self) -> str:
        """The value as people read it."""
        if self.value is None:
            return "unknown"
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return str(self.value)


Facts = Mapping[str, Fact]


def number(value: Fraction | int, source: str) -> Fact:
    """An exact number."""
    return Fact(Interval.of(value), source)


def flag(value: bool, source: str) -> Fact:
    """Yes or no."""
    return Fact(value, source)
