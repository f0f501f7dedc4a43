"""Numba kernels of the weight codec: code lengths, canonical codes, packing into lanes and unpacking."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import kernel

MAX_LENGTH = 15
SYMBOLS = 256
WINDOWS = 1 << MAX_LENGTH
WORD_BITS = 16
"""A lane with fewer bits takes a word; it then holds at most twice as many less one."""

OK, NO_CODE, NO_WORDS, WORDS_LEFT = range(4)

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Lengths = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


@kernel
def count_symbols(content: Bytes, counts: Counts) -> None:
    """Add the number of each symbol in `content` to counts."""
    for position in range(len(content)):
        counts[content[position]] += 1


@kernel
def limited_lengths(order: Counts, weights: Counts, lengths: Lengths) -> None:
    """Optimal code lengths of at most MAX_LENGTH bits by package-merge.

    `order`: the symbols in use (two or more) by rising weight; `weights`: their weights in that order.
    Level by level, leaves and pairs of the level before are merged by weight, leaves first among equals.
    """
    count = len(order)
    items, leaf = np.empty(2 * count, np.int64), np.zeros((MAX_LENGTH, 2 * count), np.bool_)
    size = 0
    for level in range(MAX_LENGTH):
        pairs = size // 2
        merged = np.empty(2 * count, np.int64)
        next_leaf, next_pair = 0, 0
        for position in range(count + pairs):
            pair = np.int64(0)
            if next_pair < pairs:
                pair = items[2 * next_pair] + items[2 * next_pair + 1]
            if next_pair == pairs or (next_leaf < count and weights[next_leaf] <= pair):
                merged[position], leaf[level, position] = weights[next_leaf], True
                next_leaf += 1
            else:
                merged[position] = pair
                next_pair += 1
        items, size = merged, count + pairs
    chosen = 2 * count - 2
    for level in range(MAX_LENGTH - 1, -1, -1):
        leaves = 0
        for position in range(chosen):
            leaves += leaf[level, position]
        for position in range(leaves):
            lengths[order[position]] += 1
        chosen = 2 * (chosen - leaves)


@kernel
def canonical_codes(lengths: Lengths, codes: Counts) -> None:
    """The code of each symbol: shorter codes first, then by symbol, counting up."""
    code = np.int64(0)
    for length in range(1, MAX_LENGTH + 1):
        for symbol in range(SYMBOLS):
            if lengths[symbol] == length:
                codes[symbol] = code
                code += 1
        code <<= 1


@kernel
def fill_windows(lengths: Lengths, windows: npt.NDArray[np.uint16]) -> bool:
    """Entry length * 256 + symbol for every window of MAX_LENGTH bits, 0 where no code fits.

    False (and nothing more is filled) where the lengths ask for more codes than there are.
    """
    windows[:] = 0
    position = 0
    for length in range(1, MAX_LENGTH + 1):
        span = 1 << (MAX_LENGTH - length)
        for symbol in range(SYMBOLS):
            if lengths[symbol] == length:
                if position + span > WINDOWS:
                    return False
                windows[position : position + span] = length * 256 + symbol
                position += span
    return True


@kernel
def pack(content: Bytes, lengths: Lengths, codes: Counts, lanes: int, words: Words) -> int:
    """Pack `content` by the codes; return how many of the (cleared) words are in use.

    A word belongs to the lane that asks for it when it is next in the shared stream, as `unpack` asks.
    """
    level, written = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    place = np.zeros((lanes, 2), np.int64)
    taken, used = 0, 0
    lane = 0
    for position in range(len(content)):
        if level[lane] < WORD_BITS:
            place[lane, 0] = place[lane, 1]
            place[lane, 1] = taken
            taken += 1
            level[lane] += WORD_BITS
        symbol = content[position]
        length = np.int64(lengths[symbol])
        offset = written[lane] & (WORD_BITS - 1)
        spread = codes[symbol] << (2 * WORD_BITS - offset - length)
        last = place[lane, 0] if level[lane] > WORD_BITS else place[lane, 1]
        words[last] |= np.uint16(spread >> WORD_BITS)
        if offset + length > WORD_BITS:
            last = place[lane, 1]
            words[last] |= np.uint16(spread & 0xFFFF)
        used = max(used, last + 1)
        written[lane] += length
        level[lane] -= length
        lane = lane + 1 if lane + 1 < lanes else 0
    return used


@kernel
def unpack(
    words: Words, windows: npt.NDArray[np.uint16], lanes: int, content: Bytes, taken_after: Counts
) -> int:
    """Fill `content` from the shared stream of words; return OK or what stopped it.

    `taken_after` gets how many words are taken after each symbol.

    Symbol i belongs to lane i mod lanes. Before a symbol, a lane with fewer than WORD_BITS bits takes the
    next word, if one is left; the highest bit of a word comes first. A lane's bits lie at the low end of its
    reservoir, the oldest highest.
    """
    reservoir, level = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    taken, lane = 0, 0
    for position in range(len(content)):
        held, bits = reservoir[lane], level[lane]
        if bits < WORD_BITS and taken < len(words):
            held = held << WORD_BITS | words[taken]
            bits += WORD_BITS
            taken += 1
        window = held >> (bits - MAX_LENGTH) if bits >= MAX_LENGTH else held << (MAX_LENGTH - bits)
        entry = np.int64(windows[window])
        length = entry >> 8
        if length == 0:
            return NO_CODE
        if length > bits:
            return NO_WORDS
        content[position] = entry & 255
        taken_after[position] = taken
        level[lane] = bits - length
        reservoir[lane] = held & ((1 << level[lane]) - 1)
        lane = lane + 1 if lane + 1 < lanes else 0
    return OK if taken == len(words) else WORDS_LEFT
