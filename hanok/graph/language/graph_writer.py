"""Writes a graph of float nodes with known shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from hanok.graph.language.names import Linear, Norm

Array = npt.NDArray[np.float32] | npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    name: str
    shape: tuple[int, ...]


class GraphWriter:
    """Appends float nodes with known shapes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def input(self, name: str, *shape: int) -> Value:
        """Declare an input of the model."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Value(name, shape)

    def output(self, value: Value, name: str) -> None:
        """Give a value to the user under `name`."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name], f"{name}/output"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))

    def constant(self, name: str, content: Array) -> str:
        """Add a constant once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(content), name)
        return name

    def value(self, name: str, content: Floats) -> Value:
        """A constant as an operand that broadcasts."""
        return Value(self.constant(name, content), content.shape)

    def apply(
        self,
        op_type: str,
        inputs: Sequence[Value | str],
        shape: Sequence[int],
        name: str,
        **attributes: object,
    ) -> Value:
        """Append a node whose only output is called like itself."""
        names = [item if isinstance(item, str) else item.name for item in inputs]
        self.nodes.append(helper.make_node(op_type, names, [name], name, **attributes))
        return Value(name, tuple(shape))

    def reshape(self, x: Value, name: str, *shape: int) -> Value:
        """The same elements under another shape."""
        target = self.constant("shape." + "x".join(map(str, shape)), np.array(shape, np.int64))
        return self.apply("Reshape", [x, target], shape, name)

    def transpose(self, x: Value, name: str, *order: int) -> Value:
        """Axes in another order."""
        return self.apply("Transpose", [x], [x.shape[axis] for axis in order], name, perm=list(order))

    def slice(self, x: Value, name: str, axis: int, start: int, end: int) -> Value:
        """Elements start..end of one axis."""
        shape = list(x.shape)
        shape[axis] = end - start
        bounds = [self.constant(f"index.{v}", np.array([v], np.int64)) for v in (start, end, axis)]
        return self.apply("Slice", [x, *bounds], shape, name)

    def joined(self, op_type: str, a: Value, b: Value, name: str) -> Value:
        """An operation of two operands that broadcast."""
        return self.apply(op_type, [a, b], np.broadcast_shapes(a.shape, b.shape), name)

    def product(self, a: Value, b: Value, name: str) -> Value:
        """MatMul of two activations."""
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return self.apply("MatMul", [a, b], (*batch, a.shape[-2], b.shape[-1]), name)

    def linear(self, x: Value, linear: Linear, name: str) -> Value:
        """A product with weights, and a bias where there is one."""
        shape = (*x.shape[:-1], linear.matrix.shape[1])
        weight = self.constant(f"{name}.weight", linear.matrix)
        if linear.bias is None:
            return self.apply("MatMul", [x, weight], shape, name)
        bias = self.constant(f"{name}.bias", linear.bias)
        product = self.apply("MatMul", [x, weight], shape, f"{name}.product")
        return self.apply("Add", [product, bias], shape, name)

    def normalise(self, x: Value, norm: Norm, epsilon: float, name: str, *, rms: bool) -> Value:
        """RMSNormalization or LayerNormalization of the last axis."""
        gain = self.constant(f"{name}.gain", norm.gain)
        if rms:
            return self.apply("RMSNormalization", [x, gain], x.shape, name, axis=-1, epsilon=epsilon)
        shift = norm.shift if norm.shift is not None else np.zeros_like(norm.gain)
        operands: list[Value | str] = [x, gain, self.constant(f"{name}.shift", shift)]
        return self.apply("LayerNormalization", operands, x.shape, name, axis=-1, epsilon=epsilon)
