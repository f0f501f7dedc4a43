"""The trained recogniser that hanok carries: its files agree, it knows the clips, it quantises again."""

from __future__ import annotations

import tomllib
from importlib import resources

import numpy as np
import onnx
import onnxruntime
import pytest

from hanok.graph.quantise import is_quantised, quantise_model

ASSETS = resources.files("hanok") / "assets"


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    with (ASSETS / "korean_commands.npz").open("rb") as file, np.load(file) as data:
        return dict(data)


@pytest.fixture(scope="module")
def float_model() -> onnx.ModelProto:
    return onnx.load_from_string((ASSETS / "korean_commands_float.onnx").read_bytes())


def scores(model: onnx.ModelProto, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate(
        [session.run(None, {"features": clip[None].astype(np.float32)})[0] for clip in features]
    )


def test_the_files_agree(clips):
    description = tomllib.loads((ASSETS / "korean_commands.toml").read_text("utf-8"))
    model = onnx.load_from_string((ASSETS / "korean_commands.onnx").read_bytes())
    onnx.checker.check_model(model, full_check=True)
    assert is_quantised(model)
    assert model.graph.input[0].name == description["input"]
    assert model.graph.output[0].name == description["output"]
    assert clips["features"].shape[1:] == (1, 49, 32)
    assert np.bincount(clips["labels"]).tolist() == [4] * len(description["labels"])
    size_bytes = len((ASSETS / "korean_commands.onnx").read_bytes())
    assert size_bytes < 300_000


def test_the_shipped_model_knows_the_shipped_clips(clips):
    """44 clips of voices that training never heard, in noise, drawn by chance: 5 were wrong when shipped."""
    model = onnx.load_from_string((ASSETS / "korean_commands.onnx").read_bytes())
    assert (scores(model, clips["features"]).argmax(1) != clips["labels"]).sum() <= 6


def test_quantising_the_float_model_keeps_its_answers_and_repair_helps(clips, float_model):
    calibration = {"features": clips["calibration"].astype(np.float32)}
    wanted = scores(float_model, clips["features"])
    noise = []
    for repair in (False, True):
        found = scores(quantise_model(float_model, calibration, repair=repair).model, clips["features"])
        assert (found.argmax(1) != wanted.argmax(1)).sum() <= 1
        noise.append(np.square(found - wanted).sum())
    assert noise[1] < noise[0]
