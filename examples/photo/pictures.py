"""Photographs as arrays: read, brought to a size at which they hold no noise, cut into crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sources import SOURCES

Image.MAX_IMAGE_PIXELS = None
LONG_SIDE = 1600
"""Wallpapers are two to four times as wide: halving them takes their noise and JPEG blocks away."""


def load_pictures(folder: Path, *, test: bool) -> dict[str, np.ndarray]:
    """Name -> uint8 [H, W, 3]; those for training, or those for testing."""
    pictures = {}
    for source in SOURCES:
        for file in sorted((folder / source.folder).iterdir()):
            if file.stem in source.left_out or (file.stem in source.test) != test:
                continue
            pictures[f"{source.folder}/{file.stem}"] = load_picture(file)
    return pictures


def load_picture(file: Path) -> np.ndarray:
    """One picture, at most LONG_SIDE long, never enlarged, with even sides."""
    with Image.open(file) as image:
        image.draft("RGB", (2 * LONG_SIDE, 2 * LONG_SIDE))
        image = image.convert("RGB")
    factor = min(1.0, LONG_SIDE / max(image.size))
    if factor < 1.0:
        size = (round(image.width * factor), round(image.height * factor))
        image = image.resize(size, Image.Resampling.LANCZOS)
    array = np.asarray(image)
    return array[: array.shape[0] // 4 * 4, : array.shape[1] // 4 * 4]


def random_crop(pictures: list[np.ndarray], side: int, random: np.random.Generator) -> np.ndarray:
    """A square crop, turned and mirrored at random; every other one is the livelier of two."""
    crops = [_one_crop(pictures, side, random) for _ in range(random.integers(1, 3))]
    crop = max(
        crops, key=lambda one: float(np.abs(np.diff(one[::2, ::2, 1].astype(np.int16), axis=0)).mean())
    )
    crop = np.rot90(crop, random.integers(4))
    return crop[:, ::-1] if random.integers(2) else crop


def _one_crop(pictures: list[np.ndarray], side: int, random: np.random.Generator) -> np.ndarray:
    picture = pictures[random.integers(len(pictures))]
    top = random.integers(picture.shape[0] - side + 1)
    left = random.integers(picture.shape[1] - side + 1)
    return picture[top : top + side, left : left + side]


def batch_of_crops(
    pictures: list[np.ndarray], count: int, side: int, random: np.random.Generator
) -> np.ndarray:
    """float32 [count, 3, side, side] in 0..1, with a random brightness now and then."""
    crops = np.stack([random_crop(pictures, side, random) for _ in range(count)])
    batch = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / 255.0
    gains = np.where(random.random((count, 3, 1, 1)) < 0.3, random.uniform(0.5, 1.0, (count, 3, 1, 1)), 1.0)
    return batch * gains.astype(np.float32)
