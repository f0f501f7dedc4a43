"""A picture through a network of fixed size: overlapping tiles whose seams cannot be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Progress
from hanok.flows.apps._photo_files import Picture

Tile = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tiling:
    """Squares of `side` pixels; the inner ones are kept, and `margin` is how far their values reach."""

    side: int
    margin: int
    scale: int = 1
    """Pixels of the result for one of the picture, along each axis."""

    @property
    def step(self) -> int:
        """Pixels from one tile to the next: what is kept of each."""
        return self.side - 2 * self.margin

    def count(self, height: int, width: int) -> int:
        """Tiles of a picture."""
        return -(-height // self.step) * -(-width // self.step)


def mirrored(start: int, count: int, length: int) -> Indices:
    """Indices start .. start + count of an axis of `length`, mirrored at its ends as often as need be."""
    places = np.arange(start, start + count) % (2 * length)
    return np.where(places < length, places, 2 * length - 1 - places)


def cut_tile(picture: Picture, top: int, left: int, side: int) -> Tile:
    """float32 [1, 3, side, side] in 0..1 from (top, left); outside, the picture is mirrored."""
    rows = mirrored(top, side, picture.shape[0])
    columns = mirrored(left, side, picture.shape[1])
    tile = picture[rows[:, None], columns[None, :]].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(tile, np.float32) / np.float32(255.0)


def run_tiles(
    picture: Picture, tiling: Tiling, run: Callable[[Tile], Tile], progress: Progress, offset: int = 0
) -> Picture:
    """The network's result for the whole picture: uint8 [scale * height, scale * width, 3].

    `run` takes [1, 3, side, side] and gives [1, 3, scale * side, scale * side]. Where the margin is no
    smaller than the network's reach, a pixel is the same wherever the grid begins, so there are no seams;
    `offset` moves the grid up and left by that many pixels, to prove this.
    """
    height, width = picture.shape[:2]
    scale, margin, step = tiling.scale, tiling.margin, tiling.step
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    total = tiling.count(height + offset, width + offset)
    done = 0
    for top in range(-offset, height, step):
        for left in range(-offset, width, step):
            if done * 20 // total != (done - 1) * 20 // total:
                progress(f"tile {done + 1} of {total}")
            tile = run(cut_tile(picture, top - margin, left - margin, tiling.side))[0]
            inner = slice(margin * scale, (margin + step) * scale)
            levels = np.rint(np.clip(tile[:, inner, inner], 0.0, 1.0) * 255.0).astype(np.uint8)
            _paste(result, levels.transpose(1, 2, 0), top * scale, left * scale)
            done += 1
    return result


def _paste(result: Picture, levels: Picture, top: int, left: int) -> None:
    """Lay a square on the result; what hangs over an edge is dropped."""
    skip_top, skip_left = max(0, -top), max(0, -left)
    kept = levels[skip_top:, skip_left:]
    place = result[top + skip_top : top + len(levels), left + skip_left : left + levels.shape[1]]
    place[...] = kept[: place.shape[0], : place.shape[1]]
