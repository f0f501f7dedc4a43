"""Work on the parts of a large concatenation as they are made, and put the results together instead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hanok.compiler.supported import reason_for_host
from hanok.graph import (
    ConcatAttributes,
    DType,
    FormulaAttributes,
    Graph,
    Node,
    Operator,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)
from hanok.machine import Chip

_SHARE = 2
"""Concatenations of at least this part of the SRAM; smaller ones may stay in it."""
_REAL_BYTES = 4
_MOST_PARTS = 16
_MATRIX = (Operator.MATMUL, Operator.CONV, Operator.CONV_TRANSPOSE)
_Key = tuple[int, int]


@dataclass(frozen=True)
class _Parts:
    """A tensor as parts along an axis, and where each ends on it."""

    names: tuple[str, ...]
    axis: int
    ends: tuple[int, ...]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(first, end) of each part on the axis."""
        return list(pairwise((0, *self.ends)))


def sink_concats(graph: Graph, chip: Chip) -> Graph:
    """Return the graph with the readers of large float32 concatenations made part by part, where they can be.

    Formulas that keep the axis, such as the rounding of an attention's rows, read what is still in SRAM, and
    what is put together is their result, which is smaller. Products with weights stay whole: each part would
    read the weights again. The bits of every element stay. Requires and keeps: nodes in topological order.
    """
    sinker = _Sinker(graph, chip)
    for place, node in enumerate(graph.nodes):
        sinker.take(place, node)
    return sinker.graph()


class _Sinker:
    """Goes through the nodes of a graph in order."""

    def __init__(self, graph: Graph, chip: Chip) -> None:
        self._graph, self._chip = graph, chip
        self._readers, self._makers = graph.consumers(), graph.producers()
        self._tensors = dict(graph.tensors)
        self._parts: dict[str, _Parts] = {}
        self._keys: dict[str, _Key] = {}
        self._nodes: list[tuple[_Key, Node]] = []

    def graph(self) -> Graph:
        """The graph so far; each part stands behind what it is made from, without what nobody reads."""
        nodes = [node for _, node in sorted(self._nodes, key=lambda pair: pair[0])]
        needed = set(self._graph.outputs)
        kept: list[Node] = []
        for node in reversed(nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        return replace(self._graph, tensors=self._tensors, nodes=tuple(reversed(kept)))

    def take(self, place: int, node: Node) -> None:
        """Add a node, or its parts and their concatenation."""
        if node.operator is Operator.CONCAT:
            self._begin(node)
        elif (lead := self._lead(node)) is not None:
            self._sink(node, lead)
            node = self._joined(node)
        self._add((place, 0), node)

    def _add(self, key: _Key, node: Node) -> None:
        self._nodes.append((key, node))
        self._keys.update(dict.fromkeys(node.outputs, key))

    def _begin(self, node: Node) -> None:
        """Note a concatenation whose parts its readers may work on."""
        attributes, tensor = node.attributes, self._graph.tensor(node.outputs[0])
        assert isinstance(attributes, ConcatAttributes), f"{node.name}: no axis"
        large = tensor.elements * _REAL_BYTES * _SHARE >= self._chip.core.sram.total_bytes
        given = any(self._graph.tensor(name).data is not None for name in node.inputs)
        if tensor.dtype is not DType.FLOAT32 or not large or given or len(node.inputs) > _MOST_PARTS:
            return
        if attributes.axis == len(tensor.shape) - 1 or not self._pays(node):
            return
        lengths = [self._graph.tensor(name).shape[attributes.axis] for name in node.inputs]
        ends = tuple(int(end) for end in np.cumsum(lengths))
        self._parts[tensor.name] = _Parts(node.inputs, attributes.axis, ends)

    def _pays(self, node: Node) -> bool:
        """Whether a formula reads it, perhaps transposed."""
        readers = self._readers.get(node.outputs[0], [])
        return any(
            reader.operator is Operator.FORMULA
            or (reader.operator is Operator.TRANSPOSE and self._pays(reader))
            for reader in readers
        )

    def _lead(self, node: Node) -> str | None:
        """The operand in parts that decides how a node is cut; None for nodes that stay whole."""
        cut = [name for name in node.inputs if name in self._parts]
        if not cut or len(node.outputs) != 1 or reason_for_host(self._graph, node) is not None:
            return None
        lead = cut[0]
        match node.operator:
            case Operator.TRANSPOSE:
                fits = self._pays(node)
            case Operator.FORMULA:
                fits = self._is_formula(node, cut)
            case _:
                fits = False
        return lead if fits else None

    def _is_formula(self, node: Node, cut: list[str]) -> bool:
        """Whether a formula keeps the axis, and its operands are cut alike."""
        attributes, shape = node.attributes, self._graph.tensor(node.outputs[0]).shape
        assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
        shapes = [self._graph.tensor(name).shape for name in node.inputs]
        parts = [self._parts[name] for name in cut]
        ranks = {len(self._graph.tensor(name).shape) for name in cut}
        alike = len({(part.axis, part.ends) for part in parts}) == 1 and ranks == {len(shape)}
        axis = parts[0].axis
        keeps = axis not in attributes.axes and np.broadcast_shapes(*shapes)[axis] == shape[axis]
        return alike and keeps and not any(self._is_made_whole(name) for name in node.inputs)

    def _is_made_whole(self, name: str) -> bool:
        """Whether a matrix layer makes an operand, and can make the formula with it."""
        maker = self._makers.get(name)
        return name not in self._parts and maker is not None and maker.operator in _MATRIX

    def _sink(self, node: Node, lead: str) -> None:
        """Make the parts of a node's result."""
        parts, result = self._parts[lead], self._graph.tensor(node.outputs[0])
        axis = parts.axis
        if isinstance(node.attributes, TransposeAttributes):
            axis = node.attributes.permutation.index(parts.axis)
        names = []
        for number, (first, end) in enumerate(parts.spans):
            name = f"{result.name} [part {first}+{end - first}]"
            inputs = tuple(self._operand(given, result, parts, number) for given in node.inputs)
            self._cut(result, name, axis, first, end)
            label = f"{node.name} [part {number + 1}/{len(parts.names)}]"
            self._behind(replace(node, name=label, inputs=inputs, outputs=(name,), onnx_nodes=()))
            names.append(name)
        self._parts[result.name] = _Parts(tuple(names), axis, parts.ends)

    def _joined(self, node: Node) -> Node:
        """The concatenation of a node's parts, which stands for the node."""
        name = node.outputs[0]
        parts = self._parts[name]
        axis = ConcatAttributes(parts.axis)
        return Node(node.name, Operator.CONCAT, parts.names, (name,), axis, "Concat", node.onnx_nodes)

    def _operand(self, name: str, result: Tensor, parts: _Parts, number: int) -> str:
        """What a part of a result reads of an operand."""
        if name in self._parts:
            return self._parts[name].names[number]
        tensor = self._graph.tensor(name)
        axis = parts.axis - (len(result.shape) - len(tensor.shape))
        if axis < 0 or tensor.shape[axis] == 1:
            return name
        first, end = parts.spans[number]
        part = f"{name} [{axis}: {first}+{end - first}]"
        if part not in self._tensors:
            self._cut(tensor, part, axis, first, end)
            if tensor.data is None:
                starts = tuple(first if place == axis else 0 for place in range(len(tensor.shape)))
                attributes = SliceAttributes(starts, (1,) * len(starts))
                self._behind(Node(part, Operator.SLICE, (name,), (part,), attributes, "Slice"))
        return part

    def _cut(self, tensor: Tensor, name: str, axis: int, first: int, end: int) -> None:
        """Add a tensor that holds a part of another."""
        shape = (*tensor.shape[:axis], end - first, *tensor.shape[axis + 1 :])
        data = tensor.data
        if data is not None:
            data = np.ascontiguousarray(np.moveaxis(np.moveaxis(data, axis, 0)[first:end], 0, axis))
        self._tensors[name] = replace(tensor, name=name, shape=shape, data=data)

    def _behind(self, node: Node) -> None:
        """Add a node right behind the last of what it reads."""
        place, depth = max((self._keys[name] for name in node.inputs if name in self._keys), default=(-1, 0))
        self._add((place, depth + 1), node)
