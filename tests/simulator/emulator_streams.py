"""Seeded random instructions that are legal on a small chip, and hand-built convolution layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hanok.errors import VerifyError
from hanok.isa import Opcode, Operand, Reduction, Source, Step, decode, encode
from hanok.isa.table import FLAG_COLUMNS
from hanok.machine import Chip
from hanok.simulator.emulator_checks import check_program
from hanok.simulator.emulator_fields import extract_fields

DRAM_BYTES = 1 << 16
ELEMENT_BYTES = {1: 1, 2: 1, 3: 4, 4: 4, 0: 1}


def small_chip(
    rows: int = 8,
    columns: int = 8,
    lanes: int = 8,
    bank_bytes: int = 1024,
    expand_lanes: int = 0,
    **control: int,
) -> Chip:
    """A chip small enough that random instructions meet every edge."""
    return Chip.from_dict(
        {
            "name": "small",
            "clock_mhz": 100,
            "core": {
                "matrix": {"rows": rows, "columns": columns, "accumulator_rows": 256, "accumulator_banks": 2},
                "vector": {"lanes": lanes, "stages": 2},
                "sram": {"banks": 16, "bank_bytes": bank_bytes},
                "dma": {"bytes_per_cycle": 8, "outstanding": 4, "expand_lanes": expand_lanes},
                "control": control,
            },
            "memory": {"standard": "none", "channels": 1, "capacity_mib": 1},
        },
        "test",
    )


def is_legal(code: bytes, chip: Chip, dram_bytes: int = DRAM_BYTES) -> bool:
    decoded = decode(code)
    try:
        check_program(decoded, extract_fields(decoded), chip, dram_bytes, 1 << 24)
    except VerifyError:
        return False
    return True


def fields_of(code: bytes) -> dict[str, Any]:
    """Fields of one instruction, to be changed and encoded again."""
    record = decode(code).record(0)
    return {name: record[name].tolist() for name in record.dtype.names or () if name != "opcode"}


def random_instruction(rng: np.random.Generator, chip: Chip) -> bytes:
    """One legal instruction; unlucky draws are thrown away."""
    makers = (
        random_dma,
        random_matrix,
        random_matrix,
        random_chain,
        random_chain,
        random_chain,
        random_table,
    )
    while True:
        code = makers[rng.integers(len(makers))](rng, chip)
        if is_legal(code, chip):
            return code


def random_dma(rng: np.random.Generator, chip: Chip) -> bytes:
    opcode = (Opcode.LOAD, Opcode.FILL, Opcode.STORE)[rng.integers(3)]
    values: dict[str, Any] = {
        "run_bytes": rng.integers(1, 90),
        "dram_address": rng.integers(DRAM_BYTES),
        "sram_address": rng.integers(chip.core.sram.total_bytes),
        "value": rng.integers(-128, 128) if opcode is Opcode.FILL else 0,
    }
    for level in (1, 2, 3):
        values[f"count_{level}"] = rng.integers(1, 6)
        values[f"dram_stride_{level}"] = rng.integers(-600, 600)
        values[f"sram_stride_{level}"] = rng.integers(-300, 300)
    return encode(opcode, values)


def random_matrix(rng: np.random.Generator, chip: Chip) -> bytes:
    matrix, sram = chip.core.matrix, chip.core.sram.total_bytes
    opcode = (Opcode.CONV, Opcode.DEPTHWISE)[rng.integers(2)]
    ring = int(rng.integers(0, 7)) if rng.random() < 0.4 else 0
    big = rng.random() < 0.2
    values: dict[str, Any] = {
        "flags": rng.integers(3),
        "activation_address": rng.integers(sram * 2 // 3),
        "row_pitch": rng.integers(1, 300),
        "ring_rows": ring,
        "ring_start": rng.integers(9) if ring else 0,
        "y_start": rng.integers(-4, 5),
        "y_stride": rng.integers(-1, 4),
        "y_dilation": rng.integers(0, 4),
        "y_limit": rng.integers(1, 14),
        "x_start": rng.integers(-30, 40),
        "x_stride": rng.integers(-4, 24),
        "x_tap": rng.integers(-4, 24),
        "x_block": rng.integers(-4, 24) if rng.random() < 0.5 else 0,
        "x_limit": rng.integers(1, 250),
        "pixel_pitch": rng.integers(1, 24),
        "out_height": rng.integers(1, 6),
        "out_width": rng.integers(1, 8),
        "taps_y": rng.integers(1, 4),
        "taps_x": rng.integers(1, 4),
        "tap_bytes": rng.integers(1, 120 if big else 24) if opcode is Opcode.CONV else 1,
        "blocks": rng.integers(1, 4),
        "last_columns": rng.integers(1, matrix.columns + 1),
        "weight_address": rng.integers(sram),
        "bias_address": rng.integers(sram),
        "accumulator_row": rng.integers(2 * matrix.accumulator_rows),
        "pad": rng.integers(-128, 128),
    }
    if rng.random() < 0.4:
        values["x_stride"] = values["tap_bytes"]
        values["x_tap"] = values["tap_bytes"]
        values["x_block"] = 0
        values["row_pitch"] = values["out_width"] * values["tap_bytes"]
        values["x_limit"] = values["row_pitch"]
        values["x_start"] = -values["tap_bytes"] * rng.integers(2)
        values["y_stride"] = values["y_dilation"] = 1
    if rng.random() < 0.2:
        values["taps_x"] = values["taps_y"] = 1
        values["x_start"] = values["y_start"] = 0
    if opcode is Opcode.CONV and rng.random() < 0.3:
        depth = values["taps_y"] * values["taps_x"] * values["tap_bytes"]
        values["flags"] += FLAG_COLUMNS
        values["weight_pitch"] = int(rng.choice([depth, rng.integers(2 * depth), rng.integers(sram // 8)]))
    return encode(opcode, values)


def random_table(rng: np.random.Generator, chip: Chip) -> bytes:
    return encode(Opcode.TABLE, {"address": rng.integers(chip.core.sram.total_bytes)})


SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-42, 3e38, 127.5, 1e9], np.float32
)


def _number(rng: np.random.Generator) -> np.float32:
    if rng.random() < 0.3:
        return np.float32(rng.choice(SPECIAL))
    return np.float32(rng.normal() * 10.0 ** rng.integers(-3, 3))


def _side_strides(rng: np.random.Generator, counts: list[int], size: int) -> list[int]:
    """Dense, broadcast or odd strides of an operand."""
    kind = rng.integers(4)
    if kind == 0:
        return [0, 0, 0, size]
    if kind == 1:
        dense = [size * int(np.prod(counts[axis + 1 :])) for axis in range(4)]
        return dense
    if kind == 2:
        return [0, 0, 0, 0]
    return [int(value) for value in rng.integers(-70, 70, 4)]


def random_chain(rng: np.random.Generator, chip: Chip) -> bytes:
    sram = chip.core.sram.total_bytes
    matrix = chip.core.matrix
    counts = [
        int(rng.integers(1, 3)),
        int(rng.integers(1, 5)),
        int(rng.integers(1, 6)),
        int(rng.integers(1, 40)),
    ]
    reduction = Reduction(int(rng.integers(4))) if rng.random() < 0.6 else Reduction.NONE
    reduce = [int(rng.integers(1, 4)), int(rng.integers(1, 4))] if reduction else [1, 1]
    kind_0 = int(rng.integers(1, 5))
    kind_1, kind_2 = (int(rng.choice([0, 2, 3, 4])) for _ in range(2))
    kind_out = int(rng.choice([2, 2, 3, 4]))
    size = ELEMENT_BYTES[kind_0]
    in_place = rng.random() < 0.15
    ring = int(rng.integers(1, 6)) if rng.random() < 0.3 else 0
    stride_inner = int(rng.choice([size, size, size, 0, -size, 3 * size]))
    operands = [0, 3] + [1] * (kind_1 > 0) + [2] * (kind_2 > 0)
    steps = int(rng.integers(0, 9))
    low = int(rng.integers(-128, 100))
    elements = 2 * matrix.accumulator_rows * matrix.columns
    dense = _side_strides(rng, counts, ELEMENT_BYTES[kind_out])
    if rng.random() < 0.7:
        dense = [ELEMENT_BYTES[kind_out] * int(np.prod(counts[axis + 1 :])) for axis in range(4)]
    values: dict[str, Any] = {
        "flags": int(reduction is not Reduction.NONE and rng.random() < 0.4),
        **dict(zip(("outer_2", "outer_1", "outer_0", "inner"), counts, strict=True)),
        "reduce_1": reduce[0],
        "reduce_0": reduce[1],
        "reduction": int(reduction),
        "steps_before": rng.integers(0, steps + 1),
        "steps": steps,
        "kind_0": kind_0,
        "kind_1": kind_1,
        "kind_2": kind_2,
        "kind_out": kind_out,
        "zero_0": rng.integers(-128, 128) * rng.integers(2),
        "zero_1": rng.integers(-128, 128) * rng.integers(2),
        "zero_2": rng.integers(-128, 128) * rng.integers(2),
        "scale_0": _number(rng) if rng.random() < 0.5 else 1.0,
        "scale_1": _number(rng) if rng.random() < 0.5 else 1.0,
        "scale_2": _number(rng),
        "address_0": rng.integers(elements if kind_0 == Source.ACCUMULATOR else sram),
        "ring_rows": ring,
        "ring_start": rng.integers(9) if ring else 0,
        "row_pitch": int(rng.integers(-50, 200)),
        "pixel_pitch": int(rng.choice([counts[3] * size, rng.integers(-30, 60)])),
        "stride_2": int(rng.integers(-50, 200)),
        "stride_inner": stride_inner,
        "y_start": rng.integers(-3, 4),
        "y_stride": rng.integers(-1, 3),
        "y_dilation": rng.integers(-1, 3),
        "y_limit": rng.integers(0, 12),
        "x_start": rng.integers(-3, 4),
        "x_stride": rng.integers(-1, 3),
        "x_dilation": rng.integers(-1, 3),
        "x_limit": rng.integers(0, 12),
        "address_1": rng.integers(sram),
        "strides_1": _side_strides(rng, counts, ELEMENT_BYTES[kind_1]),
        "address_2": rng.integers(sram),
        "strides_2": _side_strides(rng, counts, ELEMENT_BYTES[kind_2]),
        "address_out": rng.integers(sram),
        "strides_out": dense,
        "zero_out": rng.integers(-128, 128),
        "low_out": low,
        "high_out": rng.integers(low, 128),
        "round_zero": rng.integers(-128, 128),
        "round_low": rng.integers(-300, 100),
        "round_high": rng.integers(-200, 300),
        "step": [int(Step(int(code))) for code in rng.integers(0, len(Step), 8)],
        "operand": [int(Operand(int(code))) for code in rng.choice(operands, 8)],
        "immediate": [_number(rng) for _ in range(8)],
    }
    for number, step in enumerate(values["step"]):
        if step == Step.FUSED_ADD and values["operand"][number] == Operand.IMMEDIATE:
            values["operand"][number] = int(Operand.SAVED)
    for name in ("address_0", "address_1", "address_2", "address_out"):
        if rng.random() < 0.7:
            values[name] = int(values[name]) & ~3
    if in_place and kind_0 != Source.ACCUMULATOR:
        values["address_out"] = values["address_0"]
    return encode(Opcode.CHAIN, values)


def random_memory(rng: np.random.Generator) -> np.ndarray:
    """Bytes that are partly random, partly float32 numbers with special values, partly small int32."""
    memory = rng.integers(0, 256, DRAM_BYTES, np.uint8)
    floats = (rng.normal(size=DRAM_BYTES // 16) * 50).astype(np.float32)
    special = rng.random(len(floats)) < 0.1
    floats[special] = rng.choice(SPECIAL, int(special.sum()))
    memory[: floats.nbytes] = floats.view(np.uint8)
    integers = rng.integers(-(1 << 20), 1 << 20, DRAM_BYTES // 16).astype(np.int32)
    memory[floats.nbytes : floats.nbytes + integers.nbytes] = integers.view(np.uint8)
    return memory
