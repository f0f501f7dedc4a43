"""Seeded random streams of nibbles, and what they reach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hanok.numerics.nibbles import ENTRY_BYTES, Weights, entries_of, pack_stream, unpack_stream

CORNERS = (
    "a scale of 0", "the largest scale", "a zero of 0", "a zero of 15", "clamped to -128", "clamped to 127",
    "a half, rounded up", "one group", "several groups",
)  # fmt: skip
SCALES = (0, 1, 63, 64, 65, 127, 128, 129, 4094, 4095)


@dataclass(frozen=True)
class NibbleStream:
    """What an UNPACK reads; `weights` takes whole groups, and what is behind them not."""

    columns: int
    group_rows: int
    content: bytes

    @classmethod
    def of(
        cls, nibbles: npt.NDArray[np.uint8], scales: npt.NDArray[np.uint16], zeros: npt.NDArray[np.uint16]
    ) -> NibbleStream:
        """From nibbles [rows][columns], scales and zeros [groups][columns]."""
        content = pack_stream(nibbles, entries_of(scales, zeros))
        return cls(nibbles.shape[1], len(nibbles) // len(scales), content)

    @property
    def entry_bytes(self) -> int:
        """Bytes of a group's entries."""
        return ENTRY_BYTES * self.columns

    @property
    def group_bytes(self) -> int:
        """Bytes of a group."""
        return self.entry_bytes + self.group_rows * self.columns // 2

    @cached_property
    def weights(self) -> Weights:
        """The weights; of a part of a group, as if it went on with zeros."""
        whole = -(-len(self.content) // self.group_bytes) * self.group_bytes
        padded = np.frombuffer(self.content.ljust(whole, b"\0"), np.uint8)
        return unpack_stream(padded, self.columns, self.group_rows)

    @property
    def run_bytes(self) -> int:
        """Unpacked bytes."""
        return self.weights.size


def group_choices(width: int, columns: int) -> list[int]:
    """Rows that a group may have: the fewest, and some more."""
    fewest = max(1, 2 * width // columns)
    return [fewest * count for count in (1, 2, 3, 5, 16) if fewest * count < 256]


def random_stream(
    rng: np.random.Generator,
    width: int,
    columns: int,
    group_rows: int = 0,
    groups: int = 0,
    most_bytes: int = 1 << 12,
) -> NibbleStream:
    """Return a stream for beats of `width` bytes, of at most `most_bytes` weights if a group has no more."""
    rows = group_rows or int(rng.choice(group_choices(width, columns)))
    groups = groups or max(1, min(int(rng.integers(1, 5)), most_bytes // (rows * columns)))
    nibbles = rng.integers(0, 16, (groups * rows, columns), dtype=np.uint8)
    scales = rng.integers(0, 4096, (groups, columns), dtype=np.uint16)
    zeros = rng.integers(0, 16, (groups, columns), dtype=np.uint16)
    if rng.random() < 0.5:
        scales = rng.choice(np.array(SCALES, np.uint16), scales.shape)
        zeros = rng.choice(np.array([0, 7, 8, 15], np.uint16), zeros.shape)
    return NibbleStream.of(nibbles, scales, zeros)


def corners_of(stream: NibbleStream) -> set[str]:
    """Return those of `CORNERS` that a stream has."""
    groups = np.frombuffer(stream.content, np.uint8).reshape(-1, stream.group_bytes)
    entries = np.ascontiguousarray(groups[:, : stream.entry_bytes]).view("<u2").astype(np.int64)
    scales, zeros = entries >> 4, entries & 15
    pairs = groups[:, stream.entry_bytes :]
    nibbles = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1, stream.columns).astype(np.int64)
    rows = len(nibbles) // len(entries)
    exact = (nibbles - np.repeat(zeros, rows, axis=0)) * np.repeat(scales, rows, axis=0) / 128
    holds = {
        "a scale of 0": (scales == 0).any(),
        "the largest scale": (scales == 4095).any(),
        "a zero of 0": (zeros == 0).any(),
        "a zero of 15": (zeros == 15).any(),
        "clamped to -128": (exact < -129).any(),
        "clamped to 127": (exact > 128).any(),
        "a half, rounded up": (exact % 1 == 0.5).any(),
        "one group": len(entries) == 1,
        "several groups": len(entries) > 1,
    }
    assert tuple(holds) == CORNERS
    return {name for name in holds if holds[name]}
