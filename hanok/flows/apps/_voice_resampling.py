"""Band-limited resampling to 16 kHz, block by block: a windowed sinc for each phase between two samples."""

from __future__ import annotations

from math import ceil, gcd

import numpy as np

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, FloatArray

_ZERO_CROSSINGS = 16
_KAISER_BETA = 9.0
"""Stop band below -90 dB (Kaiser 1974)."""
_PASS_SHARE = 0.94
"""Of the lower Nyquist frequency; the rest is the filter's slope."""
_CHUNK = 4096


class Resampler:
    """Takes blocks at one rate and gives what they are at 16 kHz; the same samples whatever the blocks."""

    def __init__(self, rate_hz: int) -> None:
        common = gcd(rate_hz, SAMPLE_RATE_HZ)
        self._up, self._down = SAMPLE_RATE_HZ // common, rate_hz // common
        cutoff = min(1.0, SAMPLE_RATE_HZ / rate_hz)
        self._half = ceil(_ZERO_CROSSINGS / cutoff)
        self._filters = _phase_filters(self._up, self._half, cutoff * _PASS_SHARE)
        self._held = np.zeros(self._half, np.float32)
        """Input from sample `_first` on."""
        self._first = -self._half
        self._taken = 0
        self._made = 0

    def feed(self, block: FloatArray) -> FloatArray:
        """The outputs whose filter lies within the samples so far."""
        if self._up == self._down:
            return block
        self._taken += block.size
        self._held = np.concatenate([self._held, block])
        # output n stands at input n * down / up and sees `half` samples beyond the one before it
        return self._make_until((max(0, self._taken - self._half) * self._up) // self._down)

    def finish(self) -> FloatArray:
        """The outputs that are left, as if silence followed."""
        if self._up == self._down:
            return np.zeros(0, np.float32)
        self._held = np.concatenate([self._held, np.zeros(self._half + 1, np.float32)])
        return self._make_until(ceil(self._taken * self._up / self._down))

    def _make_until(self, end: int) -> FloatArray:
        pieces = [np.zeros(0, np.float32)]
        while self._made < end:
            outputs = np.arange(self._made, min(end, self._made + _CHUNK))
            whole, phase = np.divmod(outputs * self._down, self._up)
            starts = whole - self._half + 1 - self._first
            inputs = self._held[starts[:, None] + np.arange(2 * self._half)]
            pieces.append(np.einsum("nt,nt->n", inputs, self._filters[phase]))
            self._made += outputs.size
        keep_from = self._made * self._down // self._up - self._half
        self._held = self._held[max(0, keep_from - self._first) :]
        self._first = max(self._first, keep_from)
        return np.concatenate(pieces)


def _phase_filters(phases: int, half: int, cutoff: float) -> FloatArray:
    """Weights [phases, 2 half] of the samples around a moment `phase / phases` behind one of them; sum 1."""
    places = np.arange(2 * half, dtype=np.float32) - (half - 1)
    distance = places - (np.arange(phases, dtype=np.float32) / phases)[:, None]
    taper = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - np.square(distance / half))))
    weights = np.sinc(cutoff * distance) * taper
    filters: FloatArray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters
