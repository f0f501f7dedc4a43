"""Numba kernels of CONV and DEPTHWISE: patch matrices, small exact products, and their accumulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, FLAG_COLUMNS, MATRIX
from hanok.numerics._kernels_compile import kernel, part
from hanok.numerics._kernels_scalar import wrap_int32
from hanok.simulator.emulator_fields import columns_of

_COLUMN = columns_of(MATRIX)
FLAGS, ACTIVATION, ROW_PITCH = _COLUMN["flags"], _COLUMN["activation_address"], _COLUMN["row_pitch"]
RING_ROWS, RING_START = _COLUMN["ring_rows"], _COLUMN["ring_start"]
Y_START, Y_STRIDE, Y_DILATION, Y_LIMIT = (
    _COLUMN[f"y_{name}"] for name in ("start", "stride", "dilation", "limit")
)
X_START, X_STRIDE, X_TAP = _COLUMN["x_start"], _COLUMN["x_stride"], _COLUMN["x_tap"]
X_BLOCK, X_LIMIT = _COLUMN["x_block"], _COLUMN["x_limit"]
OUT_HEIGHT, OUT_WIDTH, TAPS_Y, TAPS_X = (
    _COLUMN[name] for name in ("out_height", "out_width", "taps_y", "taps_x")
)
TAP_BYTES, BLOCKS, LAST_COLUMNS = _COLUMN["tap_bytes"], _COLUMN["blocks"], _COLUMN["last_columns"]
WEIGHT, BIAS, ACCUMULATOR_ROW, PAD, WEIGHT_PITCH = (
    _COLUMN[name] for name in ("weight_address", "bias_address", "accumulator_row", "pad", "weight_pitch")
)
_STRIP = 64
"""Bytes of each column that are turned together, so that both sides stay in the nearest cache."""

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Integers = npt.NDArray[np.int64]
Accumulators = npt.NDArray[np.int32]


@part
def _row_start(field: Integers, y: int) -> int:
    """SRAM address of row y, or -1 outside the limits."""
    if y < 0 or y >= field[Y_LIMIT]:
        return -1
    slot = (y + field[RING_START]) % field[RING_ROWS] if field[RING_ROWS] > 0 else y
    start: int = field[ACTIVATION] + slot * field[ROW_PITCH]
    return start


@part
def _copy_run(field: Integers, sram: Bytes, row: int, x: int, target: Bytes, flip: np.uint8) -> None:
    """Copy bytes x .. x + len(target) - 1 of a row, `pad` outside the limits, each exclusive-or `flip`."""
    count = len(target)
    first = min(max(0, -x), count) if row >= 0 else count
    last = max(min(count, field[X_LIMIT] - x), first) if row >= 0 else count
    pad = np.uint8(field[PAD] & 0xFF) ^ flip
    for position in range(first):
        target[position] = pad
    if last > first:
        source = sram[row + x + first : row + x + last]
        inside = target[first:last]
        for position in range(last - first):
            inside[position] = source[position] ^ flip
    for position in range(last, count):
        target[position] = pad


@kernel
def gather_patches(
    field: Integers, sram: Bytes, block: int, first: int, last: int, flip: np.uint8, patches: Bytes
) -> None:
    """Write the patch rows of output positions first .. last-1 of a CONV one after another."""
    taps_x, tap = field[TAPS_X], field[TAP_BYTES]
    if field[X_TAP] == tap or taps_x == 1:
        taps_x, tap = 1, tap * taps_x
    start = field[X_START] + block * field[X_BLOCK]
    position, width = 0, field[OUT_WIDTH]
    for out in range(first, last):
        out_y, out_x = out // width, out % width
        for tap_y in range(field[TAPS_Y]):
            row = _row_start(field, field[Y_START] + out_y * field[Y_STRIDE] + tap_y * field[Y_DILATION])
            for tap_x in range(taps_x):
                x = start + out_x * field[X_STRIDE] + tap_x * field[X_TAP]
                _copy_run(field, sram, row, x, patches[position : position + tap], flip)
                position += tap


@part
def _bias_of(field: Integers, sram: Bytes, column: int) -> int:
    address = field[BIAS] + 4 * column
    value = np.int64(0)
    for byte in range(4):
        value |= np.int64(sram[address + byte]) << (8 * byte)
    return int(value)


@kernel
def _start_rows(
    field: Integers, sram: Bytes, block: int, first: int, last: int, columns: int, accumulators: Accumulators
) -> None:
    """Set accumulator rows of positions first .. last-1 to bias or zero, or leave what accumulates."""
    if field[FLAGS] & FLAG_ACCUMULATE:
        return
    used = columns if block < field[BLOCKS] - 1 else field[LAST_COLUMNS]
    row = field[ACCUMULATOR_ROW] + block * field[OUT_HEIGHT] * field[OUT_WIDTH] + first
    biased = field[FLAGS] & FLAG_BIAS
    for column in range(used):
        accumulators[row, column] = (
            wrap_int32(_bias_of(field, sram, block * columns + column)) if biased else 0
        )
    top = accumulators[row, :used]
    for other in range(row + 1, row + last - first):
        target = accumulators[other, :used]
        for column in range(used):
            target[column] = top[column]


@kernel
def add_product(
    field: Integers,
    sram: Bytes,
    block: int,
    first: int,
    last: int,
    columns: int,
    product: Accumulators,
    first_column: int,
    accumulators: Accumulators,
) -> None:
    """Add columns of an exact product [positions, columns] to the accumulator rows of a block."""
    _start_rows(field, sram, block, first, last, columns, accumulators)
    used = columns if block < field[BLOCKS] - 1 else field[LAST_COLUMNS]
    row = field[ACCUMULATOR_ROW] + block * field[OUT_HEIGHT] * field[OUT_WIDTH] + first
    for position in range(last - first):
        target = accumulators[row + position, :used]
        source = product[position, first_column : first_column + used]
        for column in range(used):
            target[column] = wrap_int32(np.int64(target[column]) + np.int64(source[column]))


@kernel
def pack_weights(field: Integers, sram: Bytes, columns: int, depth: int, packed: Signed) -> None:
    """Lay the weights of all blocks side by side: packed [depth, used columns of every block]."""
    address = field[WEIGHT]
    for block in range(field[BLOCKS]):
        used = columns if block < field[BLOCKS] - 1 else field[LAST_COLUMNS]
        for k in range(depth):
            source = sram[address + k * used : address + (k + 1) * used]
            target = packed[k, block * columns : block * columns + used]
            for column in range(used):
                target[column] = np.int8(source[column])
        address += depth * used


@kernel
def turn_weights(field: Integers, signed: Signed, first_column: int, turned: Signed) -> None:
    """Lay weights that lie by column side by side: turned [depth, columns from first_column on]."""
    depth, count = turned.shape
    start = field[WEIGHT] + first_column * field[WEIGHT_PITCH]
    for first in range(0, depth, _STRIP):
        last = min(first + _STRIP, depth)
        for column in range(count):
            address = start + column * field[WEIGHT_PITCH]
            source = signed[address + first : address + last]
            for k in range(last - first):
                turned[first + k, column] = source[k]


@part
def _multiply_columns(patch: Signed, signed: Signed, address: int, pitch: int, target: Accumulators) -> None:
    """target[c] += sum over k of patch[k] * signed[address + c * pitch + k], wrapped; sums fit 32 bits."""
    depth = len(patch)
    for column in range(len(target)):
        weights = signed[address + column * pitch : address + column * pitch + depth]
        total = np.int32(0)
        for k in range(depth):
            total = wrap_int32(total + np.int32(patch[k]) * np.int32(weights[k]))
        target[column] = wrap_int32(target[column] + total)


@part
def _multiply_row(patch: Signed, weights: Signed, target: Accumulators) -> None:
    """target[c] += sum over k of patch[k] * weights[k * used + c], wrapped."""
    used, depth = len(target), len(patch)
    whole = depth & ~3
    for k in range(0, whole, 4):
        a, b, c, d = (
            np.int32(patch[k]),
            np.int32(patch[k + 1]),
            np.int32(patch[k + 2]),
            np.int32(patch[k + 3]),
        )
        w0, w1 = weights[k * used : (k + 1) * used], weights[(k + 1) * used : (k + 2) * used]
        w2, w3 = weights[(k + 2) * used : (k + 3) * used], weights[(k + 3) * used : (k + 4) * used]
        for n in range(used):
            total = a * np.int32(w0[n]) + b * np.int32(w1[n]) + c * np.int32(w2[n]) + d * np.int32(w3[n])
            target[n] = wrap_int32(target[n] + total)
    for k in range(whole, depth):
        a = np.int32(patch[k])
        w0 = weights[k * used : (k + 1) * used]
        for n in range(used):
            target[n] = wrap_int32(target[n] + a * np.int32(w0[n]))


@kernel
def convolve(
    field: Integers, sram: Bytes, signed: Signed, columns: int, patch: Bytes, accumulators: Accumulators
) -> None:
    """Execute a whole CONV with one patch row at a time; for products too small to leave the kernel."""
    positions = field[OUT_HEIGHT] * field[OUT_WIDTH]
    depth = field[TAPS_Y] * field[TAPS_X] * field[TAP_BYTES]
    patch = patch[:depth]
    signed_patch = patch.view(np.int8)
    shared = field[X_BLOCK] == 0
    for block in range(field[BLOCKS]):
        _start_rows(field, sram, block, 0, positions, columns, accumulators)
    for position in range(positions):
        address = field[WEIGHT]
        for block in range(field[BLOCKS]):
            used = columns if block < field[BLOCKS] - 1 else field[LAST_COLUMNS]
            if block == 0 or not shared:
                gather_patches(field, sram, block, position, position + 1, np.uint8(0), patch)
            row = field[ACCUMULATOR_ROW] + block * positions + position
            if field[FLAGS] & FLAG_COLUMNS:
                pitch = field[WEIGHT_PITCH]
                _multiply_columns(signed_patch, signed, address, pitch, accumulators[row, :used])
                address += columns * pitch
                continue
            _multiply_row(signed_patch, signed[address : address + depth * used], accumulators[row, :used])
            address += depth * used


@part
def _depthwise_tap(
    field: Integers, signed: Signed, row: int, x: int, weights: Signed, target: Accumulators
) -> None:
    """Add one tap: all of it inside the limits, all outside (`pad`), or byte by byte."""
    used, pad = len(target), np.int32(field[PAD])
    if row >= 0 and x >= 0 and x + used <= field[X_LIMIT]:
        values = signed[row + x : row + x + used]
        for column in range(used):
            target[column] = wrap_int32(target[column] + np.int32(values[column]) * np.int32(weights[column]))
        return
    if row < 0 or x + used <= 0 or x >= field[X_LIMIT]:
        for column in range(used):
            target[column] = wrap_int32(target[column] + pad * np.int32(weights[column]))
        return
    for column in range(used):
        inside = row >= 0 and x + column >= 0 and x + column < field[X_LIMIT]
        value = np.int64(signed[row + x + column]) if inside else field[PAD]
        target[column] = wrap_int32(target[column] + value * np.int64(weights[column]))


@part
def _depthwise_taps_inside(
    signed: Signed, start: int, step: int, taps: int, tile: int, target: Accumulators
) -> None:
    """Add `taps` horizontal taps that all lie inside the limits, three at a time."""
    used = len(target)
    whole = taps - taps % 3
    for tap in range(0, whole, 3):
        at, weight = start + tap * step, tile + tap * used
        a, b = signed[at : at + used], signed[at + step : at + step + used]
        c = signed[at + 2 * step : at + 2 * step + used]
        u, v = signed[weight : weight + used], signed[weight + used : weight + 2 * used]
        w = signed[weight + 2 * used : weight + 3 * used]
        for n in range(used):
            total = (
                np.int32(a[n]) * np.int32(u[n])
                + np.int32(b[n]) * np.int32(v[n])
                + np.int32(c[n]) * np.int32(w[n])
            )
            target[n] = wrap_int32(target[n] + total)
    for tap in range(whole, taps):
        a = signed[start + tap * step : start + tap * step + used]
        u = signed[tile + tap * used : tile + (tap + 1) * used]
        for n in range(used):
            target[n] = wrap_int32(target[n] + np.int32(a[n]) * np.int32(u[n]))


@kernel
def convolve_depthwise(
    field: Integers, sram: Bytes, signed: Signed, columns: int, accumulators: Accumulators
) -> None:
    """Execute a DEPTHWISE, an accumulator row after the other."""
    positions, width = field[OUT_HEIGHT] * field[OUT_WIDTH], field[OUT_WIDTH]
    taps_x, depth, step = field[TAPS_X], field[TAPS_Y] * field[TAPS_X], field[X_TAP]
    address = field[WEIGHT]
    for block in range(field[BLOCKS]):
        used = columns if block < field[BLOCKS] - 1 else field[LAST_COLUMNS]
        _start_rows(field, sram, block, 0, positions, columns, accumulators)
        for out in range(positions):
            target = accumulators[field[ACCUMULATOR_ROW] + block * positions + out, :used]
            x = field[X_START] + (out % width) * field[X_STRIDE] + block * field[X_BLOCK]
            last_x = x + (taps_x - 1) * step
            inside = min(x, last_x) >= 0 and max(x, last_x) + used <= field[X_LIMIT]
            for tap_y in range(field[TAPS_Y]):
                y = field[Y_START] + (out // width) * field[Y_STRIDE] + tap_y * field[Y_DILATION]
                row = _row_start(field, y)
                tile = address + tap_y * taps_x * used
                if inside and row >= 0:
                    _depthwise_taps_inside(signed, row + x, step, taps_x, tile, target)
                else:
                    for tap_x in range(taps_x):
                        weights = signed[tile + tap_x * used : tile + (tap_x + 1) * used]
                        _depthwise_tap(field, signed, row, x + tap_x * step, weights, target)
        address += depth * used
