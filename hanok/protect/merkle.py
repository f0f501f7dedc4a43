"""Merkle trees of RFC 6962 and RFC 9162, section 2.1: hashes, inclusion and consistency proofs, their checks.

A tree is known through `Reader`: (level, number) -> the 32-byte root of the complete subtree over the entries
number * 2**level .. (number + 1) * 2**level - 1. Positions count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
Reader = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry; its first byte keeps it from being that of a node."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees."""
    return sha256(b"\1" + left + right).digest()


def complete_root(hashes: bytes) -> bytes:
    """Return the root over a power of two of hashes, which stand one after another."""
    while len(hashes) > HASH_BYTES:
        pairs = range(0, len(hashes), 2 * HASH_BYTES)
        hashes = b"".join([sha256(b"\1" + hashes[at : at + 2 * HASH_BYTES]).digest() for at in pairs])
    return hashes


def range_root(read: Reader, start: int, end: int) -> bytes:
    """Return the root over entries start..end-1; `start` is 0 or where the RFC's recursion splits a tree."""
    if start == end:
        return EMPTY_ROOT
    length = end - start
    if length & (length - 1) == 0 and start % length == 0:
        return read(length.bit_length() - 1, start // length)
    split = start + _split(length)
    return node_hash(range_root(read, start, split), range_root(read, split, end))


def inclusion_path(read: Reader, position: int, size: int) -> tuple[bytes, ...]:
    """Return the proof that an entry is in the tree of the first `size` (RFC 9162, section 2.1.3.1)."""
    assert 0 <= position < size, "the caller checks the position"
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if position < split:
            path.append(range_root(read, split, end))
            end = split
        else:
            path.append(range_root(read, start, split))
            start = split
    return tuple(reversed(path))


def consistency_path(read: Reader, first: int, second: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of `first` entries begins that of `second` (section 2.1.4.1)."""
    assert 0 <= first <= second, "the caller checks the sizes"
    if first in (0, second):
        return ()
    path: list[bytes] = []
    start, end = 0, second
    while first < end:
        split = start + _split(end - start)
        if first <= split:
            path.append(range_root(read, split, end))
            end = split
        else:
            path.append(range_root(read, start, split))
            start = split
    if start:
        path.append(range_root(read, start, end))
    return tuple(reversed(path))


def root_of_inclusion(leaf: bytes, position: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to; None if it has the wrong length (section 2.1.3.2)."""
    if not 0 <= position < size:
        return None
    node, last, root = position, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(beside, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, beside)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(first: int, second: int, roots: tuple[bytes, bytes], path: Sequence[bytes]) -> bool:
    """Return whether a proof shows that the tree of roots[0] begins that of roots[1] (section 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not path and roots[0] == roots[1]
    if first == 0:
        return not path and roots[0] == EMPTY_ROOT
    whole = [roots[0], *path] if first & (first - 1) == 0 else list(path)
    if not whole:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = whole[0]
    for beside in whole[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(beside, old), node_hash(beside, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, beside)
        node, last = node >> 1, last >> 1
    return last == 0 and (old, new) == roots


class Frontier:
    """The root of a tree as it grows: a complete subtree for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of an entry."""
        number = self.size
        while number & 1:
            leaf, number = node_hash(self._subtrees.pop(), leaf), number >> 1
        self._subtrees.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root over all entries so far."""
        if not self._subtrees:
            return EMPTY_ROOT
        root = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            root = node_hash(left, root)
        return root


def _split(length: int) -> int:
    """The largest power of two below a length of at least 2."""
    return 1 << ((length - 1).bit_length() - 1)
