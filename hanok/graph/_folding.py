"""Constant folding and the removal of what exporters leave behind: Identity, Dropout, equal Casts, Shape."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from hanok.errors import ModelError
from hanok.graph._shapes import infer_shapes
from hanok.graph._working import (
    DEQUANTIZE,
    Operation,
    WorkingGraph,
    build_model,
    element_count,
    follow,
    value_info,
)
from hanok.graph.oracle import run_onnxruntime

_HEAVY_ELEMENTS = 1 << 16
"""Operands up to which convolutions, products and other long computations are folded."""
_LIGHT = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "Div", "Equal",
    "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod",
    "Mul", "Neg", "Not", "OneHot", "Or", "Pad", "Pow", "QuantizeLinear", "Range", "Reciprocal",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape", "Round",
    "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "Transpose", "Trilu", "Unsqueeze",
    "Where", "Xor",
})  # fmt: skip
_DATA_DEPENDENT = ("NonZero", "Unique", "Compress")
_RANDOM = (
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)


def fold_constants(working: WorkingGraph) -> None:
    """Repeat shape inference, noise removal and constant folding until nothing changes."""
    working.remove_dead()
    while True:
        infer_shapes(working)
        changed = remove_noise(working)
        changed |= _shapes_to_constants(working)
        changed |= _fold_once(working)
        working.remove_dead()
        if not changed:
            return


def remove_noise(working: WorkingGraph) -> bool:
    """Remove Identity, inference Dropout and Casts to the same type; tell whether any was found."""
    captured = {name for operation in working.operations for name in operation.captured()}
    producers = working.producers()
    renamed: dict[str, str] = {}
    kept: list[Operation] = []
    for operation in working.operations:
        output = operation.outputs[0]
        if not _passes_through(working, operation) or output in captured:
            kept.append(operation)
            continue
        source = follow(renamed, operation.inputs[0])
        if output not in working.outputs:
            renamed[output] = source
        elif source in producers and source not in working.outputs and source not in captured:
            maker = producers[source]
            maker.outputs = [output if name == source else name for name in maker.outputs]
            producers[output] = maker
            renamed[source] = output
        else:
            kept.append(operation)
    changed = len(kept) < len(working.operations)
    working.operations = kept
    working.rename_inputs(renamed)
    return changed


def _passes_through(working: WorkingGraph, operation: Operation) -> bool:
    """Whether the first output always equals the first input."""
    match operation.standard_type:
        case "Identity":
            return True
        case "Dropout":
            mask_used = len(operation.outputs) > 1 and bool(operation.outputs[1])
            training = operation.input(2)
            flag = working.constant(training)
            return not mask_used and (not training or (flag is not None and not flag.any()))
        case "Cast":
            return working.types.get(operation.inputs[0]) == operation.integer("to")
        case "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Expand" | "Tile":
            return _same_shape(working, operation)
        case "Transpose":
            rank = len(working.shapes.get(operation.inputs[0], ()))
            moved = [axis for axis in range(rank) if working.shapes[operation.inputs[0]][axis] != 1]
            order = [axis for axis in operation.integers("perm", range(rank)[::-1]) if axis in moved]
            return _same_shape(working, operation) and order == moved
        case "Concat" | "Sum" | "Max" | "Min" | "Mean":
            return len(operation.inputs) == 1
        case "Pad":
            pads = working.constant(operation.input(1))
            return pads is not None and not pads.any()
    return False


def _same_shape(working: WorkingGraph, operation: Operation) -> bool:
    """Whether the operation makes the shape that it is given."""
    before, behind = (working.shapes.get(name) for name in (operation.inputs[0], operation.outputs[0]))
    return before is not None and before == behind


def _shapes_to_constants(working: WorkingGraph) -> bool:
    """Replace Shape and Size of values whose shape is static."""
    changed = False
    for operation in working.operations:
        output = operation.outputs[0]
        if operation.domain or operation.op_type not in ("Shape", "Size") or output in working.constants:
            continue
        source = operation.inputs[0]
        if source not in working.shapes and source not in working.constants:
            continue
        shape = working.shape(source)
        if operation.op_type == "Shape":
            end = operation.integer("end", len(shape))
            value = np.array(shape[operation.integer("start") : end], np.int64)
        else:
            value = np.array(element_count(shape), np.int64)
        working.constants[output] = value
        working.note(output, value.shape, TensorProto.INT64)
        changed = True
    _drop_made_constants(working)
    return changed


def _drop_made_constants(working: WorkingGraph) -> None:
    working.operations = [
        operation
        for operation in working.operations
        if not all(name in working.constants for name in operation.outputs if name)
    ]


def _fold_once(working: WorkingGraph) -> bool:
    """Evaluate every operation of constants in one ONNX Runtime session."""
    known = dict.fromkeys(working.constants)
    chosen: list[Operation] = []
    for operation in working.operations:
        reads = [name for name in [*operation.inputs, *operation.captured()] if name]
        if all(name in known for name in reads) and _may_fold(working, operation):
            chosen.append(operation)
            working.folding_budget -= sum(
                element_count(working.shapes.get(name, ())) for name in operation.outputs if name
            )
            known.update(dict.fromkeys(name for name in operation.outputs if name))
    if not chosen:
        return False
    inside = {id(operation) for operation in chosen}
    outside = {
        name
        for operation in working.operations
        if id(operation) not in inside
        for name in [*operation.inputs, *operation.captured()]
    } | set(working.outputs)
    wanted = [name for operation in chosen for name in operation.outputs if name in outside]
    if wanted and not _evaluate(working, chosen, wanted):
        return False
    _drop_made_constants(working)
    return True


def _evaluate(working: WorkingGraph, chosen: list[Operation], wanted: list[str]) -> bool:
    model = build_model(working, [operation.to_proto() for operation in chosen], [], [])
    model.graph.output.extend(value_info(working, name) for name in wanted)
    try:
        results = run_onnxruntime(model, {}, wanted, optimise=False)
    except ModelError:
        return False
    for name in wanted:
        value = np.asarray(results[name])
        working.constants[name] = value
        working.note(
            name, value.shape, working.types.get(name) or helper.np_dtype_to_tensor_dtype(value.dtype)
        )
    return True


def _may_fold(working: WorkingGraph, operation: Operation) -> bool:
    """Whether folding is deterministic, wanted (weights stay behind their DequantizeLinear) and cheap."""
    if operation.domain or operation.op_type == DEQUANTIZE or operation.op_type in _RANDOM:
        return False
    if next(operation.subgraphs(), None) is not None:
        return False
    if operation.op_type in _DATA_DEPENDENT:
        return True
    shapes = [working.shapes.get(name) for name in operation.outputs if name]
    counts = [element_count(shape) for shape in shapes if shape is not None]
    reads = [
        working.shapes.get(name) or working.shape(name) for name in operation.inputs if name in working.shapes
    ]
    reads += [working.constants[name].shape for name in operation.inputs if name in working.constants]
    if operation.op_type not in _LIGHT and any(element_count(shape) > _HEAVY_ELEMENTS for shape in reads):
        return False
    return len(counts) == len(shapes) and sum(counts) <= working.folding_budget
