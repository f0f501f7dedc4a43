"""What the recogniser learns from and is measured on: spoken words in three parts, training windows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from speech import FloatArray, Utterance, said_by_all, said_by_some, speak, voices
from surroundings import training_window, without_words
from words import COMMANDS, LABELS, UNKNOWN, Words, invented_words, vocabulary

from hanok.flows.apps._voice_features import WINDOW_SAMPLES, log_mel

SEED = 2026
COMMAND_VIEWS, OTHER_VIEWS = 8, 2
"""Windows made of each utterance of a command, and of another word, in each view."""
WITHOUT_WORDS = 3500
KINDS = ("command", "near-miss", "ordinary", "english", "invented")


@dataclass(frozen=True)
class Spoken:
    """Utterances: their sounds at 16 kHz, words, and kinds (places in KINDS)."""

    sounds: list[FloatArray]
    words: list[str]
    kinds: npt.NDArray[np.int64]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Places in LABELS."""
        commands = [word if word in COMMANDS else UNKNOWN for word in self.words]
        return np.array([LABELS.index(word) for word in commands])


def spoken(part: str, folder: Path) -> Spoken:
    """Speak the words of `part` (training, validation or test) by its voices, or read what `folder` has."""
    path = folder / f"speech_{part}.npz"
    if not path.exists():
        said, kinds = _to_say(part)
        sounds = [(32767 * speak(each)).astype(np.int16) for each in said]
        lengths = np.array([sound.size for sound in sounds])
        words = np.array([each.word for each in said])
        np.savez(path, sounds=np.concatenate(sounds), lengths=lengths, words=words, kinds=kinds)
    with np.load(path) as data:
        pieces = np.split(data["sounds"], np.cumsum(data["lengths"])[:-1])
        sounds = [piece.astype(np.float32) / 32767 for piece in pieces]
        return Spoken(sounds, data["words"].tolist(), data["kinds"])


def training_features(folder: Path, view: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Features [N, 1, FRAMES, MEL_BANDS] of windows in rooms and noise, and their labels [N].

    Another `view` (from 0) places the same utterances elsewhere.
    """
    path = folder / f"features_{view}.npz"
    if not path.exists():
        features, labels = _windows(spoken("training", folder), np.random.default_rng(SEED + 1 + view))
        np.savez(path, features=features, labels=labels)
    with np.load(path) as data:
        return data["features"], data["labels"]


def _windows(
    training: Spoken, random: np.random.Generator
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    others = [
        sound for sound, kind in zip(training.sounds, training.kinds, strict=True) if KINDS[kind] != "command"
    ]
    features, labels, nothing = [], [], LABELS.index(UNKNOWN)
    for sound, label in zip(training.sounds, training.labels, strict=True):
        is_command = label != nothing
        for _ in range(COMMAND_VIEWS if is_command else OTHER_VIEWS):
            window, whole = training_window(sound, is_command, others, random)
            features.append(log_mel(window[None])[0].astype(np.float16))
            labels.append(label if whole else nothing)
    for _ in range(WITHOUT_WORDS):
        window = without_words(WINDOW_SAMPLES, others, random)
        features.append(log_mel(window[None])[0].astype(np.float16))
        labels.append(nothing)
    return np.stack(features), np.array(labels)


def _to_say(part: str) -> tuple[list[Utterance], npt.NDArray[np.int64]]:
    """The utterances of a part, and the kind of each."""
    random = np.random.default_rng(SEED + len(part))
    names, words = getattr(voices(), part), getattr(vocabulary(), part)
    times = {"training": 5, "validation": 3, "test": 3}[part]
    said = said_by_all(names, COMMANDS, times, random)
    kinds = [0] * len(said)
    for kind, others, count, language in _others(part, words, random):
        said += said_by_some(names, others, count, random, language)
        kinds += [KINDS.index(kind)] * count
    return said, np.array(kinds)


def _others(
    part: str, words: Words, random: np.random.Generator
) -> list[tuple[str, list[str] | tuple[str, ...], int, str]]:
    """(kind, words, utterances, language) of the words that are no commands."""
    near, ordinary, english = words.near_misses, words.ordinary, words.english
    if part == "training":
        counts = (7000, 3500, 500)
    else:
        each = 4 if part == "validation" else 3
        counts = (each * len(near), each * len(ordinary), each * len(english))
    listed = [("near-miss", near, counts[0], "ko"), ("ordinary", ordinary, counts[1], "ko")]
    listed += [("english", english, counts[2], "en")]
    if part == "training":
        listed += [("invented", invented_words(5000, random), 5000, "ko")]
    return listed
