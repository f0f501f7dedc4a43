"""A run as a Perfetto trace: one track a unit, one slice an instruction, layers above, DRAM traffic below.

Field numbers: protos/perfetto/trace/*.proto of github.com/google/perfetto. The bytes depend on the run
alone. Timestamps are nanoseconds of the chip's time; exact cycles stand in each slice's arguments.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hanok.flows.results import Bandwidth, LayerResult, RunRecord, RunTraces
from hanok.report._protobuf import blob, double, integer, message, string
from hanok.report._slices import unit_slices

_TRACE_PACKET = 1
_PACKET_TIMESTAMP, _PACKET_SEQUENCE, _PACKET_EVENT = 8, 10, 11
_PACKET_INTERNED, _PACKET_SEQUENCE_FLAGS, _PACKET_TRACK = 12, 13, 60
_TRACK_UUID, _TRACK_NAME, _TRACK_PROCESS, _TRACK_PARENT, _TRACK_COUNTER = 1, 2, 3, 5, 8
_TRACK_CHILD_ORDERING, _TRACK_RANK = 11, 12
_ORDERING_EXPLICIT = 3
_EVENT_ANNOTATION, _EVENT_TYPE, _EVENT_NAME_ID, _EVENT_TRACK, _EVENT_DOUBLE = 4, 9, 10, 11, 44
_SLICE_BEGIN, _SLICE_END, _COUNTER = 1, 2, 4
_ANNOTATION_NAME_ID, _ANNOTATION_UINT, _ANNOTATION_STRING_ID = 1, 3, 17
_INTERNED_EVENT_NAMES, _INTERNED_ANNOTATION_NAMES, _INTERNED_STRINGS = 2, 3, 29
_STATE_CLEARED, _NEEDS_STATE = 1, 2
_SEQUENCE = integer(_PACKET_SEQUENCE, 1)
_FLAGS = integer(_PACKET_SEQUENCE_FLAGS, _NEEDS_STATE)
_ROOT, _LAYERS, _FIRST_UNIT, _READ, _WRITE = 1, 2, 10, 30, 31
_LAYER_KEYS = ("layer", "ONNX nodes", "ONNX operator", "mapping")
_SLICE_KEYS = ("instruction", "start cycle", "cycles", "DRAM bytes")
_MAX_TEXT = 2000


def to_trace(record: RunRecord, traces: RunTraces) -> bytes:
    """Return the trace file's bytes."""
    return b"".join(blob(_TRACE_PACKET, packet) for packet in _packets(record, traces))


class _Strings:
    """Interning tables: text -> number from 1, in order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text[:_MAX_TEXT], len(self.numbers) + 1)

    def entries(self, field: int) -> bytes:
        return b"".join(
            message(field, integer(1, number), string(2, text)) for text, number in self.numbers.items()
        )


def _packets(record: RunRecord, traces: RunTraces) -> Iterator[bytes]:
    events, texts, keys = _Strings(), _Strings(), _Strings()
    for key in (*_LAYER_KEYS, *_SLICE_KEYS):
        keys.number(key)
    contexts = [_layer_annotations(layer, keys, texts) for layer in record.layers]
    layer_names = [events.number(layer.name or "(unnamed)") for layer in record.layers]
    opcode_names = {code: events.number(name) for code, name in traces.timeline.opcode_names}
    interned = (
        events.entries(_INTERNED_EVENT_NAMES),
        keys.entries(_INTERNED_ANNOTATION_NAMES),
        texts.entries(_INTERNED_STRINGS),
    )
    yield b"".join(
        (
            integer(_PACKET_SEQUENCE_FLAGS, _STATE_CLEARED),
            _SEQUENCE,
            message(_PACKET_INTERNED, *interned),
            _track(_ROOT, None, _process(record), integer(_TRACK_CHILD_ORDERING, _ORDERING_EXPLICIT)),
        )
    )
    yield from _track_packets(traces.timeline.unit_names)
    clock = record.chip.clock_mhz
    yield from _layer_slices(record, layer_names, contexts, clock)
    for unit in range(len(traces.timeline.unit_names)):
        yield from _unit_slices(traces, unit, opcode_names, contexts, keys, clock)
    yield from _counters(traces.bandwidth, record.cycles, clock)


def _process(record: RunRecord) -> bytes:
    return message(_TRACK_PROCESS, integer(1, 1), string(6, f"{record.model} on {record.chip.name}"))


def _track(uuid: int, name: str | None, *fields: bytes) -> bytes:
    named = (string(_TRACK_NAME, name),) if name is not None else ()
    return message(_PACKET_TRACK, integer(_TRACK_UUID, uuid), *named, *fields)


def _track_packets(unit_names: tuple[str, ...]) -> Iterator[bytes]:
    gigabytes = message(_TRACK_COUNTER, string(6, "GB/s"))
    rows = [(_LAYERS, "layers", b"")]
    rows += [(_FIRST_UNIT + number, name, b"") for number, name in enumerate(unit_names)]
    rows += [(_READ, "DRAM read", gigabytes), (_WRITE, "DRAM write", gigabytes)]
    for rank, (uuid, name, extra) in enumerate(rows):
        place = integer(_TRACK_PARENT, _ROOT) + integer(_TRACK_RANK, rank)
        yield _SEQUENCE + _FLAGS + _track(uuid, name, place, extra)


def _layer_annotations(layer: LayerResult, keys: _Strings, texts: _Strings) -> bytes:
    """The arguments that every slice of a layer shares, encoded once."""
    values = (layer.name, ", ".join(layer.onnx_nodes), layer.onnx_type, layer.mapping)
    return b"".join(
        message(
            _EVENT_ANNOTATION,
            integer(_ANNOTATION_NAME_ID, keys.number(key)),
            integer(_ANNOTATION_STRING_ID, texts.number(text)),
        )
        for key, text in zip(_LAYER_KEYS, values, strict=True)
        if text
    )


def _number(key: int, value: int) -> bytes:
    return message(_EVENT_ANNOTATION, integer(_ANNOTATION_NAME_ID, key), integer(_ANNOTATION_UINT, value))


def _event(cycle: int, clock: int, body: bytes) -> bytes:
    nanoseconds = cycle * 1000 // clock
    return integer(_PACKET_TIMESTAMP, nanoseconds) + _SEQUENCE + _FLAGS + blob(_PACKET_EVENT, body)


def _layer_slices(record: RunRecord, names: list[int], contexts: list[bytes], clock: int) -> Iterator[bytes]:
    """Each layer from the end of the one before it, so that its length is its share of the run."""
    track, position = integer(_EVENT_TRACK, _LAYERS), 0
    for layer, name, context in zip(record.layers, names, contexts, strict=True):
        if not layer.cycles:
            continue
        begin = integer(_EVENT_TYPE, _SLICE_BEGIN) + track + integer(_EVENT_NAME_ID, name)
        yield _event(position, clock, begin + context)
        position += layer.cycles
        yield _event(position, clock, integer(_EVENT_TYPE, _SLICE_END) + track)


def _unit_slices(
    traces: RunTraces, unit: int, names: dict[int, int], contexts: list[bytes], keys: _Strings, clock: int
) -> Iterator[bytes]:
    timeline = traces.timeline
    slices = unit_slices(timeline, unit)
    track = integer(_EVENT_TRACK, _FIRST_UNIT + unit)
    end_body = integer(_EVENT_TYPE, _SLICE_END) + track
    begins = {
        code: integer(_EVENT_TYPE, _SLICE_BEGIN) + track + integer(_EVENT_NAME_ID, name)
        for code, name in names.items()
    }
    key_instruction, key_start, key_cycles, key_bytes = (keys.number(key) for key in _SLICE_KEYS)
    moved = timeline.dram_read_bytes + timeline.dram_write_bytes
    for start, end, index in zip(
        slices.start.tolist(), slices.end.tolist(), slices.instruction.tolist(), strict=True
    ):
        layer = int(timeline.layer[index])
        body = [begins[int(timeline.opcode[index])], contexts[layer] if 0 <= layer < len(contexts) else b""]
        body += [_number(key_instruction, index), _number(key_start, int(timeline.start[index]))]
        body.append(_number(key_cycles, int(timeline.end[index] - timeline.start[index])))
        if moved[index]:
            body.append(_number(key_bytes, int(moved[index])))
        yield _event(start, clock, b"".join(body))
        yield _event(end, clock, end_body)


def _counters(bandwidth: Bandwidth, cycles: int, clock: int) -> Iterator[bytes]:
    """GB/s in each slice of the run; a value holds until the next one."""
    for uuid, moved in ((_READ, bandwidth.read_bytes), (_WRITE, bandwidth.write_bytes)):
        head = integer(_EVENT_TYPE, _COUNTER) + integer(_EVENT_TRACK, uuid)
        rates = moved.astype(np.float64) / bandwidth.slice_cycles * clock / 1e3
        changed = np.flatnonzero(np.diff(rates, prepend=np.nan) != 0)
        for number in changed.tolist():
            body = head + double(_EVENT_DOUBLE, float(rates[number]))
            yield _event(number * bandwidth.slice_cycles, clock, body)
        if len(rates):
            yield _event(cycles, clock, head + double(_EVENT_DOUBLE, 0.0))
