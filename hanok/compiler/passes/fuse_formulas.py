"""Join formulas that follow one another, so that the values between them never leave the chip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hanok.compiler.pack_chains import pack_formula
from hanok.graph import DType, FormulaAttributes, Graph, Node, Operator
from hanok.machine import Chip
from hanok.numerics.formula import Formula, Line, Operand, Ref

_MOST_LINES = 160


def fuse_formulas(graph: Graph, chip: Chip) -> Graph:
    """Return the graph with each float32 result that one formula alone reads made inside that formula.

    Requires and keeps: both work on tensors of one shape, and fold over the same axes if both fold. The bits
    of every result stay, since each line does. Formulas whose values would not fit the SRAM stay apart.
    """
    readers = graph.consumers()
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if node.operator is Operator.FORMULA:
            node = _with_makers(graph, node, nodes, readers, chip)
        nodes[node.outputs[0]] = node
    return replace(graph, nodes=tuple(nodes.values()))


def _with_makers(
    graph: Graph, node: Node, nodes: dict[str, Node], readers: dict[str, list[Node]], chip: Chip
) -> Node:
    """The node with all makers of operands that can join it; these leave `nodes`."""
    tried: set[str] = set()
    while True:
        names = [name for name in node.inputs if name not in tried]
        if not names:
            return node
        tried.add(names[0])
        maker = nodes.get(names[0])
        if maker is None or maker.operator is not Operator.FORMULA:
            continue
        alone = len(readers[names[0]]) == 1 and names[0] not in graph.outputs
        joined = _joined(graph, maker, node) if alone else None
        if joined is not None and _fits(graph, joined, chip):
            del nodes[names[0]]
            node = joined


def _full_shape(graph: Graph, node: Node) -> tuple[int, ...]:
    return np.broadcast_shapes(*(graph.tensor(name).shape for name in node.inputs))


def _joined(graph: Graph, maker: Node, reader: Node) -> Node | None:
    first, second = maker.attributes, reader.attributes
    assert isinstance(first, FormulaAttributes), f"{maker.name}: no formula"
    assert isinstance(second, FormulaAttributes), f"{reader.name}: no formula"
    made = graph.tensor(maker.outputs[0])
    if made.dtype is not DType.FLOAT32 or _full_shape(graph, maker) != _full_shape(graph, reader):
        return None
    if first.axes and second.axes and first.axes != second.axes:
        return None
    if len(made.shape) != len(_full_shape(graph, reader)):
        return None
    names = list(dict.fromkeys([*maker.inputs, *(n for n in reader.inputs if n != made.name)]))
    formula = Formula(len(names))
    values = _copy(first.formula, [formula.input(names.index(name)) for name in maker.inputs], formula)
    own = values[first.result]
    operands = [own if name == made.name else formula.input(names.index(name)) for name in reader.inputs]
    result = _copy(second.formula, operands, formula)[second.result]
    if len(formula.lines) > _MOST_LINES:
        return None
    attributes = FormulaAttributes(formula, result.number, first.axes or second.axes, second.clamp)
    kinds = "+".join(dict.fromkeys([*maker.onnx_type.split("+"), *reader.onnx_type.split("+")]))
    return replace(reader, inputs=tuple(names), attributes=attributes, onnx_type=kinds)


def _copy(source: Formula, operands: list[Ref], target: Formula) -> list[Ref]:
    """Append the lines of a formula to another; return where its inputs and lines are there."""
    values = list(operands)

    def of(operand: Operand) -> Operand:
        return values[operand.number] if isinstance(operand, Ref) else operand

    for line in source.lines:
        values.append(_append(source, line, [of(operand) for operand in line.operands], target))
    return values


def _append(source: Formula, line: Line, operands: list[Operand], target: Formula) -> Ref:
    if line.table >= 0:
        return target.lookup(operands[0], source.tables[line.table])
    return target.append(line.action, *operands, bounds=line.bounds)


def _fits(graph: Graph, node: Node, chip: Chip) -> bool:
    """Whether a tile of a bank for each operand and value, the result and a table has room."""
    attributes = node.attributes
    assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
    full = _full_shape(graph, node)
    rowwise = [_is_rowwise(graph.tensor(name).shape, full, attributes.axes) for name in node.inputs]
    values = pack_formula(attributes.formula, rowwise, attributes.result).most_values
    return len(node.inputs) + 1 + values + 1 <= chip.core.sram.banks


def _is_rowwise(shape: tuple[int, ...], full: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    padded = (1,) * (len(full) - len(shape)) + shape
    return bool(axes) and all(padded[axis] == 1 for axis in axes) and any(full[axis] > 1 for axis in axes)
