"""Weights in 2 to 8 bits with a scale for each group (MatMulNBits, blocked DequantizeLinear) become plain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hanok.errors import ModelError
from hanok.graph._external import MAX_TOTAL_BYTES
from hanok.graph._working import DEQUANTIZE, STANDARD_DOMAINS
from hanok.numerics.nibble_grids import fit_entries, nearest_nibbles
from hanok.numerics.nibbles import NIBBLES, weights_of

Array = npt.NDArray[Any]
_MICROSOFT = "com.microsoft"
_ACTIVATION_QUANTISERS = ("QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
_WIDTHS = (2, 4, 8)
MOST_GROUP_ROWS = 128
"""Blocks of more weights are several groups with a grid each."""


def unpack_weights(model: ModelProto, origin: str) -> None:
    """Replace packed weights by float32 constants, in place; in a model with int8 activations by int8 ones.

    A model whose weights alone are quantised is a float model to the quantiser, which then measures its
    activations. Where activations have scales already, weights get one for each output channel: the int4
    values times their groups' scales, rounded to int8. Those of four bits are rounded to grids of sixteen
    weights, where the compiler finds them again.

    MatMulNBits: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; blocked
    DequantizeLinear: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html.
    """
    names = {node.op_type for node in model.graph.node}
    whole = not any(name in _ACTIVATION_QUANTISERS or name.startswith("QLinear") for name in names)
    unpacker = _Unpacker(model, origin, keep_int8=not whole)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "MatMulNBits" and node.domain == _MICROSOFT:
            nodes += unpacker.product(node)
        elif node.op_type == DEQUANTIZE and node.domain in STANDARD_DOMAINS:
            nodes += unpacker.dequantised(node, blocked_only=not whole)
        else:
            nodes.append(node)
    if unpacker.found:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        unpacker.remove_unread()


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    """Constants of the main graph by name: initializers, and the values of Constant nodes."""
    found = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            held = [one.t for one in node.attribute if one.name == "value" and one.HasField("t")]
            found.update(zip(node.output, held, strict=False))
    return found


class _Unpacker:
    """Turns nodes of one model into constants and what reads them."""

    def __init__(self, model: ModelProto, origin: str, *, keep_int8: bool) -> None:
        self.model = model
        self.origin = origin
        self.found = False
        self._keep_int8 = keep_int8
        self._constants = _constants(model)
        self._bytes = 0

    def product(self, node: NodeProto) -> list[NodeProto]:
        """MatMulNBits as MatMul with a weight [K, N], and Add of its bias."""
        inner, columns, width, block = (
            self._integer(node, name) for name in ("K", "N", "bits", "block_size")
        )
        if width not in _WIDTHS or not 16 <= block <= 1 << 16 or block & (block - 1):
            self._refuse(
                node, f"{width} bits in blocks of {block}; allowed: 2, 4 or 8 bits, a power of two from 16"
            )
        groups = math.ceil(inner / block)
        self._count(node, columns * groups * block)
        codes = self._packed(node, 1, (columns, groups, block), width)
        scales = self._floats(node, 2, columns * groups).reshape(columns, groups)
        zeros = self._zeros(node, (columns, groups), width)
        order = self._constant(node, 4)
        if order is None:
            values = ((codes - zeros[..., None]) * scales[..., None]).reshape(columns, -1)[:, :inner]
        else:
            places = order.astype(np.int64).reshape(-1)
            if places.size < inner or places.min(initial=0) < 0 or places.max(initial=0) >= groups:
                self._refuse(node, f"its group indices; allowed: {inner} of them, each in 0..{groups - 1}")
            places = places[:inner]
            values = (codes.reshape(columns, -1)[:, :inner] - zeros[:, places]) * scales[:, places]
        weight = np.ascontiguousarray(values.T.astype(np.float32))
        grouped = block if width == 4 and order is None else 0
        made, name = self._weight(node.output[0] + "/weight", weight, axis=1, block=grouped)
        bias = node.input[5] if len(node.input) > 5 else ""
        output = node.output[0] + "/product" if bias else node.output[0]
        made.append(helper.make_node("MatMul", [node.input[0], name], [output], node.name))
        if bias:
            made.append(helper.make_node("Add", [output, bias], [node.output[0]], f"{node.name}/bias"))
        return made

    def dequantised(self, node: NodeProto, *, blocked_only: bool) -> list[NodeProto]:
        """DequantizeLinear of a constant as that constant; of anything else as it is."""
        block = self._integer(node, "block_size", 0)
        content, scale = self._constant(node, 0), self._constant(node, 1)
        if content is None or scale is None or (blocked_only and not block):
            return [node]
        zero = self._constant(node, 2)
        axis = self._integer(node, "axis", 1)
        if content.ndim and not -content.ndim <= axis < content.ndim:
            self._refuse(node, f"axis {axis}; allowed: {-content.ndim}..{content.ndim - 1}")
        axis = axis % max(1, content.ndim)
        self._count(node, content.size)
        scales = self._spread(node, scale.astype(np.float32), content.shape, axis, block)
        zeros = np.zeros((), np.float32)
        if zero is not None:
            zeros = self._spread(node, zero.astype(np.float32), content.shape, axis, block)
        values = (content.astype(np.float32) - zeros) * scales
        channel = (0 if axis else content.ndim - 1) if content.ndim > 1 else 0
        grouped = block if content.dtype.itemsize == 1 and np.ptp(content.astype(np.int16)) < NIBBLES else 0
        return self._weight(node.output[0], values.astype(np.float32), axis=channel, block=grouped)[0]

    def remove_unread(self) -> None:
        """Drop the packed constants that nobody reads any more."""
        graph = self.model.graph
        read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
        for node in graph.node:
            read |= {
                name
                for attribute in node.attribute
                for inner in (attribute.g, *attribute.graphs)
                for reader in inner.node
                for name in reader.input
            }
        kept = [item for item in graph.initializer if item.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)

    def _weight(self, name: str, values: Array, axis: int, block: int) -> tuple[list[NodeProto], str]:
        """Add a constant, as float32 or as int8 behind a DequantizeLinear; return nodes and its name.

        `axis` is the output channels'. Where `block` is not 0, so many weights of a channel have 16 values.
        """
        self.found = True
        if not self._keep_int8 or values.ndim < 2:
            self.model.graph.initializer.append(numpy_helper.from_array(values, name))
            return [], name
        others = tuple(other for other in range(values.ndim) if other != axis)
        scale = np.maximum(np.abs(values).max(axis=others), np.float32(1e-30)) / np.float32(127)
        shape = [-1 if other == axis else 1 for other in range(values.ndim)]
        codes = self._rounded(values / scale.reshape(shape), axis, block)
        constants = (codes, scale.astype(np.float32), np.zeros(scale.shape, np.int8))
        inputs = [f"{name}/{part}" for part in ("int8", "scale", "zero")]
        for value, label in zip(constants, inputs, strict=True):
            self.model.graph.initializer.append(numpy_helper.from_array(value, label))
        return [helper.make_node(DEQUANTIZE, inputs, [name], f"{name}/dequantize", axis=axis)], name

    def _rounded(self, steps: Array, axis: int, block: int) -> npt.NDArray[np.int8]:
        """Weights in steps of their channels as int8; on grids of sixteen where their blocks are such."""
        turned = steps.T if axis == 0 else steps
        group_rows = min(block, MOST_GROUP_ROWS)
        if steps.ndim != 2 or not group_rows or len(turned) % group_rows:
            return np.clip(np.rint(steps), -127, 127).astype(np.int8)
        entries = fit_entries(turned, group_rows)
        found = weights_of(nearest_nibbles(turned, entries), entries)
        return np.ascontiguousarray(found.T if axis == 0 else found)

    def _packed(self, node: NodeProto, place: int, shape: tuple[int, ...], width: int) -> Array:
        """Codes of `width` bits, the first in the lowest bits of a byte, as float32 of `shape`."""
        content = self._constant(node, place)
        row = shape[-1] * width // 8
        wanted = math.prod(shape[:-1]) * row
        if content is None or content.dtype != np.uint8 or content.size != wanted:
            self._refuse(node, f"input {place}; allowed: a constant of {wanted} bytes")
        assert content is not None
        shifts = np.arange(0, 8, width, dtype=np.uint8)
        codes = (content.reshape(-1, 1) >> shifts) & np.uint8((1 << width) - 1)
        return codes.reshape(shape).astype(np.float32)

    def _zeros(self, node: NodeProto, shape: tuple[int, int], width: int) -> Array:
        """Zero points [N, groups]: packed codes, floats, or the middle of the range."""
        content = self._constant(node, 3)
        if content is None:
            return np.full(shape, 1 << (width - 1), np.float32)
        if content.dtype != np.uint8:
            return self._floats(node, 3, math.prod(shape)).reshape(shape)
        columns, groups = shape
        each = 8 // width
        padded = -(-groups // each) * each
        return self._packed(node, 3, (columns, padded), width)[:, :groups]

    def _floats(self, node: NodeProto, place: int, count: int) -> Array:
        content = self._constant(node, place)
        if content is None or content.size != count or content.dtype.kind != "f":
            self._refuse(node, f"input {place}; allowed: a constant of {count} floats")
        assert content is not None
        return content.astype(np.float32)

    def _spread(self, node: NodeProto, value: Array, shape: tuple[int, ...], axis: int, block: int) -> Array:
        """Scales or zero points as they broadcast against the content."""
        if value.size == 1:
            return value.reshape(())
        if not block:
            if value.size != shape[axis]:
                self._refuse(node, f"{value.size} scales for {shape[axis]} slices; allowed: one for each")
            return value.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        wanted = tuple(math.ceil(size / block) if other == axis else size for other, size in enumerate(shape))
        if value.shape != wanted:
            self._refuse(node, f"scales of shape {value.shape}; allowed: {wanted}")
        spread = np.repeat(value, block, axis)
        return np.take(spread, np.arange(shape[axis]), axis)

    def _constant(self, node: NodeProto, place: int) -> Array | None:
        name = node.input[place] if place < len(node.input) else ""
        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def _integer(self, node: NodeProto, name: str, default: int | None = None) -> int:
        for attribute in node.attribute:
            if attribute.name == name:
                return int(attribute.i)
        if default is None:
            self._refuse(node, f"no attribute '{name}'; allowed: with it")
        return default or 0

    def _count(self, node: NodeProto, elements: int) -> None:
        """Keep the unpacked weights within what a model may hold."""
        self._bytes += 4 * max(0, elements)
        if elements <= 0 or self._bytes > MAX_TOTAL_BYTES:
            self._refuse(node, f"{elements} weights; allowed: weights of {MAX_TOTAL_BYTES} bytes as float32")

    def _refuse(self, node: NodeProto, found: str) -> None:
        raise ModelError(f"{self.origin}: {node.op_type} '{node.name or node.output[0]}': {found}")
