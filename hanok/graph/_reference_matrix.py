"""Reference of Conv, ConvTranspose, MatMul: exact integer sums, wrapped to int32, requantised in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hanok.graph._stored import Array, quantization_of, requantized, wrap_int32
from hanok.graph.ir import ConvAttributes, DType, MatMulAttributes, Node, Quantization, Tensor

# Sums are formed by float64 matrix products: operands are below 2^9, so every partial sum of fewer than
# 2^35 terms is a whole number below 2^53 and exact in any order.


def convolve(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """CONV: sum of (x - zx) * (w - zw) over the window, padding counts as x = zx."""
    attributes = node.attributes
    assert isinstance(attributes, ConvAttributes), f"{node.name}: no ConvAttributes"
    x = _centred(tensors[0], operands[0])
    w = _centred(tensors[1], operands[1])
    group, (kernel_h, kernel_w) = attributes.group, attributes.kernel
    n, _, height, width = output.shape
    padded = _pad_or_crop(x, attributes, height, width)
    m = w.shape[0] // group
    c = w.shape[1]
    total = np.zeros((n, w.shape[0], height, width), np.float64)
    for row in range(kernel_h):
        for column in range(kernel_w):
            top, left = row * attributes.dilations[0], column * attributes.dilations[1]
            taken = padded[
                :, :,
                top : top + (height - 1) * attributes.strides[0] + 1 : attributes.strides[0],
                left : left + (width - 1) * attributes.strides[1] + 1 : attributes.strides[1],
            ]  # fmt: skip
            columns = np.ascontiguousarray(taken).reshape(n, group, c, height * width)
            weights = np.ascontiguousarray(w[:, :, row, column]).reshape(group, m, c)
            made = columns * weights if c == m == 1 else np.matmul(weights, columns)
            total += made.reshape(total.shape)
    return _finish(total, tensors, output, operands, attributes.clamp, axis=1)


def _pad_or_crop(x: Array, attributes: ConvAttributes, height: int, width: int) -> Array:
    """Zeros around the centred image, just as far as the windows reach (negative pads crop)."""
    top, left = attributes.pads[:2]
    need = []
    for size, kernel, stride, dilation in zip(
        (height, width), attributes.kernel, attributes.strides, attributes.dilations, strict=True
    ):
        need.append((size - 1) * stride + (kernel - 1) * dilation + 1)
    canvas = np.zeros((*x.shape[:2], *need), x.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    part = x[:, :, max(-top, 0) :, max(-left, 0) :][:, :, : max(need[0] - y0, 0), : max(need[1] - x0, 0)]
    canvas[:, :, y0 : y0 + part.shape[2], x0 : x0 + part.shape[3]] = part
    return canvas


def convolve_transposed(
    node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]
) -> Array:
    """CONV_TRANSPOSE: every input pixel adds its kernel into the output at stride steps."""
    attributes = node.attributes
    assert isinstance(attributes, ConvAttributes), f"{node.name}: no ConvAttributes"
    x, w = _centred(tensors[0], operands[0]), _centred(tensors[1], operands[1])
    group = attributes.group
    n, channels, in_h, in_w = x.shape
    c, m = channels // group, w.shape[1]
    (kh, kw), (sh, sw), (dh, dw) = attributes.kernel, attributes.strides, attributes.dilations
    canvas_h = max((in_h - 1) * sh + (kh - 1) * dh + 1 + attributes.output_padding[0], 1)
    canvas_w = max((in_w - 1) * sw + (kw - 1) * dw + 1 + attributes.output_padding[1], 1)
    canvas = np.zeros((n, group * m, canvas_h, canvas_w), np.float64)
    flat = x.reshape(n, group, c, in_h * in_w)
    for row in range(kh):
        for column in range(kw):
            weights = w[:, :, row, column].reshape(group, c, m).transpose(0, 2, 1)
            made = np.matmul(np.ascontiguousarray(weights), flat).reshape(n, group * m, in_h, in_w)
            top, left = row * dh, column * dw
            canvas[:, :, top : top + (in_h - 1) * sh + 1 : sh, left : left + (in_w - 1) * sw + 1 : sw] += made
    top, left, _, _ = attributes.pads
    total = canvas[:, :, top : top + output.shape[2], left : left + output.shape[3]]
    return _finish(total, tensors, output, operands, attributes.clamp, axis=1)


def multiply_matrices(
    node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]
) -> Array:
    """MATMUL: sum over K of (x - zx) * (w - zw), plus bias."""
    attributes = node.attributes
    assert isinstance(attributes, MatMulAttributes), f"{node.name}: no MatMulAttributes"
    total = np.matmul(_centred(tensors[0], operands[0]), _centred(tensors[1], operands[1]))
    return _finish(total, tensors, output, operands, attributes.clamp, axis=-1)


def _centred(tensor: Tensor, stored: Array) -> npt.NDArray[np.float64]:
    """stored - zero point, exact in float64."""
    quantization = quantization_of(tensor)
    zero = along_axis(quantization.zero_point, quantization, stored.ndim)
    return (stored.astype(np.int64) - zero).astype(np.float64)


def along_axis(values: Array, quantization: Quantization, rank: int) -> Array:
    """Shape per-channel values so that they broadcast along the quantization's axis."""
    if quantization.axis is None or values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[quantization.axis] = values.size
    return values.reshape(shape)


def _finish(
    total: Array,
    tensors: Sequence[Tensor],
    output: Tensor,
    operands: Sequence[Array],
    clamp: tuple[int, int],
    axis: int,
) -> Array:
    """Add the bias, wrap to int32, multiply by f32(f32(sx * sw) / sy), round, add zero point, saturate.

    A float32 output is f32(sum) * f32(sx * sw).
    """
    shape = [1] * total.ndim
    shape[axis] = -1
    exact = total.astype(np.int64)
    if len(operands) > 2:
        exact = exact + operands[2].astype(np.int64).reshape(shape)
    product = quantization_of(tensors[0]).scalar_scale * quantization_of(tensors[1]).scale
    if output.dtype is DType.FLOAT32:
        factor = product.astype(np.float32)
        return wrap_int32(exact).astype(np.float32) * factor.reshape(shape if factor.size > 1 else ())
    made = quantization_of(output)
    factor = product.astype(np.float32) / made.scalar_scale
    factor = factor.reshape(shape) if factor.size > 1 else factor.reshape(())
    return requantized(wrap_int32(exact), factor.astype(np.float32), made.scalar_zero, clamp)
