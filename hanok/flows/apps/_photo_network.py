"""A photo job's network: the shipped one or a user's, its sizes read from its shapes, compiled for a chip."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from hanok.flows._execution import Progress
from hanok.flows._repeated_program import RepeatedProgram
from hanok.flows.apps._photo_files import Picture
from hanok.flows.apps._photo_mask import shrink
from hanok.flows.apps._photo_tiles import Tile, Tiling, cut_tile
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import Calibration, compile_model
from hanok.machine import Chip

JOBS = ("denoise", "upscale", "cutout")
REACH = {"denoise": 24, "upscale": 8}
"""Pixels around a pixel that the shipped networks look at, rounded up to whole blocks."""
SIDES = range(16, 1025)
SCALES = {"denoise": range(1, 2), "upscale": range(2, 5), "cutout": range(1, 2)}
CALIBRATION_TILES = 8
MAX_RESULT_PIXELS = 400_000_000
_EXPECTED = {
    "denoise": "[1, 3, T, T] to [1, 3, T, T]",
    "upscale": "[1, 3, T, T] to [1, 3, s*T, s*T] with s of 2 to 4",
    "cutout": "[1, 3, T, T] to [1, 1, T, T]",
}


@dataclass(frozen=True)
class Shapes:
    """Names of a network's input and output, and the tiles that it takes."""

    input: str
    output: str
    tiling: Tiling


class Network:
    """A compiled network that is run tile by tile."""

    def __init__(self, shapes: Shapes, program: RepeatedProgram) -> None:
        self.tiling = shapes.tiling
        self.program = program
        self._shapes = shapes

    def run(self, tile: Tile) -> Tile:
        """float32 [1, 3, side, side] in 0..1 -> the network's float32 output."""
        result = self.program.run({self._shapes.input: tile})[self._shapes.output]
        return np.asarray(result, np.float32)


def load_network(
    job: str, chip: Chip, model: Path | None, picture: Picture, check: bool, progress: Progress
) -> Network:
    """Read, hold against the job, calibrate on `picture` if the model is float, compile without a host.

    Raises HanokError subclasses for a model that cannot be read, has other shapes, or does not fit the NPU.
    """
    from hanok.graph import load_model
    from hanok.graph.quantise import is_quantised

    path = shipped_model(job) if model is None else model
    loaded = load_model(path)
    constants = {constant.name for constant in loaded.graph.initializer}
    inputs = [_value(value) for value in loaded.graph.input if value.name not in constants]
    outputs = [_value(value) for value in loaded.graph.output]
    shapes = shapes_for(job, path, inputs, outputs, REACH.get(job, 0) if model is None else None)
    _refuse_huge(picture, shapes.tiling.scale)
    calibration: Calibration | None = None
    if not is_quantised(loaded):
        calibration = {shapes.input: sample_tiles(job, picture, shapes.tiling)}
    program = compile_model(path, chip, calibration=calibration, no_host=True, progress=progress)
    return Network(shapes, RepeatedProgram(job, program, check=check, progress=progress))


def assets_folder() -> Path:
    """Where the shipped networks lie."""
    return Path(str(resources.files("hanok") / "assets")) / "photo"


def shipped_model(job: str) -> Path:
    """The int8 network of a job."""
    return assets_folder() / f"{job}.onnx"


def _refuse_huge(picture: Picture, scale: int) -> None:
    pixels = picture.shape[0] * picture.shape[1]
    if pixels * scale * scale > MAX_RESULT_PIXELS:
        most = MAX_RESULT_PIXELS // (scale * scale)
        raise InputError(
            f"the picture has {pixels:,} pixels; {scale} times as high and wide, at most {most:,} are allowed"
        )


def _value(value: object) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a graph's input or output; 0 stands for a size that is not fixed."""
    shape = value.type.tensor_type.shape  # type: ignore[attr-defined]
    return value.name, tuple(size.dim_value for size in shape.dim)  # type: ignore[attr-defined]


def shapes_for(
    job: str,
    path: Path,
    inputs: list[tuple[str, tuple[int, ...]]],
    outputs: list[tuple[str, tuple[int, ...]]],
    reach: int | None,
) -> Shapes:
    """Hold a network's inputs and outputs against a job; `reach` None takes an eighth of the side."""
    expected = f"a network for {job} takes one picture and gives one, {_EXPECTED[job]}"
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; {expected}")
    (name, shape), (result, result_shape) = inputs[0], outputs[0]
    found = f"{path}: is {_shown(shape)} to {_shown(result_shape)}"
    if len(shape) != 4 or shape[:2] != (1, 3) or shape[2] != shape[3] or shape[2] == 0:
        raise InputError(f"{found}; {expected}; T is a fixed number")
    side = shape[2]
    if side not in SIDES:
        raise InputError(f"{found}; allowed: T from {SIDES.start} to {SIDES.stop - 1}")
    channels = 1 if job == "cutout" else 3
    scale = result_shape[2] // side if len(result_shape) == 4 else 0
    if result_shape != (1, channels, scale * side, scale * side) or scale not in SCALES[job]:
        raise InputError(f"{found}; {expected}")
    margin = side // 8 if reach is None else reach
    return Shapes(name, result, Tiling(side, margin if job != "cutout" else 0, scale))


def _shown(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(size) if size else "?" for size in shape) + "]"


def sample_tiles(job: str, picture: Picture, tiling: Tiling) -> Tile:
    """Tiles of the picture, spread over it, for calibration: float32 [n, 3, side, side]."""
    if job == "cutout":
        return shrink(picture, tiling.side)
    height, width = picture.shape[:2]
    columns = -(-width // tiling.step)
    total = tiling.count(height, width)
    chosen = sorted({index * total // CALIBRATION_TILES for index in range(CALIBRATION_TILES)})
    tiles = [
        cut_tile(
            picture,
            index // columns * tiling.step - tiling.margin,
            index % columns * tiling.step - tiling.margin,
            tiling.side,
        )
        for index in chosen
    ]
    return np.concatenate(tiles)
