"""How many tiles a layer of the vector unit is cut into, and how a long reduction is shared out."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.compiler.view import View
from hanok.isa import Step
from hanok.isa.timing import Section, chain_cycles
from hanok.machine import Chip, Vector
from hanok.units import ceil_div

MOST_PIECES = 4
MOST_PARTS = 16
EXACT_SUM = 1 << 24
"""float32 holds every integer up to here, so that sums of int8 do not depend on their order."""
MOST_DIFFERENCE = 255


def pipelined(chip: Chip, total: int, size: int, groups: int, views: Sequence[View]) -> int:
    """A tile size of at most `size` that cuts `total` into a few pieces, so that moving and work overlap.

    `groups` of elements go through the vector unit, and `views` are moved unless they are resident. No piece
    has less to do than a chain takes for nothing.
    """
    moved = sum(view.bytes for view in views if not view.storage.resident)
    work = max(groups, ceil_div(moved, chip.core.dma.bytes_per_cycle))
    nothing = Section.of((), chip.core.vector)
    least = chain_cycles(chip.core.vector, 1, 1, 1, True, nothing, nothing, False, False)
    return min(size, ceil_div(total, max(1, min(MOST_PIECES, work // least))))


def divides_apart(vector: Vector, rows: int, classes: int) -> bool:
    """Whether it is quicker to divide the sums of `rows` rows in a chain of their own, side by side.

    A division after a reduction is made for one result at a time, whatever the lanes.
    """
    nothing, division = Section.of((), vector), Section.of((Step.REVERSE_DIV,), vector)
    sums = chain_cycles(vector, rows, 1, classes, True, nothing, nothing, True, True)
    apart = sums + chain_cycles(vector, 1, 1, rows, True, division, division, False, False)
    return apart < chain_cycles(vector, rows, 1, classes, True, nothing, division, True, True)


def window_parts(vector: Vector, taps: int, other_taps: int, channels: int) -> int:
    """Parts of a single window's longer side that are folded side by side, and then into one; 1: it is not.

    An accumulator takes an element every few cycles, so that a fold into one of them leaves lanes idle.
    """
    if MOST_DIFFERENCE * taps * other_taps >= EXACT_SUM:
        return 1
    nothing = Section.of((), vector)

    def fold(results: int, elements: int) -> int:
        return chain_cycles(vector, results, elements, channels, True, nothing, nothing, True, False)

    cycles = {1: fold(1, taps * other_taps)}
    for parts in range(2, min(MOST_PARTS, taps) + 1):
        cycles[parts] = fold(parts, ceil_div(taps, parts) * other_taps) + fold(1, parts)
    return min(cycles, key=lambda parts: (cycles[parts], parts))
