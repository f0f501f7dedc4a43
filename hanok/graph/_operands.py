"""The operands of a float model's products, and what values they have over the calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
import numpy.typing as npt

from hanok.graph._calibration import Sample
from hanok.graph._pieces import forget, last_readers, run_piece
from hanok.graph._working import Array, Operation, WorkingGraph

PIECE_BYTES = 64 << 20
"""Activations of one sample that are looked at together."""
MOST_ROWS = 512
"""Rows of an operand that choices look at."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WeightedProduct:
    """A Gemm or MatMul of an activation with a constant matrix."""

    operation: Operation
    weight: npt.NDArray[np.float32]
    """As [K, N], whatever way it is stored."""

    @property
    def source(self) -> str:
        """The activation."""
        return self.operation.inputs[0]

    @property
    def is_turned(self) -> bool:
        """Whether the weight is stored as [N, K]."""
        return bool(self.operation.integer("transB"))


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor over the samples."""

    chosen: FloatArray
    """About MOST_ROWS of them, evenly out of every sample."""
    largest: FloatArray
    """The largest magnitude of each channel in all of them."""

    def halves(self) -> list[tuple[FloatArray, FloatArray]]:
        """One half to choose by and the other to judge by, both ways round."""
        middle = max(1, len(self.chosen) // 2)
        first, second = self.chosen[:middle], self.chosen[middle:]
        return [(first, second), (second, first)] if len(second) else [(first, first)]


def weighted_products(working: WorkingGraph, skipped: Iterable[str] = ()) -> list[WeightedProduct]:
    """The plain products of rows with a constant matrix, in order, but for those named in `skipped`."""
    found = []
    passed = frozenset(skipped)
    for operation in working.operations:
        if operation.op_type not in ("Gemm", "MatMul") or operation.domain or operation.name in passed:
            continue
        weight = working.constant(operation.inputs[1])
        if weight is None or weight.ndim != 2 or operation.inputs[0] in working.constants:
            continue
        if operation.integer("transA") or weight.dtype != np.float32:
            continue
        found.append(WeightedProduct(operation, weight.T if operation.integer("transB") else weight))
    return found


def keeps_rows(working: WorkingGraph, operation: Operation) -> bool:
    """Whether an operation only counts rows (of the last axis) otherwise."""
    if operation.domain or operation.op_type not in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return False
    shapes = working.shape(operation.inputs[0]), working.shape(operation.outputs[0])
    return all(shapes) and shapes[0][-1] == shapes[1][-1]


def visit_values(
    working: WorkingGraph,
    samples: Sequence[Sample],
    visit: Callable[[str, Sequence[Array]], None],
    names: Iterable[str] | None = None,
) -> None:
    """Run the model piece by piece; call `visit` with each tensor and its values, one for each sample.

    All tensors are visited, inputs first, or those in `names`.
    """
    values = [dict(sample) for sample in samples]
    wanted = None if names is None else frozenset(names)

    def show(candidates: Iterable[str]) -> None:
        for name in candidates:
            if wanted is None or name in wanted:
                visit(name, [value[name] for value in values])

    show(working.inputs)
    readers = last_readers(working.operations)
    for start, end in pairwise([0, *_piece_ends(working)]):
        piece = working.operations[start:end]
        made = [name for operation in piece for name in operation.outputs if name]
        kept = [n for n in made if wanted is None or n in wanted or readers.get(n, -1) >= end]
        if kept:
            run_piece(working, piece, {}, values, kept)
        show(kept)
        forget(values, readers, end)


def visit_rows(
    working: WorkingGraph,
    samples: Sequence[Sample],
    names: Iterable[str],
    visit: Callable[[str, Rows], None],
) -> None:
    """Run the model; call `visit` with each of the tensors and its rows."""

    def show(name: str, values: Sequence[Array]) -> None:
        share = max(1, MOST_ROWS // len(values))
        parts, largest = [], []
        for value in values:
            rows = value.reshape(-1, value.shape[-1] if value.ndim else 1)
            chosen = np.unique(np.linspace(0, len(rows) - 1, min(share, len(rows))).astype(np.int64))
            parts.append(rows[chosen])
            largest.append(np.abs(rows).max(0))
        chosen_rows = np.concatenate(parts).astype(np.float64)
        visit(name, Rows(chosen_rows, np.max(largest, axis=0).astype(np.float64)))

    visit_values(working, samples, show, names)


def _piece_ends(working: WorkingGraph) -> list[int]:
    """Cuts that keep the outputs of each piece within PIECE_BYTES."""
    ends, held = [], 0
    for index, operation in enumerate(working.operations):
        made = sum(4 * prod(working.shapes.get(name, ())) for name in operation.outputs)
        if held and held + made > PIECE_BYTES:
            ends.append(index)
            held = 0
        held += made
    return [*ends, len(working.operations)]
