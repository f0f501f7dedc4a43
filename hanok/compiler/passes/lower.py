"""Lower graph nodes to layers: layouts instead of moves where possible, epilogues fused into their layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hanok.compiler.formula_layer import Origin, Tail
from hanok.compiler.layers import CopyLayer, Epilogue, Layer, MatrixLayer, StridedLayer
from hanok.compiler.layout import Layout, dense
from hanok.compiler.passes import lower_formula, lower_matrix, lower_product, lower_vector
from hanok.compiler.passes.concat_order import order_for_reader
from hanok.compiler.passes.fuse_residual import fuse_residual
from hanok.compiler.passes.paired_views import paired_loops, runs, views_of
from hanok.compiler.supported import reason_for_host
from hanok.compiler.view import Storage, View
from hanok.errors import CompileError
from hanok.graph import (
    ConcatAttributes,
    DType,
    Graph,
    LookupAttributes,
    Node,
    Operator,
    PadAttributes,
    Quantization,
    SliceAttributes,
    Tensor,
    TransposeAttributes,
)
from hanok.machine import Sram

IMAGE_AXES = ((0,), (2,), (3,), (1,))


def element_bytes(tensor: Tensor) -> int:
    """Bytes of an element in memory."""
    return 4 if tensor.dtype is DType.FLOAT32 else 1


def channels_last(rank: int) -> tuple[int, ...]:
    """The stored order of axes with the channel axis (1) last."""
    return (0, *range(2, rank), 1) if rank >= 3 else tuple(range(rank))


class Lowering:
    """Layouts of all tensors so far, and the layers of the present stage."""

    def __init__(self, graph: Graph, sram: Sram) -> None:
        self.graph, self.sram = graph, sram
        self.layouts: dict[str, Layout] = {}
        self.layers: list[Layer] = []
        self.pads: dict[str, Node] = {}
        self._moved: dict[tuple[Storage, tuple[int, ...], tuple[int, ...], int, tuple[int, ...]], Layout] = {}
        self.makers: dict[str, MatrixLayer] = {}
        self.axes: dict[MatrixLayer, tuple[tuple[int, ...], ...]] = {}
        self._reshaped_rows: dict[str, str] = {}
        self._readers = graph.consumers()

    def stage(self, nodes: tuple[Node, ...]) -> list[Layer]:
        """Lower the nodes of one NPU stage."""
        self.layers = []
        self.makers = {}
        for node in nodes:
            self._lower(node)
        return self.layers

    def _lower(self, node: Node) -> None:
        match node.operator:
            case Operator.MATMUL if self.tensor(node.inputs[1]).data is None:
                lower_product.product(self, node)
            case Operator.CONV | Operator.CONV_TRANSPOSE | Operator.MATMUL:
                lower_matrix.lower(self, node)
            case Operator.LOOKUP:
                self._lookup(node)
            case Operator.ADD:
                if not fuse_residual(self, node):
                    lower_vector.elementwise(self, node)
            case Operator.SUB | Operator.MUL | Operator.DIV:
                lower_vector.elementwise(self, node)
            case Operator.MAX_POOL | Operator.AVERAGE_POOL:
                lower_vector.pool(self, node)
            case Operator.REDUCE_MEAN:
                lower_vector.reduce_mean(self, node)
            case Operator.SOFTMAX:
                lower_vector.softmax(self, node)
            case Operator.RESIZE:
                lower_vector.resize(self, node)
            case Operator.FORMULA:
                lower_formula.formula(self, node)
            case Operator.CONCAT:
                self._concat(node)
            case Operator.PAD:
                self._pad(node)
            case Operator.SLICE:
                self._slice(node)
            case Operator.RESHAPE:
                self._reshape(node)
            case Operator.TRANSPOSE:
                self._transpose(node)
            case _:
                raise CompileError(f"{node.onnx_type} '{node.name}' cannot be lowered to the NPU")

    # Facts

    def tensor(self, name: str) -> Tensor:
        """The graph's tensor."""
        return self.graph.tensor(name)

    def quantization(self, name: str) -> Quantization:
        """The quantization that every int8 tensor has."""
        quantization = self.graph.tensor(name).quantization
        assert quantization is not None, f"tensor '{name}' has no quantization"
        return quantization

    def origin(self, node: Node, macs: int = 0) -> Origin:
        """Where a layer of `node` comes from."""
        return Origin(node.name, node.onnx_type or node.operator.value, (node.name,), macs)

    def only_reader(self, name: str) -> bool:
        """Whether exactly one node reads `name`, and the user does not."""
        return len(self._readers.get(name, [])) == 1 and name not in self.graph.outputs

    def readers(self, name: str) -> list[Node]:
        """The nodes that read `name`."""
        return self._readers.get(name, [])

    def reader_of(self, name: str) -> Node | None:
        """The only node that reads `name`; None where there are several, or the user does."""
        return self._readers[name][0] if self.only_reader(name) else None

    def only_read_by(self, name: str, operators: tuple[Operator, ...]) -> bool:
        """Whether every reader of `name` is one of `operators`."""
        readers = self._readers.get(name, [])
        return (
            bool(readers) and name not in self.graph.outputs and all(r.operator in operators for r in readers)
        )

    # Layouts

    def layout(self, name: str) -> Layout:
        """Where a tensor lies; inputs of the program get a place at first sight."""
        if name not in self.layouts:
            tensor = self.graph.tensor(name)
            order = channels_last(len(tensor.shape)) if self._wants_channels_last(name) else None
            self.layouts[name] = self.fresh(name, order)
        return self.layouts[name]

    def fresh(self, name: str, order: tuple[int, ...] | None = None) -> Layout:
        """A new dense layout for tensor `name`, stored in `order` (default: as written)."""
        tensor = self.graph.tensor(name)
        size = element_bytes(tensor)
        storage = Storage(name, tensor.elements * size)
        return dense(storage, tensor.shape, order or tuple(range(len(tensor.shape))), size)

    def define(self, name: str, layout: Layout) -> Layout:
        """Record where a node's output lies."""
        self.layouts[name] = layout
        return layout

    def _wants_channels_last(self, name: str, depth: int = 0) -> bool:
        images = (
            Operator.CONV,
            Operator.CONV_TRANSPOSE,
            Operator.MAX_POOL,
            Operator.AVERAGE_POOL,
            Operator.RESIZE,
        )
        through = (Operator.LOOKUP, Operator.ADD, Operator.MUL, Operator.PAD, Operator.CONCAT, Operator.SLICE)
        for reader in self._readers.get(name, []):
            if reader.operator in images:
                return True
            unit_only = reader.operator is Operator.RESHAPE and len(self.tensor(reader.outputs[0]).shape) == 4
            passes = reader.operator in through or unit_only
            if passes and depth < 8 and self._wants_channels_last(reader.outputs[0], depth + 1):
                return True
        return False

    def moved(self, layout: Layout, order: tuple[int, ...], origin: Origin) -> Layout:
        """The same tensor gathered into a fresh dense storage in `order`; done once for each order."""
        key = (layout.storage, layout.shape, layout.strides, layout.offset, order)
        if key not in self._moved:
            size = layout.element_bytes
            storage = Storage(f"{layout.storage.name} ({origin.name})", size * int(np.prod(layout.shape)))
            target = dense(storage, layout.shape, order, size)
            source, output = (
                View.dense(one, (1, 1, 1, one.size_bytes // size), element_bytes=size)
                for one in (layout.storage, storage)
            )
            self.layers.append(
                StridedLayer(
                    replace(origin, onnx_type=f"{origin.onnx_type} (layout)", macs=0),
                    source,
                    output,
                    tuple(layout.shape[axis] for axis in order),
                    tuple(layout.strides[axis] for axis in order),
                    layout.offset,
                )
            )
            self._moved[key] = target
        return self._moved[key]

    def copied(self, layout: Layout, origin: Origin) -> Layout:
        """The same tensor in a storage of its own."""
        return self.moved(layout, layout.order, origin)

    def image(self, name: str, axes: tuple[tuple[int, ...], ...], origin: Origin) -> View:
        """A view [N][H][W][C] over logical axes; the tensor is gathered anew where strides forbid one."""
        layout = self.operand_layout(name)
        view = layout.image(axes)
        if view is None:
            order = tuple(axis for group in axes for axis in group)
            view = self.moved(layout, order, origin).image(axes)
        assert view is not None, f"a dense layout of '{name}' has no image"
        return view

    def target(self, node: Node, axes: tuple[tuple[int, ...], ...]) -> View:
        """A fresh dense output stored as [N][H][W][C] over logical axes."""
        order = tuple(axis for group in axes for axis in group)
        view = self.define(node.outputs[0], self.fresh(node.outputs[0], order)).image(axes)
        assert view is not None, "a fresh layout has an image"
        return view

    # Fusion

    def add_matrix(self, node: Node, layer: MatrixLayer, axes: tuple[tuple[int, ...], ...]) -> None:
        """Append a matrix layer and remember it as a place for epilogues."""
        self.layers.append(layer)
        self.makers[node.outputs[0]] = layer
        self.axes[layer] = axes

    def real_maker(self, name: str) -> tuple[MatrixLayer, tuple[tuple[int, ...], ...]] | None:
        """The matrix layer that makes a float32 tensor for one reader alone, and its axes."""
        maker, rows = self.makers.get(name), self._reshaped_rows.get(name)
        if maker is None and rows is not None:
            maker = self.makers.get(rows)
        if maker is None or not maker.real or maker.tail is not None or not self.only_reader(name):
            return None
        if rows is None:
            return maker, self.axes[maker]
        rank = len(self.tensor(name).shape)
        return maker, ((), tuple(range(rank - 1)), (), (rank - 1,))

    def append_tail(
        self, node: Node, absorbed: str, maker: MatrixLayer, tail: Tail, axes: tuple[tuple[int, ...], ...]
    ) -> None:
        """Let a matrix layer also make a formula, which `node` is, over tensors under `axes`."""
        origin = replace(maker.origin, onnx_nodes=(*maker.origin.onnx_nodes, node.name))
        origin = replace(origin, onnx_type=f"{origin.onnx_type}+{node.onnx_type}")
        self.layers.remove(maker)
        self.makers.pop(self._reshaped_rows.get(absorbed, absorbed))
        self.add_matrix(node, replace(maker, origin=origin, output=tail.layer.output, tail=tail), axes)

    def _lookup(self, node: Node) -> None:
        source, attributes = node.inputs[0], node.attributes
        assert isinstance(attributes, LookupAttributes), f"{node.name}: no table"
        maker = self.makers.get(source)
        if maker is None or not self.only_reader(source) or maker.epilogue.table is not None:
            lower_vector.lookup(self, node, attributes.table)
            return
        if maker.epilogue.residual is not None:
            lower_vector.lookup(self, node, attributes.table)
            return
        epilogue = replace(maker.epilogue, table=attributes.table)
        self.refit(node, source, maker, epilogue)

    def refit(self, node: Node, absorbed: str, maker: MatrixLayer, epilogue: Epilogue) -> None:
        """Replace a layer by one that also does `node`; it moves to the end, where all operands exist."""
        axes = self.axes[maker]
        output = self.target(node, axes)
        origin = replace(maker.origin, onnx_nodes=(*maker.origin.onnx_nodes, node.name))
        origin = replace(origin, onnx_type=f"{origin.onnx_type}+{node.onnx_type}")
        self.layers.remove(maker)
        self.makers.pop(absorbed)
        self.add_matrix(node, replace(maker, origin=origin, output=output, epilogue=epilogue), axes)

    # Movement

    def pairs(self, source: Layout, target: Layout, origin: Origin) -> list[tuple[View, View]]:
        """Views of two layouts of one shape under the same [N][H][W][C], in the target's order.

        A source that strides forbid to read so is gathered first. More than four loops give several pairs.
        """
        loops = paired_loops(source, target)
        if len(loops) > 4 or min(first for _, first, _ in loops) < 1 or not runs(source, target):
            source = self.moved(source, target.order, origin)
            loops = paired_loops(source, target)
        return views_of(source, target, loops, 0, 0)

    def _concat(self, node: Node) -> None:
        attributes = node.attributes
        assert isinstance(attributes, ConcatAttributes), f"{node.name}: no axis"
        activations = [name for name in node.inputs if self.tensor(name).data is None]
        order = self.layout(activations[0]).order if activations else None
        order = order and order_for_reader(self, node.outputs[0], order)
        output = self.define(node.outputs[0], self.fresh(node.outputs[0], order))
        position = 0
        for name in node.inputs:
            shape = self.tensor(name).shape
            starts = tuple(position if axis == attributes.axis else 0 for axis in range(len(shape)))
            part = output.sliced(starts, (1,) * len(shape), shape)
            for views in self.pairs(self.operand_layout(name), part, self.origin(node)):
                self.layers.append(CopyLayer(self.origin(node), *views))
            position += shape[attributes.axis]

    def operand_layout(self, name: str) -> Layout:
        """Where an operand lies; a constant is given a storage with its bytes."""
        tensor = self.tensor(name)
        if tensor.data is None or name in self.layouts:
            return self.layout(name)
        layout = self.define(name, self.fresh(name))
        kind = "<f4" if tensor.dtype is DType.FLOAT32 else "<i1"
        layout.storage.content = np.ascontiguousarray(tensor.data.astype(kind)).tobytes()
        return layout

    def _pad(self, node: Node) -> None:
        attributes, source = node.attributes, node.inputs[0]
        assert isinstance(attributes, PadAttributes), f"{node.name}: no padding"
        spatial = len(attributes.before) == 4 and not any((*attributes.before[:2], *attributes.after[:2]))
        if self.tensor(source).dtype is DType.FLOAT32:
            self.emit_pad(node, attributes)
            return
        zero = self.quantization(source).scalar_zero
        same = attributes.value == zero and zero == self.quantization(node.outputs[0]).scalar_zero
        readers = self._readers.get(node.outputs[0], [])
        on_npu = all(reason_for_host(self.graph, reader) is None for reader in readers)
        if spatial and same and on_npu and self.only_read_by(node.outputs[0], (Operator.CONV,)):
            self.pads[node.outputs[0]] = node
            return
        self.emit_pad(node, attributes)

    def emit_pad(self, node: Node, attributes: PadAttributes) -> None:
        """Append a copy into a filled output."""
        source = self.operand_layout(node.inputs[0])
        output = self.define(node.outputs[0], self.fresh(node.outputs[0], source.order))
        part = output.sliced(attributes.before, (1,) * len(source.shape), source.shape)
        fill: int | None = attributes.value
        for inner, outer in self.pairs(source, part, self.origin(node)):
            self.layers.append(CopyLayer(self.origin(node), inner, outer, fill))
            fill = None

    def _slice(self, node: Node) -> None:
        attributes = node.attributes
        assert isinstance(attributes, SliceAttributes), f"{node.name}: no starts"
        source = self.operand_layout(node.inputs[0])
        shape = self.tensor(node.outputs[0]).shape
        self.define(node.outputs[0], source.sliced(attributes.starts, attributes.steps, shape))

    def _transpose(self, node: Node) -> None:
        attributes = node.attributes
        assert isinstance(attributes, TransposeAttributes), f"{node.name}: no permutation"
        source = self.operand_layout(node.inputs[0])
        self.define(node.outputs[0], source.transposed(attributes.permutation))

    def _reshape(self, node: Node) -> None:
        source, shape = self.operand_layout(node.inputs[0]), self.tensor(node.outputs[0]).shape
        layout = source.reshaped(shape)
        if layout is None:
            order = _merge_order(source, shape)
            layout = self.moved(source, order, self.origin(node)).reshaped(shape)
        assert layout is not None, "a dense layout in logical order can be reshaped"
        self.define(node.outputs[0], layout)
        self._note_rows(node)

    def _note_rows(self, node: Node) -> None:
        """Remember a product whose rows a RESHAPE only counts in another way."""
        source, shape = node.inputs[0], self.tensor(node.outputs[0]).shape
        maker = self.makers.get(source)
        if maker is None or not self.only_reader(source) or len(shape) < 2:
            return
        axes, before = self.axes[maker], self.tensor(source).shape
        if axes[0] == axes[2] == () and axes[3] == (len(before) - 1,) and before[-1] == shape[-1]:
            self._reshaped_rows[node.outputs[0]] = source

    def bound(self, name: str) -> Layout:
        """A dense layout of a tensor that the host or the user touches; gathered where it has gaps."""
        layout = self.layout(name)
        if not layout.is_dense:
            layout = self.moved(layout, tuple(range(len(layout.shape))), Origin(name, "Output", (name,)))
        return layout


def _merge_order(source: Layout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The order in which to gather before merging axes: channels last if the result is an image."""
    identity = tuple(range(len(source.shape)))
    if len(shape) != 4 or source.order == identity:
        return identity
    groups: list[list[int]] = [[] for _ in shape]
    position = 0
    for target, length in enumerate(shape):
        covered = 1
        while covered < length and position < len(source.shape):
            covered *= source.shape[position]
            groups[target].append(position)
            position += 1
        if covered != length:
            return identity
    rest = list(range(position, len(source.shape)))
    return (*groups[0], *groups[2], *groups[3], *groups[1], *rest)
