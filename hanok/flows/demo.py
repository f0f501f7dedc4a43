"""The shipped demonstration: a trained Korean command recogniser, and clips of voices that it never heard."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.apps._voice_listening import probabilities
from hanok.flows.apps._voice_model import Description, read_description, shipped_model
from hanok.flows.compile_and_run import compute_outputs
from hanok.isa import Program

_INPUT = "features"


@dataclass(frozen=True)
class Demonstration:
    """The model file, what its classes are called, and clips with the word that was said in each."""

    model: Path
    description: Description
    accuracy: float
    """Share of unheard voices' sounds that the int8 model hears rightly, as its training script measured."""
    features: npt.NDArray[np.float32]
    said: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What the model's outputs are called."""
        return self.description.labels


@dataclass(frozen=True)
class Heard:
    """One clip: what was said, and what the NPU heard."""

    said: str
    heard: str


def load_demonstration() -> Demonstration:
    """Read the shipped model's description and clips; see hanok/assets/README.md."""
    model = shipped_model()
    facts = tomllib.loads(model.with_suffix(".toml").read_text("utf-8"))
    with np.load(model.with_suffix(".npz")) as clips:
        features, said = clips["features"].astype(np.float32), tuple(clips["labels"].tolist())
    return Demonstration(
        model=model,
        description=read_description(model),
        accuracy=float(facts["accuracy"]["int8"]),
        features=features,
        said=said,
    )


def first_input(demonstration: Demonstration) -> dict[str, npt.NDArray[Any]]:
    """Return the first clip as the model's input."""
    return {_INPUT: demonstration.features[:1]}


def listen(demonstration: Demonstration, program: Program) -> Iterator[Heard]:
    """Run every clip on the NPU, one after another; a command below the threshold is unknown."""
    description = demonstration.description
    for clip, said in zip(demonstration.features, demonstration.said, strict=True):
        (scores,) = compute_outputs(program, {_INPUT: clip[None]}).values()
        shares = dict(zip(description.labels, probabilities(scores.reshape(-1)), strict=True))
        del shares[description.unknown]
        likeliest = max(shares, key=lambda label: shares[label])
        sure = shares[likeliest] >= description.threshold
        yield Heard(description.labels[said], likeliest if sure else description.unknown)
