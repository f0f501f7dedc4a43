"""Operator-oriented quantised nodes (QLinearConv, QGemm ...) rewritten as DQ -> float operator -> Q."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import AttributeProto

from hanok.errors import ModelError
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Operation, WorkingGraph

_MICROSOFT = "com.microsoft"
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
_UNARY = {"QLinearSigmoid": "Sigmoid", "QLinearLeakyRelu": "LeakyRelu", "QLinearReduceMean": "ReduceMean"}
_POOLS = {"QLinearAveragePool": "AveragePool", "QLinearGlobalAveragePool": "GlobalAveragePool"}


class _Rewriter:
    """Emits the operations that replace one quantised node."""

    def __init__(self, working: WorkingGraph, operation: Operation) -> None:
        self.working = working
        self.operation = operation
        self.emitted: list[Operation] = []

    def dequantize(self, value: int, scale: int, zero: int, axis: int | None = None) -> str:
        """Emit DequantizeLinear of three operands by position; return the float value's name."""
        return self.dequantize_names(
            self.operation.input(value), self.operation.input(scale), self.operation.input(zero), axis
        )

    def dequantize_names(self, value: str, scale: str, zero: str, axis: int | None = None) -> str:
        """Emit DequantizeLinear of named operands."""
        output = self.working.fresh(f"{self.operation.outputs[0]}/float")
        scales = self.working.constant(scale)
        inputs = [value, self._scalar(scale), self._scalar(zero)] if zero else [value, self._scalar(scale)]
        if axis is None or scales is None or scales.size == 1:
            self.emitted.append(Operation.make(DEQUANTIZE, inputs, [output]))
        else:
            self.emitted.append(Operation.make(DEQUANTIZE, inputs, [output], axis=axis))
        return output

    def _scalar(self, name: str) -> str:
        """Turn a one-element constant vector into a scalar, which Q and DQ want per tensor."""
        value = self.working.constant(name)
        if value is None or value.size != 1 or value.ndim == 0:
            return name
        return self.working.add_constant(name, value.reshape(()))

    def apply(
        self, op_type: str, inputs: Sequence[str], attributes: dict[str, AttributeProto] | None = None
    ) -> str:
        """Emit the float operator under the node's own name; return its output's name."""
        output = self.working.fresh(f"{self.operation.outputs[0]}/float")
        self.emitted.append(Operation(op_type, list(inputs), [output], attributes or {}, self.operation.name))
        return output

    def quantize(self, value: str, scale: int, zero: int) -> None:
        """Emit QuantizeLinear of `value` into the node's output."""
        inputs = [value, self._scalar(self.operation.input(scale))]
        if self.operation.input(zero):
            inputs.append(self._scalar(self.operation.input(zero)))
        self.emitted.append(Operation.make(QUANTIZE, inputs, [self.operation.outputs[0]]))

    def kept(self, *names: str) -> dict[str, AttributeProto]:
        """The node's attributes called `names`."""
        return {name: self.operation.attributes[name] for name in names if self.operation.has(name)}


def expand_quantized_operators(working: WorkingGraph) -> None:
    """Rewrite every known operator-oriented node; others stay (and run on the host)."""
    operations: list[Operation] = []
    for operation in working.operations:
        rewrite = _find(operation)
        if rewrite is None:
            operations.append(operation)
            continue
        rewriter = _Rewriter(working, operation)
        try:
            rewrite(rewriter)
        except IndexError:
            raise ModelError(
                f"{operation.label}: operands are missing; found {len(operation.inputs)}"
            ) from None
        operations.extend(rewriter.emitted)
    working.operations = operations


def _find(operation: Operation) -> Callable[[_Rewriter], None] | None:
    match operation.standard_type:
        case "QLinearConv":
            return _convolution
        case "QLinearMatMul":
            return _matmul
        case "com.microsoft.QGemm":
            return _gemm if len(operation.inputs) > 7 and operation.inputs[7] else None
        case "com.microsoft.QLinearConcat":
            return _concat
        case "com.microsoft.QLinearSoftmax":
            return _softmax
    if operation.domain != _MICROSOFT:
        return None
    if operation.op_type in _BINARY:
        return _binary
    if operation.op_type in _UNARY:
        return _unary
    if operation.op_type in _POOLS and not operation.integer("channels_last"):
        return _unary
    return None


def _convolution(rewriter: _Rewriter) -> None:
    operation = rewriter.operation
    inputs = [rewriter.dequantize(0, 1, 2), rewriter.dequantize(3, 4, 5, axis=0)]
    if operation.input(8):
        inputs.append(_bias(rewriter, 8, 1, 4))
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    rewriter.quantize(rewriter.apply("Conv", inputs, rewriter.kept(*names)), 6, 7)


def _bias(rewriter: _Rewriter, bias: int, scale_x: int, scale_w: int, alpha: float = 1.0) -> str:
    """Dequantise an int32 bias with scale alpha * sx * sw."""
    working, operation = rewriter.working, rewriter.operation
    scales = [working.constant(operation.input(position)) for position in (scale_x, scale_w)]
    if scales[0] is None or scales[1] is None:
        raise ModelError(f"{operation.label}: scales that are no constants are not supported")
    product = (scales[0].reshape(()) * scales[1] * np.float32(alpha)).astype(np.float32)
    product = product.reshape(()) if product.size == 1 else product.reshape(-1)
    scale = working.add_constant(f"{operation.input(bias)}/scale", product)
    return rewriter.dequantize_names(operation.input(bias), scale, "", axis=0)


def _matmul(rewriter: _Rewriter) -> None:
    inputs = [rewriter.dequantize(0, 1, 2), rewriter.dequantize(3, 4, 5, axis=-1)]
    rewriter.quantize(rewriter.apply("MatMul", inputs), 6, 7)


def _gemm(rewriter: _Rewriter) -> None:
    operation = rewriter.operation
    inputs = [
        rewriter.dequantize(0, 1, 2),
        rewriter.dequantize(3, 4, 5, axis=0 if operation.integer("transB") else 1),
    ]
    if operation.input(6):
        inputs.append(_bias(rewriter, 6, 1, 4, operation.real("alpha", 1.0)))
    rewriter.quantize(rewriter.apply("Gemm", inputs, rewriter.kept("alpha", "transA", "transB")), 7, 8)


def _binary(rewriter: _Rewriter) -> None:
    inputs = [rewriter.dequantize(0, 1, 2), rewriter.dequantize(3, 4, 5)]
    rewriter.quantize(rewriter.apply(_BINARY[rewriter.operation.op_type], inputs), 6, 7)


def _unary(rewriter: _Rewriter) -> None:
    op_type = {**_UNARY, **_POOLS}[rewriter.operation.op_type]
    attributes = {
        key: value for key, value in rewriter.operation.attributes.items() if key != "channels_last"
    }
    inputs = [rewriter.dequantize(0, 1, 2)]
    if op_type == "ReduceMean" and rewriter.working.opset >= 18:
        axes = attributes.pop("axes", None)
        if axes is not None:
            inputs.append(rewriter.working.add_constant("axes", np.array(list(axes.ints), np.int64)))
    rewriter.quantize(rewriter.apply(op_type, inputs, attributes), 3, 4)


def _concat(rewriter: _Rewriter) -> None:
    count = len(rewriter.operation.inputs)
    inputs = [rewriter.dequantize(start, start + 1, start + 2) for start in range(2, count, 3)]
    rewriter.quantize(rewriter.apply("Concat", inputs, rewriter.kept("axis")), 0, 1)


def _softmax(rewriter: _Rewriter) -> None:
    if rewriter.operation.integer("opset") < 13 and rewriter.operation.integer("axis", -1) != -1:
        raise ModelError(f"{rewriter.operation.label}: only axis -1 has a meaning before opset 13 here")
    inputs = [rewriter.dequantize(0, 1, 2)]
    rewriter.quantize(rewriter.apply("Softmax", inputs, rewriter.kept("axis")), 3, 4)
