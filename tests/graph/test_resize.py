"""Resize in every coordinate and rounding mode against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from qdq_models import QdqModel, compare

MODES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def _resize(
    shape: tuple[int, ...],
    scales: list[float] | None,
    sizes: list[int] | None,
    output_scale: float = 0.05,
    opset: int = 19,
    **attributes: object,
) -> QdqModel:
    q = QdqModel(opset=opset, ir_version=9)
    x = q.input(shape, 0.05, 7)
    operands = [x, "", q.constant(np.array(scales, np.float32))] if scales else [x, "", ""]
    if sizes:
        operands.append(q.constant(np.array(sizes, np.int64)))
    q.output(q.apply("Resize", operands, **attributes), output_scale, 7)
    return q


@pytest.mark.parametrize("nearest", NEAREST)
@pytest.mark.parametrize("mode", MODES)
def test_nearest(mode: str, nearest: str) -> None:
    named = {"mode": "nearest", "coordinate_transformation_mode": mode, "nearest_mode": nearest}
    for model in (
        _resize((1, 3, 7, 9), [1, 1, 2, 3], None, **named),
        _resize((1, 3, 7, 9), None, [1, 3, 17, 5], **named),
        _resize((1, 3, 8, 10), [1, 1, 0.5, 1.7], None, **named),
    ):
        found = compare(model.model())
        assert (found.operators(), found.float_mismatches) == (["RESIZE"], 0)


@pytest.mark.parametrize("mode", MODES)
def test_linear(mode: str) -> None:
    named = {"mode": "linear", "coordinate_transformation_mode": mode}
    for model in (
        _resize((1, 3, 7, 9), [1, 1, 2, 3], None, **named),
        _resize((1, 3, 7, 9), None, [1, 3, 17, 5], output_scale=0.043, **named),
        _resize((1, 3, 8, 10), [1, 1, 0.5, 1.7], None, **named),
    ):
        found = compare(model.model())
        assert found.operators() == ["RESIZE"]
        assert found.float_steps <= 1
        assert found.float_mismatches <= found.elements // 20


def test_axes_policy_and_rank_three() -> None:
    stretched = _resize((1, 3, 8, 10), None, [16, 30], axes=[2, 3], keep_aspect_ratio_policy="not_larger")
    found = compare(stretched.model())
    assert (found.operators(), found.float_mismatches) == (["RESIZE"], 0)
    line = _resize((1, 3, 8), [1, 1, 2], None, mode="linear")
    found = compare(line.model())
    assert found.operators() == ["RESHAPE", "RESIZE", "RESHAPE"]
    assert found.float_steps <= 1


def test_crop_and_resize_inside_the_image() -> None:
    q = QdqModel(opset=19, ir_version=9)
    x = q.input((1, 2, 9, 9), 0.05, 0)
    region = q.constant(np.array([0, 0, 0.25, 0.5, 1, 1, 0.75, 1.0], np.float32))
    sizes = q.constant(np.array([1, 2, 6, 5], np.int64))
    named = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    q.output(q.apply("Resize", [x, region, "", sizes], **named), 0.05, 0)
    found = compare(q.model())
    assert found.operators() == ["RESIZE"]
    assert found.float_steps <= 1


def test_cubic_stays_on_the_host() -> None:
    found = compare(_resize((1, 3, 7, 9), [1, 1, 2, 2], None, mode="cubic").model())
    assert (found.on_host, found.float_mismatches) == (["Resize"], 0)
