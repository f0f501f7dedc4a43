"""Winnowing: few hashes of runs of tokens, chosen so that a common run of a given length is never missed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RUN = 16
"""Tokens hashed together; shorter coincidences are noise."""
WINDOW = 8
"""Of this many neighbouring hashes one is kept: a common run of RUN + WINDOW - 1 tokens leaves a trace.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting", SIGMOD 2003.
"""
_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit values evenly (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def winnow(codes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return hashes of runs of tokens and where each run begins, in the order of the text."""
    runs = len(codes) - RUN + 1
    if runs < 1:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    total = np.zeros(runs, np.uint64)
    for place in range(RUN):
        factor = np.uint64(pow(_MULTIPLIER, place + 1, 1 << 64) & _MASK)
        total += codes[place : place + runs] * factor
    hashes = mix(total)
    if runs <= WINDOW:
        chosen = np.array([int(np.argmin(hashes))])
    else:
        windows = np.lib.stride_tricks.sliding_window_view(hashes[::-1], WINDOW)
        last = runs - 1 - (np.arange(len(windows)) + np.argmin(windows, axis=1))
        chosen = np.unique(last)
    return (hashes[chosen] >> np.uint64(32)).astype(np.uint32), chosen.astype(np.int64)
