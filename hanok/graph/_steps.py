"""What eight bits do to a tensor: rounding in steps, and the range whose steps lose least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
SHARES = np.linspace(1.3, 0.3, 41)
"""Parts of a tensor's smallest and largest value that a range may reach to."""
BINS = 2048


def rounded(values: FloatArray, low: float, high: float, *, symmetric: bool = False) -> FloatArray:
    """Values as int8 with one scale gives them back; the range includes zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        step = max(-low, high) / 127 or 1.0
        return np.asarray(np.clip(np.rint(values / step), -127, 127) * step)
    step = (high - low) / 255 or 1.0
    zero = np.rint(-128 - low / step)
    return np.asarray((np.clip(np.rint(values / step) + zero, -128, 127) - zero) * step)


def rounded_columns(weight: FloatArray) -> FloatArray:
    """A weight [K, N] as int8 with one symmetric scale for each column gives it back."""
    largest = np.abs(weight).max(0)
    step = np.where(largest > 0, largest, 1.0) / 127
    return np.asarray(np.rint(weight / step) * step)


def best_range(halves: Sequence[FloatArray], *, symmetric: bool) -> tuple[float, float]:
    """The range of least mean squared error for values like these two halves.

    Each half proposes parts of its own range, and the other judges them: error is uniform in a step,
    step^2 / 12, and beyond the range it is the distance to its end. The whole range is then cut, or widened,
    to the parts chosen.
    """
    spans = [(min(float(half.min()), 0.0), max(float(half.max()), 0.0)) for half in halves]
    if symmetric:
        spans = [(-max(-low, high), max(-low, high)) for low, high in spans]
    total = np.zeros((SHARES.size, SHARES.size))
    for (low, high), judge in zip(spans, reversed(halves), strict=True):
        counts, edges = np.histogram(judge, BINS)
        centres, weights = (edges[1:] + edges[:-1]) / 2, counts / judge.size
        above, below = _excess(centres, weights, high * SHARES), _excess(-centres, weights, -low * SHARES)
        steps = (high * SHARES[:, None] - low * SHARES[None, :]) / 255
        total += steps**2 / 12 + above[:, None] + below[None, :]
    if symmetric:
        both = int(np.argmin(np.diag(total)))
        chosen = (both, both)
    else:
        chosen = divmod(int(np.argmin(total)), SHARES.size)
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    return float(low * SHARES[chosen[1]]), float(high * SHARES[chosen[0]])


def _excess(values: FloatArray, weights: FloatArray, bounds: FloatArray) -> FloatArray:
    """Mean square of what lies above each bound."""
    return np.asarray((np.maximum(values[None, :] - bounds[:, None], 0.0) ** 2) @ weights)
