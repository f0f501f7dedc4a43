"""Kernels of the verifier: bounds, banks and ports of each instruction.

Numba compiles a function anew for every literal argument; `zero` and `one` are plain integers to it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hanok.compiler._kernels_access import (
    ACCUMULATOR_BOUNDS,
    DRAM_BOUNDS,
    OK,
    OVERLAP,
    READ_PORT,
    SRAM_BOUNDS,
    WEIGHT_PORT,
    Bits,
    Ints,
    check_rows,
    extent,
    hull,
    mark_banks,
    mark_interval,
    merge,
    product,
    shared,
    spacing_of,
    valid_range,
)
from hanok.compiler._kernels_overlap import overlapped_operand


@njit(cache=True)
def check_dma(fields: Ints, members: Ints, sizes: Ints, bits: Bits, finding: Ints, found: Ints) -> None:
    """LOAD, FILL, EXPAND, UNPACK, STORE. sizes: SRAM bytes, bank bytes, DRAM bytes. Columns: see verify."""
    zero = int(np.int64(0))
    sram_bytes, bank_bytes, dram_bytes = sizes[0], sizes[1], sizes[2]
    for row in range(len(members)):
        index, here = members[row], fields[row]
        run, counts = here[1], here[4:7]
        low, high = hull(here[3], counts, here[10:13], run)
        if low < 0 or high > sram_bytes:
            finding[index], found[index, 0], found[index, 1] = SRAM_BOUNDS, low, high
            continue
        mark_banks(here[3], counts, here[10:13], run, bank_bytes, zero, bits[index])
        low, high = hull(here[2], counts, here[7:10], here[13])
        if here[0] and (low < 0 or high > dram_bytes):
            finding[index], found[index, 0], found[index, 1] = DRAM_BOUNDS, low, high


@njit(cache=True)
def check_matrix(
    fields: Ints, members: Ints, sizes: Ints, bits: Bits, finding: Ints, found: Ints, common: Ints
) -> None:
    """CONV and DEPTHWISE. sizes: SRAM bytes, bank bytes, SRAM banks, columns, rows of a bank, all rows.

    `common` gets, of each, a bank of its weights or biases from which the one before it reads activations.
    """
    zero, one = int(np.int64(0)), int(np.int64(1))
    sram_bytes, bank_bytes, sram_banks, columns, bank_rows, all_rows = (
        sizes[0],
        sizes[1],
        sizes[2],
        sizes[3],
        sizes[4],
        sizes[5],
    )
    words = bits.shape[1]
    previous = np.zeros(words, np.uint64)
    counts, strides = np.ones(1, np.int64), np.zeros(1, np.int64)
    weight_counts, weight_strides = np.ones(1, np.int64), np.zeros(1, np.int64)
    for row in range(len(members)):
        index, here = members[row], fields[row]
        depthwise, bias = here[0] != 0, here[1] != 0
        address, row_pitch, ring_rows, ring_start = here[2], here[3], here[4], here[5]
        out_height, out_width, taps_y, taps_x, tap_bytes = here[15], here[16], here[17], here[18], here[19]
        blocks, last_columns = here[20], here[21]
        used = (blocks - 1) * columns + last_columns
        activations = np.zeros(words, np.uint64)
        first, last = valid_range(here[6], out_height, here[7], taps_y, here[8], one, zero, one, here[9])
        begin, end = 1, 0
        if depthwise:
            begin, end = valid_range(
                here[10] + (blocks - 1) * here[13],
                out_width,
                here[11],
                taps_x,
                here[12],
                one,
                zero,
                last_columns,
                here[14],
            )
            if blocks > 1:
                low, high = valid_range(
                    here[10], out_width, here[11], taps_x, here[12], blocks - 1, here[13], columns, here[14]
                )
                if low <= high:
                    begin, end = (min(low, begin), max(high, end)) if begin <= end else (low, high)
        else:
            begin, end = valid_range(
                here[10], out_width, here[11], taps_x, here[12], blocks, here[13], tap_bytes, here[14]
            )
        if begin <= end:
            code = check_rows(
                address + begin,
                first,
                last,
                spacing_of(out_height, here[7], taps_y, here[8]),
                ring_rows,
                ring_start,
                row_pitch,
                counts,
                strides,
                end - begin + 1,
                sram_bytes,
                bank_bytes,
                zero,
                activations,
                found[index],
            )
            if code:
                finding[index] = code
                continue
        weights = np.zeros(words, np.uint64)
        weight_counts[0], weight_strides[0], depth = one, zero, product(taps_y * taps_x, tap_bytes)
        weight_bytes = product(product(depth, columns), blocks - 1) + product(depth, last_columns)
        if here[26]:
            weight_counts[0], weight_strides[0], weight_bytes = used, here[25], depth
        low, high = hull(here[22], weight_counts, weight_strides, weight_bytes)
        if high > sram_bytes:
            finding[index], found[index, 0], found[index, 1] = SRAM_BOUNDS, low, high
            continue
        mark_banks(here[22], weight_counts, weight_strides, weight_bytes, bank_bytes, zero, weights)
        if bias:
            low, high = here[23], here[23] + 4 * used
            if high > sram_bytes:
                finding[index], found[index, 0], found[index, 1] = SRAM_BOUNDS, low, high
                continue
            mark_interval(low, high, bank_bytes, zero, weights)
        low, high = here[24], here[24] + product(product(out_height, out_width), blocks)
        if high > all_rows:
            finding[index], found[index, 0], found[index, 1] = ACCUMULATOR_BOUNDS, low, high
            continue
        if shared(weights, activations) >= 0:
            finding[index], found[index, 0] = WEIGHT_PORT, shared(weights, activations)
        common[index] = shared(weights, previous)
        previous = activations
        merge(bits[index], activations)
        merge(bits[index], weights)
        mark_interval(low, high, bank_rows, sram_banks, bits[index])


@njit(cache=True)
def check_chain(fields: Ints, members: Ints, sizes: Ints, bits: Bits, finding: Ints, found: Ints) -> None:
    """CHAIN. sizes: SRAM bytes, bank bytes, SRAM banks, elements of an accumulator bank, all elements."""
    zero, one = int(np.int64(0)), int(np.int64(1))
    sram_bytes, bank_bytes, sram_banks, bank_elements, all_elements = (
        sizes[0],
        sizes[1],
        sizes[2],
        sizes[3],
        sizes[4],
    )
    words = bits.shape[1]
    counts, strides = np.ones(4, np.int64), np.zeros(4, np.int64)
    for row in range(len(members)):
        index, here = members[row], fields[row]
        sources, written = np.zeros((3, words), np.uint64), np.zeros(words, np.uint64)
        outer_2, outer_1, outer_0, inner = here[0], here[1], here[2], here[5]
        first, last = valid_range(here[18], outer_1, here[19], here[3], here[20], one, zero, one, here[21])
        begin, end = valid_range(here[22], outer_0, here[23], here[4], here[24], one, zero, one, here[25])
        code = OK
        if first <= last and begin <= end:
            accumulator = here[6] == 1
            spacing = spacing_of(outer_0, here[23], here[4], here[24])
            counts[1], strides[1] = (end - begin) // spacing + 1, extent(spacing + 1, here[15])
            counts[2], strides[2] = outer_2, here[16]
            counts[3], strides[3] = inner, here[17]
            code = check_rows(
                here[11] + extent(begin + 1, here[15]),
                first,
                last,
                spacing_of(outer_1, here[19], here[3], here[20]),
                here[12],
                here[13],
                here[14],
                counts,
                strides,
                here[41],
                all_elements if accumulator else sram_bytes,
                bank_elements if accumulator else bank_bytes,
                sram_banks if accumulator else zero,
                sources[0],
                found[index],
            )
            if code == SRAM_BOUNDS and accumulator:
                code = ACCUMULATOR_BOUNDS
        merge(bits[index], sources[0])
        if here[6] == 1:
            sources = np.zeros((3, words), np.uint64)
        for operand in range(1, 4):
            at, width = here[21 + 5 * operand], here[6 + operand]
            if code or width == 0:
                continue
            counts[0], counts[1], counts[2] = outer_2, outer_1, outer_0
            counts[3] = 1 if operand == 3 and here[10] else inner
            for dim in range(4):
                strides[dim] = here[22 + 5 * operand + dim]
            low, high = hull(at, counts, strides, width)
            if low < 0 or high > sram_bytes:
                code, found[index, 0], found[index, 1] = SRAM_BOUNDS, low, high
            elif operand < 3:
                mark_banks(at, counts, strides, width, bank_bytes, zero, sources[operand])
                merge(bits[index], sources[operand])
            else:
                mark_banks(at, counts, strides, width, bank_bytes, zero, written)
                merge(bits[index], written)
        if not code:
            rows, pixels = np.array([first, last]), np.array([begin, end])
            operand = overlapped_operand(here, rows, pixels, sources, written)
            if operand >= 0:
                code, found[index, 0] = OVERLAP, operand
        if not code:
            for left, right in ((0, 1), (0, 2), (1, 2)):
                bank = shared(sources[left], sources[right])
                if bank >= 0:
                    code, found[index, 0] = READ_PORT, bank
        finding[index] = code
