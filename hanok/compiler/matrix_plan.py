"""How a matrix layer is cut: its plan, the chunks of its weights, and what a piece of its grid reads."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.compiler.columns import Columns, Job
from hanok.compiler.layers import MatrixLayer
from hanok.units import ceil_div


@dataclass(frozen=True)
class MatrixPlan:
    """How a matrix layer is cut: tile of grid positions, array blocks of a weight chunk, loop order."""

    tile_height: int
    tile_width: int
    chunk_blocks: int
    chunks_outer: bool
    columns: Columns
    parts: int = 1
    """Pieces of the sum over K whose weights are loaded one after the other, for each set of accumulators."""

    @property
    def stores_chunks(self) -> bool:
        """Whether each chunk's results are stored by themselves, not a tile's all together."""
        return self.chunks_outer or self.parts > 1

    def describe(self) -> str:
        """One line for reports."""
        order = "weights outer" if self.chunks_outer else "tiles outer"
        pixels = _counted(self.columns.pixels, "pixel")
        mode = "depthwise" if self.columns.depthwise else f"{pixels} side by side"
        split = f" in {self.parts} parts" if self.parts > 1 else ""
        tile = f"tile {self.tile_height}x{self.tile_width}"
        return f"{tile}, {_counted(self.chunk_blocks, 'block')} a chunk{split}, {order}, {mode}"


@dataclass(frozen=True)
class Chunk:
    """Blocks [first, last) of a job whose weights and biases are loaded together."""

    job: Job
    first: int
    last: int
    channel: int
    channels: int


def chunks_of(columns: Columns, chunk_blocks: int) -> list[Chunk]:
    """Cut the jobs into chunks of at most `chunk_blocks` blocks."""
    result = []
    width = columns.matrix.columns
    for job in columns.jobs:
        blocks = columns.blocks(job)
        for first in range(0, blocks, chunk_blocks):
            last = min(blocks, first + chunk_blocks)
            if columns.pixels > 1:
                result.append(Chunk(job, first, last, job.first, job.count))
            else:
                end = min(job.count, last * width)
                result.append(Chunk(job, first, last, job.first + first * width, end - first * width))
    return result


def source_rows(layer: MatrixLayer, first: int, last: int) -> tuple[int, int]:
    """Input rows under grid rows [first, last), inside the image; at least one row."""
    return _span(layer, 0, first, last, layer.source.shape[1], 1)


def source_columns(layer: MatrixLayer, first: int, last: int) -> tuple[int, int]:
    """Input columns under grid columns [first, last), inside the image; at least one column."""
    return _span(layer, 1, first, last, layer.source.shape[2], 1)


def _span(layer: MatrixLayer, axis: int, first: int, last: int, limit: int, least: int) -> tuple[int, int]:
    low = min(phase.start[axis] + first * phase.stride[axis] for phase in layer.phases)
    high = max(
        phase.start[axis]
        + (last - 1) * phase.stride[axis]
        + (phase.taps[axis] - 1) * phase.dilation[axis]
        + 1
        for phase in layer.phases
    )
    low = min(max(low, 0), limit - least)
    return low, max(low + least, min(high, limit))


def sub_tile(accumulator_rows: int, height: int, width: int, blocks: int) -> tuple[int, int, int]:
    """Rows, columns and blocks of one instruction so that their positions fit an accumulator bank."""
    columns = ceil_div(width, ceil_div(width, accumulator_rows))
    rows = max(1, min(height, accumulator_rows // columns))
    rows = ceil_div(height, ceil_div(height, rows))
    return rows, columns, max(1, min(blocks, accumulator_rows // (rows * columns)))


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
