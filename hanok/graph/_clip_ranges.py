"""Ranges of products' activations by mean squared error: rare large values are cut off where that pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hanok.graph._calibration import Sample
from hanok.graph._operands import visit_values
from hanok.graph._quantise_onnxruntime import MOVES, symmetric_activations
from hanok.graph._quantise_select import PRODUCTS, Range
from hanok.graph._row_cuts import row_cuts
from hanok.graph._steps import best_range
from hanok.graph._working import Array, WorkingGraph


def clip_ranges(
    working: WorkingGraph,
    samples: Sequence[Sample],
    ranges: Mapping[str, Range],
    kept_float: Iterable[str],
) -> dict[str, Range]:
    """The ranges, those of activations that products read cut or widened to what loses least."""
    skipped, symmetric = frozenset(kept_float), symmetric_activations(working)
    names = {
        name
        for operation in working.operations
        if operation.op_type in PRODUCTS and operation.name not in skipped
        for name in operation.inputs[:2]
        if name in ranges and np.isfinite(ranges[name]).all() and ranges[name][0] < ranges[name][1]
    }
    chosen = dict(ranges)

    def choose(name: str, values: Sequence[Array]) -> None:
        flat = np.concatenate([value.reshape(-1) for value in values])
        chosen[name] = best_range(np.array_split(flat, 2), symmetric=name in symmetric)

    visit_values(working, samples, choose, names)
    return chosen


def share_ranges(working: WorkingGraph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges, with one for all products' operands that are rows of one activation.

    So the queries and keys that blocks of rows read are rounded once.
    """
    producers, cut = working.producers(), row_cuts(working)
    parts: dict[str, set[str]] = {}
    for operation in working.operations:
        for name in operation.inputs[:2] if operation.op_type in PRODUCTS else ():
            source = name
            while source not in cut and source in producers and producers[source].op_type in MOVES:
                source = producers[source].inputs[0]
            if source in cut and source != name and name in ranges:
                parts.setdefault(source, set()).add(name)
    shared = dict(ranges)
    for names in parts.values():
        lows, highs = zip(*(ranges[name] for name in sorted(names)), strict=True)
        shared.update(dict.fromkeys(names, (min(lows), max(highs))))
    return shared
