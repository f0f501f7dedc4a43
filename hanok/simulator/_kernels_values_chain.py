"""The Numba kernel of CHAIN: strips of the inner loop go through float32 buffers, one step after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Destination, Operand, Reduction, Source
from hanok.isa.table import FLAG_REDUCE_INNER, VECTOR
from hanok.numerics._kernels_compile import kernel, part
from hanok.simulator._kernels_values_steps import fold, make_step, read, to_float32, write
from hanok.simulator.emulator_fields import columns_of

_COLUMN = columns_of(VECTOR)
FLAGS, OUTER_2, OUTER_1, OUTER_0 = (_COLUMN[name] for name in ("flags", "outer_2", "outer_1", "outer_0"))
REDUCE_1, REDUCE_0, INNER, REDUCTION = (_COLUMN[name] for name in ("reduce_1", "reduce_0", "inner", "reduction"))
STEPS_BEFORE, STEPS, STEP, OPERAND = (_COLUMN[name] for name in ("steps_before", "steps", "step", "operand"))
KIND_0, KIND_1, KIND_OUT, ZERO_0 = (_COLUMN[name] for name in ("kind_0", "kind_1", "kind_out", "zero_0"))
SCALE_0, IMMEDIATE = _COLUMN["scale_0"], _COLUMN["immediate"]
ADDRESS_0, RING_ROWS, RING_START = (_COLUMN[name] for name in ("address_0", "ring_rows", "ring_start"))
ROW_PITCH, PIXEL_PITCH, STRIDE_2, STRIDE_INNER = (
    _COLUMN[name] for name in ("row_pitch", "pixel_pitch", "stride_2", "stride_inner")
)
Y_START, Y_STRIDE, Y_DILATION, Y_LIMIT = (_COLUMN[f"y_{name}"] for name in ("start", "stride", "dilation", "limit"))
X_START, X_STRIDE, X_DILATION, X_LIMIT = (_COLUMN[f"x_{name}"] for name in ("start", "stride", "dilation", "limit"))
SIDES = (0, _COLUMN["address_1"], _COLUMN["address_2"])
"""Column of the address of operands 1 and 2; four strides follow."""
OUT = _COLUMN["address_out"]
ZERO_OUT, LOW_OUT, HIGH_OUT = _COLUMN["zero_out"], _COLUMN["low_out"], _COLUMN["high_out"]
ROUND_ZERO = _COLUMN["round_zero"]
"""First of three columns: round_zero, round_low, round_high."""

NO_REDUCTION, SUM, MAX = int(Reduction.NONE), int(Reduction.SUM), int(Reduction.MAX)
ACCUMULATOR, FLOAT32 = int(Source.ACCUMULATOR), int(Source.FLOAT32)
IMMEDIATE_OPERAND, SOURCE_1, SOURCE_2 = int(Operand.IMMEDIATE), int(Operand.SOURCE_1), int(Operand.SOURCE_2)

STRIP = 1024
"""Elements that go through the buffers at a time; a multiple of every lane count."""
VALUE, SAVED, FOLDED, SIDE_1, SIDE_2, IMMEDIATE_0 = 0, 1, 2, 3, 4, 5
BUFFERS = IMMEDIATE_0 + 8

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Accumulators = npt.NDArray[np.int32]


@part
def _source_0(field: Integers, index: Integers, reduce_1: int, reduce_0: int) -> int:
    """Address of inner element 0 of operand 0, or -1 outside the limits."""
    y = field[Y_START] + index[1] * field[Y_STRIDE] + reduce_1 * field[Y_DILATION]
    x = field[X_START] + index[2] * field[X_STRIDE] + reduce_0 * field[X_DILATION]
    if y < 0 or y >= field[Y_LIMIT] or x < 0 or x >= field[X_LIMIT]:
        return -1
    slot = (y + field[RING_START]) % field[RING_ROWS] if field[RING_ROWS] > 0 else y
    return field[ADDRESS_0] + slot * field[ROW_PITCH] + x * field[PIXEL_PITCH] + index[0] * field[STRIDE_2]


@part
def _address(field: Integers, column: int, index: Integers, first: int) -> int:
    """Address of inner element `first` of a stream: its address and four strides start at `column`."""
    outer = index[0] * field[column + 1] + index[1] * field[column + 2] + index[2] * field[column + 3]
    return field[column] + outer + first * field[column + 4]


@part
def _uses(field: Integers, begin: int, end: int, operand: int) -> bool:
    used = False
    for number in range(begin, end):
        used |= field[OPERAND + number] == operand
    return used


@part
def _start_value(reduction: int) -> np.float32:
    if reduction == SUM:
        return np.float32(0)
    return np.float32(-np.inf) if reduction == MAX else np.float32(np.inf)


@part
def _linear(field: Integers, axis: int, step_0: int) -> bool:
    """Whether every stream goes on past the inner loop as outer loop 2 - axis advances by one."""
    inner = field[INNER]
    if step_0 != inner * field[STRIDE_INNER] or field[OUT + 1 + axis] != inner * field[OUT + 4]:
        return False
    for number in range(1, 3):
        column = SIDES[number]
        if field[KIND_0 + number] != 0 and field[column + 1 + axis] != inner * field[column + 4]:
            return False
    return True


@part
def _within(start: int, stride: int, count: int, limit: int) -> bool:
    last = start + (count - 1) * stride
    return start >= 0 and last >= 0 and start < limit and last < limit


@part
def _join_loops(field: Integers) -> None:
    """Make the inner loop as long as the streams allow; only where nothing is folded or left out."""
    if field[REDUCTION] != NO_REDUCTION:
        return
    if field[OUTER_0] > 1:
        inside = _within(field[X_START], field[X_STRIDE], field[OUTER_0], field[X_LIMIT])
        if not inside or not _linear(field, 2, field[X_STRIDE] * field[PIXEL_PITCH]):
            return
        field[INNER] *= field[OUTER_0]
        field[OUTER_0] = 1
    if field[OUTER_1] > 1:
        inside = _within(field[Y_START], field[Y_STRIDE], field[OUTER_1], field[Y_LIMIT])
        row = field[Y_STRIDE] * field[ROW_PITCH]
        if field[RING_ROWS] > 0 or not inside or not _linear(field, 1, row):
            return
        field[INNER] *= field[OUTER_1]
        field[OUTER_1] = 1
    if field[OUTER_2] > 1 and _linear(field, 0, field[STRIDE_2]):
        field[INNER] *= field[OUTER_2]
        field[OUTER_2] = 1


@part
def _sides_stand_still(field: Integers) -> bool:
    """Whether one reading of operands 1 and 2 serves every run of the inner loop."""
    if field[INNER] > STRIP:
        return False
    for number in range(1, 3):
        column = SIDES[number]
        for axis in range(3):
            if field[KIND_0 + number] != 0 and field[column + 1 + axis] != 0 and field[OUTER_2 + axis] > 1:
                return False
    return True


@part
def _read_operands(
    field: Integers,
    scales: Floats,
    start: int,
    index: Integers,
    first: int,
    count: int,
    begin: int,
    end: int,
    sram: Bytes,
    accumulators: Words,
    words: Words,
    buffers: Floats,
) -> None:
    """Read operand 0 (from address `start`, none if negative) and the others that steps begin .. end-1 use."""
    for number in range(3):
        kind = field[KIND_0 + number]
        if number == 0:
            address, stride, wanted = start + first * field[STRIDE_INNER], field[STRIDE_INNER], start >= 0
        else:
            column = field_of_side(number)
            address, stride = _address(field, column, index, first), field[column + 4]
            wanted = _uses(field, begin, end, number)
        if wanted:
            read(kind, address, stride, count, sram, accumulators, words)
            to_float32(kind, words, field[ZERO_0 + number], scales[SCALE_0 + number], buffers[number, :count])


@kernel
def chain(
    given: Integers,
    scales: Floats,
    lanes: int,
    sram: Bytes,
    accumulators: Words,
    table: Floats,
    words: Words,
    buffers: Floats,
) -> None:
    """Execute a CHAIN whose result overlaps no operand, or only the same element of it."""
    field = given.copy()
    _join_loops(field)
    index = np.zeros(3, np.int64)
    reduction, inner, steps, before = field[REDUCTION], field[INNER], field[STEPS], field[STEPS_BEFORE]
    reduces, folds_inner = reduction != NO_REDUCTION, field[FLAGS] & FLAG_REDUCE_INNER != 0
    strips = (inner + STRIP - 1) // STRIP
    for number in range(steps):
        buffers[IMMEDIATE_0 + number, :] = scales[IMMEDIATE + number]
