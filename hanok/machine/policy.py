"""What a memory controller may choose where the standard leaves it free: queues, pages, refresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Strict

from hanok.errors import ChipError

MAX_QUEUE = 256
MAX_POSTPONED = 8
"""Refreshes that may be postponed (JESD235, JESD238, JESD209-5, JESD79-5)."""


Whole = Annotated[int, Strict()]


@dataclass(frozen=True)
class Policy:
    """A controller's choices, the same for each pseudo-channel. Raises ChipError for what cannot work."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=False)

    page: Literal["open", "closed"] = "open"
    """open: a row stays open until another is wanted. closed: until no queued request wants it."""
    row_hit_cap: Whole = 16
    """Younger row hits that may pass an older request for another row of their bank (FR-FCFS with a cap)."""
    read_queue: Whole = 64
    write_queue: Whole = 64
    """Entries, for each pseudo-channel."""
    write_high: Whole = 48
    """So many queued writes, or no queued read, begin a drain."""
    write_low: Whole = 16
    """Fewer queued writes than this, with a read waiting, end it."""
    refresh: Literal["all_bank", "per_bank", "none"] = "all_bank"
    postponed_refreshes: Whole = 0
    """Refreshes that may wait while requests are queued; they are made up as soon as none is.

    One less than the standards allow, since banks must still be closed when the last one is due.
    """

    def __post_init__(self) -> None:
        for name, low, high in (
            ("row_hit_cap", 0, 1 << 20),
            ("read_queue", 1, MAX_QUEUE),
            ("write_queue", 1, MAX_QUEUE),
            ("write_high", 1, self.write_queue),
            ("write_low", 0, self.write_high),
            ("postponed_refreshes", 0, MAX_POSTPONED - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ChipError(f"memory controller: {name} is {value}; allowed: {low}..{high}")
        for name, allowed in (("page", ("open", "closed")), ("refresh", ("all_bank", "per_bank", "none"))):
            if getattr(self, name) not in allowed:
                raise ChipError(
                    f"memory controller: {name} is '{getattr(self, name)}'; allowed: {', '.join(allowed)}"
                )
