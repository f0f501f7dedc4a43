"""Views of two layouts of one shape under the same loops, for copies between them."""

from __future__ import annotations

from hanok.compiler.layout import Layout
from hanok.compiler.view import View

Loops = list[tuple[int, int, int]]
"""(count, stride of the source, stride of the target), slowest first; the last one is a run of bytes."""


def runs(source: Layout, target: Layout) -> bool:
    """Whether the axis that the target stores last is one that the source stores in neighbouring bytes."""
    strides = [source.strides[axis] for axis in target.order if source.shape[axis] > 1]
    return not strides or strides[-1] == source.element_bytes


def paired_loops(source: Layout, target: Layout) -> Loops:
    """The loops over two layouts of one shape in the target's order; merged where they exceed four."""
    loops = [
        (source.shape[a], source.strides[a], target.strides[a]) for a in target.order if source.shape[a] > 1
    ]
    size = source.element_bytes
    if loops and loops[-1][1:] == (size, size):
        loops[-1] = (loops[-1][0] * size, 1, 1)
    else:
        loops.append((size, 1, 1))
    if len(loops) <= 4:
        return loops
    merged: Loops = []
    for length, first, second in loops:
        if merged and merged[-1][1] == length * first and merged[-1][2] == length * second:
            merged[-1] = (merged[-1][0] * length, first, second)
        else:
            merged.append((length, first, second))
    return merged


def views_of(
    source: Layout, target: Layout, loops: Loops, first: int, second: int
) -> list[tuple[View, View]]:
    """Pairs of views over the loops, `first` and `second` bytes into the layouts."""
    if len(loops) > 4:
        count, step, step_target = loops[0]
        parts = [
            views_of(source, target, loops[1:], first + index * step, second + index * step_target)
            for index in range(count)
        ]
        return [pair for part in parts for pair in part]
    return [
        (
            _view_of(source, [(n, a) for n, a, _ in loops], first),
            _view_of(target, [(n, b) for n, _, b in loops], second),
        )
    ]


def _view_of(layout: Layout, axes: list[tuple[int, int]], offset: int) -> View:
    """A view over up to four axes, slowest first; the last is a run of bytes, so of whole elements."""
    spread = {1: [1, 1, 1], 2: [1, 0, 1], 3: [1, 0, 0], 4: [0, 0, 0]}[len(axes)]
    rest = iter(axes[:-1])
    sizes = [(1, 0) if blank else next(rest) for blank in spread] + [axes[-1]]
    pixel = sizes[2][1] or sizes[3][0]
    row = sizes[1][1] or sizes[2][0] * pixel
    image = sizes[0][1] or sizes[1][0] * row
    size = layout.element_bytes
    shape = (sizes[0][0], sizes[1][0], sizes[2][0], sizes[3][0] // size)
    return View(layout.storage, shape, layout.offset + offset, image, row, pixel, size)
