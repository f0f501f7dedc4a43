"""Matchers of pooling, means and softmax."""

from __future__ import annotations

from hanok.graph._match import Context, Match, requantize_node, same_quantization
from hanok.graph._match_matrix import over_images
from hanok.graph._windows import read_window
from hanok.graph._working import Operation
from hanok.graph.ir import AxesAttributes, Node, Operator, PoolAttributes, Tensor


def match_pool(context: Context, match: Match) -> list[Node] | None:
    """MaxPool and AveragePool over one or two spatial axes, and their global forms."""
    core = match.core
    x = context.operand(core.inputs[0])
    if x is None or x.data is not None or len(x.shape) not in (3, 4):
        return None
    if core.op_type.startswith("Global"):
        height, width = (1, *x.shape[2:])[-2:]
        attributes = PoolAttributes((height, width), (1, 1), (0, 0, 0, 0), clamp=match.clamp)
    else:
        found = _window_attributes(core, x, match)
        if found is None:
            return None
        attributes = found
    if not core.op_type.endswith("MaxPool"):
        return over_images(context, match, Operator.AVERAGE_POOL, [x], attributes)
    if same_quantization(x, match.output):
        return over_images(context, match, Operator.MAX_POOL, [x], attributes)
    return _pool_then_requantize(context, match, x, attributes)


def _window_attributes(core: Operation, x: Tensor, match: Match) -> PoolAttributes | None:
    if core.op_type == "MaxPool" and (match.core_output != core.outputs[0] or core.integer("storage_order")):
        return None
    if core.op_type == "LpPool":
        return None
    counted = bool(core.integer("count_include_pad"))
    window = read_window(core, x.shape, core.integers("kernel_shape"), match.output.shape)
    if window is None or min(window.pads) < 0 or (window.grown and counted):
        return None
    return PoolAttributes(window.kernel, window.strides, window.pads, window.dilations, counted, match.clamp)


def _pool_then_requantize(
    context: Context, match: Match, x: Tensor, attributes: PoolAttributes
) -> list[Node]:
    """MAX_POOL in the input's quantization, then a LOOKUP into the output's (with its clamp)."""
    from dataclasses import replace

    pooled = context.like(x, f"{match.output.name}/pooled", match.output.shape)
    inner = replace(match, output=pooled)
    nodes = over_images(context, inner, Operator.MAX_POOL, [x], replace(attributes, clamp=(-128, 127)))
    return [*nodes, requantize_node(context, match, pooled, match.output)]


def match_reduce_mean(context: Context, match: Match) -> list[Node] | None:
    """ReduceMean over constant axes (attribute or operand)."""
    core = match.core
    x = context.operand(core.inputs[0])
    if x is None or x.data is not None:
        return None
    rank = len(x.shape)
    axes = core.integers("axes")
    if core.input(1):
        content = context.working.constant(core.inputs[1])
        if content is None:
            return None
        axes = [int(axis) for axis in content.reshape(-1)]
    if not axes:
        if core.integer("noop_with_empty_axes"):
            return None
        axes = list(range(rank))
    normal = tuple(sorted({axis % rank for axis in axes}))
    attributes = AxesAttributes(normal, bool(core.integer("keepdims", 1)), match.clamp)
    return [context.node(match, Operator.REDUCE_MEAN, [x], match.output, attributes)]


def match_softmax(context: Context, match: Match) -> list[Node] | None:
    """Softmax along one axis."""
    core = match.core
    x = context.operand(core.inputs[0])
    if x is None or x.data is not None:
        return None
    axis = core.integer("axis", -1) % len(x.shape)
    attributes = AxesAttributes((axis,), clamp=match.clamp)
    return [context.node(match, Operator.SOFTMAX, [x], match.output, attributes)]
