"""Cut a range into pieces."""

from __future__ import annotations

from itertools import pairwise

from hanok.units import ceil_div


def cut(total: int, most: int) -> list[tuple[int, int]]:
    """Cut [0, total) into the fewest nearly equal pieces of at most `most`."""
    pieces = ceil_div(total, most)
    edges = [total * index // pieces for index in range(pieces + 1)]
    return list(pairwise(edges))


def cut_fixed(total: int, size: int) -> list[tuple[int, int]]:
    """Cut [0, total) into pieces of `size`, the last one shorter."""
    return [(start, min(total, start + size)) for start in range(0, total, size)]
