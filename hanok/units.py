"""Conversions between cycles, picoseconds, bytes and the units that people read."""


def ceil_div(dividend: int, divisor: int) -> int:
    """Return the smallest integer not below dividend / divisor (divisor > 0)."""
    return -(-dividend // divisor)


def align_up(value: int, granule: int) -> int:
    """Return the smallest multiple of granule that is not below value."""
    return ceil_div(value, granule) * granule


def cycles_to_ms(cycles: int, clock_mhz: int) -> float:
    """Return the milliseconds that `cycles` take at `clock_mhz`."""
    return cycles / (clock_mhz * 1e3)


def picoseconds_to_cycles(picoseconds: int, clock_mhz: int) -> int:
    """Return the first core cycle boundary that is not before `picoseconds`, in integer arithmetic."""
    return ceil_div(picoseconds * clock_mhz, 1_000_000)


def cycles_to_picoseconds(cycles: int, clock_mhz: int) -> int:
    """Return the start of core cycle `cycles` in picoseconds, rounded up."""
    return ceil_div(cycles * 1_000_000, clock_mhz)


def readable_bytes(count: int) -> str:
    """Return `count` bytes with a binary prefix and three significant digits."""
    value = float(count)
    for prefix in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {prefix}" if prefix == "B" else f"{value:.3g} {prefix}"
        value /= 1024
    return f"{value:.3g} TiB"
