"""Attention and RotaryEmbedding (ONNX opset 23) as the products, slices and sums that define them.

Grouped queries stay a broadcast: heads that share keys are an axis of their own, along which keys and values
have length 1, so that nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from hanok.graph._working import Operation, WorkingGraph
from hanok.graph._writer import Writer

_MASKED = np.float32(-1e30)
"""What a mask adds where ONNX adds minus infinity, which has no product with 0."""


@dataclass
class _Writer(Writer):
    """Also makes additive masks, which layers share."""

    masks: dict[str, str] = field(default_factory=dict)

    def additive(self, mask: str) -> str:
        """0 where a bool mask is true, else a number that no exponential survives."""
        if mask not in self.masks:
            zero, low = (self.constant(np.float32(value)) for value in (0.0, _MASKED))
            self.masks[mask] = self.apply("Where", [mask, zero, low], self.shape(mask))
        return self.masks[mask]


def expand_attention(working: WorkingGraph) -> bool:
    """Replace every Attention and RotaryEmbedding of float32 tensors whose shapes are known."""
    replaced: dict[int, list[Operation]] = {}
    masks: dict[str, str] = {}
    for operation in working.operations:
        if operation.domain or working.types.get(operation.inputs[0] if operation.inputs else "") != (
            TensorProto.FLOAT
        ):
            continue
        writer = _Writer(working, operation.name or operation.outputs[0], masks=masks)
        done = False
        if operation.op_type == "Attention":
            done = _attention(writer, operation)
        elif operation.op_type == "RotaryEmbedding":
            done = _rotary_embedding(writer, operation)
        if done:
            replaced[id(operation)] = writer.operations
    working.operations = [new for one in working.operations for new in replaced.get(id(one), [one])]
    return bool(replaced)


def _attention(w: _Writer, operation: Operation) -> bool:
    """softmax(Q K^T scale + mask) V, with the keys and values of the past before the new ones."""
    if len(operation.outputs) > 3 or operation.input(6) or operation.has("left_window_size"):
        return False
    flat = len(w.shape(operation.inputs[0])) == 3
    counts = [operation.integer(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    heads = [
        _split_heads(w, name, count) if flat else name
        for name, count in zip(operation.inputs[:3], counts, strict=True)
    ]
    queries, keys, values = heads
    keys = _with_past(w, keys, operation.input(4), operation.outputs[1:2])
    values = _with_past(w, values, operation.input(5), operation.outputs[2:3])
    batch, count, rows, size = w.shape(queries)
    shared, length, width = w.shape(keys)[1], w.shape(keys)[2], w.shape(values)[3]
    if count % shared:
        return False
    groups = (batch, shared, count // shared)
    queries = w.reshape(queries, *groups, rows, size)
    keys = w.reshape(keys, batch, shared, 1, length, size)
    values = w.reshape(values, batch, shared, 1, length, width)
    scale = operation.real("scale") or 1 / math.sqrt(size)
    scores = w.product(queries, w.transpose(keys, 0, 1, 2, 4, 3))
    scores = w.joined("Mul", scores, w.constant(np.float32(scale)))
    cap = operation.real("softcap")
    if cap:
        bent = w.joined("Mul", scores, w.constant(np.float32(1 / cap)))
        bent = w.apply("Tanh", [bent], w.shape(bent))
        scores = w.joined("Mul", bent, w.constant(np.float32(cap)))
    past = length - w.shape(heads[1])[2]
    for bias in _biases(w, operation, (rows, length), groups, past):
        scores = w.joined("Add", scores, bias)
    chances = w.apply("Softmax", [scores], w.shape(scores), axis=-1)
    mixed = w.product(chances, values)
    output = operation.outputs[0]
    if flat:
        mixed = w.transpose(w.reshape(mixed, batch, count, rows, width), 0, 2, 1, 3)
        w.reshape(mixed, batch, rows, count * width, result=output)
    else:
        w.reshape(mixed, batch, count, rows, width, result=output)
    return True


def _split_heads(w: _Writer, name: str, count: int) -> str:
    """[batch][rows][heads * size] as [batch][heads][rows][size]."""
    batch, rows, width = w.shape(name)
    return w.transpose(w.reshape(name, batch, rows, count, width // count), 0, 2, 1, 3)


def _with_past(w: _Writer, name: str, past: str, outputs: Sequence[str]) -> str:
    """The past's rows before the new ones, under the name of the operation's output where it has one."""
    result = outputs[0] if outputs else ""
    if past:
        return w.concat([past, name], 2, result)
    if not result:
        return name
    return w.reshape(name, *w.shape(name), result=result)


def _biases(
    w: _Writer, operation: Operation, size: tuple[int, int], groups: tuple[int, int, int], past: int
) -> list[str]:
    """What is added to the scores: the mask, and minus a lot above the diagonal of a causal attention."""
    found = []
    mask = operation.input(3)
    if mask:
        shape = w.shape(mask)
        content = w.working.constant(mask)
        if content is not None and content.dtype == bool:
            mask = w.constant(np.where(content, np.float32(0), _MASKED).astype(np.float32))
        elif w.working.types.get(mask) == TensorProto.BOOL:
            mask = w.additive(mask)
        if shape[-1] < size[1]:
            widths = [0] * (2 * len(shape) - 1) + [size[1] - shape[-1]]
            operands = [mask, w.constant(np.array(widths, np.int64)), w.constant(_MASKED)]
            shape = (*shape[:-1], size[1])
            mask = w.apply("Pad", operands, shape)
        found.append(_by_groups(w, mask, shape, groups))
    if operation.integer("is_causal"):
        later = np.arange(size[1])[None] > np.arange(size[0])[:, None] + past
        found.append(w.constant(np.where(later, _MASKED, np.float32(0)).astype(np.float32)))
    return found


def _by_groups(w: _Writer, mask: str, shape: tuple[int, ...], groups: tuple[int, int, int]) -> str:
    """A mask over [batch][heads][rows][keys] over [batch][key heads][heads of each][rows][keys]."""
    if len(shape) < 3:
        return mask
    heads = groups[1:] if shape[-3] > 1 else (1, 1)
    return w.reshape(mask, *shape[:-3], *heads, *shape[-2:])


def _rotary_embedding(w: _Writer, operation: Operation) -> bool:
    """Pairs of elements turned by an angle of each position; elements behind the turned ones stay."""
    source, output = operation.inputs[0], operation.outputs[0]
    flat = len(w.shape(source)) == 3
    count = operation.integer("num_heads")
    x = _split_heads(w, source, count) if flat else source
    batch, count, rows, size = w.shape(x)
    turned = operation.integer("rotary_embedding_dim") or size
    angles = []
    for position in (1, 2):
        cache = operation.inputs[position]
        if operation.input(3):
            shape = (*w.shape(operation.inputs[3]), w.shape(cache)[-1])
            cache = w.apply("Gather", [cache, operation.inputs[3]], shape, axis=0)
        angles.append(w.reshape(cache, w.shape(cache)[0], 1, *w.shape(cache)[1:]))
    interleaved = bool(operation.integer("interleaved"))
    if interleaved:
        parts = [w.slice(x, 3, start, turned, 2) for start in (0, 1)]
    else:
        parts = [w.slice(x, 3, start, start + turned // 2) for start in (0, turned // 2)]
    cosine, sine = angles
    real = w.joined("Sub", w.joined("Mul", parts[0], cosine), w.joined("Mul", parts[1], sine))
    imaginary = w.joined("Add", w.joined("Mul", parts[0], sine), w.joined("Mul", parts[1], cosine))
    made = [real, imaginary]
    if interleaved:
        pairs = [w.reshape(part, batch, count, rows, turned // 2, 1) for part in made]
        made = [w.reshape(w.concat(pairs, 4), batch, count, rows, turned)]
    if turned < size:
        made.append(w.slice(x, 3, turned, size))
    last = "" if flat else output
    joined = w.concat(made, 3, last) if len(made) > 1 else w.reshape(made[0], *w.shape(made[0]), result=last)
    if flat:
        w.reshape(w.transpose(joined, 0, 2, 1, 3), batch, rows, count * size, result=output)
    return True
