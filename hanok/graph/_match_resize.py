"""Resize as taps and weights for every output row and column, from the ONNX definition."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hanok.graph._match import QMAX, QMIN, Context, Match, requantize_node
from hanok.graph._match_matrix import over_images
from hanok.graph._working import Operation
from hanok.graph.ir import Node, Operator, ResizeAttributes

Float = npt.NDArray[np.float32]
_MAX_SIZE = 1 << 16
Taps = tuple[npt.NDArray[np.int32], Float]


@dataclass(frozen=True)
class Axis:
    """One axis of a Resize: sizes, the scale as ONNX Runtime computes it, and the region of interest."""

    size: int
    made: int
    scale: np.float32
    start: np.float32
    end: np.float32


def match_resize(context: Context, match: Match) -> list[Node] | None:
    """Resize of the spatial axes by nearest or linear interpolation."""
    core = match.core
    x = context.operand(core.inputs[0])
    if x is None or x.data is not None or len(x.shape) not in (3, 4) or core.integer("antialias"):
        return None
    if max(match.output.shape) > _MAX_SIZE:
        return None
    axes = read_axes(context, core, x.shape, match.output.shape)
    mode = core.text("mode", "nearest")
    if (
        axes is None
        or mode not in ("nearest", "linear")
        or any(a.size != a.made or a.scale != 1 for a in axes[:2])
    ):
        return None
    taps = [_axis_taps(core, axis) for axis in axes[2:]]
    if any(found is None for found in taps):
        return None
    if len(taps) == 1:
        taps = [(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32)), *taps]
    (rows, row_weights), (columns, column_weights) = (found for found in taps if found is not None)
    attributes = ResizeAttributes(mode, rows, row_weights, columns, column_weights)
    if match.clamp == (QMIN, QMAX):
        return over_images(context, match, Operator.RESIZE, [x], attributes)
    made = context.like(match.output, f"{match.output.name}/resized", match.output.shape)
    inner = replace(match, output=made, clamp=(QMIN, QMAX))
    nodes = over_images(context, inner, Operator.RESIZE, [x], attributes)
    return [*nodes, requantize_node(context, match, made, match.output)]


def read_axes(
    context: Context, core: Operation, shape: tuple[int, ...], made: tuple[int, ...]
) -> list[Axis] | None:
    """Sizes and scales of every axis; None where they are no constants."""
    working, rank = context.working, len(shape)
    chosen = [axis % rank for axis in core.integers("axes")] or list(range(rank))
    roi, scales, sizes = (working.constant(core.input(position)) for position in (1, 2, 3))
    cropping = core.text("coordinate_transformation_mode") == "tf_crop_and_resize"
    factors = np.ones(rank, np.float32)
    if scales is not None and scales.size == len(chosen):
        factors[chosen] = scales.astype(np.float32)
    elif sizes is not None and sizes.size == len(chosen):
        factors[chosen] = _factors(core, sizes, np.array([shape[axis] for axis in chosen], np.float32))
    else:
        return None
    if cropping and (roi is None or roi.size != 2 * len(chosen)):
        return None
    regions = {axis: (np.float32(0), np.float32(1)) for axis in range(rank)}
    if cropping and roi is not None:
        half = len(chosen)
        regions.update({a: (np.float32(roi[i]), np.float32(roi[i + half])) for i, a in enumerate(chosen)})
    return [Axis(shape[a], made[a], np.float32(factors[a]), *regions[a]) for a in range(rank)]


def _factors(core: Operation, sizes: npt.NDArray[np.generic], shape: Float) -> Float:
    """Scales from wanted sizes, under the aspect-ratio policy."""
    factors = sizes.astype(np.float32) / shape
    match core.text("keep_aspect_ratio_policy", "stretch"):
        case "not_larger":
            return np.full_like(factors, factors.min())
        case "not_smaller":
            return np.full_like(factors, factors.max())
    return factors


def _axis_taps(core: Operation, axis: Axis) -> Taps | None:
    positions = source_positions(core.text("coordinate_transformation_mode", "half_pixel"), axis)
    if positions is None:
        return None
    if core.text("mode", "nearest") == "nearest":
        indices = _nearest(core.text("nearest_mode", "round_prefer_floor"), positions)
        taken = np.clip(indices, 0, axis.size - 1).astype(np.int32)
        return taken[:, None], np.ones((axis.made, 1), np.float32)
    inside = np.clip(positions, np.float32(0), np.float32(axis.size - 1))
    low = np.floor(inside).astype(np.int32)
    high = np.minimum(low + 1, axis.size - 1).astype(np.int32)
    upper = (inside - low.astype(np.float32)).astype(np.float32)
    weights = np.stack([np.float32(1) - upper, upper], axis=1).astype(np.float32)
    return np.stack([low, high], axis=1), weights


def source_positions(mode: str, axis: Axis) -> Float | None:
    """Position in the input of every output index, in float32 as ONNX Runtime computes it."""
    index = np.arange(axis.made, dtype=np.float32)
    half = np.float32(0.5)
    match mode:
        case "half_pixel":
            return (index + half) / axis.scale - half
        case "pytorch_half_pixel":
            return (index + half) / axis.scale - half if axis.made > 1 else np.zeros(1, np.float32)
        case "half_pixel_symmetric":
            adjustment = np.float32(axis.made) / (axis.scale * np.float32(axis.size))
            offset = np.float32(axis.size) / np.float32(2) * (np.float32(1) - adjustment)
            wide = (index.astype(np.float64) + 0.5) / np.float64(axis.scale)
            return (np.float64(offset) + wide - 0.5).astype(np.float32)
        case "align_corners":
            if axis.made == 1:
                return np.zeros(1, np.float32)
            return index * np.float32(axis.size - 1) / np.float32(axis.made - 1)
        case "asymmetric":
            return index / axis.scale
        case "tf_crop_and_resize":
            return _cropped(axis, index)
    return None


def _cropped(axis: Axis, index: Float) -> Float | None:
    """tf_crop_and_resize; None where a position lies outside (its value would be extrapolated)."""
    last = np.float32(axis.size - 1)
    if axis.made > 1:
        step = (axis.end - axis.start) * last / np.float32(axis.made - 1)
        positions = axis.start * last + index * step
    else:
        positions = np.full(1, np.float32(0.5) * (axis.start + axis.end) * last, np.float32)
    return None if positions.min() < 0 or positions.max() > last else positions.astype(np.float32)


def _nearest(mode: str, positions: Float) -> npt.NDArray[np.int64]:
    match mode:
        case "round_prefer_ceil":
            rounded = np.floor(positions + np.float32(0.5))
        case "floor":
            rounded = np.floor(positions)
        case "ceil":
            rounded = np.ceil(positions)
        case _:
            rounded = np.ceil(positions - np.float32(0.5))
    whole: npt.NDArray[np.int64] = rounded.astype(np.int64)
    return whole
