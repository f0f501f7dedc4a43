"""Lower formulas: all operands under the same four axes, the folded ones last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hanok.compiler.formula_layer import FormulaLayer, FormulaOperand, Output, Tail
from hanok.compiler.layout import Layout, merge_axes
from hanok.compiler.view import View
from hanok.graph import DType, FormulaAttributes, Node

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

Axes = list[tuple[int, tuple[int, ...]]]
"""(length, stride of every layout in elements) of loops, slowest first."""
ONE = np.float32(1.0)
_MOST_LOOPS = 4
_MATRIX_BANKS = 4
"""A matrix layer needs a bank for its activations, its scales, and two for weights that take turns."""


def formula(lowering: Lowering, node: Node) -> None:
    """Lower one FORMULA."""
    attributes = node.attributes
    assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
    if not attributes.axes and _join_matrix(lowering, node, attributes):
        return
    layouts = [lowering.operand_layout(name) for name in node.inputs]
    layer = _layer(lowering, node, attributes, layouts)
    if _collide(lowering, layer):
        layer = _layer(lowering, node, attributes, _apart(lowering, node, layouts))
    lowering.layers.append(layer)


def _layer(
    lowering: Lowering, node: Node, attributes: FormulaAttributes, layouts: list[Layout]
) -> FormulaLayer:
    """The layer over operands that lie so, or are gathered first, and a fresh output."""
    full = np.broadcast_shapes(*(lowering.tensor(name).shape for name in node.inputs))
    layouts = [_repeated(layout, full) for layout in layouts]
    lead = max(
        layouts, key=lambda layout: np.prod([n for n, s in zip(full, layout.strides, strict=True) if s])
    )
    order = (*(axis for axis in lead.order if axis not in attributes.axes), *attributes.axes)
    output = lowering.define(node.outputs[0], lowering.fresh(node.outputs[0], order))
    axes = _axes(lowering, node, layouts, output, full, order)
    views = [_view(layout, axes, number) for number, layout in enumerate([*layouts, output])]
    made = views.pop()
    operands = [_operand(lowering, name, view) for name, view in zip(node.inputs, views, strict=True)]
    lengths = [1] * (_MOST_LOOPS - len(axes)) + [length for length, _ in axes]
    spread = _spread(len(axes))
    rest = iter([length for length, _ in axes][:-1])
    shape = (*(1 if blank else next(rest) for blank in spread), lengths[-1])
    return FormulaLayer(
        lowering.origin(node),
        tuple(operands),
        made,
        (shape[0], shape[1], shape[2], shape[3]),
        attributes.formula,
        attributes.result,
        _rounding(lowering, node, attributes),
    )


def _rounding(lowering: Lowering, node: Node, attributes: FormulaAttributes) -> Output:
    result = lowering.tensor(node.outputs[0])
    zero = 0 if result.dtype is DType.FLOAT32 else lowering.quantization(node.outputs[0]).scalar_zero
    return Output(zero, *attributes.clamp)


def _join_matrix(lowering: Lowering, node: Node, attributes: FormulaAttributes) -> bool:
    """Try to make a formula on each tile of the matrix layer that makes one of its operands."""
    shape = lowering.tensor(node.outputs[0]).shape
    for hole, name in enumerate(node.inputs):
        found = lowering.real_maker(name)
        if found is None or lowering.tensor(name).shape != shape:
            continue
        maker, axes = found
        views = [
            maker.output if number == hole else _tail_view(lowering, other, shape, axes)
            for number, other in enumerate(node.inputs)
        ]
        operands = [
            _operand(lowering, other, view)
            for other, view in zip(node.inputs, views, strict=True)
            if view is not None
        ]
        storages = {id(operand.view.storage) for operand in operands}
        if len(operands) < len(views) or len(storages) < len(operands):
            continue
        output = lowering.target(node, axes)
        layer = FormulaLayer(
            maker.origin,
            tuple(operands),
            output,
            output.shape,
            attributes.formula,
            attributes.result,
            _rounding(lowering, node, attributes),
        )
        tail = Tail(layer, hole)
        if _MATRIX_BANKS + 1 + tail.banks(1, 1, 1 << 20) <= lowering.sram.banks:
            lowering.append_tail(node, name, maker, tail, axes)
            return True
    return False


def _tail_view(
    lowering: Lowering, name: str, shape: tuple[int, ...], axes: tuple[tuple[int, ...], ...]
) -> View | None:
    """An operand under the axes of a matrix layer: of its shape, or one number a row or a channel."""
    own = lowering.tensor(name).shape
    layout = lowering.operand_layout(name)
    one_a_row = own == (*shape[:-1], 1) and axes[3] == (len(shape) - 1,)
    if own == shape or one_a_row:
        return layout.image(axes)
    channels = shape[axes[3][0]] if len(axes[3]) == 1 else 0
    if axes[3] != (len(shape) - 1,) or layout.storage.size_bytes != channels * layout.element_bytes:
        return None
    if not layout.is_dense or own[-1:] != (channels,):
        return None
    return View.dense(layout.storage, (1, 1, 1, channels), layout.offset, layout.element_bytes)


def _collide(lowering: Lowering, layer: FormulaLayer) -> bool:
    """Whether a chain reads two operands of one storage that may stay in SRAM, whose banks have one port.

    A storage larger than the SRAM is never there as a whole: each operand's tiles get banks of their own.
    """
    for chain in layer.packed.chains:
        read = {held.number for held in (chain.start, *chain.streams)}
        storages = [layer.operands[number].view.storage for number in read if number < len(layer.operands)]
        may_stay = [one for one in storages if one.size_bytes <= lowering.sram.total_bytes]
        if len({id(one) for one in may_stay}) < len(may_stay):
            return True
    return False


def _apart(lowering: Lowering, node: Node, layouts: list[Layout]) -> list[Layout]:
    """Layouts with each storage once that may stay in SRAM: another operand in it is copied."""
    found: list[Layout] = []
    for layout in layouts:
        may_stay = layout.storage.size_bytes <= lowering.sram.total_bytes
        if may_stay and any(layout.storage is other.storage for other in found):
            layout = lowering.copied(layout, lowering.origin(node))
        found.append(layout)
    return found


def _repeated(layout: Layout, full: tuple[int, ...]) -> Layout:
    """The layout under NumPy's broadcasting: stride 0 along axes that repeat."""
    extra = len(full) - len(layout.shape)
    lengths = (1,) * extra + layout.shape
    strides = (0,) * extra + layout.strides
    kept = tuple(0 if n == 1 else s for n, s in zip(lengths, strides, strict=True))
    return replace(layout, shape=full, strides=kept)


def _axes(
    lowering: Lowering,
    node: Node,
    layouts: list[Layout],
    output: Layout,
    full: tuple[int, ...],
    order: tuple[int, ...],
) -> Axes:
    """Loops that serve every layout; operands whose strides forbid that are gathered, in `layouts`."""
    attributes = node.attributes
    assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
    target = _repeated(output, full)
    for attempt in range(3):
        axes = _merged([*layouts, target], full, order, len(attributes.axes))
        if axes is not None and _serve(axes):
            return axes
        for number, layout in enumerate(layouts):
            own = layout
            if attempt == 0:
                repeats = tuple(s == 0 for s in layout.strides)
                own = replace(layout, shape=tuple(1 if r else n for n, r in zip(full, repeats, strict=True)))
            moved = lowering.moved(own, order, lowering.origin(node))
            layouts[number] = _repeated(moved, full)
    raise AssertionError(f"'{node.name}': dense operands of one shape are a few loops")


def _serve(axes: Axes) -> bool:
    """Whether chains can follow the loops: few enough, forwards, and the inner one over neighbours."""
    forwards = all(stride >= 0 for _, strides in axes for stride in strides)
    return forwards and len(axes) <= _MOST_LOOPS and all(stride in (0, 1) for stride in axes[-1][1])


def _merged(layouts: list[Layout], full: tuple[int, ...], order: tuple[int, ...], folded: int) -> Axes | None:
    """Axes in order, neighbours as one where all strides allow; the last `folded` ones are one loop."""
    axes: Axes = []
    outer = order[: len(order) - folded]
    for axis in outer:
        _append(axes, (full[axis], tuple(_stride(layout, axis) for layout in layouts)))
    if not folded:
        return axes or [(1, (0,) * len(layouts))]
    rows = []
    for layout in layouts:
        row = merge_axes([(full[axis], _stride(layout, axis)) for axis in order[len(outer) :]])
        if row is None:
            return None
        rows.append(row)
    return [*axes, (max(length for length, _ in rows), tuple(stride for _, stride in rows))]


def _append(axes: Axes, axis: tuple[int, tuple[int, ...]]) -> None:
    length, strides = axis
    if length == 1:
        return
    if axes and all(a == length * b for a, b in zip(axes[-1][1], strides, strict=True)):
        axes[-1] = (axes[-1][0] * length, strides)
    else:
        axes.append(axis)


def _stride(layout: Layout, axis: int) -> int:
    return layout.strides[axis] // layout.element_bytes


def _spread(loops: int) -> list[int]:
    """Which of N, H, W are of length one where there are fewer than four loops."""
    return {1: [1, 1, 1], 2: [1, 0, 1], 3: [1, 0, 0], 4: [0, 0, 0]}[loops]


def _view(layout: Layout, axes: Axes, number: int) -> View:
    """[N][H][W][C] of one layout; an axis that repeats has length 1."""
    size = layout.element_bytes
    own = [(length if strides[number] else 1, strides[number] * size) for length, strides in axes]
    rest = iter(own[:-1])
    sizes = [(1, 0) if blank else next(rest) for blank in _spread(len(axes))] + [own[-1]]
    pixel = sizes[2][1] or sizes[3][0] * size
    row = sizes[1][1] or sizes[2][0] * pixel
    image = sizes[0][1] or sizes[1][0] * row
    shape = (sizes[0][0], sizes[1][0], sizes[2][0], sizes[3][0])
    return View(layout.storage, shape, layout.offset, image, row, pixel, size)


def _operand(lowering: Lowering, name: str, view: View) -> FormulaOperand:
    tensor = lowering.tensor(name)
    content = view.storage.content
    if tensor.dtype is DType.FLOAT32:
        return FormulaOperand(view, 0, ONE, content)
    quantization = lowering.quantization(name)
    return FormulaOperand(view, quantization.scalar_zero, quantization.scalar_scale, content)
