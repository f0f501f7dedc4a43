"""What two matrix layers must share to share their plans."""

from __future__ import annotations

from hanok.compiler.formula_layer import Tail
from hanok.compiler.layers import MatrixLayer
from hanok.compiler.tile_costs import epilogue_steps


def shape_key(layer: MatrixLayer) -> tuple[object, ...]:
    """What two layers must share to share their plans."""
    phases = tuple(
        (p.weights[0].shape, len(p.weights), p.start, p.stride, p.dilation, p.origin, p.step)
        for p in layer.phases
    )
    contiguous = layer.source.pixel_pitch == layer.source.shape[3]
    return (
        *(layer.source.shape, layer.output.shape, layer.output.element_bytes, contiguous, phases),
        *(layer.groups, layer.depthwise),
        *(epilogue_steps(layer), layer.epilogue.scale.size > 1, _of_tail(layer.tail)),
    )


def _of_tail(tail: Tail | None) -> object:
    if tail is None:
        return None
    steps = tuple(tuple(step.step for step in chain.steps) for chain in tail.layer.packed.chains)
    return steps, tuple((operand.view.shape, operand.view.element_bytes) for operand in tail.operands)
