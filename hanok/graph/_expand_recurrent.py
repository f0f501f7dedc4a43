"""LSTM, GRU and CumSum as products, sums and functions: time steps are written out one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from hanok.graph._working import Array, Operation, WorkingGraph
from hanok.graph._writer import Writer

MOST_STEPS = 4096
"""Longer sequences stay operators of the host: their program would not end."""
_GATES = {"LSTM": 4, "GRU": 3}


def expand_recurrent(working: WorkingGraph) -> bool:
    """Replace each LSTM, GRU and CumSum of floats with plain attributes, constant weights, known shapes."""
    replaced: dict[int, list[Operation]] = {}
    for operation in working.operations:
        source = operation.inputs[0] if operation.inputs else ""
        if operation.domain or working.types.get(source) != TensorProto.FLOAT or source not in working.shapes:
            continue
        writer = Writer(working, operation.name or operation.outputs[0])
        done = False
        if operation.op_type in _GATES and _is_plain(working, operation):
            done = _recurrent(writer, operation)
        elif operation.op_type == "CumSum":
            done = _cumulative_sum(writer, operation)
        if done:
            replaced[id(operation)] = writer.operations
    working.operations = [new for one in working.operations for new in replaced.get(id(one), [one])]
    working.remove_dead()
    return bool(replaced)


def _is_plain(working: WorkingGraph, operation: Operation) -> bool:
    """Default activations, no clipping, whole sequences, no peepholes."""
    odd = any(operation.has(name) for name in ("activations", "clip", "input_forget"))
    lengths = operation.input(4) or operation.input(7)
    weights = [working.constant(operation.input(position)) for position in (1, 2)]
    bias = operation.input(3)
    known = all(w is not None for w in weights) and (not bias or working.constant(bias) is not None)
    steps = working.shape(operation.inputs[0])[operation.integer("layout")]
    return not odd and not lengths and known and steps <= MOST_STEPS


def _recurrent(w: Writer, operation: Operation) -> bool:
    """Every direction, then the outputs: all hidden states, the last ones, and the last cells of an LSTM."""
    batch_first = bool(operation.integer("layout"))
    x = operation.inputs[0]
    if batch_first:
        x = w.transpose(x, 1, 0, 2)
    names = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    turns = names[operation.text("direction", "forward")]
    hidden, last, cells = [], [], []
    for number, backwards in enumerate(turns):
        states, cell = _direction(w, operation, x, number, backwards)
        steps = len(states)
        rows = [w.reshape(state, 1, 1, *w.shape(state)) for state in states]
        ordered = rows[::-1] if backwards else rows
        hidden.append(w.concat(ordered, 0) if steps > 1 else ordered[0])
        last.append(w.reshape(states[-1], 1, *w.shape(states[-1])))
        cells.append(w.reshape(cell, 1, *w.shape(cell)) if cell else "")
    found = [
        w.concat(hidden, 1) if len(hidden) > 1 else hidden[0],
        w.concat(last, 0) if len(last) > 1 else last[0],
    ]
    if operation.op_type == "LSTM":
        found.append(w.concat(cells, 0) if len(cells) > 1 else cells[0])
    for name, value in zip(operation.outputs, found, strict=False):
        if not name:
            continue
        if batch_first:
            order = (2, 0, 1, 3) if len(w.shape(value)) == 4 else (1, 0, 2)
            w.transpose(value, *order, result=name)
        else:
            w.reshape(value, *w.shape(value), result=name)
    return True


def _direction(
    w: Writer, operation: Operation, x: str, number: int, backwards: bool
) -> tuple[list[str], str]:
    """The hidden states of one direction in the order in which they are made, and the last cell."""
    steps, batch, _ = w.shape(x)
    weights, recurrence = (
        w.working.constants[operation.inputs[position]][number].astype(np.float32).T for position in (1, 2)
    )
    size = recurrence.shape[0]
    gates = recurrence.shape[1]
    bias = np.zeros(2 * gates, np.float32)
    if operation.input(3):
        bias = w.working.constants[operation.inputs[3]][number].astype(np.float32)
    state = _initial(w, operation.input(5), operation, number, (batch, size))
    cell = _initial(w, operation.input(6), operation, number, (batch, size))
    joint = bias[:gates].copy()
    if operation.op_type == "LSTM":
        joint += bias[gates:]
    inputs = w.joined("Add", w.product(x, w.constant(np.ascontiguousarray(weights))), w.constant(joint))
    right = np.ascontiguousarray(recurrence)
    states = []
    for step in reversed(range(steps)) if backwards else range(steps):
        given = w.reshape(w.slice(inputs, 0, step, step + 1), batch, gates)
        if operation.op_type == "LSTM":
            state, cell = _lstm_step(w, given, state, cell, right, size)
        else:
            after = bool(operation.integer("linear_before_reset"))
            state = _gru_step(w, given, state, right, bias[gates:], size, after)
        states.append(state)
    return states, cell if operation.op_type == "LSTM" else ""


def _initial(w: Writer, name: str, operation: Operation, number: int, shape: Sequence[int]) -> str:
    if not name:
        return w.constant(np.zeros(shape, np.float32))
    if operation.integer("layout"):
        name = w.transpose(name, 1, 0, 2)
    return w.reshape(w.slice(name, 0, number, number + 1), *shape)


def _function(w: Writer, op_type: str, value: str) -> str:
    return w.apply(op_type, [value], w.shape(value))


def _lstm_step(w: Writer, given: str, state: str, cell: str, right: Array, size: int) -> tuple[str, str]:
    """Gates in ONNX's order: input, output, forget, cell."""
    total = w.joined("Add", given, w.product(state, w.constant(right)))
    parts = [w.slice(total, 1, size * gate, size * (gate + 1)) for gate in range(4)]
    enters, leaves, stays = (_function(w, "Sigmoid", part) for part in parts[:3])
    fresh = w.joined("Mul", enters, _function(w, "Tanh", parts[3]))
    cell = w.joined("Add", w.joined("Mul", stays, cell), fresh)
    return w.joined("Mul", leaves, _function(w, "Tanh", cell)), cell


def _gru_step(w: Writer, given: str, state: str, right: Array, bias: Array, size: int, after: bool) -> str:
    """Gates in ONNX's order: update, reset, hidden; the reset comes before or after the product."""
    both = w.product(state, w.constant(np.ascontiguousarray(right[:, : 2 * size])))
    both = w.joined("Add", both, w.constant(bias[: 2 * size]))
    both = _function(w, "Sigmoid", w.joined("Add", w.slice(given, 1, 0, 2 * size), both))
    update, reset = (w.slice(both, 1, size * gate, size * (gate + 1)) for gate in range(2))
    last = w.constant(np.ascontiguousarray(right[:, 2 * size :]))
    shift = w.constant(bias[2 * size :])
    if after:
        made = w.joined("Mul", reset, w.joined("Add", w.product(state, last), shift))
    else:
        made = w.joined("Add", w.product(w.joined("Mul", reset, state), last), shift)
    fresh = _function(w, "Tanh", w.joined("Add", w.slice(given, 1, 2 * size, 3 * size), made))
    kept = w.joined("Mul", update, w.joined("Sub", state, fresh))
    return w.joined("Add", fresh, kept)


def _cumulative_sum(w: Writer, operation: Operation) -> bool:
    """Sums of 2, 4, 8 ... neighbours (Hillis and Steele, Data Parallel Algorithms, 1986)."""
    axis_of = w.working.constant(operation.inputs[1])
    x = operation.inputs[0]
    shape = w.shape(x)
    if axis_of is None or not shape:
        return False
    axis = int(axis_of.reshape(-1)[0]) % len(shape)
    length, backwards = shape[axis], bool(operation.integer("reverse"))
    if operation.integer("exclusive"):
        x = _shifted(w, x, axis, 1, backwards)
    distance = 1
    while distance < length:
        x = w.joined("Add", x, _shifted(w, x, axis, distance, backwards))
        distance *= 2
    w.reshape(x, *shape, result=operation.outputs[0])
    return True


def _shifted(w: Writer, x: str, axis: int, distance: int, backwards: bool) -> str:
    """The elements `distance` before each one, zeros at the start; behind, from the end, if backwards."""
    shape = list(w.shape(x))
    length = shape[axis]
    kept = w.slice(x, axis, distance, length) if backwards else w.slice(x, axis, 0, length - distance)
    widths = np.zeros(2 * len(shape), np.int64)
    widths[axis + (len(shape) if backwards else 0)] = distance
    return w.apply("Pad", [kept, w.constant(widths)], shape)
