"""Kernel, strides, pads and dilations of convolution and pooling, with automatic padding resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.errors import ModelError
from hanok.graph._working import Operation

_LIMIT = 1 << 20


@dataclass(frozen=True)
class Window:
    """A 2-D window; pads are top, left, bottom, right and may have grown for ceil_mode."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    output_padding: tuple[int, int]
    grown: bool
    """Whether ceil_mode made a pad larger than the model declares."""


def read_window(
    core: Operation, x_shape: Sequence[int], kernel: Sequence[int], y_shape: Sequence[int]
) -> Window | None:
    """Read the attributes of a 1-D or 2-D operation; None where the padding has no such form."""
    axes = len(kernel)
    strides = _sizes(core, "strides", axes, 1)
    dilations = _sizes(core, "dilations", axes, 1)
    extra = _sizes(core, "output_padding", axes, 0, least=0)
    sizes, made = list(x_shape[2:]), list(y_shape[2:])
    begins, ends = _pads(core, sizes, made, kernel, strides, dilations, extra)
    grown = False
    for axis in range(axes):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        if core.op_type == "ConvTranspose":
            natural = (sizes[axis] - 1) * strides[axis] + span + extra[axis] - begins[axis] - ends[axis]
            if natural != made[axis] or begins[axis] < 0:
                return None
            continue
        needed = (made[axis] - 1) * strides[axis] + span - sizes[axis] - begins[axis]
        if needed > ends[axis]:
            ends[axis], grown = needed, True
    if axes == 1:
        strides, dilations, extra = [1, *strides], [1, *dilations], [0, *extra]
        begins, ends, kernel = [0, *begins], [0, *ends], [1, *kernel]
    return Window(
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        (begins[0], begins[1], ends[0], ends[1]),
        (dilations[0], dilations[1]),
        (extra[0], extra[1]),
        grown,
    )


def _sizes(core: Operation, name: str, axes: int, default: int, least: int = 1) -> list[int]:
    values = core.integers(name) or [default] * axes
    if len(values) != axes or any(not least <= value <= _LIMIT for value in values):
        raise ModelError(f"{core.label}: {name} {values}; allowed: {axes} numbers in {least}..{_LIMIT}")
    return values


def _pads(
    core: Operation, sizes: list[int], made: list[int], kernel: Sequence[int], strides: list[int],
    dilations: list[int], extra: list[int],
) -> tuple[list[int], list[int]]:  # fmt: skip
    """Pads before and after each axis, with auto_pad and ConvTranspose's output_shape resolved."""
    axes = len(kernel)
    mode = core.text("auto_pad", "NOTSET")
    given = core.integers("pads") or [0] * (2 * axes)
    if len(given) != 2 * axes or any(abs(value) > _LIMIT for value in given):
        raise ModelError(f"{core.label}: pads {given}; allowed: {2 * axes} numbers up to {_LIMIT}")
    transposed_total = core.op_type == "ConvTranspose" and (
        core.has("output_shape") or mode.startswith("SAME")
    )
    if mode in ("NOTSET", "") and not transposed_total:
        return given[:axes], given[axes:]
    if mode == "VALID" and not transposed_total:
        return [0] * axes, [0] * axes
    begins, ends = [], []
    for axis in range(axes):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        if transposed_total:
            total = (sizes[axis] - 1) * strides[axis] + span + extra[axis] - made[axis]
        else:
            total = max(0, (made[axis] - 1) * strides[axis] + span - sizes[axis])
        small, large = total // 2, total - total // 2
        upper = mode == "SAME_UPPER"
        begins.append(small if upper else large)
        ends.append(large if upper else small)
    return begins, ends
