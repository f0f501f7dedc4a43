"""Running a graph piece by piece on several samples at once, holding only what later pieces read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanok.graph._working import Array, Operation, WorkingGraph, build_model
from hanok.graph.oracle import reference_session, run_session


def run_piece(
    graph: WorkingGraph,
    piece: list[Operation],
    constant: Mapping[str, Operation],
    values: list[dict[str, Array]],
    wanted: Sequence[str],
) -> None:
    """Run consecutive operations on every sample; put those of `wanted` that they make into `values`.

    `constant` holds the operations that make a tensor from constants alone; the piece runs those it reads.
    """
    made = {name for operation in piece for name in operation.outputs if name}
    read = [name for operation in piece for name in [*operation.inputs, *operation.captured()] if name]
    inputs = [name for name in dict.fromkeys(read) if name in values[0] and name not in made]
    outputs = [name for name in dict.fromkeys(wanted) if name in made]
    dequantisers = [constant[name] for name in dict.fromkeys(read) if name in constant]
    nodes = [operation.to_proto() for operation in [*dequantisers, *piece]]
    session = reference_session(build_model(graph, nodes, inputs, outputs), optimise=False)
    for value in values:
        value.update(run_session(session, {name: value[name] for name in inputs}))


def last_readers(operations: Sequence[Operation]) -> dict[str, int]:
    """The index of the last operation that reads each tensor."""
    readers: dict[str, int] = {}
    for index, operation in enumerate(operations):
        for name in [*operation.inputs, *operation.captured()]:
            readers[name] = index
    return readers


def forget(values: list[dict[str, Array]], readers: Mapping[str, int], end: int) -> None:
    """Drop the tensors that no operation from index `end` on reads."""
    for value in values:
        for name in [name for name in value if readers.get(name, -1) < end]:
            del value[name]
