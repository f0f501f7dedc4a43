"""Lower products of two activations: which operand is the weights, how it lies, and the batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hanok.compiler.formula_layer import Output
from hanok.compiler.layers import ProductLayer
from hanok.compiler.layout import Layout
from hanok.compiler.view import View
from hanok.graph import DType, MatMulAttributes, Node

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering


def product(lowering: Lowering, node: Node) -> None:
    """Lower a MATMUL whose right operand is an activation."""
    attributes = node.attributes
    assert isinstance(attributes, MatMulAttributes), f"{node.name}: not a matrix product"
    origin = lowering.origin(node)
    left, right = (lowering.operand_layout(name) for name in node.inputs)
    if left.storage is right.storage:
        left = lowering.copied(left, origin)
    if left.shape[-1] > 1 and left.strides[-1] != 1:
        left = lowering.moved(left, tuple(range(len(left.shape))), origin)
    by_column = right.shape[-2] == 1 or right.strides[-2] == 1
    if not by_column and right.shape[-1] > 1 and right.strides[-1] != 1:
        rank = len(right.shape)
        right = lowering.moved(right, (*range(rank - 2), rank - 1, rank - 2), origin)
        by_column = True
    output = lowering.define(node.outputs[0], lowering.fresh(node.outputs[0]))
    batch = output.shape[:-2]
    places = [_places(layout, batch) for layout in (left, right, output)]
    quantizations = [lowering.quantization(name) for name in node.inputs]
    scale, zero = np.float32(quantizations[0].scalar_scale * quantizations[1].scalar_scale), 0
    result = lowering.tensor(node.outputs[0])
    if result.dtype is DType.INT8:
        made = lowering.quantization(node.outputs[0])
        scale, zero = np.float32(scale / made.scalar_scale), made.scalar_zero
    lowering.layers.append(
        ProductLayer(
            lowering.origin(node, result.elements * left.shape[-1]),
            _matrix(left, places[0]),
            _matrix(_turned(right) if by_column else right, places[1]),
            by_column,
            _matrix(output, places[2]),
            tuple(zip(*places, strict=True)),
            (quantizations[0].scalar_zero, quantizations[1].scalar_zero),
            scale,
            Output(zero, *attributes.clamp),
        )
    )


def _turned(layout: Layout) -> Layout:
    rank = len(layout.shape)
    return layout.transposed((*range(rank - 2), rank - 1, rank - 2))


def _places(layout: Layout, batch: tuple[int, ...]) -> list[int]:
    """The byte offset of each matrix of the batch, which NumPy's broadcasting may repeat."""
    own = (1,) * (len(batch) - len(layout.shape) + 2) + layout.shape[:-2]
    strides = (0,) * (len(batch) - len(layout.shape) + 2) + layout.strides[:-2]
    total = np.zeros(batch, np.int64)
    for axis, (length, stride) in enumerate(zip(own, strides, strict=True)):
        steps = np.arange(batch[axis]) * (stride if length > 1 else 0)
        total = total + steps.reshape([-1 if a == axis else 1 for a in range(len(batch))])
    return [int(place) for place in total.reshape(-1)]


def _matrix(layout: Layout, places: list[int]) -> View:
    """One matrix as [matrices][rows][1][columns]; the emitter moves it to each place of the batch."""
    rows, columns = layout.shape[-2:]
    size = layout.element_bytes
    pitch = layout.strides[-2] if rows > 1 else columns * size
    view = View(layout.storage, (1, rows, 1, columns), layout.offset, rows * pitch, pitch, pitch, size)
    return replace(view, shape=(len(set(places)), rows, 1, columns))
