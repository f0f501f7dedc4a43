"""Error-correcting codes by their properties, exhaustively: errors of one to four bits, and of symbols."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest

from hanok.dram.codes import (
    PRIMITIVE,
    Code,
    Outcomes,
    WordStatus,
    error_counts,
    hamming,
    hsiao,
    outcome_probabilities,
    reed_solomon,
    weight_distribution,
)
from hanok.errors import ChipError

SEC = hamming(128, 8)
SECDED = (hsiao(64, 8), hsiao(96, 8), hsiao(256, 16), hsiao(96, 8).shortened(64))
SYMBOL = (reed_solomon(8, 8), reed_solomon(17, 16), reed_solomon(17, 16).shortened(256))
CODES = (SEC, SEC.shortened(64), *SECDED, *SYMBOL)

by_name = pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)


def words_of(code: Code, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    data = np.random.default_rng(seed).integers(0, 256, (count, code.data_bits // 8), np.uint8)
    return data, code.encode(data)


def decode_errors(code: Code, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode a random word under each error [patterns, bits of 0 and 1]: status, and whether it is wrong."""
    data, check = words_of(code, len(errors))
    flips = np.packbits(errors, axis=1, bitorder="little")
    width = code.data_bits // 8
    read, status = code.decode(data ^ flips[:, :width], check ^ flips[:, width:])
    return status, (read != data).any(axis=1)


def bit_errors(code: Code, wrong: int) -> np.ndarray:
    """Every pattern of so many wrong bits."""
    places = np.array(list(combinations(range(code.bits), wrong)))
    errors = np.zeros((len(places), code.bits), np.uint8)
    np.put_along_axis(errors, places, 1, axis=1)
    return errors


def outcomes(status: np.ndarray, wrong: np.ndarray) -> Outcomes:
    corrected = status == WordStatus.CORRECTED
    return Outcomes(
        ok=0,
        corrected=int((corrected & ~wrong).sum()),
        detected=int((status == WordStatus.DETECTED).sum()),
        miscorrected=int((corrected & wrong).sum()),
        undetected=int(((status == WordStatus.OK) & wrong).sum()),
    )


@by_name
def test_words_without_errors_are_taken_as_they_are(code: Code) -> None:
    data, check = words_of(code, 1000)
    read, status = code.decode(data, check)
    assert (read == data).all()
    assert (status == WordStatus.OK).all()


@by_name
def test_the_codes_are_linear(code: Code) -> None:
    first, second = words_of(code, 200, 1)[0], words_of(code, 200, 2)[0]
    assert (code.encode(first ^ second) == code.encode(first) ^ code.encode(second)).all()


@by_name
def test_every_single_bit_error_is_corrected(code: Code) -> None:
    errors = bit_errors(code, 1)
    status, wrong = decode_errors(code, errors)
    assert (status == WordStatus.CORRECTED).all()
    assert not wrong.any()
    assert len(errors) == code.bits


@pytest.mark.parametrize("code", SECDED, ids=lambda code: code.name)
def test_secded_detects_every_double_error(code: Code) -> None:
    status, _ = decode_errors(code, bit_errors(code, 2))
    assert (status == WordStatus.DETECTED).all()
    assert len(status) == comb(code.bits, 2)


def test_hamming_check_bits_are_the_sum_of_the_positions() -> None:
    # Hamming's own rule: the data stand at the positions that are no powers of two, from 3.
    positions = [place for place in range(1, 137) if place & (place - 1)]
    data, check = words_of(SEC, 50)
    for word, found in zip(np.unpackbits(data, axis=1, bitorder="little"), check[:, 0], strict=True):
        expected = 0
        for bit, position in zip(word, positions, strict=True):
            expected ^= position * int(bit)
        assert found == expected


def test_sec_miscorrects_as_many_double_errors_as_its_columns_say() -> None:
    # Its columns are 1..136: a double error looks like a single one where the XOR of two is again in 1..136.
    expected = sum(1 <= first ^ second <= 136 for first, second in combinations(range(1, 137), 2))
    counted = error_counts(SEC, 2)
    assert counted.miscorrected == expected == 8109
    assert counted.detected == comb(136, 2) - expected
    assert outcomes(*decode_errors(SEC, bit_errors(SEC, 2))) == counted


def test_hsiao_72_64_has_the_published_matrix_weights() -> None:
    # Hsiao 1970: 8 columns of weight 1, all 56 of weight 3, 8 of weight 5; 216 ones, 27 in each row.
    code = hsiao(64, 8)
    weights = np.bitwise_count(code.columns)
    assert np.bincount(weights).tolist() == [0, 0, 0, 56, 0, 8]
    rows = [int((code.columns >> row & 1).sum()) + 1 for row in range(8)]
    assert rows == [27] * 8


@pytest.mark.parametrize("code", SECDED[:3], ids=lambda code: code.name)
def test_hsiao_columns_are_odd_different_and_even_over_the_rows(code: Code) -> None:
    assert len(set(code.columns.tolist())) == code.data_bits
    weights = np.bitwise_count(code.columns)
    assert (weights % 2 == 1).all()
    lighter = sum(comb(code.check_bits, weight) for weight in range(3, int(weights.max()), 2))
    assert lighter < code.data_bits, "columns of the greatest weight are needed"
    rows = [int((code.columns >> row & 1).sum()) for row in range(code.check_bits)]
    assert max(rows) - min(rows) <= 2


def test_hsiao_triple_and_quadruple_errors_end_as_counted() -> None:
    code = hsiao(64, 8)
    triple = error_counts(code, 3)
    assert outcomes(*decode_errors(code, bit_errors(code, 3))) == triple
    assert triple.miscorrected / comb(72, 3) == pytest.approx(0.5628, abs=1e-4)
    assert outcomes(*decode_errors(code, bit_errors(code, 4))) == error_counts(code, 4)


@pytest.mark.parametrize("code", [hamming(16, 8), hsiao(16, 8), hsiao(16, 16)], ids=lambda code: code.name)
def test_weights_of_all_words_of_a_small_code(code: Code) -> None:
    data = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
    weights = np.bitwise_count(np.concatenate([data, code.encode(data)], axis=1)).sum(axis=1)
    assert np.bincount(weights, minlength=code.bits + 1).tolist() == list(weight_distribution(code))


def multiply(first: int, second: int, bits: int) -> int:
    """Multiply in GF(2^bits), bit by bit."""
    product = 0
    while second:
        product ^= first if second & 1 else 0
        first <<= 1
        first ^= PRIMITIVE[bits] if first >> bits else 0
        second >>= 1
    return product


@pytest.mark.parametrize("code", SYMBOL, ids=lambda code: code.name)
def test_reed_solomon_words_have_the_generators_roots(code: Code) -> None:
    bits = code.symbol_bits
    data, check = words_of(code, 20)
    for word, ends in zip(data.view(f"<u{bits // 8}"), check.view(f"<u{bits // 8}"), strict=True):
        symbols = [int(symbol) for symbol in (*ends, *word)]
        for root in (1, 2):
            value, power = 0, 1
            for symbol in symbols:
                value ^= multiply(symbol, power, bits)
                power = multiply(power, root, bits)
            assert value == 0


@pytest.mark.parametrize("code", SYMBOL[:2], ids=lambda code: code.name)
def test_every_error_of_one_symbol_is_corrected(code: Code) -> None:
    width = code.symbol_bits // 8
    values = np.arange(1, 1 << code.symbol_bits).astype(f"<u{width}")
    data, check = words_of(code, len(values))
    for place in range(code.symbols):
        word = np.concatenate([data, check], axis=1).view(f"<u{width}")
        word[:, place] ^= values
        wrong = word.view(np.uint8)
        read, status = code.decode(wrong[:, : data.shape[1]], wrong[:, data.shape[1] :])
        assert (read == data).all()
        assert (status == WordStatus.CORRECTED).all()


def test_errors_of_two_symbols_end_as_counted() -> None:
    code = reed_solomon(8, 8)
    values = np.array(np.meshgrid(np.arange(1, 256), np.arange(1, 256))).reshape(2, -1).astype(np.uint8)
    total = Outcomes(0, 0, 0, 0, 0)
    for first, second in combinations(range(10), 2):
        errors = np.zeros((values.shape[1], 10), np.uint8)
        errors[:, first], errors[:, second] = values
        found = outcomes(*decode_errors(code, np.unpackbits(errors, axis=1, bitorder="little")))
        total = Outcomes(*(a + b for a, b in zip(vars(total).values(), vars(found).values(), strict=True)))
    assert total == error_counts(code, 2)
    # A second wrong symbol leads to one of the n - 2 others out of q - 1 places.
    assert total.miscorrected * 255 == comb(10, 2) * 255**2 * 8


@by_name
def test_outcomes_are_shares_of_all_words(code: Code) -> None:
    for rate in (0.0, 1e-9, 1e-3, 0.3, 1.0):
        shares = outcome_probabilities(code, rate)
        assert sum(vars(shares).values()) == pytest.approx(1, abs=1e-9)
    assert outcome_probabilities(code, 0.0).ok == 1


def test_rare_errors_are_counted_without_cancellation() -> None:
    rate = 1e-9
    shares = outcome_probabilities(SEC, rate)
    assert shares.miscorrected == pytest.approx(8109 * rate**2, rel=1e-5)
    assert shares.silent == pytest.approx(shares.miscorrected, rel=1e-5)
    assert outcome_probabilities(hsiao(64, 8), rate).detected == pytest.approx(
        comb(72, 2) * rate**2, rel=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hamming(256, 8), r"Hamming code: 256 data bits; allowed: multiples of 8 up to 247"),
        (lambda: hamming(64, 7), r"Hamming code: 7 check bits; allowed: 8 or 16"),
        (lambda: hsiao(128, 8), r"Hsiao code: 128 data bits; allowed: multiples of 8 up to 120"),
        (lambda: hsiao(63, 8), r"63 data bits; allowed: multiples of 8"),
        (lambda: hsiao(64, 9), r"Hsiao code: 9 check bits"),
        (lambda: reed_solomon(8, 4), r"symbols of 4 bits; allowed: 8 or 16"),
        (lambda: reed_solomon(254, 8), r"254 data symbols; allowed: 1\.\.253"),
        (lambda: SEC.shortened(136), r"shortened: 136 data bits; allowed: multiples of 8 up to 128"),
        (
            lambda: SEC.encode(np.zeros((2, 15), np.uint8)),
            r"data are uint8 \[2, 15\]; allowed: uint8 \[words, 16\]",
        ),
        (lambda: SEC.encode(np.zeros((2, 16), np.int8)), r"data are int8 \[2, 16\]"),
        (
            lambda: SEC.decode(np.zeros((2, 16), np.uint8), np.zeros((2, 2), np.uint8)),
            r"check bits are uint8 \[2, 2\]; allowed: uint8 \[words, 1\]",
        ),
        (
            lambda: SEC.decode(np.zeros((2, 16), np.uint8), np.zeros((3, 1), np.uint8)),
            r"2 words of data and 3 of check bits; must be equal",
        ),
        (lambda: outcome_probabilities(SEC, 1.5), r"bit-error rate is 1\.5; allowed: 0\.\.1"),
        (lambda: error_counts(SEC, 137), r"137 wrong of 136; allowed: 0\.\.136"),
    ],
)
def test_what_cannot_be_coded_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ChipError, match=message):
        make()
