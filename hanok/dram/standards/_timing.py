"""Rounding of nanoseconds to clock cycles, for the standards' tables."""

from __future__ import annotations

from collections.abc import Mapping


def cycles_of(nanoseconds: float, tck_fs: int, at_least: int = 0) -> int:
    """Return the fewest whole cycles that last `nanoseconds`, and not fewer than `at_least`."""
    return max(at_least, -(-round(nanoseconds * 1_000_000) // tck_fs))


def rescale(
    timings: Mapping[str, int], clocks: tuple[str, ...], tck_fs: int, new_tck_fs: int
) -> dict[str, int]:
    """Keep all nanoseconds at another clock, rounded up; those named in `clocks` keep their count."""
    return {
        name: count if name in clocks else -(-count * tck_fs // new_tck_fs) for name, count in timings.items()
    }
