"""The trace, read back by Google's protobuf library with the field numbers of Perfetto's .proto files."""

from collections import Counter

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from hanok.flows.results import RunRecord, RunTraces, UnitCycles
from hanok.report.trace import to_trace

_TYPES = {"uint64": 4, "int32": 5, "uint32": 13, "string": 9, "double": 1, "bool": 8}
# message -> (field, number, type, repeated); from protos/perfetto/trace/*.proto of google/perfetto.
_MESSAGES = {
    "Trace": [("packet", 1, "TracePacket", True)],
    "TracePacket": [
        ("timestamp", 8, "uint64", False),
        ("trusted_packet_sequence_id", 10, "uint32", False),
        ("track_event", 11, "TrackEvent", False),
        ("interned_data", 12, "InternedData", False),
        ("sequence_flags", 13, "uint32", False),
        ("track_descriptor", 60, "TrackDescriptor", False),
    ],
    "TrackDescriptor": [
        ("uuid", 1, "uint64", False),
        ("name", 2, "string", False),
        ("process", 3, "ProcessDescriptor", False),
        ("parent_uuid", 5, "uint64", False),
        ("counter", 8, "CounterDescriptor", False),
        ("child_ordering", 11, "int32", False),
        ("sibling_order_rank", 12, "int32", False),
    ],
    "ProcessDescriptor": [("pid", 1, "int32", False), ("process_name", 6, "string", False)],
    "CounterDescriptor": [("unit_name", 6, "string", False)],
    "TrackEvent": [
        ("debug_annotations", 4, "DebugAnnotation", True),
        ("type", 9, "int32", False),
        ("name_iid", 10, "uint64", False),
        ("track_uuid", 11, "uint64", False),
        ("double_counter_value", 44, "double", False),
    ],
    "DebugAnnotation": [
        ("name_iid", 1, "uint64", False),
        ("uint_value", 3, "uint64", False),
        ("string_value_iid", 17, "uint64", False),
    ],
    "InternedData": [
        ("event_names", 2, "Named", True),
        ("debug_annotation_names", 3, "Named", True),
        ("debug_annotation_string_values", 29, "Named", True),
    ],
    "Named": [("iid", 1, "uint64", False), ("name", 2, "string", False)],
}


def _trace_class() -> type:
    file = descriptor_pb2.FileDescriptorProto(name="trace.proto", package="check", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            entry = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _TYPES:
                entry.type = _TYPES[kind]
            else:
                entry.type, entry.type_name = 11, f".check.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("check.Trace"))


@pytest.fixture(scope="module")
def parsed(run: tuple[RunRecord, RunTraces]):
    trace = _trace_class()()
    trace.ParseFromString(to_trace(*run))
    return trace


def test_nothing_is_left_unknown(parsed, run: tuple[RunRecord, RunTraces]) -> None:
    assert parsed.ByteSize() == len(to_trace(*run))
    trace = _trace_class()()
    trace.ParseFromString(to_trace(*run))
    trace.DiscardUnknownFields()
    assert trace.ByteSize() == len(to_trace(*run))


def test_tracks(parsed) -> None:
    tracks = [packet.track_descriptor for packet in parsed.packet if packet.HasField("track_descriptor")]
    assert tracks[0].process.process_name == "resnet_like & friends on edge"
    assert [track.name for track in tracks[1:]] == [
        "layers",
        "load DMA",
        "store DMA",
        "matrix",
        "vector",
        "DRAM read",
        "DRAM write",
    ]
    assert [track.sibling_order_rank for track in tracks[1:]] == list(range(7))
    assert {track.parent_uuid for track in tracks[1:]} == {tracks[0].uuid}
    assert len({track.uuid for track in tracks}) == len(tracks)


def test_every_instruction_is_a_slice(parsed, run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run
    interned = parsed.packet[0].interned_data
    keys = {entry.iid: entry.name for entry in interned.debug_annotation_names}
    texts = {entry.iid: entry.name for entry in interned.debug_annotation_string_values}
    seen = []
    for packet in parsed.packet:
        event = packet.track_event
        if event.type != 1 or event.track_uuid < 10:
            continue
        values = {
            keys[item.name_iid]: texts[item.string_value_iid] if item.string_value_iid else item.uint_value
            for item in event.debug_annotations
        }
        index = values["instruction"]
        seen.append(index)
        layer = record.layers[int(traces.timeline.layer[index])]
        assert values["layer"] == layer.name
        assert values["ONNX nodes"] == ", ".join(layer.onnx_nodes)
        assert values["start cycle"] == traces.timeline.start[index]
        assert values["cycles"] == traces.timeline.end[index] - traces.timeline.start[index]
        assert event.track_uuid == 10 + traces.timeline.unit[index]
    assert sorted(seen) == list(range(record.instructions))


def test_slices_of_a_track_nest_and_time_goes_on(parsed) -> None:
    depth: Counter[int] = Counter()
    last: dict[int, int] = {}
    for packet in parsed.packet:
        event = packet.track_event
        if event.type not in (1, 2):
            continue
        track = event.track_uuid
        assert packet.timestamp >= last.get(track, 0)
        last[track] = packet.timestamp
        depth[track] += 1 if event.type == 1 else -1
        assert depth[track] in (0, 1)
    assert set(depth.values()) == {0}


def test_counters_give_gigabytes_a_second(parsed, run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run
    events = [packet for packet in parsed.packet if packet.track_event.track_uuid == 30]
    times = np.array([packet.timestamp for packet in events]) * record.chip.clock_mhz / 1e3
    rates = np.array([packet.track_event.double_counter_value for packet in events])
    assert rates[-1] == 0
    moved = (np.diff(times) * rates[:-1]).sum() * 1e3 / record.chip.clock_mhz
    assert moved == pytest.approx(traces.bandwidth.read_bytes.sum(), rel=0.02)


def test_bytes_depend_on_the_run_alone(run: tuple[RunRecord, RunTraces]) -> None:
    assert to_trace(*run) == to_trace(*run)


def test_unit_cycles_know_their_busy_part() -> None:
    assert UnitCycles("matrix", (("busy", 3), ("finished", 4))).busy == 3
