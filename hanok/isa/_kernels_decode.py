"""Numba kernels that unpack an instruction stream: check and count it, then replay it into records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import kernel

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

FORMAT, RECORD_WORDS, BODY_WORDS, BITMAP_WORDS, REGISTER = range(5)
"""Columns of hanok.isa._packed.KERNEL_TABLE."""
NO_FAULT, ILLEGAL_OPCODE, CUT_SHORT, NO_SUCH_WORD, NO_SUCH_BIT = range(5)


@kernel
def count_instructions(words: Words, table: Ints, counts: Ints) -> tuple[int, int]:
    """Count the instructions of each format; return the first fault and the word where its instruction is."""
    position, total = 0, len(words)
    while position < total:
        layout = table[words[position] & 0xFF]
        if layout[FORMAT] < 0:
            return ILLEGAL_OPCODE, position
        end = position + 1 + layout[BITMAP_WORDS]
        if end > total:
            return CUT_SHORT, position
        for number in range(layout[BITMAP_WORDS]):
            bits = np.int64(words[position + 1 + number])
            if bits >> max(0, min(32, layout[BODY_WORDS] - 32 * number)):
                return NO_SUCH_WORD, position
            while bits:
                bits &= bits - 1
                end += 1
        if end > total:
            return CUT_SHORT, position
        counts[layout[FORMAT]] += 1
        position = end
    return NO_FAULT, position


@kernel
def replay(
    words: Words, table: Ints, used_bits: Words, first: Ints, offset: Ints, row: Ints, out: Words
) -> tuple[int, int]:
    """Write the record of every instruction of a stream that `count_instructions` found no fault in.

    `first` is the word of `out`, all zero, where the records of each format begin. Also give each
    instruction's word in the stream and the row of its record. Return the first fault and its place.
    """
    last = np.full(table.shape[0], -1, np.int64)
    rows = np.zeros(len(first), np.int64)
    position = 0
    for index in range(len(offset)):
        offset[index] = position
        head = np.int64(words[position])
        layout = table[head & 0xFF]
        number = layout[FORMAT]
        row[index] = rows[number]
        record = first[number] + rows[number] * layout[RECORD_WORDS]
        rows[number] += 1
        before = last[layout[REGISTER]]
        last[layout[REGISTER]] = record
        if before >= 0 and not head >> 31:
            for word in range(1, 1 + layout[BODY_WORDS]):
                out[record + word] = out[before + word]
        out[record] = head & 0x7FFFFFFF
        body = position + 1 + layout[BITMAP_WORDS]
        for word in range(layout[BODY_WORDS]):
            if not words[position + 1 + (word >> 5)] >> (word & 31) & 1:
                continue
            if np.int64(words[body]) & ~np.int64(used_bits[number, word]):
                return NO_SUCH_BIT, position
            out[record + 1 + word] = words[body]
            body += 1
        position = body
    return NO_FAULT, position
