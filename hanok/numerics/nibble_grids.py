"""Grids of sixteen weights: choosing one for each group, and finding those that int8 weights lie on.

A grid has a scale of at least one step of its column, in whole sixteenths of it, so that a weight belongs to
one nibble only. Int8 weights that lie on such grids are kept in four bits by whoever finds them
(`find_nibbles`); nothing has to be said about where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.numerics import _kernels_nibble_grids as kernels
from hanok.numerics.nibbles import (
    NIBBLES,
    SCALE_UNIT,
    ZERO_BITS,
    Entries,
    Nibbles,
    Weights,
    entries_of,
    weights_of,
)

Reals = npt.NDArray[np.floating] | Weights
_UNITS = SCALE_UNIT // kernels.PARTS


@dataclass(frozen=True)
class NibbleWeights:
    """Int8 weights [rows][columns] as nibbles [rows][columns] and entries [groups][columns]."""

    nibbles: Nibbles
    entries: Entries

    @property
    def group_rows(self) -> int:
        """Rows that share entries."""
        return len(self.nibbles) // len(self.entries)


def fit_entries(weights: Reals, group_rows: int) -> Entries:
    """Return entries [groups][columns] of the grids that come nearest to weights [rows][columns], given in
    steps of their columns. Each grid is tried with spans of several sizes, also some that clip."""
    values = _by_group(weights.astype(np.float32, copy=False), group_rows)
    scales, zeros = np.empty(values.shape[:2], np.uint16), np.empty(values.shape[:2], np.uint8)
    kernels.fit_grids(values, scales, zeros)
    return entries_of(scales * _UNITS, zeros)


def nearest_nibbles(weights: Reals, entries: Entries) -> Nibbles:
    """Return the nibbles [rows][columns] nearest to weights of that shape in steps of their columns.

    The entries are those of `fit_entries`. No nibble is chosen whose weight would be clamped to int8, so that
    `find_nibbles` finds them again.
    """
    each = np.repeat(entries, len(weights) // len(entries), axis=0)
    scales, zeros = each // (_UNITS << ZERO_BITS), (each & NIBBLES - 1).astype(np.uint8)
    nibbles = np.empty(weights.shape, np.uint8)
    kernels.choose_nibbles(weights.astype(np.float32), scales, zeros, nibbles)
    return nibbles


def find_nibbles(weights: Weights, group_rows: int) -> NibbleWeights | None:
    """Return int8 weights [rows][columns] as nibbles, or None where a group lies on no grid.

    `group_rows` divides the rows. What is returned stands for exactly these weights.
    """
    if len(weights) % group_rows or weights.size == 0:
        return None
    values = _by_group(weights, group_rows)
    scales, zeros = np.empty(values.shape[:2], np.uint16), np.empty(values.shape[:2], np.uint8)
    if not kernels.find_grids(values, scales, zeros):
        return None
    entries = entries_of(scales * _UNITS, zeros)
    nibbles = nearest_nibbles(weights, entries)
    assert np.array_equal(weights_of(nibbles, entries), weights), "nibbles of other weights"
    return NibbleWeights(nibbles, entries)


def _by_group(weights: npt.NDArray[Any], group_rows: int) -> npt.NDArray[Any]:
    """Return [groups][columns][rows of a group]."""
    rows, columns = weights.shape
    return np.ascontiguousarray(weights.reshape(rows // group_rows, group_rows, columns).transpose(0, 2, 1))
