"""Integer activations that something else than their own DQ reads: data movement, ArgMax, foreign DQs."""

from __future__ import annotations

from onnx import TensorProto

from hanok.graph._borders import MOVEMENT, make_pair
from hanok.graph._quantized import Border, read_border
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Operation, WorkingGraph

_INTEGER_TYPES = (TensorProto.INT8, TensorProto.UINT8)
Known = tuple[Operation, Border]


def wrap_raw_readers(working: WorkingGraph) -> None:
    """Give movement of integers the form DQ -> move -> Q; other readers get a host copy of the integers."""
    known: dict[str, Known] = {}
    for name in working.inputs:
        if working.types.get(name) in _INTEGER_TYPES:
            found = _downstream(working, name)
            if found is not None:
                known[name] = found
    operations: list[Operation] = []
    copies: dict[str, str] = {}
    for operation in working.operations:
        border = read_border(working, operation)
        if border is not None and border.is_activation and operation.op_type == QUANTIZE:
            known[operation.outputs[0]] = (operation, border)
            operations.append(operation)
            continue
        source = known.get(operation.inputs[0]) if operation.inputs else None
        if _is_movement(operation) and source is not None and all(n in known for n in _data(operation)):
            operations += _wrap_movement(working, operation, source, known)
            continue
        if border is not None and source is not None and border.equals(source[1]):
            operations.append(operation)
            continue
        operations += _copy_operands(working, operation, known, copies)
        operations.append(operation)
    working.operations = operations


def _data(operation: Operation) -> list[str]:
    return operation.inputs if operation.op_type == "Concat" else operation.inputs[:1]


def _is_movement(operation: Operation) -> bool:
    return not operation.domain and operation.op_type in MOVEMENT and len(operation.outputs) >= 1


def _downstream(working: WorkingGraph, name: str) -> Known | None:
    """The first DQ that reads an integer graph input, through data movement."""
    readers = working.consumers()
    waiting, seen = [name], {name}
    while waiting:
        for reader in readers.get(waiting.pop(0), ()):
            border = read_border(working, reader) if reader.op_type == DEQUANTIZE else None
            if border is not None and border.is_activation:
                return reader, border
            if _is_movement(reader):
                fresh = [output for output in reader.outputs if output and output not in seen]
                seen.update(fresh)
                waiting += fresh
    return None


def _wrap_movement(
    working: WorkingGraph, operation: Operation, source: Known, known: dict[str, Known]
) -> list[Operation]:
    """DQ before and Q behind an operation that moves integers; operands of other scales get no such form."""
    names = _data(operation)
    if any(not known[name][1].equals(source[1]) for name in names):
        return [operation]
    before: list[Operation] = []
    behind: list[Operation] = []
    for position, name in enumerate(names):
        dequantizer = make_pair(working, name, *source)[1]
        dequantizer.inputs[0] = name
        before.append(dequantizer)
        operation.inputs[position] = dequantizer.outputs[0]
    for position, output in enumerate(operation.outputs):
        if not output or (position > 0 and operation.op_type == "MaxPool"):
            continue
        real = working.fresh(f"{output}/real")
        working.note(real, working.shape(output), TensorProto.FLOAT)
        quantizer = make_pair(working, output, *source)[0]
        quantizer.inputs[0], quantizer.outputs[0] = real, output
        operation.outputs[position] = real
        behind.append(quantizer)
        known[output] = (quantizer, source[1])
    return [*before, operation, *behind]


def _copy_operands(
    working: WorkingGraph, operation: Operation, known: dict[str, Known], copies: dict[str, str]
) -> list[Operation]:
    """Let the operation read Q(DQ(q)), made on the host, where it reads a typed integer tensor q."""
    added: list[Operation] = []
    for position, name in enumerate(operation.inputs):
        if name not in known:
            continue
        if name not in copies:
            quantizer, dequantizer = make_pair(working, name, *known[name])
            dequantizer.inputs[0] = name
            quantizer.inputs[0] = dequantizer.outputs[0]
            quantizer.on_host = True
            copies[name] = quantizer.outputs[0]
            added += [dequantizer, quantizer]
        operation.inputs[position] = copies[name]
        operation.on_host = True
    return added
