"""Hashes of a log's tree in tiles of 256, so that an append writes few rows and a proof reads few.

Tile (level, number) holds the roots of the complete subtrees of 256**level entries with the numbers
256 * number and up, 32 bytes each; only the last of a level may be shorter than 256.
"""

from __future__ import annotations

from collections.abc import Callable

from hanok.protect.merkle import HASH_BYTES, Reader, complete_root

TILE_BITS = 8
TILE_HASHES = 1 << TILE_BITS
_TILE_BYTES = TILE_HASHES * HASH_BYTES
Fetch = Callable[[int, int], bytes]
"""(level, number) of a tile -> its hashes, b"" if there is none."""


def tile_reader(fetch: Fetch) -> Reader:
    """Return what `merkle` reads a tree through; a subtree that is not there gives other than 32 bytes."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        row, bits = divmod(level, TILE_BITS)
        tile, first = divmod(number << bits, TILE_HASHES)
        if (row, tile) not in kept:
            kept[row, tile] = fetch(row, tile)
        return complete_root(kept[row, tile][HASH_BYTES * first : HASH_BYTES * (first + (1 << bits))])

    return read


class TileWriter:
    """Takes hashes of entries, and gives the tiles that are new or longer than they were."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self._counts: list[int] = []
        self._open: list[bytearray] = []
        self.changed: dict[tuple[int, int], bytes] = {}
        while size or not self._open:
            self._add_level(size)
            size >>= TILE_BITS

    def append(self, leaves: list[bytes]) -> None:
        """Append hashes of entries, in order."""
        self._append(0, b"".join(leaves))

    def finish(self) -> dict[tuple[int, int], bytes]:
        """Return every tile that changed."""
        for level, row in enumerate(self._open):
            if row:
                self.changed[level, self._counts[level] >> TILE_BITS] = bytes(row)
        return self.changed

    def _add_level(self, count: int) -> None:
        level, number = len(self._open), count >> TILE_BITS
        length = (count % TILE_HASHES) * HASH_BYTES
        self._counts.append(count)
        self._open.append(bytearray(self._fetch(level, number)[:length] if length else b""))

    def _append(self, level: int, hashes: bytes) -> None:
        if level == len(self._open):
            self._add_level(0)
        row = self._open[level]
        row += hashes
        full = len(row) - len(row) % _TILE_BYTES
        first = self._counts[level] >> TILE_BITS
        self._counts[level] += len(hashes) // HASH_BYTES
        roots = []
        for number, at in enumerate(range(0, full, _TILE_BYTES)):
            tile = bytes(row[at : at + _TILE_BYTES])
            self.changed[level, first + number] = tile
            roots.append(complete_root(tile))
        del row[:full]
        if roots:
            self._append(level + 1, b"".join(roots))
