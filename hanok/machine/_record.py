"""What the records of a chip file share: they are frozen, and take nothing unknown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record that refuses unknown fields and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def power_of_two(value: int) -> int:
    """Return the value, or refuse it."""
    if value & (value - 1):
        raise ValueError(f"{value} is not a power of two")
    return value
