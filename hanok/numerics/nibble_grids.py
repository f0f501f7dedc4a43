"""Grids of sixteen weights: choosing one for each group, and finding those that int8 weights lie on.

A grid has a scale of at least one step of its column, in whole sixteenths of it, so that a weight belongs to
one nibble only. Int8 weights that lie on such grids are kept in four bits by whoever finds them
(`find_entries`); nothing has to be said about where they come from.
"""

from __future__ import annotations

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
)

Reals = npt.NDArray[np.floating] | Weights
_UNITS = SCALE_UNIT // kernels.PARTS


def fit_entries(weights: Reals, group_rows: int) -> Entries:
    """Return entries [groups][columns] of the grids that come nearest to weights [rows][columns], given in
    steps of their columns. Each grid is tried with spans of several sizes, also some that clip."""
    values = _by_group(weights.astype(np.float32, copy=False), group_rows)
    scales, zeros = np.empty(values.shape[:2], np.uint16), np.empty(values.shape[:2], np.uint8)
    kernels.fit_grids(values, scales, zeros)
    return entries_of(scales * _UNITS, zeros)


def nearest_nibbles(weights: Reals, entries: Entries) -> Nibbles:
    """Return the nibbles [rows][columns] nearest to weights of that shape in steps of their columns.

    The entries are those of `fit_entries` or `find_entries`. No nibble is chosen whose weight would be
    clamped to int8, so that `find_entries` finds grids for them again.
    """
    each = np.repeat(entries, len(weights) // len(entries), axis=0)
    scales, zeros = each // (_UNITS << ZERO_BITS), (each & NIBBLES - 1).astype(np.uint8)
    nibbles = np.empty(weights.shape, np.uint8)
    kernels.choose_nibbles(weights.astype(np.float32), scales, zeros, nibbles)
    return nibbles


def find_entries(weights: Weights, group_rows: int) -> Entries | None:
    """Return entries [groups][columns] of grids that int8 weights [rows][columns] lie on, or None.

    `group_rows` divides the rows, or there are none. The nearest nibbles stand for exactly these weights.
    """
    if len(weights) % group_rows or weights.size == 0:
        return None
    if len(weights) > group_rows and find_entries(weights[:group_rows], group_rows) is None:
        return None
    values = _by_group(weights, group_rows)
    scales, zeros = np.empty(values.shape[:2], np.uint16), np.empty(values.shape[:2], np.uint8)
    return entries_of(scales * _UNITS, zeros) if kernels.find_grids(values, scales, zeros) else None


def _by_group(weights: npt.NDArray[Any], group_rows: int) -> npt.NDArray[Any]:
    """Return [groups][columns][rows of a group]."""
    rows, columns = weights.shape
    return np.ascontiguousarray(weights.reshape(rows // group_rows, group_rows, columns).transpose(0, 2, 1))
