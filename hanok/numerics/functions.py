"""Functions of float32 values as formulas of the vector unit's steps.

Errors (`tests/numerics/test_functions.py` finds them over each function's range) are in units of the last
place (ulp) of float32, or absolute where the function has zeros. Not-a-number gives no certain result.
Polynomials and quotients of polynomials are least-squares fits of the relative error, weighted until the
largest errors are alike (`benchmarks/fit_functions.py` finds their coefficients).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from hanok.numerics.formula import Formula, Operand, Ref

Doubles = npt.NDArray[np.float64]
Function = Callable[[Doubles], Doubles]
Unary = Callable[[Formula, Operand], Ref]
_STEPS_OF_TWO = 256
"""Powers of two are tabulated at so many places between whole exponents."""
_POWERS = np.exp2(1 + np.arange(-128, 128) / _STEPS_OF_TWO).astype(np.float32)
"""Twice the powers, beside half of the whole exponents: 2^128 has no exponent bits."""
_LEAST_EXPONENT = -88.0
"""exp of this is 0, as the exponent bits of 2^-127 are."""
_MANTISSA = float(1 << 23)
_BIAS = 127
_STEP = math.log(2) / _STEPS_OF_TWO
_STEP_HIGH = float(np.float32(np.round(_STEP * 2**17) / 2**17))
"""Few bits, so that a whole number of 16 bits times it is exact."""
_PLACES = 16
"""A unit of a falling exponent is tabulated at so many places."""
_FALLING = (np.exp(np.arange(-255, 1) / _PLACES) * (1 + 1 / (16 * _PLACES**2))).astype(np.float32)
"""exp, and a 16th of a squared place more: half of what its tangents lack half a place away."""
_PI_HIGH = 201 / 64
_PI_MIDDLE = float(np.float32(math.pi - _PI_HIGH))
_PI_LOW = math.pi - _PI_HIGH - _PI_MIDDLE
_SINE = (1.0, -1.6666667163e-1, 8.3333337680e-3, -1.9841270114e-4, 2.7557314297e-6, -2.5050759689e-8)
_ERF = (
    (1.1283791065216064, 0.1907811015844345, 0.05278990790247917, 0.003779485821723938,
     0.00028480481705628335, 2.0419799966475694e-06),
    (1.0, 0.5024080872535706, 0.11425638198852539, 0.014997193589806557, 0.0011651806998997927,
     3.800396734732203e-05),
    3.93,
)  # fmt: skip
_TANH = (
    (1.0, 0.13680854439735413, 0.0038695058319717646, 2.8031265173922293e-05, 3.064241838046655e-08,
     -1.2246166754270593e-11),
    (1.0, 0.47014185786247253, 0.027250148355960846, 0.0003940709284506738, 1.289031843043631e-06),
    9.0,
)  # fmt: skip
_RECIPROCAL_GUESS = float(0x7EF311C7)
"""The bits of 1 / x are nearly this less the bits of x."""
_ROOT_GUESS = float(0x5F3759DF)
"""The bits of 1 / sqrt(x) are nearly this less half of the bits of x (Lomont, Fast inverse square root)."""


def polynomial(f: Formula, x: Operand, coefficients: Sequence[float]) -> Ref:
    """c0 + c1 x + c2 x^2 + ..., from the highest power on."""
    total = f.add(f.mul(x, coefficients[-1]), coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        total = f.add(f.mul(total, x), coefficient)
    return total


def exponential(f: Formula, x: Operand) -> Ref:
    """exp(x): 2 ulp; 0 below -87.0, infinite from 88.73 on."""
    return _exponential(f, x, exactly=True)


def rough_exponential(f: Formula, x: Operand) -> Ref:
    """exp(x) to 2e-6: with a line between the table's places, and a step that is rounded."""
    return _exponential(f, x, exactly=False)


def _exponential(f: Formula, x: Operand, exactly: bool) -> Ref:
    """2^(n / 256) = 2^whole * 2^(part / 256) by exponent bits and a table, times exp of the rest."""
    x = f.maximum(x, _LEAST_EXPONENT)
    n = f.round(f.mul(x, 1 / _STEP), (1 - _BIAS) * _STEPS_OF_TWO)
    whole = f.round(f.add(f.mul(n, 1 / _STEPS_OF_TWO), 1 / (4 * _STEPS_OF_TWO)), 1 - _BIAS, _BIAS + 1)
    power = f.from_bits(f.mul(f.add(whole, _BIAS - 1.0), _MANTISSA))
    part = f.add(f.mul(whole, -float(_STEPS_OF_TWO)), n)
    scale = f.mul(f.lookup(part, _POWERS), power)
    if not exactly:
        return f.mul(f.add(f.fused(n, -_STEP, x), 1.0), scale)
    rest = f.fused(n, -_STEP_HIGH, x)
    rest = f.fused(n, _STEP_HIGH - _STEP, rest)
    return f.mul(polynomial(f, rest, (1.0, 1.0, 0.5)), scale)


def falling_exponential(f: Formula, x: Operand, top: Operand) -> Ref:
    """exp(x - top) of x up to top: within 0.00026 of it where it is above 1e-7, below at most 1e-7.

    A line through the nearest of 256 places, value * (1 + rest). `above` is made once a row, and the
    difference to it twice an element, as that takes less time than to keep it.
    """
    above = f.add(top, -1.0 - 127 / _PLACES)
    place = f.round(f.add(f.mul(f.sub(above, x), -float(_PLACES)), -float(_PLACES)), -128, 127)
    line = f.maximum(f.fused(place, -1 / _PLACES, f.sub(x, above)), 0.0)
    return f.mul(f.lookup(place, _FALLING), line)


def logarithm(f: Formula, x: Operand) -> Ref:
    """log(x) of normal positive numbers below 2^126: 2 ulp, or 1e-7 near 1."""
    exponent = f.round(f.sub(f.mul(f.bits(x), 1 / _MANTISSA), float(_BIAS)), -126, 126)
    shrink = f.from_bits(f.mul(f.sub(float(_BIAS), exponent), _MANTISSA))
    mantissa = f.mul(x, shrink)
    s = f.div(f.sub(mantissa, 1.0), f.add(mantissa, 1.0))
    series = polynomial(f, f.mul(s, s), [2 / (2 * k + 1) for k in range(6)])
    high = float(np.float32(np.round(math.log(2) * 2**15) / 2**15))
    return f.fused(exponent, high, f.fused(exponent, math.log(2) - high, f.mul(s, series)))


def inverse_root(f: Formula, x: Operand) -> Ref:
    """1 / sqrt(x) of normal positive numbers: 2 ulp; of 0 a large number whose product with 0 is 0."""
    y = f.from_bits(f.add(f.mul(f.bits(x), -0.5), _ROOT_GUESS))
    for _ in range(3):
        y = f.mul(f.add(f.mul(f.mul(f.mul(x, y), y), -0.5), 1.5), y)
    return y


def root(f: Formula, x: Operand) -> Ref:
    """sqrt(x): 2 ulp."""
    return f.mul(inverse_root(f, x), x)


def reciprocal(f: Formula, x: Operand) -> Ref:
    """1 / x of numbers from 2^-120 to 2^120, of either sign: 2 ulp; a division takes a lane many cycles."""
    y = f.from_bits(f.add(f.mul(f.bits(x), -1.0), _RECIPROCAL_GUESS))
    for _ in range(3):
        y = f.mul(f.sub(2.0, f.mul(y, x)), y)
    return y


def sigmoid(f: Formula, x: Operand) -> Ref:
    """1 / (1 + exp(-x)): 5 ulp; below -80 at least 1e-36."""
    return reciprocal(f, f.add(exponential(f, f.mul(f.maximum(x, -80.0), -1.0)), 1.0))


def _quotient(f: Formula, x: Operand, fitted: tuple[tuple[float, ...], tuple[float, ...], float]) -> Ref:
    """x P(x^2) / Q(x^2) within the bounds of the fit."""
    above, below, bound = fitted
    x = f.minimum(f.maximum(x, -bound), bound)
    square = f.mul(x, x)
    return f.mul(f.mul(polynomial(f, square, above), x), reciprocal(f, polynomial(f, square, below)))


def tangent(f: Formula, x: Operand) -> Ref:
    """tanh(x): 7 ulp."""
    return _quotient(f, x, _TANH)


def error_function(f: Formula, x: Operand) -> Ref:
    """erf(x): 6 ulp."""
    return _quotient(f, x, _ERF)


def sine(f: Formula, x: Operand) -> Ref:
    """sin(x) for |x| up to 100,000: 1.5e-7 absolute, plus the float32 step of x."""
    k = f.round(f.mul(x, 1 / math.pi))
    return f.mul(_sine_of_rest(f, x, k), _sign(f, k))


def cosine(f: Formula, x: Operand) -> Ref:
    """cos(x) for |x| up to 100,000: 1.5e-7 absolute, plus the float32 step of x."""
    k = f.round(f.add(f.mul(x, 1 / math.pi), -0.5))
    return f.mul(_sine_of_rest(f, x, f.add(k, 0.5)), f.mul(_sign(f, k), -1.0))


def _sine_of_rest(f: Formula, x: Operand, turns: Ref) -> Ref:
    rest = f.fused(turns, -_PI_HIGH, x)
    rest = f.fused(turns, -_PI_MIDDLE, rest)
    rest = f.fused(turns, -_PI_LOW, rest)
    return f.mul(polynomial(f, f.mul(rest, rest), _SINE), rest)


def _sign(f: Formula, k: Ref) -> Ref:
    """1 for even k, -1 for odd k."""
    half = f.round(f.add(f.mul(k, 0.5), -0.25))
    odd = f.add(f.mul(half, -2.0), k)
    return f.add(f.mul(odd, -2.0), 1.0)


def gelu(f: Formula, x: Operand) -> Ref:
    """x (1 + erf(x / sqrt(2))) / 2."""
    bell = f.add(f.mul(error_function(f, f.mul(x, math.sqrt(0.5))), 0.5), 0.5)
    return f.mul(bell, x)


def gelu_by_tangent(f: Formula, x: Operand) -> Ref:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    cube = f.mul(f.add(f.mul(f.mul(x, x), 0.044715), 1.0), x)
    bell = f.add(f.mul(tangent(f, f.mul(cube, math.sqrt(2 / math.pi))), 0.5), 0.5)
    return f.mul(bell, x)


def power(f: Formula, x: Operand, exponent: float) -> Ref:
    """x^exponent: products for whole exponents up to 8, roots for halves, else exp(exponent log(x))."""
    whole = abs(exponent)
    if whole == int(whole) and 0 < whole <= 8:
        total: Operand | None = None
        square, left = x, int(whole)
        while left:
            if left & 1:
                total = square if total is None else f.mul(total, square)
            left >>= 1
            square = f.mul(square, square) if left else square
        assert total is not None, "a positive exponent has a product"
        return f.div(1.0, total) if exponent < 0 else f.mul(total, 1.0)
    if exponent == 0.5:
        return root(f, x)
    if exponent == -0.5:
        return inverse_root(f, x)
    return exponential(f, f.mul(logarithm(f, x), exponent))


def softplus(f: Formula, x: Operand) -> Ref:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    size = f.maximum(f.mul(x, -1.0), x)
    return f.add(logarithm(f, f.add(exponential(f, f.mul(size, -1.0)), 1.0)), f.maximum(x, 0.0))


def tabulated(f: Formula, x: Operand, function: Function, reach: float, rises: bool) -> Ref:
    """A smooth function by its value and its slope at 256 places from -reach to reach, a power of two.

    Beyond, it is 0 below and above x if it `rises`, else its values at the ends. The error is at most
    (reach / 128)^2 / 8 times the second derivative, half a place away, and what it is off at the ends.
    """
    step = reach / 128
    places: Doubles = np.arange(-128, 128).astype(np.float64) * step
    least, most = (0.0, 0.0) if rises else (float(function(np.array([end]))[0]) for end in (-1e3, 1e3))
    above = places > 0
    beyond = np.where(above, places if rises else most, least)
    inside = (places > -reach) & (places < reach - step)
    slopes = (function(places + 1e-4) - function(places - 1e-4)) / 2e-4 - above * float(rises)
    scaled = f.mul(x, 1 / step)
    rest = f.add(f.mul(f.round(scaled, -128, 127), -step), x)
    slope = f.lookup(scaled, np.where(inside, slopes, 0.0).astype(np.float32))
    value = f.lookup(scaled, np.where(inside, function(places) - beyond, 0.0).astype(np.float32))
    side = f.greater(x, step / 2)
    side = f.mul(side, x) if rises else f.add(f.mul(side, most - least), least)
    return f.add(f.add(f.mul(slope, rest), value), side)


def _rough(function: Function, reach: float, rises: bool = False) -> Unary:
    return lambda f, x: tabulated(f, x, function, reach, rises)


def _error_integral(x: Doubles) -> Doubles:
    return np.array([math.erf(value) for value in x.reshape(-1)]).reshape(x.shape)


def _logistic(x: Doubles) -> Doubles:
    return np.where(x > -700, 1 / (1 + np.exp(-np.maximum(x, -700))), 0.0)


UNARY: dict[str, Unary] = {
    "Abs": lambda f, x: f.maximum(f.mul(x, -1.0), x),
    "Cos": cosine,
    "Erf": error_function,
    "Exp": exponential,
    "Gelu": gelu,
    "GeluTanh": gelu_by_tangent,
    "Identity": lambda f, x: f.mul(x, 1.0),
    "InverseSqrt": inverse_root,
    "Log": logarithm,
    "Neg": lambda f, x: f.mul(x, -1.0),
    "Not": lambda f, x: f.sub(1.0, x),
    "Reciprocal": lambda f, x: f.div(1.0, x),
    "Relu": lambda f, x: f.maximum(x, 0.0),
    "Sigmoid": sigmoid,
    "Sin": sine,
    "Softplus": softplus,
    "Sqrt": root,
    "Swish": lambda f, x: f.mul(sigmoid(f, x), x),
    "Tanh": tangent,
}
"""ONNX's functions of one float32 value (`Swish` is SiLU)."""

ROUGH: dict[str, Unary] = {
    "Erf": _rough(_error_integral, 4.0),
    "Exp": rough_exponential,
    "Gelu": _rough(lambda x: x * (1 + _error_integral(x / math.sqrt(2))) / 2, 4.0, rises=True),
    "GeluTanh": _rough(
        lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2, 4.0, rises=True
    ),
    "Sigmoid": _rough(_logistic, 16.0),
    "Softplus": _rough(lambda x: np.logaddexp(x, 0), 16.0, rises=True),
    "Swish": _rough(lambda x: x * _logistic(x), 16.0, rises=True),
    "Tanh": _rough(np.tanh, 8.0),
}
"""The same in fewer steps, to 0.001 and less: for results that are rounded to eight bits at once."""
