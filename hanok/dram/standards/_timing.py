"""Nanoseconds and clocks to cycles, for the standards' tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def clock_fs(speed_mbps: int, bits_a_clock: int) -> int:
    """Return the length in femtoseconds, to the nearest, of a clock that moves so many bits of a pin."""
    return round(bits_a_clock * 1_000_000_000 / speed_mbps)


def cycles_of(nanoseconds: float, tck_fs: int, at_least: int = 0) -> int:
    """Return the fewest whole cycles that last `nanoseconds`, and not fewer than `at_least`.

    A clock of which thirds of femtoseconds were cut off (DDR5-4800) must not cost a cycle more, so a cycle
    counts as a femtosecond longer.
    """
    return max(at_least, -(-round(nanoseconds * 1_000_000) // (tck_fs + 1)))


def cycles_within(nanoseconds: float, tck_fs: int) -> int:
    """Return the most whole cycles that last no longer than `nanoseconds`, for intervals."""
    return round(nanoseconds * 1_000_000) // tck_fs


def rescale(
    timings: Mapping[str, int], in_clocks: Collection[str], tck_fs: int, new_tck_fs: int
) -> dict[str, int]:
    """Keep all times at another clock, rounded up; those named in `in_clocks` keep their count."""
    return {
        name: count if name in in_clocks else -(-count * tck_fs // (new_tck_fs + 1))
        for name, count in timings.items()
    }


def doubled(timings: Mapping[str, int]) -> dict[str, int]:
    """Return clocks as half clocks."""
    return {name: 2 * count for name, count in timings.items()}
