"""Train the Korean command recogniser that hanok ships, from synthetic speech alone.

Needs espeak-ng, PyTorch and hanok; takes some forty minutes of one core. `python train.py OUTPUT_FOLDER`
writes the float and the int8 model, clips with their labels, sounds, and a description; one seed gives one
result.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from data import SEED, spoken, training_features
from network import DepthwiseSeparableNetwork, to_onnx
from ship import NAME, ship
from words import LABELS

from hanok.flows.apps._voice_features import CENTRE, FLOOR, SPREAD

VIEWS = 3
"""Sets of windows, made of the same utterances; the epochs take turns with them."""
BATCH = 128
SILENCE = float((np.log(FLOOR) - CENTRE) / SPREAD)
Views = Sequence[tuple[np.ndarray, np.ndarray]]
"""(features [N, 1, FRAMES, MEL_BANDS], labels [N]) each."""


@dataclass(frozen=True)
class Phase:
    """Epochs with one cycle of the learning rate; `masking` hides a part of each window."""

    name: str
    epochs: int
    highest_rate: float
    masking: bool


PHASES = (Phase("masked", 15, 6e-3, True), Phase("whole", 6, 2e-3, False))


def train(views: Views, folder: Path) -> DepthwiseSeparableNetwork:
    """Train one phase after another; a phase whose weights `folder` has is not run again."""
    torch.set_num_threads(1)
    network, weights = _fresh(), {}
    for phase in PHASES:
        path = folder / f"{phase.name}.pt"
        if not path.exists():
            network = _fresh()
            network.load_state_dict(weights, strict=bool(weights))
            run(phase, network, views)
            torch.save(network.state_dict(), path)
        weights = torch.load(path)
    network.load_state_dict(weights)
    return network.eval()


def _fresh() -> DepthwiseSeparableNetwork:
    torch.manual_seed(SEED)
    return DepthwiseSeparableNetwork(len(LABELS)).to(memory_format=torch.channels_last)


def run(phase: Phase, network: DepthwiseSeparableNetwork, views: Views) -> None:
    """Train with AdamW."""
    steps = -(-len(views[0][1]) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, phase.highest_rate, epochs=phase.epochs, steps_per_epoch=steps
    )
    start = time.monotonic()
    network.train()
    for epoch in range(phase.epochs):
        inputs, targets = (torch.from_numpy(array) for array in views[epoch % len(views)])
        losses = []
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            batch = masked(inputs[chosen].float()) if phase.masking else inputs[chosen].float()
            loss = torch.nn.functional.cross_entropy(network(batch), targets[chosen], label_smoothing=0.03)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        done = f"{phase.name}, epoch {epoch + 1} of {phase.epochs}"
        print(f"{done}: loss {np.mean(losses):.3f}, {time.monotonic() - start:.0f} s", flush=True)


def masked(batch: torch.Tensor) -> torch.Tensor:
    """The batch with a random stretch of time and a band of frequency silenced in each clip (SpecAugment)."""
    for axis, longest in ((2, 4), (3, 6)):
        size = batch.shape[axis]
        length = torch.randint(0, longest + 1, (len(batch), 1))
        start = (torch.rand(len(batch), 1) * (size - length)).long()
        place = torch.arange(size)[None]
        inside = (place >= start) & (place < start + length)
        shape = (len(batch), 1, size, 1) if axis == 2 else (len(batch), 1, 1, size)
        batch = batch.masked_fill(inside.reshape(shape), SILENCE)
    return batch


def float_model(folder: Path) -> onnx.ModelProto:
    """Speak, place in rooms, and train; skip what `folder` already has."""
    path = folder / f"{NAME}_float.onnx"
    if path.exists():
        return onnx.load(path)
    start = time.monotonic()
    for part in ("training", "validation", "test"):
        sounds = spoken(part, folder).sounds
        print(f"{part}: {len(sounds)} utterances, {time.monotonic() - start:.0f} s", flush=True)
    views = [training_features(folder, view) for view in range(VIEWS)]
    labels = views[0][1]
    share = 1 - np.bincount(labels)[-1] / len(labels)
    print(f"{len(labels)} windows, {share:.2f} commands, {time.monotonic() - start:.0f} s", flush=True)
    model = to_onnx(train(views, folder))
    onnx.save(model, path)
    return model


def main() -> None:
    """Train, quantise, measure on unheard voices, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    ship(float_model(folder), folder)


if __name__ == "__main__":
    main()
