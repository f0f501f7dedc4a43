"""Marks in int8 weights: what they cost in quality, and who is named after each attack.

`python benchmarks/protect_weights.py [folder of MLPerf Tiny's models]`: about 3 minutes on one core. Quality
of the Korean command recogniser: 44 test clips, 50 times each moved in time and level and with noise added
(2,200 inputs; the recordings behind its published accuracy are not shipped). Of the autoencoder of MLPerf
Tiny: mean squared reconstruction error of 196 real windows. Of other models no data is at hand: attacks only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
import onnx

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "protect"))
import weight_attacks as attacks
from fine_tuning import fine_tuned
from table import print_table

from hanok.graph.oracle import reference_session
from hanok.protect.accuse import accuse
from hanok.protect.tardos import Code
from hanok.protect.weights import WeightMarks

SECRET = bytes(range(32))
RECIPIENTS, LIMIT = 1000, 1e-6
COPIES = 10
ALTERATIONS = 50
MUST_POINTS = 0.2


def outputs(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    session = reference_session(model)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: each[None]})[0] for each in inputs])


def voice_clips() -> tuple[np.ndarray, np.ndarray]:
    with (
        (resources.files("hanok") / "assets" / "korean_commands.npz").open("rb") as file,
        np.load(file) as data,
    ):
        return data["features"].astype(np.float32), data["labels"].astype(np.int64)


def altered_clips(clips: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(1)
    found = []
    for clip in np.tile(clips, (ALTERATIONS, 1, 1, 1)):
        moved = np.roll(clip, int(random.integers(-3, 4)), axis=1) + random.normal(0, 0.1)
        found.append(moved + random.normal(0, random.uniform(0, 0.25), clip.shape))
    return np.array(found, np.float32)


def voice_quality(copies: list[onnx.ModelProto]) -> None:
    clips, labels = voice_clips()
    inputs, wanted = altered_clips(clips), np.tile(labels, ALTERATIONS)
    before = outputs(onnx.load(attacks.VOICE), inputs)
    changes, agreement = [], []
    for copy in copies:
        after = outputs(copy, inputs)
        right = (after.argmax(1) == wanted).astype(float) - (before.argmax(1) == wanted)
        changes.append(right.reshape(ALTERATIONS, -1).mean(axis=0))
        agreement.append((after.argmax(1) == before.argmax(1)).mean())
    by_clip = 100 * np.mean(changes, axis=0)
    error = by_clip.std(ddof=1) / np.sqrt(len(by_clip))
    worst = 100 * min(np.mean(change) for change in changes)
    print(
        f"accuracy {100 * (before.argmax(1) == wanted).mean():.2f} % before; over {len(copies)} marked copies"
        f" {by_clip.mean():+.2f} points (standard error {error:.2f}), the worst copy {worst:+.2f} "
        f"(required: within {MUST_POINTS}); same answer in {100 * np.mean(agreement):.2f} %"
    )


def real_windows(folder: Path) -> np.ndarray:
    return np.load(folder / "samples" / "ad_normal_id01_windows.npy").astype(np.float32).reshape(-1, 640)


def reconstruction_error(model: onnx.ModelProto, windows: np.ndarray) -> float:
    """Mean squared; the model takes and gives int8 on scales that its first and last nodes hold."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first = next(node for node in model.graph.node if node.input[0] == model.graph.input[0].name)
    last = [node for node in model.graph.node if node.op_type == "QuantizeLinear"][-1]
    (scale_in, zero_in), (scale_out, zero_out) = (
        (constants[node.input[1]], constants[node.input[2]].astype(np.float32)) for node in (first, last)
    )
    whole = np.clip(np.rint(windows / scale_in) + zero_in, -128, 127).astype(np.int8)
    made = (outputs(model, whole).astype(np.float32) - zero_out) * scale_out
    return float(((made - windows) ** 2).mean())


def autoencoder_quality(folder: Path, copies: list[onnx.ModelProto]) -> None:
    windows = real_windows(folder)
    before = reconstruction_error(onnx.load(folder / "ad01_int8.onnx"), windows)
    after = [reconstruction_error(copy, windows) for copy in copies]
    change = 100 * (np.array(after) / before - 1)
    print(
        f"reconstruction error {before:.3f} before, {np.mean(after):.3f} marked: {change.mean():+.2f} % "
        f"(worst copy {change.max():+.2f} %)"
    )


def attacked(
    name: str, folder: Path, copies: list[onnx.ModelProto]
) -> dict[str, tuple[onnx.ModelProto, int]]:
    """Attack -> the altered copy, and how many of the first copies went into it."""
    one = copies[0]
    found = {
        "none": (one, 1),
        "noise of 8 steps": (attacks.noisy(one, 8, 1), 1),
        "noise of 12 steps": (attacks.noisy(one, 12, 1), 1),
        "half of the weights pruned": (attacks.pruned(one, 0.5), 1),
        "requantised to int4": (attacks.requantised(one, 7, True), 1),
        "stored as int4's small numbers": (attacks.requantised(one, 7, False), 1),
        "average of 10 copies": (attacks.averaged(copies[:10]), 10),
        "weights of 3 copies mixed": (attacks.mixed(copies[:3], 1), 3),
        "weights of 10 copies mixed": (attacks.mixed(copies[:10], 1), 10),
        "channels rescaled": (attacks.rescaled(one, 1), 1),
        "in float32, renamed": (attacks.in_float(one), 1),
    }
    if name == "korean_commands.onnx":
        permuted = attacks.permuted_voice(one, 1)
        found["neurons permuted"] = (permuted, 1)
        found["permuted, noise of 8 steps"] = (attacks.noisy(permuted, 8, 1), 1)
        clips, labels = voice_clips()
        inputs, wanted = altered_clips(clips), np.tile(labels, ALTERATIONS)
        for rate in (1e-3, 3e-3):
            tuned, _, _ = fine_tuned(one, inputs, wanted, 150, rate)
            found[f"fine-tuned, 150 steps of Adam at {rate:g}"] = (tuned, 1)
            found[f"fine-tuned at {rate:g}, permuted, int4"] = (
                attacks.requantised(attacks.permuted_voice(tuned, 2), 7, True),
                1,
            )
    if name == "ad01_int8.onnx":
        windows = real_windows(folder)
        for rate in (1e-4, 1e-3):
            tuned, _, _ = fine_tuned(one, windows, windows, 300, rate)
            found[f"fine-tuned, 300 steps of Adam at {rate:g}"] = (tuned, 1)
    return found


def measure(path: Path, mlperf: Path | None) -> None:
    start = time.process_time()
    marks = WeightMarks(path, SECRET)
    code = Code(SECRET, marks.subject, marks.marks)
    words = code.words([f"recipient {row}" for row in range(RECIPIENTS)])
    copies = [onnx.load_from_string(marks.embed(words[row])[path.name]) for row in range(COPIES)]
    print(f"\n{path.name}: {marks.marks} marks, {time.process_time() - start:.1f} s for {COPIES} copies")
    if path.name == "korean_commands.onnx":
        voice_quality(copies)
    if path.name == "ad01_int8.onnx" and mlperf:
        autoencoder_quality(mlperf, copies)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for attack, (model, guilty) in attacked(path.name, path.parent, copies).items():
            suspect = Path(folder) / "suspect.onnx"
            onnx.save(model, suspect)
            evidence = marks.read(suspect)
            accusation = accuse(code.biases, words, evidence, LIMIT)
            named = accusation.accused.tolist()
            read = np.nan_to_num(evidence) != 0
            right = ((evidence > 0) == (words[0] == 1))[read].mean()
            rows.append(
                [
                    attack,
                    f"{int(read.sum()):,}",
                    f"{right:.1%}" if guilty == 1 else "-",
                    f"{sum(row < guilty for row in named)} of {guilty}",
                    str(sum(row >= guilty for row in named)),
                    f"{max(float(accusation.bounds.min()), 1e-99):.0e}",
                ]
            )
    print_table(("attack", "marks read", "read rightly", "named", "falsely", "bound"), rows)


def main() -> None:
    mlperf = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(f"{RECIPIENTS} recipients, bound {LIMIT:g}")
    for path in (attacks.VOICE, *(sorted(mlperf.glob("*.onnx")) if mlperf else ())):
        measure(path, mlperf)


if __name__ == "__main__":
    main()
