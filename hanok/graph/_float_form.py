"""The float ONNX operators that define each int8 operator, to run it on the host as DQ -> operator -> Q."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hanok.graph._stored import quantization_of
from hanok.graph.ir import (
    AxesAttributes,
    ConcatAttributes,
    ConvAttributes,
    ElementwiseAttributes,
    LookupAttributes,
    MatMulAttributes,
    Node,
    Operator,
    PadAttributes,
    PoolAttributes,
    ResizeAttributes,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)


class FloatForm:
    """Collects the NodeProtos of one int8 node; operands and result are named as its tensors."""

    def __init__(self, node: Node, tensors: Sequence[Tensor], output: Tensor, opset: int) -> None:
        self.node = node
        self.tensors = tensors
        self.output = output
        self.opset = opset
        self.protos: list[NodeProto] = []

    def constant(self, value: Any) -> str:
        """Add a Constant node; return its output's name."""
        name = f"{self.output.name}/constant/{len(self.protos)}"
        tensor = numpy_helper.from_array(np.asarray(value), name)
        self.protos.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def apply(self, op_type: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node; return its output's name."""
        name = output or f"{self.output.name}/step/{len(self.protos)}"
        proto = helper.make_node(
            op_type, list(inputs), [name], name=f"{self.node.name}/{len(self.protos)}", **attributes
        )
        self.protos.append(proto)
        return name

    @property
    def inputs(self) -> list[str]:
        """The operands' names."""
        return [tensor.name for tensor in self.tensors]

    def finish(self, value: str, clamp: tuple[int, int] = (-128, 127)) -> None:
        """Let `value`, limited to the stored range `clamp`, be the result."""
        if clamp == (-128, 127):
            self.apply("Identity", [value], self.output.name)
            return
        made = quantization_of(self.output)
        low, high = (np.float32(limit - made.scalar_zero) * made.scalar_scale for limit in clamp)
        self.apply("Clip", [value, self.constant(low), self.constant(high)], self.output.name)


def float_form(node: Node, tensors: Sequence[Tensor], output: Tensor, opset: int) -> list[NodeProto]:
    """The float NodeProtos of an int8 node."""
    form = FloatForm(node, tensors, output, opset)
    _FORMS[node.operator](form)
    return form.protos


def _convolution(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, ConvAttributes), "a convolution has ConvAttributes"
    named: dict[str, Any] = {
        "kernel_shape": attributes.kernel,
        "strides": attributes.strides,
        "dilations": attributes.dilations,
        "group": attributes.group,
    }
    x = form.inputs[0]
    if min(attributes.pads) < 0:
        x = form.apply(
            "Pad", [x, form.constant(np.array([0, 0, *attributes.pads[:2], 0, 0, *attributes.pads[2:]]))]
        )
        named["pads"] = (0, 0, 0, 0)
    else:
        named["pads"] = attributes.pads
    if form.node.operator is Operator.CONV_TRANSPOSE:
        named["output_padding"] = attributes.output_padding
    op_type = form.node.operator.value
    form.finish(form.apply(op_type, [x, *form.inputs[1:]], **named), attributes.clamp)


def _matmul(form: FloatForm) -> None:
    value = form.apply("MatMul", form.inputs[:2])
    if len(form.inputs) > 2:
        value = form.apply("Add", [value, form.inputs[2]])
    assert isinstance(form.node.attributes, MatMulAttributes), "a product has MatMulAttributes"
    form.finish(value, form.node.attributes.clamp)


def _binary(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, ElementwiseAttributes), "arithmetic has ElementwiseAttributes"
    form.finish(form.apply(form.node.operator.value, form.inputs), attributes.clamp)


def _lookup(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, LookupAttributes), "a LOOKUP has LookupAttributes"
    source, made = quantization_of(form.tensors[0]), quantization_of(form.output)
    scale, zero = form.constant(source.scalar_scale), form.constant(np.int8(source.scalar_zero))
    stored = form.apply("QuantizeLinear", [form.inputs[0], scale, zero])
    wide = form.apply("Cast", [stored], to=TensorProto.INT32)
    index = form.apply("Add", [wide, form.constant(np.int32(128))])
    real = (attributes.table.astype(np.int32) - made.scalar_zero).astype(np.float32) * made.scalar_scale
    form.finish(form.apply("Gather", [form.constant(real), index], axis=0))


def _pool(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, PoolAttributes), "a pool has PoolAttributes"
    named: dict[str, Any] = {
        "kernel_shape": attributes.kernel,
        "strides": attributes.strides,
        "pads": attributes.pads,
    }
    if form.node.operator is Operator.AVERAGE_POOL:
        named["count_include_pad"] = int(attributes.count_include_pad)
    if attributes.dilations != (1, 1):
        named["dilations"] = attributes.dilations
    form.finish(form.apply(form.node.operator.value, form.inputs, **named), attributes.clamp)


def _reduce_mean(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, AxesAttributes), "a mean has AxesAttributes"
    keep = int(attributes.keepdims)
    if form.opset >= 18:
        axes = form.constant(np.array(attributes.axes, np.int64))
        value = form.apply("ReduceMean", [form.inputs[0], axes], keepdims=keep)
    else:
        value = form.apply("ReduceMean", form.inputs, axes=attributes.axes, keepdims=keep)
    form.finish(value, attributes.clamp)


def _softmax(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, AxesAttributes), "a softmax has AxesAttributes"
    form.finish(form.apply("Softmax", form.inputs, axis=attributes.axes[0]), attributes.clamp)


def _concat(form: FloatForm) -> None:
    assert isinstance(form.node.attributes, ConcatAttributes), "a concatenation has ConcatAttributes"
    form.finish(form.apply("Concat", form.inputs, axis=form.node.attributes.axis))


def _slice(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, SliceAttributes), "a slice has SliceAttributes"
    rank = len(attributes.starts)
    ends = []
    for start, step, size in zip(attributes.starts, attributes.steps, form.output.shape, strict=True):
        last = start + step * (size - 1)
        ends.append(last + 1 if step > 0 else (last - 1 if last > 0 else -(2**31)))
    columns = (attributes.starts, ends, range(rank), attributes.steps)
    operands = [form.constant(np.array(list(column), np.int64)) for column in columns]
    form.finish(form.apply("Slice", [form.inputs[0], *operands]))


def _pad(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, PadAttributes), "a pad has PadAttributes"
    made = form.output.quantization
    fill = np.float32(0)
    if made is not None:
        fill = np.float32(attributes.value - made.scalar_zero) * made.scalar_scale
    widths = form.constant(np.array([*attributes.before, *attributes.after], np.int64))
    form.finish(form.apply("Pad", [form.inputs[0], widths, form.constant(fill)]))


def _reshape(form: FloatForm) -> None:
    shape = form.constant(np.array(form.output.shape, np.int64))
    form.finish(form.apply("Reshape", [form.inputs[0], shape]))


def _transpose(form: FloatForm) -> None:
    assert isinstance(form.node.attributes, TransposeAttributes), "a transposition has TransposeAttributes"
    form.finish(form.apply("Transpose", form.inputs, perm=form.node.attributes.permutation))


def _resize(form: FloatForm) -> None:
    attributes = form.node.attributes
    assert isinstance(attributes, ResizeAttributes), "a resize has ResizeAttributes"
    tall = _taps(form, form.inputs[0], attributes.rows, attributes.row_weights, 2)
    form.finish(_taps(form, tall, attributes.columns, attributes.column_weights, 3))


def _taps(form: FloatForm, value: str, indices: Any, weights: Any, axis: int) -> str:
    shape = (-1, 1) if axis == 2 else (-1,)
    parts = []
    for position in range(indices.shape[1]):
        taken = form.apply("Gather", [value, form.constant(indices[:, position].astype(np.int64))], axis=axis)
        parts.append(form.apply("Mul", [taken, form.constant(weights[:, position].reshape(shape))]))
    total = parts[0]
    for part in parts[1:]:
        total = form.apply("Add", [total, part])
    return total


_FORMS: dict[Operator, Callable[[FloatForm], None]] = {
    Operator.CONV: _convolution,
    Operator.CONV_TRANSPOSE: _convolution,
    Operator.MATMUL: _matmul,
    Operator.ADD: _binary,
    Operator.SUB: _binary,
    Operator.MUL: _binary,
    Operator.DIV: _binary,
    Operator.LOOKUP: _lookup,
    Operator.MAX_POOL: _pool,
    Operator.AVERAGE_POOL: _pool,
    Operator.REDUCE_MEAN: _reduce_mean,
    Operator.SOFTMAX: _softmax,
    Operator.CONCAT: _concat,
    Operator.SLICE: _slice,
    Operator.PAD: _pad,
    Operator.RESHAPE: _reshape,
    Operator.TRANSPOSE: _transpose,
    Operator.RESIZE: _resize,
}
