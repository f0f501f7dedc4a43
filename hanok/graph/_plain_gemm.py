"""Gemm without scalars and with a bias of one value a column, the only form that quantises well."""

from __future__ import annotations

import numpy as np

from hanok.graph._working import Operation, WorkingGraph


def settle_gemms(working: WorkingGraph) -> None:
    """Multiply alpha into constant weights and beta into constant biases; other addends become an Add."""
    operations: list[Operation] = []
    for operation in working.operations:
        plain = operation.domain or operation.op_type != "Gemm"
        operations += [operation] if plain else _settled(working, operation)
    working.operations = operations
    working.remove_dead()


def _settled(working: WorkingGraph, gemm: Operation) -> list[Operation]:
    alpha, beta = gemm.real("alpha", 1.0), gemm.real("beta", 1.0)
    weight, addend = working.constant(gemm.inputs[1]), gemm.input(2)
    if alpha != 1.0:
        if weight is None:
            return [gemm]
        gemm.inputs[1] = working.add_constant(gemm.inputs[1], weight * np.float32(alpha))
        del gemm.attributes["alpha"]
    if not addend or (addend not in working.constants and beta != 1.0):
        return [gemm]
    gemm.attributes.pop("beta", None)
    columns = working.shape(gemm.outputs[0])[1]
    content = working.constant(addend)
    if content is not None:
        content = content * np.float32(beta)
        if _is_row(content.shape, columns):
            content = np.ascontiguousarray(np.broadcast_to(content.reshape(-1), (columns,)))
            gemm.inputs[2] = working.add_constant(addend, content)
            return [gemm]
        addend = working.add_constant(addend, content)
    gemm.inputs = gemm.inputs[:2]
    output, gemm.outputs = gemm.outputs[0], [working.fresh(f"{gemm.outputs[0]}/product")]
    working.note(gemm.outputs[0], working.shape(output), working.types[output])
    return [gemm, Operation.make("Add", [gemm.outputs[0], addend], [output], f"{gemm.name}/addend")]


def _is_row(shape: tuple[int, ...], columns: int) -> bool:
    """Whether a constant of this shape adds one value to each column."""
    return all(size == 1 for size in shape[:-1]) and (not shape or shape[-1] in (1, columns))
