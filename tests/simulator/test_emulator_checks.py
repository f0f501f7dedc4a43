"""Bad programs are refused before anything runs: fields, bounds, work, deadlock, ownership."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulator_streams import DRAM_BYTES, fields_of, random_instruction, small_chip

from hanok.errors import HanokError, ProgramError, VerifyError
from hanok.isa import Opcode, encode
from hanok.isa.table import BY_OPCODE
from hanok.numerics import huffman
from hanok.simulator import Machine, emulate

LOAD, STORE, MATRIX, VECTOR = 1, 2, 4, 8
CHIP = small_chip()
SRAM = CHIP.core.sram.total_bytes
ROWS = 512


def dma(opcode: Opcode = Opcode.LOAD, **values: Any) -> bytes:
    return encode(opcode, {"run_bytes": 16, "count_1": 1, "count_2": 1, "count_3": 1} | values)


def conv(opcode: Opcode = Opcode.CONV, **values: Any) -> bytes:
    fields = {
        "row_pitch": 8, "y_stride": 1, "y_limit": 4, "x_stride": 8, "x_limit": 8, "out_height": 2,
        "out_width": 1, "taps_y": 1, "taps_x": 1, "tap_bytes": 8 if opcode is Opcode.CONV else 1, "blocks": 1,
        "last_columns": 8, "pixel_pitch": 8, "weight_address": 1024,
    }  # fmt: skip
    return encode(opcode, fields | values)


def chain(**values: Any) -> bytes:
    fields = {
        "outer_2": 1, "outer_1": 1, "outer_0": 1, "reduce_1": 1, "reduce_0": 1, "inner": 8, "kind_0": 2,
        "kind_out": 2, "scale_0": 1.0, "stride_inner": 1, "y_limit": 1, "x_limit": 1, "address_0": 2048,
        "address_out": 4096, "strides_out": [0, 0, 0, 1], "low_out": -128, "high_out": 127,
    }  # fmt: skip
    return encode(Opcode.CHAIN, fields | values)


def run(code: bytes, **options: Any) -> None:
    emulate(code, CHIP, np.zeros(DRAM_BYTES, np.uint8), **options)


BROKEN = [
    (dma(run_bytes=0), "run_bytes is 0; allowed: 1 to"),
    (dma(count_2=0), "count_2 is 0"),
    (dma(flags=1), "flags is 1"),
    (dma(sram_address=SRAM - 15), f"highest SRAM byte is {SRAM}; allowed: 0 to {SRAM - 1}"),
    (dma(count_1=2, sram_stride_1=-1), "lowest SRAM byte is -1"),
    (dma(dram_address=DRAM_BYTES - 15), "highest DRAM byte"),
    (dma(dram_address=(1 << 64) - 1), "DRAM byte"),
    (dma(count_3=3, dram_stride_3=-5, dram_address=9), "lowest DRAM byte is -1"),
    (dma(Opcode.STORE, count_3=(1 << 32) - 1, dram_stride_3=(1 << 31) - 1), "highest DRAM byte"),
    (dma(Opcode.FILL, count_3=(1 << 32) - 1, sram_stride_3=-(1 << 31)), "lowest SRAM byte"),
    (dma(count_3=(1 << 32) - 1, count_2=(1 << 32) - 1), "operations; allowed: at most"),
    (dma(wait=1), "allowed: bits of the three other units"),
    (dma(post=16), "allowed: bits of the three other units"),
    (conv(flags=3), "flags is 3; allowed: 0, 1, 2"),
    (conv(flags=7), "flags is 7; allowed: 0, 1, 2, 4, 5, 6"),
    (conv(flags=8), "flags is 8; allowed: 0 to 7"),
    (conv(Opcode.DEPTHWISE, flags=4), "flags is 4; allowed: 0 to 3"),
    (conv(flags=4, weight_pitch=8, weight_address=SRAM - 63), "SRAM byte of weights"),
    (conv(flags=4, weight_pitch=(1 << 32) - 1), "SRAM byte of weights"),
    (conv(out_height=0), "out_height is 0"),
    (conv(out_height=(1 << 32) - 1, out_width=(1 << 32) - 1), f"out_height is .*; allowed: 1 to {ROWS}"),
    (conv(taps_x=0), "taps_x is 0"),
    (conv(blocks=0), "blocks is 0"),
    (conv(last_columns=9), "last_columns is 9; allowed: 1 to 8"),
    (conv(tap_bytes=(1 << 32) - 1), "tap_bytes is"),
    (conv(Opcode.DEPTHWISE, tap_bytes=2), "tap_bytes is 2; allowed: 1"),
    (conv(Opcode.DEPTHWISE, pixel_pitch=0), "pixel_pitch is 0"),
    (conv(accumulator_row=ROWS - 1), f"accumulator row is {ROWS}"),
    (conv(blocks=65535), "accumulator row"),
    (conv(weight_address=SRAM - 63), "SRAM byte of weights"),
    (conv(flags=1, bias_address=SRAM - 31), "SRAM byte of biases"),
    (conv(activation_address=SRAM - 15), "SRAM byte of activations"),
    (conv(ring_rows=2000, ring_start=1999, row_pitch=16), "SRAM byte of activations"),
    (
        conv(ring_rows=(1 << 32) - 1, ring_start=(1 << 32) - 3, row_pitch=(1 << 32) - 1),
        "row slot \\* row_pitch",
    ),
    (chain(inner=0), "inner is 0"),
    (chain(outer_1=(1 << 32) - 1), "outer_1 is"),
    (chain(inner=SRAM + 1), "outer_2 \\* outer_1 \\* outer_0 \\* inner"),
    (chain(reduce_0=0), "reduce_0 is 0"),
    (chain(reduce_0=2), "reduce_1 \\* reduce_0 is 2; allowed: 1 without"),
    (chain(reduction=4), "reduction is 4"),
    (chain(flags=1), "flags is 1; allowed: 0 without a reduction"),
    (chain(kind_0=0), "kind_0 is 0"),
    (chain(kind_1=1), "kind_1 is 1"),
    (chain(kind_out=1), "kind_out is 1"),
    (chain(low_out=-129), "low_out is -129"),
    (chain(low_out=5, high_out=4), "high_out is 4"),
    (chain(steps=9), "steps is 9"),
    (chain(steps_before=1), "steps_before is 1"),
    (chain(steps=1, step=[99] + [0] * 7), "step 0 is 99"),
    (chain(steps=1, operand=[9] + [0] * 7), "operand 0 is 9"),
    (chain(steps=1, operand=[2] + [0] * 7), "kind_2 of step 0 is 0"),
    (chain(address_0=SRAM - 7), "SRAM byte of operand 0"),
    (chain(kind_0=1, address_0=ROWS * 8 - 7), "accumulator element"),
    (chain(kind_1=4, address_1=SRAM - 3), "SRAM byte of operand 1"),
    (chain(kind_2=2, strides_2=[0, 0, 0, -1]), "lowest SRAM byte of operand 2"),
    (chain(kind_out=4, address_out=SRAM - 10), "SRAM byte of operand out"),
    (
        chain(outer_1=2, y_start=5, y_limit=1 << 30, y_stride=1 << 28, row_pitch=-(1 << 31)),
        "row slot \\* row_pitch",
    ),
    (conv(x_start=(1 << 31) - 1), "highest x is 2147483654"),
    (conv(y_start=-(1 << 31), y_stride=-1), "lowest y is -2147483649"),
    (chain(outer_1=2, y_start=1 << 30, y_stride=1 << 30), "highest y is 2147483648"),
    (encode(Opcode.TABLE, {"address": SRAM - 1023}), "highest SRAM byte"),
    (encode(Opcode.TABLE, {"flags": 1}), "flags is 1"),
]


@pytest.mark.parametrize(("code", "message"), BROKEN)
def test_illegal_instructions_are_named(code: bytes, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        run(dma() + code)


def test_the_legal_forms_run() -> None:
    run(dma() + conv() + conv(Opcode.DEPTHWISE) + chain() + encode(Opcode.TABLE, {"address": SRAM - 1024}))


def test_extreme_fields_never_leave_the_memories() -> None:
    """Fields of real instructions set to extremes: refused, or executed within bounds."""
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(250):
        code = random_instruction(rng, CHIP)
        opcode, fields = Opcode(code[0]), fields_of(code)
        integers = [field for field in BY_OPCODE[opcode].format.fields[3:] if field.code != "<f4"]
        for number in rng.integers(0, len(integers), rng.integers(1, 4)):
            name, info = integers[number].name, np.iinfo(integers[number].code)
            high = 127 if name == "flags" else int(info.max)
            fields[name] = int(rng.choice(np.array([info.min, high, high // 2 + 1, 0, 1], object)))
        try:
            run(encode(opcode, fields), work_limit=1 << 20)
        except HanokError:
            refused += 1
    assert 60 < refused < 250


def test_code_that_cannot_be_decoded() -> None:
    with pytest.raises(ProgramError, match="illegal opcode"):
        run(bytes(64))


def test_memory_must_be_bytes() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Machine(CHIP, np.zeros(8, np.int8))


def test_deadlock_names_what_waits() -> None:
    with pytest.raises(VerifyError, match=r"deadlock: instruction 1 \(CONV\) waits for load"):
        run(dma() + conv(wait=LOAD))


def test_a_wait_is_met_by_a_later_instruction_of_another_unit() -> None:
    run(conv(wait=LOAD) + dma(post=MATRIX))


def test_a_full_queue_stops_dispatch() -> None:
    """Two CONVs fill a queue of one; the LOAD behind them is never dispatched."""
    chip = small_chip(queue_depth=1, semaphore_limit=2)
    code = conv(wait=LOAD) + conv() + dma(post=MATRIX)
    with pytest.raises(VerifyError, match="deadlock"):
        emulate(code, chip, np.zeros(DRAM_BYTES, np.uint8))
    emulate(code, CHIP, np.zeros(DRAM_BYTES, np.uint8))


def test_a_full_counter_stalls_and_loses_nothing() -> None:
    chip = small_chip(queue_depth=1, semaphore_limit=2)
    memory = np.zeros(DRAM_BYTES, np.uint8)
    emulate(dma(post=MATRIX) * 4 + conv(wait=LOAD) * 4, chip, memory, order="eager:load,store,matrix,vector")
    with pytest.raises(VerifyError, match="load cannot post to the full counter of matrix"):
        emulate(dma(post=MATRIX) * 4, chip, memory)


@pytest.mark.parametrize("order", ["random:1", "random:2", "eager:vector,matrix,store,load"])
def test_missing_synchronisation_shows(order: str) -> None:
    """A STORE that does not wait for its LOAD may run first; one that waits never does."""
    memory = np.arange(DRAM_BYTES, dtype=np.uint32).astype(np.uint8)
    seen = set()
    for synchronised in (True, False):
        loaded = dma(post=STORE if synchronised else 0, dram_address=5) * 8
        stored = dma(Opcode.STORE, wait=LOAD if synchronised else 0, dram_address=1000) * 8
        for seed in range(6):
            image = memory.copy()
            emulate(loaded + stored, CHIP, image, order=f"random:{seed}" if "random" in order else order)
            seen.add((synchronised, image[1000]))
    assert (True, 5) in seen
    assert (True, 0) not in seen


def test_order_by_name_is_checked() -> None:
    with pytest.raises(ValueError, match="allowed: program, random:SEED, eager:"):
        run(conv(wait=LOAD) + dma(post=MATRIX), order="fifo")


def test_trap_finds_two_owners() -> None:
    loaded, stored = dma(), dma(Opcode.STORE, sram_address=8)
    run(loaded + stored)
    with pytest.raises(VerifyError, match=r"instructions 0 \(LOAD\) and 1 \(STORE\) both use SRAM bank 0"):
        run(loaded + stored, trap=True)
    run(dma(post=STORE) + dma(Opcode.STORE, wait=LOAD), trap=True)
    run(loaded + dma(Opcode.STORE, sram_address=1024), trap=True)


def test_trap_follows_chains_of_semaphores() -> None:
    """LOAD before CONV before CHAIN orders LOAD before CHAIN; accumulator banks count too."""
    code = dma(post=MATRIX, sram_address=1024) + conv(wait=LOAD, post=VECTOR)
    read = {"kind_0": 1, "address_0": 0, "address_out": 1024}
    run(code + chain(wait=MATRIX, **read), trap=True)
    with pytest.raises(VerifyError, match="accumulator bank 0"):
        run(conv() + chain(**read | {"address_out": 8192}), trap=True)
    with pytest.raises(VerifyError, match="1 counts are left"):
        run(conv(post=VECTOR), trap=True)


def packed(content: np.ndarray, lanes: int, keep: bool, damage: bool = False) -> bytes:
    lengths = huffman.code_lengths(huffman.histogram(content))
    words = huffman.pack_words(content, lengths, 5 * lanes)
    return (b"" if keep else huffman.table_of(lengths)) + (words[:-4] if damage else words)


def expand(stream: bytes, content: np.ndarray, **values: Any) -> bytes:
    fields = {
        "run_bytes": content.size,
        "packed_bytes": len(stream),
        "count_1": 1,
        "count_2": 1,
        "count_3": 1,
    }
    return encode(Opcode.EXPAND, fields | values)


@pytest.mark.parametrize("mode", ["fast", "stepwise"])
def test_packed_weights_are_expanded(mode: str) -> None:
    """The stream of the codec comes back, with its own code and with the one kept from before."""
    chip = small_chip(expand_lanes=4)
    content = np.random.default_rng(0).normal(size=500).astype(np.int8).view(np.uint8)
    first, second = packed(content, 4, keep=False), packed(content, 4, keep=True)
    memory = np.zeros(DRAM_BYTES, np.uint8)
    memory[: len(first)] = np.frombuffer(first, np.uint8)
    memory[8192 : 8192 + len(second)] = np.frombuffer(second, np.uint8)
    machine = Machine(chip, memory)
    kept = expand(second, content, flags=1, dram_address=8192, sram_address=1000)
    machine.run(expand(first, content, sram_address=16) + kept, mode=mode)
    for start in (16, 1000):
        assert np.array_equal(machine.memories.sram[start : start + 500], content)
    with pytest.raises(VerifyError, match="bits that are no code of the table"):
        emulate(kept, chip, memory)


def test_damaged_streams_and_missing_decoders_are_refused() -> None:
    content = np.arange(200, dtype=np.uint8)
    stream = packed(content, 2, keep=False, damage=True)
    memory = np.zeros(DRAM_BYTES, np.uint8)
    memory[: len(stream)] = np.frombuffer(stream, np.uint8)
    chip = small_chip(expand_lanes=2)
    with pytest.raises(VerifyError, match="the stream ends within a code"):
        emulate(expand(stream, content), chip, memory)
    memory[:128] = 0x11
    with pytest.raises(VerifyError, match="code lengths that make no prefix code"):
        emulate(expand(stream, content), chip, memory)
    with pytest.raises(VerifyError, match="expand_lanes of the chip is 0"):
        emulate(expand(stream, content), CHIP, memory)
    for values, message in (
        ({"flags": 2}, "flags is 2; allowed: 0 or 1"),
        ({"count_2": 2}, "largest count is 3|largest count is 2"),
        ({"packed_bytes": 128}, "packed_bytes is 128"),
        ({"packed_bytes": 133}, "packed_bytes is 133"),
        ({"dram_address": DRAM_BYTES - 4}, "highest DRAM byte"),
    ):
        with pytest.raises(VerifyError, match=message):
            emulate(expand(stream, content, **values), chip, memory)
