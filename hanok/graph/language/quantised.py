"""The int8 model of a decoder, quantised part by part, so that only one part is ever there in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from hanok.errors import UnsupportedError
from hanok.graph.language.build import Part, part_model
from hanok.graph.language.config import Decoder
from hanok.graph.language.names import Checkpoint
from hanok.graph.oracle import reference_session, run_session
from hanok.graph.quantise import QuantisationRecord, quantise_model

PART_BYTES = 256 << 20
"""Float weights of one part, unless a single layer or the head has more."""
LARGEST_MODEL_BYTES = 2_000_000_000
"""What one ONNX message holds, with a margin for its nodes."""

Sample = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class QuantisedDecoder:
    """A decoder in QDQ form, and the record of each of its parts."""

    model: ModelProto
    records: tuple[QuantisationRecord, ...]


def decoder_parts(decoder: Decoder, part_bytes: int = PART_BYTES) -> list[Part]:
    """Cut a decoder into runs of layers of at most `part_bytes`; the head goes with the last if it fits."""
    layer, head = _weights(decoder)
    together = max(1, part_bytes // (4 * layer))
    parts = [
        Part(first, min(first + together, decoder.layers), False)
        for first in range(0, decoder.layers, together)
    ]
    last = parts[-1]
    if 4 * (layer * (last.last - last.first) + head) <= part_bytes:
        return [*parts[:-1], Part(last.first, last.last, True)]
    return [*parts, Part(decoder.layers, decoder.layers, True)]


def _weights(decoder: Decoder) -> tuple[int, int]:
    """Weights of a layer and of the head."""
    layer = decoder.width * decoder.head_size * (2 * decoder.heads + 2 * decoder.key_heads)
    layer += decoder.width * decoder.inner * (3 if decoder.gated else 2)
    return layer, decoder.vocabulary * decoder.width


def refuse_large(decoder: Decoder) -> None:
    """Raise UnsupportedError where all weights in int8, or a part in float, do not fit an ONNX message."""
    layer, head = _weights(decoder)
    size, part = decoder.layers * layer + head, 4 * max(layer, head)
    if max(size, part) > LARGEST_MODEL_BYTES:
        raise UnsupportedError(
            f"the decoder's weights are {size} bytes in int8, and {part} in float32 for its largest layer or "
            f"head; allowed: at most {LARGEST_MODEL_BYTES} each, which is what one ONNX model holds"
        )


def quantised_decoder(
    checkpoint: Checkpoint,
    rows: int,
    past: int,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    part_bytes: int = PART_BYTES,
) -> QuantisedDecoder:
    """Quantise `part_model` of the whole decoder part by part.

    Each part is calibrated on what the float parts before it give for the samples. The quantised parts are
    joined by the names of what they hand on, which stays float32 between them as it does inside them.
    """
    joined, records = _Joined(), []
    parts = decoder_parts(checkpoint.decoder, part_bytes)
    values = [dict(sample) for sample in samples]
    for part in parts:
        model = part_model(checkpoint, rows, past, part)
        quantised = quantise_model(model, _inputs_of(model, values), seed=seed)
        records.append(quantised.record)
        joined.append(quantised.model)
        if part is not parts[-1]:
            _advance(values, model)
    return QuantisedDecoder(joined.model(), tuple(records))


def float_outputs(
    checkpoint: Checkpoint, rows: int, samples: Sequence[Sample], *, part_bytes: int = PART_BYTES
) -> list[Sample]:
    """What the float model without a cache gives for each sample, computed part by part in ONNX Runtime."""
    values = [dict(sample) for sample in samples]
    for part in decoder_parts(checkpoint.decoder, part_bytes):
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
    """Models that hand values on by name, as one model; inner names that two of them use get an ending."""

    def __init__(self) -> None:
        self._first: ModelProto | None = None
        self._graph = GraphProto()
        self._inner: set[str] = set()
        self._borders: dict[str, ValueInfoProto] = {}
        self._made: dict[str, ValueInfoProto] = {}
        self._read: set[str] = set()
        self._parts = 0

    def append(self, model: ModelProto) -> None:
        """Join a further model behind the ones before."""
        self._first = self._first or model
        graph = model.graph
        for value in graph.input:
            self._read.add(value.name)
            if value.name not in self._made:
                self._borders.setdefault(value.name, value)
        self._made.update({value.name: value for value in graph.output})
        names = self._renamed(graph)
        for tensor in graph.initializer:
            kept = self._graph.initializer.add()
            kept.CopyFrom(tensor)
            kept.name = names.get(tensor.name, tensor.name)
        for node in graph.node:
            added = self._graph.node.add()
            added.CopyFrom(node)
            added.input[:] = [names.get(name, name) for name in node.input]
            added.output[:] = [names.get(name, name) for name in node.output]
        self._parts += 1

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

    def _renamed(self, graph: GraphProto) -> dict[str, str]:
        """New names for inner values that an earlier part has too."""
        borders = {value.name for value in (*graph.input, *graph.output)}
        inner = [tensor.name for tensor in graph.initializer]
        inner += [name for node in graph.node for name in node.output if name]
        names = {
            name: f"{name}.part{self._parts}"
            for name in inner
            if name not in borders and (name in self._inner or name in self._made)
        }
        self._inner.update(names.get(name, name) for name in inner)
        return names
