"""The weight codec against a decoder that reads its definition literally, and optimal code lengths."""

from __future__ import annotations

import heapq
from fractions import Fraction

import numpy as np
import pytest

from hanok.numerics import huffman

CONTENTS = {
    "uniform": lambda rng, size: rng.integers(0, 256, size),
    "weights": lambda rng, size: (
        np.clip(np.rint(rng.normal(0, 9, size)), -128, 127).astype(np.int8).view(np.uint8)
    ),
    "steep": lambda rng, size: np.minimum(rng.geometric(0.6, size) - 1, 255),
    "constant": lambda rng, size: np.full(size, 200),
    "two": lambda rng, size: rng.integers(0, 2, size) * 255,
    "every": lambda rng, size: np.arange(size) % 256,
}


def content_of(kind: str, size: int) -> np.ndarray:
    return np.asarray(CONTENTS[kind](np.random.default_rng(size), size)).astype(np.uint8)


def plain_codes(lengths: list[int]) -> dict[str, int]:
    """Canonical codes as texts of bits: by length, then by symbol, each one more than the last."""
    codes, value, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        value <<= length - before
        codes[format(value, f"0{length}b")] = symbol
        value, before = value + 1, length
    return codes


def plain_decode(stream: bytes, lanes: int, count: int) -> list[int]:
    """Table and words to symbols, bit by bit."""
    lengths = [stream[symbol // 2] >> 4 * (symbol % 2) & 15 for symbol in range(256)]
    codes = plain_codes(lengths)
    words = [int.from_bytes(stream[at : at + 2], "little") for at in range(128, len(stream), 2)]
    held = [""] * lanes
    symbols = []
    for index in range(count):
        lane = index % lanes
        if len(held[lane]) < 16 and words:
            held[lane] += format(words.pop(0), "016b")
        size = next(size for size in range(1, 16) if held[lane][:size] in codes)
        symbols.append(codes[held[lane][:size]])
        held[lane] = held[lane][size:]
    assert not words
    return symbols


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("size", [1, 2, 5, 63, 700])
@pytest.mark.parametrize("lanes", [1, 2, 8, 64])
def test_both_decoders_give_back_what_was_packed(kind: str, size: int, lanes: int) -> None:
    content = content_of(kind, size)
    lengths = huffman.code_lengths(huffman.histogram(content))
    table, words = huffman.table_of(lengths), huffman.pack_words(content, lengths, lanes)
    assert plain_decode(table + words, lanes, size) == content.tolist()
    windows = huffman.decoding_windows(huffman.lengths_of(np.frombuffer(table, np.uint8)))
    out = np.zeros(size, np.uint8)
    assert huffman.unpack_words(np.frombuffer(words, np.uint8), windows, lanes, out) == ""
    assert np.array_equal(out, content)
    bits = huffman.coded_bits(huffman.histogram(content), lengths)
    assert bits / 8 <= len(words) <= bits / 8 + 4 * min(lanes, size) + 2


def test_a_million_weights_come_near_their_entropy() -> None:
    content = content_of("weights", 1 << 20)
    counts = huffman.histogram(content)
    share = counts[counts > 0] / content.size
    entropy_bytes = -(share * np.log2(share)).sum() * content.size / 8
    packed = len(huffman.pack_words(content, huffman.code_lengths(counts), 8))
    assert entropy_bytes <= packed <= 1.01 * entropy_bytes


def huffman_cost(counts: list[int]) -> int:
    """Bits of the best code without a limit on its lengths: the sum of all inner nodes."""
    heap, cost = [count for count in counts if count], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        cost += both
        heapq.heappush(heap, both)
    return cost


@pytest.mark.parametrize("seed", range(20))
def test_code_lengths_are_optimal_and_complete(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.zeros(256, np.int64)
    used = rng.choice(256, rng.integers(2, 257), replace=False)
    counts[used] = rng.integers(1, rng.choice([2, 10, 100]), len(used))
    lengths = huffman.code_lengths(counts)
    assert np.array_equal(lengths > 0, counts > 0)
    assert sum(Fraction(1, 1 << int(length)) for length in lengths if length) == 1
    assert huffman.coded_bits(counts, lengths) == huffman_cost(counts.tolist())


def test_code_lengths_keep_to_fifteen_bits() -> None:
    """Fibonacci counts ask for one more bit with each symbol; with a limit the cost stays close by."""
    counts = np.zeros(256, np.int64)
    counts[:40] = [1, 1] + [0] * 38
    for index in range(2, 40):
        counts[index] = counts[index - 1] + counts[index - 2]
    lengths = huffman.code_lengths(counts)
    assert lengths.max() == 15
    assert sum(Fraction(1, 1 << int(length)) for length in lengths[:40]) == 1
    free, limited = huffman_cost(counts.tolist()), huffman.coded_bits(counts, lengths)
    assert free < limited < 1.001 * free


def test_code_lengths_of_little() -> None:
    assert not huffman.code_lengths(np.zeros(256, np.int64)).any()
    one = np.zeros(256, np.int64)
    one[7] = 5
    assert huffman.code_lengths(one).tolist() == [0] * 7 + [1] + [0] * 248
    assert huffman.coded_bits(np.ones(256, np.int64), huffman.code_lengths(one)) is None
    with pytest.raises(ValueError, match="a symbol without a code"):
        huffman.pack_words(np.zeros(3, np.uint8), huffman.code_lengths(one), 4)


def test_equal_counts_give_the_same_code_each_time() -> None:
    counts = np.ones(256, np.int64)
    counts[:3] = 4
    assert huffman.code_lengths(counts).tolist() == huffman.code_lengths(counts.copy()).tolist()
    assert huffman.code_lengths(np.ones(256, np.int64)).tolist() == [8] * 256


def test_hostile_tables_and_streams_are_named() -> None:
    """Nothing is read past the words, whatever they say."""
    assert huffman.decoding_windows(np.full(256, 7, np.uint8)) is None
    assert huffman.decoding_windows(np.array([1, 1, 15] + [0] * 253, np.uint8)) is None
    content = content_of("weights", 300)
    lengths = huffman.code_lengths(huffman.histogram(content))
    words = np.frombuffer(huffman.pack_words(content, lengths, 4), np.uint8)
    windows = huffman.decoding_windows(lengths)
    out = np.zeros(300, np.uint8)
    assert "ends within a code" in huffman.unpack_words(words[:-20], windows, 4, out)
    assert "ends within a code" in huffman.unpack_words(words[:0], windows, 4, out)
    assert "words are left" in huffman.unpack_words(np.append(words, words[:40]), windows, 4, out)
    single = huffman.decoding_windows(huffman.code_lengths(huffman.histogram(np.zeros(9, np.uint8))))
    assert "no code of the table" in huffman.unpack_words(np.full(2, 255, np.uint8), single, 1, out[:9])
    assert "no code" in huffman.unpack_words(words, np.zeros(1 << 15, np.uint16), 4, out)


@pytest.mark.parametrize("seed", range(60))
def test_random_streams_decode_or_are_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 16, 256) * (rng.random(256) < rng.choice([0.01, 0.1, 1.0]))
    windows = huffman.decoding_windows(lengths.astype(np.uint8))
    kraft = sum(Fraction(1, 1 << int(length)) for length in lengths if length)
    assert (windows is None) == (kraft > 1)
    if windows is not None:
        packed = rng.integers(0, 256, 2 * int(rng.integers(0, 50))).astype(np.uint8)
        out = np.zeros(40, np.uint8)
        huffman.unpack_words(packed, windows, int(rng.choice([1, 4, 64])), out)
