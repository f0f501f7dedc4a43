"""Which operators of a float model become int8, and which stay float because int8 would ruin them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hanok.graph._match_elementwise import COMBINING, UNARY
from hanok.graph._working import Operation, WorkingGraph

QUANTISED_OPERATORS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "Clip"),
    *("Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("ReduceMean", "Concat", "Slice", "Split", "Pad", "Reshape", "Flatten", "Transpose", "Squeeze"),
    *("Unsqueeze", "Resize", "DepthToSpace", "SpaceToDepth", "Softmax"),
)
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_NORMALISATIONS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "Attention")
LARGEST_MAGNITUDE = 1e4
"""Tensors that hold more than this are masks or sums that 256 steps cannot hold."""

Range = tuple[float, float]


def is_transformer(working: WorkingGraph) -> bool:
    """Whether a model normalises rows or multiplies activations: eight bits between products ruin it."""
    if any(operation.op_type in _NORMALISATIONS for operation in working.operations):
        return True
    if _normalisations(working):
        return True
    return any(
        operation.op_type == "MatMul" and not any(name in working.constants for name in operation.inputs)
        for operation in working.operations
    )


def keep_float(working: WorkingGraph, ranges: Mapping[str, Range]) -> dict[str, str]:
    """Names of the operations that stay float although the NPU has their operator, with the reason."""
    reasons: dict[str, str] = {}
    for operation in working.operations:
        if operation.domain or operation.op_type not in QUANTISED_OPERATORS:
            continue
        reason = _own_reason(working, operation, ranges)
        if reason:
            reasons[operation.name] = reason
    for operation in _normalisations(working):
        reasons.setdefault(
            operation.name, "part of a normalisation, whose mean squares need more than 8 bits"
        )
    for operation in _tables(working):
        reasons.setdefault(operation.name, "inside a function of one tensor, which becomes one table")
    return reasons


def _own_reason(working: WorkingGraph, operation: Operation, ranges: Mapping[str, Range]) -> str:
    if operation.op_type == "MatMul" and working.shape(operation.inputs[0])[-1:] == (1,):
        return "each element is one product, which float32 multiplies as well"
    for name in [*operation.inputs, *operation.outputs]:
        low, high = ranges.get(name, (0.0, 0.0))
        if not np.isfinite([low, high]).all() or max(-low, high) > LARGEST_MAGNITUDE:
            return f"tensor '{name}' has values between {low:.4g} and {high:.4g}"
    if operation.op_type == "Clip":
        lowest, highest = working.constant(operation.input(1)), working.constant(operation.input(2))
        if (lowest is not None and (lowest > 0).any()) or (highest is not None and (highest < 0).any()):
            return "its bounds leave out zero"
    return ""


def _normalisations(working: WorkingGraph) -> list[Operation]:
    """Layer and RMS normalisations that the exporter took apart, found around their square root."""
    producers, consumers = working.producers(), working.consumers()
    members: list[Operation] = []
    for root in working.operations:
        if root.op_type == "Sqrt":
            before = _before_root(root, producers)
            members += [*before, *_after_root(working, root, consumers)] if before else []
    return members


def _before_root(root: Operation, producers: dict[str, Operation]) -> list[Operation]:
    """Add epsilon, ReduceMean, Pow (or Mul by itself), and Sub of a ReduceMean where there is one."""
    members: list[Operation] = []
    step = producers.get(root.inputs[0])
    if step is not None and step.op_type in ("Add", "Max"):
        members.append(step)
        step = next((producers[name] for name in step.inputs if name in producers), None)
    if step is None or step.op_type != "ReduceMean":
        return []
    members.append(step)
    square = producers.get(step.inputs[0])
    if square is None or square.op_type not in ("Pow", "Mul"):
        return []
    members.append(square)
    centre = producers.get(square.inputs[0])
    if centre is not None and centre.op_type == "Sub":
        members.append(centre)
        mean = producers.get(centre.inputs[1])
        members += [mean] if mean is not None and mean.op_type == "ReduceMean" else []
    return members


def _after_root(
    working: WorkingGraph, root: Operation, consumers: dict[str, list[Operation]]
) -> list[Operation]:
    """Reciprocal and Mul, or Div, and then the constant gain and shift."""
    members: list[Operation] = []
    waiting = [root]
    while waiting:
        step = waiting.pop()
        for reader in consumers.get(step.outputs[0], []):
            scales = reader.op_type in ("Reciprocal", "Div") and step is root
            applies = reader.op_type == "Mul" and step.op_type == "Reciprocal"
            constant = any(name in working.constants for name in reader.inputs)
            adjusts = reader.op_type in ("Mul", "Add") and constant and step.op_type in ("Mul", "Div")
            if scales or applies or adjusts:
                members.append(reader)
                waiting.append(reader)
    return members


def _tables(working: WorkingGraph) -> list[Operation]:
    """Operations of elementwise expressions that read one tensor more than once or need a foreign operator.

    The importer turns such an expression (x * sigmoid(x), a GELU in its parts) between DQ and Q into one
    table; quantising inside it would only lose bits. Plain chains of NPU operators are left alone.
    """
    leaf: dict[str, str] = {}
    joined: dict[str, bool] = {}
    parts: dict[str, list[Operation]] = {}
    for operation in working.operations:
        reads = _reads(working, operation)
        if reads is None or len(operation.outputs) != 1:
            continue
        leaves = list(dict.fromkeys(leaf.get(name, name) for name in reads))
        if len(leaves) != 1 and len(set(reads)) == 1:
            leaves = reads[:1]
        if len(leaves) != 1:
            continue
        output = operation.outputs[0]
        inner = [part for name in dict.fromkeys(reads) for part in parts.get(name, [])]
        leaf[output] = leaves[0]
        foreign = operation.op_type not in QUANTISED_OPERATORS
        joined[output] = foreign or len(set(reads)) > 1 or any(joined.get(name, False) for name in reads)
        parts[output] = [*dict.fromkeys(inner), operation]
    return _worthwhile(working, leaf, joined, parts)


def _reads(working: WorkingGraph, operation: Operation) -> list[str] | None:
    """The tensors that an elementwise operation with otherwise scalar operands reads; None for others."""
    if operation.standard_type not in UNARY and operation.standard_type not in COMBINING:
        return None
    contents = [working.constant(name) for name in operation.inputs]
    if any(content is not None and content.size != 1 for content in contents):
        return None
    return [
        name for name, content in zip(operation.inputs, contents, strict=True) if content is None and name
    ] or None


def _worthwhile(
    working: WorkingGraph, leaf: dict[str, str], joined: dict[str, bool], parts: dict[str, list[Operation]]
) -> list[Operation]:
    """The members of the largest expressions none of whose inner values is read from outside."""
    consumers = working.consumers()
    chosen: dict[int, Operation] = {}
    for operation in reversed(working.operations):
        output = operation.outputs[0] if operation.outputs else ""
        if id(operation) in chosen or not joined.get(output) or leaf[output] not in working.shapes:
            continue
        if working.shapes.get(output) != working.shapes[leaf[output]]:
            continue
        members = {id(part) for part in parts[output]}
        inner = [name for part in parts[output] for name in part.outputs if name != output]
        outside = any(id(reader) not in members for name in inner for reader in consumers.get(name, []))
        if not outside and not any(name in working.outputs for name in inner):
            chosen |= {id(part): part for part in parts[output]}
    return list(chosen.values())
