"""The recogniser's network and what its outputs are called: the shipped one, or a user's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Progress
from hanok.flows.apps._voice_features import FRAMES, MEL_BANDS
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import compile_model
from hanok.isa import Program
from hanok.machine import Chip

NAME = "korean_commands"
DEFAULT_THRESHOLD = 0.5
_MAX_LABELS = 10_000
_MAX_DESCRIPTION_BYTES = 1 << 20
_FIELDS = 'labels = ["...", ...] and unknown = "..."'


@dataclass(frozen=True)
class Description:
    """What a network's outputs mean."""

    labels: tuple[str, ...]
    unknown: str
    """The label of what is no command."""
    threshold: float
    """Probability from which a command counts as heard."""


def assets_folder() -> Path:
    """Where the shipped files lie."""
    return Path(str(resources.files("hanok") / "assets"))


def shipped_model() -> Path:
    """The int8 recogniser of ten Korean commands."""
    return assets_folder() / f"{NAME}.onnx"


def read_description(model: Path) -> Description:
    """Read the .toml beside a model; raises InputError for what it lacks or has wrong."""
    path = model.with_suffix(".toml")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_DESCRIPTION_BYTES + 1)
        if len(content) > _MAX_DESCRIPTION_BYTES:
            raise InputError(f"{path}: is larger than {_MAX_DESCRIPTION_BYTES} bytes; expected {_FIELDS}")
        fields = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read: {reason}; {model.name} needs it, with {_FIELDS}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML: {error}") from None
    labels, unknown = fields.get("labels"), fields.get("unknown")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{path}: labels is {_short(labels)}; expected {_FIELDS}")
    if not 2 <= len(labels) <= _MAX_LABELS or len(set(labels)) != len(labels):
        raise InputError(f"{path}: {len(labels)} labels; allowed: 2..{_MAX_LABELS}, all different")
    if not isinstance(unknown, str) or unknown not in labels:
        raise InputError(f"{path}: unknown is {_short(unknown)}; allowed: one of the labels")
    threshold = fields.get("threshold", DEFAULT_THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise InputError(f"{path}: threshold is {_short(threshold)}; allowed: a number between 0 and 1")
    return Description(tuple(labels), unknown, float(threshold))


def compile_recogniser(
    model: Path | None, chip: Chip, description: Description, progress: Progress
) -> Program:
    """Compile the network and hold its input and output against features and labels.

    A float model is quantised on the features that ship with hanok. Raises HanokError subclasses.
    """
    path = shipped_model() if model is None else model
    program = compile_model(
        path, chip, calibration=_calibration(model), no_host=model is None, progress=progress
    )
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        counts = f"{len(program.inputs)} inputs and {len(program.outputs)} outputs"
        raise InputError(f"{path}: has {counts}; a recogniser has one of each: features, and scores")
    shape = program.inputs[0].shape
    if _without_ones(shape) != (FRAMES, MEL_BANDS):
        wanted = f"[1, 1, {FRAMES}, {MEL_BANDS}], log-mel features of a second as frames and bands"
        raise InputError(f"{path}: its input is {list(shape)}; expected {wanted}")
    scores = program.outputs[0].shape
    if _without_ones(scores) != (len(description.labels),):
        wanted = f"[1, {len(description.labels)}], a score for each label of {path.with_suffix('.toml').name}"
        raise InputError(f"{path}: its output is {list(scores)}; expected {wanted}")
    return program


def _calibration(model: Path | None) -> dict[str, npt.NDArray[Any]] | None:
    """Features to quantise a user's float model on; named '', for the lone input."""
    if model is None:
        return None
    from hanok.graph import load_model
    from hanok.graph.quantise import is_quantised

    loaded = load_model(model)
    constants = {constant.name for constant in loaded.graph.initializer}
    inputs = [value for value in loaded.graph.input if value.name not in constants]
    if is_quantised(loaded) or len(inputs) != 1:
        return None
    shape = tuple(axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim)
    if _without_ones(shape) != (FRAMES, MEL_BANDS):
        return None
    with np.load(assets_folder() / f"{NAME}.npz") as data:
        features = data["calibration"].astype(np.float32)
    return {"": features.reshape(-1, *shape[1:])}


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
