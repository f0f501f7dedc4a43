"""The Numba kernel that reads request traces: bytes of text in, operations, addresses and cycles out."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.numerics._kernels_compile import kernel

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

RAMULATOR, DRAMSIM3 = range(2)
"""Forms: an operation and its place; an address, an operation and a cycle."""

GOOD, SHAPE, NO_NUMBER, TOO_LARGE, BEYOND, LENGTH, COMPONENT, LONG, LATE = range(9)
"""What is wrong with a line."""

S_LINE, S_COUNT, S_BAD, S_SKIPPING, S_STOPPED, S_SIZE = range(6)
"""Elements of the reader's state: lines done, requests of this call, bad lines, inside a line that was too
long, stopped at a bad line."""

B_LINE, B_CODE, B_START, B_END, B_FIELD, B_VALUE, B_SIZE = range(7)
"""Columns of the table of bad lines: where the line is in the text, and what was found."""

V_ADDRESS, V_CYCLE, V_FIELD, V_FOUND, V_SIZE = range(5)
"""What a line says."""

FIELDS = 7
_MOST = 1 << 62
_READ, _WRITE, _NEITHER = 0, 1, 2


def _packed(word: str) -> int:
    return int.from_bytes(word.encode(), "big")


_R, _W = _packed("R"), _packed("W")
_LOADS = (_packed("LD"), 0, 0)
_STORES = (_packed("ST"), 0, 0)
_READS = (_packed("READ"), _packed("P_MEM_RD"), _packed("P_FETCH"))
_WRITES = (_packed("WRITE"), _packed("P_MEM_WR"), _packed("BOFF"))
"""As DRAMsim3 takes them; it takes any other word for a read."""


@kernel
def _word(text: Bytes, start: int, end: int) -> int:
    """Pack up to eight letters, as capitals, into a number; -1 for anything longer."""
    if end - start > 8:
        return -1
    value: Any = np.int64(0)
    for position in range(start, end):
        letter = np.int64(text[position])
        value = value << 8 | (letter - 32 if 97 <= letter <= 122 else letter)
    return value


@kernel
def _number(text: Bytes, start: int, end: int, radix: int) -> int:
    """Return a number, hexadecimal after '0x'; -1 where it is none, -2 where it does not fit."""
    if end - start > 2 and text[start] == 48 and text[start + 1] | 32 == 120:
        radix, start = 16, start + 2
    if start == end:
        return -1
    value: Any = np.int64(0)
    for position in range(start, end):
        letter = np.int64(text[position])
        digit = letter - 48
        if digit < 0 or digit > 9:
            digit = (letter | 32) - 87
            if digit < 10 or digit > 15:
                return -1
        if digit >= radix:
            return -1
        if value > _MOST // 16:
            return -2
        value = value * radix + digit
    return value


@kernel
def _vector(
    text: Bytes, start: int, end: int, orders: Ints, sizes: Ints, address_bits: Ints, values: Ints
) -> int:
    """Read 'channel,...,row,column' as an address; return what is wrong with it."""
    count = 1
    for position in range(start, end):
        if text[position] == 44:
            count += 1
    if count > FIELDS or orders[count, 0] < 0:
        values[V_FOUND] = count
        return LENGTH
    address, index, first = 0, 0, start
    for position in range(start, end + 1):
        if position < end and text[position] != 44:
            continue
        value, field = _number(text, first, position, 10), orders[count, index]
        if value == -1:
            return NO_NUMBER
        if value < 0 or value >= sizes[field]:
            values[V_FIELD], values[V_FOUND] = field, value
            return COMPONENT
        bit = 0
        while value >> bit:
            if value >> bit & 1:
                address ^= address_bits[field, bit]
            bit += 1
        index, first = index + 1, position + 1
    values[V_ADDRESS] = address
    return GOOD


@kernel
def _request(
    text: Bytes,
    form: int,
    words: Ints,
    limits: Ints,
    orders: Ints,
    sizes: Ints,
    address_bits: Ints,
    values: Ints,
) -> tuple[int, int]:
    """Read the words of one line; return its operation and what is wrong with it."""
    timed = form == DRAMSIM3
    place = 0 if timed else 1
    code = _word(text, words[1 - place, 0], words[1 - place, 1])
    if not timed and code in (_R, _W):
        wrong = _vector(text, words[1, 0], words[1, 1], orders, sizes, address_bits, values)
        return (_WRITE if code == _W else _READ), wrong
    if code in (_READS if timed else _LOADS):
        operation = _READ
    elif code in (_WRITES if timed else _STORES):
        operation = _WRITE
    else:
        return _NEITHER, SHAPE
    address = _number(text, words[place, 0], words[place, 1], 16 if timed else 10)
    values[V_ADDRESS] = address
    if address < 0:
        return operation, NO_NUMBER if address == -1 else TOO_LARGE
    if address >= limits[0]:
        return operation, BEYOND
    if timed:
        cycle = _number(text, words[2, 0], words[2, 1], 10)
        values[V_CYCLE] = cycle
        if cycle == -1:
            return operation, NO_NUMBER
        if cycle < 0 or cycle > limits[1]:
            return operation, LATE
    return operation, GOOD


@kernel
def _split(text: Bytes, start: int, end: int, words: Ints) -> int:
    """Find the words of a line; return how many there are, of which `words` gets the first ones."""
    count, position = 0, start
    while position < end:
        if text[position] <= 32:
            position += 1
            continue
        first = position
        while position < end and text[position] > 32:
            position += 1
        if count < len(words):
            words[count, 0], words[count, 1] = first, position
        count += 1
    return count


@kernel
def _note(bad: Ints, state: Ints, wrong: int, start: int, end: int, values: Ints) -> None:
    """Count a bad line, and keep it while there is room."""
    if state[S_BAD] < len(bad):
        row = bad[state[S_BAD]]
        row[B_LINE], row[B_CODE], row[B_START], row[B_END] = state[S_LINE], wrong, start, end
        row[B_FIELD], row[B_VALUE] = values[V_FIELD], values[V_FOUND]
        if wrong == BEYOND:
            row[B_VALUE] = values[V_ADDRESS]
    state[S_BAD] += 1


@kernel
def read_lines(
    text: Bytes,
    form: int,
    skip_bad: bool,
    last: bool,
    longest: int,
    limits: Ints,
    orders: Ints,
    sizes: Ints,
    address_bits: Ints,
    state: Ints,
    writes: npt.NDArray[np.bool_],
    addresses: Ints,
    cycles: Ints,
    bad: Ints,
) -> int:
    """Read the whole lines of `text`, and its last one too where `last`; return how many bytes are done.

    `limits` are the bytes of the memory and the largest cycle, `orders[n]` the fields of a vector of n
    numbers, `address_bits[field, bit]` what a bit of a field adds (exclusive or) to an address. Blank lines
    and those that begin with '#' are passed over.
    """
    words, values = np.zeros((3, 2), np.int64), np.zeros(V_SIZE, np.int64)
    state[S_COUNT] = 0
    start, total = 0, len(text)
    while start < total:
        end = start
        while end < total and text[end] != 10:
            end += 1
        whole = end < total or last
        if not whole and end - start <= longest and not state[S_SKIPPING]:
            return start
        following = min(end + 1, total)
        if state[S_SKIPPING]:
            state[S_SKIPPING] = not whole
            start = following
            continue
        state[S_LINE] += 1
        wrong, operation = GOOD, _NEITHER
        values[:] = 0
        if end - start > longest:
            wrong = LONG
            state[S_SKIPPING] = not whole
        else:
            count = _split(text, start, end, words)
            if count and text[words[0, 0]] != 35:
                wrong = SHAPE
                if count == (3 if form == DRAMSIM3 else 2):
                    operation, wrong = _request(
                        text, form, words, limits, orders, sizes, address_bits, values
                    )
        if wrong != GOOD:
            _note(bad, state, wrong, start, end, values)
            if not skip_bad:
                state[S_STOPPED] = 1
                return start
        elif operation != _NEITHER:
            index = state[S_COUNT]
            writes[index], addresses[index] = operation == _WRITE, values[V_ADDRESS]
            cycles[index] = values[V_CYCLE]
            state[S_COUNT] += 1
        start = following
    return total
