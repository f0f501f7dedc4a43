"""GroupNormalization as the means, roots and products that define it."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from hanok.graph._working import Operation, WorkingGraph
from hanok.graph._writer import Writer


def expand_normalization(working: WorkingGraph) -> bool:
    """Replace every GroupNormalization of floats with constant gain and shift."""
    replaced: dict[int, list[Operation]] = {}
    for operation in working.operations:
        if operation.standard_type != "GroupNormalization":
            continue
        constants = [working.constant(name) for name in operation.inputs[1:3]]
        known = working.types.get(operation.inputs[0]) == TensorProto.FLOAT
        if known and all(content is not None for content in constants):
            writer = Writer(working, operation.name or operation.outputs[0])
            _group_normalization(writer, operation)
            replaced[id(operation)] = writer.operations
    working.operations = [new for one in working.operations for new in replaced.get(id(one), [one])]
    return bool(replaced)


def _group_normalization(w: Writer, operation: Operation) -> None:
    """Normalise rows of a group's channels and positions; then a gain and a shift for each channel, or, in
    opset 18, for each group."""
    x, groups = operation.inputs[0], operation.integer("num_groups")
    batch, channels, *spatial = w.shape(x)
    rows = w.reshape(x, batch, groups, channels // groups * math.prod(spatial))
    centred = w.joined("Sub", rows, _mean(w, rows))
    variance = _mean(w, w.joined("Mul", centred, centred))
    epsilon = w.constant(np.float32(operation.real("epsilon", 1e-5)))
    root = w.apply("Sqrt", [w.joined("Add", variance, epsilon)], w.shape(variance))
    made = w.reshape(w.joined("Div", centred, root), batch, channels, *spatial)
    gain, shift = (w.working.constants[name].reshape(-1) for name in operation.inputs[1:3])
    for op_type, content, result in (("Mul", gain, ""), ("Add", shift, operation.outputs[0])):
        each = np.repeat(content, channels // content.size).reshape(channels, *(1 for _ in spatial))
        made = w.joined(op_type, made, w.constant(each), result)


def _mean(w: Writer, rows: str) -> str:
    axis = w.constant(np.array([2], np.int64))
    return w.apply("ReduceMean", [rows, axis], (*w.shape(rows)[:2], 1), keepdims=1)
