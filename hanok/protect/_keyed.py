"""Numbers that only the holder of a secret can foretell: keyed BLAKE2b names a stream, SHAKE-256 draws it."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

SECRET_BYTES = 32
_VERSION = b"hanok-protect-1"
"""BLAKE2's `person`: streams of another version or purpose share nothing with these."""


def keyed_words(secret: bytes, labels: tuple[str, ...], count: int) -> npt.NDArray[np.uint32]:
    """Return `count` words of 32 bits, the same for the same secret and labels on every machine.

    Without the secret they are as good as random as BLAKE2b (RFC 7693) and SHAKE-256 (FIPS 202) are.
    """
    assert len(secret) == SECRET_BYTES, "a secret is made by new_secret or read_secret"
    name = hashlib.blake2b(key=secret, person=_VERSION, digest_size=SECRET_BYTES)
    for label in labels:
        data = label.encode("utf-8")
        name.update(len(data).to_bytes(8, "little") + data)
    return np.frombuffer(hashlib.shake_256(name.digest()).digest(4 * count), "<u4").astype(np.uint32)


def keyed_order(secret: bytes, labels: tuple[str, ...], count: int) -> npt.NDArray[np.intp]:
    """Return the numbers below `count` in an order that the secret decides."""
    drawn = keyed_words(secret, labels, 2 * count).astype(np.uint64)
    return np.argsort(drawn[:count] << np.uint64(32) | drawn[count:], kind="stable")
