"""Make an addition of a second tensor part of the matrix layer that computes the first one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hanok.compiler.layers import Residual
from hanok.compiler.passes import lower_vector
from hanok.compiler.view import View
from hanok.graph import ElementwiseAttributes, Node

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering


def fuse_residual(lowering: Lowering, node: Node) -> bool:
    """Try to make an addition part of the matrix layer that computes one of its operands."""
    attributes = node.attributes
    assert isinstance(attributes, ElementwiseAttributes), f"{node.name}: no clamp"
    candidates = []
    for index, name in enumerate(node.inputs):
        maker = lowering.makers.get(name)
        other = node.inputs[1 - index]
        fits = (
            maker is not None
            and maker.epilogue.residual is None
            and lowering.only_reader(name)
            and other != name
            and lowering.tensor(other).data is None
            and lowering.tensor(other).shape == lowering.tensor(name).shape
            and lowering.layout(other).image(lowering.axes[maker]) is not None
        )
        if maker is not None and fits:
            candidates.append((lowering.layers.index(maker), index))
    if not candidates:
        return False
    index = max(candidates)[1]
    name, other = node.inputs[index], node.inputs[1 - index]
    maker = lowering.makers[name]
    view = lowering.layout(other).image(lowering.axes[maker])
    assert view is not None, "checked above"
    residual = _residual(lowering, node, index, view, attributes.clamp)
    lowering.refit(node, name, maker, replace(maker.epilogue, residual=residual))
    return True


def _residual(lowering: Lowering, node: Node, index: int, view: View, clamp: tuple[int, int]) -> Residual:
    ratios, fixed = lower_vector.addition(lowering, node)
    offset = lower_vector.unsigned_offset(lowering, node)
    return Residual(view, ratios[index], ratios[1 - index], fixed, index == 0, offset, clamp)
