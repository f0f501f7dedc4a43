"""A timeline thinned for drawing: slices of each unit that do not overlap, neighbours merged past a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.flows.results import IntArray, Timeline


@dataclass(frozen=True)
class UnitSlices:
    """Slices of one unit in order; `count` instructions lie in each, `instruction` is the first of them."""

    start: IntArray
    end: IntArray
    busy: IntArray
    layer: npt.NDArray[np.int32]
    instruction: IntArray
    count: IntArray


def unit_slices(timeline: Timeline, unit: int) -> UnitSlices:
    """Return the instructions of `unit`, each clipped to begin after the one before it has ended.

    A matrix instruction preloads weights while the one before still streams; drawings show it from the
    moment that the array is its own.
    """
    members = np.flatnonzero(timeline.unit == unit)
    end = timeline.end[members]
    earlier = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(end)[:-1]]) if len(end) else end
    start = np.maximum(timeline.start[members], earlier)
    end = np.maximum(end, start)
    return UnitSlices(
        start, end, end - start, timeline.layer[members], members, np.ones(len(members), np.int64)
    )


def thin(slices: UnitSlices, limit: int) -> UnitSlices:
    """Merge neighbours of the same layer across the smallest gaps until at most `limit` slices are left.

    Where more layers than `limit` alternate, neighbours of different layers merge too and carry the first
    one's layer.
    """
    excess = len(slices.start) - limit
    if excess <= 0:
        return slices
    gap = slices.start[1:] - slices.end[:-1]
    foreign = slices.layer[1:] != slices.layer[:-1]
    order = np.lexsort((np.arange(len(gap)), gap, foreign))
    joined = np.zeros(len(slices.start), bool)
    joined[order[:excess] + 1] = True
    first = np.flatnonzero(~joined)
    last = np.append(first[1:], len(joined)) - 1
    return UnitSlices(
        slices.start[first],
        slices.end[last],
        np.add.reduceat(slices.busy, first),
        slices.layer[first],
        slices.instruction[first],
        np.add.reduceat(slices.count, first),
    )
