"""Log-mel features of one second of sound at 16 kHz: what the command recogniser takes as its input."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 16_000
FRAME_SAMPLES = 640
HOP_SAMPLES = 320
FFT_SAMPLES = 1024
MEL_BANDS = 32
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
FRAMES = 1 + (WINDOW_SAMPLES - FRAME_SAMPLES) // HOP_SAMPLES
FLOOR = 1e-4
"""Energies below this share of a window's loudest band are lifted to it: -40 dB."""
CENTRE, SPREAD = -7.5, 2.0
"""About the mean and the deviation of the logarithms; they bring features near zero mean, unit variance."""

FloatArray = npt.NDArray[np.float32]


@cache
def mel_filters() -> FloatArray:
    """Triangular filters [MEL_BANDS, FFT_SAMPLES // 2 + 1], evenly spaced on the mel scale."""
    edges_mel = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), MEL_BANDS + 2)
    edges_hz = 700.0 * (np.exp(edges_mel / 1127.0) - 1.0)
    bins_hz = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE_HZ)
    rise = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    fall = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def log_mel(windows: npt.NDArray[np.floating]) -> FloatArray:
    """Features [N, 1, FRAMES, MEL_BANDS] of windows [N, WINDOW_SAMPLES] at 16 kHz, of any loudness."""
    if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
        raise ValueError(f"windows: shape {windows.shape}; expected [N, {WINDOW_SAMPLES}] samples at 16 kHz")
    starts = np.arange(FRAMES) * HOP_SAMPLES
    taper = np.hanning(FRAME_SAMPLES + 1)[:-1].astype(np.float32)
    peak = np.abs(windows).max(axis=1, keepdims=True)
    level = (windows / np.where(peak > 0, peak, 1)).astype(np.float32)
    frames = level[:, starts[:, None] + np.arange(FRAME_SAMPLES)] * taper
    power = np.square(np.abs(np.fft.rfft(frames, FFT_SAMPLES)), dtype=np.float32)
    energy = power @ mel_filters().T
    loudest = energy.max(axis=(1, 2), keepdims=True) + np.float32(1e-12)
    logarithm = np.log(np.maximum(energy / loudest, FLOOR))
    features: FloatArray = ((logarithm - CENTRE) / SPREAD).astype(np.float32)
    return features[:, None]


def _mel(frequency_hz: float) -> float:
    return float(1127.0 * np.log1p(frequency_hz / 700.0))
