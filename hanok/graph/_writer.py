"""Appends operations with known shapes to a working graph, for rewrites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from hanok.graph._working import Array, Operation, WorkingGraph


@dataclass
class Writer:
    """Appends operations with known shapes, named after the operation that they replace."""

    working: WorkingGraph
    stem: str
    operations: list[Operation] = field(default_factory=list)

    def shape(self, name: str) -> tuple[int, ...]:
        """A value's shape."""
        return self.working.shape(name)

    def apply(
        self,
        op_type: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        result: str = "",
        **attributes: object,
    ) -> str:
        """Append an operation with a float32 result."""
        name = result or self.working.fresh(f"{self.stem}/{op_type}")
        self.working.note(name, shape, TensorProto.FLOAT)
        label = f"{self.stem}/{op_type}/{len(self.operations)}"
        self.operations.append(Operation.make(op_type, inputs, [name], label, **attributes))
        return name

    def constant(self, value: Array | np.float32) -> str:
        """Add a constant."""
        return self.working.add_constant(f"{self.stem}/constant", np.asarray(value))

    def reshape(self, name: str, *shape: int, result: str = "") -> str:
        """The same elements under another shape."""
        return self.apply("Reshape", [name, self.constant(np.array(shape, np.int64))], shape, result)

    def transpose(self, name: str, *order: int, result: str = "") -> str:
        """Axes in another order."""
        shape = [self.shape(name)[axis] for axis in order]
        return self.apply("Transpose", [name], shape, result, perm=list(order))

    def joined(self, op_type: str, first: str, second: str, result: str = "") -> str:
        """An operation of two operands that broadcast."""
        shape = np.broadcast_shapes(self.shape(first), self.shape(second))
        return self.apply(op_type, [first, second], shape, result)

    def product(self, first: str, second: str) -> str:
        """MatMul."""
        left, right = self.shape(first), self.shape(second)
        batch = np.broadcast_shapes(left[:-2], right[:-2])
        return self.apply("MatMul", [first, second], (*batch, left[-2], right[-1]))

    def concat(self, parts: Sequence[str], axis: int, result: str = "") -> str:
        """Concat."""
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self.apply("Concat", parts, shape, result, axis=axis)

    def slice(self, name: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """Slice of one axis."""
        shape = list(self.shape(name))
        shape[axis] = len(range(start, end, step))
        operands = [self.constant(np.array([value], np.int64)) for value in (start, end, axis, step)]
        return self.apply("Slice", [name, *operands], shape)
