"""Matchers of elementwise operators: tables for unary functions, integer forms for binary ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from hanok.errors import ModelError
from hanok.graph._match import (
    QMAX,
    QMIN,
    Context,
    Match,
    dequantize,
    quantization_of,
    quantize,
    requantize_node,
)
from hanok.graph._working import DEQUANTIZE, Operation, WorkingGraph, build_model
from hanok.graph.ir import Attributes, ElementwiseAttributes, LookupAttributes, Node, Operator, Tensor
from hanok.graph.oracle import run_onnxruntime

UNARY = frozenset({
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
    "ThresholdedRelu", "com.microsoft.FastGelu", "com.microsoft.Gelu", "com.microsoft.QuickGelu",
})  # fmt: skip
COMBINING = frozenset({
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min",
    "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where",
})  # fmt: skip
"""Elementwise operators of several operands, allowed inside a table where the others are scalars."""
_BINARY = {"Add": Operator.ADD, "Sub": Operator.SUB, "Mul": Operator.MUL, "Div": Operator.DIV}
_MAX_CHAIN = 32


def match_binary(context: Context, match: Match) -> list[Node] | None:
    """Add, Sub, Mul, Div of two int8 operands that broadcast to the output."""
    core = match.core
    if core.domain or core.op_type not in _BINARY or len(core.inputs) != 2:
        return None
    first, second = (context.operand(name) for name in core.inputs)
    if first is None or second is None or (first.data is not None and second.data is not None):
        return None
    attributes = ElementwiseAttributes(match.clamp)
    operands = [first, second]
    if core.op_type == "Add" and _repeats_along_runs(first.shape, second.shape):
        operands.reverse()
    return [context.node(match, _BINARY[core.op_type], operands, match.output, attributes)]


def _repeats_along_runs(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether ONNX Runtime's loop over neighbouring elements meets one element of `first` again and again.

    Its QLinearAdd then exchanges the operands; which of them is the second one decides the last bit. The
    loop runs over the last axis that both have and that is not 1 in both.
    """
    rank = max(1, min(len(first), len(second)))
    lengths = [(shape[::-1] + (1,) * rank)[:rank] for shape in (first, second)]
    axes = list(zip(*lengths, strict=True))
    run = next((axis for axis in axes if max(axis) > 1), axes[-1])
    return bool(run[0] == 1)


def match_table(context: Context, match: Match) -> list[Node] | None:
    """A float expression of one int8 tensor and scalar constants becomes a LOOKUP."""
    leaf, chain = _expression(context, match.quantizer.inputs[0])
    if leaf is None:
        return None
    source = context.operand(leaf)
    if source is None or source.data is not None:
        return None
    if not chain:
        return [requantize_node(context, match, source, match.output)]
    shape = context.working.shape(match.output.name)
    if int(np.prod(shape)) != source.elements:
        return None
    real = _evaluate(context.working, chain, leaf, match.quantizer.inputs[0], source)
    table = quantize(real, quantization_of(match.output))
    function = "+".join(operation.op_type for operation in chain)
    attributes = LookupAttributes(table, function)
    if tuple(shape) == source.shape:
        return [context.node(match, Operator.LOOKUP, [source], match.output, attributes)]
    inner = context.like(match.output, f"{match.output.name}/table", source.shape)
    return [
        context.node(match, Operator.LOOKUP, [source], inner, attributes),
        context.node(match, Operator.RESHAPE, [inner], match.output, Attributes()),
    ]


def _expression(context: Context, value: str) -> tuple[str | None, list[Operation]]:
    """Collect the operations between a DQ's output and `value`; the leaf is None where there is no table."""
    leaf: str | None = None
    chain: dict[str, Operation] = {}
    waiting = [value]
    while waiting:
        name = waiting.pop()
        maker = context.producers.get(name)
        if maker is None or len(chain) > _MAX_CHAIN:
            return None, []
        if maker.op_type == DEQUANTIZE:
            if leaf not in (None, name):
                return None, []
            leaf = name
            continue
        reads = _operands(context, maker)
        if reads is None:
            return None, []
        chain[name] = maker
        waiting += [read for read in reads if read not in chain]
    return leaf, sorted(chain.values(), key=lambda operation: context.order[operation.outputs[0]])


def _operands(context: Context, operation: Operation) -> list[str] | None:
    """The non-constant operands of an elementwise operation, or None for any other operation."""
    if operation.standard_type not in UNARY and operation.standard_type not in COMBINING:
        return None
    reads: list[str] = []
    for name in operation.inputs:
        content = context.working.constant(name)
        if content is None and name:
            reads.append(name)
        elif content is not None and content.size != 1:
            return None
    return reads


def _evaluate(
    working: WorkingGraph, chain: list[Operation], leaf: str, result: str, source: Tensor
) -> npt.NDArray[np.float32]:
    """Run the expression in ONNX Runtime on the 256 real values that the source can have."""
    every = dequantize(np.arange(QMIN, QMAX + 1, dtype=np.int8), quantization_of(source))
    scalars = {
        name: working.constants[name].reshape(())
        if working.constants[name].ndim > 1
        else working.constants[name]
        for operation in chain
        for name in operation.inputs
        if name in working.constants
    }
    small = WorkingGraph(
        "table", chain, scalars, [leaf], [result], opset=working.opset, ir_version=working.ir_version,
        domains=working.domains,
    )  # fmt: skip
    small.note(leaf, (every.size,), TensorProto.FLOAT)
    model = build_model(small, [operation.to_proto() for operation in chain], [leaf], [])
    model.graph.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, None))
    try:
        real = run_onnxruntime(model, {leaf: every}, [result], optimise=False)[result]
    except ModelError as error:
        raise ModelError(f"{chain[-1].label}: its table cannot be computed: {error}") from None
    return np.asarray(real, np.float32).reshape(-1)
