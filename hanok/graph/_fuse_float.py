"""Float-level rewrites of operator pairs: MatMul and bias into Gemm, zero Pad into Conv."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from hanok.graph._affine import constant_value
from hanok.graph._folding import remove_noise
from hanok.graph._working import Operation, WorkingGraph

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def matmul_and_add_to_gemm(working: WorkingGraph) -> bool:
    """MatMul by a constant matrix, then Add of a row: Gemm, between Reshapes unless the rank is 2."""
    producers, readers = working.producers(), working.consumers()
    operations: list[Operation] = []
    replaced: dict[str, list[Operation]] = {}
    gone: set[str] = set()
    for operation in working.operations:
        if operation.domain or operation.op_type != "Add":
            continue
        for position in (0, 1):
            product = producers.get(operation.inputs[position])
            bias = operation.inputs[1 - position]
            if product is None or not _may_become_gemm(working, producers, product, operation, bias):
                continue
            if len(readers[product.outputs[0]]) != 1 or product.outputs[0] in working.outputs:
                continue
            replaced[operation.outputs[0]] = _gemm(working, product, operation, bias)
            gone.add(product.outputs[0])
            break
    for operation in working.operations:
        if operation.outputs[0] not in gone:
            operations += replaced.get(operation.outputs[0], [operation])
    working.operations = operations
    return bool(replaced)


def _may_become_gemm(
    working: WorkingGraph, producers: dict[str, Operation], product: Operation, add: Operation, bias: str
) -> bool:
    if product.domain or product.op_type != "MatMul":
        return False
    weight = constant_value(working, producers, product.inputs[1])
    row = constant_value(working, producers, bias)
    if weight is None or row is None or weight.ndim != 2:
        return False
    fits = row.size == weight.shape[1] and (row.ndim == 0 or row.shape[-1] == row.size)
    same = working.shape(add.outputs[0]) == working.shape(product.outputs[0])
    return fits and same and len(working.shape(product.inputs[0])) >= 2


def _gemm(working: WorkingGraph, product: Operation, add: Operation, bias: str) -> list[Operation]:
    x, output = product.inputs[0], add.outputs[0]
    shape, made = working.shape(x), working.shape(output)
    row = working.shape(bias)
    made_bias: list[Operation] = []
    content = working.constant(bias)
    if len(row) > 1 and content is not None:
        bias = working.add_constant(f"{bias}/row", content.reshape(-1))
    elif len(row) > 1:
        flat = working.fresh(f"{bias}/row")
        target = working.add_constant(f"{bias}/shape", np.array([row[-1]], np.int64))
        made_bias = [Operation.make("Reshape", [bias, target], [flat])]
        working.note(flat, (row[-1],), TensorProto.FLOAT)
        bias = flat
    name = product.name or add.name
    if len(shape) == 2:
        return [*made_bias, Operation.make("Gemm", [x, product.inputs[1], bias], [output], name)]
    rows = int(np.prod(shape[:-1]))
    flat_x, flat_y = working.fresh(f"{x}/rows"), working.fresh(f"{output}/rows")
    working.note(flat_x, (rows, shape[-1]), TensorProto.FLOAT)
    working.note(flat_y, (rows, made[-1]), TensorProto.FLOAT)
    before = working.add_constant("shape", np.array([rows, shape[-1]], np.int64))
    behind = working.add_constant("shape", np.array(made, np.int64))
    return [
        *made_bias,
        Operation.make("Reshape", [x, before], [flat_x], f"{name}/flat" if name else ""),
        Operation.make("Gemm", [flat_x, product.inputs[1], bias], [flat_y], name),
        Operation.make("Reshape", [flat_y, behind], [output], f"{name}/shape" if name else ""),
    ]


def merge_layout(working: WorkingGraph) -> bool:
    """Reshape of Reshape becomes one Reshape, Transpose of Transpose one Transpose (or Identity)."""
    producers = working.producers()
    changed = False
    for operation in working.operations:
        maker = None if operation.domain or not operation.inputs else producers.get(operation.inputs[0])
        if maker is None or maker.domain:
            continue
        if operation.op_type in _RESHAPES and maker.op_type in _RESHAPES:
            shape = np.array(working.shape(operation.outputs[0]), np.int64)
            target = working.add_constant(f"{operation.outputs[0]}/shape", shape)
            operation.op_type, operation.attributes = "Reshape", {}
            operation.inputs = [maker.inputs[0], target]
        elif operation.op_type == "Transpose" and maker.op_type == "Transpose":
            rank = len(working.shape(operation.inputs[0]))
            outer, inner = (one.integers("perm", range(rank)[::-1]) for one in (operation, maker))
            order = [inner[axis] for axis in outer]
            operation.inputs = [maker.inputs[0]]
            operation.attributes = {"perm": helper.make_attribute("perm", order)}
            if order == list(range(rank)):
                operation.op_type, operation.attributes = "Identity", {}
        else:
            continue
        changed = True
    if changed:
        working.remove_dead()
        remove_noise(working)
    return changed


def pad_into_convolution(working: WorkingGraph) -> bool:
    """A constant Pad of zeros over the spatial axes joins the pads of the only Conv that reads it."""
    producers, readers = working.producers(), working.consumers()
    changed = False
    for operation in working.operations:
        if (
            operation.domain
            or operation.op_type != "Conv"
            or operation.text("auto_pad", "NOTSET") != "NOTSET"
        ):
            continue
        pad = producers.get(operation.inputs[0])
        if pad is None or pad.domain or pad.op_type != "Pad":
            continue
        widths = _zero_pads(working, pad)
        if widths is None or len(readers[pad.outputs[0]]) != 1 or pad.outputs[0] in working.outputs:
            continue
        axes = len(widths) // 2 - 2
        own = operation.integers("pads") or [0] * (2 * axes)
        extra = [*widths[2 : 2 + axes], *widths[4 + axes :]]
        if (
            any(widths[index] for index in (0, 1, 2 + axes, 3 + axes))
            or min(extra) < 0
            or len(own) != 2 * axes
        ):
            continue
        pads = [mine + more for mine, more in zip(own, extra, strict=True)]
        operation.attributes["pads"] = helper.make_attribute("pads", pads)
        operation.inputs[0] = pad.inputs[0]
        changed = True
    if changed:
        working.remove_dead()
    return changed


def _zero_pads(working: WorkingGraph, pad: Operation) -> list[int] | None:
    """Pads of every axis, before then after, where the padding is a constant zero."""
    content, value = working.constant(pad.input(1)), working.constant(pad.input(2))
    if pad.text("mode", "constant") != "constant" or content is None or (pad.input(2) and value is None):
        return None
    if value is not None and np.any(value != 0):
        return None
    rank = len(working.shape(pad.inputs[0]))
    axes = working.constant(pad.input(3))
    if pad.input(3) and axes is None:
        return None
    chosen = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    widths = [0] * (2 * rank)
    for index, axis in enumerate(chosen):
        widths[axis], widths[axis + rank] = int(content[index]), int(content[index + len(chosen)])
    return widths


def remove_nan_guards(working: WorkingGraph) -> bool:
    """Where(IsNaN(p), number, p) of a Softmax p is p: exporters guard rows whose keys are all masked.

    Such a row, of minus infinities alone, has no probabilities; ONNX Runtime would give the number there.
    """
    producers = working.producers()
    renamed: dict[str, str] = {}
    for operation in working.operations:
        if operation.domain or operation.op_type != "Where" or operation.outputs[0] in working.outputs:
            continue
        condition, other, value = operation.inputs
        test, maker = producers.get(condition), producers.get(value)
        guards = test is not None and test.op_type == "IsNaN" and test.inputs[0] == value
        if (
            guards
            and working.constant(other) is not None
            and maker is not None
            and maker.op_type == "Softmax"
        ):
            renamed[operation.outputs[0]] = value
    working.rename_inputs(renamed)
    working.remove_dead()
    return bool(renamed)
