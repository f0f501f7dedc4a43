"""Rows of very different size, which one scale cannot hold: each is divided by its largest value.

A row is a token. The product is linear in it, so the divisor returns behind the product, in float. Behind a
Softmax the divisor is there already: exp(x - max) is at most 1 in every row, and the sum divides the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hanok.graph._calibration import Sample
from hanok.graph._operands import FloatArray, Rows, keeps_rows, visit_rows, weighted_products
from hanok.graph._steps import rounded
from hanok.graph._working import Operation, WorkingGraph

GAIN_DB = 6.0
"""By how much the mean error of a row against the row must fall."""
TINY = np.float32(1e-30)
"""Stands for the largest value of a row of zeros."""
AXES_AS_INPUT = 18
"""The opset since which ReduceMax has its axes as an operand."""


def even_rows(
    working: WorkingGraph, samples: Sequence[Sample], skipped: Iterable[str] = ()
) -> dict[str, float]:
    """Rewrite the products where it pays; return them with what their activation gained, in dB."""
    passed = frozenset(skipped)
    consumers = working.consumers()
    found = {
        operation.outputs[0]: _mix_behind(working, operation, consumers)
        for operation in working.operations
        if operation.op_type == "Softmax"
    }
    mixes = {name: mix for name, mix in found.items() if mix is not None and mix.name not in passed}
    products = [product.operation for product in weighted_products(working, passed)]
    gains: dict[str, float] = {}
    possible: dict[str, float] = {}

    def judge(name: str, rows: Rows) -> None:
        possible[name] = _gain_db(rows.chosen)

    visit_rows(working, samples, {*mixes, *(operation.inputs[0] for operation in products)}, judge)
    operations: list[Operation] = []
    for operation in working.operations:
        mix = mixes.get(operation.outputs[0]) if operation.op_type == "Softmax" else None
        if mix is not None and (gain := possible[operation.outputs[0]]) >= GAIN_DB:
            gains[mix.name] = gain
            operations += _exponentials(working, operation, mix)
        else:
            operations.append(operation)
    working.operations = operations
    for operation in products:
        if (gain := possible[operation.inputs[0]]) >= GAIN_DB:
            gains[operation.name] = gain
            _divide_rows(working, operation)
    working.sort()
    return gains


def _gain_db(rows: FloatArray) -> float:
    """Mean error of a row against its size with one scale for all rows, over that with one for each."""
    power = np.square(rows).mean(1)
    live = power > 0
    if not live.any():
        return 0.0
    rows, power = rows[live], power[live]
    largest = np.abs(rows).max(1, keepdims=True)
    even = rows / largest
    plain = np.square(rounded(rows, rows.min(), rows.max()) - rows).mean(1) / power
    by_row = np.square((rounded(even, even.min(), even.max()) - even) * largest).mean(1) / power
    return float(10 * np.log10(plain.mean() / by_row.mean())) if by_row.mean() > 0 else 0.0


def _mix_behind(
    working: WorkingGraph, softmax: Operation, consumers: dict[str, list[Operation]]
) -> Operation | None:
    """The product of activations that alone reads the probabilities of rows, as its first operand."""
    name = softmax.outputs[0]
    if softmax.integer("axis", -1) not in (-1, len(working.shape(name)) - 1):
        return None
    while True:
        readers = consumers.get(name, [])
        if len(readers) != 1 or name in working.outputs:
            return None
        (reader,) = readers
        if not keeps_rows(working, reader):
            is_mix = reader.op_type == "MatMul" and reader.inputs[0] == name != reader.inputs[1]
            return reader if is_mix and not reader.domain else None
        name = reader.outputs[0]


def _exponentials(working: WorkingGraph, softmax: Operation, product: Operation) -> list[Operation]:
    """The Softmax without its division, which moves behind the product."""
    x, result, name = softmax.inputs[0], softmax.outputs[0], softmax.name
    largest, distance = _row_value(working, x, "largest"), _alike(working, x, "distance")
    total, share = _row_value(working, x, "total"), _row_value(working, x, "share")
    axes = working.add_constant("last_axis", np.array([-1], np.int64))
    operations = [
        _row_largest(working, x, largest, name),
        Operation.make("Sub", [x, largest], [distance], f"{name}/distance"),
        Operation.make("Exp", [distance], [result], name),
        Operation.make("ReduceSum", [result, axes], [total], f"{name}/total", keepdims=1),
        Operation.make("Reciprocal", [total], [share], f"{name}/share"),
    ]
    if product.inputs[0] != result:
        counted = _row_value(working, product.inputs[0], "share")
        shape = working.add_constant("rows", np.array(working.shape(counted), np.int64))
        operations.append(Operation.make("Reshape", [share, shape], [counted], f"{name}/counted"))
        share = counted
    _behind(working, product, share)
    return operations


def _divide_rows(working: WorkingGraph, product: Operation) -> None:
    """Divide the product's activation by the largest magnitude of each row, and multiply it in behind."""
    x, name = product.inputs[0], product.name
    magnitude, even = _alike(working, x, "magnitude"), _alike(working, x, "even")
    largest, divisor = _row_value(working, x, "largest"), _row_value(working, x, "divisor")
    inverse = _row_value(working, x, "inverse")
    tiny = working.add_constant("tiny", np.array(TINY))
    product.inputs[0] = even
    place = working.operations.index(product)
    working.operations[place:place] = [
        Operation.make("Abs", [x], [magnitude], f"{name}/magnitude"),
        _row_largest(working, magnitude, largest, name),
        Operation.make("Max", [largest, tiny], [divisor], f"{name}/divisor"),
        Operation.make("Reciprocal", [divisor], [inverse], f"{name}/inverse"),
        Operation.make("Mul", [x, inverse], [even], f"{name}/even"),
    ]
    _behind(working, product, divisor)


def _row_largest(working: WorkingGraph, x: str, result: str, name: str) -> Operation:
    """ReduceMax over the last axis, which is an attribute in older opsets."""
    if working.opset < AXES_AS_INPUT:
        return Operation.make("ReduceMax", [x], [result], f"{name}/largest", axes=[-1], keepdims=1)
    axes = working.add_constant("last_axis", np.array([-1], np.int64))
    return Operation.make("ReduceMax", [x, axes], [result], f"{name}/largest", keepdims=1)


def _behind(working: WorkingGraph, product: Operation, factor: str) -> None:
    """Multiply the product by the rows' factor, and then add its bias, which the factor must not touch."""
    output = product.outputs[0]
    raw = _alike(working, output, "product")
    product.outputs = [raw]
    bias, product.inputs = product.input(2), product.inputs[:2]
    scaled = _alike(working, output, "scaled") if bias else output
    place = working.operations.index(product) + 1
    working.operations.insert(place, Operation.make("Mul", [raw, factor], [scaled], f"{product.name}/rows"))
    if bias:
        addend = Operation.make("Add", [scaled, bias], [output], f"{product.name}/bias")
        working.operations.insert(place + 1, addend)


def _alike(working: WorkingGraph, name: str, role: str) -> str:
    result = working.fresh(f"{name}/{role}")
    working.note(result, working.shape(name), working.types[name])
    return result


def _row_value(working: WorkingGraph, name: str, role: str) -> str:
    result = working.fresh(f"{name}/{role}")
    working.note(result, (*working.shape(name)[:-1], 1), working.types[name])
    return result
