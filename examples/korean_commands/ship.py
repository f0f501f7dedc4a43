"""From the trained network to the files that hanok carries: int8 model, threshold, figures, clips."""

from __future__ import annotations

import time
import wave
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from data import KINDS, SEED, Spoken, spoken, training_features
from evaluate import CLEAN, LEVELS, MIXED, Condition, Scorer, outcomes, shares, sounds_of
from speech import FloatArray
from surroundings import TAIL, centred, heard
from words import COMMANDS, LABELS, UNKNOWN

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, WINDOW_SAMPLES, log_mel
from hanok.graph.quantise import quantise_model

NAME = "korean_commands"
CALIBRATION_CLIPS = 66
SHIPPED_PER_LABEL = 4
COMMAND_AIM, OTHER_AIM = 0.95, 0.90
SAMPLE_WORD = "오른쪽"
TEST_OTHERS = 6
LEVEL_STRIDE = 3
"""Of the sounds every third is measured at each fixed level of noise."""


@dataclass(frozen=True)
class Measured:
    """One condition: sounds, and the share of right outcomes of each kind."""

    condition: str
    sounds: int
    shares: dict[str, float]


def ship(model: onnx.ModelProto, folder: Path) -> None:
    """Quantise, choose the threshold on the validation part, measure on the test part, write the files."""
    features, labels = training_features(folder, 0)
    calibration = _calibration(features, labels)
    done = quantise_model(model, {"features": calibration.astype(np.float32)})
    onnx.save(done.model, folder / f"{NAME}.onnx")
    record = done.record
    print(f"outputs' signal to noise: {record.snr_plain_db:.1f} dB, repaired {record.snr_repaired_db:.1f} dB")
    scorer = Scorer(done.model)
    threshold = choose_threshold(scorer, spoken("validation", folder))
    test = spoken("test", folder)
    measured, clean = measure(scorer, test, threshold)
    in_float, _ = measure(Scorer(model), test, threshold, (MIXED,))
    write_clips(folder / f"{NAME}.npz", test, calibration)
    write_description(folder / f"{NAME}.toml", threshold, measured, in_float[0])
    write_sounds(folder, test, clean)


def choose_threshold(scorer: Scorer, validation: Spoken) -> float:
    """The probability that leaves most room above both aims on the validation part, clean and in noise."""
    scored = [[scorer(sound) for sound in sounds_of(validation, condition)] for condition in (CLEAN, MIXED)]
    rooms = {}
    for threshold in np.round(np.arange(0.2, 0.96, 0.01), 2):
        made = [shares(validation, outcomes(each, threshold)) for each in scored]
        command = np.mean([each["command"] for each in made])
        other = np.mean([each["other"] for each in made])
        rooms[float(threshold)] = (min(command - COMMAND_AIM, other - OTHER_AIM), command, other)
    best = max(rooms, key=lambda threshold: rooms[threshold][0])
    print(
        f"threshold {best}: validation commands {rooms[best][1]:.3f}, others {rooms[best][2]:.3f}", flush=True
    )
    return best


def measure(
    scorer: Scorer, test: Spoken, threshold: float, conditions: Sequence[Condition] = (CLEAN, MIXED, *LEVELS)
) -> tuple[list[Measured], list[str]]:
    """The figures of each condition, and the outcomes of the first."""
    measured, first = [], []
    for condition in conditions:
        part = test if condition in (CLEAN, MIXED) else _every(test, LEVEL_STRIDE)
        start = time.monotonic()
        outcome = outcomes([scorer(sound) for sound in sounds_of(part, condition)], threshold)
        made = shares(part, outcome)
        measured.append(Measured(condition.name, len(outcome), made))
        first = first or outcome
        text = ", ".join(f"{kind} {share:.3f}" for kind, share in made.items())
        print(f"{condition.name}: {text}; {time.monotonic() - start:.0f} s", flush=True)
        if condition in (CLEAN, MIXED):
            _print_mistakes(part, outcome)
    return measured, first


def write_clips(path: Path, test: Spoken, calibration: np.ndarray) -> None:
    """Features of whole words of the test part in noise, as many of each label; and `calibration`."""
    random = np.random.default_rng(SEED)
    chosen = np.concatenate(
        [
            random.permutation(np.flatnonzero(test.labels == label))[:SHIPPED_PER_LABEL]
            for label in range(len(LABELS))
        ]
    )
    windows = [
        heard(centred(test.sounds[place], WINDOW_SAMPLES, random, TAIL), test.sounds, random, (5, 30))
        for place in chosen
    ]
    np.savez_compressed(
        path,
        features=log_mel(np.stack(windows)).astype(np.float16),
        labels=test.labels[chosen].astype(np.uint8),
        calibration=calibration,
    )


def write_sounds(folder: Path, test: Spoken, outcome: Sequence[str]) -> None:
    """The sample, and words for hanok's own tests; all of voices of the test part, and heard rightly."""
    random = np.random.default_rng(SEED)
    right: dict[str, FloatArray] = {}
    for place in random.permutation(len(test.words)):
        word, found = test.words[place], outcome[place]
        if found == (word if word in COMMANDS else UNKNOWN):
            right.setdefault(word, test.sounds[place])
    sample = heard(centred(right[SAMPLE_WORD], 24_000, random), test.sounds, random, (20, 20))
    with wave.open(str(folder / "voice_sample.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((0.7 * 32767 * sample / np.abs(sample).max()).astype("<i2").tobytes())
    others = [word for word in right if word not in COMMANDS][:TEST_OTHERS]
    words = {word: np.round(127 * right[word]).astype(np.int8) for word in (*COMMANDS, *others)}
    np.savez_compressed(folder / "voice_words.npz", **words)


def write_description(path: Path, threshold: float, measured: Sequence[Measured], in_float: Measured) -> None:
    """The facts about the model that a program or a reader wants."""
    quoted = ", ".join(f'"{label}"' for label in LABELS)
    mixed = measured[1]
    tables = "".join(_table(each) for each in measured)
    path.write_text(
        f"""# What korean_commands.onnx is; written by examples/korean_commands/train.py.
labels = [{quoted}]
unknown = "{UNKNOWN}"
threshold = {threshold:.2f}
input = "features"
input_meaning = "log-mel features of one second at 16 kHz, see hanok/flows/apps/_voice_features.py"
output = "scores"
sample = "{SAMPLE_WORD}"

[accuracy]
# Shares of sounds of 1.5 s that are heard rightly, window after window; training never heard these voices nor
# these other words. int8, float32: mean of commands and other words in noise of 5 to 30 dB and rooms.
int8 = {_mean(mixed):.4f}
float32 = {_mean(in_float):.4f}
{tables}
[data]
source = "synthetic speech of espeak-ng 1.51, noise, music and rooms made by NumPy; no recording of a person"
licence = "Apache-2.0, as hanok itself: espeak-ng (GPL-3.0-or-later) was run as a program; its output, \
the sound of single words, carries no code of it, and neither it nor its voice data is part of hanok"
""",
        "utf-8",
    )


def _calibration(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """As many training windows of each label, drawn by chance."""
    random = np.random.default_rng(SEED)
    each = CALIBRATION_CLIPS // len(LABELS)
    places = [random.permutation(np.flatnonzero(labels == label))[:each] for label in range(len(LABELS))]
    return features[np.concatenate(places)]


def _every(part: Spoken, stride: int) -> Spoken:
    return Spoken(part.sounds[::stride], part.words[::stride], part.kinds[::stride])


def _mean(measured: Measured) -> float:
    return (measured.shares["command"] + measured.shares["other"]) / 2


def _table(measured: Measured) -> str:
    rows = "".join(f'"{kind}" = {share:.4f}\n' for kind, share in measured.shares.items())
    return f'\n[accuracy."{measured.condition}"]\nsounds = {measured.sounds}\n{rows}'


def _print_mistakes(part: Spoken, outcome: Sequence[str]) -> None:
    """What is mistaken for what, most often first."""
    wrong: Counter[tuple[str, str, str]] = Counter()
    for word, kind, found in zip(part.words, part.kinds, outcome, strict=True):
        if found != (word if word in COMMANDS else UNKNOWN):
            wrong[KINDS[kind], word, found] += 1
    print("  ", "; ".join(f"{word} as {found} {count}" for (_, word, found), count in wrong.most_common(60)))
