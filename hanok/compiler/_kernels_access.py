"""Kernels of the verifier: exact extents, limits and bank sets of strided accesses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]

(
    OK, SRAM_BOUNDS, DRAM_BOUNDS, ACCUMULATOR_BOUNDS, RING_ALIAS, WEIGHT_PORT, READ_PORT, OVERLAP,
) = range(8)  # fmt: skip
"""Findings of the kernels; `hanok.compiler.verify` turns them into rules."""

_HUGE = 1 << 56
_MAX_ENUMERATED = 4096


@njit(cache=True)
def extent(count: int, stride: int) -> int:
    """(count - 1) * stride, limited so that sums of a few of them fit 64 bits."""
    distance = (count - 1) * stride
    return max(-_HUGE, min(_HUGE, distance))


@njit(cache=True)
def product(left: int, right: int) -> int:
    """left * right of numbers that are not negative, limited to _HUGE."""
    if right and left > _HUGE // right:
        return _HUGE
    return left * right


@njit(cache=True)
def hull(base: int, counts: Ints, strides: Ints, run: int) -> tuple[int, int]:
    """First byte and one past the last byte of a strided access."""
    low, high = base, base + run
    for dim in range(len(counts)):
        reach = extent(counts[dim], strides[dim])
        low += min(0, reach)
        high += max(0, reach)
    return low, high


@njit(cache=True)
def mark_interval(low: int, high: int, bank_size: int, first_bank: int, bits: Bits) -> None:
    for bank in range(first_bank + low // bank_size, first_bank + (high - 1) // bank_size + 1):
        bits[bank >> 6] |= np.uint64(1) << np.uint64(bank & 63)


@njit(cache=True)
def mark_banks(
    base: int, counts: Ints, strides: Ints, run: int, bank_size: int, first_bank: int, bits: Bits
) -> None:
    """Set the bit of every bank that a strided access within bounds touches.

    A loop whose gaps are smaller than a bank leaves no bank out, so it merges into one interval; the
    others are walked, at most _MAX_ENUMERATED intervals (beyond that, the whole hull is marked).
    """
    low, high = hull(base, counts, strides, run)
    outer_count, outer_stride = np.ones(4, np.int64), np.zeros(4, np.int64)
    done = np.zeros(4, np.bool_)
    span, outer, total, start = run, 0, 1, low
    for _ in range(len(counts)):
        best = -1
        for dim in range(len(counts)):
            if counts[dim] <= 1 or done[dim]:
                continue
            if best < 0 or abs(strides[dim]) < abs(strides[best]):
                best = dim
        if best < 0:
            break
        done[best] = True
        stride = abs(strides[best])
        if stride - span < bank_size:
            span += (counts[best] - 1) * stride
        else:
            outer_count[outer], outer_stride[outer] = counts[best], stride
            total = product(total, counts[best])
            outer += 1
    if total > _MAX_ENUMERATED:
        mark_interval(low, high, bank_size, first_bank, bits)
        return
    for third in range(outer_count[2]):
        for second in range(outer_count[1]):
            for first in range(outer_count[0]):
                here = start + first * outer_stride[0] + second * outer_stride[1] + third * outer_stride[2]
                for fourth in range(outer_count[3]):
                    begin = here + fourth * outer_stride[3]
                    mark_interval(begin, begin + span, bank_size, first_bank, bits)


@njit(cache=True)
def _valid_outer(start: int, count: int, stride: int, low: int, high: int) -> tuple[int, int]:
    """Smallest and largest of start + i * stride (i < count) within low .. high; low > high if none."""
    if stride == 0 or count == 1:
        return (start, start) if low <= start <= high else (1, 0)
    if stride < 0:
        start, stride = start + (count - 1) * stride, -stride
    first = start if start >= low else start + -(-(low - start) // stride) * stride
    last = min(
        start + (count - 1) * stride,
        first + (high - first) // stride * stride if first <= high else first - 1,
    )
    return (first, last) if first <= last else (1, 0)


@njit(cache=True)
def valid_range(
    start: int,
    count: int,
    stride: int,
    taps: int,
    tap_stride: int,
    more: int,
    more_stride: int,
    run: int,
    limit: int,
) -> tuple[int, int]:
    """First and last offset within 0 .. limit-1 that three loops over runs reach; first > last if none."""
    low = (
        start
        + min(0, extent(count, stride))
        + min(0, extent(taps, tap_stride))
        + min(0, extent(more, more_stride))
    )
    high = (
        start
        + max(0, extent(count, stride))
        + max(0, extent(taps, tap_stride))
        + max(0, extent(more, more_stride))
    )
    if low >= 0 and high + run <= limit:
        return low, high + run - 1
    if high + run <= 0 or low >= limit or limit <= 0:
        return 1, 0
    if product(taps, more) > _MAX_ENUMERATED or abs(low) >= _HUGE // 2 or abs(high) >= _HUGE // 2:
        return max(0, low), min(limit, high + run) - 1
    first, last = limit, -1
    for tap in range(taps):
        for other in range(more):
            begin = start + tap * tap_stride + other * more_stride
            lowest, highest = _valid_outer(begin, count, stride, 1 - run, limit - 1)
            if lowest <= highest:
                first = min(first, max(0, lowest))
                last = max(last, min(limit, highest + run) - 1)
    return first, last


@njit(cache=True)
def gcd(left: int, right: int) -> int:
    left, right = abs(left), abs(right)
    while right:
        left, right = right, left % right
    return left


@njit(cache=True)
def spacing_of(count: int, stride: int, taps: int, tap_stride: int) -> int:
    """Spacing of the rows (or pixels) that two loops reach."""
    spacing: int = gcd(stride if count > 1 else 0, tap_stride if taps > 1 else 0)
    return max(1, spacing)


@njit(cache=True)
def check_rows(
    address: int,
    first: int,
    last: int,
    step: int,
    ring_rows: int,
    ring_start: int,
    row_pitch: int,
    counts: Ints,
    strides: Ints,
    run: int,
    limit: int,
    bank_size: int,
    first_bank: int,
    bits: Bits,
    found: Ints,
) -> int:
    """Bounds and banks of the rows first, first + step .. last of a buffer, possibly a ring.

    counts and strides: dimension 0 is set here to the rows, the others are the caller's. found gets the hull.
    """
    if first > last:
        return OK
    if ring_rows == 0:
        segments, begin_0, count_0, begin_1, count_1 = 1, first, (last - first) // step + 1, 0, 0
    else:
        if step // gcd(step, ring_rows) * ring_rows <= last - first:
            found[0], found[1] = last - first + 1, ring_rows
            return RING_ALIAS
        rows, step = min(last - first + 1, ring_rows), 1
        begin_0 = (first + ring_start) % ring_rows
        count_0 = min(rows, ring_rows - begin_0)
        begin_1, count_1 = 0, rows - count_0
        segments = 2 if count_1 else 1
    for segment in range(segments):
        begin, count = (begin_0, count_0) if segment == 0 else (begin_1, count_1)
        offset = extent(begin + 1, row_pitch)
        counts[0], strides[0] = count, extent(step + 1, row_pitch)
        low, high = hull(address + offset, counts, strides, run)
        if low < 0 or high > limit:
            found[0], found[1] = low, high
            return SRAM_BOUNDS
        mark_banks(address + offset, counts, strides, run, bank_size, first_bank, bits)
    return OK


@njit(cache=True)
def merge(into: Bits, more: Bits) -> None:
    """Add the banks of one set to another."""
    for word in range(len(into)):
        into[word] |= more[word]


@njit(cache=True)
def shared(left: Bits, right: Bits) -> int:
    """The first bank that both sets hold, or -1."""
    for word in range(len(left)):
        both = left[word] & right[word]
        if both:
            for bit in range(64):
                if both >> np.uint64(bit) & np.uint64(1):
                    return word * 64 + bit
    return -1
