"""Reference of data movement and lookup tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanok.graph._stored import Array
from hanok.graph.ir import (
    ConcatAttributes,
    LookupAttributes,
    Node,
    PadAttributes,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)


def look_up(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """LOOKUP: table[stored + 128]."""
    del tensors, output
    assert isinstance(node.attributes, LookupAttributes), f"{node.name}: no LookupAttributes"
    return node.attributes.table[operands[0].astype(np.int64) + 128]


def reshape(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """RESHAPE: the same elements in the same order."""
    del node, tensors
    return operands[0].reshape(output.shape)


def transpose(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """TRANSPOSE by the permutation."""
    del tensors, output
    assert isinstance(node.attributes, TransposeAttributes), f"{node.name}: no TransposeAttributes"
    return operands[0].transpose(node.attributes.permutation)


def concatenate(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """CONCAT along the axis."""
    del tensors, output
    assert isinstance(node.attributes, ConcatAttributes), f"{node.name}: no ConcatAttributes"
    return np.concatenate(list(operands), axis=node.attributes.axis)


def slice_steps(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """SLICE: index start + i * step along every axis."""
    del tensors
    assert isinstance(node.attributes, SliceAttributes), f"{node.name}: no SliceAttributes"
    made = operands[0]
    for axis, (start, step) in enumerate(zip(node.attributes.starts, node.attributes.steps, strict=True)):
        made = np.take(made, start + step * np.arange(output.shape[axis]), axis=axis)
    return made


def pad(node: Node, tensors: Sequence[Tensor], output: Tensor, operands: Sequence[Array]) -> Array:
    """PAD with the stored value."""
    del tensors, output
    assert isinstance(node.attributes, PadAttributes), f"{node.name}: no PadAttributes"
    widths = list(zip(node.attributes.before, node.attributes.after, strict=True))
    return np.pad(operands[0], widths, constant_values=np.int8(node.attributes.value))
