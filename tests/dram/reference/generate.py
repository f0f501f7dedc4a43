"""Request patterns on which memory controllers are compared, made from nothing but a name and a shape.

Addresses are meant for the mapping 'row bank group rank pseudo column' (highest bits first), under which the
patterns aim at rows, banks and bank groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAPPING = "row bank group rank pseudo column"

Bursts = NDArray[np.int64]
SPAN_BYTES = 1 << 28
"""Patterns stay within so many bytes (twice that on one pseudo-channel)."""


@dataclass(frozen=True)
class Shape:
    """One channel: powers of two; `banks` are those of a bank group, a column is one burst."""

    burst_bytes: int
    columns: int
    pseudo_channels: int
    ranks: int
    groups: int
    banks: int

    @property
    def row_step(self) -> int:
        """Bursts from a row of a bank to the next row of the same bank."""
        return self.columns * self.pseudo_channels * self.ranks * self.groups * self.banks

    @property
    def group_step(self) -> int:
        """Bursts from a bank group to the next one."""
        return self.columns * self.pseudo_channels * self.ranks

    @property
    def span(self) -> int:
        """Bursts of SPAN_BYTES."""
        return SPAN_BYTES // self.burst_bytes


SHAPES = {
    "HBM2_2000": Shape(32, 32, 2, 1, 4, 4),
    "HBM3_6400": Shape(32, 32, 2, 2, 4, 4),
    "LPDDR5_6400": Shape(32, 64, 1, 1, 4, 4),
    "DDR5_4800": Shape(64, 64, 1, 1, 8, 4),
}


@dataclass(frozen=True)
class Requests:
    """In the order in which they are sent, all of them wanted at once."""

    writes: NDArray[np.bool_]
    addresses: NDArray[np.int64]
    """Bytes."""


def stride(shape: Shape, count: int, bursts: int) -> Bursts:
    """Return every `bursts`-th burst; a second round through the span begins one burst further."""
    steps = max(1, shape.span // bursts)
    index = np.arange(count)
    return (index % steps) * bursts + index // steps


def streams(shape: Shape, count: int, number: int, distance: int) -> Bursts:
    """Return `number` streams that begin `distance` bursts apart and take turns, one burst each."""
    index = np.arange(count)
    return (index % number) * distance + index // number


def spread(shape: Shape, count: int) -> Bursts:
    """Return a stream as a good mapping lays it out: two bank groups in turn, then the pseudo-channels."""
    index = np.arange(count)
    group, rest = index % 2, index // 2
    pseudo, rest = rest % shape.pseudo_channels, rest // shape.pseudo_channels
    column, rest = rest % shape.columns, rest // shape.columns
    pair, row = rest % (shape.groups // 2), rest // (shape.groups // 2)
    return row * shape.row_step + (2 * pair + group) * shape.group_step + pseudo * shape.columns + column


def _draw(seed: int, below: int, count: int) -> Bursts:
    # NumPy promises the bit generator's stream for all versions, that of Generator.integers not.
    return (np.random.PCG64(seed).random_raw(count) % np.uint64(below)).astype(np.int64)


def random(shape: Shape, count: int) -> Bursts:
    """Return bursts anywhere in the span."""
    return _draw(1, shape.span, count)


def chunks(shape: Shape, count: int, bursts: int) -> Bursts:
    """Return aligned runs of `bursts`, each anywhere in the span."""
    starts = _draw(2, shape.span // bursts, -(-count // bursts))
    return (starts[:, np.newaxis] * bursts + np.arange(bursts)).reshape(-1)[:count]


def two_rows(shape: Shape, count: int) -> Bursts:
    """Return runs of four columns of one row and of another one of the same bank, in turn."""
    index = np.arange(count)
    run, column = index // 4, index % 4
    pair, run = run // (shape.columns // 2), run % (shape.columns // 2)
    return (2 * pair + run % 2) * shape.row_step + (run // 2) * 4 + column


_APART = 1 << 17
"""A row of the same bank again: 4 MiB of bursts of 32 bytes, 8 MiB of 64."""

_ADDRESSES: dict[str, Callable[[Shape, int], Bursts]] = {
    "stream": lambda shape, count: stride(shape, count, 1),
    "spread": spread,
    "stride_3": lambda shape, count: stride(shape, count, 3),
    "stride_17": lambda shape, count: stride(shape, count, 17),
    "stride_page": lambda shape, count: stride(shape, count, shape.columns),
    "stride_group": lambda shape, count: stride(shape, count, shape.group_step),
    "stride_row": lambda shape, count: stride(shape, count, shape.row_step),
    "random": random,
    "chunks_16": lambda shape, count: chunks(shape, count, 16),
    "streams_4": lambda shape, count: streams(shape, count, 4, _APART + shape.group_step),
    "streams_8": lambda shape, count: streams(shape, count, 8, _APART + shape.group_step),
    "same_bank_2": lambda shape, count: streams(shape, count, 2, _APART),
    "same_bank_8": lambda shape, count: streams(shape, count, 8, _APART),
    "two_rows": two_rows,
}

_THIRD = "_third_write"
_WRITE = "_write"
_ONE = "_one_pseudo"

PATTERNS = (
    *_ADDRESSES,
    *(
        name + _THIRD
        for name in ("stream", "spread", "stride_17", "random", "chunks_16", "streams_8", "same_bank_8")
    ),
    *(name + _WRITE for name in ("stream", "spread", "random")),
)
"""Names of all patterns; '_one_pseudo' behind one of them keeps it on a single pseudo-channel."""


def make_requests(standard: str, pattern: str, count: int) -> Requests:
    """Return `count` requests of `pattern` for the shape of `standard`; raises KeyError for unknown names."""
    shape = SHAPES[standard]
    base = pattern.removesuffix(_ONE)
    one_pseudo = base != pattern
    third, write = base.endswith(_THIRD), base.endswith(_WRITE) and not base.endswith(_THIRD)
    index = np.arange(count)
    writes = index % 3 == 2 if third else np.full(count, write)
    if one_pseudo:
        shape = Shape(shape.burst_bytes, shape.columns, 1, shape.ranks, shape.groups, shape.banks)
    bursts = _ADDRESSES[base.removesuffix(_THIRD).removesuffix(_WRITE)](shape, count)
    if one_pseudo:
        bursts = bursts // shape.columns * (2 * shape.columns) + bursts % shape.columns
    return Requests(writes, bursts * shape.burst_bytes)
