"""Exact simplification of the typed graph: chains of RESHAPE, TRANSPOSE, LOOKUP become one node or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hanok.graph._match import same_quantization
from hanok.graph.ir import (
    Attributes,
    DType,
    LookupAttributes,
    Node,
    Operator,
    Tensor,
    TransposeAttributes,
)


class _Tidy:
    """Nodes by output name, in topological order, while they are rewritten."""

    def __init__(self, nodes: list[Node], tensors: dict[str, Tensor], outputs: tuple[str, ...]) -> None:
        self.nodes = {node.outputs[0]: node for node in nodes}
        self.tensors = tensors
        self.outputs = set(outputs)
        self.readers: dict[str, int] = {}
        for node in nodes:
            for name in node.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1

    def maker(self, name: str, operator: Operator) -> Node | None:
        """The node that makes `name`, if it is of this operator."""
        node = self.nodes.get(name)
        return node if node is not None and node.operator is operator else None

    def only_reader(self, name: str) -> bool:
        """Whether one node reads the tensor, and no graph output needs it."""
        return self.readers.get(name, 0) == 1 and name not in self.outputs

    def rewrite(self, node: Node) -> Node:
        """A simpler node with the same result."""
        source = node.inputs[0] if node.inputs else ""
        match node.operator:
            case Operator.RESHAPE:
                before = self.maker(source, Operator.RESHAPE)
                return node if before is None else replace(node, inputs=before.inputs)
            case Operator.TRANSPOSE:
                return self._transpose(node)
            case Operator.LOOKUP:
                return self._lookup(node)
        return node

    def _transpose(self, node: Node) -> Node:
        before = self.maker(node.inputs[0], Operator.TRANSPOSE)
        attributes = node.attributes
        assert isinstance(attributes, TransposeAttributes), "a transposition has TransposeAttributes"
        if before is not None:
            inner = before.attributes
            assert isinstance(inner, TransposeAttributes), "a transposition has TransposeAttributes"
            attributes = TransposeAttributes(
                tuple(inner.permutation[axis] for axis in attributes.permutation)
            )
            node = replace(node, inputs=before.inputs, attributes=attributes)
        shape = self.tensors[node.inputs[0]].shape
        moved = [axis for axis in attributes.permutation if shape[axis] != 1]
        if moved == sorted(moved):
            return replace(node, operator=Operator.RESHAPE, attributes=Attributes())
        return node

    def _lookup(self, node: Node) -> Node:
        before = self.maker(node.inputs[0], Operator.LOOKUP)
        if before is None or not self.only_reader(node.inputs[0]):
            return node
        first, second = before.attributes, node.attributes
        assert isinstance(first, LookupAttributes), "a LOOKUP has a table"
        assert isinstance(second, LookupAttributes), "a LOOKUP has a table"
        table = second.table[first.table.astype(np.int64) + 128]
        attributes = LookupAttributes(table, f"{first.function}+{second.function}")
        return replace(node, inputs=before.inputs, attributes=attributes)

    def lift_matmul(self, node: Node) -> list[Node]:
        """MATMUL of rows that a RESHAPE made works on the RESHAPE's operand; the RESHAPE comes behind it."""
        before = self.maker(node.inputs[0], Operator.RESHAPE) if node.inputs else None
        if node.operator is not Operator.MATMUL or before is None:
            return [node]
        output = self.tensors[node.outputs[0]]
        if len(output.shape) != 2:
            return [node]
        source = self.tensors[before.inputs[0]]
        rows = self.tensors[node.inputs[0]]
        right = self.tensors[node.inputs[1]]
        if right.data is None or len(source.shape) < 2 or source.shape[-1] != rows.shape[-1]:
            return [node]
        lifted = replace(output, name=f"{output.name}/lifted", shape=(*source.shape[:-1], output.shape[-1]))
        if lifted.name in self.tensors:
            return [node]
        self.tensors[lifted.name] = lifted
        product = replace(node, inputs=(source.name, *node.inputs[1:]), outputs=(lifted.name,))
        back = replace(
            node,
            name=f"{node.name}/shape",
            operator=Operator.RESHAPE,
            inputs=(lifted.name,),
            attributes=Attributes(),
        )
        self.nodes[lifted.name], self.nodes[output.name] = product, back
        return [product, back]


def tidy(nodes: list[Node], tensors: dict[str, Tensor], outputs: tuple[str, ...]) -> list[Node]:
    """Simplify the nodes (in topological order); new tensors are added to `tensors`."""
    state = _Tidy(nodes, tensors, outputs)
    hosted = {name for node in nodes if node.operator is Operator.HOST for name in node.inputs}
    renamed: dict[str, str] = {}
    made: list[Node] = []
    for node in nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        for new in state.lift_matmul(node):
            new = state.rewrite(new)
            state.nodes[new.outputs[0]] = new
            if _is_no_change(new, tensors, hosted) and new.outputs[0] not in state.outputs:
                renamed[new.outputs[0]] = new.inputs[0]
            else:
                made.append(new)
    return _name_outputs(_without_dead(made, outputs), tensors, outputs, hosted)


def _name_outputs(
    nodes: list[Node], tensors: dict[str, Tensor], outputs: tuple[str, ...], hosted: set[str]
) -> list[Node]:
    """Let the node behind which a RESHAPE only renames to a graph output make that output itself."""
    makers = {name for node in nodes for name in node.outputs}
    renamed: dict[str, str] = {}
    kept: list[Node] = []
    for node in nodes:
        source = node.inputs[0] if node.inputs else ""
        plain = (
            _is_no_change(node, tensors, hosted)
            and tensors[source].unsigned == tensors[node.outputs[0]].unsigned
        )
        if plain and source in makers - hosted and source not in outputs and source not in renamed:
            renamed[source] = node.outputs[0]
        else:
            kept.append(node)
    return [
        replace(
            node,
            inputs=tuple(renamed.get(name, name) for name in node.inputs),
            outputs=tuple(renamed.get(name, name) for name in node.outputs),
        )
        for node in kept
    ]


def _is_no_change(node: Node, tensors: dict[str, Tensor], hosted: set[str]) -> bool:
    """Whether a RESHAPE keeps the shape, or a LOOKUP every value and its meaning.

    Operators of the host read floats by their names, so these stay.
    """
    made = tensors.get(node.outputs[0])
    if made is None or (made.dtype is not DType.INT8 and made.name in hosted):
        return False
    if node.operator is Operator.RESHAPE:
        return tensors[node.inputs[0]].shape == tensors[node.outputs[0]].shape
    if node.operator is not Operator.LOOKUP or not isinstance(node.attributes, LookupAttributes):
        return False
    identity = np.array_equal(node.attributes.table, np.arange(-128, 128))
    return identity and same_quantization(tensors[node.inputs[0]], tensors[node.outputs[0]])


def _without_dead(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if needed.isdisjoint(node.outputs):
            continue
        kept.append(node)
        needed.update(node.inputs)
    return kept[::-1]
