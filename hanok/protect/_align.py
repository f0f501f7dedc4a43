"""Weights of a suspect brought into the order and scale of the original: channels permuted, rescaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Order = npt.NDArray[np.intp]

MOST_CHANNELS = 4096
"""Of an axis that is searched for a permutation; longer ones are taken as they stand."""
_ROUNDS = 6
_SURE = 0.5
"""Correlation of most channels with their own originals above which no permutation is looked for."""
_DEVIATIONS, _LEAST_GAIN = 5.0, 0.02
"""A scale is undone if it is that many standard errors, and that much, away from 1."""


@dataclass(frozen=True)
class Alignment:
    """A suspect's weights in the original's order and scale, [outputs, inputs, taps].

    likeness: correlation with the original over all weights, 1 for a plain copy.
    """

    values: Floats
    likeness: float


def align(original: Floats, suspect: Floats) -> Alignment:
    """Undo permutations of output and input channels, then scales of channels.

    original, suspect: [outputs, inputs, taps]. Rows are matched by what no permutation of inputs changes
    (their sorted weights at each tap), inputs by correlation given the rows, rows by correlation given the
    inputs, and so on until nothing changes.
    """
    own = np.einsum("ij,ij->i", _rows(original), _rows(suspect))
    if np.median(own) < _SURE:
        suspect = _permuted(original, suspect)
    scaled = suspect / _gains(original, suspect)
    return Alignment(scaled, _correlation(original.ravel(), scaled.ravel()))


def _permuted(original: Floats, suspect: Floats) -> Floats:
    outputs, inputs, _ = original.shape
    order, columns = np.arange(outputs), np.arange(inputs)
    if inputs == 1:
        return suspect[_match_rows(original, suspect)]
    if outputs <= MOST_CHANNELS:
        order = _match(-_distances(_signature(original), _signature(suspect)))
    for _ in range(_ROUNDS):
        columns_before, order_before = columns, order
        if inputs <= MOST_CHANNELS:
            columns = _match_rows(original.swapaxes(0, 1), suspect[order].swapaxes(0, 1))
        order = _match_rows(original, suspect[:, columns])
        if (columns == columns_before).all() and (order == order_before).all():
            break
    return suspect[order][:, columns]


def _match_rows(original: Floats, suspect: Floats) -> Order:
    if len(original) > MOST_CHANNELS:
        return np.arange(len(original))
    return _match(_rows(original) @ _rows(suspect).T)


def _match(likeness: Floats) -> Order:
    """For each row of the original the row of the suspect: best pairs first, each row once."""
    order = np.full(len(likeness), -1, np.intp)
    left = likeness.copy()
    while (order < 0).any():
        rows = np.flatnonzero(order < 0)
        best = left[rows].argmax(axis=1)
        strength = left[rows, best]
        for row, column in zip(rows[np.argsort(-strength)], best[np.argsort(-strength)], strict=True):
            if np.isfinite(left[row, column]):
                order[row] = column
                left[:, column] = -np.inf
    return order


def _rows(values: Floats) -> Floats:
    """Rows of length 1, [rows, weights]."""
    flat = values.reshape(len(values), -1)
    length = np.sqrt((flat * flat).sum(axis=1, keepdims=True))
    return flat / np.where(length > 0, length, 1.0)


def _signature(values: Floats) -> Floats:
    """Rows that no permutation of inputs changes, [rows, inputs * taps]: scaled, sorted at each tap."""
    scaled = _rows(values).reshape(values.shape)
    return np.sort(scaled, axis=1).reshape(len(values), -1)


def _distances(left: Floats, right: Floats) -> Floats:
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None]
    found: Floats = squares - 2 * left @ right.T
    return found


def _gains(original: Floats, suspect: Floats) -> Floats:
    """Scale of each output and input channel, [outputs, inputs, 1]; 1 where it is not clearly another."""
    used = np.where(suspect != 0, original, 0.0)
    outputs, inputs, _ = original.shape
    rows, columns = np.ones(outputs), np.ones(inputs)
    for _ in range(_ROUNDS):
        rows = _gain(used * columns[None, :, None], suspect)
        if inputs > 1:
            columns = _gain((used * rows[:, None, None]).swapaxes(0, 1), suspect.swapaxes(0, 1))
    return np.maximum(np.abs(rows[:, None] * columns[None]), 1e-12)[:, :, None]


def _gain(model: Floats, suspect: Floats) -> Floats:
    """Least-squares scale of each row of `suspect` over `model`, kept only where it is significant."""
    flat, seen = model.reshape(len(model), -1), suspect.reshape(len(model), -1)
    power = np.maximum((flat * flat).sum(axis=1), 1e-12)
    gain = (flat * seen).sum(axis=1) / power
    rest = np.where(flat != 0, seen - gain[:, None] * flat, 0.0)
    error = np.sqrt((rest * rest).sum(axis=1) / np.maximum((flat != 0).sum(axis=1), 1) / power)
    away = np.abs(gain - 1)
    significant = (away > _DEVIATIONS * error) & (away > _LEAST_GAIN) & (gain > 0)
    return np.where(significant, gain, 1.0)


def _correlation(left: Floats, right: Floats) -> float:
    power = float(np.sqrt((left * left).sum() * (right * right).sum()))
    return float((left * right).sum()) / power if power > 0 else 0.0
