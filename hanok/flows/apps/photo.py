"""Photographs on the NPU: noise taken away, twice the pixels, the subject cut out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Progress, quiet
from hanok.flows.apps._photo_files import (
    MAX_PIXELS,
    Picture,
    check_picture_name,
    picture_bytes,
    read_picture,
)
from hanok.flows.apps._photo_mask import cut_out, shrink
from hanok.flows.apps._photo_network import JOBS, assets_folder, load_network
from hanok.flows.apps._photo_tiles import run_tiles
from hanok.flows.arrays import InputError
from hanok.flows.cost import Cost, cost_of
from hanok.machine import Chip

__all__ = [
    "JOBS",
    "Photo",
    "check_picture_name",
    "edit_photo",
    "picture_bytes",
    "read_picture",
    "sample_photo",
]


@dataclass(frozen=True)
class Photo:
    """An edited photograph and what the chip spent on it."""

    picture: npt.NDArray[np.uint8]
    """[H, W, 3]; upscaled twice as high and wide; of a cutout [H, W, 4], with the subject's alpha."""
    before: npt.NDArray[np.uint8]
    """[H, W, 3]: what came in."""
    job: str
    tiles: int
    """How often the network ran."""
    cost: Cost


def edit_photo(
    picture: npt.NDArray[np.uint8] | Path,
    job: str,
    chip: Chip,
    *,
    model: Path | None = None,
    check: bool = True,
    progress: Progress = quiet,
) -> Photo:
    """Do a job ("denoise", "upscale", "cutout") on a picture: uint8 [H, W, 3], or a file.

    The work is done in tiles of the network's size, each one run of one compiled program; beside the two
    pictures only one tile is held. A cutout looks at the whole picture at once and refines its mask on the
    host. `model` takes the shipped network's place: an ONNX file of the same kind of shapes; a float one is
    calibrated on tiles of the picture. `check` compares the first tile with ONNX Runtime. Raises HanokError.
    """
    if job not in JOBS:
        raise InputError(f"job {job!r}: allowed: {', '.join(JOBS)}")
    before = read_picture(picture) if isinstance(picture, Path) else checked(picture)
    network = load_network(job, chip, model, before, check, progress)
    if job == "cutout":
        progress("looking for the subject")
        mask = network.run(shrink(before, network.tiling.side))[0, 0]
        progress("following its edges")
        after = cut_out(before, np.clip(mask, 0.0, 1.0))
    else:
        after = run_tiles(before, network.tiling, network.run, progress)
    return Photo(after, before, job, network.program.runs, cost_of([network.program]))


def checked(picture: Picture) -> Picture:
    """The picture itself, if it is one; raises InputError."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        found = f"{picture.dtype} {list(picture.shape)}"
        raise InputError(f"the picture is {found}; allowed: uint8 [height, width, 3], at least 1 x 1")
    pixels = picture.shape[0] * picture.shape[1]
    if pixels > MAX_PIXELS:
        raise InputError(f"the picture has {pixels:,} pixels; allowed: at most {MAX_PIXELS:,}")
    return picture


def sample_photo() -> Path:
    """A small photograph that comes with hanok."""
    return assets_folder() / "sample.jpg"
