"""Lower convolutions, transposed convolutions and matrix products to matrix layers."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hanok.compiler.formula_layer import Output
from hanok.compiler.layers import Epilogue, MatrixLayer, Phase
from hanok.compiler.view import View
from hanok.graph import ConvAttributes, DType, MatMulAttributes, Node, Operator, PadAttributes

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

Int8Array = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int64]
IMAGE_AXES = ((0,), (2,), (3,), (1,))


def lower(lowering: Lowering, node: Node) -> None:
    """Lower one CONV, CONV_TRANSPOSE or MATMUL."""
    match node.operator:
        case Operator.MATMUL:
            _matmul(lowering, node)
        case Operator.CONV:
            _convolution(lowering, node)
        case _:
            _transposed(lowering, node)


def _weights(lowering: Lowering, node: Node, output_axis: int) -> IntArray:
    """Weights minus their zero points, in int64."""
    name = node.inputs[1]
    data = lowering.tensor(name).data
    assert data is not None, f"{node.name}: weights are not constant"
    zero = lowering.quantization(name).zero_point.astype(np.int64)
    if zero.size > 1:
        shape = [1] * data.ndim
        shape[output_axis] = zero.size
        zero = zero.reshape(shape)
    return data.astype(np.int64) - zero


def passes_of(weights: IntArray) -> tuple[Int8Array, ...]:
    """int8 arrays that add up to the nine-bit weights: one if they fit, otherwise two."""
    first = np.clip(weights, -128, 127)
    rest = weights - first
    parts = (first,) if not rest.any() else (first, rest)
    return tuple(np.ascontiguousarray(part.astype(np.int8)) for part in parts)


def _bias(lowering: Lowering, node: Node, weights: IntArray, channels: int) -> npt.NDArray[np.int32]:
    """Bias minus the input's zero point times the sum of each channel's weights; wraps to int32.

    `weights`: [...][output channels].
    """
    zero = lowering.quantization(node.inputs[0]).scalar_zero
    total = -zero * weights.reshape(-1, channels).sum(axis=0)
    if len(node.inputs) > 2 and node.inputs[2]:
        data = lowering.tensor(node.inputs[2]).data
        assert data is not None, f"{node.name}: the bias is not constant"
        total = total + data.astype(np.int64).reshape(-1)
    wrapped: npt.NDArray[np.int32] = total.astype(np.int64).astype(np.int32)
    return wrapped


def _epilogue(lowering: Lowering, node: Node, clamp: tuple[int, int]) -> Epilogue:
    """float32(float32(sx * sw) / sy) for each channel, or one for all; without sy for a float32 result."""
    source = lowering.quantization(node.inputs[0]).scalar_scale
    weights = lowering.quantization(node.inputs[1]).scale.astype(np.float32).reshape(-1)
    scale, zero = (source * weights).astype(np.float32), 0
    if lowering.tensor(node.outputs[0]).dtype is DType.INT8:
        result = lowering.quantization(node.outputs[0])
        scale, zero = (scale / result.scalar_scale).astype(np.float32), result.scalar_zero
    if (scale == scale[0]).all():
        scale = scale[:1]
    return Epilogue(scale, Output(zero, *clamp))


def _source(lowering: Lowering, node: Node) -> tuple[View, tuple[int, int]]:
    """The input image, and rows and columns of padding that a PAD node before it adds at top and left."""
    name = node.inputs[0]
    padding = (0, 0)
    if name in lowering.pads:
        pad = lowering.pads[name]
        assert isinstance(pad.attributes, PadAttributes), "a pad without attributes"
        name, padding = pad.inputs[0], (pad.attributes.before[2], pad.attributes.before[3])
    return lowering.image(name, IMAGE_AXES, lowering.origin(node)), padding


def _convolution(lowering: Lowering, node: Node) -> None:
    attributes = node.attributes
    assert isinstance(attributes, ConvAttributes), f"{node.name}: not a convolution"
    source, padding = _source(lowering, node)
    weights = np.transpose(_weights(lowering, node, 0), (2, 3, 1, 0))
    taps_y, taps_x, inputs, outputs = weights.shape
    depthwise = attributes.group == outputs == source.shape[3] and inputs == 1
    shaped = weights[:, :, 0, :] if depthwise and attributes.group > 1 else weights
    phase = Phase(
        passes_of(shaped),
        _bias(lowering, node, weights, outputs),
        (-attributes.pads[0] - padding[0], -attributes.pads[1] - padding[1]),
        attributes.strides,
        attributes.dilations,
        (0, 0),
        (1, 1),
    )
    output = lowering.target(node, IMAGE_AXES)
    source, phase = _skip_unread(source, phase, output)
    layer = MatrixLayer(
        lowering.origin(node, output.elements * taps_y * taps_x * inputs),
        source,
        output,
        (phase,),
        lowering.quantization(node.inputs[0]).scalar_zero,
        attributes.group,
        depthwise and attributes.group > 1,
        _epilogue(lowering, node, attributes.clamp),
    )
    lowering.add_matrix(node, layer, IMAGE_AXES)


def _skip_unread(source: View, phase: Phase, output: View) -> tuple[View, Phase]:
    """Along an axis with one tap and a stride, view only the rows or columns that are read."""
    shape, pitches, offset = list(source.shape), [source.row_pitch, source.pixel_pitch], source.offset
    start, stride = list(phase.start), list(phase.stride)
    for axis in (0, 1):
        inside = phase.start[axis] >= 0 and phase.taps[axis] == 1 and phase.stride[axis] > 1
        last = phase.start[axis] + (output.shape[1 + axis] - 1) * phase.stride[axis]
        if inside and last < source.shape[1 + axis]:
            offset += phase.start[axis] * pitches[axis]
            pitches[axis] *= phase.stride[axis]
            shape[1 + axis] = output.shape[1 + axis]
            start[axis], stride[axis] = 0, 1
    view = View(
        source.storage, (shape[0], shape[1], shape[2], shape[3]), offset, source.image_pitch, *pitches
    )
    return view, replace(phase, start=(start[0], start[1]), stride=(stride[0], stride[1]))


def _transposed(lowering: Lowering, node: Node) -> None:
    """One phase for each output position modulo the stride: a convolution with the taps that reach it."""
    attributes = node.attributes
    assert isinstance(attributes, ConvAttributes), f"{node.name}: not a convolution"
    source, _ = _source(lowering, node)
    raw = _weights_transposed(lowering, node, attributes.group)
    output = lowering.target(node, IMAGE_AXES)
    phases = []
    for row in range(min(attributes.strides[0], output.shape[1])):
        taps_y, start_y, step_y = phase_taps(attributes, 0, row)
        for column in range(min(attributes.strides[1], output.shape[2])):
            taps_x, start_x, step_x = phase_taps(attributes, 1, column)
            if taps_y and taps_x:
                part = raw[np.ix_(taps_y, taps_x)]
            else:
                part = np.zeros((1, 1, *raw.shape[2:]), np.int64)
            bias = _bias(lowering, node, part, raw.shape[3])
            start, steps = (start_y, start_x), (step_y, step_x)
            phases.append(
                Phase(passes_of(part), bias, start, (1, 1), steps, (row, column), attributes.strides)
            )
    layer = MatrixLayer(
        lowering.origin(
            node, source.bytes * raw.shape[0] * raw.shape[1] * raw.shape[3] // max(1, attributes.group)
        ),
        source,
        output,
        tuple(phases),
        lowering.quantization(node.inputs[0]).scalar_zero,
        attributes.group,
        False,
        _epilogue(lowering, node, attributes.clamp),
    )
    lowering.add_matrix(node, layer, IMAGE_AXES)


def _weights_transposed(lowering: Lowering, node: Node, groups: int) -> IntArray:
    """[taps_y][taps_x][inputs / groups][outputs] from ONNX's [inputs][outputs / groups][taps_y][taps_x]."""
    name = node.inputs[1]
    data = lowering.tensor(name).data
    assert data is not None, f"{node.name}: weights are not constant"
    inputs, outputs, taps_y, taps_x = data.shape
    grouped = data.astype(np.int64).reshape(groups, inputs // groups, outputs, taps_y, taps_x)
    zero = lowering.quantization(name).zero_point.astype(np.int64)
    ordered = np.transpose(grouped, (3, 4, 1, 0, 2)).reshape(
        taps_y, taps_x, inputs // groups, groups * outputs
    )
    return ordered - (zero if zero.size == groups * outputs else np.tile(zero, groups * outputs // zero.size))


def phase_taps(attributes: ConvAttributes, axis: int, phase: int) -> tuple[list[int], int, int]:
    """Kernel taps that reach output positions phase + stride * j, in order of the input they read.

    Position o reads input i where o = i * stride - pad + k * dilation. Returns the taps k, the input
    position of the first one for j = 0, and the distance between the inputs of neighbouring taps.
    """
    stride, dilation, pad = attributes.strides[axis], attributes.dilations[axis], attributes.pads[axis]
    taps = [k for k in range(attributes.kernel[axis]) if (phase + pad - k * dilation) % stride == 0]
    taps.reverse()
    step = dilation // gcd(stride, dilation)
    start = (phase + pad - taps[0] * dilation) // stride if taps else 0
    return taps, start, step


def _matmul(lowering: Lowering, node: Node) -> None:
    attributes = node.attributes
    assert isinstance(attributes, MatMulAttributes), f"{node.name}: not a matrix product"
    rank = len(lowering.tensor(node.inputs[0]).shape)
    axes: tuple[tuple[int, ...], ...] = ((), tuple(range(rank - 1)), (), (rank - 1,))
    source = lowering.image(node.inputs[0], axes, lowering.origin(node))
    weights = _weights(lowering, node, 1)
    depth, columns = weights.shape
    output = lowering.target(node, axes)
    bias = _bias(lowering, node, weights, columns)
    shaped = weights.reshape(1, 1, depth, columns)
    phase = Phase(passes_of(shaped), bias, (0, 0), (1, 1), (1, 1), (0, 0), (1, 1))
    layer = MatrixLayer(
        lowering.origin(node, output.elements * depth),
        source,
        output,
        (phase,),
        lowering.quantization(node.inputs[0]).scalar_zero,
        1,
        False,
        _epilogue(lowering, node, attributes.clamp),
    )
    lowering.add_matrix(node, layer, axes)
