"""fusedMultiplyAdd of IEEE 754 on float32, in exact integers: slow and right."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]

_PRECISION_BITS = 24
_LEAST_EXPONENT = -149
_OVERFLOW_EXPONENT = 128


def fused_multiply_add(
    first: Float32Array | np.float32, second: np.float32, addend: Float32Array | np.float32
) -> Float32Array:
    """first * second + addend, rounded once to float32, half to even.

    Shapes broadcast; the integers are computed once for each distinct pair of `first` and `addend`.
    """
    firsts, addends = np.broadcast_arrays(np.asarray(first, np.float32), np.asarray(addend, np.float32))
    words = np.ravel(firsts).view(np.uint32).astype(np.uint64) << np.uint64(32)
    pairs, place = np.unique(words | np.ravel(addends).view(np.uint32), return_inverse=True)
    halves = (pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF))
    numbers = zip(*(half.astype(np.uint32).view(np.float32).tolist() for half in halves), strict=True)
    results = [_rounded_once(factor, float(second), number) for factor, number in numbers]
    return np.array(results, np.float32)[place].reshape(firsts.shape)


def _rounded_once(first: float, second: float, addend: float) -> float:
    """The nearest float32 to first * second + addend, of float32 numbers."""
    product = first * second
    if product == 0.0 or not (math.isfinite(product) and math.isfinite(addend)):
        return product + addend
    exact = Fraction(first) * Fraction(second) + Fraction(addend)
    return nearest_float32(exact) if exact else 0.0


def nearest_float32(exact: Fraction) -> float:
    """The float32 nearest to a number that is not zero, half to even; an infinity past the largest."""
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    quantum = max(exponent - _PRECISION_BITS + 1, _LEAST_EXPONENT)
    nearest = round(size / Fraction(2) ** quantum)
    overflows = nearest.bit_length() + quantum > _OVERFLOW_EXPONENT
    value = math.inf if overflows else math.ldexp(nearest, quantum)
    return value if exact > 0 else -value
