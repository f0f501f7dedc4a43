"""Outputs of a resize whose taps and weights follow one another evenly, as runs for one instruction each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

MAX_PERIOD = 32


@dataclass(frozen=True)
class Run:
    """Outputs first, first + step, ... (`count` of them) whose taps move by `delta`, with equal weights."""

    first: int
    step: int
    count: int
    taps: tuple[int, ...]
    delta: int
    weights: tuple[float, ...]


def runs_of(
    taps: np.ndarray[tuple[int, int], np.dtype[np.int32]],
    weights: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> list[Run]:
    """Cover all outputs by the fewest runs found over periods up to 32."""
    best: list[Run] | None = None
    for period in range(1, min(MAX_PERIOD, len(taps)) + 1):
        runs = [run for start in range(period) for run in _residue_runs(taps, weights, start, period)]
        if best is None or len(runs) < len(best):
            best = runs
    assert best is not None, "an output without taps"
    return best


def _residue_runs(
    taps: np.ndarray[tuple[int, int], np.dtype[np.int32]],
    weights: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    start: int,
    period: int,
) -> list[Run]:
    runs: list[Run] = []
    for index in range(start, len(taps), period):
        tap, weight = tuple(int(t) for t in taps[index]), tuple(float(w) for w in weights[index])
        if runs:
            last = runs[-1]
            deltas = {
                now - before - (last.count - 1) * last.delta
                for now, before in zip(tap, last.taps, strict=True)
            }
            delta = deltas.pop() if len(deltas) == 1 else -1
            if weight == last.weights and delta >= 0 and (last.count == 1 or delta == last.delta):
                runs[-1] = replace(last, count=last.count + 1, delta=delta)
                continue
        runs.append(Run(index, period, 1, tap, 0, weight))
    return runs
