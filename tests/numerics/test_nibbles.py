"""Weights of four bits: what a stream holds, and what comes back."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanok.numerics.nibbles import entries_of, pack_stream, stream_bytes, unpack_stream, weights_of


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 4095))
def test_a_nibble_is_a_product_rounded_half_up(nibble: int, zero: int, scale: int) -> None:
    found = weights_of(np.array([[nibble]], np.uint8), entries_of(np.array([[scale]]), np.array([[zero]])))
    exact = floor(Fraction((nibble - zero) * scale, 128) + Fraction(1, 2))
    assert found[0, 0] == max(-128, min(127, exact))


@given(st.integers(1, 4), st.sampled_from([2, 8, 12]), st.sampled_from([2, 16, 32]), st.randoms())
def test_streams_come_back(groups: int, columns: int, group_rows: int, seeded: object) -> None:
    generator = np.random.default_rng(seeded.getrandbits(32))  # type: ignore[attr-defined]
    nibbles = generator.integers(0, 16, (groups * group_rows, columns)).astype(np.uint8)
    entries = generator.integers(0, 1 << 16, (groups, columns)).astype(np.uint16)
    stream = pack_stream(nibbles, entries)
    assert len(stream) == stream_bytes(len(nibbles), columns, group_rows)
    back = unpack_stream(np.frombuffer(stream, np.uint8), columns, group_rows)
    np.testing.assert_array_equal(back, weights_of(nibbles, entries))


def test_bytes_of_a_stream() -> None:
    """Two columns, two rows: entries, then the first row's nibbles, then the second's."""
    nibbles = np.array([[1, 2], [3, 4]], np.uint8)
    entries = entries_of(np.array([[0x123, 0x456]]), np.array([[7, 8]]))
    assert pack_stream(nibbles, entries) == bytes([0x37, 0x12, 0x68, 0x45, 0x21, 0x43])
