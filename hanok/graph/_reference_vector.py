"""Reference of the vector unit's operators: elementwise arithmetic, pooling, means, softmax, resize."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hanok.graph._stored import Array, quantization_of, requantized, saturated, wrap_int32
from hanok.graph.ir import (
    AxesAttributes,
    ElementwiseAttributes,
    Node,
    PoolAttributes,
    ResizeAttributes,
    Tensor,
)

Float = npt.NDArray[np.float32]


def _clamp(node: Node) -> tuple[int, int]:
    assert isinstance(node.attributes, ElementwiseAttributes), f"{node.name}: no ElementwiseAttributes"
    return node.attributes.clamp


def add(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """ADD as MLAS QLinearAdd on x86: fused multiply-adds on ONNX's own values, zero points in a constant."""
    offset = 128 if output.unsigned else 0
    parts = [quantization_of(tensor) for tensor in tensors]
    made = quantization_of(output)
    ratio_a, ratio_b = (part.scalar_scale / made.scalar_scale for part in parts)
    zero_a, zero_b, zero_c = (np.float32(part.scalar_zero + offset) for part in (*parts, made))
    fixed = zero_c - _fused(zero_a, ratio_a, ratio_b * zero_b)
    a, b = ((stored.astype(np.int16) + offset).astype(np.float32) for stored in operands)
    return saturated(np.rint(_fused(a, ratio_a, _fused(b, ratio_b, fixed))), -offset, _clamp(node))


def _fused(a: Float | np.float32, factor: np.float32, c: Float | np.float32) -> Float:
    """a * factor + c with one rounding to float32.

    float64 holds the product exactly and rounds the sum, and narrowing rounds again. The two roundings give
    what one gives, except where the float64 sum lies half way between two float32 numbers without being
    exact: there the sign of what it lost decides.
    """
    product, addend = np.multiply(a, factor, dtype=np.float64), np.asarray(c, np.float64)
    total = product + addend
    addend_leads = abs(product) < abs(addend)
    lost = np.where(addend_leads, product - (total - addend), addend - (total - product))
    near = total.astype(np.float32)
    beside = np.nextafter(near, np.where(total > near, np.inf, -np.inf).astype(np.float32))
    half_way = abs(total - near) == abs(beside - total)
    wrong = half_way & (lost != 0) & ((lost > 0) != (near > total))
    return np.asarray(np.where(wrong, beside, near), np.float32)


def _centred(tensor: Tensor, stored: Array) -> npt.NDArray[np.int64]:
    return stored.astype(np.int64) - quantization_of(tensor).scalar_zero


def subtract(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """SUB from the float definition: f32 real operands, difference, division by the scale."""
    made = quantization_of(output)
    a, b = (_real(tensor, stored) for tensor, stored in zip(tensors, operands, strict=True))
    return saturated(np.rint((a - b) / made.scalar_scale), made.scalar_zero, _clamp(node))


def _real(tensor: Tensor, stored: Array) -> Float:
    return _centred(tensor, stored).astype(np.float32) * quantization_of(tensor).scalar_scale


def multiply(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """MUL as MLAS QLinearMul: product of centred integers times f32(f32(sa * sb) / sc), plus zc, rounded."""
    made = quantization_of(output)
    scales = [quantization_of(tensor).scalar_scale for tensor in tensors]
    factor = scales[0] * scales[1] / made.scalar_scale
    product = _centred(tensors[0], operands[0]) * _centred(tensors[1], operands[1])
    offset = 128 if output.unsigned else 0
    total = product.astype(np.float32) * factor + np.float32(made.scalar_zero + offset)
    return saturated(np.rint(total), -offset, _clamp(node))


def divide(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """DIV from the float definition; x / 0 saturates by its sign and 0 / 0 is -128, as in ONNX Runtime."""
    made = quantization_of(output)
    a, b = (_real(tensor, stored) for tensor, stored in zip(tensors, operands, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        real = np.nan_to_num(a / b, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return saturated(np.rint(real / made.scalar_scale), made.scalar_zero, _clamp(node))


def _windows(x: Array, attributes: PoolAttributes, output: Tensor) -> Iterator[Array]:
    """The padded image as seen by each kernel position."""
    height, width = output.shape[2:]
    for row in range(attributes.kernel[0]):
        for column in range(attributes.kernel[1]):
            top, left = row * attributes.dilations[0], column * attributes.dilations[1]
            yield x[
                :, :,
                top : top + (height - 1) * attributes.strides[0] + 1 : attributes.strides[0],
                left : left + (width - 1) * attributes.strides[1] + 1 : attributes.strides[1],
            ]  # fmt: skip


def _padded(x: Array, attributes: PoolAttributes, fill: int) -> Array:
    top, left, bottom, right = attributes.pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def _pool_attributes(node: Node) -> PoolAttributes:
    assert isinstance(node.attributes, PoolAttributes), f"{node.name}: no PoolAttributes"
    return node.attributes


def max_pool(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """MAX_POOL over stored values; padding never wins."""
    attributes = _pool_attributes(node)
    best = np.full(output.shape, -128, np.int8)
    for window in _windows(_padded(operands[0], attributes, -128), attributes, output):
        best = np.maximum(best, window)
    del tensors
    return np.clip(best, *attributes.clamp).astype(np.int8)


def average_pool(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """AVERAGE_POOL: integer sum times f32(sx / f32(sy * count))."""
    attributes = _pool_attributes(node)
    image = _padded(_centred(tensors[0], operands[0]), attributes, 0)
    inside = _padded(
        np.ones((1, 1, *operands[0].shape[2:]), np.int64), attributes, int(attributes.count_include_pad)
    )
    total = np.sum(list(_windows(image, attributes, output)), axis=0)
    count = np.sum(list(_windows(inside, attributes, output)), axis=0)
    made = quantization_of(output)
    factor = quantization_of(tensors[0]).scalar_scale / (made.scalar_scale * count.astype(np.float32))
    return requantized(wrap_int32(total), factor.astype(np.float32), made.scalar_zero, attributes.clamp)


def _axes_attributes(node: Node) -> AxesAttributes:
    assert isinstance(node.attributes, AxesAttributes), f"{node.name}: no AxesAttributes"
    return node.attributes


def reduce_mean(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """REDUCE_MEAN: integer sum times f32(sx / f32(sy * count))."""
    attributes = _axes_attributes(node)
    total = _centred(tensors[0], operands[0]).sum(axis=attributes.axes).reshape(output.shape)
    count = operands[0].size // max(output.elements, 1)
    made = quantization_of(output)
    factor = quantization_of(tensors[0]).scalar_scale / (made.scalar_scale * np.float32(count))
    return requantized(wrap_int32(total), factor, made.scalar_zero, attributes.clamp)


def softmax_table(scale: np.float32) -> Float:
    """f32(exp(-d * sx)) for the 256 possible distances d below the row's maximum."""
    return np.exp(-np.arange(256, dtype=np.float64) * np.float64(scale)).astype(np.float32)


def softmax(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """SOFTMAX: exponentials from a table, summed in float32 in order, one reciprocal a row."""
    attributes = _axes_attributes(node)
    x = np.moveaxis(operands[0].astype(np.int64), attributes.axes[0], -1)
    made = quantization_of(output)
    powers = softmax_table(quantization_of(tensors[0]).scalar_scale)[x.max(axis=-1, keepdims=True) - x]
    total = np.cumsum(powers, axis=-1, dtype=np.float32)[..., -1:]
    inverse = np.float32(1) / total
    real = (powers * inverse) * (np.float32(1) / made.scalar_scale)
    stored = saturated(np.rint(real), made.scalar_zero, attributes.clamp)
    return np.moveaxis(stored, -1, attributes.axes[0])


def resize(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """RESIZE: float32 taps, rows first then columns, times f32(sx / sy)."""
    attributes = node.attributes
    assert isinstance(attributes, ResizeAttributes), f"{node.name}: no ResizeAttributes"
    x = _centred(tensors[0], operands[0]).astype(np.float32)
    tall = _tap_sum([x[:, :, taps, :] for taps in attributes.rows.T], attributes.row_weights[:, :, None])
    wide = _tap_sum([tall[:, :, :, taps] for taps in attributes.columns.T], attributes.column_weights)
    made = quantization_of(output)
    factor = quantization_of(tensors[0]).scalar_scale / made.scalar_scale
    return saturated(np.rint(wide * factor), made.scalar_zero, (-128, 127))


def _tap_sum(taken: list[Float], weights: Float) -> Float:
    """The taps times their weights (one column of `weights` each), added from first to last."""
    total = taken[0] * weights[:, 0]
    for position in range(1, len(taken)):
        total = total + taken[position] * weights[:, position]
    return total
