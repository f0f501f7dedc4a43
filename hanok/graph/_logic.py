"""Truth values that live on the NPU as 1.0 and 0.0: those that comparisons make and only formulas read."""

from __future__ import annotations

from onnx import TensorProto

from hanok.graph._working import Operation, WorkingGraph

_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_LOGIC = ("And", "Or", "Not")


def logical_values(working: WorkingGraph) -> frozenset[str]:
    """Names of bool values that are made of floats, and that no operator of the host and no user reads."""
    producers, readers = working.producers(), working.consumers()
    found = {
        operation.outputs[0]
        for operation in working.operations
        if not operation.domain and operation.op_type in (*_COMPARISONS, *_LOGIC)
    } - set(working.outputs)
    while True:
        kept = {
            name
            for name in found
            if _is_made_of_floats(working, producers[name], found)
            and all(_reads_truth(working, reader, found) for reader in readers.get(name, []))
        }
        if kept == found:
            return frozenset(found)
        found = kept


def _is_made_of_floats(working: WorkingGraph, operation: Operation, known: set[str]) -> bool:
    if operation.op_type in _COMPARISONS:
        kinds = {working.types.get(name) for name in operation.inputs if name not in working.constants}
        return kinds == {TensorProto.FLOAT}
    return all(name in known or name in working.constants for name in operation.inputs)


def _reads_truth(working: WorkingGraph, reader: Operation, known: set[str]) -> bool:
    """Whether a reader is a formula: logic whose result is one, a choice between floats, a cast to float."""
    if reader.domain:
        return False
    if reader.op_type in _LOGIC:
        return reader.outputs[0] in known
    return reader.op_type in ("Where", "Cast") and working.types.get(reader.outputs[0]) == TensorProto.FLOAT
