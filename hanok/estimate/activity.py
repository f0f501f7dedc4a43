"""What a program does, counted from its instructions: multiplies, steps, and bytes between memories."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from hanok.dram import get_standard
from hanok.dram.standard import FlatMemory
from hanok.isa import Decoded, Destination, Opcode, Reduction, Source, Step
from hanok.isa.table import (
    DIVISIONS,
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_REDUCE_INNER,
    TABLE_ENTRIES,
    VECTOR_STEPS,
)
from hanok.machine import Chip

Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

_WIDTH = np.zeros(256, np.int64)
_WIDTH[Source.ACCUMULATOR] = _WIDTH[Source.INT32] = _WIDTH[Source.FLOAT32] = 4
_WIDTH[Destination.INT8] = 1
DIVISION_OPERATIONS = 8
"""float32 operations that a division counts as: a quotient is made of 26 subtractions of significands."""
_OPERATIONS = np.zeros(256, np.int64)
_OPERATIONS[list(Step)] = 1
_OPERATIONS[Step.NONE] = 0
_OPERATIONS[list(DIVISIONS)] = DIVISION_OPERATIONS


@dataclass(frozen=True)
class ActivityCounts:
    """Counts of a program, padding included; they add up over stages."""

    macs: int = 0
    array_slots: int = 0
    """Multipliers times positions streamed: what the macs could have been."""
    preload_bytes: int = 0
    vector_lane_steps: int = 0
    """float32 operations: one to convert each operand and result, one a step, more a division."""
    load_sram_write_bytes: int = 0
    store_sram_read_bytes: int = 0
    matrix_sram_read_bytes: int = 0
    vector_sram_read_bytes: int = 0
    vector_sram_write_bytes: int = 0
    accumulator_read_bytes: int = 0
    accumulator_write_bytes: int = 0
    dram_read_bytes: int = 0
    dram_write_bytes: int = 0
    dram_activates: int = 0
    """From `activity`: as if every byte of an opened row were used; the simulator knows better."""

    def __add__(self, other: ActivityCounts) -> ActivityCounts:
        return ActivityCounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def activity(decoded: Decoded, chip: Chip) -> ActivityCounts:
    """Count what verified instructions do on `chip`; the bytes of their own code are read from DRAM too."""
    counts = (
        _dma(decoded.records["dma"])
        + _matrix(decoded.records["matrix"], chip)
        + _chain(decoded.records["vector"])
    )
    tables = len(decoded.records["table"]) * 4 * TABLE_ENTRIES
    counts += ActivityCounts(vector_sram_read_bytes=tables, dram_read_bytes=decoded.code_bytes)
    moved = counts.dram_read_bytes + counts.dram_write_bytes
    return counts + ActivityCounts(dram_activates=-(-moved // row_bytes(chip)))


def row_bytes(chip: Chip) -> int:
    """Bytes that one activate opens in the chip's DRAM; FLAT memory has rows of 1 KiB here."""
    standard = get_standard(chip.memory.standard)
    if isinstance(standard, FlatMemory):
        return 1024
    return standard.organisation.columns * standard.burst_bytes


def _product(records: Records, *names: str) -> Ints:
    result = np.ones(len(records), np.int64)
    for name in names:
        result = result * records[name].astype(np.int64)
    return result


def _dma(records: Records) -> ActivityCounts:
    moved = _product(records, "run_bytes", "count_3", "count_2", "count_1")
    load, store = records["opcode"] == Opcode.LOAD, records["opcode"] == Opcode.STORE
    is_stream = np.isin(records["opcode"], (Opcode.EXPAND, Opcode.UNPACK))
    packed = records["packed_bytes"][is_stream].astype(np.int64)
    read, written = int(moved[load].sum() + packed.sum()), int(moved[store].sum())
    return ActivityCounts(
        load_sram_write_bytes=int(moved[~store].sum()),
        store_sram_read_bytes=written,
        dram_read_bytes=read,
        dram_write_bytes=written,
    )


def _matrix(records: Records, chip: Chip) -> ActivityCounts:
    matrix = chip.core.matrix
    depthwise = records["opcode"] == Opcode.DEPTHWISE
    positions = _product(records, "out_height", "out_width")
    taps_x, tap_bytes, blocks = (records[name].astype(np.int64) for name in ("taps_x", "tap_bytes", "blocks"))
    used = (blocks - 1) * matrix.columns + records["last_columns"]
    depth = _product(records, "taps_y", "taps_x", "tap_bytes")
    folds = records["taps_y"] * np.where(depthwise, 1, taps_x * -(-tap_bytes // matrix.rows))
    pitch = np.maximum(records["pixel_pitch"].astype(np.int64), 1)
    reach = (records["out_width"].astype(np.int64) - 1) * records["x_stride"] + (taps_x - 1) * records[
        "x_tap"
    ]
    streamed = np.where(depthwise, records["out_height"] * (reach // pitch + 1), positions)
    activations = np.where(depthwise, streamed * records["taps_y"] * used, positions * depth * blocks)
    biases = np.where(records["flags"] & FLAG_BIAS, 4 * used, 0)
    kept = np.where(records["flags"] & FLAG_ACCUMULATE, folds, folds - 1)
    return ActivityCounts(
        macs=int((positions * used * depth).sum()),
        array_slots=int((folds * blocks * streamed).sum()) * matrix.macs,
        preload_bytes=int((depth * used + biases).sum()),
        matrix_sram_read_bytes=int((depth * used + biases + activations).sum()),
        accumulator_read_bytes=int((4 * kept * positions * used).sum()),
        accumulator_write_bytes=int((4 * folds * positions * used).sum()),
    )


def _chain(records: Records) -> ActivityCounts:
    outer = _product(records, "outer_2", "outer_1", "outer_0")
    inner = records["inner"].astype(np.int64)
    reduce = _product(records, "reduce_1", "reduce_0")
    reduces = records["reduction"] != Reduction.NONE
    folded = np.where(records["flags"] & FLAG_REDUCE_INNER, 1, inner)
    place = np.arange(VECTOR_STEPS)[None, :]
    before = np.where(reduces, records["steps_before"], records["steps"])[:, None]
    made = np.where(place < records["steps"][:, None], _OPERATIONS[records["step"]], 0)
    made_before = np.where(place < before, made, 0).sum(axis=1)
    made_after = made.sum(axis=1) - made_before
    read, results = outer * reduce * inner, outer * folded
    lane_steps = read * (1 + made_before + reduces) + results * (1 + made_after)
    second = _WIDTH[records["kind_1"]] + _WIDTH[records["kind_2"]]
    from_accumulator = records["kind_0"] == Source.ACCUMULATOR
    bytes_0 = read * _WIDTH[records["kind_0"]]
    lookups = np.any((records["step"] == Step.LOOKUP) & (place < records["steps"][:, None]), axis=1)
    return ActivityCounts(
        vector_lane_steps=int((lane_steps + np.where(lookups, read, 0)).sum()),
        vector_sram_read_bytes=int((np.where(from_accumulator, 0, bytes_0) + outer * inner * second).sum()),
        vector_sram_write_bytes=int((results * _WIDTH[records["kind_out"]]).sum()),
        accumulator_read_bytes=int(bytes_0[from_accumulator].sum()),
    )
