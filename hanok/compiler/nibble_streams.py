"""Streams of weights of four bits: what UNPACK reads for a chunk of a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from hanok.compiler.columns import Columns, Part
from hanok.compiler.layers import MatrixLayer
from hanok.compiler.matrix_plan import Chunk
from hanok.machine import Core
from hanok.numerics.nibble_grids import nearest_nibbles
from hanok.numerics.nibbles import Entries, Weights, pack_stream, weights_of


@dataclass(frozen=True)
class NibbleStream:
    """The tiles of a chunk as a stream for UNPACK."""

    content: bytes
    group_rows: int


def nibble_stream(
    core: Core, layer: MatrixLayer, columns: Columns, chunk: Chunk, part: Part
) -> NibbleStream | None:
    """Return the stream of a part of a chunk, or None where it is no whole number of groups.

    Tiles lie as `Columns.tiles` has them: those of each pass, block by block, each a row of the array's
    columns for each input. Groups that a part cuts are made shorter, with their entries for each piece.
    """
    width = core.matrix.columns
    if not core.dma.int4 or not layer.entries or columns.pixels > 1 or chunk.channels % width:
        return None
    weights = layer.phases[0].weights
    inputs = weights[0].shape[2]
    group_rows = gcd(inputs // len(layer.entries[0]), part.first_byte, part.last_byte)
    if group_rows * width % (2 * core.dma.bytes_per_cycle):
        return None
    rows = slice(part.first_byte, part.last_byte)
    groups = slice(part.first_byte // group_rows, part.last_byte // group_rows)
    streams = []
    for each, entries in zip(weights, layer.entries, strict=True):
        finer = np.repeat(entries, inputs // group_rows // len(entries), axis=0)[groups]
        for block in range(chunk.first, chunk.last):
            used = slice(block * width, (block + 1) * width)
            streams.append(_stream(each[0, 0, rows, used], finer[:, used]))
    return NibbleStream(b"".join(streams), group_rows)


def _stream(weights: Weights, entries: Entries) -> bytes:
    nibbles = nearest_nibbles(weights, entries)
    assert np.array_equal(weights_of(nibbles, entries), weights), "nibbles of other weights"
    return pack_stream(nibbles, entries)
