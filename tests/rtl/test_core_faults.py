"""Corrupt programs in gates: the core stops, says why as the emulator does, and changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_bench import assert_equal, bench_of, small_chip
from core_programs import CODE_ADDRESS, HALF, memory_image

from hanok.errors import ProgramError, VerifyError
from hanok.isa import Opcode, Unit, decode, encode
from hanok.isa.faults import Fault
from hanok.isa.table import UNIT_OF
from hanok.machine import Chip
from hanok.simulator import emulate

GOOD: dict[Opcode, dict[str, Any]] = {
    Opcode.LOAD: {"run_bytes": 64, "count_1": 1, "count_2": 1, "count_3": 1},
    Opcode.STORE: {"run_bytes": 64, "count_1": 1, "count_2": 1, "count_3": 1, "dram_address": HALF},
    Opcode.FILL: {"run_bytes": 16, "count_1": 2, "count_2": 1, "count_3": 1, "sram_stride_1": 32},
    Opcode.CONV: {
        "out_height": 2, "out_width": 2, "taps_y": 1, "taps_x": 1, "tap_bytes": 4, "blocks": 1,
        "last_columns": 3, "weight_address": 1024, "x_stride": 4, "row_pitch": 8, "y_stride": 1,
        "y_limit": 2, "x_limit": 8, "pixel_pitch": 4,
    },
    Opcode.CHAIN: {
        "outer_2": 1, "outer_1": 1, "outer_0": 1, "reduce_1": 1, "reduce_0": 1, "inner": 8, "kind_0": 2,
        "kind_out": 2, "scale_0": 1.0, "stride_inner": 1, "y_limit": 1, "x_limit": 1, "address_out": 512,
        "strides_out": [0, 0, 0, 1], "low_out": -128, "high_out": 127,
    },
    Opcode.TABLE: {"address": 2048},
}  # fmt: skip
DEPTHWISE = {**GOOD[Opcode.CONV], "tap_bytes": 1, "last_columns": 4, "x_stride": 4}
SRAM = 16 * 512


def program(opcode: Opcode, **changes: Any) -> bytes:
    """A load, the instruction with its changes, and a store of what must not be seen."""
    first = encode(Opcode.LOAD, {**GOOD[Opcode.LOAD], "post": 0})
    last = encode(Opcode.STORE, {**GOOD[Opcode.STORE], "dram_address": HALF + 4096})
    base = DEPTHWISE if opcode is Opcode.DEPTHWISE else GOOD[opcode]
    return first + encode(opcode, {**base, **changes}) + last


def ordered(opcode: Opcode, **changes: Any) -> bytes:
    """The same, but the instruction waits for the load, and the store for it."""
    unit, load, store = UNIT_OF[opcode], 1 << int(Unit.LOAD), 1 << int(Unit.STORE)
    own, base = 1 << int(unit), DEPTHWISE if opcode is Opcode.DEPTHWISE else GOOD[opcode]
    masks = {"wait": load & ~own, "post": store & ~own}
    first = encode(Opcode.LOAD, {**GOOD[Opcode.LOAD], "post": own & ~load})
    last = {**GOOD[Opcode.STORE], "dram_address": HALF + 4096, "wait": own & ~store}
    return first + encode(opcode, {**base, **masks, **changes}) + encode(Opcode.STORE, last)


def in_the_middle(word: bytes) -> bytes:
    """The same with a word that begins no instruction."""
    first = encode(Opcode.LOAD, GOOD[Opcode.LOAD])
    last = encode(Opcode.STORE, {**GOOD[Opcode.STORE], "dram_address": HALF + 4096})
    return first + word + last


BAD = [
    (Fault.ZERO_LENGTH, program(Opcode.LOAD, run_bytes=0)),
    (Fault.ZERO_LENGTH, program(Opcode.STORE, count_2=0)),
    (Fault.ZERO_LENGTH, program(Opcode.FILL, count_3=0)),
    (Fault.ZERO_LENGTH, program(Opcode.CONV, taps_x=0)),
    (Fault.ZERO_LENGTH, program(Opcode.CONV, out_height=0)),
    (Fault.ZERO_LENGTH, program(Opcode.DEPTHWISE, pixel_pitch=0)),
    (Fault.ZERO_LENGTH, program(Opcode.CHAIN, inner=0)),
    (Fault.ZERO_LENGTH, program(Opcode.CHAIN, reduce_0=0)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CONV, last_columns=5)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CONV, tap_bytes=SRAM + 1)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CONV, flags=3)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CONV, flags=7)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, steps=9)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, kind_0=0)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, kind_1=1)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, reduction=4)),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, steps=1, step=[99] + 7 * [0])),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, steps=1, step=[1] + 7 * [0], operand=[1] + 7 * [0])),
    (Fault.NO_SUCH_VALUE, program(Opcode.CHAIN, low_out=5, high_out=4)),
    (Fault.NO_SUCH_BYTE, program(Opcode.LOAD, sram_address=SRAM)),
    (Fault.NO_SUCH_BYTE, program(Opcode.LOAD, sram_address=(1 << 32) - 1)),
    (Fault.NO_SUCH_BYTE, program(Opcode.STORE, sram_address=SRAM + 64)),
    (Fault.NO_SUCH_BYTE, program(Opcode.CONV, weight_address=SRAM)),
    (Fault.NO_SUCH_BYTE, program(Opcode.CONV, accumulator_row=256)),
    (Fault.NO_SUCH_BYTE, program(Opcode.CHAIN, address_out=1 << 20)),
    (Fault.NO_SUCH_BYTE, program(Opcode.TABLE, address=SRAM - 1020)),
    (Fault.NO_SUCH_UNIT, program(Opcode.LOAD, wait=1)),
    (Fault.NO_SUCH_UNIT, program(Opcode.CHAIN, post=8)),
    (Fault.NO_SUCH_FLAG, program(Opcode.TABLE, flags=1)),
    (Fault.NO_SUCH_FLAG, program(Opcode.CONV, flags=8)),
    (Fault.NO_SUCH_FLAG, program(Opcode.DEPTHWISE, flags=4)),
    (Fault.ILLEGAL_OPCODE, in_the_middle(b"\xee\0\0\0")),
    (Fault.CUT_SHORT, program(Opcode.LOAD)[:-4]),
    (Fault.NO_SUCH_ADDRESS, program(Opcode.LOAD, dram_address=1 << 20)),
    (Fault.NO_SUCH_ADDRESS, program(Opcode.STORE, dram_address=1 << 20)),
    (Fault.NO_SUCH_ADDRESS, program(Opcode.LOAD, dram_address=1 << 63)),
    (Fault.BUS_ERROR, program(Opcode.LOAD, dram_address=(1 << 20) - 4096)),
]
TOP = 1 << 31
ROWS_OF_TWO = {"outer_1": 2, "y_stride": 1, "y_limit": 2, "inner": 4, "strides_out": [0, 4, 0, 1]}
PIXELS_OF_TWO = {"outer_0": 2, "x_stride": 1, "x_limit": 2, "inner": 4, "strides_out": [0, 0, 4, 1]}
WIDE_1 = {
    "kind_1": 2,
    "address_1": 1536,
    "outer_0": 2,
    "x_stride": 1,
    "x_limit": 2,
    "strides_out": [0, 0, 8, 1],
}
AROUND = [
    *(
        (Fault.NO_SUCH_BYTE, ordered(opcode, **{f"count_{level}": 2, f"sram_stride_{level}": stride}))
        for opcode in (Opcode.LOAD, Opcode.FILL, Opcode.STORE)
        for level in (1, 2, 3)
        for stride in (SRAM, -SRAM, 2 * SRAM, 3 * SRAM, 1 << 20, -TOP)
    ),
    *(
        (Fault.NO_SUCH_BYTE, ordered(opcode, run_bytes=3 * SRAM))
        for opcode in (Opcode.LOAD, Opcode.FILL, Opcode.STORE)
    ),
    *(
        (Fault.NO_SUCH_BYTE, ordered(opcode, **{"y_limit": 5, "y_start": 1, **changes}))
        for opcode in (Opcode.CONV, Opcode.DEPTHWISE)
        for changes in (
            *({"row_pitch": pitch} for pitch in (SRAM, 1 << 20, 1 << 29, 1 << 30, TOP, 3 << 30)),
            {"row_pitch": 1 << 29, "y_start": 3},
            {"row_pitch": 1 << 20, "y_start": 1 << 12, "y_limit": 1 << 13},
            {"row_pitch": 1, "y_start": 1 << 30, "y_limit": TOP - 1},
            {"row_pitch": TOP, "ring_rows": 4, "ring_start": 1},
            {"row_pitch": 1 << 30, "ring_rows": TOP, "ring_start": 1 << 20},
            {"activation_address": TOP},
            {"activation_address": 1 << 20},
            {"activation_address": TOP, "row_pitch": TOP},
            {"x_start": 1 << 30, "x_limit": TOP - 1},
            {"x_start": 1 << 20, "x_limit": TOP - 1},
            {"x_start": SRAM - 4, "x_limit": TOP - 1},
        )
    ),
    (Fault.NO_SUCH_BYTE, ordered(Opcode.CONV, accumulator_row=254)),
    (Fault.NO_SUCH_BYTE, ordered(Opcode.CONV, blocks=70, x_limit=1)),
    (Fault.NO_SUCH_BYTE, ordered(Opcode.CONV, blocks=64, taps_x=16, x_limit=1)),
    *(
        (Fault.NO_SUCH_BYTE, ordered(Opcode.CONV, flags=4, x_limit=1, **changes))
        for changes in (
            *({"weight_pitch": pitch} for pitch in (SRAM, 2 * SRAM, 8 * SRAM, 1 << 20, TOP, 2 * TOP - 8)),
            *({"weight_pitch": pitch, "last_columns": 1, "blocks": 2} for pitch in (SRAM // 4, 2 * SRAM)),
            {"weight_pitch": TOP, "tap_bytes": 12},
            {"weight_pitch": (SRAM - 1024) // 2, "tap_bytes": 12},
            {"weight_pitch": 0, "weight_address": SRAM - 16, "tap_bytes": 17, "last_columns": 1},
            {"weight_pitch": 4 * SRAM, "taps_x": 3, "last_columns": 2},
        )
    ),
    *(
        (Fault.NO_SUCH_VALUE, ordered(Opcode.CONV, **changes))
        for changes in (
            {"y_stride": TOP - 1, "out_height": 3},
            {"y_stride": -TOP, "out_height": 3},
            {"y_start": TOP - 1},
            {"y_start": -TOP, "y_stride": -1},
            {"y_start": TOP - 2, "taps_y": 2, "y_dilation": 1},
            {"x_start": TOP - 5},
            {"x_start": TOP - 3, "x_stride": 0},
            {"x_start": TOP - 9, "x_stride": 0, "tap_bytes": 16},
            {"x_start": -TOP, "x_stride": -1},
            {"x_stride": 1 << 30, "out_width": 3},
            {"x_start": TOP - 8, "x_stride": 0, "taps_x": 3, "x_tap": 4},
            {"x_start": TOP - 8, "x_stride": 0, "blocks": 3, "x_block": 4, "last_columns": 4},
        )
    ),
    *(
        (Fault.NO_SUCH_BYTE, ordered(Opcode.CHAIN, **changes))
        for changes in (
            *({"stride_inner": stride} for stride in (SRAM, -SRAM, 2 * SRAM, 1 << 20, -TOP)),
            *({"outer_2": 2, "stride_2": stride} for stride in (SRAM, -SRAM, 4 * SRAM, 8 * SRAM, -TOP)),
            *(ROWS_OF_TWO | {"row_pitch": pitch} for pitch in (SRAM, -SRAM, 1 << 20, 1 << 30, -TOP)),
            *(PIXELS_OF_TWO | {"pixel_pitch": pitch} for pitch in (SRAM, -SRAM, 1 << 20, 1 << 30, -TOP)),
            {"pixel_pitch": 16, "x_start": 1 << 29, "x_limit": TOP - 1},
            {"pixel_pitch": -1, "x_start": 1 << 29, "x_limit": TOP - 1},
            {"row_pitch": 1, "y_start": 1 << 16, "y_limit": TOP - 1},
            {"row_pitch": -1, "y_start": SRAM, "y_limit": TOP - 1},
            ROWS_OF_TWO | {"row_pitch": 8 * SRAM, "ring_rows": 2},
            ROWS_OF_TWO | {"row_pitch": SRAM, "ring_rows": 8, "ring_start": 15},
            {"row_pitch": 1 << 20, "ring_rows": TOP, "ring_start": 1 << 14},
            {"reduction": 1, "reduce_0": 2, "x_dilation": 1, "x_limit": 2, "pixel_pitch": 8 * SRAM},
            {"reduction": 1, "reduce_1": 2, "y_dilation": 1, "y_limit": 2, "row_pitch": 8 * SRAM},
            {"reduction": 1, "flags": 1, "stride_inner": 8 * SRAM},
            *({"address_0": address} for address in (SRAM, 1 << 20, TOP)),
            *({"kind_0": 1, "address_0": address} for address in (1024, SRAM, TOP)),
            {"kind_0": 1, "stride_inner": 1024},
            *(WIDE_1 | {"strides_1": [0, 0, stride, 1]} for stride in (SRAM, -SRAM, 2 * SRAM, 1 << 20, -TOP)),
            *(
                {"kind_2": 2, "address_2": 1536, "strides_2": [0, 0, 0, stride]}
                for stride in (SRAM, -SRAM, 2 * SRAM, -TOP)
            ),
            *({"outer_2": 2, "strides_out": [stride, 0, 0, 1]} for stride in (SRAM, -SRAM, 2 * SRAM, -TOP)),
            *({"strides_out": [0, 0, 0, stride]} for stride in (SRAM, 2 * SRAM, 1 << 20, -TOP)),
        )
    ),
    *(
        (Fault.NO_SUCH_VALUE, ordered(Opcode.CHAIN, **changes))
        for changes in (
            ROWS_OF_TWO | {"y_start": TOP - 1},
            ROWS_OF_TWO | {"y_start": -TOP, "y_stride": -TOP},
            ROWS_OF_TWO | {"outer_1": 3, "y_stride": TOP - 1},
            PIXELS_OF_TWO | {"x_start": TOP - 1},
            PIXELS_OF_TWO | {"outer_0": 3, "x_stride": -TOP},
            {"reduction": 1, "reduce_1": 2, "y_dilation": 1, "y_start": TOP - 1},
            {"reduction": 1, "reduce_0": 9, "x_dilation": TOP - 1, "x_start": -TOP},
        )
    ),
]
"""Strides, pitches and starts that come back into the memory around a power of two."""
BAD += AROUND


@pytest.mark.parametrize(
    ("fault", "code"), BAD, ids=[f"{n}-{case[0].name.lower()}" for n, case in enumerate(BAD)]
)
def test_a_corrupt_program_stops_the_core_with_the_emulators_cause(fault: Fault, code: bytes) -> None:
    chip = small_chip()
    image = memory_image(np.random.default_rng(1), code)
    with pytest.raises((ProgramError, VerifyError)) as found:
        emulate(decode(code), chip, image.copy())
    assert found.value.cause == fault
    bench, seen = bench_of(chip), image.copy()
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, seen, 20_000)
    assert run.fault is fault
    assert run.fault_offset == _offset(fault)
    assert np.array_equal(seen[HALF + 4096 :], image[HALF + 4096 :]), "the store behind it changed nothing"
    assert np.array_equal(seen[:HALF], image[:HALF])


def test_the_core_runs_again_after_a_fault() -> None:
    chip = small_chip()
    code = BAD[0][1]
    bench = bench_of(chip)
    bench.renew()
    bench.run(len(code), CODE_ADDRESS, memory_image(np.random.default_rng(1), code), 20_000)
    good = _copy(chip)
    image = memory_image(np.random.default_rng(2), good)
    expected = image.copy()
    emulate(decode(good), chip, expected)
    run = bench.run(len(good), CODE_ADDRESS, image, 20_000)
    assert run.fault is Fault.NONE
    assert np.array_equal(image, expected)


def test_the_offset_is_that_of_the_instruction() -> None:
    chip = small_chip()
    code = program(Opcode.CHAIN, inner=0)
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, memory_image(np.random.default_rng(1), code), 20_000)
    assert run.fault_offset == decode(code).offset_bytes[1]


def test_code_that_is_no_whole_number_of_words() -> None:
    chip = small_chip()
    code = _copy(chip)
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code) - 2, CODE_ADDRESS, memory_image(np.random.default_rng(1), code), 20_000)
    assert run.fault is Fault.UNALIGNED_CODE
    assert run.cycles == 0
    assert_equal(chip, code, memory_image(np.random.default_rng(3), code), "after it")


def _offset(fault: Fault) -> int:
    """Where the second of three instructions begins, which is corrupt, or the third, which is cut short."""
    return len(encode(Opcode.LOAD, GOOD[Opcode.LOAD])) * (2 if fault is Fault.CUT_SHORT else 1)


def _copy(chip: Chip) -> bytes:
    """A load and a store that waits for it."""
    whole = {"run_bytes": chip.core.sram.total_bytes, "count_1": 1, "count_2": 1, "count_3": 1}
    first = encode(Opcode.LOAD, {**whole, "post": 2})
    return first + encode(Opcode.STORE, {**whole, "wait": 1, "dram_address": HALF})
