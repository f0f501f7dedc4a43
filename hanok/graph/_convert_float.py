"""Float operations of the importer as nodes of the NPU: products with float results, movement, formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hanok.graph._borders import MOVEMENT
from hanok.graph._match import Context, Match, quantization_of
from hanok.graph._match_float import Draft, constant_operand, draft_float
from hanok.graph._working import Operation
from hanok.graph.ir import Attributes, DType, FormulaAttributes, Node, Operator, Tensor
from hanok.numerics.formula import Formula, Ref

Matcher = Callable[[Context, Match], list[Node] | None]
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVEMENT = frozenset(MOVEMENT) - {"MaxPool", "GlobalMaxPool"} | {"Pad"}
_ON_HOST = (Operator.HOST, Operator.QUANTIZE, Operator.DEQUANTIZE)


def float_nodes(context: Context, operation: Operation, matchers: Mapping[str, Matcher]) -> list[Node] | None:
    """The nodes of an operation with float32 results, or None where the NPU has no form of it."""
    outputs = [name for name in operation.outputs if name]
    for name in outputs:
        real = context.working.types.get(name) == TensorProto.FLOAT or name in context.logical
        if not real or name not in context.working.shapes:
            return None
    nodes: list[Node] = []
    for name in outputs:
        made = _nodes_for(context, operation, name, matchers)
        if not made:
            return None
        nodes += made
    return nodes


def _nodes_for(
    context: Context, operation: Operation, name: str, matchers: Mapping[str, Matcher]
) -> list[Node] | None:
    output = Tensor(name, context.working.shape(name), DType.FLOAT32)
    if not operation.domain and operation.op_type in matchers:
        if operation.op_type in _PRODUCTS:
            context.tensors.setdefault(name, output)
            made = matchers[operation.op_type](context, Match(operation, operation, name, output))
            if made:
                return made
        if operation.op_type in _MOVEMENT:
            context.tensors.setdefault(name, output)
            context.reads_floats = True
            try:
                return matchers[operation.op_type](context, Match(operation, operation, name, output))
            finally:
                context.reads_floats = False
    drafted = draft_float(context, operation)
    return None if drafted is None else _formula_nodes(context, *drafted, output)


def _formula_nodes(context: Context, draft: Draft, result: Ref, output: Tensor) -> list[Node] | None:
    """A FORMULA, and a RESHAPE behind it where folded axes are left out."""
    tensors = [_formula_operand(context, draft, name) for name in draft.names]
    operands = [tensor for tensor in tensors if tensor is not None]
    if len(operands) < len(tensors) or all(tensor.data is not None for tensor in operands):
        return None
    operation = draft.operation
    match = Match(operation, operation, output.name, output)
    attributes = FormulaAttributes(draft.formula, result.number, draft.axes)
    context.tensors.setdefault(output.name, output)
    form = _float_form(context, draft, operands)
    if draft.keeps or not draft.axes:
        node = context.node(match, Operator.FORMULA, operands, output, attributes)
        return [replace(node, onnx_nodes=form(output.name))]
    source = operands[0].shape
    kept = tuple(1 if axis in draft.axes else length for axis, length in enumerate(source))
    folded = context.like(output, f"{output.name}/folded", kept)
    node = context.node(match, Operator.FORMULA, operands, folded, attributes)
    return [
        replace(node, onnx_nodes=form(folded.name)),
        context.node(match, Operator.RESHAPE, [folded], output, Attributes()),
    ]


def _float_form(
    context: Context, draft: Draft, operands: Sequence[Tensor]
) -> Callable[[str], tuple[bytes, ...]]:
    """What makes the operations' own NodeProtos, with names of their operands here, and small constants."""
    known = dict(zip(draft.names, (tensor.name for tensor in operands), strict=True))

    def form(result: str) -> tuple[bytes, ...]:
        names, protos = dict(known), []
        for number, made in enumerate((*draft.before, draft.operation)):
            operation = copy(made)
            operation.attributes = dict(operation.attributes)
            last = made is draft.operation
            operation.outputs = [result if last else f"{result}/before/{number}"]
            if last and not draft.keeps:
                operation.attributes["keepdims"] = helper.make_attribute("keepdims", 1)
            operation.inputs = []
            for position, name in enumerate(made.inputs):
                content = constant_operand(context, name) if name else None
                if content is None or (name in names and name not in draft.extra):
                    operation.inputs.append(names.get(name, name))
                    continue
                stem = f"{result}/constant/{number}/{position}"
                value = numpy_helper.from_array(np.ascontiguousarray(content), stem)
                protos.append(helper.make_node("Constant", [], [stem], value=value))
                operation.inputs.append(stem)
            names[made.outputs[0]] = operation.outputs[0]
            protos.append(operation.to_proto())
        return tuple(proto.SerializeToString(deterministic=True) for proto in protos)

    return form


def _formula_operand(context: Context, draft: Draft, name: str) -> Tensor | None:
    """An int8 tensor behind a DQ, a float32 tensor, or a constant."""
    content = constant_operand(context, name)
    if content is not None:
        shape = draft.extra.get(name)
        stem = name if shape is None else f"{name}/channels"
        return context.real_constant(stem, content if shape is None else content.reshape(shape))
    return context.operand(name) or context.real(name)


def settle_borders(context: Context, nodes: Sequence[Node]) -> list[Node]:
    """Let the NPU round the floats that it makes itself, and make the floats that it reads itself."""
    makers = {output: node for node in nodes for output in node.outputs}
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    outputs = set(context.working.outputs)
    renamed: dict[str, str] = {}
    settled: list[Node] = []
    for node in nodes:
        if node.operator not in _ON_HOST:
            node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        settled += _settled(context, node, makers, readers, outputs, renamed)
    return settled


def _settled(
    context: Context,
    node: Node,
    makers: Mapping[str, Node],
    readers: Mapping[str, list[Node]],
    outputs: set[str],
    renamed: dict[str, str],
) -> list[Node]:
    if node.operator is Operator.QUANTIZE:
        maker, made = makers.get(node.inputs[0]), context.tensors.get(node.outputs[0])
        if maker is None or maker.operator in _ON_HOST or made is None or made.dtype is not DType.INT8:
            return [node]
        if not quantization_of(made).per_tensor:
            return [node]
        formula = Formula(1)
        result = formula.mul(formula.input(0), float(1 / quantization_of(made).scalar_scale))
        return [_as_formula(node, formula, result)]
    if node.operator is not Operator.DEQUANTIZE:
        return [node]
    stored, name = context.tensors.get(node.inputs[0]), node.outputs[0]
    on_npu = [reader for reader in readers.get(name, []) if reader.operator not in _ON_HOST]
    if (
        not on_npu
        or stored is None
        or stored.dtype is not DType.INT8
        or not quantization_of(stored).per_tensor
    ):
        return [node]
    formula = Formula(1)
    result = formula.mul(formula.input(0), 1.0)
    if len(on_npu) == len(readers.get(name, [])) and name not in outputs:
        return [_as_formula(node, formula, result)]
    real = context.like(context.tensors[name], f"{name}/real", context.tensors[name].shape)
    renamed[name] = real.name
    return [node, replace(_as_formula(node, formula, result, real.name), name=f"{node.name}/real")]


def _as_formula(node: Node, formula: Formula, result: Ref, output: str = "") -> Node:
    """A border as a formula; on the host a value is its own."""
    output = output or node.outputs[0]
    form = helper.make_node("Identity", [node.inputs[0]], [output]).SerializeToString(deterministic=True)
    attributes = FormulaAttributes(formula, result.number)
    return replace(
        node, operator=Operator.FORMULA, outputs=(output,), attributes=attributes, onnx_nodes=(form,)
    )
