"""A subject's mask: from a small network's answer to every pixel of the photograph, along its edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from hanok.flows.apps._photo_files import Picture

Plane = npt.NDArray[np.float32]

GUIDE_LONGEST = 1024
"""Longest side at which edges are followed; larger pictures take the rule found there."""
RADIUS_SHARE = 0.012
"""Radius of the windows in which a mask follows the picture, of the guide's longer side."""
SMOOTHNESS = 2e-4
"""Variance of brightness (0..1) below which a window counts as without edges."""
LOW, HIGH = 0.15, 0.85
"""Mask values that become fully transparent and fully opaque."""
BAND_PIXELS = 4_000_000
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def shrink(picture: Picture, side: int) -> npt.NDArray[np.float32]:
    """The whole picture squeezed into a square: float32 [1, 3, side, side] in 0..1."""
    image = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)[None], np.float32) / np.float32(255.0)


def cut_out(picture: Picture, mask: Plane) -> Picture:
    """The subject as uint8 [height, width, 4]: `mask` [side, side] in 0..1 refined along the picture's edges.

    A guided filter (He, Sun, Tang 2013; its fast form, 2015): in each small window the mask is a straight
    line of brightness, fitted at GUIDE_LONGEST pixels and applied to all. What is transparent is black, so
    that the background is not in the file.
    """
    height, width = picture.shape[:2]
    slope, shift = edge_rule(_guide(picture), mask)
    result = np.empty((height, width, 4), np.uint8)
    rows_at_once = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows_at_once):
        band = picture[top : top + rows_at_once]
        rows = slice(top, top + len(band))
        bright = band.astype(np.float32) @ _LUMA / np.float32(255.0)
        cover = stretched(slope, rows, height, width) * bright + stretched(shift, rows, height, width)
        alpha = np.rint(np.clip((cover - LOW) / (HIGH - LOW), 0.0, 1.0) * 255.0).astype(np.uint8)
        result[rows, :, :3] = np.where(alpha[..., None] > 0, band, 0)
        result[rows, :, 3] = alpha
    return result


def _guide(picture: Picture) -> Plane:
    """Brightness 0..1, at most GUIDE_LONGEST long."""
    height, width = picture.shape[:2]
    factor = min(1.0, GUIDE_LONGEST / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    image = Image.fromarray(picture)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    return (np.asarray(image, np.float32) @ _LUMA / np.float32(255.0)).astype(np.float32)


def edge_rule(guide: Plane, mask: Plane) -> tuple[Plane, Plane]:
    """Slope and shift, each [height, width] of the guide: the refined mask is slope * brightness + shift."""
    height, width = guide.shape
    large = stretched(mask, slice(0, height), height, width)
    radius = max(1, round(RADIUS_SHARE * max(height, width)))
    mean_guide, mean_mask = box_mean(guide, radius), box_mean(large, radius)
    covariance = box_mean(guide * large, radius) - mean_guide * mean_mask
    variance = box_mean(guide * guide, radius) - mean_guide * mean_guide
    slope: Plane = (covariance / (variance + SMOOTHNESS)).astype(np.float32, copy=False)
    shift = mean_mask - slope * mean_guide
    return box_mean(slope, radius), box_mean(shift, radius)


def box_mean(plane: Plane, radius: int) -> Plane:
    """Mean over the windows of 2 * radius + 1 pixels a side, cut off at the picture's edges."""
    for axis in (0, 1):
        length = plane.shape[axis]
        sums = np.concatenate(
            [np.zeros_like(plane.take([0], axis), np.float64), plane.cumsum(axis, np.float64)], axis
        )
        low = np.maximum(np.arange(length) - radius, 0)
        high = np.minimum(np.arange(length) + radius + 1, length)
        counts = (high - low).reshape((-1, 1) if axis == 0 else (1, -1))
        means: Plane = ((sums.take(high, axis) - sums.take(low, axis)) / counts).astype(np.float32)
        plane = means
    return plane


def stretched(plane: Plane, rows: slice, height: int, width: int) -> Plane:
    """The given rows of `plane` brought to [height, width] by straight lines between its pixels."""
    above, below, down = _neighbours(np.arange(rows.start, rows.stop), height, plane.shape[0])
    left, right, across = _neighbours(np.arange(width), width, plane.shape[1])
    band = plane[above] * (1 - down)[:, None] + plane[below] * down[:, None]
    wide: Plane = (band[:, left] * (1 - across) + band[:, right] * across).astype(np.float32, copy=False)
    return wide


def _neighbours(
    places: npt.NDArray[np.int64], length: int, source: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Plane]:
    """The two source pixels around each place, and how far it lies towards the second."""
    exact = (places + 0.5) * (source / length) - 0.5
    first = np.clip(np.floor(exact).astype(np.int64), 0, source - 1)
    share = np.clip(exact - first, 0.0, 1.0).astype(np.float32)
    return first, np.minimum(first + 1, source - 1), share
