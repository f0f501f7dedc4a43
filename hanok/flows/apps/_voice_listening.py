"""Listening block by block: windows of one second, their scores as probabilities, and words said once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, WINDOW_SAMPLES, FloatArray

STEP_SAMPLES = 2000
"""From window to window: an eighth of a second."""
MARGIN_SAMPLES = 8000
"""Silence before and behind the sound, so that a word at its edge lies inside some window."""
SMOOTHED_WINDOWS = 3
"""A command's probability is its mean over so many windows: the sum of what they say of one word."""
_LONGEST_EVENT_SECONDS = 1.0
"""A word lies within one window only; what goes on for longer is said again."""


@dataclass(frozen=True)
class Window:
    """One second of sound, and when it starts; before 0 lies the silence that was put there."""

    start_seconds: float
    sound: FloatArray


@dataclass(frozen=True)
class Heard:
    """A command and when it began; `word` is None where it was none of them."""

    start_seconds: float
    word: str | None
    confidence: float
    """The smoothed probability of the word; of None: that it was no command."""


class Windows:
    """Cuts a sound that comes in blocks into overlapping windows."""

    def __init__(self) -> None:
        self.samples = 0
        self._held = np.zeros(MARGIN_SAMPLES, np.float32)
        self._next = -MARGIN_SAMPLES

    def feed(self, block: FloatArray) -> list[Window]:
        """The windows that the block completes; block: samples [n] at 16 kHz."""
        self.samples += block.size
        self._held = np.concatenate([self._held, block])
        return self._cut(self._held.size)

    def finish(self) -> list[Window]:
        """The windows that reach into the silence behind the sound."""
        length = self._held.size + MARGIN_SAMPLES
        self._held = np.concatenate([self._held, np.zeros(MARGIN_SAMPLES + WINDOW_SAMPLES, np.float32)])
        return self._cut(length + STEP_SAMPLES - 1)

    def _cut(self, length: int) -> list[Window]:
        """Take the windows that lie within the first `length` samples that are held."""
        count = max(0, (length - WINDOW_SAMPLES) // STEP_SAMPLES + 1)
        windows = []
        for place in range(count):
            start = place * STEP_SAMPLES
            sound = self._held[start : start + WINDOW_SAMPLES]
            windows.append(Window((self._next + start) / SAMPLE_RATE_HZ, sound))
        self._held = self._held[count * STEP_SAMPLES :]
        self._next += count * STEP_SAMPLES
        return windows


@dataclass(frozen=True)
class _Moment:
    """A window in an event: the commands' probabilities in it, and smoothed [commands]."""

    start_seconds: float
    commands: FloatArray
    smoothed: FloatArray


class Decision:
    """Turns each window's scores into words, each reported once.

    An event begins where a smoothed probability reaches the threshold, and ends where all are below half of
    it, or after a second.
    """

    def __init__(self, labels: Sequence[str], unknown: str, threshold: float) -> None:
        """`labels`: of the scores; `unknown`: the one that is no command; `threshold`: a probability."""
        self._commands = [place for place, label in enumerate(labels) if label != unknown]
        self._labels = labels
        self._threshold = threshold
        self._last = [np.zeros(len(self._commands), np.float32)] * SMOOTHED_WINDOWS
        self._event: list[_Moment] = []
        self._likeliest = 0.0

    def feed(self, start_seconds: float, scores: npt.NDArray[np.floating]) -> Heard | None:
        """The command whose event this window ends, if any; scores [labels]."""
        commands = probabilities(scores)[self._commands]
        self._last = [*self._last[1:], commands]
        moment = _Moment(start_seconds, commands, np.mean(self._last, axis=0, dtype=np.float32))
        self._likeliest = max(self._likeliest, float(moment.smoothed.max()))
        over = bool(self._event) and start_seconds - self._event[0].start_seconds >= _LONGEST_EVENT_SECONDS
        heard = self.finish() if over else None
        needed = self._threshold / 2 if self._event else self._threshold
        if moment.smoothed.max() >= needed:
            self._event.append(moment)
            return heard
        return heard or self.finish()

    def finish(self) -> Heard | None:
        """The command whose event ends here, if there is one."""
        event, self._event = self._event, []
        if not event:
            return None
        peaks = np.max([moment.smoothed for moment in event], axis=0)
        best = int(peaks.argmax())
        shares = [float(moment.commands[best]) for moment in event]
        # the last window that holds the whole word begins just before it
        last = max(place for place, share in enumerate(shares) if share >= max(shares) / 2)
        start_seconds = max(0.0, event[last].start_seconds)
        return Heard(start_seconds, self._labels[self._commands[best]], float(peaks[best]))

    def nothing(self) -> Heard:
        """What to say of a sound without a command."""
        return Heard(0.0, None, 1 - self._likeliest)


def probabilities(scores: npt.NDArray[np.floating]) -> FloatArray:
    """Softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: FloatArray = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares
