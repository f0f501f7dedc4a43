"""Program files: round trip, fixed bytes, and every way of being damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import time
from typing import Any

import numpy as np
import pytest

from hanok.errors import ProgramError
from hanok.isa import (
    Binding,
    ConstantTensor,
    HostStage,
    Layer,
    NpuStage,
    Opcode,
    Program,
    Region,
    RegionKind,
    ValueInfo,
    encode,
    load_program,
    save_program,
)
from hanok.isa.file import FORMAT_VERSION, MAGIC
from hanok.machine import Chip

PREFIX = struct.Struct("<8sIIQQ")
HEADER_AT = PREFIX.size + 32
LINE = {"run_bytes": 64, "count_3": 1, "count_2": 1, "count_1": 1}


def example_program() -> Program:
    """A program with something in every field."""
    code = encode(Opcode.LOAD, LINE) + encode(Opcode.STORE, LINE | {"dram_address": 8192})
    return Program(
        name="모델",
        chip=Chip.load("edge"),
        stages=(
            HostStage(b"\x08\x07model", ("x",), ("y", "z"), (("node", "Softmax"),), "no such operator"),
            NpuStage(code, 4096, np.array([0, 1], np.int32)),
        ),
        constants=bytes(range(256)),
        constants_address=0,
        dram_bytes=1 << 20,
        regions=(
            Region("weights", RegionKind.CONSTANT, 0, 256),
            Region("code", RegionKind.CODE, 4096, 128),
            Region("y", RegionKind.ACTIVATION, 8192, 64),
        ),
        bindings=(
            Binding("y", (1, 4, 2, 8), (0, 2, 3, 1), 8192, 0.1, -3, True),
            Binding("scalar", (), (), 9000, 1e-9, 0),
        ),
        layers=(
            Layer("conv", "Conv", ("a", "b"), 1 << 40, (1, 4, 2, 8), 320, "rows by rows"),
            Layer("store", "Identity", (), 0, (), 0),
        ),
        inputs=(ValueInfo("x", "float32", (1, 3)),),
        outputs=(ValueInfo("z", "int64", ()),),
        constant_outputs=(
            ConstantTensor("f", np.array([[1.5, -0.0]], np.float32)),
            ConstantTensor("empty", np.zeros((0, 3), np.int64)),
            ConstantTensor("flag", np.array(True)),
        ),
        source_model=b"\x08\x0a" * 50,
        warnings=("calibrated with random data",),
        metadata={"b": "2", "a": "1"},
    )


def plain(value: Any) -> Any:
    """A form that compares by value, arrays with type and shape."""
    if dataclasses.is_dataclass(value):
        return type(value).__name__, [
            (f.name, plain(getattr(value, f.name))) for f in dataclasses.fields(value)
        ]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value


def reseal(content: bytes) -> bytes:
    """The same file with its checksum made right again."""
    body = content[: PREFIX.size] + content[HEADER_AT:]
    return content[: PREFIX.size] + hashlib.sha256(body).digest() + content[HEADER_AT:]


def with_header(content: bytes, header: bytes) -> bytes:
    """The file with another header, resealed."""
    size = PREFIX.unpack(content[: PREFIX.size])[4]
    rest = header + content[HEADER_AT + size :]
    prefix = PREFIX.pack(MAGIC, FORMAT_VERSION, 0, HEADER_AT + len(rest), len(header))
    return reseal(prefix + bytes(32) + rest)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.hanok"
    save_program(example_program(), path)
    return path


def refused(path, content: bytes) -> str:
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(ProgramError) as caught:
        load_program(path)
    assert time.process_time() - begin < 2
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_round_trip_keeps_every_field(saved):
    assert plain(load_program(saved)) == plain(example_program())


def test_the_same_program_gives_the_same_bytes(saved, tmp_path):
    again = tmp_path / "again.hanok"
    save_program(load_program(saved), again)
    assert again.read_bytes() == saved.read_bytes()


def test_every_flipped_bit_is_found(saved):
    content = saved.read_bytes()
    generator = np.random.default_rng(3)
    places = [*range(8 * HEADER_AT), *generator.integers(8 * HEADER_AT, 8 * len(content), 300).tolist()]
    for place in places:
        broken = bytearray(content)
        broken[place >> 3] ^= 1 << (place & 7)
        refused(saved, bytes(broken))


def test_every_length_is_needed(saved):
    content = saved.read_bytes()
    for length in [*range(0, HEADER_AT + 2), *range(HEADER_AT + 2, len(content), 97)]:
        refused(saved, content[:length])
    refused(saved, content + b"\0")


def test_messages(saved):
    content = saved.read_bytes()
    assert "not a hanok program file" in refused(saved, b"")
    assert "not a hanok program file" in refused(saved, b"\x7fELF" + bytes(100))
    remedies = {FORMAT_VERSION + 1: "update hanok, or compile", FORMAT_VERSION - 1: "compile"}
    for version, remedy in remedies.items():
        other = content[:8] + struct.pack("<I", version) + content[12:]
        expected = f"format version {version}; this hanok reads {FORMAT_VERSION}: {remedy} the model again"
        assert expected in refused(saved, other)
    assert "cut short or damaged" in refused(saved, content[:-1])
    assert "checksum is wrong" in refused(saved, content[:-1] + b"?")
    assert "there is no such file" in refused_path(saved.parent / "none.hanok")
    assert "there is no such file" in refused_path(saved.parent)


def refused_path(path) -> str:
    with pytest.raises(ProgramError) as caught:
        load_program(path)
    return str(caught.value)


def test_absurd_lengths(saved):
    content = saved.read_bytes()
    huge = PREFIX.pack(MAGIC, FORMAT_VERSION, 0, 1 << 63, 8)
    assert "are promised" in refused(saved, huge + content[PREFIX.size :])
    long_header = PREFIX.pack(MAGIC, FORMAT_VERSION, 0, len(content), 1 << 63)
    assert "with a header of" in refused(saved, reseal(long_header + content[PREFIX.size :]))


def test_a_sparse_giant_is_refused_at_once(saved):
    size = 1 << 40
    with saved.open("wb") as file:
        file.write(PREFIX.pack(MAGIC, FORMAT_VERSION, 0, size, 8))
        file.truncate(size)
    begin = time.process_time()
    assert "or too large" in refused_path(saved)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"NaN",
        b"[]",
        b"{}",
        b'"' + b"x" * 1000,
        b"[" + b"9" * 5000 + b"]",
    ],
    ids=lambda header: str(header[:8]),
)
def test_a_sealed_file_with_a_hostile_header(saved, header):
    refused(saved, with_header(saved.read_bytes(), header))


def edits() -> list[tuple[str, Any, str]]:
    """Path in the header, hostile value, what the message says."""
    return [
        ("name", 5, "program.name: str wanted, found 5"),
        ("dram_bytes", True, "program.dram_bytes: int wanted"),
        ("dram_bytes", -1, "outside the program's DRAM of -1"),
        ("dram_bytes", 1 << 60, "are more than the chip's 8192 MiB"),
        ("constants", [0, -1], "program.constants: a range of bytes wanted"),
        ("constants", [1 << 62, 1], "program.constants: a range of bytes wanted"),
        ("constants_address", -1, "constants: bytes -1..255"),
        ("chip.clock_mhz", 0, "clock_mhz"),
        ("chip", [], "program.chip: a chip wanted"),
        ("stages.0.record", "Popen", "program.stages[0]: HostStage or NpuStage wanted, found 'Popen'"),
        ("stages.1.layer_of.dtype", "|O", "a type of number wanted, found '|O'"),
        ("stages.1.layer_of.dtype", "<i3", "a type of number wanted, found '<i3'"),
        ("stages.1.layer_of.dtype", "<i8", "2 elements of <i8 wanted"),
        ("stages.1.layer_of.shape", [-1], "a shape wanted"),
        ("stages.1.layer_of.shape", [1] * 40, "a shape wanted"),
        ("stages.1.layer_of.shape", [1 << 40, 1 << 40], "wanted, found 8"),
        ("stages.1.layer_of.data", [0, 8], "a layer number outside 0..1"),
        ("stages.1.code", [7, len(encode(Opcode.LOAD, LINE))], "2 layer numbers for 1 instructions"),
        ("regions.0.kind", "secret", "program.regions[0].kind: RegionKind wanted, found 'secret'"),
        ("regions.0.size_bytes", 1 << 30, "region 'weights': bytes 0..1073741824 outside"),
        ("bindings.0.permutation", [0, 0, 1, 2], "binding 'y': shape"),
        ("bindings.0.shape", [1, 4, 2, 1 << 62], "binding 'y': bytes"),
        ("bindings.0.scale", 1, "float wanted"),
        ("metadata", {"a": 1}, "program.metadata.a: str wanted"),
        ("metadata", [], "program.metadata: a table wanted"),
        ("warnings", "no", "program.warnings: a list wanted"),
        ("layers.0.extra", 1, "program.layers[0]: Layer wanted"),
    ]


@pytest.mark.parametrize(("path", "value", "message"), edits(), ids=lambda value: str(value)[:24])
def test_a_sealed_file_with_a_hostile_field(saved, path, value, message):
    content = saved.read_bytes()
    size = PREFIX.unpack(content[: PREFIX.size])[4]
    header = json.loads(content[HEADER_AT : HEADER_AT + size])
    place = header
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    assert message in refused(saved, with_header(content, json.dumps(header).encode()))


def test_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "model.hanok"
    path.write_bytes(b"before")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ProgramError, match=r"cannot be written: No space left on device"):
        save_program(example_program(), path)
    assert path.read_bytes() == b"before"
    assert [item.name for item in tmp_path.iterdir()] == ["model.hanok"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ProgramError, match=r"cannot be written: No such file or directory"):
        save_program(example_program(), tmp_path / "none" / "model.hanok")


def test_an_array_of_objects_is_refused(tmp_path):
    program = dataclasses.replace(
        example_program(), constant_outputs=(ConstantTensor("s", np.array(["a"], dtype=object)),)
    )
    with pytest.raises(ProgramError, match=r"an array of object has no form"):
        save_program(program, tmp_path / "model.hanok")
