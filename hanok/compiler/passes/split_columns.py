"""Cut products that one formula joins into blocks of columns, so that their results stay in SRAM."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hanok.compiler.cuts import cut_fixed
from hanok.compiler.supported import reason_for_host
from hanok.graph import (
    ConcatAttributes,
    DType,
    FormulaAttributes,
    Graph,
    Node,
    Operator,
    Quantization,
    SliceAttributes,
    Tensor,
)
from hanok.machine import Chip

_SHARE = 4
"""A block's float32 result takes at most this part of the SRAM."""
_REAL_BYTES = 4


@dataclass(frozen=True)
class _Join:
    """A formula without folds and the products with weights that it alone reads."""

    node: Node
    makers: tuple[Node, ...]


def split_columns(graph: Graph, chip: Chip) -> Graph:
    """Return the graph with large products that a formula joins, such as gate and up, in blocks of columns.

    A matrix layer makes such a formula on its own tiles, but the other products' float32 results would go to
    DRAM and come back. A block of their columns stays on the chip; each weight is still read once. The bits
    of every element stay. Requires and keeps: nodes in topological order.
    """
    makers, readers = graph.producers(), graph.consumers()
    joins = [found for node in graph.nodes if (found := _join(graph, node, makers, readers, chip))]
    if not joins:
        return graph
    tensors = dict(graph.tensors)
    replaced = {join.node.outputs[0]: _blocks(graph, join, tensors, chip) for join in joins}
    gone = {maker.outputs[0] for join in joins for maker in join.makers}
    nodes = [
        new
        for node in graph.nodes
        if node.outputs[0] not in gone
        for new in replaced.get(node.outputs[0], [node])
    ]
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _join(
    graph: Graph, node: Node, makers: dict[str, Node], readers: dict[str, list[Node]], chip: Chip
) -> _Join | None:
    """What `node` joins, where that is worth cutting."""
    attributes = node.attributes
    if not isinstance(attributes, FormulaAttributes) or attributes.axes or len(node.outputs) != 1:
        return None
    shape = graph.tensor(node.outputs[0]).shape
    if len(shape) < 2 or any(
        graph.tensor(name).shape[-1:] not in ((), (1,), shape[-1:]) for name in node.inputs
    ):
        return None
    products = [
        makers[name]
        for name in node.inputs
        if name in makers
        and makers[name].operator is Operator.MATMUL
        and graph.tensor(makers[name].inputs[1]).data is not None
        and graph.tensor(name).shape == shape
        and graph.tensor(name).dtype is DType.FLOAT32
        and len(readers[name]) == 1
        and name not in graph.outputs
    ]
    large = int(np.prod(shape, dtype=np.int64)) * _REAL_BYTES * _SHARE > chip.core.sram.total_bytes
    if len(products) < 2 or not large:
        return None
    if any(reason_for_host(graph, one) is not None for one in (node, *products)):
        return None
    return _Join(node, tuple(products))


def _columns(shape: tuple[int, ...], chip: Chip) -> int:
    """How many columns a block has: as many as fit, in whole turns of the array."""
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    turn = chip.core.matrix.columns
    return max(turn, chip.core.sram.total_bytes // (_SHARE * _REAL_BYTES * rows) // turn * turn)


def _blocks(graph: Graph, join: _Join, tensors: dict[str, Tensor], chip: Chip) -> list[Node]:
    """The nodes that make the join's result block by block; adds their tensors."""
    result = graph.tensor(join.node.outputs[0])
    cuts = list(cut_fixed(result.shape[-1], _columns(result.shape, chip)))
    if len(cuts) == 1:
        return [*join.makers, join.node]
    nodes: list[Node] = []
    parts: list[str] = []
    for number, (first, last) in enumerate(cuts):
        renamed: dict[str, str] = {}
        for node in (*join.makers, join.node):
            inputs = []
            for place, name in enumerate(node.inputs):
                cut = name and (node is join.node or place > 0) and name not in renamed
                inputs.append(
                    _cut(graph, name, first, last, tensors, nodes) if cut else renamed.get(name, name)
                )
            name = node.outputs[0]
            renamed[name] = f"{name} [{first}+{last - first}]"
            own = graph.tensor(name)
            shape = (*own.shape[:-1], last - first)
            tensors[renamed[name]] = replace(own, name=renamed[name], shape=shape)
            label = f"{node.name} [{number + 1}/{len(cuts)}]"
            outputs = (renamed[name],)
            nodes.append(replace(node, name=label, inputs=tuple(inputs), outputs=outputs, onnx_nodes=()))
        parts.append(renamed[result.name])
    axis = ConcatAttributes(len(result.shape) - 1)
    nodes.append(Node(result.name, Operator.CONCAT, tuple(parts), (result.name,), axis, "Concat"))
    return nodes


def _cut(
    graph: Graph, name: str, first: int, last: int, tensors: dict[str, Tensor], nodes: list[Node]
) -> str:
    """The columns first..last - 1 of an operand; itself where it has one value a row."""
    tensor = graph.tensor(name)
    if tensor.shape[-1:] in ((), (1,)):
        return name
    part = f"{name} [columns {first}+{last - first}]"
    shape = (*tensor.shape[:-1], last - first)
    data = None if tensor.data is None else tensor.data[..., first:last]
    own = tensor.quantization and _quantization(tensor.quantization, len(shape) - 1, first, last)
    if part not in tensors and data is None:
        starts = (0,) * (len(shape) - 1)
        attributes = SliceAttributes((*starts, first), (1,) * len(shape))
        nodes.append(Node(part, Operator.SLICE, (name,), (part,), attributes, "Slice"))
    tensors[part] = replace(tensor, name=part, shape=shape, data=data, quantization=own)
    return part


def _quantization(whole: Quantization, axis: int, first: int, last: int) -> Quantization:
    """The quantization of some columns."""
    if whole.axis != axis:
        return whole
    scale, zero = whole.scale, whole.zero_point
    return replace(
        whole,
        scale=scale[first:last] if scale.size > 1 else scale,
        zero_point=zero[first:last] if zero.size > 1 else zero,
    )
