"""Where roofline axes, roofs and points lie on a drawing of fixed size; log scales on both axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

from hanok.flows.results import RunRecord

WIDTH, HEIGHT = 640, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 24, 16, 46


@dataclass(frozen=True)
class Tick:
    """A labelled grid line at a pixel."""

    position: float
    label: str


@dataclass(frozen=True)
class Point:
    """One layer: pixel, radius by its share of time, and its figures for the tooltip."""

    x: float
    y: float
    radius: float
    layer: int
    operations_per_byte: float
    operations_per_second: float


@dataclass(frozen=True)
class Roofline:
    """Everything that the template draws."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    roof: tuple[tuple[float, float], ...]
    points: tuple[Point, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class _Axis:
    low: int
    high: int
    first: float
    last: float

    def at(self, value: float) -> float:
        part = (log10(value) - self.low) / (self.high - self.low)
        return round(self.first + (self.last - self.first) * min(1.0, max(0.0, part)), 2)

    def ticks(self, unit: str) -> tuple[Tick, ...]:
        return tuple(
            Tick(self.at(10.0**power), _power(power, unit)) for power in range(self.low, self.high + 1)
        )


def _power(power: int, unit: str) -> str:
    prefixes = {-1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P"}
    prefix = prefixes.get(power // 3, "?") if unit else ""
    value = 10 ** (power % 3) if unit else (10**power if power >= 0 else 10.0**power)
    return f"{value:g} {prefix}{unit}".strip()


def lay_out(record: RunRecord) -> Roofline | None:
    """Place every layer that multiplies; None where there is nothing to place."""
    rows = [
        (
            number,
            2 * layer.macs / max(1, layer.dram_bytes),
            layer.utilisation * record.chip.peak_tops * 1e12,
            layer.cycles,
        )
        for number, layer in enumerate(record.layers)
        if layer.macs and layer.utilisation > 0
    ]
    bandwidth, peak = record.chip.dram_bytes_per_second, record.chip.peak_tops * 1e12
    if not rows or bandwidth <= 0:
        return None
    ridge = peak / bandwidth
    intensities = [row[1] for row in rows] + [ridge]
    rates = [row[2] for row in rows] + [peak]
    x_axis = _Axis(
        floor(log10(min(intensities))),
        max(ceil(log10(max(intensities))), ceil(log10(ridge)) + 1),
        _LEFT,
        WIDTH - _RIGHT,
    )
    y_axis = _Axis(floor(log10(min(rates) / 2)), ceil(log10(peak * 1.2)), HEIGHT - _BOTTOM, _TOP)
    start = max(10.0**x_axis.low, 10.0**y_axis.low / bandwidth)
    roof = ((start, start * bandwidth), (ridge, peak), (10.0**x_axis.high, peak))
    total = max(1, record.cycles)
    points = tuple(
        Point(x_axis.at(x), y_axis.at(y), round(3 + 14 * (cycles / total) ** 0.5, 2), number, x, y)
        for number, x, y, cycles in rows
    )
    return Roofline(
        x_axis.ticks(""), y_axis.ticks("OP/s"), tuple((x_axis.at(x), y_axis.at(y)) for x, y in roof), points
    )
