"""Merkle trees as RFC 9162, section 2.1, defines them: plain recursion over lists of entries."""

from __future__ import annotations

import hashlib


def split(length: int) -> int:
    """The largest power of two below `length`."""
    power = 1
    while 2 * power < length:
        power *= 2
    return power


def root(entries: list[bytes]) -> bytes:
    """MTH(D_n)."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(bytes([0]) + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(bytes([1]) + root(entries[:k]) + root(entries[k:])).digest()


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH(m, D_n)."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), root(entries[k:])]
    return [*path(m - k, entries[k:]), root(entries[:k])]


def proof(m: int, entries: list[bytes]) -> list[bytes]:
    """PROOF(m, D_n)."""
    return subproof(m, entries, True)


def subproof(m: int, entries: list[bytes], is_whole: bool) -> list[bytes]:
    """SUBPROOF(m, D_n, b)."""
    if m == len(entries):
        return [] if is_whole else [root(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], is_whole), root(entries[k:])]
    return [*subproof(m - k, entries[k:], False), root(entries[:k])]
