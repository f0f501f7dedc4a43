"""Train the Korean command recogniser that hanok ships, from synthetic speech alone.

Needs espeak-ng, PyTorch and hanok; takes some minutes of CPU. `python train.py OUTPUT_FOLDER` writes
the float and the int8 model, test clips with their labels, and a description; one seed gives one result.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from features import CENTRE, FLOOR, SPREAD, log_mel
from network import DepthwiseSeparableNetwork, to_onnx
from speech import (
    COMMANDS,
    LABELS,
    OTHER_WORDS,
    UNHEARD_OTHER_WORDS,
    UNKNOWN,
    in_the_world,
    noise_only,
    speak,
    utterances,
    voices,
)

from hanok.graph.quantise import quantise_model

NAME = "korean_commands"
SEED = 2026
VIEWS = 4
"""Times that each clip is placed in another room and noise."""
EPOCHS = 14
BATCH = 128
CALIBRATION_CLIPS = 66
SHIPPED_PER_LABEL = 4
SILENCE = float((np.log(FLOOR) - CENTRE) / SPREAD)


def synthesise(voice_names: list[str], per_voice: int, others: tuple[str, ...], seed: int):
    """Clips [N, CLIP_SAMPLES] and label indices [N]; every second utterance of other words is left out."""
    random = np.random.default_rng(seed)
    said = utterances(voice_names, COMMANDS, per_voice, random)
    said += utterances(voice_names, others, 1, random)[::2]
    labels = [LABELS.index(each.word) if each.word in COMMANDS else LABELS.index(UNKNOWN) for each in said]
    clips = np.stack([speak(each) for each in said])
    quiet = noise_only(len(said) // 16, random, clips)
    return np.concatenate([clips, quiet]), np.array(labels + [LABELS.index(UNKNOWN)] * len(quiet))


def heard(clips: np.ndarray, seed: int, *, other_throats: bool = False) -> np.ndarray:
    """Features of the clips in random rooms and noise."""
    random = np.random.default_rng(seed)
    parts = np.array_split(clips, max(1, len(clips) // 256))
    return np.concatenate(
        [log_mel(in_the_world(part, random, other_throats=other_throats)) for part in parts]
    )


def train(features: np.ndarray, labels: np.ndarray) -> DepthwiseSeparableNetwork:
    """Train on features [N, 1, FRAMES, MEL_BANDS]; AdamW with one cycle of the learning rate."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = DepthwiseSeparableNetwork(len(LABELS)).to(memory_format=torch.channels_last)
    inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
    steps = -(-len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, epochs=EPOCHS, steps_per_epoch=steps)
    for epoch in range(EPOCHS):
        network.train()
        losses = []
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            batch = masked(inputs[chosen])
            loss = torch.nn.functional.cross_entropy(network(batch), targets[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {np.mean(losses):.3f}", flush=True)
    return network.eval()


def masked(batch: torch.Tensor) -> torch.Tensor:
    """The batch with a random stretch of time and a band of frequency silenced in each clip (SpecAugment)."""
    for axis, longest in ((2, 8), (3, 6)):
        size = batch.shape[axis]
        length = torch.randint(0, longest + 1, (len(batch), 1))
        start = (torch.rand(len(batch), 1) * (size - length)).long()
        place = torch.arange(size)[None]
        inside = (place >= start) & (place < start + length)
        shape = (len(batch), 1, size, 1) if axis == 2 else (len(batch), 1, 1, size)
        batch = batch.masked_fill(inside.reshape(shape), SILENCE)
    return batch


def accuracy(model: onnx.ModelProto, features: np.ndarray, labels: np.ndarray) -> float:
    """Share of the clips that ONNX Runtime labels rightly."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    guesses = [session.run(None, {"features": clip[None]})[0].argmax() for clip in features]
    return float((np.array(guesses) == labels).mean())


def float_model(folder: Path) -> onnx.ModelProto:
    """Synthesise and train; skip what `folder` already has."""
    model_path, data_path = folder / f"{NAME}_float.onnx", folder / "features.npz"
    if model_path.exists():
        return onnx.load(model_path)
    if not data_path.exists():
        make_features(data_path)
    start = time.monotonic()
    data = np.load(data_path)
    model = to_onnx(train(data["train"], data["train_labels"]))
    onnx.save(model, model_path)
    print(f"trained in {time.monotonic() - start:.0f} s", flush=True)
    return model


def make_features(path: Path) -> None:
    """Speak every clip, place it in rooms and noise, and store the features."""
    start = time.monotonic()
    known, unheard = voices()
    clips, labels = synthesise(known, 6, OTHER_WORDS, SEED)
    test_clips, test_labels = synthesise(unheard, 3, UNHEARD_OTHER_WORDS, SEED + 1)
    print(f"{len(clips)} clips of {len(known)} voices, {len(test_clips)} test clips of {len(unheard)} others")
    features = np.concatenate([heard(clips, SEED + 10 + view, other_throats=True) for view in range(VIEWS)])
    np.savez(
        path,
        train=features,
        train_labels=np.tile(labels, VIEWS),
        test=heard(test_clips, SEED + 2),
        quiet_test=log_mel(test_clips),
        labels=test_labels,
    )
    print(f"features after {time.monotonic() - start:.0f} s", flush=True)


def ship(model: onnx.ModelProto, data: dict[str, np.ndarray], folder: Path) -> None:
    """Quantise, measure on unheard voices, and write what hanok carries."""
    random = np.random.default_rng(SEED)
    known = len(data["train"]) // VIEWS
    calibration = data["train"][random.permutation(known)[:CALIBRATION_CLIPS]].astype(np.float16)
    done = quantise_model(model, {"features": calibration.astype(np.float32)})
    onnx.save(done.model, folder / f"{NAME}.onnx")
    record = done.record
    print(f"outputs' signal to noise: {record.snr_plain_db:.1f} dB, repaired {record.snr_repaired_db:.1f} dB")
    figures = {}
    for kind, candidate in (("float32", model), ("int8", done.model)):
        for name in ("test", "quiet_test"):
            figures[f"{kind}_{name}"] = accuracy(candidate, data[name], data["labels"])
            print(f"{kind}, {name}: {figures[f'{kind}_{name}']:.4f}", flush=True)
    labels = data["labels"]
    chosen = np.concatenate(
        [
            random.permutation(np.flatnonzero(labels == label))[:SHIPPED_PER_LABEL]
            for label in range(len(LABELS))
        ]
    )
    np.savez_compressed(
        folder / f"{NAME}.npz",
        features=data["test"][chosen].astype(np.float16),
        labels=labels[chosen].astype(np.uint8),
        calibration=calibration,
    )
    write_description(folder / f"{NAME}.toml", figures, len(labels))


def write_description(path: Path, figures: dict[str, float], test_clips: int) -> None:
    """The facts about the model that a program or a reader wants."""
    quoted = ", ".join(f'"{label}"' for label in LABELS)
    path.write_text(
        f"""# What korean_commands.onnx is; written by examples/korean_commands/train.py.
labels = [{quoted}]
unknown = "{UNKNOWN}"
input = "features"
input_meaning = "log-mel features of one second at 16 kHz, see examples/korean_commands/features.py"
output = "scores"

[accuracy]
# Share of {test_clips} clips of voices that training never heard; quiet: without noise and room.
float32 = {figures["float32_test"]:.4f}
int8 = {figures["int8_test"]:.4f}
float32_quiet = {figures["float32_quiet_test"]:.4f}
int8_quiet = {figures["int8_quiet_test"]:.4f}

[data]
source = "synthetic speech of espeak-ng 1.51, noise and rooms made by NumPy; no recording of a person"
licence = "Apache-2.0, as hanok itself: espeak-ng (GPL-3.0-or-later) was run as a program; its output, \
the sound of single words, carries no code of it, and neither it nor its voice data is part of hanok"
"""
    )


def main() -> None:
    """Train, quantise, measure on unheard voices, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    model = float_model(folder)
    with np.load(folder / "features.npz") as data:
        ship(model, dict(data), folder)


if __name__ == "__main__":
    main()
