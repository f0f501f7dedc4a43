"""Merkle trees against the RFC's example, the vectors of Certificate Transparency, and plain recursion."""

from __future__ import annotations

import plain_merkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.protect._log_tiles import TILE_HASHES, TileWriter, tile_reader
from hanok.protect.merkle import (
    EMPTY_ROOT,
    Frontier,
    Reader,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    node_hash,
    range_root,
    root_of_inclusion,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the first 1 to 8 leaves: merkletree/merkle_tree_test.cc of google/certificate-transparency."""
A0, B0, C0 = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
D0, E0, F0 = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
)


def reader_of(entries: list[bytes], batches: tuple[int, ...] = ()) -> Reader:
    """A tree in tiles, appended in batches that end at these sizes."""
    rows: dict[tuple[int, int], bytes] = {}

    def fetch(level: int, number: int) -> bytes:
        return rows.get((level, number), b"")

    start = 0
    for end in (*batches, len(entries)):
        writer = TileWriter(fetch, start)
        writer.append([leaf_hash(entry) for entry in entries[start:end]])
        rows.update(writer.finish())
        start = end
    return tile_reader(fetch)


def test_roots_of_certificate_transparency() -> None:
    read, tree = reader_of(LEAVES), Frontier()
    assert tree.root == range_root(read, 0, 0) == EMPTY_ROOT
    for size, (leaf, expected) in enumerate(zip(LEAVES, ROOTS, strict=True), 1):
        tree.append(leaf_hash(leaf))
        assert range_root(read, 0, size).hex() == tree.root.hex() == plain_merkle.root(LEAVES[:size]).hex()
        assert tree.root.hex() == expected


@pytest.mark.parametrize(
    ("position", "size", "expected"),
    [
        (0, 1, ()),
        (0, 8, (A0, B0, C0)),
        (5, 8, (D0, E0, ROOTS[3])),
        (2, 3, (ROOTS[1],)),
        (1, 5, (ROOTS[0], B0, D0)),
    ],
)
def test_inclusion_proofs_of_certificate_transparency(
    position: int, size: int, expected: tuple[str, ...]
) -> None:
    path = inclusion_path(reader_of(LEAVES), position, size)
    assert tuple(node.hex() for node in path) == expected
    assert root_of_inclusion(leaf_hash(LEAVES[position]), position, size, path) == bytes.fromhex(
        ROOTS[size - 1]
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 1, ()), (1, 8, (A0, B0, C0)), (6, 8, (F0, E0, ROOTS[3])), (2, 5, (B0, D0))],
)
def test_consistency_proofs_of_certificate_transparency(
    first: int, second: int, expected: tuple[str, ...]
) -> None:
    path = consistency_path(reader_of(LEAVES), first, second)
    assert tuple(node.hex() for node in path) == expected
    roots = (bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1]))
    assert is_consistent(first, second, roots, path)


def test_the_example_of_the_rfc() -> None:
    """RFC 6962, section 2.1.3: seven leaves a..f and j, nodes g..l, as the figure names them."""
    entries = [f"d{number}".encode() for number in range(7)]
    a, b, c, d, e, f, j = map(leaf_hash, entries)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the figure's letter
    read = reader_of(entries)
    assert range_root(read, 0, 7) == node_hash(k, l)
    assert inclusion_path(read, 0, 7) == (b, h, l)
    assert inclusion_path(read, 3, 7) == (c, g, l)
    assert inclusion_path(read, 4, 7) == (f, j, k)
    assert inclusion_path(read, 6, 7) == (i, k)
    assert consistency_path(read, 3, 7) == (c, d, g, l)
    assert consistency_path(read, 4, 7) == (l,)
    assert consistency_path(read, 6, 7) == (i, j, k)


def test_every_proof_of_small_trees() -> None:
    entries = [bytes([number]) for number in range(40)]
    read = reader_of(entries)
    roots = [plain_merkle.root(entries[:size]) for size in range(41)]
    for size in range(1, 41):
        for position in range(size):
            path = inclusion_path(read, position, size)
            assert list(path) == plain_merkle.path(position, entries[:size])
            leaf = leaf_hash(entries[position])
            assert root_of_inclusion(leaf, position, size, path) == roots[size]
            other = (position + 1) % size
            if other != position:
                assert root_of_inclusion(leaf, other, size, path) != roots[size]
            assert root_of_inclusion(leaf, position, size, (*path, leaf)) != roots[size]
            assert root_of_inclusion(leaf, position, size, path[:-1]) != roots[size] or not path
        for first in range(size + 1):
            path = consistency_path(read, first, size)
            if first:
                assert list(path) == plain_merkle.proof(first, entries[:size])
            assert is_consistent(first, size, (roots[first], roots[size]), path)
            if first:
                assert not is_consistent(first, size, (roots[first], leaf_hash(b"")), path)
            assert not is_consistent(first, size, (leaf_hash(b""), roots[size]), path)
            assert not is_consistent(first, size, (roots[first], roots[size]), (*path, roots[0]))
            if path:
                assert not is_consistent(first, size, (roots[first], roots[size]), path[:-1])
            if first not in (0, size):
                assert not is_consistent(first - 1, size, (roots[first], roots[size]), path)


def test_proofs_that_make_no_sense() -> None:
    assert root_of_inclusion(b"", 1, 1, ()) is None
    assert root_of_inclusion(b"", -1, 1, ()) is None
    assert not is_consistent(2, 1, (b"", b""), ())
    assert not is_consistent(-1, 1, (b"", b""), ())
    assert not is_consistent(3, 5, (b"", b""), ())


@settings(max_examples=25, deadline=None)
@given(data=st.data(), size=st.integers(1, 3 * TILE_HASHES))
def test_trees_in_tiles_are_those_of_the_rfc(data: st.DataObject, size: int) -> None:
    entries = [number.to_bytes(2, "big") for number in range(size)]
    batches = tuple(sorted(data.draw(st.lists(st.integers(0, size), max_size=4))))
    read = reader_of(entries, batches)
    position, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert range_root(read, 0, size) == plain_merkle.root(entries)
    assert list(inclusion_path(read, position, size)) == plain_merkle.path(position, entries)
    assert list(consistency_path(read, first, size)) == plain_merkle.proof(first, entries)
    bent = [bytearray(node) for node in consistency_path(read, first, size)]
    if bent:
        bent[data.draw(st.integers(0, len(bent) - 1))][data.draw(st.integers(0, 31))] ^= 1
        roots = (plain_merkle.root(entries[:first]), plain_merkle.root(entries))
        assert not is_consistent(first, size, roots, [bytes(node) for node in bent])


def test_a_tree_with_three_levels_of_tiles() -> None:
    entries = [number.to_bytes(4, "big") for number in range(TILE_HASHES**2 + 700)]
    read = reader_of(entries, (5, 300, 65_000))
    assert range_root(read, 0, len(entries)) == plain_merkle.root(entries)
    for position in (0, 65_535, 65_536, len(entries) - 1):
        assert list(inclusion_path(read, position, len(entries))) == plain_merkle.path(position, entries)
    assert list(consistency_path(read, 65_537, len(entries))) == plain_merkle.proof(65_537, entries)
