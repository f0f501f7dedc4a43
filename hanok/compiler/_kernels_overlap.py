"""Kernels of the verifier: whether a CHAIN's result lies on an operand other than exactly in its place."""

from __future__ import annotations

import numpy as np
from numba import njit

from hanok.compiler._kernels_access import Bits, Ints, extent, hull, shared

LOOPS = 4
"""outer_2, outer_1, outer_0, inner."""


@njit(cache=True)
def writes_once(counts: Ints, strides: Ints, width: int) -> bool:
    """Whether loops, taken from the smallest stride up, step over all that the ones before them write."""
    done = np.zeros(LOOPS, np.bool_)
    reach = width
    for _ in range(LOOPS):
        best = -1
        for loop in range(LOOPS):
            if not done[loop] and counts[loop] > 1 and (best < 0 or abs(strides[loop]) < abs(strides[best])):
                best = loop
        if best < 0:
            return True
        if abs(strides[best]) < reach:
            return False
        done[best] = True
        reach += abs(extent(counts[best], strides[best]))
    return True


@njit(cache=True)
def _is_in_place(counts: Ints, at: int, strides: Ints, result_at: int, result: Ints, width: int) -> bool:
    """Whether an operand's elements are those of a result that is written once, one by one."""
    for loop in range(LOOPS):
        if counts[loop] > 1 and strides[loop] != result[loop]:
            return False
    return at == result_at and writes_once(counts, result, width)


@njit(cache=True)
def _hull_of_rows(here: Ints, rows: Ints, pixels: Ints) -> tuple[int, int]:
    """First byte of operand 0 and one past its last; a ring counts as a whole."""
    counts, strides = np.array([here[0], 2, 2, here[5]]), np.array([here[16], 0, 0, here[17]])
    base = here[11] + extent(pixels[0] + 1, here[15])
    strides[2] = extent(pixels[1] - pixels[0] + 1, here[15])
    if here[12]:
        strides[1] = extent(here[12], here[14])
    else:
        base += extent(rows[0] + 1, here[14])
        strides[1] = extent(rows[1] - rows[0] + 1, here[14])
    low, high = hull(base, counts, strides, here[41])
    return low, high


@njit(cache=True)
def overlapped_operand(here: Ints, rows: Ints, pixels: Ints, sources: Bits, written: Bits) -> int:
    """The first operand that the result of a CHAIN lies on, or -1.

    here: the fields of `check_chain`; rows, pixels: the first and last that operand 0 reads; sources,
    written: banks of the operands (none of an operand that reads nothing), and of the result.
    """
    counts = np.array([here[0], here[1], here[2], here[5]])
    made = counts.copy()
    if here[10]:
        made[3] = 1
    result_at, result, width, elementwise = here[36], here[37:41], here[9], here[42] == 0
    low, high = hull(result_at, made, result, width)
    for operand in range(3):
        if shared(sources[operand], written) < 0:
            continue
        if operand == 0:
            first, last = _hull_of_rows(here, rows, pixels)
            at = here[11] + extent(here[18] + 1, here[14]) + extent(here[22] + 1, here[15])
            moves = (here[16], extent(here[19] + 1, here[14]), extent(here[23] + 1, here[15]), here[17])
            strides, operand_width, plain = np.array(moves), here[41], here[12] == 0
        else:
            first_field = 21 + 5 * operand
            at, strides = here[first_field], here[first_field + 1 : first_field + 5].copy()
            operand_width, plain = here[6 + operand], True
            first, last = hull(at, counts, strides, operand_width)
        if high <= first or last <= low:
            continue
        fits = elementwise and plain and operand_width == width
        if not (fits and _is_in_place(counts, at, strides, result_at, result, width)):
            return operand
    return -1
