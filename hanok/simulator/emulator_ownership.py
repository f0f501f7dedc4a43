"""The trap for banks that two units use without a semaphore between them.

The k-th wait on a semaphore takes the k-th post, whatever the timing, because each side is one in-order
unit. So "finishes before" is fixed by the program, and a vector clock for each instruction holds it.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from hanok.errors import VerifyError
from hanok.isa import Decoded, Destination, Opcode, Reduction, Source, Unit
from hanok.isa.table import FLAG_BIAS, FLAG_COLUMNS, FLAG_REDUCE_INNER
from hanok.machine import Chip

Int64Array = npt.NDArray[np.int64]
UNITS = len(Unit)


def check_ownership(decoded: Decoded, chip: Chip, sequence: Int64Array) -> None:
    """Raise VerifyError where two units use a bank of SRAM or accumulators in no fixed order.

    Also where counts are left in a semaphore at the end, which the next stage would take for its own.
    """
    posted: dict[tuple[int, int], deque[list[int]]] = {
        (s, d): deque() for s in range(UNITS) for d in range(UNITS)
    }
    clocks = [[0] * UNITS for _ in range(UNITS)]
    banks = chip.core.sram.banks + chip.core.matrix.accumulator_banks
    last_use = np.zeros((UNITS, banks), np.int64)
    last_index = np.full((UNITS, banks), -1, np.int64)
    for index in sequence.tolist():
        unit = int(decoded.unit[index])
        clock = clocks[unit].copy()
        for source in range(UNITS):
            if decoded.wait[index] >> source & 1:
                clock = [max(pair) for pair in zip(clock, posted[source, unit].popleft(), strict=True)]
        clock[unit] += 1
        used = banks_of(decoded.record(index), chip)
        for other in range(UNITS):
            shared = used[last_use[other, used] > clock[other]] if other != unit else used[:0]
            if len(shared):
                raise VerifyError(
                    _violation(decoded, chip, index, int(last_index[other, shared[0]]), int(shared[0]))
                )
        last_use[unit, used], last_index[unit, used] = clock[unit], index
        clocks[unit] = clock
        for target in range(UNITS):
            if decoded.post[index] >> target & 1:
                posted[unit, target].append(clock)
    for (source, target), left in posted.items():
        if left:
            names = f"{Unit(source).name.lower()} posts to {Unit(target).name.lower()}"
            raise VerifyError(
                f"semaphore of which {names}: {len(left)} counts are left at the end; allowed: none"
            )


def _violation(decoded: Decoded, chip: Chip, index: int, other: int, bank: int) -> str:
    sram_banks = chip.core.sram.banks
    name = f"SRAM bank {bank}" if bank < sram_banks else f"accumulator bank {bank - sram_banks}"
    first, second = Opcode(int(decoded.opcode[other])).name, Opcode(int(decoded.opcode[index])).name
    return (
        f"instructions {other} ({first}) and {index} ({second}) both use {name} and no semaphore orders "
        "them; a bank has one owner at a time"
    )


def banks_of(record: np.void, chip: Chip) -> Int64Array:
    """Banks that an instruction uses, in rising order; accumulator banks follow those of the SRAM."""
    match Opcode(int(record["opcode"])):
        case Opcode.CONV | Opcode.DEPTHWISE:
            parts = _matrix_banks(record, chip)
        case Opcode.CHAIN:
            parts = _vector_banks(record, chip)
        case Opcode.TABLE:
            parts = [_covered(np.array([int(record["address"])]), 1024, chip)]
        case _:
            parts = [
                _covered(
                    _grid(int(record["sram_address"]), _dma_loops(record)), int(record["run_bytes"]), chip
                )
            ]
    return np.unique(np.concatenate(parts))


def _dma_loops(record: np.void) -> list[tuple[int, int]]:
    return [(int(record[f"count_{level}"]), int(record[f"sram_stride_{level}"])) for level in (3, 2, 1)]


def _grid(start: int, loops: list[tuple[int, int]]) -> Int64Array:
    """Every start + sum of index * stride."""
    points = np.array([start], np.int64)
    for count, stride in loops:
        points = np.unique((points[:, None] + np.arange(count) * stride).reshape(-1))
    return points


def _covered(starts: Int64Array, length: int | Int64Array, chip: Chip) -> Int64Array:
    """Banks of the byte ranges [start, start + length)."""
    size = chip.core.sram.bank_bytes
    first, last = starts // size, (starts + length - 1) // size
    banks = np.zeros(chip.core.sram.banks + 1, np.int64)
    np.add.at(banks, first, 1)
    np.add.at(banks, last + 1, -1)
    return np.flatnonzero(np.cumsum(banks[:-1]) > 0)


def _accumulator_banks(rows: Int64Array, chip: Chip) -> Int64Array:
    return chip.core.sram.banks + np.unique(rows // chip.core.matrix.accumulator_rows)


def _slots(record: np.void, y: Int64Array) -> Int64Array:
    y = y[(y >= 0) & (y < int(record["y_limit"]))]
    ring = int(record["ring_rows"])
    return np.unique((y + int(record["ring_start"])) % ring if ring else y)


def _matrix_banks(record: np.void, chip: Chip) -> list[Int64Array]:
    field = {name: int(record[name]) for name in record.dtype.names or ()}
    depthwise = field["opcode"] == Opcode.DEPTHWISE
    columns, blocks = chip.core.matrix.columns, field["blocks"]
    used = (blocks - 1) * columns + field["last_columns"]
    depth = field["taps_y"] * field["taps_x"] * field["tap_bytes"]
    positions = field["out_height"] * field["out_width"] * blocks
    rows = field["accumulator_row"] + np.arange(positions)
    columns_apart, run = (used, depth) if field["flags"] & FLAG_COLUMNS else (1, used * depth)
    parts = [
        _accumulator_banks(rows, chip),
        _covered(field["weight_address"] + np.arange(columns_apart) * field["weight_pitch"], run, chip),
    ]
    if field["flags"] & FLAG_BIAS:
        parts.append(_covered(np.array([field["bias_address"]]), 4 * used, chip))
    y_loops = [(field["out_height"], field["y_stride"]), (field["taps_y"], field["y_dilation"])]
    slots = _slots(record, _grid(field["y_start"], y_loops))
    wide = field["tap_bytes"]
    if depthwise:
        wide = columns if blocks > 1 else field["last_columns"]
    x_loops = [
        (field["out_width"], field["x_stride"]),
        (field["taps_x"], field["x_tap"]),
        (blocks, field["x_block"]),
    ]
    x = _grid(field["x_start"], x_loops)
    low, high = np.maximum(x, 0), np.minimum(x + wide, field["x_limit"])
    low, high = low[high > low], high[high > low]
    starts = field["activation_address"] + slots[:, None] * field["row_pitch"] + low
    parts.append(_covered(starts.reshape(-1), np.broadcast_to(high - low, starts.shape).reshape(-1), chip))
    return parts


def _vector_banks(record: np.void, chip: Chip) -> list[Int64Array]:
    counts = [int(record[name]) for name in ("outer_2", "outer_1", "outer_0", "inner")]
    parts = []
    folded = int(record["flags"]) & FLAG_REDUCE_INNER and int(record["reduction"]) != Reduction.NONE
    for name in ("1", "2", "out"):
        kind = int(record[f"kind_{name}"])
        if kind == Source.NONE:
            continue
        loops = list(zip(counts, (int(stride) for stride in record[f"strides_{name}"]), strict=True))
        if name == "out" and folded:
            loops[3] = (1, 0)
        size = 1 if kind == Destination.INT8 else 4
        parts.append(_covered(_grid(int(record[f"address_{name}"]), loops), size, chip))
    y_loops = [(counts[1], int(record["y_stride"])), (int(record["reduce_1"]), int(record["y_dilation"]))]
    x_loops = [(counts[2], int(record["x_stride"])), (int(record["reduce_0"]), int(record["x_dilation"]))]
    slots = _slots(record, _grid(int(record["y_start"]), y_loops))
    x = _grid(int(record["x_start"]), x_loops)
    x = x[(x >= 0) & (x < int(record["x_limit"]))]
    inner = _grid(0, [(counts[0], int(record["stride_2"])), (counts[3], int(record["stride_inner"]))])
    starts = int(record["address_0"]) + slots[:, None] * int(record["row_pitch"])
    starts = np.unique((starts + x * int(record["pixel_pitch"])).reshape(-1))
    points = np.unique((starts[:, None] + inner).reshape(-1))
    kind = int(record["kind_0"])
    if kind == Source.ACCUMULATOR:
        parts.append(_accumulator_banks(points // chip.core.matrix.columns, chip))
    else:
        parts.append(_covered(points, 1 if kind == Source.INT8 else 4, chip))
    return parts
