"""Marks in int8 weights: what a copy keeps, what it costs, and what an attack leaves of the marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import weight_attacks as attacks
from fine_tuning import fine_tuned, forward, layers_of

from hanok.graph.oracle import run_onnxruntime
from hanok.protect._align import align
from hanok.protect.accuse import Accusation, accuse
from hanok.protect.tardos import Code, FingerprintError
from hanok.protect.weights import HIGHEST, LOWEST, PAIRS, WeightMarks

SECRET = bytes(range(1, 33))
RECIPIENTS = [f"recipient {row}" for row in range(1000)]
MARKS = WeightMarks(attacks.VOICE, SECRET)


@pytest.fixture(scope="module")
def code() -> Code:
    return Code(SECRET, MARKS.subject, MARKS.marks)


@pytest.fixture(scope="module")
def words(code: Code) -> np.ndarray:
    return code.words(RECIPIENTS)


def copy_of(row: int, words: np.ndarray) -> onnx.ModelProto:
    return onnx.load_from_string(MARKS.embed(words[row])[attacks.VOICE.name])


def traced(model: onnx.ModelProto, code: Code, words: np.ndarray, folder: Path) -> Accusation:
    path = folder / "suspect.onnx"
    onnx.save(model, path)
    return accuse(code.biases, words, MARKS.read(path), 1e-6)


def test_a_copy_differs_by_single_steps_that_cancel_in_each_channel(words: np.ndarray) -> None:
    before = attacks.int8_weights(onnx.load(attacks.VOICE))
    marked = copy_of(3, words)
    changed = 0
    for name, after in attacks.int8_weights(marked).items():
        moved = (after - before[name]).reshape(len(after), -1)
        assert np.abs(moved).max() <= 1
        assert (moved.sum(axis=1) == 0).all()
        where = np.abs(before[name].reshape(moved.shape)[moved != 0])
        assert ((where >= LOWEST) & (where <= HIGHEST)).all()
        assert (np.abs(after).max(axis=tuple(range(1, after.ndim))) <= 127).all()
        changed += np.count_nonzero(moved)
    assert changed == MARKS.marks * PAIRS * 2
    original = onnx.load(attacks.VOICE)
    for model in (marked, original):
        for tensor in model.graph.initializer:
            if tensor.name in before:
                tensor.ClearField("raw_data")
    assert marked == original


def test_every_mark_of_a_plain_copy_is_read(words: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(MARKS.embed(words[0])[attacks.VOICE.name])
    assert (np.sign(MARKS.read(path)) == 2.0 * words[0] - 1).all()
    original = MARKS.read(attacks.VOICE)
    assert (original == 0).all()


ATTACKS = {
    "noise of 8 steps": lambda model: attacks.noisy(model, 8, 1),
    "half of the weights pruned": lambda model: attacks.pruned(model, 0.5),
    "int4, on the old scale": lambda model: attacks.requantised(model, 7, True),
    "int4, as small numbers": lambda model: attacks.requantised(model, 7, False),
    "channels permuted": lambda model: attacks.permuted_voice(model, 1),
    "channels rescaled": lambda model: attacks.rescaled(model, 1),
    "permuted, noise of 4 steps": lambda model: attacks.noisy(attacks.permuted_voice(model, 2), 4, 2),
    "permuted, rescaled, pruned": lambda model: attacks.pruned(
        attacks.rescaled(attacks.permuted_voice(model, 3), 2), 0.3
    ),
    "float, renamed, turned": attacks.in_float,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_one_leaker_is_named_after(name: str, code: Code, words: np.ndarray, tmp_path: Path) -> None:
    accusation = traced(ATTACKS[name](copy_of(7, words)), code, words, tmp_path)
    assert accusation.accused.tolist() == [7]
    assert accusation.bounds[7] < 1e-9


def test_an_average_of_ten_copies_names_only_those_ten(code: Code, words: np.ndarray, tmp_path: Path) -> None:
    copies = [copy_of(row, words) for row in range(40, 50)]
    for model in (attacks.averaged(copies), attacks.mixed(copies[:4], 1)):
        accusation = traced(model, code, words, tmp_path)
        assert len(accusation.accused) >= 1
        assert set(accusation.accused.tolist()) <= set(range(40, 50))


def clips() -> tuple[np.ndarray, np.ndarray]:
    with np.load(attacks.VOICE.with_suffix(".npz")) as data:
        return data["features"].astype(np.float32), data["labels"].astype(np.int64)


def test_fine_tuning_computes_what_the_model_does_and_learns(words: np.ndarray) -> None:
    features, labels = clips()
    marked = copy_of(0, words)
    found, _ = forward(layers_of(marked), features[:8])
    wanted = [run_onnxruntime(marked, {"features": clip[None]})["scores"][0] for clip in features[:8]]
    assert np.abs(found - wanted).max() < 0.3
    _, before, after = fine_tuned(marked, features, labels, 8, 1e-3)
    assert after < 0.5 * before


def test_fine_tuning_of_every_layer_leaves_the_marks(code: Code, words: np.ndarray, tmp_path: Path) -> None:
    features, labels = clips()
    tuned, _, _ = fine_tuned(copy_of(9, words), features, labels, 15, 3e-3)
    before, after = (attacks.int8_weights(model) for model in (onnx.load(attacks.VOICE), tuned))
    assert all(np.sqrt(((after[name] - before[name]) ** 2).mean()) > 1 for name in before)
    accusation = traced(tuned, code, words, tmp_path)
    assert accusation.accused.tolist() == [9]
    assert accusation.bounds[9] < 1e-20


@pytest.mark.slow
def test_twenty_leakers_are_named_through_noise_of_8_steps(
    code: Code, words: np.ndarray, tmp_path: Path
) -> None:
    for row in range(20):
        noisy = attacks.noisy(copy_of(row, words), 8, row)
        assert traced(noisy, code, words, tmp_path).accused.tolist() == [row]


def test_what_nobody_leaked_names_nobody(code: Code, words: np.ndarray, tmp_path: Path) -> None:
    original = onnx.load(attacks.VOICE)
    for model in (original, attacks.noisy(original, 3, 5), attacks.pruned(original, 0.9)):
        accusation = traced(model, code, words, tmp_path)
        assert not len(accusation.accused)
        assert accusation.bounds.min() > 1e-4
    other = MARKS.read(attacks.small_model(40_000, tmp_path))
    assert np.isnan(other).all()


def test_the_permuted_model_computes_the_same() -> None:
    original = onnx.load(attacks.VOICE)
    permuted = attacks.permuted_voice(original, 1)
    features = np.random.default_rng(1).normal(size=(1, 1, 49, 32)).astype(np.float32)
    first, second = (
        run_onnxruntime(model, {"features": features})["scores"] for model in (original, permuted)
    )
    assert np.abs(first - second).max() < 0.1
    assert attacks.int8_weights(original)["conv4/weight/9_quantized"].tolist() != (
        attacks.int8_weights(permuted)["conv4/weight/9_quantized"].tolist()
    )


def test_marks_depend_on_the_secret(words: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(MARKS.embed(words[0])[attacks.VOICE.name])
    other = WeightMarks(attacks.VOICE, SECRET[::-1])
    evidence = other.read(path)
    right = (np.sign(evidence) == 2.0 * words[0] - 1)[evidence != 0].mean()
    assert abs(right - 0.5) < 0.06
    assert "x01" not in repr(MARKS)


def test_external_data_is_marked_where_it_lies(tmp_path: Path) -> None:
    path = attacks.small_model(64_000, tmp_path, external=True)
    marks = WeightMarks(path, SECRET)
    bits = np.random.default_rng(1).integers(0, 2, marks.marks).astype(np.uint8)
    files = marks.embed(bits)
    assert sorted(files) == ["model.onnx", "weights.bin"]
    assert files["model.onnx"] == path.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    for name, content in files.items():
        (out / name).write_bytes(content)
    assert (np.sign(marks.read(out / "model.onnx")) == 2.0 * bits - 1).all()


def test_models_with_too_little_room(tmp_path: Path) -> None:
    small = WeightMarks(attacks.small_model(6400, tmp_path), SECRET)
    with pytest.raises(FingerprintError, match=r"room for \d+ marks in its int8 weights, at least 1024 are"):
        _ = small.marks
    floats = tmp_path / "float.onnx"
    onnx.save(attacks.in_float(onnx.load(attacks.VOICE)), floats)
    with pytest.raises(FingerprintError, match=r"no int8 weights; quantise the model first"):
        _ = WeightMarks(floats, SECRET).marks


@pytest.mark.parametrize("shape", [(24, 16, 9), (40, 1, 9), (16, 64, 1)])
def test_permutations_are_undone_exactly_and_scales_to_a_hundredth(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(2)
    original = np.rint(random.normal(0, 40, shape))
    rows, columns = random.permutation(shape[0]), random.permutation(shape[1])
    assert (align(original, original[rows][:, columns]).values == original).all()
    outputs, inputs = random.uniform(0.3, 3, (shape[0], 1, 1)), random.uniform(0.7, 1.4, (1, shape[1], 1))
    scaled = align(original, (original * outputs * inputs)[rows][:, columns])
    assert scaled.likeness > 0.999
    assert np.abs(scaled.values - original).max() < 0.01 * np.abs(original).max() + 0.5


def test_dead_and_equal_channels_do_not_confuse_the_rest() -> None:
    random = np.random.default_rng(3)
    original = np.rint(random.normal(0, 40, (20, 12, 3)))
    original[3:5] = 0
    original[7] = original[8]
    rows = random.permutation(20)
    found = align(original, original[rows][:, random.permutation(12)])
    assert (found.values == original).all()
