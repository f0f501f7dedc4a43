"""Kernels of error correction: check bits and decoders of many words, and the bursts of in-line ECC."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.numerics._kernels_compile import kernel

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

OK, CORRECTED, DETECTED = 0, 1, 2
"""As in `hanok.dram.codes.WordStatus`."""

DATA_BURSTS = 8
"""Data bursts whose check bits fill one ECC burst: a byte for each eight."""


@kernel
def encode_words(data: Bytes, table: Integers) -> Integers:
    """Return the check bits of each row of `data`; `table` has those of each value of each byte alone."""
    words, width = data.shape
    check = np.zeros(words, np.int64)
    for word in range(words):
        total = np.int64(0)
        for place in range(width):
            total ^= table[place, data[word, place]]
        check[word] = total
    return check


@kernel
def decode_bits(data: Bytes, syndromes: Integers, positions: Integers, status: Bytes) -> None:
    """Flip in each row of `data` the bit that its syndrome names; `positions` is -1 where it names none."""
    data_bits = 8 * data.shape[1]
    for word in range(data.shape[0]):
        syndrome = syndromes[word]
        if syndrome == 0:
            status[word] = OK
            continue
        position = positions[syndrome]
        status[word] = DETECTED if position < 0 else CORRECTED
        if 0 <= position < data_bits:
            data[word, position >> 3] ^= np.uint8(1 << (position & 7))


@kernel
def decode_symbols(
    data: Bytes, syndromes: Integers, logs: Integers, alpha_log: Integers, symbols: int, status: Bytes
) -> None:
    """Correct the one symbol that the two check symbols name; `symbols` counts data and check symbols.

    A syndrome is the remainder r1 x + r0 of the received word, r0 in its low bits. `logs` are the field's
    logarithms, -1 for zero; `alpha_log[r1]` is the product of r1 and the field's generator.
    """
    size = len(logs)
    width = 1 if size == 256 else 2
    for word in range(data.shape[0]):
        syndrome = syndromes[word]
        if syndrome == 0:
            status[word] = OK
            continue
        low, high = syndrome % size, syndrome // size
        value = low ^ high
        second = low ^ alpha_log[high]
        status[word] = DETECTED
        if value == 0 or second == 0:
            continue
        position = (logs[second] - logs[value]) % (size - 1)
        if position >= symbols:
            continue
        status[word] = CORRECTED
        for part in range(width):
            if position >= 2:
                data[word, (position - 2) * width + part] ^= np.uint8((value >> (8 * part)) & 0xFF)


@kernel
def _emit(out: Integers, count: int, burst: int, is_write: int, is_ecc: int, owner: int) -> int:
    """Append a burst to `out` when it has room for any; return the new count."""
    if out.shape[0]:
        out[count, 0] = burst
        out[count, 1] = is_write
        out[count, 2] = is_ecc
        out[count, 3] = owner
    return count + 1


@kernel
def _evict(out: Integers, count: int, lines: Integers, slot: int, owner: int) -> int:
    """Write an ECC burst back if it changed, reading it first where not all of its check bits are known."""
    block, known, dirty = lines[slot, 0], lines[slot, 1], lines[slot, 2]
    if dirty:
        place = block * (DATA_BURSTS + 1) + DATA_BURSTS
        if known != (1 << DATA_BURSTS) - 1:
            count = _emit(out, count, place, 0, 1, owner)
        count = _emit(out, count, place, 1, 1, owner)
    return count


@kernel
def _line_of(out: Integers, count: int, lines: Integers, block: int, now: int) -> tuple[int, int]:
    """Return the slot of `block`, evicting the line that was not used for the longest time, and the count."""
    oldest = 0
    for slot in range(lines.shape[0]):
        if lines[slot, 0] == block:
            return slot, count
        if lines[slot, 3] < lines[oldest, 3]:
            oldest = slot
    if lines[oldest, 0] >= 0:
        count = _evict(out, count, lines, oldest, now)
    lines[oldest, 0] = block
    lines[oldest, 1] = 0
    lines[oldest, 2] = 0
    return oldest, count


@kernel
def inline_bursts(
    bursts: Integers,
    caches: Integers,
    writes: NDArray[np.bool_],
    partial: NDArray[np.bool_],
    lines: Integers,
    out: Integers,
) -> int:
    """Expand data bursts to those that in-line ECC sends; return how many (with an empty `out`: only count).

    `lines` [caches, lines, 4] is the state of each channel's cache of ECC bursts: block (-1: none), mask of
    known check bits, dirty, last use (-1: never). `out` gets burst, write, ECC, owner.
    """
    count = 0
    everything = (1 << DATA_BURSTS) - 1
    for index in range(len(bursts)):
        block, place = bursts[index] // DATA_BURSTS, bursts[index] % DATA_BURSTS
        data = block * (DATA_BURSTS + 1) + place
        cache = lines[caches[index]]
        slot, count = _line_of(out, count, cache, block, index)
        cache[slot, 3] = index
        reads = not writes[index] or partial[index]
        if reads:
            count = _emit(out, count, data, 0, 0, index)
            if not cache[slot, 1] >> place & 1:
                count = _emit(out, count, data - place + DATA_BURSTS, 0, 1, index)
                cache[slot, 1] = everything
        if writes[index]:
            count = _emit(out, count, data, 1, 0, index)
            cache[slot, 1] |= 1 << place
            cache[slot, 2] = 1
    for number in range(lines.shape[0]):
        for slot in range(lines.shape[1]):
            if lines[number, slot, 0] >= 0:
                count = _evict(out, count, lines[number], slot, lines[number, slot, 3])
    return count
