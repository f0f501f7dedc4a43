"""The shipped demonstration: a trained Korean command recogniser, and clips of voices that it never heard."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.compile_and_run import compute_outputs
from hanok.isa import Program

_NAME = "korean_commands"
_INPUT = "features"


@dataclass(frozen=True)
class Demonstration:
    """The model file, what its classes are called, and clips with the word that was said in each."""

    model: Path
    labels: tuple[str, ...]
    accuracy: float
    """Share of unheard voices' clips that the int8 model labels rightly, as its training script measured."""
    features: npt.NDArray[np.float32]
    said: tuple[int, ...]


@dataclass(frozen=True)
class Heard:
    """One clip: what was said, and what the NPU heard."""

    said: str
    heard: str


def load_demonstration() -> Demonstration:
    """Read the shipped model's description and clips; see hanok/assets/README.md."""
    folder = Path(str(resources.files("hanok") / "assets"))
    description = tomllib.loads((folder / f"{_NAME}.toml").read_text("utf-8"))
    with np.load(folder / f"{_NAME}.npz") as clips:
        features, said = clips["features"].astype(np.float32), tuple(clips["labels"].tolist())
    return Demonstration(
        model=folder / f"{_NAME}.onnx",
        labels=tuple(description["labels"]),
        accuracy=float(description["accuracy"]["int8"]),
        features=features,
        said=said,
    )


def first_input(demonstration: Demonstration) -> dict[str, npt.NDArray[Any]]:
    """Return the first clip as the model's input."""
    return {_INPUT: demonstration.features[:1]}


def listen(demonstration: Demonstration, program: Program) -> Iterator[Heard]:
    """Run every clip on the NPU, one after another."""
    for clip, said in zip(demonstration.features, demonstration.said, strict=True):
        (scores,) = compute_outputs(program, {_INPUT: clip[None]}).values()
        yield Heard(demonstration.labels[said], demonstration.labels[int(scores.argmax())])
