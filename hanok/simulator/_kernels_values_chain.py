"""The Numba kernel of CHAIN: strips of the inner loop go through float32 buffers step by step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Operand, Reduction
from hanok.isa.table import FLAG_REDUCE_INNER, VECTOR
from hanok.numerics._kernels_compile import kernel, part
from hanok.simulator._kernels_values_steps import (
    fold,
    make_common_step,
    make_rare_step,
    read,
    write,
)
from hanok.simulator.emulator_fields import columns_of

_COLUMN = columns_of(VECTOR)
FLAGS, OUTER_2, OUTER_1, OUTER_0 = (_COLUMN[name] for name in ("flags", "outer_2", "outer_1", "outer_0"))
REDUCE_1, REDUCE_0, INNER, REDUCTION = (
    _COLUMN[name] for name in ("reduce_1", "reduce_0", "inner", "reduction")
)
STEPS_BEFORE, STEPS, STEP, OPERAND = (_COLUMN[name] for name in ("steps_before", "steps", "step", "operand"))
KIND_0, ZERO_0, KIND_OUT = _COLUMN["kind_0"], _COLUMN["zero_0"], _COLUMN["kind_out"]
SCALE_0, IMMEDIATE = _COLUMN["scale_0"], _COLUMN["immediate"]
ADDRESS_0, RING_ROWS, RING_START = (_COLUMN[name] for name in ("address_0", "ring_rows", "ring_start"))
ROW_PITCH, PIXEL_PITCH, STRIDE_2, STRIDE_INNER = (
    _COLUMN[name] for name in ("row_pitch", "pixel_pitch", "stride_2", "stride_inner")
)
Y_START, Y_STRIDE, Y_DILATION, Y_LIMIT = (
    _COLUMN[f"y_{name}"] for name in ("start", "stride", "dilation", "limit")
)
X_START, X_STRIDE, X_DILATION, X_LIMIT = (
    _COLUMN[f"x_{name}"] for name in ("start", "stride", "dilation", "limit")
)
SIDE_1, SIDE_COLUMNS = _COLUMN["address_1"], _COLUMN["address_2"] - _COLUMN["address_1"]
OUT, ZERO_OUT, ROUND_ZERO = _COLUMN["address_out"], _COLUMN["zero_out"], _COLUMN["round_zero"]

NO_REDUCTION, SUM, MAX = int(Reduction.NONE), int(Reduction.SUM), int(Reduction.MAX)
IMMEDIATE_OPERAND = int(Operand.IMMEDIATE)

STRIP = 1024
"""Elements that go through the buffers at a time; a multiple of every lane count."""
VALUE, SAVED, IMMEDIATE_0, FOLDED, BUFFERS = 0, int(Operand.SAVED), 4, 12, 13
"""Buffers: the value, operands 1 and 2 and the saved value under their operand codes, immediates, folds."""

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.int32]


@part
def source_0(field: Integers, index: Integers, reduce: int) -> int:
    """Address of inner element 0 of operand 0, or -1 outside the limits."""
    reduce_1, reduce_0 = reduce // field[REDUCE_0], reduce % field[REDUCE_0]
    y = field[Y_START] + index[1] * field[Y_STRIDE] + reduce_1 * field[Y_DILATION]
    x = field[X_START] + index[2] * field[X_STRIDE] + reduce_0 * field[X_DILATION]
    if y < 0 or y >= field[Y_LIMIT] or x < 0 or x >= field[X_LIMIT]:
        return -1
    slot = (y + field[RING_START]) % field[RING_ROWS] if field[RING_ROWS] > 0 else y
    start: int = field[ADDRESS_0] + slot * field[ROW_PITCH] + x * field[PIXEL_PITCH]
    return start + int(index[0] * field[STRIDE_2])


@part
def address_of(field: Integers, column: int, index: Integers, first: int) -> int:
    """Address of inner element `first` of a stream: its address and four strides start at `column`."""
    outer = index[0] * field[column + 1] + index[1] * field[column + 2] + index[2] * field[column + 3]
    return int(field[column] + outer + first * field[column + 4])


@part
def start_value(reduction: int) -> np.float32:
    """What a fold starts from."""
    if reduction == SUM:
        start = np.float32(0)
    elif reduction == MAX:
        start = np.float32(-np.inf)
    else:
        start = np.float32(np.inf)
    return start


@part
def _fold_strip(reduction: int, count: int, width: int, buffers: Floats) -> None:
    """Fold the value strip into the running totals, `width` at a time."""
    for group in range(0, count, width):
        wide = min(width, count - group)
        fold(reduction, buffers[FOLDED, :wide], buffers[VALUE, group : group + wide])


@part
def _fold_lanes(reduction: int, lanes: int, buffers: Floats) -> None:
    width = lanes // 2
    while width > 0:
        fold(reduction, buffers[FOLDED, :width], buffers[FOLDED, width : 2 * width])
        width //= 2


@part
def _runs_together(field: Integers) -> int:
    """Runs of the inner loop (neighbours in outer_0) that share a strip; 1 where elements are folded."""
    together = 1
    if field[REDUCTION] == NO_REDUCTION and field[INNER] < STRIP:
        together = min(STRIP // field[INNER], field[OUTER_0])
    return together


@part
def fill_immediates(field: Integers, scales: Floats, buffers: Floats) -> None:
    """Fill the operand strip of every immediate."""
    for number in range(field[STEPS]):
        if field[OPERAND + number] == IMMEDIATE_OPERAND:
            value = scales[IMMEDIATE + number]
            for element in range(min(STRIP, field[INNER] * field[OUTER_0])):
                buffers[IMMEDIATE_0 + number, element] = value


@part
def set_index(field: Integers, run: int, index: Integers) -> None:
    """Set outer_2, outer_1 and outer_0 of run number `run` of the inner loop."""
    index[2] = run % field[OUTER_0]
    index[1] = run // field[OUTER_0] % field[OUTER_1]
    index[0] = run // field[OUTER_0] // field[OUTER_1]


@kernel
def chain(
    field: Integers,
    scales: Floats,
    still: bool,
    lanes: int,
    sram: Bytes,
    accumulators: Words,
    table: Floats,
    words: Words,
    buffers: Floats,
) -> None:
    """Execute a CHAIN whose result overlaps no operand, or only the same element of it.

    A run of the inner loop is made in strips; short runs share a strip. Each strip is read and goes through
    its steps once for each reduce index, and then, where there is a reduction, the totals go through the
    steps after it. With the inner loop folded there is one strip of totals, `lanes` wide.
    """
    signed, sram_words = sram.view(np.int8), sram.view(np.int32)
    fill_immediates(field, scales, buffers)
    index = np.zeros(3, np.int64)
    reduction, inner, outer_0 = field[REDUCTION], field[INNER], field[OUTER_0]
    folds = reduction != NO_REDUCTION
    folds_inner = folds and field[FLAGS] & FLAG_REDUCE_INNER != 0
    strips = (inner + STRIP - 1) // STRIP
    in_strips, out_strips = (strips, 1) if folds_inner else (1, strips)
    passes = field[REDUCE_1] * field[REDUCE_0] * in_strips
    most = _runs_together(field)
    runs = field[OUTER_2] * field[OUTER_1] * outer_0
    run, known = 0, 0
    while run < runs:
        together = min(most, outer_0 - run % outer_0)
        set_index(field, run, index)
        for out_strip in range(out_strips):
            first = out_strip * STRIP
            count = min(STRIP, inner - first)
            width = lanes if folds_inner else count
            if folds:
                buffers[FOLDED, :width] = start_value(reduction)
            for turn in range(passes + folds):
                after = turn == passes
                begin, end = 0, field[STEPS]
                if folds_inner and not after:
                    first = turn % in_strips * STRIP
                    count = min(STRIP, inner - first)
                if after:
                    if folds_inner:
                        _fold_lanes(reduction, lanes, buffers)
                        first, count = 0, 1
                    begin = field[STEPS_BEFORE]
                    for element in range(count):
                        buffers[VALUE, element] = buffers[FOLDED, element]
                elif folds:
                    end = field[STEPS_BEFORE]
                    if source_0(field, index, turn // in_strips) < 0:
                        continue
                for piece in range(together):
                    index[2] = (run + piece) % outer_0
                    for number in range(3):
                        kind, target = (
                            field[KIND_0 + number],
                            buffers[number, piece * count : (piece + 1) * count],
                        )
                        if number == 0:
                            stride, address = field[STRIDE_INNER], source_0(field, index, turn // in_strips)
                            wanted = not after and address >= 0
                            if not after and address < 0:
                                target[:] = np.float32(0)
                            address += first * stride
                        else:
                            column = SIDE_1 + (number - 1) * SIDE_COLUMNS
                            stride, address = field[column + 4], address_of(field, column, index, first)
                            wanted = kind != 0 and piece >= known
                        if wanted:
                            zero, scale = field[ZERO_0 + number], scales[SCALE_0 + number]
                            read(
                                kind,
                                address,
                                stride,
                                zero,
                                scale,
                                sram,
                                signed,
                                sram_words,
                                accumulators,
                                words,
                                target,
                            )
                if still:
                    known = max(known, together)
                wide = together * count
                buffers[SAVED, :wide] = np.float32(0)
                for number in range(begin, end):
                    code = field[OPERAND + number]
                    slot = IMMEDIATE_0 + number if code == IMMEDIATE_OPERAND else code
                    step, rounding = field[STEP + number], field[ROUND_ZERO : ROUND_ZERO + 3]
                    immediate = scales[IMMEDIATE + number]
                    if not make_common_step(step, slot, immediate, wide, rounding, table, buffers):
                        make_rare_step(step, slot, wide, buffers)
                if folds and not after:
                    _fold_strip(reduction, count, width, buffers)
            for piece in range(together):
                index[2] = (run + piece) % outer_0
                limits, address = field[ZERO_OUT : ZERO_OUT + 3], address_of(field, OUT, index, first)
                value = buffers[VALUE, piece * count : (piece + 1) * count]
                write(
                    field[KIND_OUT], limits, address, field[OUT + 4], value, words, sram, signed, sram_words
                )
        run += together
