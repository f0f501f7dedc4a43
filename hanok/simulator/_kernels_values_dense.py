"""The Numba kernel of the CHAINs of most layers: near elements, int8 results, common steps, pooling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import kernel
from hanok.simulator._kernels_values_chain import (
    FOLDED,
    IMMEDIATE,
    IMMEDIATE_0,
    IMMEDIATE_OPERAND,
    INNER,
    KIND_0,
    NO_REDUCTION,
    OPERAND,
    OUT,
    OUTER_0,
    OUTER_1,
    OUTER_2,
    REDUCE_0,
    REDUCE_1,
    REDUCTION,
    ROUND_ZERO,
    SAVED,
    SCALE_0,
    SIDE_1,
    SIDE_COLUMNS,
    STEP,
    STEPS,
    STRIP,
    VALUE,
    ZERO_0,
    ZERO_OUT,
    address_of,
    fill_immediates,
    set_index,
    source_0,
    start_value,
)
from hanok.simulator._kernels_values_steps import (
    ACCUMULATOR,
    FLOAT32,
    MUL,
    fold,
    make_common_step,
    read_near,
    scale_row,
    write_near,
)

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.int32]


@kernel
def dense_chain(
    field: Integers,
    scales: Floats,
    still: bool,
    signed: Signed,
    sram_floats: Floats,
    accumulators: Words,
    table: Floats,
    buffers: Floats,
) -> None:
    """Execute a CHAIN that `dense_chains` admits; runs of the inner loop that fit share a strip."""
    fill_immediates(field, scales, buffers)
    index = np.zeros(3, np.int64)
    inner, outer_0, steps = field[INNER], field[OUTER_0], field[STEPS]
    limits, rounding = field[ZERO_OUT : ZERO_OUT + 3], field[ROUND_ZERO : ROUND_ZERO + 3]
    one_factor = still and steps == 1 and field[STEP] == MUL and field[OPERAND] != SAVED
    one_factor = one_factor and field[KIND_0] == ACCUMULATOR
    reduction = field[REDUCTION]
    folds, passes = reduction != NO_REDUCTION, field[REDUCE_1] * field[REDUCE_0]
    one_factor = one_factor and not folds
    if one_factor:
        passes = 0
    factor_slot = IMMEDIATE_0 if field[OPERAND] == IMMEDIATE_OPERAND else field[OPERAND]
    most = max(1, min(STRIP // inner, outer_0))
    run, known = 0, 0
    while run < field[OUTER_2] * field[OUTER_1] * outer_0:
        set_index(field, run, index)
        together = 1 if one_factor else min(most, outer_0 - index[2])
        begin = index[2]
        for first in range(0, inner, STRIP):
            count = min(STRIP, inner - first)
            for piece in range(together):
                index[2] = begin + piece
                low, high = piece * count, (piece + 1) * count
                if folds:
                    buffers[VALUE, low:high] = start_value(reduction)
                for turn in range(passes):
                    start = source_0(field, index, turn)
                    if start >= 0:
                        kind, zero, scale = field[KIND_0], field[ZERO_0], scales[SCALE_0]
                        near_value = buffers[FOLDED, :count] if folds else buffers[VALUE, low:high]
                        read_near(kind, start + first, zero, scale, signed, accumulators, near_value)
                        if folds:
                            fold(reduction, buffers[VALUE, low:high], near_value)
                for number in range(1, 3):
                    kind = field[KIND_0 + number]
                    if kind != 0 and piece >= known:
                        start = address_of(field, SIDE_1 + (number - 1) * SIDE_COLUMNS, index, first)
                        zero, scale = np.int32(field[ZERO_0 + number]), scales[SCALE_0 + number]
                        side = buffers[number, low:high]
                        if kind == FLOAT32:
                            near_floats = sram_floats[start >> 2 : (start >> 2) + count]
                            for i in range(count):
                                side[i] = near_floats[i] * scale
                        else:
                            near = signed[start : start + count]
                            for i in range(count):
                                side[i] = np.float32(np.int32(near[i]) - zero) * scale
            if still:
                known = max(known, together)
            wide = together * count
            if one_factor:
                start, target = source_0(field, index, 0) + first, address_of(field, OUT, index, first)
                row, factors = accumulators[start : start + count], buffers[factor_slot, :count]
                scale_row(row, scales[SCALE_0], factors, limits, signed[target : target + count])
                continue
            for i in range(wide):
                buffers[SAVED, i] = np.float32(0)
            for number in range(steps):
                code = field[OPERAND + number]
                slot = IMMEDIATE_0 + number if code == IMMEDIATE_OPERAND else code
                immediate = scales[IMMEDIATE + number]
                make_common_step(field[STEP + number], slot, immediate, wide, rounding, table, buffers)
            for piece in range(together):
                index[2] = begin + piece
                target = address_of(field, OUT, index, first)
                value = buffers[VALUE, piece * count : (piece + 1) * count]
                write_near(limits, value, signed[target : target + count])
        run += together
