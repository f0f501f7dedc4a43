"""Where the drawings of a DRAM report put their bars, lines and labels, in pixels of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from hanok.dram.mapping import LETTERS
from hanok.flows.dram_results import DramRecord
from hanok.report import text as _format
from hanok.units import align_up

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 16, 30
_OVERLAP = 0.4
"""Of bars without a gap, so that no seam shows where a pixel is rounded."""


@dataclass(frozen=True)
class Label:
    """A word at a pixel of an axis."""

    position: float
    text: str


@dataclass(frozen=True)
class Bar:
    """Reads below, writes on top of them."""

    x: float
    width: float
    read_y: float
    read_height: float
    write_y: float
    write_height: float
    tip: str


@dataclass(frozen=True)
class Chart:
    """Bars or areas over two axes, and the lines drawn across them."""

    width: int
    height: int
    x_labels: tuple[Label, ...]
    y_labels: tuple[Label, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Label, ...] = ()
    """Upright lines (latency) or level ones (bandwidth, balance)."""
    left: int = _LEFT
    top: int = _TOP

    @property
    def right(self) -> int:
        """Where the drawing ends."""
        return self.width - _RIGHT

    @property
    def bottom(self) -> int:
        """Where the bars stand."""
        return self.height - _BOTTOM


@dataclass(frozen=True)
class AddressBit:
    """One bit of a byte address and the field that it belongs to."""

    bit: int
    field: str
    tip: str


def nanoseconds(value: float) -> str:
    """Return a time given in nanoseconds with its unit."""
    if value == 0:
        return "0"
    if 1 <= value < 1000:
        return f"{_format.significant(value)} ns"
    return _format.milliseconds(value * 1e-6).replace(" us", " µs")


def traffic_chart(record: DramRecord, width: int = 1220, height: int = 230) -> Chart:
    """Draw bandwidth over time, against the peak."""
    traffic = record.traffic
    reads = [moved / traffic.slice_ns for moved in traffic.read_bytes]
    writes = [moved / traffic.slice_ns for moved in traffic.write_bytes]
    tips = [
        f"{nanoseconds(number * traffic.slice_ns)}: {_format.significant(read)} GB/s read, "
        f"{_format.significant(write)} GB/s written"
        for number, (read, write) in enumerate(zip(reads, writes, strict=True))
    ]
    peak = record.peak_bytes_per_second / 1e9
    top = 1.08 * max([peak, *(read + write for read, write in zip(reads, writes, strict=True))])
    span = traffic.slice_ns * len(reads)
    room = width - _LEFT - _RIGHT
    marks = (Label(_height(peak, top, height), f"peak {_format.significant(peak)} GB/s"),)
    ticks = tuple(
        Label(round(_LEFT + room * at / span, 2), nanoseconds(at)) for at in _steps(span, room // 120)
    )
    return Chart(
        width,
        height,
        ticks,
        _levels(top, height, ""),
        _bars(reads, writes, tips, top, width, height, 0.0),
        marks,
    )


def latency_chart(record: DramRecord, width: int = 600, height: int = 250) -> Chart:
    """Draw the latency histogram over a logarithmic axis, with its percentiles."""
    found = record.histogram
    reads, writes = [float(n) for n in found.reads], [float(n) for n in found.writes]
    tips = [
        f"{nanoseconds(low)} to {nanoseconds(high)}: {read:,} reads, {write:,} writes"
        for (low, high), read, write in zip(pairwise(found.edges_ns), found.reads, found.writes, strict=True)
    ]
    top = 1.12 * max(1.0, *(read + write for read, write in zip(reads, writes, strict=True)))
    low, high = log10(found.edges_ns[0]), log10(found.edges_ns[-1])
    room = width - _LEFT - _RIGHT

    def across(value: float) -> float:
        return round(_LEFT + room * (log10(max(value, found.edges_ns[0])) - low) / (high - low), 2)

    ticks = tuple(
        Label(across(value), nanoseconds(value)) for value in _decades(found.edges_ns[0], found.edges_ns[-1])
    )
    every = record.latencies[0]
    marks = tuple(
        Label(across(value), name)
        for name, value in (("p50", every.p50_ns), ("p99", every.p99_ns), ("max", every.max_ns))
    )
    bars = _bars(reads, writes, tips, top, width, height, 0.8)
    return Chart(width, height, _apart(ticks, 46), _levels(top, height, ""), bars, _apart(marks, 26))


def balance_chart(record: DramRecord, width: int = 600, height: int = 250) -> Chart:
    """Draw each pseudo-channel's share of the requests, against an even share."""
    total = max(1, record.requests)
    reads = [100 * load.reads / total for load in record.loads]
    writes = [100 * load.writes / total for load in record.loads]
    tips = [
        f"channel {load.channel}, pseudo-channel {load.pseudo}: {load.requests:,} requests "
        f"({_format.percent(load.requests / total)}), {load.writes:,} of them writes"
        for load in record.loads
    ]
    even = 100 / len(record.loads)
    top = 1.12 * max(
        2 * even if len(record.loads) > 1 else even, *(a + b for a, b in zip(reads, writes, strict=True)), 0.0
    )
    room = width - _LEFT - _RIGHT
    each = room / len(record.loads)
    step = ceil(len(record.loads) * 34 / room)
    if step > 1:
        step = align_up(step, record.standard.pseudo_channels)
    ticks = tuple(
        Label(round(_LEFT + each * (number + 0.5), 2), f"{load.channel}.{load.pseudo}")
        for number, load in enumerate(record.loads)
        if number % step == 0
    )
    marks = (Label(_height(even, top, height), "even share"),)
    gap = min(2.0, each * 0.2)
    return Chart(
        width,
        height,
        ticks,
        _levels(top, height, " %"),
        _bars(reads, writes, tips, top, width, height, gap),
        marks,
    )


def address_bits(record: DramRecord) -> tuple[AddressBit, ...]:
    """Return every bit of a byte address, highest first, with the field that it belongs to."""
    hashed: dict[str, list[str]] = {}
    for term in record.mapping_hashes:
        target, *sources = term.split("^")
        hashed.setdefault(target, []).extend(sources)
    low = record.standard.burst_bytes.bit_length() - 1
    total = low + len(record.mapping_letters)
    left = {letter: record.mapping_letters.count(letter) for letter in LETTERS}
    bits = []
    for number, letter in enumerate(record.mapping_letters):
        left[letter] -= 1
        place = f"{LETTERS[letter]} bit {left[letter]}"
        sources = [
            f"{LETTERS[source[0]]} bit {source[1:]}" for source in hashed.get(f"{letter}{left[letter]}", ())
        ]
        tip = " XOR ".join([place, *sources])
        bits.append(
            AddressBit(total - 1 - number, LETTERS[letter], f"address bit {total - 1 - number}: {tip}")
        )
    tip = "a place within a burst"
    return (*bits, *(AddressBit(bit, "burst", f"address bit {bit}: {tip}") for bit in range(low - 1, -1, -1)))


def _height(value: float, top: float, height: int) -> float:
    """Return the pixel of `value` on an axis from 0 to `top`."""
    return round(height - _BOTTOM - (height - _BOTTOM - _TOP) * value / top, 2)


def _bars(
    reads: Sequence[float],
    writes: Sequence[float],
    tips: Sequence[str],
    top: float,
    width: int,
    height: int,
    gap: float,
) -> tuple[Bar, ...]:
    each = (width - _LEFT - _RIGHT) / max(1, len(reads))
    bars = []
    for number, (read, write, tip) in enumerate(zip(reads, writes, tips, strict=True)):
        read_y, write_y = _height(read, top, height), _height(read + write, top, height)
        bars.append(
            Bar(
                x=round(_LEFT + number * each + gap / 2, 2),
                width=round(each - gap if gap else each + _OVERLAP, 2),
                read_y=read_y,
                read_height=round(height - _BOTTOM - read_y, 2),
                write_y=write_y,
                write_height=round(read_y - write_y, 2),
                tip=tip,
            )
        )
    return tuple(bars)


def _steps(span: float, most: int) -> list[float]:
    """Return round values from 0 up to `span`, at most about `most` of them."""
    raw = span / max(2, most)
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.9999)
    return [number * step for number in range(floor(span / step * 1.0001) + 1)]


def _levels(top: float, height: int, unit: str) -> tuple[Label, ...]:
    return tuple(
        Label(_height(value, top, height), f"{_short(value)}{unit}")
        for value in _steps(top, 5)
        if value <= top
    )


def _short(value: float) -> str:
    return _format.scaled(value, "").replace(" ", "") if value >= 1000 else f"{value:,.4g}"


def _decades(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two values."""
    values = [
        factor * 10.0**power
        for power in range(floor(log10(low)), ceil(log10(high)) + 1)
        for factor in (1, 2, 5)
    ]
    return [value for value in values if low <= value <= high]


def _apart(labels: Sequence[Label], pixels: float) -> tuple[Label, ...]:
    """Leave out labels that would stand on the one before them."""
    kept: list[Label] = []
    for label in labels:
        if not kept or label.position - kept[-1].position >= pixels:
            kept.append(label)
    return tuple(kept)
