"""Lower the vector unit's operators: element-wise arithmetic, lookups, pools, means, softmax, resize."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hanok.compiler.formula_layer import Output
from hanok.compiler.layers import (
    ChainStep,
    ElementLayer,
    ElementOperand,
    ReduceLayer,
    ResizeLayer,
    SoftmaxLayer,
    WindowLayer,
)
from hanok.compiler.layout import Layout
from hanok.compiler.view import View
from hanok.graph import (
    AxesAttributes,
    ElementwiseAttributes,
    Node,
    Operator,
    PoolAttributes,
    ResizeAttributes,
)
from hanok.isa import Operand, Step
from hanok.numerics.fused import fused_multiply_add

if TYPE_CHECKING:
    from hanok.compiler.passes.lower import Lowering

IMAGE_AXES = ((0,), (2,), (3,), (1,))
ONE = np.float32(1.0)
OTHER = int(Operand.SOURCE_1)


def unsigned_offset(lowering: Lowering, node: Node) -> int:
    """What ONNX's own values exceed the stored ones by."""
    return 128 if lowering.tensor(node.outputs[0]).unsigned else 0


def addition(lowering: Lowering, node: Node) -> tuple[list[np.float32], np.float32]:
    """Ratios of both operands, and the folded zero points, of ONNX's own values.

    The formula of ONNX Runtime's QLinearAdd with fused multiply-add instructions:
    round(fma(a, ra, fma(b, rb, zc - fma(ra, za, rb * zb)))), every step in float32.
    """
    offset = unsigned_offset(lowering, node)
    first, second, result = (lowering.quantization(name) for name in (*node.inputs, *node.outputs))
    zeros = [np.float32(item.scalar_zero + offset) for item in (first, second, result)]
    ratios = [np.float32(item.scalar_scale / result.scalar_scale) for item in (first, second)]
    share = fused_multiply_add(zeros[0], ratios[0], np.float32(ratios[1] * zeros[1]))
    return ratios, np.float32(zeros[2] - share)


def elementwise(lowering: Lowering, node: Node) -> None:
    """Lower ADD, SUB, MUL or DIV with broadcasting."""
    attributes = node.attributes
    assert isinstance(attributes, ElementwiseAttributes), f"{node.name}: no clamp"
    quantizations = [lowering.quantization(name) for name in node.inputs]
    zeros = [q.scalar_zero for q in quantizations]
    scales = [q.scalar_scale for q in quantizations]
    result = lowering.quantization(node.outputs[0])
    rounding = Output(result.scalar_zero, *attributes.clamp)
    match node.operator:
        case Operator.ADD:
            ratios, fixed = addition(lowering, node)
            offset = unsigned_offset(lowering, node)
            zeros, scales, rounding = [-offset, -offset], [ONE, ONE], Output(-offset, *attributes.clamp)
            steps = [
                ChainStep(Step.SAVE, 0),
                ChainStep(Step.TAKE, 0, float(fixed)),
                ChainStep(Step.FUSED_ADD, OTHER, float(ratios[1])),
                ChainStep(Step.FUSED_ADD, int(Operand.SAVED), float(ratios[0])),
            ]
        case Operator.MUL:
            offset = unsigned_offset(lowering, node)
            factor = np.float32(np.float32(scales[0] * scales[1]) / result.scalar_scale)
            scales = [ONE, ONE]
            zero = float(result.scalar_zero + offset)
            steps = [
                ChainStep(Step.MUL, OTHER),
                ChainStep(Step.MUL, 0, float(factor)),
                ChainStep(Step.ADD, 0, zero),
            ]
            rounding = Output(-offset, *attributes.clamp)
        case _:
            step = Step.SUB if node.operator is Operator.SUB else Step.DIV
            steps = [ChainStep(step, OTHER), ChainStep(Step.DIV, 0, float(result.scalar_scale))]
    _emit_elementwise(lowering, node, zeros, scales, steps, rounding)


def _emit_elementwise(
    lowering: Lowering,
    node: Node,
    zeros: list[int],
    scales: list[np.float32],
    steps: list[ChainStep],
    rounding: Output,
) -> None:
    shape = lowering.tensor(node.outputs[0]).shape
    layouts = [_broadcast(lowering.operand_layout(name), shape) for name in node.inputs]
    if len(layouts) == 2 and node.inputs[0] == node.inputs[1]:
        layouts[1] = lowering.moved(layouts[1], layouts[1].order, lowering.origin(node))
    lead = max(
        layouts, key=lambda item: int(np.prod([n for n, s in zip(shape, item.strides, strict=True) if s]))
    )
    order = lead.order
    output = lowering.define(node.outputs[0], lowering.fresh(node.outputs[0], order))
    views = _common_views(lowering, node, [*layouts, output], order)
    operands = tuple(
        ElementOperand(view, zero, scale) for view, zero, scale in zip(views[:-1], zeros, scales, strict=True)
    )
    lowering.layers.append(ElementLayer(lowering.origin(node), operands, views[-1], tuple(steps), rounding))


def _broadcast(layout: Layout, shape: tuple[int, ...]) -> Layout:
    """The layout under NumPy's broadcasting: stride 0 along axes that repeat."""
    extra = len(shape) - len(layout.shape)
    lengths = (1,) * extra + layout.shape
    strides = (0,) * extra + layout.strides
    repeated = tuple(0 if n == 1 else s for n, s in zip(lengths, strides, strict=True))
    return Layout(layout.storage, lengths, repeated, layout.offset)


def _common_views(
    lowering: Lowering, node: Node, layouts: list[Layout], order: tuple[int, ...]
) -> list[View]:
    """Views of all operands and the output under the same four axes.

    Where strides forbid that, operands are gathered as they are, and at last repeated to the full shape.
    """
    *operands, output = layouts
    for attempt in range(3):
        axes = _merged_axes([*operands, output], output.shape, order)
        inner = axes[-1] if axes else (1, (0,) * len(layouts))
        inner_fits = all(stride in (0, 1) for stride in inner[1])
        positive = all(stride >= 0 for _, strides in axes for stride in strides)
        if len(axes) <= 4 and inner_fits and positive:
            return [_axis_view(layout, axes, number) for number, layout in enumerate([*operands, output])]
        if attempt == 1:
            operands = [replace(layout, shape=output.shape) for layout in operands]
        operands = [_gathered(lowering, node, layout, order) for layout in operands]
    raise AssertionError(f"'{node.name}': dense operands of one shape are one loop")


def _gathered(lowering: Lowering, node: Node, layout: Layout, order: tuple[int, ...]) -> Layout:
    moved = lowering.moved(layout, order, lowering.origin(node))
    strides = tuple(0 if n == 1 else s for n, s in zip(moved.shape, moved.strides, strict=True))
    return Layout(moved.storage, moved.shape, strides, moved.offset)


def _merged_axes(
    layouts: list[Layout], shape: tuple[int, ...], order: tuple[int, ...]
) -> list[tuple[int, tuple[int, ...]]]:
    """(length, stride of every layout) of the loops in order, merged where they exceed four."""
    axes = [
        (shape[axis], tuple(layout.strides[axis] for layout in layouts)) for axis in order if shape[axis] > 1
    ]
    while len(axes) > 4:
        for index in range(len(axes) - 1):
            outer, inner = axes[index], axes[index + 1]
            if all(a == inner[0] * b for a, b in zip(outer[1], inner[1], strict=True)):
                axes[index : index + 2] = [(outer[0] * inner[0], inner[1])]
                break
        else:
            break
    return axes


def _axis_view(layout: Layout, axes: list[tuple[int, tuple[int, ...]]], number: int) -> View:
    """[N][H][W][C] of one layout; an axis that repeats has length 1."""
    own = [(length if strides[number] else 1, strides[number]) for length, strides in axes]
    if not own:
        own = [(1, 1)]
    spread = {1: [1, 1, 1], 2: [1, 0, 1], 3: [1, 0, 0], 4: [0, 0, 0]}[len(own)]
    rest = iter(own[:-1])
    sizes = [(1, 0) if blank else next(rest) for blank in spread] + [own[-1]]
    pixel = sizes[2][1] or sizes[3][0]
    row = sizes[1][1] or sizes[2][0] * pixel
    image = sizes[0][1] or sizes[1][0] * row
    shape = (sizes[0][0], sizes[1][0], sizes[2][0], sizes[3][0])
    return View(layout.storage, shape, layout.offset, image, row, pixel)


def lookup(lowering: Lowering, node: Node, table: npt.NDArray[np.int8]) -> None:
    """Lower a LOOKUP that no matrix layer took."""
    source = _broadcast(lowering.operand_layout(node.inputs[0]), lowering.tensor(node.outputs[0]).shape)
    order = source.order
    output = lowering.define(node.outputs[0], lowering.fresh(node.outputs[0], order))
    views = _common_views(lowering, node, [source, output], order)
    lowering.layers.append(
        ElementLayer(
            lowering.origin(node),
            (ElementOperand(views[0], 0, ONE),),
            views[1],
            (ChainStep(Step.LOOKUP, 0),),
            Output(0, -128, 127),
            table.astype(np.float32),
        )
    )


def pool(lowering: Lowering, node: Node) -> None:
    """Lower MAX_POOL or AVERAGE_POOL."""
    attributes = node.attributes
    assert isinstance(attributes, PoolAttributes), f"{node.name}: not a pool"
    source = lowering.image(node.inputs[0], IMAGE_AXES, lowering.origin(node))
    output = lowering.target(node, IMAGE_AXES)
    maximum = node.operator is Operator.MAX_POOL
    before, after = lowering.quantization(node.inputs[0]), lowering.quantization(node.outputs[0])
    factor = np.ones(1, np.float32)
    if not maximum:
        factor = _pool_factors(attributes, source, output, before.scalar_scale, after.scalar_scale)
    lowering.layers.append(
        WindowLayer(
            lowering.origin(node),
            source,
            output,
            attributes.kernel,
            attributes.strides,
            (-attributes.pads[0], -attributes.pads[1]),
            attributes.dilations,
            maximum,
            before.scalar_zero,
            factor,
            Output(0 if maximum else after.scalar_zero, *attributes.clamp),
        )
    )


def _pool_factors(
    attributes: PoolAttributes, source: View, output: View, before: np.float32, after: np.float32
) -> npt.NDArray[np.float32]:
    """float32(sx / float32(sy * count)) of every output position; one number where all are equal."""
    counts = []
    for axis in (0, 1):
        length, pads = source.shape[1 + axis], (attributes.pads[axis], attributes.pads[axis + 2])
        low, high = (-pads[0], length + pads[1]) if attributes.count_include_pad else (0, length)
        starts = np.arange(output.shape[1 + axis]) * attributes.strides[axis] - pads[0]
        taps = starts[:, None] + np.arange(attributes.kernel[axis]) * attributes.dilations[axis]
        counts.append(((taps >= low) & (taps < high)).sum(axis=1))
    total = np.outer(counts[0], counts[1]).astype(np.float32)
    factors = (before / (after * np.maximum(total, ONE)).astype(np.float32)).astype(np.float32)
    return factors.reshape(-1)[:1] if (factors == factors[0, 0]).all() else factors


def reduce_mean(lowering: Lowering, node: Node) -> None:
    """Lower REDUCE_MEAN; axes that are not stored as neighbours are gathered behind the others."""
    attributes = node.attributes
    assert isinstance(attributes, AxesAttributes), f"{node.name}: no axes"
    layout = lowering.operand_layout(node.inputs[0])
    rank, axes = len(layout.shape), attributes.axes
    order = layout.order
    places = [order.index(axis) for axis in axes]
    if not layout.is_dense or sorted(places) != list(range(min(places), min(places) + len(places))):
        kept = (axis for axis in range(rank) if axis not in axes)
        layout = lowering.moved(layout, (*kept, *axes), lowering.origin(node))
        order = layout.order
        places = [order.index(axis) for axis in axes]
    outer = int(np.prod([layout.shape[axis] for axis in order[: min(places)]], dtype=np.int64))
    length = int(np.prod([layout.shape[axis] for axis in axes], dtype=np.int64))
    inner = layout.storage.size_bytes // (outer * length)
    output = lowering.define(node.outputs[0], _reduced(lowering, node, order, axes, attributes.keepdims))
    before, after = lowering.quantization(node.inputs[0]), lowering.quantization(node.outputs[0])
    factor = np.float32(before.scalar_scale / np.float32(after.scalar_scale * np.float32(length)))
    rounding = Output(after.scalar_zero, *attributes.clamp)
    source_view = View.dense(layout.storage, (outer, 1, length, inner))
    output_view = View.dense(output.storage, (outer, 1, 1, inner))
    if inner > 1:
        window = (1, length)
        lowering.layers.append(
            WindowLayer(
                lowering.origin(node),
                source_view,
                output_view,
                window,
                window,
                (0, 0),
                (1, 1),
                False,
                before.scalar_zero,
                factor.reshape(1),
                rounding,
            )
        )
        return
    lowering.layers.append(
        ReduceLayer(
            lowering.origin(node),
            source_view,
            output_view,
            (outer, length, 1),
            before.scalar_zero,
            factor,
            rounding,
        )
    )


def _reduced(
    lowering: Lowering, node: Node, order: tuple[int, ...], axes: tuple[int, ...], keepdims: bool
) -> Layout:
    """The output in the stored order of what is left."""
    if keepdims:
        return lowering.fresh(node.outputs[0], order)
    left = [axis for axis in range(len(order)) if axis not in axes]
    return lowering.fresh(node.outputs[0], tuple(left.index(axis) for axis in order if axis in left))


def softmax(lowering: Lowering, node: Node) -> None:
    """Lower SOFTMAX along one axis, which is stored last."""
    attributes = node.attributes
    assert isinstance(attributes, AxesAttributes), f"{node.name}: no axis"
    layout = lowering.operand_layout(node.inputs[0])
    axis = attributes.axes[0] % len(layout.shape)
    if not layout.is_dense or layout.order[-1] != axis:
        order = (*(a for a in layout.order if a != axis), axis)
        layout = lowering.moved(layout, order, lowering.origin(node))
    output = lowering.define(node.outputs[0], lowering.fresh(node.outputs[0], layout.order))
    classes = layout.shape[axis]
    rows = layout.storage.size_bytes // classes
    before, after = lowering.quantization(node.inputs[0]), lowering.quantization(node.outputs[0])
    distance = np.arange(255, -1, -1, dtype=np.float64)
    table = np.exp(-distance * float(before.scalar_scale)).astype(np.float32)
    shape = (1, rows, 1, classes)
    lowering.layers.append(
        SoftmaxLayer(
            lowering.origin(node),
            View.dense(layout.storage, shape),
            View.dense(output.storage, shape),
            (rows, classes),
            table,
            np.float32(ONE / after.scalar_scale),
            Output(after.scalar_zero, *attributes.clamp),
        )
    )


def resize(lowering: Lowering, node: Node) -> None:
    """Lower RESIZE of rows and columns."""
    attributes = node.attributes
    assert isinstance(attributes, ResizeAttributes), f"{node.name}: not a resize"
    before, after = lowering.quantization(node.inputs[0]), lowering.quantization(node.outputs[0])
    source = lowering.image(node.inputs[0], IMAGE_AXES, lowering.origin(node))
    taps = max(attributes.rows.shape[1], attributes.columns.shape[1])
    lowering.layers.append(
        ResizeLayer(
            lowering.origin(node),
            source,
            lowering.target(node, IMAGE_AXES),
            _widen(attributes.rows, taps),
            _widen_weights(attributes.row_weights, taps),
            _widen(attributes.columns, taps),
            _widen_weights(attributes.column_weights, taps),
            before.scalar_zero,
            np.float32(before.scalar_scale / after.scalar_scale),
            Output(after.scalar_zero, -128, 127),
        )
    )


def _widen(taps: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
    return np.repeat(taps, count // taps.shape[1], axis=1)


def _widen_weights(weights: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    if weights.shape[1] == count:
        return weights
    return np.concatenate([weights, np.zeros_like(weights)], axis=1)
