"""Three-valued logic: yes, no, and unknown, which stays unknown unless the other operand decides (Kleene)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Truth(Enum):
    """What is known of a statement."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __invert__(self) -> Truth:
        return {Truth.YES: Truth.NO, Truth.NO: Truth.YES}.get(self, Truth.UNKNOWN)

    @classmethod
    def of(cls, value: bool) -> Truth:
        """The truth of what is known."""
        return cls.YES if value else cls.NO


def all_of(parts: Iterable[Truth]) -> Truth:
    """No where any part is no, yes where all are yes, otherwise unknown."""
    found = set(parts)
    if Truth.NO in found:
        return Truth.NO
    return Truth.UNKNOWN if Truth.UNKNOWN in found else Truth.YES


def any_of(parts: Iterable[Truth]) -> Truth:
    """Yes where any part is yes, no where all are no, otherwise unknown."""
    return ~all_of(~part for part in parts)
