"""The ten commands, and the words that are none of them, split for training, validation and test."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

COMMANDS = ("켜", "꺼", "위로", "아래로", "왼쪽", "오른쪽", "시작", "정지", "예", "아니오")
UNKNOWN = "(모름)"
LABELS = (*COMMANDS, UNKNOWN)

_OTHER_WORDS = Path(__file__).with_name("other_words.txt")
_INITIALS, _MEDIALS, _FINALS = 19, 21, 28
_FIRST_SYLLABLE = 0xAC00


@dataclass(frozen=True)
class Words:
    """One part of the other words; no part has a word that sounds like one of another part."""

    ordinary: tuple[str, ...]
    near_misses: tuple[str, ...]
    english: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """The three parts: `training`, `validation` (to choose the threshold), `test`."""

    training: Words
    validation: Words
    test: Words


@cache
def vocabulary() -> Vocabulary:
    """Split the lists: of every eight words one validates and two test; what sounds alike stays together.

    Words that sound like a command are left out.
    """
    parts: dict[str, list[tuple[str, ...]]] = {"training": [], "validation": [], "test": []}
    taken = set(pronunciations(COMMANDS))
    listed = other_words()
    for kind, language in (("near-misses", "ko"), ("ordinary", "ko"), ("english", "en")):
        words = listed[kind]
        fresh = []
        for word, sound in zip(words, pronunciations(tuple(words), language), strict=True):
            if sound not in taken:
                taken.add(sound)
                fresh.append(word)
        chosen = ["training"] * 5 + ["validation"] + ["test"] * 2
        order = np.random.default_rng(len(words)).permutation(len(fresh))
        for part, lists in parts.items():
            lists.append(tuple(fresh[place] for place in order if chosen[place % len(chosen)] == part))
    made = {part: Words(lists[1], lists[0], lists[2]) for part, lists in parts.items()}
    return Vocabulary(**made)


def other_words() -> dict[str, list[str]]:
    """The lists of other_words.txt by their headings."""
    listed: dict[str, list[str]] = {}
    for line in _OTHER_WORDS.read_text("utf-8").splitlines():
        if line.startswith("#"):
            words = listed[line.strip("# ").split(":")[0]] = []
        else:
            words += line.split()
    return listed


def pronunciations(words: tuple[str, ...], language: str = "ko") -> list[str]:
    """What espeak-ng would say, as its phonemes without stress, for each word."""
    text = "".join(f"{word}.\n\n" for word in words)
    command = ["espeak-ng", "-q", "-x", "-v", language]
    said = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    sounds = [re.sub(r"[',;|_\s]", "", line) for line in said.splitlines() if line.strip()]
    if len(sounds) != len(words):
        raise RuntimeError(f"espeak-ng gave {len(sounds)} pronunciations of {len(words)} words")
    return sounds


def invented_words(count: int, random: np.random.Generator) -> list[str]:
    """Strings of one to five random syllables, and commands with one letter or syllable changed."""
    known = vocabulary()
    kept_apart = [*COMMANDS]
    for part in (known.validation, known.test):
        kept_apart += [*part.ordinary, *part.near_misses]
    forbidden = set(pronunciations(tuple(kept_apart)))
    made: list[str] = []
    while len(made) < count:
        words = [_altered(random) if random.random() < 0.6 else _babble(random) for _ in range(count)]
        sounds = pronunciations(tuple(words))
        made += [word for word, sound in zip(words, sounds, strict=True) if sound not in forbidden]
    return made[:count]


def _babble(random: np.random.Generator) -> str:
    return "".join(_random_syllable(random) for _ in range(int(random.integers(1, 6))))


def _random_syllable(random: np.random.Generator) -> str:
    final = int(random.integers(_FINALS)) if random.random() < 0.3 else 0
    return _syllable(int(random.integers(_INITIALS)), int(random.integers(_MEDIALS)), final)


def _syllable(initial: int, medial: int, final: int) -> str:
    return chr(_FIRST_SYLLABLE + (initial * _MEDIALS + medial) * _FINALS + final)


def _altered(random: np.random.Generator) -> str:
    """A command with one letter changed, a syllable more, or one less."""
    word = COMMANDS[int(random.integers(len(COMMANDS)))]
    place, way = int(random.integers(len(word))), random.random()
    if way < 0.15:
        return word + _random_syllable(random)
    if way < 0.3:
        return _random_syllable(random) + word
    if way < 0.4 and len(word) > 1:
        return word[:place] + word[place + 1 :]
    code = ord(word[place]) - _FIRST_SYLLABLE
    letters = [code // (_MEDIALS * _FINALS), code // _FINALS % _MEDIALS, code % _FINALS]
    which = int(random.integers(3))
    letters[which] = int(random.integers((_INITIALS, _MEDIALS, _FINALS)[which]))
    return word[:place] + _syllable(*letters) + word[place + 1 :]
