"""The int8 model of a decoder, quantised part by part, so that only one part is ever there in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from hanok.errors import UnsupportedError
from hanok.graph.language.build import LOGITS, Part, part_model
from hanok.graph.language.cache_scales import UNSCALED, CacheScales
from hanok.graph.language.config import Decoder
from hanok.graph.language.names import Checkpoint
from hanok.graph.oracle import reference_session, run_session
from hanok.graph.quantise import QuantisationRecord, quantise_model

PART_BYTES = 256 << 20
"""Float weights of one part, unless a single layer or the head has more."""
LARGEST_MODEL_BYTES = 2_000_000_000
"""What one ONNX message holds, with a margin for its nodes."""
SMALL_BYTES = 256
"""Constants up to this size are compared when parts are joined."""

Sample = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class QuantisedDecoder:
    """A decoder in QDQ form, and the record of each of its parts."""

    model: ModelProto
    records: tuple[QuantisationRecord, ...]


def decoder_parts(decoder: Decoder, part_bytes: int = PART_BYTES) -> list[Part]:
    """Cut a decoder into runs of layers and pieces of its head of at most `part_bytes`, if it has more."""
    layer, head = _weights(decoder)
    if 4 * (decoder.layers * layer + head) <= part_bytes:
        return [Part(0, decoder.layers, True, 0, decoder.vocabulary)]
    together = max(1, part_bytes // (4 * layer))
    columns = max(1, part_bytes // (4 * decoder.width))
    layers = [
        Part(first, min(first + together, decoder.layers), first + together >= decoder.layers)
        for first in range(0, decoder.layers, together)
    ]
    pieces = [
        Part(decoder.layers, decoder.layers, False, start, min(start + columns, decoder.vocabulary))
        for start in range(0, decoder.vocabulary, columns)
    ]
    return [*layers, *pieces]


def _weights(decoder: Decoder) -> tuple[int, int]:
    """Weights of a layer and of the head."""
    layer = decoder.width * decoder.head_size * (2 * decoder.heads + 2 * decoder.key_heads)
    layer += decoder.width * decoder.inner * (3 if decoder.gated else 2)
    return layer, decoder.vocabulary * decoder.width


def refuse_large(decoder: Decoder) -> None:
    """Raise UnsupportedError where all weights in int8, or a layer in float, do not fit an ONNX message."""
    layer, head = _weights(decoder)
    size, part = decoder.layers * layer + head, 4 * layer
    if max(size, part) > LARGEST_MODEL_BYTES:
        raise UnsupportedError(
            f"the decoder's weights are {size} bytes in int8, and those of a layer {part} in float32; "
            f"allowed: at most {LARGEST_MODEL_BYTES} each, which is what one ONNX model holds"
        )


def quantised_decoder(
    checkpoint: Checkpoint,
    rows: int,
    past: int,
    samples: Sequence[Sample],
    *,
    scales: CacheScales = UNSCALED,
    seed: int = 0,
    goal_db: float | None = None,
    weight_bits: int = 8,
    part_bytes: int = PART_BYTES,
) -> QuantisedDecoder:
    """Quantise `part_model` of the whole decoder part by part.

    Each part is calibrated on what the float parts before it give for the samples. The quantised parts are
    joined by the names of what they hand on, which stays float32 between them as it does inside them. Weights
    are repaired where there is one part: the repair holds outputs against those of the whole float model.
    """
    joined, records = _Joined(), []
    parts = decoder_parts(checkpoint.decoder, part_bytes)
    values = [dict(sample) for sample in samples]
    for part in parts:
        model = part_model(checkpoint, rows, past, part, scales)
        given = _inputs_of(model, values)
        quantised = quantise_model(
            model, given, seed=seed, goal_db=goal_db, weight_bits=weight_bits, repair=len(parts) == 1
        )
        records.append(quantised.record)
        joined.append(quantised.model)
        if part.last > part.first and len(parts) > 1:
            _advance(values, model)
    pieces = [f"{LOGITS}.{part.start}" for part in parts if part.end]
    if len(pieces) > 1:
        joined.concatenate(pieces, LOGITS)
    return QuantisedDecoder(joined.model(), tuple(records))


def float_caches(
    checkpoint: Checkpoint, rows: int, samples: Sequence[Sample], *, part_bytes: int = PART_BYTES
) -> list[Sample]:
    """Keys and values that the float model makes of each sample without a cache, part by part."""
    values = [dict(sample) for sample in samples]
    for part in decoder_parts(checkpoint.decoder, part_bytes):
        if part.last > part.first:
            _advance(values, part_model(checkpoint, rows, 0, part))
    return values


def _inputs_of(model: ModelProto, values: Sequence[Sample]) -> list[Sample]:
    names = [value.name for value in model.graph.input]
    return [{name: value[name] for name in names} for value in values]


def _advance(values: Sequence[Sample], model: ModelProto) -> None:
    """Add what a float part gives to the values of each sample."""
    session = reference_session(model)
    for value, inputs in zip(values, _inputs_of(model, values), strict=True):
        value.update(run_session(session, inputs))


class _Joined:
    """Models that hand values on by name, as one model.

    Inner names that two of them use get an ending; a constant or a step that both have alike is kept once.
    """

    def __init__(self) -> None:
        self._first: ModelProto | None = None
        self._graph = GraphProto()
        self._borders: dict[str, ValueInfoProto] = {}
        self._made: dict[str, ValueInfoProto] = {}
        self._read: set[str] = set()
        self._names: set[str] = set()
        self._labels: set[str] = set()
        self._alike: dict[tuple[str, ...], str] = {}
        self._parts = 0

    def append(self, model: ModelProto) -> None:
        """Join a further model behind the ones before."""
        self._first = self._first or model
        graph = model.graph
        borders = {value.name for value in (*graph.input, *graph.output)}
        self._names.update(borders)
        for value in graph.input:
            self._read.add(value.name)
            if value.name not in self._made:
                self._borders.setdefault(value.name, value)
        self._made.update({value.name: value for value in graph.output})
        names = dict(zip(borders, borders, strict=True))
        for tensor in graph.initializer:
            self._add_constant(tensor, names)
        for node in graph.node:
            self._add_node(node, names)
        self._parts += 1

    def _add_constant(self, tensor: TensorProto, names: dict[str, str]) -> None:
        small = tensor.ByteSize() <= SMALL_BYTES
        content = (str(tensor.data_type), str(list(tensor.dims)), tensor.raw_data.hex() if small else "")
        same = self._alike.get(("constant", tensor.name, *content)) if small else None
        names[tensor.name] = same or self._fresh(tensor.name)
        if same is None:
            kept = self._graph.initializer.add()
            kept.CopyFrom(tensor)
            kept.name = names[tensor.name]
            if small and tensor.raw_data:
                self._alike["constant", tensor.name, *content] = kept.name

    def _add_node(self, node: NodeProto, names: dict[str, str]) -> None:
        inputs = [names.get(name, name) for name in node.input]
        attributes = [attribute.SerializeToString(deterministic=True).hex() for attribute in node.attribute]
        signature = (node.op_type, *inputs, *attributes)
        output = node.output[0]
        if len(node.output) == 1 and output not in names and signature in self._alike:
            names[output] = self._alike[signature]
            return
        for name in node.output:
            names[name] = names.get(name) or self._fresh(name)
        added = self._graph.node.add()
        added.CopyFrom(node)
        added.input[:] = inputs
        added.output[:] = [names[name] for name in node.output]
        if node.name in self._labels:
            added.name = f"{node.name}.part{self._parts}"
        self._labels.add(added.name)
        self._alike[signature] = added.output[0]

    def _fresh(self, name: str) -> str:
        """A name that nothing has yet."""
        fresh = name if name not in self._names else f"{name}.part{self._parts}"
        self._names.add(fresh)
        return fresh

    def concatenate(self, pieces: Sequence[str], name: str) -> None:
        """Make one output of pieces along their last axis."""
        kinds = [self._made[piece].type.tensor_type for piece in pieces]
        shape = [dimension.dim_value for dimension in kinds[0].shape.dim]
        shape[-1] = sum(kind.shape.dim[-1].dim_value for kind in kinds)
        self._graph.node.append(helper.make_node("Concat", list(pieces), [name], name, axis=len(shape) - 1))
        self._read.update(pieces)
        self._made[name] = helper.make_tensor_value_info(name, kinds[0].elem_type, shape)

    def model(self) -> ModelProto:
        """The joined model; its outputs are what no part reads."""
        assert self._first is not None, "no part was joined"
        self._graph.name = self._first.graph.name
        self._graph.input.extend(self._borders.values())
        self._graph.output.extend(value for name, value in self._made.items() if name not in self._read)
        model = helper.make_model(
            self._graph, opset_imports=list(self._first.opset_import), ir_version=self._first.ir_version
        )
        return model
