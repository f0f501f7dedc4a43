"""The delta-coded stream: the same records in fewer bytes, and every way of being malformed."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
import pytest

from hanok.errors import ProgramError
from hanok.isa import INSTRUCTIONS, Decoded, Opcode, Unit, decode, encode, encode_stream
from hanok.isa.encoding import MAX_RECORD_BYTES
from hanok.isa.table import BY_OPCODE, Field

Row = tuple[Opcode, dict[str, Any]]
FRESH = 0x80
BODY_WORDS = {"dma": 15, "matrix": 24, "vector": 57, "table": 1}
"""32-bit words after the header into which fields reach, counted by hand: the last ends at 61, 97, 229, 8."""


def head(opcode: Opcode, flags: int = 0, wait: int = 0, post: int = 0) -> bytes:
    return bytes([opcode, wait, post, flags])


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def rows_of_a_layer(count: int) -> list[Row]:
    """Tiles of a layer: a load, a convolution, a chain and a store that only move on."""
    rows: list[Row] = []
    for tile in range(count):
        run = {"run_bytes": 640, "count_3": 1, "count_2": 1, "count_1": 8, "dram_stride_1": 640}
        run |= {"dram_address": 4096 * tile, "sram_address": 1024 * (tile % 4)}
        fixed = {"row_pitch": 64, "y_limit": 9, "x_limit": 64, "out_height": 4, "out_width": 8, "blocks": 2}
        chain = {"outer_2": 1, "outer_1": 4, "inner": 64, "strides_out": [0, 512, 64, 1], "scale_0": 0.5}
        rows += [
            (Opcode.LOAD, run | {"post": 1 << Unit.MATRIX}),
            (Opcode.CONV, fixed | {"wait": 1, "activation_address": 1024 * (tile % 4)}),
            (Opcode.CHAIN, chain | {"address_out": 8192 + 512 * tile, "step": [4] + [0] * 7}),
            (Opcode.STORE, run | {"dram_address": 1 << 20 | tile << 12}),
        ]
    return rows


def assert_same_records(found: Decoded, wanted: Decoded) -> None:
    assert found.opcode.tolist() == wanted.opcode.tolist()
    assert found.row.tolist() == wanted.row.tolist()
    assert (found.wait.tolist(), found.post.tolist()) == (wanted.wait.tolist(), wanted.post.tolist())
    for name, records in wanted.records.items():
        assert found.records[name].dtype == records.dtype
        assert found.records[name].tobytes() == records.tobytes()


def check(rows: list[Row]) -> bytes:
    lines = [encode(opcode, values) for opcode, values in rows]
    code = encode_stream(rows)
    decoded = decode(code)
    assert_same_records(decoded, decode(b"".join(lines)))
    assert decoded.offset_bytes.tolist() == [0, *np.cumsum(decoded.size_bytes).tolist()][: len(rows)]
    assert int(decoded.size_bytes.sum()) == decoded.code_bytes == len(code)
    assert all(size <= len(line) for size, line in zip(decoded.size_bytes.tolist(), lines, strict=True))
    return code


def any_value(field: Field, generator: np.random.Generator) -> Any:
    if field.code == "<f4":
        choices: tuple[float, ...] = (0.0, -0.0, 1.5, float("nan"), float("-inf"), 2.0**-149)
    else:
        info = np.iinfo(np.dtype(field.code))
        choices = (0, 1, 7, 127) if field.name == "flags" else (0, 1, 7, int(info.min), int(info.max))
    picked = [choices[int(number)] for number in generator.integers(0, len(choices), field.count)]
    return picked if field.count > 1 and generator.random() < 0.7 else picked[0]


def any_rows(generator: np.random.Generator) -> list[Row]:
    """Instructions that name any fields, or that change a few fields of the last one of their opcode."""
    last: dict[Opcode, dict[str, Any]] = {}
    rows = []
    for number in generator.integers(0, len(Opcode), int(generator.integers(1, 12))):
        opcode = list(Opcode)[int(number)]
        share = generator.choice([0.0, 0.1, 0.5, 1.0])
        values = dict(last.get(opcode, {})) if generator.random() < 0.7 else {}
        for field in BY_OPCODE[opcode].format.fields[1:]:
            if generator.random() < share:
                values[field.name] = any_value(field, generator)
        last[opcode] = values
        rows.append((opcode, values))
    return rows


@pytest.mark.parametrize("seed", range(100))
def test_a_stream_holds_the_records_of_its_instructions(seed):
    check(any_rows(np.random.default_rng(seed)))


def test_nothing_gives_nothing():
    assert encode_stream([]) == b""


def test_the_same_instruction_again_is_its_header_and_an_empty_bitmap():
    rows = rows_of_a_layer(1) * 3
    decoded = decode(check(rows))
    assert decoded.size_bytes[4:].tolist() == [8, 8, 12, 8] * 2


def test_tiles_of_a_layer_change_few_words():
    """DRAM and SRAM address of LOAD and STORE, one address of the others: header, bitmap, those words."""
    sizes = decode(check(rows_of_a_layer(50))).size_bytes.reshape(50, 4)
    assert sizes[1:].tolist() == [[16, 12, 16, 16]] * 49


def test_each_unit_changes_its_own_last_record():
    values = {"run_bytes": 64, "count_3": 1, "count_2": 1, "count_1": 1, "dram_address": 64}
    rows = [(Opcode.LOAD, values), (Opcode.STORE, values | {"dram_address": 128}), (Opcode.LOAD, values)]
    code = check(rows)
    assert code.endswith(head(Opcode.LOAD) + words(0))


def test_opcodes_of_one_unit_and_format_share_its_last_record():
    values = {"run_bytes": 64, "count_3": 1, "count_2": 1, "count_1": 1}
    code = check([(Opcode.LOAD, values), (Opcode.FILL, values | {"value": -1})])
    assert code.endswith(head(Opcode.FILL) + words(1 << 14, 0xFF))


def test_fresh_is_taken_unless_the_change_is_shorter():
    many, few = {"run_bytes": 1, "count_3": 1, "count_2": 1}, {"run_bytes": 1}
    code = check([(Opcode.LOAD, few), (Opcode.LOAD, many), (Opcode.LOAD, few), (Opcode.LOAD, {})])
    flags = [code[place + 3] & FRESH for place in decode(code).offset_bytes.tolist()]
    assert flags == [FRESH, 0, FRESH, FRESH]


def test_streams_and_instructions_may_follow_one_another():
    rows = rows_of_a_layer(3)
    lines = b"".join(encode(opcode, values) for opcode, values in rows)
    assert_same_records(decode(lines + encode_stream(rows)), decode(lines + lines))
    assert_same_records(decode(encode_stream(rows) + lines), decode(lines + lines))


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.mnemonic)
def test_a_change_before_any_record_changes_zeros(row):
    bitmap = bytes(8 if row.format.name == "vector" else 4)
    record = decode(head(row.opcode, 5, 1, 2) + bitmap).record(0)
    assert record.tobytes() == bytes([row.opcode, 1, 2, 5]).ljust(row.format.size_bytes, b"\0")


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.mnemonic)
def test_each_bit_names_its_word_and_others_are_refused(row):
    count, bits = BODY_WORDS[row.format.name], 64 if row.format.name == "vector" else 32
    before = encode(Opcode.LOAD, {})
    for bit in range(bits):
        code = head(row.opcode, FRESH) + (1 << bit).to_bytes(bits // 8, "little") + words(0x81)
        if bit < count:
            record = decode(before + code).record(1).tobytes()
            assert record == head(row.opcode).ljust(4 + 4 * bit, b"\0") + words(0x81).ljust(
                row.format.size_bytes - 4 - 4 * bit, b"\0"
            )
            continue
        message = rf"bitmap of {row.mnemonic} at byte 8 names .* allowed: bits 0\.\.{count - 1}$"
        with pytest.raises(ProgramError, match=message):
            decode(before + code)


def test_bits_behind_the_last_field_are_refused():
    decode(head(Opcode.FILL) + words(1 << 14, 0xFFFF))
    with pytest.raises(ProgramError, match=r"fill at byte 8 sets bits behind the last field"):
        decode(encode(Opcode.LOAD, {}) + head(Opcode.FILL) + words(1 << 14, 0x10000))


def test_random_bytes_decode_or_are_refused():
    generator = np.random.default_rng(7)
    opcodes = np.array(list(Opcode), np.uint8)
    outcomes = set()
    for _ in range(3000):
        raw = generator.integers(0, 256, (int(generator.integers(1, 16)), 4), np.uint8)
        raw[0, 0] = generator.choice(opcodes)
        raw[1:3, 1:] &= generator.integers(0, 2, dtype=np.uint8) * 255
        try:
            decoded = decode(raw.tobytes())
        except ProgramError as error:
            outcomes.add(str(error).split(" ")[0])
            continue
        outcomes.add("decoded")
        assert int(decoded.size_bytes.sum()) == raw.size
    assert {"decoded", "illegal", "the"} <= outcomes


def test_a_few_bytes_that_stand_for_too_many_records():
    line = head(Opcode.CHAIN) + words(0, 0)
    count = MAX_RECORD_BYTES // 256
    begin = time.process_time()
    with pytest.raises(ProgramError, match=rf"stands for {256 * (count + 1)} bytes"):
        decode(line * (count + 1))
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pad": 1}, r"instruction 2: LOAD has no field 'pad'"),
        ({"opcode": 1}, r"instruction 2: LOAD has no field 'opcode'"),
        ({"flags": 128}, r"instruction 2: LOAD\.flags: 128 is outside 0\.\.127"),
        ({"run_bytes": -1}, r"instruction 2: LOAD\.run_bytes: -1 is outside 0\.\.4294967295"),
        ({"run_bytes": 1 << 70}, r"instruction 2: LOAD\.run_bytes: \d+ is outside"),
        ({"run_bytes": 1.0}, r"instruction 2: LOAD\.run_bytes: 1\.0 is not an integer"),
        ({"run_bytes": "1"}, r"instruction 2: LOAD\.run_bytes: 1 is not an integer"),
        ({"run_bytes": [1, 2]}, r"instruction 2: LOAD\.run_bytes: 2 values; allowed: 1"),
    ],
)
def test_misfits_are_named(values, message):
    good = dict.fromkeys(values, 1) if "run_bytes" in values else {}
    rows = [(Opcode.LOAD, good), (Opcode.TABLE, {}), (Opcode.LOAD, values)]
    with pytest.raises(ValueError, match=message):
        encode_stream(rows)


def test_a_float_that_no_float32_holds_is_named():
    with pytest.raises(ValueError, match=r"instruction 1: CHAIN: a float field holds no float32"):
        encode_stream([(Opcode.CHAIN, {"scale_0": 1.0}), (Opcode.CHAIN, {"scale_0": 1e39})])


def test_values_of_every_kind_of_number():
    """NumPy scalars, arrays, one value for many, and 64-bit addresses, mixed in a column."""
    big = (1 << 64) - 1
    check(
        [
            (Opcode.LOAD, {"dram_address": big}),
            (Opcode.LOAD, {"dram_address": 1}),
            (Opcode.LOAD, {"dram_address": np.int64(5)}),
            (Opcode.CHAIN, {"strides_1": np.array([1, 2, 3, -4]), "scale_0": np.float32(0.1)}),
            (Opcode.CHAIN, {"strides_1": (4, 3, 2, 1), "scale_0": 3}),
            (Opcode.CHAIN, {"strides_1": -7, "scale_0": float("inf")}),
            (Opcode.CHAIN, {"immediate": [0.5, -0.0] * 4, "low_out": -128}),
        ]
    )
