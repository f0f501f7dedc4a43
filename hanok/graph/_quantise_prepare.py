"""What a float model looks like before it is quantised: folded, named, biases inside their products."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import Operation, WorkingGraph, from_model
from hanok.graph.simplify import simplify_float


def prepare(model: ModelProto) -> WorkingGraph:
    """Simplify, name every operation, and bring the biases of products into Gemm."""
    simple = simplify_float(model)
    working = from_model(simple)
    fix_input_shapes(working, simple, None)
    infer_shapes(working)
    fold_batch_normalization(working)
    join_biases(working)
    infer_shapes(working)
    _name_operations(working)
    return working


def fold_batch_normalization(working: WorkingGraph) -> None:
    """Multiply a BatchNormalization into the Conv before it."""
    producers, consumers = working.producers(), working.consumers()
    for norm in list(working.operations):
        if norm.op_type != "BatchNormalization":
            continue
        conv = producers.get(norm.inputs[0])
        values = [working.constant(name) for name in norm.inputs[1:]]
        if conv is None or conv.op_type != "Conv" or len(consumers[conv.outputs[0]]) != 1:
            continue
        weight = working.constant(conv.inputs[1])
        bias = working.constant(conv.input(2)) if conv.input(2) else None
        gain, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
        factor = gain / np.sqrt(variance + norm.real("epsilon", 1e-5))
        old_bias = 0.0 if bias is None else bias.astype(np.float64)
        new_weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        conv.inputs = [
            conv.inputs[0],
            working.add_constant(conv.inputs[1], new_weight.astype(np.float32)),
            working.add_constant(
                f"{norm.name}.folded", ((old_bias - mean) * factor + shift).astype(np.float32)
            ),
        ]
        conv.outputs = [norm.outputs[0]]
        working.operations.remove(norm)
    working.remove_dead()


def join_biases(working: WorkingGraph) -> None:
    """MatMul by a constant matrix, then Add of a constant row, becomes Gemm, whose bias has 32 bits.

    Inputs of more than two axes are reshaped around it; reshaping costs nothing.
    """
    consumers = working.consumers()
    absorbed: dict[int, Operation] = {}
    for product in working.operations:
        readers = consumers.get(product.outputs[0], [])
        if product.op_type == "MatMul" and len(readers) == 1 and product.outputs[0] not in working.outputs:
            if _row_bias(working, product, readers[0]) is not None:
                absorbed[id(product)] = readers[0]
    dropped = {id(add) for add in absorbed.values()}
    operations: list[Operation] = []
    for operation in working.operations:
        if id(operation) in absorbed:
            operations += _as_gemm(working, operation, absorbed[id(operation)])
        elif id(operation) not in dropped:
            operations.append(operation)
    working.operations = operations
    working.sort()
    working.remove_dead()


def _row_bias(working: WorkingGraph, product: Operation, add: Operation) -> str | None:
    """The constant row that `add` adds to the product, or None where it adds something else."""
    weight = working.constant(product.inputs[1])
    if add.op_type != "Add" or weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    other = add.inputs[1] if add.inputs[0] == product.outputs[0] else add.inputs[0]
    row = working.constant(other)
    if row is None or row.size != weight.shape[1] or row.shape[-1:] != (weight.shape[1],):
        return None
    return other if working.shape(add.outputs[0]) == working.shape(product.outputs[0]) else None


def _as_gemm(working: WorkingGraph, product: Operation, add: Operation) -> list[Operation]:
    bias = _row_bias(working, product, add)
    assert bias is not None, "a product was chosen that has no bias"
    weight = working.constants[product.inputs[1]]
    row = working.constants[bias].reshape(-1)
    operands = [product.inputs[1], working.add_constant(bias, row)]
    shape = working.shape(product.inputs[0])
    if len(shape) == 2:
        return [Operation.make("Gemm", [product.inputs[0], *operands], add.outputs, product.name)]
    flat, made = working.fresh(f"{product.inputs[0]}/rows"), working.fresh(f"{add.outputs[0]}/rows")
    rows = int(np.prod(shape[:-1]))
    working.note(flat, (rows, shape[-1]), working.types[product.inputs[0]])
    working.note(made, (rows, weight.shape[1]), working.types[product.inputs[0]])
    to_rows = working.add_constant("rows", np.array([-1, shape[-1]], np.int64))
    back = working.add_constant("shape", np.array([*shape[:-1], weight.shape[1]], np.int64))
    return [
        Operation.make("Reshape", [product.inputs[0], to_rows], [flat], f"{product.name}/rows"),
        Operation.make("Gemm", [flat, *operands], [made], product.name),
        Operation.make("Reshape", [made, back], add.outputs, f"{add.name}/shape"),
    ]


def _name_operations(working: WorkingGraph) -> None:
    """Give every operation a name of its own."""
    taken: dict[str, int] = {}
    for operation in working.operations:
        stem = operation.name or f"{operation.op_type}.{operation.outputs[0]}"
        taken[stem] = taken.get(stem, 0) + 1
        operation.name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
