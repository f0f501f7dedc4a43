"""In which order of axes a concatenation is stored, so that what reads it need not move it."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from hanok.compiler.layout import dense
from hanok.compiler.view import Storage
from hanok.graph import Node, Operator, TransposeAttributes

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

Order = tuple[int, ...]
_IMAGE_RANK = 4


def order_for_reader(lowering: Lowering, name: str, order: Order) -> Order:
    """`order`, in which the first operand lies, or the first one in which all that only rename `name` can.

    The latter where reshapes and transpositions behind it, each read by the next alone, would else have to
    move it, and where the copies into the concatenation still move runs of the same axis.
    """
    shape = lowering.tensor(name).shape
    chain: list[Node] = []
    reader = lowering.reader_of(name)
    while reader is not None and reader.operator in (Operator.TRANSPOSE, Operator.RESHAPE):
        chain.append(reader)
        reader = lowering.reader_of(reader.outputs[0])
    while chain and chain[-1].operator is Operator.TRANSPOSE:
        chain.pop()
    if not chain or len(lowering.tensor(chain[-1].outputs[0]).shape) == _IMAGE_RANK:
        return order
    fastest = _fastest(shape, order)
    for tried in (order, *permutations(range(len(shape)))):
        if _fastest(shape, tried) == fastest and _renames(lowering, name, tried, chain):
            return tried
    return order


def _renames(lowering: Lowering, name: str, order: Order, chain: list[Node]) -> bool:
    """Whether the nodes of a chain only rename what is stored in an order."""
    layout = dense(Storage(name, 0), lowering.tensor(name).shape, order)
    for node in chain:
        if isinstance(node.attributes, TransposeAttributes):
            layout = layout.transposed(node.attributes.permutation)
            continue
        reshaped = layout.reshaped(lowering.tensor(node.outputs[0]).shape)
        if reshaped is None:
            return False
        layout = reshaped
    return True


def _fastest(shape: tuple[int, ...], order: Order) -> int:
    """The axis of more than one element that is stored last."""
    return next((axis for axis in reversed(order) if shape[axis] > 1), 0)
