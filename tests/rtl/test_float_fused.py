"""FloatFusedMultiplyAdd against three oracles: double rounding to odd, whole integers, hanok.numerics."""

from collections.abc import Iterator

import numpy as np
import pytest
from float_operands import (
    CORNERS,
    FEW_CORNERS,
    SIGN,
    Bits,
    Pipelined,
    any_bits,
    beside,
    canonical_bits,
    check,
    combinations,
    floats,
    in_parts,
    near_exponents,
)

from hanok.numerics.fused import fused_multiply_add
from hanok.rtl.float_fused import FloatFusedMultiplyAdd

LEAST_EXPONENT = -149


def by_rounding_to_odd(a: Bits, b: Bits, c: Bits) -> Bits:
    """The product is exact in float64; its sum is made odd where it is not exact, so float32 rounds once."""
    with np.errstate(all="ignore"):
        product = floats(a).astype(np.float64) * floats(b).astype(np.float64)
        addend = floats(c).astype(np.float64)
        total = product + addend
        back = total - product
        error = (product - (total - back)) + (addend - back)
        word = total.view(np.int64)
        grows = (error > 0) == (total > 0)
        odd = np.where(word & 1, word, np.where(grows, word + 1, word - 1)).view(np.float64)
        inexact = np.isfinite(total) & (error != 0)
        return canonical_bits(np.where(inexact, odd, total).astype(np.float32))


def by_integers(a: int, b: int, c: int) -> int:
    """Finite numbers as multiples of 2 ** -298: the sum of integers, rounded half to even by hand."""
    first, second, addend = (_scaled(bits) for bits in (a, b, c))
    total = first * second + (addend << -LEAST_EXPONENT)
    if total == 0:
        return (a ^ b) & c & SIGN
    sign, size = (SIGN if total < 0 else 0), abs(total)
    drop = max(-LEAST_EXPONENT, size.bit_length() - 24)
    quotient, rest = divmod(size, 1 << drop)
    quotient += rest * 2 > 1 << drop or (rest * 2 == 1 << drop and quotient & 1)
    field = drop + LEAST_EXPONENT
    return sign | min((field << 23) + quotient, 0x7F800000)


def _scaled(bits: int) -> int:
    field, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    size = fraction if field == 0 else (fraction | 1 << 23) << (field - 1)
    return -size if bits & SIGN else size


def random_triples(seed: int, total: int) -> Iterator[tuple[Bits, Bits, Bits]]:
    """An eighth each: any bits, sums that cancel or nearly do, far apart, subnormal, large, ties."""
    random = np.random.default_rng(seed)
    for count in in_parts(total // 8):
        yield any_bits(random, count), any_bits(random, count), any_bits(random, count)
        ranges = (
            ((120, 130), (120, 130), (115, 135)),
            ((110, 140), (110, 140), (80, 170)),
            ((0, 2), (120, 160), (0, 40)),
            ((40, 70), (40, 70), (0, 3)),
            ((180, 195), (180, 195), (225, 254)),
            ((0, 2), (225, 254), (70, 140)),
        )
        for limits in ranges:
            a, b, c = (near_exponents(random, count, *limit) for limit in limits)
            yield a, b, c
        a, b = any_bits(random, count), near_exponents(random, count, 100, 150)
        with np.errstate(all="ignore"):
            product = canonical_bits(-(floats(a) * floats(b)))
        yield a, b, beside(random, product)


@pytest.mark.parametrize("latency", [0, 1, 3, 5, 6, 11, 13])
def test_all_triples_of_few_corners(latency: int) -> None:
    unit = Pipelined(FloatFusedMultiplyAdd(latency))
    values = FEW_CORNERS[:: 1 if latency == 5 else 3]
    a, b, c = combinations(values, 3)
    check(by_rounding_to_odd(a, b, c), unit(a=a, b=b, c=c), a, b, c)
    for a, b, c in random_triples(latency, 80_000):
        check(by_rounding_to_odd(a, b, c), unit(a=a, b=b, c=c), a, b, c)


def test_all_pairs_of_corners_with_an_addend() -> None:
    random, unit = np.random.default_rng(4), Pipelined(FloatFusedMultiplyAdd())
    a, b = combinations(CORNERS, 2)
    for c in (random.choice(CORNERS, len(a)), a, b ^ np.uint32(SIGN), a * np.uint32(0)):
        check(by_rounding_to_odd(a, b, c), unit(a=a, b=b, c=c), a, b, c)


def test_random_triples() -> None:
    unit = Pipelined(FloatFusedMultiplyAdd())
    for a, b, c in random_triples(1, 1_200_000):
        check(by_rounding_to_odd(a, b, c), unit(a=a, b=b, c=c), a, b, c)


@pytest.mark.slow
def test_many_random_triples() -> None:
    unit = Pipelined(FloatFusedMultiplyAdd())
    for a, b, c in random_triples(2, 24_000_000):
        check(by_rounding_to_odd(a, b, c), unit(a=a, b=b, c=c), a, b, c)


def test_exact_integers() -> None:
    unit = Pipelined(FloatFusedMultiplyAdd())
    for a, b, c in random_triples(3, 40_000):
        finite = np.all([(bits >> np.uint32(23) & np.uint32(255)) != 255 for bits in (a, b, c)], axis=0)
        a, b, c = a[finite], b[finite], c[finite]
        triples = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
        expected = np.array([by_integers(*triple) for triple in triples], np.uint32)
        check(expected, unit(a=a, b=b, c=c), a, b, c)


def test_the_emulators_multiply_add() -> None:
    unit = Pipelined(FloatFusedMultiplyAdd())
    random = np.random.default_rng(6)
    for factor in random.choice(CORNERS, 12):
        a, c = near_exponents(random, 800, 0, 255), near_exponents(random, 800, 0, 255)
        a[:400], c[200:600] = random.choice(CORNERS, 400), random.choice(CORNERS, 400)
        b = np.full(len(a), factor, np.uint32)
        with np.errstate(all="ignore"):
            expected = canonical_bits(fused_multiply_add(floats(a), floats(b)[0], floats(c)))
        check(expected, unit(a=a, b=b, c=c), a, b, c)
