"""Keys and values that several heads share: broadcast by the product instead of copied for each head.

Exporters write [batch][key heads][1][rows][size], Expand, Reshape to [batch][heads][rows][size], MatMul.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hanok.graph._working import Operation, WorkingGraph
from hanok.graph._writer import Writer


@dataclass(frozen=True)
class _Shared:
    """What is repeated, how often, and what happens to it before the product."""

    source: str
    groups: tuple[int, int, int]
    factors: tuple[str, ...]
    turned: bool


def share_heads(working: WorkingGraph) -> bool:
    """Let products of float activations broadcast what was repeated for them."""
    producers, readers = working.producers(), working.consumers()
    replaced: dict[int, list[Operation]] = {}
    for operation in working.operations:
        if operation.domain or operation.op_type != "MatMul":
            continue
        shared = _shared(working, producers, readers, operation.inputs[1])
        if shared is None or math.prod(shared.groups) != math.prod(working.shape(operation.inputs[0])[:-2]):
            continue
        replaced[id(operation)] = _product(working, operation, shared)
    working.operations = [new for one in working.operations for new in replaced.get(id(one), [one])]
    working.remove_dead()
    return bool(replaced)


def _shared(
    working: WorkingGraph, producers: dict[str, Operation], readers: dict[str, list[Operation]], name: str
) -> _Shared | None:
    """Walk up from a product's right operand to the Expand of its heads."""
    factors: list[str] = []
    turned = False
    batch = math.prod(working.shape(name)[:-2])
    while True:
        maker = producers.get(name)
        if maker is None or maker.domain or len(readers.get(name, [])) != 1 or name in working.outputs:
            return None
        before = working.shape(maker.inputs[0])
        after = working.shape(name)
        if maker.op_type == "Mul" and _is_scalar(working, maker.inputs[1]):
            factors.append(maker.inputs[1])
        elif maker.op_type == "Transpose" and _turns_matrices(maker, len(before)):
            turned = not turned
        elif maker.op_type == "Expand":
            grows = len(before) == len(after) == 5 and before[2] == 1 and before[:2] == after[:2]
            if not grows or before[3:] != after[3:] or math.prod(after[:3]) != batch:
                return None
            groups = (after[0], after[1], after[2])
            return _Shared(maker.inputs[0], groups, tuple(factors), turned)
        elif maker.op_type != "Reshape" or before[-2:] != after[-2:]:
            return None
        name = maker.inputs[0]


def _is_scalar(working: WorkingGraph, name: str) -> bool:
    content = working.constant(name)
    return content is not None and content.size == 1


def _turns_matrices(maker: Operation, rank: int) -> bool:
    order = maker.integers("perm", range(rank)[::-1])
    return order == [*range(rank - 2), rank - 1, rank - 2]


def _product(working: WorkingGraph, operation: Operation, shared: _Shared) -> list[Operation]:
    w = Writer(working, operation.name or operation.outputs[0])
    right = shared.source
    for factor in reversed(shared.factors):
        scalar = w.constant(np.asarray(working.constants[factor]).reshape(()))
        right = w.joined("Mul", right, scalar)
    if shared.turned:
        right = w.transpose(right, 0, 1, 2, 4, 3)
    left = w.reshape(operation.inputs[0], *shared.groups, *w.shape(operation.inputs[0])[-2:])
    output = operation.outputs[0]
    w.reshape(w.product(left, right), *working.shape(output), result=output)
    return w.operations
