"""Matchers of the matrix unit's operators: Conv, ConvTranspose, Gemm, MatMul."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.errors import ModelError
from hanok.graph._match import Context, Match, quantization_of
from hanok.graph._quantized import stored_values
from hanok.graph._windows import read_window
from hanok.graph._working import Array, Operation
from hanok.graph.ir import (
    Attributes,
    ConvAttributes,
    MatMulAttributes,
    Node,
    Operator,
    Quantization,
    Tensor,
    TransposeAttributes,
)

_INT32_LIMIT = 2.0**31 - 1


@dataclass(frozen=True)
class Weight:
    """Constant int8 weights with one scale and zero point for each slice of `axis` (or one for all)."""

    name: str
    content: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int32]
    axis: int | None

    def quantization(self) -> Quantization:
        """The IR record."""
        return Quantization(self.scale, self.zero_point, self.axis)


def read_weight(context: Context, value: str, allowed_axes: Sequence[int]) -> Weight | None:
    """The int8 constant behind a DQ whose channel axis, if it has one, is among `allowed_axes`."""
    found = context.border(value)
    if found is None:
        return None
    maker, border = found
    content = context.working.constant(maker.inputs[0])
    if content is None or content.dtype == np.int32:
        return None
    quantization = border.quantization
    if quantization.axis is not None and quantization.axis not in [
        axis % content.ndim for axis in allowed_axes
    ]:
        return None
    stored = stored_values(content, border.element_type).astype(np.int8)
    return Weight(maker.inputs[0], stored, quantization.scale, quantization.zero_point, quantization.axis)


def read_bias(
    context: Context, value: str, size: int, scale_x: np.float32, scale_w: npt.NDArray[np.float32]
) -> npt.NDArray[np.int32] | None:
    """The bias as int32 in units of sx * sw; None where it is no constant or does not fit."""
    unit = (scale_x * scale_w).astype(np.float32)
    found = context.border(value)
    if found is None:
        real = context.working.constant(value)
        if real is None or not np.isfinite(real).all():
            return None
        return _in_units(real, unit, size)
    maker, border = found
    content = context.working.constant(maker.inputs[0])
    if content is None:
        return None
    quantization = border.quantization
    shifted = stored_values(content, border.element_type).astype(np.int64) - quantization.zero_point
    if shifted.size not in (1, size):
        return None
    if np.allclose(quantization.scale, unit, rtol=1e-5, atol=0):
        return np.ascontiguousarray(np.broadcast_to(shifted.reshape(-1), (size,))).astype(np.int32)
    return _in_units(shifted.astype(np.float64) * quantization.scale.astype(np.float64), unit, size)


def _in_units(real: Array, unit: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int32] | None:
    """Quantise a real bias with `unit`, rounding half to even."""
    if real.size not in (1, size):
        return None
    steps = np.rint(np.broadcast_to(real.reshape(-1).astype(np.float64), (size,)) / unit.astype(np.float64))
    return None if np.abs(steps).max(initial=0) > _INT32_LIMIT else steps.astype(np.int32)


def match_convolution(context: Context, match: Match) -> list[Node] | None:
    """Conv and ConvTranspose over one or two spatial axes."""
    core = match.core
    transposed = core.op_type == "ConvTranspose"
    x = context.operand(core.inputs[0])
    group = core.integer("group", 1)
    weight = read_weight(context, core.inputs[1], [1] if transposed else [0])
    if x is None or x.data is not None or weight is None or len(x.shape) not in (3, 4):
        return None
    if transposed and group > 1 and weight.axis is not None:
        return None
    _check_convolution(core, x, weight, group, transposed)
    channels = match.output.shape[1]
    bias = _bias_tensor(context, core, x, weight, channels)
    if bias is False:
        return None
    window = read_window(core, x.shape, weight.content.shape[2:], match.output.shape)
    if window is None:
        return None
    attributes = ConvAttributes(
        window.kernel,
        window.strides,
        window.pads,
        window.dilations,
        group,
        match.clamp,
        window.output_padding,
    )
    if weight.content.ndim == 3:
        weight = Weight(
            weight.name, weight.content[:, :, None, :], weight.scale, weight.zero_point, weight.axis
        )
    tensors = [x, context.constant(weight.name, weight.content, weight.quantization())]
    tensors += [bias] if isinstance(bias, Tensor) else []
    operator = Operator.CONV_TRANSPOSE if transposed else Operator.CONV
    return over_images(context, match, operator, tensors, attributes)


def over_images(
    context: Context, match: Match, operator: Operator, tensors: list[Tensor], attributes: Attributes
) -> list[Node]:
    """The node on [N,C,H,W]; a 1-D one gets RESHAPEs to height 1 around it."""
    x, output = tensors[0], match.output
    if len(x.shape) == 4:
        return [context.node(match, operator, tensors, output, attributes)]
    wide = context.like(x, f"{x.name}/image", (*x.shape[:2], 1, x.shape[2]))
    made = context.like(output, f"{output.name}/image", (*output.shape[:2], 1, output.shape[2]))
    return [
        context.node(match, Operator.RESHAPE, [x], wide, Attributes()),
        context.node(match, operator, [wide, *tensors[1:]], made, attributes),
        context.node(match, Operator.RESHAPE, [made], output, Attributes()),
    ]


def _check_convolution(core: Operation, x: Tensor, weight: Weight, group: int, transposed: bool) -> None:
    shape = weight.content.shape
    channels = shape[0] if transposed else shape[1] * group
    if len(shape) != len(x.shape) or group < 1 or x.shape[1] != channels or shape[0] % group:
        raise ModelError(
            f"{core.label}: weights {list(shape)} with group {group} do not fit an input of {list(x.shape)}"
        )


def _bias_tensor(
    context: Context, core: Operation, x: Tensor, weight: Weight, channels: int
) -> Tensor | bool | None:
    """The int32 bias tensor; None where the operation has none; False where it has no integer form."""
    name = core.input(2)
    if not name:
        return None
    scale_x = quantization_of(x).scalar_scale
    content = read_bias(context, name, channels, scale_x, weight.scale)
    if content is None:
        return False
    return bias_tensor(context, name, content, scale_x, weight.scale)


def bias_tensor(
    context: Context,
    name: str,
    content: npt.NDArray[np.int32],
    scale_x: np.float32,
    scale_w: npt.NDArray[np.float32],
) -> Tensor:
    """Declare an int32 bias with scale sx * sw."""
    scale = (scale_x * scale_w).astype(np.float32)
    axis = None if scale.size == 1 else 0
    maker = context.border(name)
    stem = name if maker is None else maker[0].inputs[0]
    return context.constant(stem, content, Quantization(scale, np.zeros(scale.size, np.int32), axis))


def match_gemm(context: Context, match: Match) -> list[Node] | None:
    """Gemm with constant weights: alpha joins the weight scale, beta the bias, transposes the content."""
    core = match.core
    x = context.operand(core.inputs[0])
    transposed = core.integer("transB")
    weight = read_weight(context, core.inputs[1], [0] if transposed else [1])
    if x is None or x.data is not None or weight is None:
        return None
    content = weight.content.T if transposed else weight.content
    alpha, beta = core.real("alpha", 1.0), core.real("beta", 1.0)
    if alpha <= 0:
        return None
    scale = (weight.scale * np.float32(alpha)).astype(np.float32)
    axis = None if weight.axis is None else 1
    quantization = Quantization(scale, weight.zero_point, axis)
    tensors = [x, context.constant(weight.name, np.ascontiguousarray(content), quantization)]
    nodes: list[Node] = []
    if core.integer("transA"):
        turned = context.like(x, f"{x.name}/transposed", x.shape[::-1])
        nodes.append(_transpose(context, match, x, turned))
        tensors[0] = turned
    if core.input(2):
        bias = _gemm_bias(context, core, content.shape[1], quantization_of(x).scalar_scale, scale, beta)
        if bias is None:
            return None
        tensors.append(bias)
    nodes.append(context.node(match, Operator.MATMUL, tensors, match.output, MatMulAttributes(match.clamp)))
    return nodes


def _constant_times_activation(context: Context, match: Match, left: Weight) -> list[Node] | None:
    """A constant matrix times an activation: the transpose of the transposed product."""
    x = context.operand(match.core.inputs[1])
    if x is None or x.data is not None or left.content.ndim != 2:
        return None
    rank = len(x.shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    axis = None if left.axis is None else 1
    content = np.ascontiguousarray(left.content.T)
    right = context.constant(left.name, content, Quantization(left.scale, left.zero_point, axis))
    turned = context.like(x, f"{x.name}/transposed", [x.shape[index] for index in order])
    output = match.output
    made = context.like(output, f"{output.name}/transposed", [output.shape[index] for index in order])
    return [
        context.node(match, Operator.TRANSPOSE, [x], turned, TransposeAttributes(order)),
        context.node(match, Operator.MATMUL, [turned, right], made, MatMulAttributes(match.clamp)),
        context.node(match, Operator.TRANSPOSE, [made], output, TransposeAttributes(order)),
    ]


def _transpose(context: Context, match: Match, source: Tensor, target: Tensor) -> Node:
    return context.node(match, Operator.TRANSPOSE, [source], target, TransposeAttributes((1, 0)))


def _gemm_bias(
    context: Context,
    core: Operation,
    columns: int,
    scale_x: np.float32,
    scale_w: npt.NDArray[np.float32],
    beta: float,
) -> Tensor | None:
    name = core.input(2)
    shape = context.working.shape(name)
    if shape and (shape[-1] not in (1, columns) or any(size != 1 for size in shape[:-1])):
        return None
    unit_w = scale_w if beta == 1.0 else (scale_w / np.float32(beta)).astype(np.float32)
    if beta <= 0:
        return None
    content = read_bias(context, name, columns, scale_x, unit_w)
    return None if content is None else bias_tensor(context, name, content, scale_x, scale_w)


def match_matmul(context: Context, match: Match) -> list[Node] | None:
    """MatMul with a constant right operand, or of two int8 activations."""
    core = match.core
    if min(len(context.working.shape(name)) for name in core.inputs[:2]) < 2:
        return None
    left = read_weight(context, core.inputs[0], [-2])
    if left is not None:
        return _constant_times_activation(context, match, left)
    x = context.operand(core.inputs[0])
    if x is None:
        return None
    weight = read_weight(context, core.inputs[1], [-1])
    if weight is not None and weight.content.ndim == 2:
        right = context.constant(weight.name, weight.content, weight.quantization())
    else:
        found = context.operand(core.inputs[1])
        if found is None:
            return None
        right = found
    return [context.node(match, Operator.MATMUL, [x, right], match.output, MatMulAttributes(match.clamp))]
