"""Outputs against ONNX Runtime on the same quantised model: in steps of the scale, or as floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ModelError
from hanok.flows.results import OutputCheck
from hanok.isa import Program

Array = npt.NDArray[Any]


def check_outputs(
    program: Program, outputs: Mapping[str, Array], expected: Mapping[str, Array]
) -> tuple[OutputCheck, ...]:
    """Compare every output; steps are counted where the program knows the output's scale."""
    checks = []
    for info in program.outputs:
        binding = program.binding(info.name)
        got, want = outputs[info.name], expected[info.name]
        if got.shape != want.shape:
            shapes = f"the program's shape is {list(got.shape)}, ONNX Runtime's {list(want.shape)}"
            raise ModelError(f"output '{info.name}': {shapes}")
        step = None
        if binding is not None and binding.element_bytes == 1:
            step = 1.0 if got.dtype.kind in "iu" else binding.scale
        elif got.dtype in (np.int8, np.uint8):
            step = 1.0
        checks.append(compare(info.name, got, want, step))
    return tuple(checks)


def compare(name: str, got: Array, want: Array, step: float | None) -> OutputCheck:
    """Compare two arrays of one shape; without a step, values differ unless equal (NaN equals NaN)."""
    first, second = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        difference = np.where(same, 0.0, np.abs(first - second))
        difference = np.where(np.isnan(difference), np.inf, difference)
        relative = np.where(same, 0.0, difference / np.maximum(np.abs(second), np.finfo(np.float32).tiny))
        relative = np.where(np.isnan(relative), np.inf, relative)
    ratio = None
    if step is None:
        mismatched, steps = int(np.count_nonzero(~same)), None
        if mismatched and np.isfinite(difference).all():
            finite = np.where(np.isfinite(second), second, 0.0)
            ratio = 10 * np.log10(max(float((finite**2).sum()), 1e-300) / float((difference**2).sum()))
    else:
        off = np.rint(np.minimum(difference / step, 2.0**31))
        mismatched, steps = int(np.count_nonzero(off)), int(off.max(initial=0.0))
    return OutputCheck(
        name,
        got.size,
        mismatched,
        step,
        steps,
        float(difference.max(initial=0.0)),
        float(relative.max(initial=0.0)),
        ratio,
    )
