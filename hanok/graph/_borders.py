"""Rewrites that bring Q and DQ next to every operator that int8 can hold; each of them is exact."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from onnx import TensorProto, helper

from hanok.graph._quantized import Border, read_border
from hanok.graph._row_cuts import row_cuts
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Operation, WorkingGraph

MOVEMENT = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "DepthToSpace",
    "SpaceToDepth", "MaxPool", "GlobalMaxPool", "Concat", "Gather", "Expand", "Tile",
)  # fmt: skip
"""Operators whose result holds only values of their operands, so that they commute with Q and DQ."""
ACTIVATIONS = ("Relu", "Clip")
_CHOOSING = ("Slice", "Gather")
"""Movement of a part: a Q of its own for each part of a float is less than one of the whole for each."""
_NUMPY_TYPE = {TensorProto.INT8: np.int8, TensorProto.UINT8: np.uint8}
_LAYOUT_OF_CONSTANTS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def normalise_borders(working: WorkingGraph) -> None:
    """Share equal Q and DQ, drop Q of DQ with equal parameters, move both past data movement."""
    fold_layout_of_constants(working)
    merge_equal(working)
    for _ in range(2):  # what several parts have raised to their whole is one Q only once it is merged
        _raise_quantizers(working)
        merge_equal(working)
    _lower_dequantizers(working)
    merge_equal(working)
    _drop_round_trips(working)
    merge_equal(working)
    working.remove_dead()


def merge_equal(working: WorkingGraph) -> None:
    """Let Q (or DQ) operations with the same operand and parameters be one."""
    first: dict[tuple[object, ...], str] = {}
    renamed: dict[str, str] = {}
    kept: list[Operation] = []
    unmergeable = {name for operation in working.operations for name in operation.captured()} | set(
        working.outputs
    )
    for operation in working.operations:
        operation.inputs = [renamed.get(name, name) for name in operation.inputs]
        border = read_border(working, operation)
        if border is None or operation.outputs[0] in unmergeable:
            kept.append(operation)
            continue
        quantization = border.quantization
        key = (
            operation.op_type, operation.inputs[0],
            quantization.scale.tobytes(), quantization.zero_point.tobytes(),
            quantization.axis, border.element_type,
        )  # fmt: skip
        if key in first:
            renamed[operation.outputs[0]] = first[key]
        else:
            first[key] = operation.outputs[0]
            kept.append(operation)
    working.operations = kept


def _raise_quantizers(working: WorkingGraph) -> None:
    """Q(move(f)) becomes Q(move(DQ(Q(f)))), from the outputs to the inputs."""
    producers, readers = working.producers(), working.consumers()
    wholes = _rounded_wholes(working, readers)
    inserted: dict[str, list[Operation]] = {}
    queue = deque(one for one in reversed(working.operations) if one.op_type == QUANTIZE)
    while queue:
        quantizer = queue.popleft()
        border = read_border(working, quantizer)
        mover = producers.get(quantizer.inputs[0])
        if border is None or not border.is_activation or mover is None or not _may_raise(mover, producers):
            continue
        if (
            len(mover.outputs) > 1
            or len(readers[mover.outputs[0]]) > 1
            or mover.outputs[0] in working.outputs
        ):
            continue
        for position in _data_operands(mover):
            source = mover.inputs[position]
            maker = producers.get(source)
            if source in working.constants or (maker is not None and maker.op_type == DEQUANTIZE):
                continue
            if mover.op_type in _CHOOSING and len(readers[source]) > 1 and source not in wholes:
                continue
            pair = make_pair(working, source, quantizer, border)
            mover.inputs[position] = pair[1].outputs[0]
            producers.update({operation.outputs[0]: operation for operation in pair})
            if source not in mover.inputs:
                readers[source].remove(mover)
            readers[source].append(pair[0])
            inserted.setdefault(mover.outputs[0], []).extend(pair)
            queue.append(pair[0])
    _insert_before(working, inserted)


def _rounded_wholes(working: WorkingGraph, readers: dict[str, list[Operation]]) -> set[str]:
    """Activations that are cut into rows which Qs of equal parameters read: one Q of all is not more."""
    return {
        source
        for source, cuts in row_cuts(working).items()
        if len({_parameters_below(working, cut, readers) for cut in cuts} | {b""}) == 2
    }


def _parameters_below(working: WorkingGraph, mover: Operation, readers: dict[str, list[Operation]]) -> bytes:
    """Scale and zero point of the Q that alone reads what is moved; b"" where there is none."""
    while True:
        below = readers.get(mover.outputs[0], [])
        if len(below) != 1 or mover.outputs[0] in working.outputs:
            return b""
        border = read_border(working, below[0])
        if border is not None and below[0].op_type == QUANTIZE:
            return border.quantization.scale.tobytes() + border.quantization.zero_point.tobytes()
        if below[0].op_type not in MOVEMENT or below[0].op_type == "Concat":
            return b""
        mover = below[0]


def _insert_before(working: WorkingGraph, inserted: dict[str, list[Operation]]) -> None:
    """Put the operations before the one that makes the key."""
    if not inserted:
        return
    old = working.operations
    working.operations = [new for one in old for new in [*inserted.get(one.outputs[0], []), one]]


def _may_raise(mover: Operation | None, producers: dict[str, Operation]) -> bool:
    """Whether a Q should pass this operation: data movement of floats, or an activation after it."""
    while mover is not None and not mover.domain:
        if mover.op_type in MOVEMENT:
            makers = [producers.get(mover.inputs[position]) for position in _data_operands(mover)]
            return any(maker is None or maker.op_type != DEQUANTIZE for maker in makers)
        if mover.op_type not in ACTIVATIONS:
            return False
        mover = producers.get(mover.inputs[0])
    return False


def _data_operands(operation: Operation) -> list[int]:
    return list(range(len(operation.inputs))) if operation.op_type == "Concat" else [0]


def make_pair(
    working: WorkingGraph, source: str, model: Operation, border: Border
) -> tuple[Operation, Operation]:
    """A Q and a DQ of `source` with the parameters of the Q or DQ `model`."""
    zero = model.input(2)
    if not zero:
        zero = working.add_constant(f"{model.inputs[1]}/zero", np.zeros((), _NUMPY_TYPE[border.element_type]))
    stored, real = working.fresh(f"{source}/quantized"), working.fresh(f"{source}/dequantized")
    working.note(stored, working.shape(source), border.element_type)
    working.note(real, working.shape(source), TensorProto.FLOAT)
    return (
        Operation(QUANTIZE, [source, model.inputs[1], zero], [stored]),
        Operation(DEQUANTIZE, [stored, model.inputs[1], zero], [real]),
    )


def _lower_dequantizers(working: WorkingGraph) -> None:
    """move(DQ(q)) becomes DQ(Q(move(DQ(q)))) where a reader of the result is no Q."""
    producers, readers = working.producers(), working.consumers()
    operations: list[Operation] = []
    for mover in working.operations:
        operations.append(mover)
        source = _common_source(working, mover, producers)
        if source is None:
            continue
        for position, output in enumerate(mover.outputs):
            users = readers.get(output, [])
            if not output or (users and all(_ends_in_quantizer(user, readers) for user in users)):
                continue
            if output in working.outputs and users:
                continue
            if position > 0 and mover.op_type == "MaxPool":
                break
            operations.extend(_lowered(working, mover, position, source, producers, users))
    working.operations = operations


def _ends_in_quantizer(user: Operation, readers: dict[str, list[Operation]]) -> bool:
    """Whether this reader is a Q, or an activation that only Qs read (it becomes a clamp)."""
    if user.op_type in ACTIVATIONS and not user.domain:
        behind = readers.get(user.outputs[0], [])
        return bool(behind) and all(_ends_in_quantizer(reader, readers) for reader in behind)
    return user.op_type == QUANTIZE


def _lowered(
    working: WorkingGraph,
    mover: Operation,
    position: int,
    source: tuple[Operation, Border],
    producers: dict[str, Operation],
    users: list[Operation],
) -> tuple[Operation, Operation]:
    """Put a Q and a DQ behind one output of `mover`; its readers read the DQ."""
    output = mover.outputs[position]
    pair = make_pair(working, output, *source)
    if output in working.outputs:
        inner = working.fresh(f"{output}/moved")
        working.note(inner, working.shape(output), TensorProto.FLOAT)
        mover.outputs[position] = inner
        pair[0].inputs[0] = inner
        pair[1].outputs[0] = output
    real = pair[1].outputs[0]
    for user in users:
        user.inputs = [real if name == output else name for name in user.inputs]
    producers.update({name: operation for operation in (mover, *pair) for name in operation.outputs if name})
    return pair


def _common_source(
    working: WorkingGraph, mover: Operation, producers: dict[str, Operation]
) -> tuple[Operation, Border] | None:
    """The DQ that all data operands of a movement operation come from, or its equals."""
    if mover.domain or mover.op_type not in (*MOVEMENT, "Relu") or not mover.inputs:
        return None
    found: tuple[Operation, Border] | None = None
    for position in _data_operands(mover):
        maker = producers.get(mover.inputs[position])
        border = None if maker is None or maker.op_type != DEQUANTIZE else read_border(working, maker)
        if (
            maker is None
            or border is None
            or not border.is_activation
            or maker.inputs[0] in working.constants
        ):
            return None
        if found is not None and not (
            found[1].equals(border) and found[1].element_type == border.element_type
        ):
            return None
        found = found or (maker, border)
    return found


def _drop_round_trips(working: WorkingGraph) -> None:
    """Readers of Q(DQ(q)) with equal parameters read q."""
    producers = working.producers()
    renamed: dict[str, str] = {}
    for operation in working.operations:
        if operation.op_type != QUANTIZE or operation.outputs[0] in working.outputs:
            continue
        maker = producers.get(operation.inputs[0])
        if maker is None or maker.op_type != DEQUANTIZE:
            continue
        outer, inner = read_border(working, operation), read_border(working, maker)
        same = outer is not None and inner is not None and outer.is_activation and outer.equals(inner)
        if same and outer is not None and inner is not None and outer.element_type == inner.element_type:
            renamed[operation.outputs[0]] = maker.inputs[0]
    working.rename_inputs(renamed)


def fold_layout_of_constants(working: WorkingGraph) -> None:
    """layout(DQ(constant)) becomes DQ(layout(constant)), so that weights stand behind their DQ."""
    producers = working.producers()
    for operation in working.operations:
        if operation.domain or operation.op_type not in _LAYOUT_OF_CONSTANTS:
            continue
        maker = producers.get(operation.inputs[0])
        if maker is None or maker.op_type != DEQUANTIZE or maker.inputs[0] not in working.constants:
            continue
        border = read_border(working, maker)
        axis = None if border is None else _axis_behind(working, operation, border)
        if border is None or axis is None or operation.outputs[0] not in working.shapes:
            continue
        content = working.constants[maker.inputs[0]]
        if operation.op_type == "Transpose":
            moved = content.transpose(operation.integers("perm", range(content.ndim)[::-1]))
        else:
            moved = content.reshape(working.shapes[operation.outputs[0]])
        stored = working.add_constant(maker.inputs[0], np.ascontiguousarray(moved))
        working.types[stored] = working.types[maker.inputs[0]]
        operation.op_type, operation.attributes = DEQUANTIZE, {}
        operation.inputs = [stored, *maker.inputs[1:]]
        if border.quantization.axis is not None:
            operation.attributes = {"axis": helper.make_attribute("axis", axis)}
    working.remove_dead()


def _axis_behind(working: WorkingGraph, operation: Operation, border: Border) -> int | None:
    """The channel axis after a layout operation (0 per tensor), or None where it is split or merged."""
    axis = border.quantization.axis
    if axis is None:
        return 0
    before = working.shape(operation.inputs[0])
    if operation.op_type == "Transpose":
        return operation.integers("perm", range(len(before))[::-1]).index(axis)
    after = working.shape(operation.outputs[0])
    for candidate, size in enumerate(after):
        if size == before[axis] and math.prod(after[:candidate]) == math.prod(before[:axis]):
            return candidate
    return None
