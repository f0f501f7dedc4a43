"""The context that matchers work in: operands behind a DQ, new tensors and nodes, fused activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from hanok.graph._affine import constant_value
from hanok.graph._logic import logical_values
from hanok.graph._quantized import Border, read_border, stored_values
from hanok.graph._working import DEQUANTIZE, Array, Operation, WorkingGraph
from hanok.graph.ir import Attributes, DType, LookupAttributes, Node, Operator, Quantization, Tensor

QMIN, QMAX = -128, 127


@dataclass
class Context:
    """The working graph and the typed tensors made so far."""

    working: WorkingGraph
    producers: dict[str, Operation]
    order: dict[str, int]
    """The position of the operation that makes a value, by its first output."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    node_names: set[str] = field(default_factory=set)
    readers: dict[str, list[Operation]] = field(default_factory=dict)
    logical: frozenset[str] = frozenset()
    """Truth values that are floats on the NPU."""
    reads_floats: bool = False
    """Operands are float32 tensors, not the int8 ones behind a DQ."""

    @classmethod
    def of(cls, working: WorkingGraph) -> Context:
        """Start on a working graph whose borders are normalised."""
        order = {operation.outputs[0]: index for index, operation in enumerate(working.operations)}
        logical = logical_values(working)
        return cls(working, working.producers(), order, readers=working.consumers(), logical=logical)

    def border(self, value: str) -> tuple[Operation, Border] | None:
        """The DQ that makes the float `value`, with its parameters; None for any other float value."""
        maker = self.producers.get(value)
        if maker is None or maker.op_type != DEQUANTIZE:
            return None
        border = read_border(self.working, maker)
        return None if border is None else (maker, border)

    def operand(self, value: str) -> Tensor | None:
        """The int8 tensor with one scale (activation or constant) behind a float value."""
        if self.reads_floats:
            return self.real(value)
        found = self.border(value)
        if found is None:
            return None
        maker, border = found
        content = self.working.constant(maker.inputs[0])
        if content is None:
            return self.activation(maker.inputs[0], border) if border.is_activation else None
        if not border.quantization.per_tensor or content.dtype == np.int32:
            return None
        return self.constant(
            maker.inputs[0], stored_values(content, border.element_type), border.quantization
        )

    def real(self, value: str) -> Tensor | None:
        """The float32 tensor of a float value."""
        content = constant_value(self.working, self.producers, value)
        if content is not None:
            return self.real_constant(value, content)
        kind = self.working.types.get(value)
        if (kind != TensorProto.FLOAT and value not in self.logical) or value not in self.working.shapes:
            return None
        return self.tensors.setdefault(value, Tensor(value, self.working.shape(value), DType.FLOAT32))

    def real_constant(self, stem: str, content: Array) -> Tensor:
        """A float32 constant called `stem` where that name is free or holds the same, else a new name."""
        content = np.ascontiguousarray(content).astype(np.float32).reshape(content.shape)
        name, serial = stem, 0
        while name in self.tensors and not _same_constant(self.tensors[name], content, None):
            serial += 1
            name = f"{stem}/real{serial}"
        tensor = Tensor(name, tuple(content.shape), DType.FLOAT32, data=content)
        return self.tensors.setdefault(name, tensor)

    def activation(self, stored: str, border: Border) -> Tensor:
        """The int8 tensor of the ONNX integer value `stored`."""
        tensor = Tensor(
            stored, self.working.shape(stored), DType.INT8, border.quantization, unsigned=border.unsigned
        )
        return self.tensors.setdefault(stored, tensor)

    def constant(self, stem: str, content: Array, quantization: Quantization | None) -> Tensor:
        """A constant tensor called `stem` where that name is free or holds the same, else a new name."""
        raw = self.working.constant(stem)
        name, serial = stem, 0
        if raw is not None and (raw.dtype != content.dtype or not np.array_equal(raw, content)):
            name = stem = f"{stem}/stored"
        dtype = {np.dtype(np.int8): DType.INT8, np.dtype(np.int32): DType.INT32}[content.dtype]
        while name in self.tensors and not _same_constant(self.tensors[name], content, quantization):
            serial += 1
            name = f"{stem}/{serial}"
        content = np.ascontiguousarray(content).reshape(content.shape)
        tensor = Tensor(name, tuple(content.shape), dtype, quantization, content)
        return self.tensors.setdefault(name, tensor)

    def like(self, model: Tensor, stem: str, shape: Sequence[int]) -> Tensor:
        """A new activation with the quantization of `model` and another shape."""
        name = self.working.fresh(stem)
        tensor = Tensor(name, tuple(shape), model.dtype, model.quantization, unsigned=model.unsigned)
        self.tensors[name] = tensor
        kind = TensorProto.FLOAT if model.dtype is DType.FLOAT32 else TensorProto.INT8
        self.working.note(name, tuple(shape), self.working.types.get(model.name, kind))
        return tensor

    def node(
        self,
        match: Match,
        operator: Operator,
        inputs: Sequence[Tensor],
        output: Tensor,
        attributes: Attributes,
    ) -> Node:
        """A node that carries the matched operation's name and type."""
        core = match.core
        return Node(
            self._node_name(core.name or f"{core.op_type}:{output.name}"),
            operator,
            tuple(tensor.name for tensor in inputs),
            (output.name,),
            attributes,
            core.op_type,
        )

    def _node_name(self, wish: str) -> str:
        name, serial = wish, 0
        while name in self.node_names:
            serial += 1
            name = f"{wish}/{serial}"
        self.node_names.add(name)
        return name


@dataclass(frozen=True)
class Match:
    """A Q with the operation that feeds it, behind the Relu or Clip that is fused into `clamp`."""

    quantizer: Operation
    core: Operation
    core_output: str
    output: Tensor
    clamp: tuple[int, int] = (QMIN, QMAX)

    @property
    def unclamped(self) -> bool:
        """Whether no Relu or Clip narrows the output."""
        return self.clamp == (QMIN, QMAX)


def quantization_of(tensor: Tensor) -> Quantization:
    """The quantization that every int8 tensor has."""
    assert tensor.quantization is not None, f"int8 tensor {tensor.name} has no quantization"
    return tensor.quantization


def same_quantization(first: Tensor, second: Tensor) -> bool:
    """Whether equal stored values mean equal real values."""
    if first.dtype is DType.FLOAT32 or second.dtype is DType.FLOAT32:
        return first.dtype is second.dtype
    mine, theirs = quantization_of(first), quantization_of(second)
    return mine.scalar_scale == theirs.scalar_scale and mine.scalar_zero == theirs.scalar_zero


def quantize(values: Array, quantization: Quantization) -> npt.NDArray[np.int8]:
    """ONNX QuantizeLinear to stored int8 with one scale: divide, round half to even, add, saturate.

    NaN becomes -128, which is what ONNX Runtime makes of it.
    """
    with np.errstate(over="ignore"):
        real = np.nan_to_num(
            values.astype(np.float32) / quantization.scalar_scale, nan=-np.inf, posinf=np.inf, neginf=-np.inf
        )
    scaled = np.rint(real)
    shifted = np.clip(scaled, -(2.0**30), 2.0**30) + np.float32(quantization.scalar_zero)
    stored: npt.NDArray[np.int8] = np.clip(shifted, QMIN, QMAX).astype(np.int8)
    return stored


def dequantize(stored: Array, quantization: Quantization) -> npt.NDArray[np.float32]:
    """ONNX DequantizeLinear of stored int8 with one scale."""
    shifted = stored.astype(np.int32) - quantization.scalar_zero
    real: npt.NDArray[np.float32] = shifted.astype(np.float32) * quantization.scalar_scale
    return real


def requantize_node(context: Context, match: Match, source: Tensor, output: Tensor) -> Node:
    """A LOOKUP from `source`'s scale to `output`'s."""
    every = np.arange(QMIN, QMAX + 1, dtype=np.int8)
    table = quantize(dequantize(every, quantization_of(source)), quantization_of(output))
    low, high = match.clamp
    table = np.clip(table, low, high).astype(np.int8)
    return context.node(match, Operator.LOOKUP, [source], output, LookupAttributes(table, "Requantize"))


def with_quantization_of(
    context: Context, match: Match, source: Tensor, target: Tensor
) -> tuple[Tensor, list[Node]]:
    """`source` itself where it has the target's quantization, else behind a requantising LOOKUP."""
    if same_quantization(source, target):
        return source, []
    if source.data is not None:
        real = dequantize(source.data, quantization_of(source))
        return context.constant(source.name, quantize(real, quantization_of(target)), target.quantization), []
    moved = context.like(target, f"{source.name}/requantized", source.shape)
    return moved, [requantize_node(context, match, source, moved)]


def _same_constant(tensor: Tensor, content: Array, quantization: Quantization | None) -> bool:
    if tensor.data is None or tensor.data.dtype != content.dtype or not np.array_equal(tensor.data, content):
        return False
    mine, theirs = tensor.quantization, quantization
    if mine is None or theirs is None:
        return mine is theirs
    return (
        mine.axis == theirs.axis
        and np.array_equal(mine.scale, theirs.scale)
        and np.array_equal(mine.zero_point, theirs.zero_point)
    )
