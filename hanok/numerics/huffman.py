"""The weight codec: canonical Huffman codes of at most 15 bits over bytes, in words that lanes share.

A packed stream is (where it brings its own) a table of 128 bytes, the code length of symbol 2i in the low
and of symbol 2i + 1 in the high four bits of byte i, then 16-bit little-endian words. Decoded byte i belongs
to lane i mod lanes; before each symbol, in this order, a lane that holds fewer than 16 bits takes the next
word of the stream if one is left. Bits count from a word's highest, codes are canonical (by length, then by
symbol). So `lanes` decoders work on one stream without marks; some side by side, some in turn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics import _kernels_huffman as kernels

TABLE_BYTES = 128
MAX_LENGTH = kernels.MAX_LENGTH
SYMBOLS = kernels.SYMBOLS

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

_FAULTS = {
    kernels.NO_CODE: "bits that are no code of the table",
    kernels.NO_WORDS: "the stream ends within a code",
    kernels.WORDS_LEFT: "words are left behind the last symbol",
}


def histogram(content: Bytes) -> Counts:
    """How often each of the 256 symbols occurs."""
    counts = np.zeros(kernels.SYMBOLS, np.int64)
    kernels.count_symbols(content, counts)
    return counts


def code_lengths(counts: Counts) -> Bytes:
    """The optimal code length (0 to 15 bits; 0: not in use) of each symbol; equal counts by symbol."""
    lengths = np.zeros(kernels.SYMBOLS, np.uint8)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    if len(order) == 1:
        lengths[order] = 1
    elif len(order) > 1:
        kernels.limited_lengths(order.astype(np.int64), counts[order].astype(np.int64), lengths)
    return lengths


def coded_bits(counts: Counts, lengths: Bytes) -> int | None:
    """Bits of symbols that occur `counts` times under a code; None where one of them has no code."""
    if np.any((counts > 0) & (lengths == 0)):
        return None
    return int(counts @ lengths.astype(np.int64))


def table_of(lengths: Bytes) -> bytes:
    """The table of a code as it stands at the head of a stream."""
    return (lengths[0::2] | lengths[1::2] << 4).astype(np.uint8).tobytes()


def lengths_of(table: Bytes) -> Bytes:
    """The code lengths in a table of TABLE_BYTES bytes."""
    return np.stack([table & 15, table >> 4], axis=1).reshape(-1)


def pack_words(content: Bytes, lengths: Bytes, lanes: int) -> bytes:
    """The words of `content` under a code that has every symbol of it."""
    codes = np.zeros(kernels.SYMBOLS, np.int64)
    kernels.canonical_codes(lengths, codes)
    bits = coded_bits(histogram(content), lengths)
    if bits is None:
        raise ValueError("the content has a symbol without a code")
    words = np.zeros(bits // 16 + 2 * lanes + 2, np.uint16)
    used = int(kernels.pack(content, lengths, codes, lanes, words))
    return words[:used].astype("<u2").tobytes()


def decoding_windows(lengths: Bytes) -> npt.NDArray[np.uint16] | None:
    """The symbol and length of every 15-bit window; None where the lengths make no prefix code."""
    windows = np.zeros(kernels.WINDOWS, np.uint16)
    return windows if kernels.fill_windows(lengths, windows) else None


def words_taken(
    packed: Bytes, windows: npt.NDArray[np.uint16], streams: int, lanes: int, symbols: int
) -> Counts | None:
    """How many words are taken after each group of `lanes` symbols; None where the words are no stream."""
    words, taken = np.frombuffer(packed.tobytes(), "<u2").astype(np.uint16), np.zeros(symbols, np.int64)
    if kernels.unpack(words, windows, streams, np.zeros(symbols, np.uint8), taken) != kernels.OK:
        return None
    return taken[np.minimum(np.arange(lanes - 1, symbols + lanes - 1, lanes), symbols - 1)]


def unpack_words(packed: Bytes, windows: npt.NDArray[np.uint16], lanes: int, content: Bytes) -> str:
    """Fill `content` from packed words (an even number of bytes); return what is wrong, or nothing.

    Nothing is read or written outside the arrays, whatever the packed bytes say.
    """
    words = np.frombuffer(packed.tobytes(), "<u2").astype(np.uint16)
    fault = int(kernels.unpack(words, windows, lanes, content, np.zeros(len(content), np.int64)))
    return _FAULTS.get(fault, "")
