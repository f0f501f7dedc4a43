"""Weights of four bits in memory: nibbles with a scale and a zero for each group of rows of each column.

A stream holds a matrix of int8 [rows][columns], `group_rows` rows at a time: for each column an entry of 16
bits, little-endian, its low four bits the group's zero and the twelve above them its scale; then the rows'
nibbles, two to a byte, the earlier column in the low half. A nibble n stands for

    min(127, floor(((n - zero) * scale + 64) / 128)), at least -128

which is n - zero times the scale in 1/128 of a weight's step, rounded with ties up. The step itself is the
float32 scale of the whole column, as of any int8 weights. (Scales of two levels: Lin et al., QServe, MLSys
2025, arXiv:2405.04532.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ENTRY_BYTES = 2
ZERO_BITS = 4
SCALE_BITS = 12
SCALE_BITS_BEHIND = 7
"""Of a scale, behind the point."""
SCALE_UNIT = 1 << SCALE_BITS_BEHIND
"""A scale of so much is one step of the column."""
NIBBLES = 16

Nibbles = npt.NDArray[np.uint8]
Entries = npt.NDArray[np.uint16]
Weights = npt.NDArray[np.int8]


def stream_bytes(rows: int, columns: int, group_rows: int) -> int:
    """Return the bytes of a stream; `rows` is a multiple of `group_rows`."""
    return rows // group_rows * columns * ENTRY_BYTES + rows * columns // 2


def entries_of(scales: npt.NDArray[np.integer], zeros: npt.NDArray[np.integer]) -> Entries:
    """Return the entries of scales (0 .. 4095, in 1/128 of a step) and zeros (0 .. 15) of one shape."""
    return (np.asarray(scales, np.uint16) << ZERO_BITS | np.asarray(zeros, np.uint16)).astype(np.uint16)


def weights_of(nibbles: Nibbles, entries: Entries) -> Weights:
    """Return the int8 weights [rows][columns] of nibbles of that shape and entries [groups][columns]."""
    group_rows = len(nibbles) // len(entries)
    each = np.repeat(entries, group_rows, axis=0).astype(np.int32)
    apart = nibbles.astype(np.int32) - (each & NIBBLES - 1)
    scaled = apart * (each >> ZERO_BITS) + SCALE_UNIT // 2 >> SCALE_BITS_BEHIND
    found: Weights = np.clip(scaled, -128, 127).astype(np.int8)
    return found


def pack_stream(nibbles: Nibbles, entries: Entries) -> bytes:
    """Return the stream of nibbles [rows][columns] and entries [groups][columns]; `columns` is even."""
    groups, columns = entries.shape
    halves = nibbles.reshape(groups, -1)
    pairs = halves[:, 0::2] | halves[:, 1::2] << 4
    heads = entries.astype("<u2").view(np.uint8).reshape(groups, columns * ENTRY_BYTES)
    return np.concatenate([heads, pairs.astype(np.uint8)], axis=1).tobytes()


def unpack_stream(stream: npt.NDArray[np.uint8], columns: int, group_rows: int) -> Weights:
    """Return the int8 weights [rows][columns] of a stream of whole groups."""
    group = stream_bytes(group_rows, columns, group_rows)
    parts = stream.reshape(-1, group)
    heads = np.ascontiguousarray(parts[:, : columns * ENTRY_BYTES]).view("<u2").astype(np.uint16)
    pairs = parts[:, columns * ENTRY_BYTES :]
    nibbles = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1, columns)
    return weights_of(nibbles, heads)
