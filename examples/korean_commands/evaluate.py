"""How well a model hears whole sounds, window after window, as `hanok app voice` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from data import KINDS, SEED, Spoken
from speech import FloatArray
from surroundings import centred, heard
from words import COMMANDS, LABELS, UNKNOWN

from hanok.flows.apps._voice_features import log_mel
from hanok.flows.apps._voice_listening import Decision, Heard, Windows

SOUND_SAMPLES = 24_000
Scored = list[tuple[float, npt.NDArray[np.float32]]]
"""(start in seconds, scores [labels]) of each window of a sound."""


@dataclass(frozen=True)
class Condition:
    """What stands around the word; `decibels`: how much weaker the noise is, from and to; None: nothing."""

    name: str
    decibels: tuple[float, float] | None


CLEAN = Condition("clean", None)
MIXED = Condition("noise of 5 to 30 dB, rooms", (5, 30))
LEVELS = tuple(Condition(f"noise of {level} dB, rooms", (level, level)) for level in (20, 10, 5, 0))


def sounds_of(part: Spoken, condition: Condition, seed: int = SEED) -> list[FloatArray]:
    """Each utterance in the middle of one and a half seconds, under the condition."""
    random = np.random.default_rng(seed)
    whole = [centred(sound, SOUND_SAMPLES, random) for sound in part.sounds]
    if condition.decibels is None:
        return whole
    return [heard(sound, part.sounds, random, condition.decibels) for sound in whole]


class Scorer:
    """Runs a model on every window of a sound with ONNX Runtime."""

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, sound: FloatArray) -> Scored:
        """Scores of the windows in their order."""
        cut = Windows()
        windows = [*cut.feed(sound), *cut.finish()]
        features = log_mel(np.stack([window.sound for window in windows]))
        return [
            (window.start_seconds, self._session.run(None, {"features": one[None]})[0][0])
            for window, one in zip(windows, features, strict=True)
        ]


def decide(scored: Scored, threshold: float) -> list[Heard]:
    """The commands in a sound's scores, in their order."""
    decision = Decision(LABELS, UNKNOWN, threshold)
    found = [decision.feed(start, scores) for start, scores in scored]
    return [heard for heard in (*found, decision.finish()) if heard is not None]


def outcomes(scored: Sequence[Scored], threshold: float) -> list[str]:
    """What each sound with one word was taken for: a command, several of them, or UNKNOWN."""
    heard = [[each.word for each in decide(one, threshold)] for one in scored]
    return [" ".join(words) if words else UNKNOWN for words in heard]


def shares(part: Spoken, outcome: Sequence[str]) -> dict[str, float]:
    """Share of right outcomes of each kind, and of all other words together as `other`."""
    right = np.array(
        [
            found == (word if word in COMMANDS else UNKNOWN)
            for word, found in zip(part.words, outcome, strict=True)
        ]
    )
    kinds = np.array(part.kinds)
    made = {
        kind: float(right[kinds == place].mean())
        for place, kind in enumerate(KINDS)
        if (kinds == place).any()
    }
    made["other"] = float(right[kinds != 0].mean())
    return made
