"""Encode, decode, assemble and disassemble undo one another and agree with the table, packed or not."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from hanok.errors import ProgramError
from hanok.isa import INSTRUCTIONS, UNIT_OF, Opcode, Unit, assemble, decode, disassemble, encode
from hanok.isa.table import BY_OPCODE, HEADER, Field

LETTERS = {"u1": "B", "i1": "b", "<u2": "H", "<i2": "h", "<u4": "I", "<i4": "i", "<u8": "Q", "<f4": "f"}
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.5,
    float(np.float32(0.1)),
    float(np.finfo(np.float32).max),
    2.0**-149,
    float("inf"),
)


def corners(field: Field) -> tuple[float, ...]:
    """The extreme values of a field, and some between."""
    if field.code == "<f4":
        return FLOATS
    if field.name == "flags":
        return (0, 1, 127)
    info = np.iinfo(np.dtype(field.code))
    return (0, 1, info.min, info.max, info.max // 3)


def fields_of(opcode: Opcode) -> tuple[Field, ...]:
    return BY_OPCODE[opcode].format.fields[1:]


def random_values(opcode: Opcode, generator: np.random.Generator) -> dict[str, object]:
    values: dict[str, object] = {}
    for field in fields_of(opcode):
        choices = corners(field)
        picked = [choices[int(n)] for n in generator.integers(0, len(choices), field.count)]
        if field.name in ("wait", "post"):
            picked = [int(generator.integers(0, 16))]
        values[field.name] = picked[0] if field.count == 1 else picked
    return values


def record_by_hand(opcode: Opcode, values: dict[str, object]) -> bytes:
    """The record, made by an encoder that shares nothing with NumPy records: struct, field after field."""
    out = bytes([opcode])
    for field in fields_of(opcode):
        value = values.get(field.name, 0 if field.count == 1 else [0] * field.count)
        items = value if isinstance(value, list) else [value]
        out += struct.pack(f"<{field.count}{LETTERS[field.code]}", *items)
    return out.ljust(BY_OPCODE[opcode].format.size_bytes, b"\0")


def pack_by_hand(record: bytes) -> bytes:
    """Header with bit 7 of flags, bitmap of the words that are not zero, those words."""
    body = [record[place : place + 4] for place in range(4, len(record), 4)]
    bits = sum(1 << number for number, word in enumerate(body) if word != bytes(4))
    bitmap_bytes = 8 if len(record) == 256 else 4
    kept = [word for word in body if word != bytes(4)]
    return record[:3] + bytes([record[3] | 0x80]) + bits.to_bytes(bitmap_bytes, "little") + b"".join(kept)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_each_field_alone_at_its_corners(opcode):
    for field in fields_of(opcode):
        for corner in corners(field):
            value = corner if field.count == 1 else [corner] + [0] * (field.count - 1)
            code = encode(opcode, {field.name: value})
            by_hand = record_by_hand(opcode, {field.name: value})
            assert code == pack_by_hand(by_hand)
            record = decode(code).record(0)
            assert record.tobytes() == by_hand
            assert np.array_equal(np.ravel(record[field.name])[0], np.array(corner, field.code))
            others = [name for name in record.dtype.names if name not in ("opcode", field.name)]
            assert not any(np.any(record[name]) for name in others)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_decode_and_assemble_undo_encode_and_disassemble(opcode):
    generator = np.random.default_rng(opcode)
    for _ in range(100):
        values = random_values(opcode, generator)
        code = encode(opcode, values)
        assert code == pack_by_hand(record_by_hand(opcode, values))
        decoded = decode(code)
        record = decoded.record(0)
        again = {name: record[name] for name in record.dtype.names if name != "opcode"}
        assert encode(opcode, again) == code
        assert assemble(disassemble(decoded, 0)) == code


def test_a_mixed_program_keeps_dispatch_order():
    generator = np.random.default_rng(11)
    opcodes = [list(Opcode)[int(n)] for n in generator.integers(0, len(Opcode), 200)]
    values = [random_values(opcode, generator) for opcode in opcodes]
    lines = [encode(*pair) for pair in zip(opcodes, values, strict=True)]
    decoded = decode(b"".join(lines))
    assert len(decoded) == 200
    assert decoded.opcode.tolist() == opcodes
    assert decoded.unit.tolist() == [UNIT_OF[opcode] for opcode in opcodes]
    assert decoded.offset_bytes.tolist() == np.cumsum([0, *map(len, lines)])[:-1].tolist()
    assert decoded.size_bytes.tolist() == [len(line) for line in lines]
    assert decoded.code_bytes == sum(map(len, lines))
    for index, (opcode, line) in enumerate(zip(opcodes, lines, strict=True)):
        assert decoded.record(index).tobytes() == record_by_hand(opcode, values[index])
        assert (decoded.wait[index], decoded.post[index]) == (line[1], line[2])


def test_nothing_decodes_to_nothing():
    assert len(decode(b"")) == 0


@pytest.mark.parametrize("byte", sorted(set(range(256)) - set(map(int, Opcode))))
def test_every_other_opcode_is_illegal(byte):
    line = encode(Opcode.LOAD, {"run_bytes": 1})
    with pytest.raises(ProgramError, match=f"illegal opcode 0x{byte:02x} at byte 12"):
        decode(line + bytes([byte]) + bytes(63))


def test_cut_instructions():
    line = encode(Opcode.CHAIN, {"outer_2": 1, "inner": 1})
    assert len(line) == 4 + 8 + 2 * 4
    with pytest.raises(ProgramError, match=r"code of 10 bytes is not a whole number of 4-byte words"):
        decode(line[:10])
    for size in range(4, len(line), 4):
        with pytest.raises(ProgramError, match=r"the last instruction at byte 8 is cut short"):
            decode(encode(Opcode.LOAD, {}) + line[:size])


def test_encode_refuses_unknown_fields_and_misfits():
    with pytest.raises(ValueError, match=r"LOAD has no field 'pad'"):
        encode(Opcode.LOAD, {"pad": 1})
    with pytest.raises(ValueError, match=r"LOAD has no field 'opcode'"):
        encode(Opcode.LOAD, {"opcode": 2})
    with pytest.raises(ValueError, match=r"LOAD\.flags: 128 is outside 0\.\.127"):
        encode(Opcode.LOAD, {"flags": 128})
    with pytest.raises(ValueError, match=r"FILL\.value: 128 is outside -128\.\.127"):
        encode(Opcode.FILL, {"value": 128})
    with pytest.raises(ValueError, match=r"CONV\.blocks: -1 is outside 0\.\.65535"):
        encode(Opcode.CONV, {"blocks": -1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "jump",
            r"unknown instruction 'jump'; known: load, fill, expand, unpack, store, conv, depthwise, chain,",
        ),
        ("load run_bytes", r"load: 'run_bytes' is not field=value"),
        ("load wait=cpu", r"load: 'wait=cpu' is not field=value"),
        ("load run_bytes=-1", r"LOAD\.run_bytes: -1 is outside"),
        ("load speed=1", r"LOAD has no field 'speed'"),
        ("chain step=[1,x]", r"chain: 'step=\[1,x\]' is not field=value"),
        ("", r"an empty line holds no instruction"),
        ("chain step=[1,2]", r"CHAIN\.step"),
        ("load run_bytes=1.5", r"LOAD\.run_bytes"),
        ("load run_bytes=nan", r"LOAD\.run_bytes"),
    ],
)
def test_assemble_names_the_fault(line, message):
    with pytest.raises(ProgramError, match=message):
        assemble(line)


def test_a_line_reads_like_this():
    code = encode(
        Opcode.LOAD,
        {"wait": 1 << Unit.MATRIX, "post": 0b1010, "run_bytes": 64, "count_1": 2, "sram_stride_1": -64},
    )
    line = "load wait=matrix post=store+vector run_bytes=64 count_1=2 sram_stride_1=-64"
    assert disassemble(decode(code), 0) == line
    assert assemble(line) == code


def test_the_views_agree_with_the_table():
    assert len({row.opcode for row in INSTRUCTIONS}) == len(INSTRUCTIONS) == len(Opcode)
    for row in INSTRUCTIONS:
        layout = row.format
        assert layout.fields[: len(HEADER)] == HEADER
        assert layout.words in (1, 2, 4)
        assert layout.size_bytes == layout.dtype.itemsize == layout.words * 64
        names = [field.name for field in layout.fields]
        assert len(set(names)) == len(names)
        assert list(layout.dtype.names) == names
        offset = 0
        for field in layout.fields:
            kind, place = layout.dtype.fields[field.name][:2]
            assert place == offset
            assert (
                kind.itemsize == field.size_bytes == struct.calcsize(f"<{field.count}{LETTERS[field.code]}")
            )
            offset += field.size_bytes
        assert offset <= layout.size_bytes
        assert decode(encode(row.opcode, {})).unit[0] == row.unit == UNIT_OF[row.opcode]
        assert disassemble(decode(encode(row.opcode, {})), 0) == row.mnemonic
