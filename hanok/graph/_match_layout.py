"""Matchers of data movement: Reshape and its kin, Transpose, Slice, Split, Concat, Pad, space and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hanok.graph._match import (
    Context,
    Match,
    quantization_of,
    quantize,
    requantize_node,
    same_quantization,
    with_quantization_of,
)
from hanok.graph._working import Operation
from hanok.graph.ir import (
    Attributes,
    ConcatAttributes,
    DType,
    Node,
    Operator,
    PadAttributes,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)

_MAX_COPIES = 64


def moved(
    context: Context, match: Match, build: Callable[[Match, Tensor], list[Node] | None]
) -> list[Node] | None:
    """Data movement in the input's quantization, then a requantising LOOKUP where output or clamp differ."""
    x = context.operand(match.core.inputs[0])
    if x is None or x.data is not None:
        return None
    if same_quantization(x, match.output) and match.unclamped:
        return build(match, x)
    inner = context.like(x, f"{match.output.name}/moved", match.output.shape)
    nodes = build(replace(match, output=inner), x)
    return None if nodes is None else [*nodes, requantize_node(context, match, inner, match.output)]


def match_reshape(context: Context, match: Match) -> list[Node] | None:
    """Reshape, Flatten, Squeeze, Unsqueeze: the same elements in the same order."""
    return moved(
        context,
        match,
        lambda inner, x: [context.node(inner, Operator.RESHAPE, [x], inner.output, Attributes())],
    )


def match_transpose(context: Context, match: Match) -> list[Node] | None:
    """Transpose with the default permutation resolved."""

    def build(inner: Match, x: Tensor) -> list[Node]:
        permutation = inner.core.integers("perm", range(len(x.shape))[::-1])
        attributes = TransposeAttributes(tuple(permutation))
        return [context.node(inner, Operator.TRANSPOSE, [x], inner.output, attributes)]

    return moved(context, match, build)


def match_slice(context: Context, match: Match) -> list[Node] | None:
    """Slice with constant starts, axes and steps."""

    def build(inner: Match, x: Tensor) -> list[Node] | None:
        found = [_integers(context, inner.core, position) for position in (1, 3, 4)]
        starts, axes, steps = found
        if starts is None:
            return None
        axes = axes or list(range(len(starts)))
        steps = steps or [1] * len(starts)
        begin, step = [0] * len(x.shape), [1] * len(x.shape)
        for start, axis, stride in zip(starts, axes, steps, strict=True):
            axis %= len(x.shape)
            size = x.shape[axis]
            start = start + size if start < 0 else start
            begin[axis] = min(max(start, 0), size if stride > 0 else size - 1)
            step[axis] = stride
        attributes = SliceAttributes(tuple(begin), tuple(step))
        return [context.node(inner, Operator.SLICE, [x], inner.output, attributes)]

    if 0 in match.output.shape:
        return None
    return moved(context, match, build)


def match_split(context: Context, match: Match) -> list[Node] | None:
    """One output of a Split is a Slice."""

    def build(inner: Match, x: Tensor) -> list[Node]:
        core = inner.core
        axis = core.integer("axis") % len(x.shape)
        position = core.outputs.index(match.core_output)
        start = sum(context.working.shape(name)[axis] for name in core.outputs[:position])
        starts = tuple(start if index == axis else 0 for index in range(len(x.shape)))
        attributes = SliceAttributes(starts, (1,) * len(x.shape))
        return [context.node(inner, Operator.SLICE, [x], inner.output, attributes)]

    return moved(context, match, build)


def match_gather(context: Context, match: Match) -> list[Node] | None:
    """Gather of one constant index, or of constant indices at equal steps, is a Slice."""
    indices = _integers(context, match.core, 1)
    content = context.working.constant(match.core.input(1))
    if indices is None or content is None or content.ndim > 1:
        return None

    def build(inner: Match, x: Tensor) -> list[Node] | None:
        axis = inner.core.integer("axis") % len(x.shape)
        wanted = [index % x.shape[axis] for index in indices]
        step = wanted[1] - wanted[0] if len(wanted) > 1 else 1
        if step == 0 or wanted != [wanted[0] + step * position for position in range(len(wanted))]:
            return None
        starts, steps = [0] * len(x.shape), [1] * len(x.shape)
        starts[axis], steps[axis] = wanted[0], step
        attributes = SliceAttributes(tuple(starts), tuple(steps))
        if content.ndim == 1:
            return [context.node(inner, Operator.SLICE, [x], inner.output, attributes)]
        taken = context.like(x, f"{inner.output.name}/taken", (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        return [
            context.node(inner, Operator.SLICE, [x], taken, attributes),
            context.node(inner, Operator.RESHAPE, [taken], inner.output, Attributes()),
        ]

    return moved(context, match, build)


def match_concat(context: Context, match: Match) -> list[Node] | None:
    """Concat; operands of another quantization go through a LOOKUP, float constants are quantised."""
    core = match.core
    nodes: list[Node] = []
    operands: list[Tensor] = []
    for name in core.inputs:
        content = context.working.constant(name)
        if content is not None and content.dtype == np.float32 and match.output.dtype is DType.INT8:
            stored = quantize(content, quantization_of(match.output))
            operands.append(context.constant(name, stored, match.output.quantization))
            continue
        operand = context.operand(name)
        if operand is None:
            return None
        fitted, extra = with_quantization_of(
            context, replace(match, clamp=(-128, 127)), operand, match.output
        )
        operands.append(fitted)
        nodes += extra
    if all(operand.data is not None for operand in operands):
        return None
    attributes = ConcatAttributes(core.integer("axis") % len(match.output.shape))
    if match.unclamped:
        return [*nodes, context.node(match, Operator.CONCAT, operands, match.output, attributes)]
    joined = context.like(match.output, f"{match.output.name}/joined", match.output.shape)
    nodes.append(context.node(match, Operator.CONCAT, operands, joined, attributes))
    return [*nodes, requantize_node(context, match, joined, match.output)]


def match_expand(context: Context, match: Match) -> list[Node] | None:
    """Expand and Tile: along each axis that grows, the tensor is concatenated with itself."""

    def build(inner: Match, x: Tensor) -> list[Node] | None:
        made = inner.output.shape
        shape = (1,) * (len(made) - len(x.shape)) + x.shape
        copies = [new // max(old, 1) for new, old in zip(made, shape, strict=True)]
        if max(copies, default=1) > _MAX_COPIES or 0 in made:
            return None
        nodes: list[Node] = []
        current = x
        if shape != x.shape:
            current = context.like(x, f"{inner.output.name}/wide", shape)
            nodes.append(context.node(inner, Operator.RESHAPE, [x], current, Attributes()))
        for axis, count in enumerate(copies):
            if count == 1:
                continue
            grown = (*current.shape[:axis], made[axis], *current.shape[axis + 1 :])
            wider = context.like(x, f"{inner.output.name}/copies", grown)
            attributes = ConcatAttributes(axis)
            nodes.append(context.node(inner, Operator.CONCAT, [current] * count, wider, attributes))
            current = wider
        return [*nodes, context.node(inner, Operator.RESHAPE, [current], inner.output, Attributes())]

    return moved(context, match, build)


def match_pad(context: Context, match: Match) -> list[Node] | None:
    """Constant Pad; the value is quantised with the input's parameters where it has an exact form."""
    core = match.core
    pads = _integers(context, core, 1)
    value = context.working.constant(core.input(2))
    axes = _integers(context, core, 3)
    if core.text("mode", "constant") != "constant" or pads is None or (core.input(2) and value is None):
        return None
    fill = 0.0 if value is None else float(value.reshape(-1)[0])
    if match.output.dtype is DType.FLOAT32 and fill != 0.0:
        return None

    def build(inner: Match, x: Tensor) -> list[Node] | None:
        rank = len(x.shape)
        chosen = list(range(rank)) if axes is None else [axis % rank for axis in axes]
        before, after = [0] * rank, [0] * rank
        for index, axis in enumerate(chosen):
            before[axis], after[axis] = pads[index], pads[index + len(chosen)]
        if min(before + after) < 0:
            return None
        if inner.output.dtype is DType.FLOAT32:
            stored = 0
        else:
            stored = int(quantize(np.array(fill, np.float32), quantization_of(inner.output)))
        attributes = PadAttributes(tuple(before), tuple(after), stored)
        return [context.node(inner, Operator.PAD, [x], inner.output, attributes)]

    return _requantized_first(context, match, build)


def _requantized_first(
    context: Context, match: Match, build: Callable[[Match, Tensor], list[Node] | None]
) -> list[Node] | None:
    """Bring the operand to the output's quantization before the movement (which adds a value of its own)."""
    x = context.operand(match.core.inputs[0])
    if x is None or x.data is not None or not match.unclamped:
        return None
    fitted, nodes = with_quantization_of(context, match, x, match.output)
    made = build(match, fitted)
    return None if made is None else [*nodes, *made]


def match_depth_to_space(context: Context, match: Match) -> list[Node] | None:
    """DepthToSpace as RESHAPE, TRANSPOSE, RESHAPE."""

    def build(inner: Match, x: Tensor) -> list[Node]:
        block = inner.core.integer("blocksize", 1)
        n, c, h, w = x.shape
        if inner.core.text("mode", "DCR") == "DCR":
            split, order = (n, block, block, c // block**2, h, w), (0, 3, 4, 1, 5, 2)
        else:
            split, order = (n, c // block**2, block, block, h, w), (0, 1, 4, 2, 5, 3)
        return _reshape_transpose_reshape(context, inner, x, split, order)

    return moved(context, match, build)


def match_space_to_depth(context: Context, match: Match) -> list[Node] | None:
    """SpaceToDepth as RESHAPE, TRANSPOSE, RESHAPE."""

    def build(inner: Match, x: Tensor) -> list[Node]:
        block = inner.core.integer("blocksize", 1)
        n, c, h, w = x.shape
        split = (n, c, h // block, block, w // block, block)
        return _reshape_transpose_reshape(context, inner, x, split, (0, 3, 5, 1, 2, 4))

    return moved(context, match, build)


def _reshape_transpose_reshape(
    context: Context, match: Match, x: Tensor, split: Sequence[int], order: Sequence[int]
) -> list[Node]:
    parted = context.like(x, f"{match.output.name}/blocks", split)
    turned = context.like(x, f"{match.output.name}/turned", [split[axis] for axis in order])
    return [
        context.node(match, Operator.RESHAPE, [x], parted, Attributes()),
        context.node(match, Operator.TRANSPOSE, [parted], turned, TransposeAttributes(tuple(order))),
        context.node(match, Operator.RESHAPE, [turned], match.output, Attributes()),
    ]


def _integers(context: Context, core: Operation, position: int) -> list[int] | None:
    content = context.working.constant(core.input(position))
    return None if content is None else [int(value) for value in content.reshape(-1)]
