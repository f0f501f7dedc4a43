"""Array columns: how output channels, groups and neighbouring pixels of a layer share the matrix columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hanok.compiler.layers import MatrixLayer, Phase
from hanok.machine import Chip, Matrix
from hanok.units import ceil_div

Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Job:
    """Output channels [first, first + count) computed from input channels [source, source + width).

    `groups` of the layer share the job's columns block-diagonally.
    """

    first: int
    count: int
    source: int
    width: int
    groups: int


@dataclass(frozen=True)
class Part:
    """Vertical taps [first_tap, last_tap) and bytes [first_byte, last_byte) of each tap: a share of K."""

    first_tap: int
    last_tap: int
    first_byte: int
    last_byte: int


@dataclass(frozen=True)
class Columns:
    """A layer's jobs on an array, with `pixels` neighbouring output positions side by side.

    With pixels > 1 the weights of one output position stand repeatedly, each copy shifted by the stride
    (a Toeplitz matrix), so that a few channels fill many columns and a long run of bytes fills the rows.
    """

    layer: MatrixLayer
    matrix: Matrix
    pixels: int
    dense: bool
    """Depthwise layers: use the dense array with block-diagonal weights instead of the depthwise mode."""

    @property
    def depthwise(self) -> bool:
        """Whether DEPTHWISE instructions are used."""
        return self.layer.depthwise and not self.dense

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs in order of output channels."""
        source_channels, output_channels = self.layer.source.shape[3], self.layer.output.shape[3]
        groups = self.layer.groups
        if self.depthwise or groups == 1:
            return (Job(0, output_channels, 0, source_channels, 1),)
        inputs, outputs = source_channels // groups, output_channels // groups
        bundle = max(1, min(groups, self.matrix.columns // outputs, max(1, self.matrix.rows // inputs)))
        if self.merged_possible:
            bundle = groups
        return tuple(
            Job(g * outputs, n * outputs, g * inputs, n * inputs, n)
            for g in range(0, groups, bundle)
            for n in (min(bundle, groups - g),)
        )

    @property
    def merged_possible(self) -> bool:
        """Whether horizontal taps are contiguous bytes that one chunked tap can cover."""
        if self.depthwise:
            return False
        source = self.layer.source
        contiguous = source.pixel_pitch == source.shape[3]
        plain = all(phase.dilation[1] == 1 or phase.taps[1] == 1 for phase in self.layer.phases)
        whole = self.layer.groups == 1 or self.layer.output.shape[3] * self.pixels <= self.matrix.columns
        return contiguous and plain and whole

    def merged(self, job: Job) -> bool:
        """Whether the job's horizontal taps are merged into one long tap."""
        return self.merged_possible and job.width == self.layer.source.shape[3]

    def blocks(self, job: Job) -> int:
        """Blocks of array columns."""
        return ceil_div(job.count * self.pixels, self.matrix.columns)

    def last_columns(self, job: Job) -> int:
        """Columns used in the last block."""
        return job.count * self.pixels - (self.blocks(job) - 1) * self.matrix.columns

    def tap_shape(self, job: Job, phase: Phase) -> tuple[int, int, int]:
        """taps_y, taps_x and bytes of a tap, as the instruction sees them."""
        taps_y, taps_x = phase.taps
        if self.depthwise:
            return taps_y, taps_x, 1
        if self.merged(job):
            span = taps_x + (self.pixels - 1) * phase.stride[1]
            return taps_y, 1, span * job.width
        return taps_y, taps_x, job.width

    def parts(self, job: Job, phase: Phase, count: int) -> list[Part]:
        """Cut the sum over K into at least `count` parts if it can be: by vertical taps, then by bytes."""
        taps_y, _, tap_bytes = self.tap_shape(job, phase)
        by_taps = min(count, taps_y)
        by_bytes = 1
        if count > taps_y and not self.depthwise:
            by_bytes = min(ceil_div(count, taps_y), ceil_div(tap_bytes, self.matrix.rows))
        tiles = ceil_div(tap_bytes, self.matrix.rows)
        edges = [min(tap_bytes, tiles * i // by_bytes * self.matrix.rows) for i in range(by_bytes)] + [
            tap_bytes
        ]
        taps = [taps_y * i // by_taps for i in range(by_taps + 1)]
        return [
            Part(first, last, low, high) for first, last in pairwise(taps) for low, high in pairwise(edges)
        ]

    def preload_rows(self, job: Job, phase: Phase) -> list[int]:
        """Rows of each weight tile of one block, in order."""
        taps_y, taps_x, tap_bytes = self.tap_shape(job, phase)
        if self.depthwise:
            return [taps_x] * taps_y
        full, rest = divmod(tap_bytes, self.matrix.rows)
        return ([self.matrix.rows] * full + ([rest] if rest else [])) * (taps_y * taps_x)

    def weight_bytes(
        self, job: Job, phase: Phase, first_block: int, last_block: int, part: Part | None = None
    ) -> int:
        """Bytes of the weight tiles of blocks [first_block, last_block), one pass."""
        columns = self._columns(job, first_block, last_block)
        taps_y, taps_x, tap_bytes = self.tap_shape(job, phase)
        if part is not None:
            taps_y, tap_bytes = part.last_tap - part.first_tap, part.last_byte - part.first_byte
        return columns * taps_y * taps_x * tap_bytes

    def _columns(self, job: Job, first_block: int, last_block: int) -> int:
        width = self.matrix.columns
        return min(last_block * width, job.count * self.pixels) - first_block * width

    def tiles(
        self, job: Job, phase: Phase, weights: Int8Array, first_block: int, last_block: int, part: Part
    ) -> bytes:
        """The weight tiles of blocks [first_block, last_block) in the order that the array takes them."""
        dense = self._dense_weights(job, phase, weights)[part.first_tap : part.last_tap]
        if not self.depthwise:
            dense = dense[:, :, part.first_byte : part.last_byte]
        width, total = self.matrix.columns, job.count * self.pixels
        parts = []
        for block in range(first_block, last_block):
            parts.append(np.ascontiguousarray(dense[..., block * width : min(total, (block + 1) * width)]))
        return b"".join(part.tobytes() for part in parts)

    def _dense_weights(self, job: Job, phase: Phase, weights: Int8Array) -> Int8Array:
        """Weights as [taps_y][taps_x][tap bytes][columns] (depthwise: [taps_y][taps_x][columns])."""
        selected = weights[..., job.first : job.first + job.count]
        if self.depthwise:
            return selected
        blocks = self._block_diagonal(job, selected)
        taps_y, taps_x, width, count = blocks.shape
        if not self.merged(job) or taps_x == self.pixels == 1:
            return blocks
        step = phase.stride[1]
        span = taps_x + (self.pixels - 1) * step
        result = np.zeros((taps_y, span, width, self.pixels, count), np.int8)
        for pixel in range(self.pixels):
            result[:, pixel * step : pixel * step + taps_x, :, pixel] = blocks
        return result.reshape(taps_y, 1, span * width, self.pixels * count)

    def _block_diagonal(self, job: Job, weights: Int8Array) -> Int8Array:
        if weights.ndim == 3:
            weights = weights[:, :, None, :]
        if job.groups == 1:
            return weights
        taps_y, taps_x, inputs, count = weights.shape
        outputs = count // job.groups
        result = np.zeros((taps_y, taps_x, job.groups, inputs, job.groups, outputs), np.int8)
        for group in range(job.groups):
            result[:, :, group, :, group] = weights[..., group * outputs : (group + 1) * outputs]
        return result.reshape(taps_y, taps_x, job.groups * inputs, count)


def grid_shape(layer: MatrixLayer) -> tuple[int, int]:
    """Rows and columns of the grid that tiles are cut from: output positions of one phase."""
    _, height, width, _ = layer.output.shape
    step = layer.phases[0].step
    return ceil_div(height, step[0]), ceil_div(width, step[1])


def column_options(layer: MatrixLayer, chip: Chip) -> list[Columns]:
    """Mappings of channels to array columns worth trying."""
    matrix = chip.core.matrix
    options = {(1, False): Columns(layer, matrix, 1, False)}
    if layer.depthwise:
        widest = max((p.taps[1] - 1) * p.dilation[1] + 1 for p in layer.phases)
        if widest > matrix.rows:
            options.clear()
        options[1, True] = Columns(layer, matrix, 1, True)
    if len(layer.phases) == 1:
        width = grid_shape(layer)[1]
        for pixels in range(2, min(width, matrix.columns // layer.output.shape[3]) + 1):
            candidate = Columns(layer, matrix, pixels, layer.depthwise)
            if width % pixels == 0 and candidate.merged_possible:
                options[pixels, layer.depthwise] = candidate
    return [options[key] for key in sorted(options)]
