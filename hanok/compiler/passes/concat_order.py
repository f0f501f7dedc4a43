"""In which order of axes a concatenation is stored, so that what reads it need not move it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import TYPE_CHECKING

from hanok.compiler.layout import Layout, dense
from hanok.compiler.view import Storage
from hanok.graph import DType, MatMulAttributes, Node, Operator, SliceAttributes, TransposeAttributes

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

Order = tuple[int, ...]
_IMAGE_RANK = 4


def order_for_reader(lowering: Lowering, name: str, order: Order) -> Order:
    """`order`, in which the first operand lies, or the first one that serves the readers better.

    One in which reshapes and transpositions behind it, each read by the next alone, only rename where they
    would else have to move it; or one in which products of activations find each matrix in one piece, which
    the DRAM gives faster than rows apart. The copies into the concatenation still move runs of the same axis.
    """
    shape = lowering.tensor(name).shape
    chain: list[Node] = []
    reader = lowering.reader_of(name)
    while reader is not None and reader.operator in (Operator.TRANSPOSE, Operator.RESHAPE):
        chain.append(reader)
        reader = lowering.reader_of(reader.outputs[0])
    while chain and chain[-1].operator is Operator.TRANSPOSE:
        chain.pop()
    fastest = _fastest(shape, order)
    orders = [order, *(one for one in permutations(range(len(shape))) if _fastest(shape, one) == fastest)]
    if not chain or len(lowering.tensor(chain[-1].outputs[0]).shape) == _IMAGE_RANK:
        return next((tried for tried in orders if _is_in_pieces(lowering, name, tried)), order)
    return next((tried for tried in orders if _renames(lowering, name, tried, chain)), order)


def _is_in_pieces(lowering: Lowering, name: str, order: Order) -> bool:
    """Whether products of activations read matrices of `name`, each in one piece in this order."""
    size = 4 if lowering.tensor(name).dtype is DType.FLOAT32 else 1
    found = [*_matrices(lowering, name, dense(Storage(name, 0), lowering.tensor(name).shape, order, size))]
    return bool(found) and all(layout is not None and _is_piece(layout) for layout in found)


def _matrices(lowering: Lowering, name: str, layout: Layout) -> Iterator[Layout | None]:
    """Layouts in which products read `name` behind what renames it; None where it has to be moved."""
    for reader in lowering.readers(name):
        made = reader.outputs[0]
        match reader.attributes:
            case TransposeAttributes(permutation=permutation):
                yield from _matrices(lowering, made, layout.transposed(permutation))
            case SliceAttributes(starts=starts, steps=steps):
                yield from _matrices(
                    lowering, made, layout.sliced(starts, steps, lowering.tensor(made).shape)
                )
            case MatMulAttributes() if all(lowering.tensor(one).data is None for one in reader.inputs[:2]):
                yield layout
            case _ if reader.operator is Operator.RESHAPE:
                reshaped = layout.reshaped(lowering.tensor(made).shape)
                if reshaped is None:
                    yield None
                else:
                    yield from _matrices(lowering, made, reshaped)


def _is_piece(layout: Layout) -> bool:
    """Whether the last two axes lie without gaps."""
    shape, strides = layout.shape[-2:], layout.strides[-2:]
    (_, slow), (length, fast) = sorted(zip(shape, strides, strict=True), key=lambda axis: -axis[1])
    return fast == layout.element_bytes and slow == length * fast


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
