"""Numba kernels of grids of sixteen weights: the best for a group, and the one that int8 weights lie on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import inner, kernel, leaf

LEVELS = 16
PARTS = 16
"""Scales of a search are whole numbers of 1 / 16 of a step."""
LARGEST_SCALE = 511
NARROWEST, WIDEST = 8, 18
"""Steps of a grid to a group's span: fewer than 15 where its values lie on such a grid, more to clip some."""

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Scales = npt.NDArray[np.uint16]
Weights = npt.NDArray[np.int8]


@leaf
def weight_at(apart: int, scale: int) -> int:
    """Return the weight of a nibble so far from its zero, before it is clamped to int8."""
    return apart * scale + PARTS // 2 >> 4


@leaf
def nearest(value: float, scale: int, zero: int) -> int:
    """Return the nibble of a grid that is nearest to a value, of those whose weights are not clamped."""
    apart = int(np.rint(value * PARTS / scale))
    weight = weight_at(apart, scale)
    nibble: int = min(LEVELS - 1, max(0, apart + zero + (weight < -128) - (weight > 127)))
    return nibble


@inner
def error_of(values: Floats, scale: int, zero: int) -> float:
    """Return the sum of squared errors of values on a grid."""
    total = 0.0
    for value in values:
        error = value - weight_at(nearest(value, scale, zero) - zero, scale)
        total += error * error
    return total


@kernel
def fit_grids(values: Floats, scales: Scales, zeros: Bytes) -> None:
    """Find a grid for each group of values [groups][columns][rows], in steps of their columns."""
    for group in range(values.shape[0]):
        for column in range(values.shape[1]):
            here = values[group, column]
            low, high = min(float(here.min()), 0.0), max(float(here.max()), 0.0)
            best = np.inf
            for parts in range(NARROWEST, WIDEST + 1):
                scale = int(np.rint((high - low) * PARTS / parts))
                scale = min(LARGEST_SCALE, max(PARTS, scale))
                middle = (low + high) * 0.5 * PARTS / scale
                zero = min(LEVELS - 1, max(0, int(np.rint((LEVELS - 1) * 0.5 - middle))))
                if parts < LEVELS:
                    zero = min(LEVELS - 1, max(0, int(np.rint(-low * PARTS / scale))))
                error = error_of(here, scale, zero)
                if error < best:
                    best = error
                    scales[group, column], zeros[group, column] = scale, zero


@inner
def is_on_grid(values: Weights, scale: int) -> int:
    """Return the zero of a grid on which all values lie, or -1."""
    low, high = 0, 0
    for value in values:
        apart = int(np.rint(float(value) * PARTS / scale))
        if weight_at(apart, scale) != value:
            return -1
        low, high = min(low, apart), max(high, apart)
        if high - low >= LEVELS:
            return -1
    return -low


@inner
def grid_of(values: Weights) -> tuple[int, int]:
    """Return the scale and the zero of a grid on which all values lie; a scale of 0 if there is none."""
    low, high = min(int(values.min()), 0), max(int(values.max()), 0)
    span = high - low
    for parts in range(LEVELS - 1, 0, -1):
        first = max(PARTS, (span - 1) * PARTS // parts)
        for scale in range(first, min(LARGEST_SCALE, (span + 1) * PARTS // parts + 1) + 1):
            zero = is_on_grid(values, scale)
            if zero >= 0:
                return scale, zero
    return 0, 0


@kernel
def choose_nibbles(values: Floats, scales: Scales, zeros: Bytes, nibbles: Bytes) -> None:
    """Find the nearest nibbles for values [rows][columns] with a grid for each."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            scale, zero = int(scales[row, column]), int(zeros[row, column])
            nibbles[row, column] = nearest(float(values[row, column]), scale, zero)


@kernel
def find_grids(values: Weights, scales: Scales, zeros: Bytes) -> bool:
    """Find the grid that each group of weights [groups][columns][rows] lies on; whether all do."""
    for group in range(values.shape[0]):
        for column in range(values.shape[1]):
            scale, zero = grid_of(values[group, column])
            if scale == 0:
                return False
            scales[group, column], zeros[group, column] = scale, zero
    return True
