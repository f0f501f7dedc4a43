"""In which order of axes a concatenation is stored, so that what reads it need not move it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanok.compiler.layout import dense
from hanok.compiler.view import Storage
from hanok.graph import Operator, TransposeAttributes

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

Order = tuple[int, ...]
_IMAGE_RANK = 4


def order_for_reader(lowering: Lowering, name: str, order: Order) -> Order:
    """`order`, in which the first operand lies, or that of the transposition which alone reads `name`.

    The latter where a reshape behind the transposition merges axes that would else lie apart, and where the
    copies into the concatenation still move runs of the same axis.
    """
    shape = lowering.tensor(name).shape
    axes: Order = tuple(range(len(shape)))
    reader = lowering.reader_of(name)
    while reader is not None and reader.operator is Operator.TRANSPOSE:
        attributes = reader.attributes
        assert isinstance(attributes, TransposeAttributes), f"{reader.name}: no permutation"
        axes = tuple(axes[axis] for axis in attributes.permutation)
        reader = lowering.reader_of(reader.outputs[0])
    if reader is None or reader.operator is not Operator.RESHAPE:
        return order
    target = lowering.tensor(reader.outputs[0]).shape
    if len(target) == _IMAGE_RANK or _fastest(shape, axes) != _fastest(shape, order):
        return order
    stored = dense(Storage(name, 0), shape, order).transposed(axes)
    return axes if stored.reshaped(target) is None else order


def _fastest(shape: tuple[int, ...], order: Order) -> int:
    """The axis of more than one element that is stored last."""
    return next((axis for axis in reversed(order) if shape[axis] > 1), 0)
