"""Cut attention into blocks of rows whose scores stay in SRAM, and let the units work on several at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

import numpy as np

from hanok.compiler.pack_chains import pack_formula
from hanok.compiler.supported import reason_for_host
from hanok.graph import (
    Attributes,
    ConcatAttributes,
    DType,
    FormulaAttributes,
    Graph,
    Node,
    Operator,
    SliceAttributes,
    Tensor,
)
from hanok.machine import Chip
from hanok.units import ceil_div

_WHOLE_SHARE = 4
"""Results of at most this part of the SRAM stay in it as they are."""
_BLOCK_SHARE = 8
"""A block's results take at most this part: two blocks of scores and two of what follows are there."""
_FEWEST_ROWS = 8
"""Blocks of fewer rows would load a product's right operand too often."""
_LAG = 1
"""By how many blocks each part of the region runs behind the part before it."""


@dataclass(frozen=True)
class _Region:
    """A product of two activations, or a formula, and all that follows it row by row.

    Every tensor that it makes has the same rows, under leading axes that may count them differently: scores
    [8, 1024, L] of heads that share keys are masked as [8, 2, 512, L].
    """

    nodes: tuple[Node, ...]
    parts: tuple[int, ...]
    """Of each node: 0 what it begins with, 1 what follows, 2 the next product and what follows that."""
    rows: tuple[int, ...]
    """The finest leading axes: those of each tensor are these, neighbours merged."""
    dependent: frozenset[str]
    """Tensors outside the region that are made from what it makes."""


@dataclass(frozen=True)
class _Block:
    """Neighbouring rows that are made together, counted over all leading axes."""

    first: int
    length: int

    def spans(self, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """(first, length) on each leading axis; raises ValueError where the rows are no box of them."""
        found: list[tuple[int, int]] = []
        first, length = self.first, self.length
        for size in reversed(shape):
            whole = length % size == 0 and first % size == 0
            if whole:
                found.append((0, size))
                first, length = first // size, length // size
            elif first % size + length <= size:
                found.append((first % size, length))
                first, length = first // size, 1
            else:
                raise ValueError(f"rows {self.first}+{self.length} are no box of {shape}")
        return tuple(reversed(found))


def split_rows(graph: Graph, chip: Chip) -> Graph:
    """Return the graph with large products of activations, and what follows them row by row, in blocks.

    A row of an attention (scores, softmax, product with the values) needs no other row, so a block of rows
    goes through all of it before its scores leave the SRAM. Neighbouring blocks overlap: while the vector
    unit works on one block's softmax, the matrix unit multiplies for the blocks before and behind it. The
    bits of every row stay. Requires and keeps: nodes in topological order.
    """
    done: set[str] = set()
    while True:
        region = next(_regions(graph, chip, done), None)
        if region is None:
            return graph
        done.add(region.nodes[0].outputs[0])
        blocks = _blocks(graph, region, chip)
        if len(blocks) > 1:
            graph = _split(graph, region, blocks)


def _regions(graph: Graph, chip: Chip, done: set[str]) -> Iterator[_Region]:
    for place, node in enumerate(graph.nodes):
        name = node.outputs[0]
        if name in done or not _can_begin(graph, node):
            continue
        tensor = graph.tensor(name)
        if tensor.dtype is not DType.FLOAT32 or not tensor.shape:
            continue
        if _bytes(tensor) * _WHOLE_SHARE <= chip.core.sram.total_bytes:
            continue
        region = _region(graph, place)
        if len(region.nodes) > 1 and _stays(graph, region, name) and _has_room(graph, region, chip):
            yield region


def _can_begin(graph: Graph, node: Node) -> bool:
    """A product of two activations, or a formula that no matrix layer makes on its own tiles."""
    if len(node.outputs) != 1 or reason_for_host(graph, node) is not None:
        return False
    if node.operator is Operator.MATMUL:
        return all(graph.tensor(name).data is None for name in node.inputs[:2])
    if node.operator is not Operator.FORMULA:
        return False
    attributes = node.attributes
    assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
    shape = graph.tensor(node.outputs[0]).shape
    full = np.broadcast_shapes(*(graph.tensor(name).shape for name in node.inputs))
    if full != shape or not set(attributes.axes) <= {len(shape) - 1}:
        return False
    makers = graph.producers()
    layers = (Operator.MATMUL, Operator.CONV, Operator.CONV_TRANSPOSE)
    return all(name not in makers or makers[name].operator not in layers for name in node.inputs)


def _stays(graph: Graph, region: _Region, name: str) -> bool:
    """Whether nobody outside reads what the region begins with."""
    own = {node.outputs[0] for node in region.nodes}
    readers = graph.consumers().get(name, [])
    return name not in graph.outputs and all(reader.outputs[0] in own for reader in readers)


def _bytes(tensor: Tensor) -> int:
    return tensor.elements * (4 if tensor.dtype is DType.FLOAT32 else 1)


def _region(graph: Graph, start: int) -> _Region:
    """The node at `start` and every later one that can be made row by row with it."""
    begin = graph.nodes[start]
    rows: tuple[int, ...] = graph.tensor(begin.outputs[0]).shape[:-1]
    nodes, made = [begin], {begin.outputs[0]: 0}
    dependent: set[str] = set()
    for node in graph.nodes[start + 1 :]:
        touched = [name for name in node.inputs if name in made]
        outside = any(name in dependent for name in node.inputs)
        finer = _follows(graph, node, rows, made) if touched and not outside else None
        if finer is not None:
            rows = finer
            nodes.append(node)
            before = max(made[name] for name in touched)
            made[node.outputs[0]] = before + 1 if node.operator is Operator.MATMUL else max(before, 1)
        elif touched or outside:
            dependent.update(node.outputs)
    return _Region(tuple(nodes), tuple(made[node.outputs[0]] for node in nodes), rows, frozenset(dependent))


def _follows(graph: Graph, node: Node, rows: tuple[int, ...], made: dict[str, int]) -> tuple[int, ...] | None:
    """The region's rows with this node in it; None where a row of its result needs more than that row."""
    if len(node.outputs) != 1 or reason_for_host(graph, node) is not None:
        return None
    shape = graph.tensor(node.outputs[0]).shape
    inputs = [graph.tensor(name).shape for name in node.inputs]
    match node.operator:
        case Operator.MATMUL:
            left, right = node.inputs[:2]
            own = graph.tensor(right)
            fits = left in made and right not in made and own.data is None
            fits = fits and inputs[0][:-1] == shape[:-1] and len(inputs[1]) <= len(shape)
        case Operator.FORMULA:
            attributes = node.attributes
            assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
            full = np.broadcast_shapes(*inputs)
            fits = full[:-1] == shape[:-1] and len(full) == len(shape)
            fits = fits and set(attributes.axes) <= {len(shape) - 1}
            own_shapes = [graph.tensor(name).shape for name in node.inputs if name in made]
            fits = fits and all(own[:-1] == shape[:-1] for own in own_shapes)
        case Operator.RESHAPE:
            fits = inputs[0][-1:] == shape[-1:]
        case _:
            return None
    return _refined(rows, shape[:-1]) if fits else None


def _refined(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...] | None:
    """The coarsest axes of which both shapes merge neighbours; None where there are none."""
    if prod(one) != prod(other):
        return None
    steps = {1}
    for shape in (one, other):
        step = 1
        for size in reversed(shape):
            step *= size
            steps.add(step)
    ordered = sorted(steps)
    pairs = list(pairwise(ordered))
    if any(large % small for small, large in pairs):
        return None
    return tuple(large // small for small, large in reversed(pairs)) or (1,)


def _has_room(graph: Graph, region: _Region, chip: Chip) -> bool:
    """Whether every formula has banks for its tiles beside the blocks that stay."""
    sram = chip.core.sram
    blocks = 2 * 2 * max(1, sram.banks // _BLOCK_SHARE) * 5 // 8
    for node in region.nodes:
        if node.operator is Operator.FORMULA:
            attributes = node.attributes
            assert isinstance(attributes, FormulaAttributes), f"{node.name}: no formula"
            rowwise = [graph.tensor(name).shape[-1] == 1 for name in node.inputs]
            values = pack_formula(attributes.formula, rowwise, attributes.result).most_values
            if len(node.inputs) + values + 2 + blocks > sram.banks:
                return False
    return True


def _blocks(graph: Graph, region: _Region, chip: Chip) -> list[_Block]:
    """Blocks of nearly equal size: rows of the innermost axis, or several of these axes as a whole.

    In the order in which they are made: those that read the same rows of a mask follow one another.
    """
    total, inner = prod(region.rows), region.rows[-1]
    row_bytes = _bytes(graph.tensor(region.nodes[0].outputs[0])) // total
    most = max(_FEWEST_ROWS, chip.core.sram.total_bytes // _BLOCK_SHARE // row_bytes)
    if inner > most:
        step = ceil_div(ceil_div(inner, ceil_div(inner, most)), _FEWEST_ROWS) * _FEWEST_ROWS
        starts = [run + first for first in range(0, inner, step) for run in range(0, total, inner)]
        return [_Block(start, min(step, inner - start % inner)) for start in starts]
    length = inner
    for size in reversed(region.rows[:-1]):
        group = max(n for n in range(1, size + 1) if size % n == 0 and (n == 1 or n * length <= most))
        length *= group
        if group < size:
            break
    return [_Block(start, length) for start in range(0, total, length)]


def _split(graph: Graph, region: _Region, blocks: list[_Block]) -> Graph:
    cutter = _Cutter(graph, region)
    last = max(region.parts)
    made: list[Node] = []
    for turn in range(len(blocks) + _LAG * last):
        for part in range(last + 1):
            number = turn - _LAG * part
            if 0 <= number < len(blocks):
                made += cutter.block(blocks[number], number, len(blocks), part)
    made += cutter.joined(blocks)
    inside = {node.outputs[0] for node in region.nodes}
    rest = [node for node in graph.nodes if node.outputs[0] not in inside]
    before = [node for node in rest if not region.dependent & set(node.outputs)]
    behind = [node for node in rest if region.dependent & set(node.outputs)]
    return replace(graph, tensors=cutter.tensors, nodes=(*before, *made, *behind))


class _Cutter:
    """Makes the nodes and tensors of blocks."""

    def __init__(self, graph: Graph, region: _Region) -> None:
        self.graph, self.region = graph, region
        self.tensors = dict(graph.tensors)
        inside = {node.outputs[0] for node in region.nodes}
        readers = graph.consumers()
        own = set(map(id, region.nodes))
        self._made = inside
        self._given = [
            name
            for name in inside
            if name in graph.outputs or any(id(reader) not in own for reader in readers.get(name, []))
        ]
        self._given.sort(key=[node.outputs[0] for node in region.nodes].index)
        self._cut: dict[tuple[str, tuple[tuple[int, int], ...]], str] = {}

    def block(self, block: _Block, number: int, count: int, part: int) -> list[Node]:
        """The nodes of one part of one block, each behind the slices that it reads."""
        nodes: list[Node] = []
        for node, of in zip(self.region.nodes, self.region.parts, strict=True):
            if of != part:
                continue
            inputs = []
            spans = block.spans(self.graph.tensor(node.outputs[0]).shape[:-1])
            for place, name in enumerate(node.inputs):
                if name in self._made:
                    inputs.append(_name(name, block))
                    continue
                right = node.operator is Operator.MATMUL and place == 1
                sliced, made = self._sliced(name, spans, right=right)
                inputs.append(sliced)
                nodes += made
            output = self._part(node.outputs[0], block)
            nodes.append(
                replace(
                    node,
                    name=f"{node.name} [{number + 1}/{count}]",
                    inputs=tuple(inputs),
                    outputs=(output,),
                    onnx_nodes=(),
                )
            )
        return nodes

    def joined(self, blocks: list[_Block]) -> list[Node]:
        """What others read of the region, put together: blocks lie behind one another in memory."""
        nodes: list[Node] = []
        for name in self._given:
            tensor = self.graph.tensor(name)
            width, inner = tensor.shape[-1], self.region.rows[-1]
            row = (inner, width) if all(block.length % inner == 0 for block in blocks) else (width,)
            flat = []
            for block in sorted(blocks, key=lambda block: block.first):
                part = _name(name, block)
                rows = self.tensors[part].elements // prod(row)
                flat.append(self._shaped(part, (rows, *row), nodes))
            whole = f"{name} [rows]"
            shape = (tensor.elements // prod(row), *row)
            self.tensors[whole] = replace(tensor, name=whole, shape=shape)
            nodes.append(self._node(whole, Operator.CONCAT, tuple(flat), ConcatAttributes(0)))
            nodes.append(self._node(name, Operator.RESHAPE, (whole,), Attributes()))
        return nodes

    def _shaped(self, name: str, shape: tuple[int, ...], nodes: list[Node]) -> str:
        flat = f"{name} [rows]"
        self.tensors[flat] = replace(self.tensors[name], name=flat, shape=shape)
        nodes.append(self._node(flat, Operator.RESHAPE, (name,), Attributes()))
        return flat

    def _part(self, name: str, block: _Block) -> str:
        """The tensor that a block makes of `name`."""
        tensor = self.graph.tensor(name)
        part = _name(name, block)
        shape = (*(length for _, length in block.spans(tensor.shape[:-1])), tensor.shape[-1])
        self.tensors[part] = replace(tensor, name=part, shape=shape)
        return part

    def _sliced(
        self, name: str, spans: tuple[tuple[int, int], ...], *, right: bool
    ) -> tuple[str, list[Node]]:
        """What a block needs of a tensor from outside; of a product's right operand, whole matrices.

        What several blocks need, such as rows of a mask, is copied, so that it can stay in SRAM for them.
        """
        tensor = self.graph.tensor(name)
        rank = len(spans) + 1
        own: list[tuple[int, int]] = []
        for axis, size in enumerate(tensor.shape):
            place = axis + rank - len(tensor.shape)
            whole = size == 1 or place == rank - 1 or (right and place == rank - 2)
            own.append((0, size) if whole else spans[place])
        if all(span == (0, size) for span, size in zip(own, tensor.shape, strict=True)):
            return name, []
        key = (name, tuple(own))
        if key in self._cut:
            return self._cut[key], []
        part = f"{name} [{' '.join(f'{first}+{length}' for first, length in own)}]"
        self._cut[key] = part
        shape = tuple(length for _, length in own)
        data = tensor.data
        if data is not None:
            data = np.ascontiguousarray(data[tuple(slice(first, first + n) for first, n in own)])
        self.tensors[part] = replace(tensor, name=part, shape=shape, data=data)
        if data is not None:
            return part, []
        starts = SliceAttributes(tuple(first for first, _ in own), (1,) * len(own))
        if right or tensor.elements // tensor.shape[-1] == prod(self.region.rows):
            return part, [self._node(part, Operator.SLICE, (name,), starts)]
        cut = f"{part} [cut]"
        self.tensors[cut] = replace(self.tensors[part], name=cut)
        return part, [
            self._node(cut, Operator.SLICE, (name,), starts),
            self._node(part, Operator.CONCAT, (cut,), ConcatAttributes(0)),
        ]

    def _node(self, output: str, operator: Operator, inputs: tuple[str, ...], attributes: Attributes) -> Node:
        return Node(output, operator, inputs, (output,), attributes, operator.value)


def _name(name: str, block: _Block) -> str:
    return f"{name} [{block.first}+{block.length}]"
