"""Error-correcting codes of DRAM, exact to the bit: Hamming SEC, Hsiao SECDED, Reed-Solomon on symbols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, cached_property
from itertools import combinations
from math import comb, exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from hanok.dram._kernels_ecc import decode_bits, decode_symbols, encode_words
from hanok.errors import ChipError

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

PRIMITIVE = {8: 0x11D, 16: 0x1100B}
"""Primitive polynomials of GF(2^8) and GF(2^16): x^8+x^4+x^3+x^2+1 and x^16+x^12+x^3+x+1."""


class WordStatus(IntEnum):
    """What a decoder says of a word; that it was wrong in saying so, it cannot know."""

    OK = 0
    CORRECTED = 1
    DETECTED = 2
    """An error that it cannot correct; the data are passed on as they were read."""


@dataclass(frozen=True, eq=False)
class Code:
    """A linear code with a decoder of radius one: it corrects one wrong bit, or one wrong symbol.

    Bit b of a word is bit b % 8 of byte b // 8; the check bits follow the data bits.
    """

    name: str
    data_bits: int
    check_bits: int
    symbol_bits: int
    """1: the code corrects bits. 8 or 16: Reed-Solomon symbols."""
    distance: int
    """Smallest number of bits (symbols) in which two code words differ."""
    columns: Integers
    """[data_bits]: the check bits that each data bit flips."""

    @property
    def bits(self) -> int:
        """Of a word, data and check."""
        return self.data_bits + self.check_bits

    @property
    def symbols(self) -> int:
        """Of a word, data and check; bits for a code on bits."""
        return self.bits // self.symbol_bits

    def shortened(self, data_bits: int) -> Code:
        """Return the code on the first `data_bits` data bits, where the others are known to be zero."""
        if data_bits == self.data_bits:
            return self
        _check_width(f"{self.name} shortened", data_bits, self.data_bits, max(8, self.symbol_bits))
        name = f"({data_bits + self.check_bits},{data_bits}) of {self.name}"
        return replace(self, name=name, data_bits=data_bits, columns=self.columns[:data_bits])

    def encode(self, data: Bytes) -> Bytes:
        """Return the check bits [words, check_bits / 8] of `data` [words, data_bits / 8], both uint8.

        Raises ChipError for arrays of another shape or type.
        """
        self._check_array("data", data, self.data_bits)
        check = encode_words(np.ascontiguousarray(data), self._table)
        return np.ascontiguousarray(
            check.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self.check_bits // 8]
        )

    def decode(self, data: Bytes, check: Bytes) -> tuple[Bytes, Bytes]:
        """Return the data after correction, and a WordStatus for each word (uint8).

        Raises ChipError for arrays of another shape or type.
        """
        self._check_array("data", data, self.data_bits)
        self._check_array("check bits", check, self.check_bits)
        if len(data) != len(check):
            raise ChipError(
                f"{self.name}: {len(data)} words of data and {len(check)} of check bits; must be equal"
            )
        wide = np.zeros((len(data), 8), np.uint8)
        wide[:, : self.check_bits // 8] = check
        syndromes = encode_words(np.ascontiguousarray(data), self._table) ^ wide.view("<i8").reshape(-1)
        fixed, status = data.copy(order="C"), np.zeros(len(data), np.uint8)
        if self.symbol_bits == 1:
            decode_bits(fixed, syndromes, self._positions, status)
        else:
            exponents, logs = field_tables(self.symbol_bits)
            times_alpha = np.where(logs < 0, 0, exponents[(logs + 1) % (len(logs) - 1)])
            decode_symbols(fixed, syndromes, logs, times_alpha, self.symbols, status)
        return fixed, status

    def _check_array(self, what: str, found: Bytes, bits: int) -> None:
        if found.dtype != np.uint8 or found.ndim != 2 or found.shape[1] * 8 != bits:
            raise ChipError(
                f"{self.name}: {what} are {found.dtype} {list(found.shape)}; "
                f"allowed: uint8 [words, {bits // 8}]"
            )

    @cached_property
    def _table(self) -> Integers:
        """[data bytes, 256]: the check bits of each value of each byte."""
        by_bit = self.columns.reshape(-1, 8)
        table = np.zeros((len(by_bit), 256), np.int64)
        for bit in range(8):
            with_bit = np.arange(256) >> bit & 1
            table ^= by_bit[:, bit : bit + 1] * with_bit
        return table

    @cached_property
    def _positions(self) -> Integers:
        """Which bit of the word each syndrome stands for; -1: none."""
        positions = np.full(1 << self.check_bits, -1, np.int64)
        positions[self.columns] = np.arange(self.data_bits)
        positions[1 << np.arange(self.check_bits)] = np.arange(self.data_bits, self.bits)
        return positions


@cache
def hamming(data_bits: int, check_bits: int) -> Code:
    """Return a single-error-correcting Hamming code: the columns are 3, 5, 6, 7, 9..., no powers of two.

    (136,128) is the size of the on-die codes of DDR5 (JESD79-5); which columns a vendor takes is not public.
    Raises ChipError for more data bits than 2^check_bits - check_bits - 1 (Hamming 1950).
    """
    _check_check_bits("Hamming code", check_bits)
    _check_width("Hamming code", data_bits, (1 << check_bits) - check_bits - 1, 8)
    numbers = np.arange(1 << check_bits, dtype=np.int64)
    columns = numbers[(numbers & (numbers - 1)) != 0][:data_bits]
    return Code(f"({data_bits + check_bits},{data_bits}) Hamming SEC", data_bits, check_bits, 1, 3, columns)


@cache
def hsiao(data_bits: int, check_bits: int) -> Code:
    """Return a SECDED code of minimum odd-weight columns (M. Y. Hsiao, IBM J. Res. Dev. 14, 1970).

    Columns of weight 3 are used up before those of weight 5 and so on; of the last weight those are taken,
    one after the other, that leave the rows of the parity-check matrix most even (ties: the smallest). Raises
    ChipError for more data bits than 2^(check_bits - 1) - check_bits.
    """
    _check_check_bits("Hsiao code", check_bits)
    _check_width("Hsiao code", data_bits, (1 << check_bits - 1) - check_bits, 8)
    columns: list[int] = []
    weight = 3
    while len(columns) < data_bits:
        rows = np.array(list(combinations(range(check_bits), weight)))
        values = np.sort((1 << rows).sum(axis=1))
        columns += _most_even(values, min(len(values), data_bits - len(columns)), columns, check_bits)
        weight += 2
    name = f"({data_bits + check_bits},{data_bits}) Hsiao SECDED"
    return Code(name, data_bits, check_bits, 1, 4, np.array(columns, np.int64))


def _most_even(values: Integers, count: int, before: list[int], check_bits: int) -> list[int]:
    """Return `count` of `values` that, with those `before`, load the rows evenly."""
    if count == len(values):
        return [int(value) for value in values]
    rows = np.arange(check_bits)
    has_row = values[:, None] >> rows & 1
    load = (np.array(before, np.int64)[:, None] >> rows & 1).sum(axis=0)
    free = np.ones(len(values), bool)
    for _ in range(count):
        cost = np.where(free, has_row @ load, np.iinfo(np.int64).max)
        best = int(np.argmin(cost))
        free[best] = False
        load = load + has_row[best]
    return [int(value) for value in values[~free]]


@cache
def reed_solomon(data_symbols: int, symbol_bits: int) -> Code:
    """Return a shortened Reed-Solomon code that corrects one symbol of 8 or 16 bits; two check symbols.

    Systematic, with the generator polynomial (x - 1)(x - alpha) over GF(2^symbol_bits) of PRIMITIVE; data
    symbol i is the coefficient of x^(i+2). Raises ChipError for another symbol, or for too many of them.
    """
    if symbol_bits not in PRIMITIVE:
        raise ChipError(f"Reed-Solomon code: symbols of {symbol_bits} bits; allowed: 8 or 16")
    most = (1 << symbol_bits) - 3
    if not 1 <= data_symbols <= most:
        raise ChipError(f"Reed-Solomon code: {data_symbols} data symbols; allowed: 1..{most}")
    exponents, logs = field_tables(symbol_bits)
    order = len(exponents)
    values = 1 << np.arange(symbol_bits, dtype=np.int64)
    columns = []
    for place in range(2, data_symbols + 2):
        # The remainder r1 x + r0 of v x^place has r0 + r1 = v and r0 + alpha r1 = v alpha^place.
        ratio = (logs[1 ^ exponents[place]] - logs[1 ^ exponents[1]]) % order
        high = exponents[(logs[values] + ratio) % order]
        columns.append(values ^ high | high << symbol_bits)
    name = f"RS({data_symbols + 2},{data_symbols}) over GF(2^{symbol_bits})"
    return Code(name, data_symbols * symbol_bits, 2 * symbol_bits, symbol_bits, 3, np.concatenate(columns))


@cache
def field_tables(symbol_bits: int) -> tuple[Integers, Integers]:
    """Return the powers [2^m - 1] of the generator of GF(2^m), and the logarithms [2^m] (-1 for zero)."""
    size = 1 << symbol_bits
    exponents, logs = np.zeros(size - 1, np.int64), np.full(size, -1, np.int64)
    element = 1
    for power in range(size - 1):
        exponents[power], logs[element] = element, power
        element <<= 1
        element ^= PRIMITIVE[symbol_bits] if element & size else 0
    return exponents, logs


@dataclass(frozen=True)
class Outcomes:
    """Shares of words, as numbers between 0 and 1, or counts of error patterns."""

    ok: float
    """No error."""
    corrected: float
    detected: float
    miscorrected: float
    """The decoder corrects, but to another code word."""
    undetected: float
    """The word is another code word."""

    @property
    def silent(self) -> float:
        """Wrong without a sign."""
        return self.miscorrected + self.undetected


@cache
def weight_distribution(code: Code) -> tuple[int, ...]:
    """Return how many code words have 0, 1, 2... bits (symbols) that are not zero, exactly.

    For codes on bits by MacWilliams' identity from the dual code, whose 2^check_bits words are counted one by
    one; for Reed-Solomon codes by the formula for maximum-distance-separable codes.
    """
    length = code.symbols
    if code.symbol_bits > 1:
        size = 1 << code.symbol_bits
        terms = (
            sum(
                (-1) ** step * comb(weight - 1, step) * size ** (weight - code.distance - step)
                for step in range(weight - code.distance + 1)
            )
            for weight in range(1, length + 1)
        )
        return (1, *(comb(length, weight) * (size - 1) * term for weight, term in enumerate(terms, 1)))
    checks = np.arange(1 << code.check_bits, dtype=np.int64)
    dual = np.bitwise_count(checks).astype(np.int64)
    for column in code.columns:
        dual += np.bitwise_count(checks & column) & 1
    totals = [0] * (length + 1)
    for weight, words in enumerate(np.bincount(dual, minlength=length + 1)):
        if words:
            for place, value in enumerate(_krawtchouk(length, weight)):
                totals[place] += int(words) * value
    return tuple(total >> code.check_bits for total in totals)


def _krawtchouk(length: int, weight: int) -> list[int]:
    """Return the coefficients of (1 - z)^weight (1 + z)^(length - weight)."""
    values = [1] + [0] * length
    for factor in range(length):
        sign = -1 if factor < weight else 1
        for place in range(factor + 1, 0, -1):
            values[place] += sign * values[place - 1]
    return values


@cache
def error_counts(code: Code, wrong: int) -> Outcomes:
    """Return how many patterns of `wrong` wrong bits (symbols, of any value) end in which way, exactly."""
    words = weight_distribution(code)
    length, size = code.symbols, 1 << code.symbol_bits
    if not 0 <= wrong <= length:
        raise ChipError(f"{code.name}: {wrong} wrong of {length}; allowed: 0..{length}")
    total = comb(length, wrong) * (size - 1) ** wrong
    if wrong <= 1:
        return Outcomes(float(wrong == 0), wrong * total, 0, 0, 0)
    # Around each code word of about that weight: those at distance one, by where they differ.
    near = words[wrong] * wrong * (size - 2) + words[wrong - 1] * (length - wrong + 1) * (size - 1)
    if wrong < length:
        near += words[wrong + 1] * (wrong + 1)
    return Outcomes(0, 0, total - near - words[wrong], near, words[wrong])


def outcome_probabilities(code: Code, rate: float) -> Outcomes:
    """Return the shares of words of each outcome when each bit is wrong with probability `rate` on its own.

    Binomial over the number of wrong bits. Exact for codes on bits; for codes on symbols, ok and corrected
    are exact, and the values of several wrong symbols are taken as uniformly random. Raises ChipError for a
    rate outside 0..1.
    """
    check_rate("bit-error rate", rate)
    symbol_rate = 1 - (1 - rate) ** code.symbol_bits
    if code.symbol_bits > 1 and rate < 1:
        symbol_rate = -np.expm1(code.symbol_bits * log1p(-rate))
    shares = dict.fromkeys(("ok", "corrected", "detected", "miscorrected", "undetected"), 0.0)
    for wrong in range(code.symbols + 1):
        chance = _binomial(code.symbols, wrong, float(symbol_rate))
        if chance == 0:
            continue
        counts = error_counts(code, wrong)
        total = comb(code.symbols, wrong) * ((1 << code.symbol_bits) - 1) ** wrong
        for name in shares:
            shares[name] += chance * (getattr(counts, name) / total)
    return Outcomes(**shares)


def _binomial(count: int, successes: int, rate: float) -> float:
    if rate in {0.0, 1.0}:
        return float(successes == count * rate)
    ways = lgamma(count + 1) - lgamma(successes + 1) - lgamma(count - successes + 1)
    return exp(ways + successes * log(rate) + (count - successes) * log1p(-rate))


def check_rate(what: str, rate: float) -> None:
    """Raise ChipError unless `rate` is a probability."""
    if not 0 <= rate <= 1:
        raise ChipError(f"{what} is {rate}; allowed: 0..1")


def _check_check_bits(what: str, check_bits: int) -> None:
    if check_bits not in {8, 16}:
        raise ChipError(f"{what}: {check_bits} check bits; allowed: 8 or 16")


def _check_width(what: str, data_bits: int, most: int, step: int) -> None:
    if not 0 < data_bits <= most or data_bits % step:
        raise ChipError(f"{what}: {data_bits} data bits; allowed: multiples of {step} up to {most}")
