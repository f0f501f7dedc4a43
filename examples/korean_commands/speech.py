"""Words spoken by espeak-ng in many voices: what is said, by whom, and the sound of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ

LONGEST_SAMPLES = 24_000
TEST_FAMILIES = frozenset(
    {"alicia", "andy", "belinda", "boris", "ed", "gustave", "john", "klatt", "linda", "marcelo", "mario"}
    | {"max", "michel", "nguyen", "pablo", "quincy", "rob", "shelby", "travis"}
)
"""Voice families that only the test set has; a family is a name without digits: klatt, klatt2, klatt3 ..."""
VALIDATION_FAMILIES = frozenset(
    {"aunty", "caleb", "denis", "gene", "jacky", "miguel", "pedro", "steph", "victor"}
)
"""Voice families that only the choice of the threshold has."""
NOT_SPEECH = frozenset({"demonic", "whisper", "whisperf", "unirobot", "fast"})

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Voices:
    """Names of voice variants; no family is in two of the lists."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Utterance:
    """What espeak-ng is asked to say: the word, and how."""

    word: str
    language: str
    voice: str
    pitch: int
    words_per_minute: int


def voices() -> Voices:
    """The voice variants that espeak-ng has here, sorted, in three parts."""
    command = ["espeak-ng", "--voices=variant"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = sorted(set(re.findall(r"!v/(.+?)\s*$", listing, re.MULTILINE)))
    names = [name for name in names if _family(name) not in NOT_SPEECH]
    test = tuple(name for name in names if _family(name) in TEST_FAMILIES)
    validation = tuple(name for name in names if _family(name) in VALIDATION_FAMILIES)
    training = tuple(name for name in names if name not in test and name not in validation)
    return Voices(training, validation, test)


def said_by_all(
    names: Sequence[str], words: Sequence[str], times: int, random: np.random.Generator
) -> list[Utterance]:
    """Every word by every voice, so many times, at random pitch and speed."""
    return [_utterance(word, "ko", name, random) for name in names for word in words for _ in range(times)]


def said_by_some(
    names: Sequence[str],
    words: Sequence[str],
    count: int,
    random: np.random.Generator,
    language: str = "ko",
) -> list[Utterance]:
    """`count` utterances: every word as often as any other, each time by a voice drawn by chance."""
    drawn = random.integers(len(names), size=count)
    return [
        _utterance(words[place % len(words)], language, names[name], random)
        for place, name in enumerate(drawn)
    ]


def speak(utterance: Utterance) -> FloatArray:
    """The word at 16 kHz without silence around it, at most 1.5 s, scaled to a peak of 1."""
    command = ["espeak-ng", "--stdout", "-v", f"{utterance.language}+{utterance.voice}"]
    command += ["-p", str(utterance.pitch), "-s", str(utterance.words_per_minute), utterance.word]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    rate_hz = int.from_bytes(data[24:28], "little")
    pcm = data[data.index(b"data") + 8 :]
    sound = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max(initial=1))
    if not loud.size:
        return np.zeros(1, np.float32)
    sound = _resample(sound[loud[0] : loud[-1] + 1], rate_hz)[:LONGEST_SAMPLES]
    return sound / np.abs(sound).max()


def _utterance(word: str, language: str, voice: str, random: np.random.Generator) -> Utterance:
    return Utterance(word, language, voice, int(random.integers(20, 81)), int(random.integers(110, 221)))


def _family(voice: str) -> str:
    return voice.lower().rstrip("0123456789")


def _resample(sound: FloatArray, rate_hz: int) -> FloatArray:
    """Band-limited resampling: cut or pad the spectrum."""
    samples = max(1, round(sound.size * SAMPLE_RATE_HZ / rate_hz))
    return np.fft.irfft(np.fft.rfft(sound)[: samples // 2 + 1], samples).astype(np.float32)
