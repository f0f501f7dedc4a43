"""How a microphone hears words: where they lie in a window, their neighbours, rooms, noise and music."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, WINDOW_SAMPLES

FloatArray = npt.NDArray[np.float32]
Random = np.random.Generator

_LEAD = SAMPLE_RATE_HZ // 50
TAIL = SAMPLE_RATE_HZ // 12
"""A command counts as heard to its end only where a twelfth of a second follows it: 예의 begins with 예."""
_LONGEST_COMMAND = WINDOW_SAMPLES - _LEAD - TAIL


@dataclass(frozen=True)
class Framed:
    """A window [WINDOW_SAMPLES], where in it the word lies, and whether that is a whole command."""

    sound: FloatArray
    start: int
    end: int
    whole: bool


def training_window(
    speech: FloatArray, is_command: bool, neighbours: Sequence[FloatArray], random: Random
) -> tuple[FloatArray, bool]:
    """One view of a word, and whether it still counts as its command.

    The word is played faster or slower first, which moves pitch and formants: new voices to train on. A
    part of the commands is cut by the window's edges and then counts as none; a part of the windows has
    neighbouring words, or digital silence around.
    """
    speed = random.uniform(0.82, 1.22)
    if is_command:
        speed = max(speed, speech.size / _LONGEST_COMMAND)
    speech = _played_at(speech, speed)
    framed = _placed(speech, is_command, random)
    if random.random() < 0.25:
        framed = _with_neighbours(framed, neighbours, random)
    sound = framed.sound if random.random() < 0.08 else heard(framed.sound, neighbours, random, (0, 35))
    if random.random() < 0.2:
        sound = sound.copy()
        sound[: int(random.integers(0, max(1, framed.start + 1)))] = 0
        sound[int(random.integers(min(framed.end, WINDOW_SAMPLES), WINDOW_SAMPLES + 1)) :] = 0
    return sound, framed.whole


def centred(speech: FloatArray, samples: int, random: Random, tail: int = 0) -> FloatArray:
    """The word in the middle of so many samples, give or take a tenth of a second, `tail` free behind."""
    speech = speech[: samples - 2 * _LEAD]
    free = samples - speech.size
    shift = int(random.integers(-1600, 1601))
    start = int(np.clip(free // 2 + shift, 0, max(0, free - tail)))
    sound = np.zeros(samples, np.float32)
    sound[start : start + speech.size] = speech
    return sound


def heard(
    sound: FloatArray, neighbours: Sequence[FloatArray], random: Random, decibels: tuple[float, float]
) -> FloatArray:
    """The sound in a random room, coloured, over noise that is so many decibels (from, to) weaker."""
    noise = background(sound.size, neighbours, random)
    signal = _in_a_room(sound, random)
    ratio = 10 ** (-random.uniform(*decibels) / 20)
    level = np.sqrt(np.square(signal).mean()) * ratio / (np.sqrt(np.square(noise).mean()) + 1e-9)
    return signal + np.float32(level) * noise


def background(samples: int, neighbours: Sequence[FloatArray], random: Random) -> FloatArray:
    """Coloured noise, the babble of eight words played backwards, or music."""
    draw = random.random()
    if draw < 0.25:
        return _babble(samples, neighbours, random)
    if draw < 0.4:
        return music(samples, random)
    bins = np.arange(samples // 2 + 1, dtype=np.float32)
    spectrum = random.standard_normal((bins.size, 2), np.float32).view(np.complex64)[:, 0]
    spectrum /= np.maximum(bins, 20.0) ** np.float32(random.uniform(0, 1))
    noise = np.fft.irfft(spectrum, samples)
    return (noise / np.abs(noise).max()).astype(np.float32)


def music(samples: int, random: Random) -> FloatArray:
    """Notes of a scale with harmonics that die away, one or two voices."""
    time_s = np.arange(samples, dtype=np.float32) / SAMPLE_RATE_HZ
    sound = np.zeros(samples, np.float32)
    for _ in range(int(random.integers(2, 8))):
        pitch_hz = 110 * 2 ** (int(random.integers(0, 37)) / 12)
        start_s = random.uniform(-0.2, samples / SAMPLE_RATE_HZ)
        since = np.maximum(time_s - np.float32(start_s), 0)
        envelope = np.minimum(since / 0.01, 1) * np.exp(-since * np.float32(random.uniform(1, 12)))
        for harmonic in range(1, int(random.integers(2, 6))):
            strength = np.float32(random.uniform(0.2, 1) / harmonic)
            sound += strength * envelope * np.sin(np.float32(2 * np.pi * harmonic * pitch_hz) * since)
    return sound / max(float(np.abs(sound).max()), 1e-6)


def without_words(samples: int, neighbours: Sequence[FloatArray], random: Random) -> FloatArray:
    """Noise, music, a hum, clicks, or all but silence."""
    draw = random.random()
    if draw < 0.5:
        return background(samples, neighbours, random)
    if draw < 0.7:
        return music(samples, random)
    if draw < 0.8:
        time_s = np.arange(samples) / SAMPLE_RATE_HZ
        return np.sin(2 * np.pi * random.uniform(50, 4000) * time_s).astype(np.float32)
    if draw < 0.9:
        clicks = (random.random(samples) < random.uniform(1e-4, 1e-3)) * random.uniform(-1, 1, samples)
        return np.convolve(clicks, np.exp(-np.arange(200) / 30), "same").astype(np.float32)
    return (1e-4 * (random.random() < 0.5) * random.standard_normal(samples)).astype(np.float32)


def _placed(speech: FloatArray, is_command: bool, random: Random) -> Framed:
    size, whole = speech.size, is_command
    free = WINDOW_SAMPLES - size
    if is_command and random.random() < 0.15:
        whole, hidden_first = False, random.random() < 0.35
        start = -int(size * random.uniform(0.35, 0.85)) if hidden_first else 0
        if not hidden_first:
            start = WINDOW_SAMPLES - int(size * random.uniform(0.15, 1.0))
    elif free > _LEAD + TAIL and (is_command or random.random() < 0.7):
        start = int(random.integers(_LEAD, free - TAIL + 1))
    elif is_command:
        start = _LEAD
    else:
        start = int(random.integers(-size // 2, WINDOW_SAMPLES - size // 2))
    sound = np.zeros(WINDOW_SAMPLES, np.float32)
    begin, end = max(start, 0), min(start + size, WINDOW_SAMPLES)
    sound[begin:end] = speech[begin - start : end - start]
    return Framed(sound, begin, end, whole)


def _with_neighbours(framed: Framed, neighbours: Sequence[FloatArray], random: Random) -> Framed:
    """Other words end before the word and begin behind it, after a tenth of a second or more."""
    sound = framed.sound.copy()
    before = neighbours[int(random.integers(len(neighbours)))] * np.float32(random.uniform(0.5, 1.5))
    after = neighbours[int(random.integers(len(neighbours)))] * np.float32(random.uniform(0.5, 1.5))
    room = framed.start - int(random.integers(1600, 6400))
    if room > 0:
        piece = before[-room:]
        sound[room - piece.size : room] = piece
    room = framed.end + int(random.integers(1920, 6400))
    if room < WINDOW_SAMPLES:
        piece = after[: WINDOW_SAMPLES - room]
        sound[room : room + piece.size] = piece
    return Framed(sound, framed.start, framed.end, framed.whole)


def _babble(samples: int, neighbours: Sequence[FloatArray], random: Random) -> FloatArray:
    sound = np.zeros(samples, np.float32)
    for place in random.integers(0, len(neighbours), 8 * max(1, samples // WINDOW_SAMPLES)):
        piece = neighbours[int(place)][::-1][:samples]
        start = int(random.integers(0, samples - piece.size + 1))
        sound[start : start + piece.size] += piece
    return sound


def _played_at(speech: FloatArray, speed: float) -> FloatArray:
    """The word `speed` times as fast."""
    samples = max(1, int(speech.size / speed))
    moments = np.arange(samples) * speed
    return np.interp(moments, np.arange(speech.size), speech).astype(np.float32)


def _in_a_room(sound: FloatArray, random: Random) -> FloatArray:
    """A direct path, in two thirds of the cases with a decaying tail, and a smooth response within 6 dB."""
    size = 2 * WINDOW_SAMPLES * -(-sound.size // WINDOW_SAMPLES)  # room for the tail, and quick to transform
    knots = random.uniform(-6, 6, 6)
    places = np.linspace(0, 5, size // 2 + 1)
    response = (10 ** (np.interp(places, np.arange(6), knots) / 20)).astype(np.float32)
    spectrum = np.fft.rfft(sound, size) * response
    if random.random() < 2 / 3:
        length = int(SAMPLE_RATE_HZ * random.uniform(0.05, 0.35))
        fall = np.exp(-6.9 * np.arange(length, dtype=np.float32) / length)
        tail = random.standard_normal(length, np.float32) * fall
        tail *= np.float32(random.uniform(0.1, 0.6)) / np.sqrt(np.square(tail).sum())
        tail[0] = 1.0
        spectrum *= np.fft.rfft(tail, size)
    return np.fft.irfft(spectrum, size)[: sound.size].astype(np.float32)
