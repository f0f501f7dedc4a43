"""Smallest and largest values of a float model's activations over the calibration samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanok.graph._calibration import Sample
from hanok.graph._operands import visit_values
from hanok.graph._quantise_select import Range
from hanok.graph._working import Array, WorkingGraph


def observe_ranges(working: WorkingGraph, samples: list[Sample]) -> dict[str, Range]:
    """Smallest and largest value of every float activation over the samples."""
    ranges: dict[str, Range] = {}

    def widen(name: str, values: Sequence[Array]) -> None:
        for value in values:
            if value.dtype != np.float32 or value.size == 0:
                continue
            low, high = float(value.min()), float(value.max())
            old = ranges.get(name, (low, high))
            ranges[name] = (float(np.minimum(old[0], low)), float(np.maximum(old[1], high)))

    visit_values(working, samples, widen)
    return ranges
