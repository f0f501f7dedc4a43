"""Functions of float32 against float64 over their ranges, and the fused step against exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hanok.numerics.formula import Action, Formula, Operand, Ref, fused
from hanok.numerics.functions import ROUGH, UNARY, falling_exponential, power
from hanok.numerics.fused import fused_multiply_add

ERF = np.vectorize(math.erf)
Reference = Callable[[np.ndarray], np.ndarray]


def apply(function: Callable[[Formula, Operand], Ref], x: np.ndarray) -> np.ndarray:
    formula = Formula(1)
    result = function(formula, formula.input(0))
    return formula.evaluate([x])[result.number]


def evenly(low: float, high: float, count: int = 60_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.unique(
        np.append(np.linspace(low, high, count), rng.uniform(low, high, count)).astype(np.float32)
    )


def by_size(low: float, high: float, count: int = 60_000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.unique(np.exp(rng.uniform(math.log(low), math.log(high), count)).astype(np.float32))


def both(x: np.ndarray) -> np.ndarray:
    return np.concatenate([-x[::-1], x])


NORMAL = (1.2e-38, 8e37)
ULPS: dict[str, tuple[Reference, np.ndarray, float]] = {
    "Exp": (np.exp, evenly(-86.9, 88.7), 2.0),
    "Log": (np.log, np.concatenate([by_size(1.2e-38, 0.9), by_size(1.1, 8e37)]), 2.5),
    "Sqrt": (np.sqrt, by_size(*NORMAL), 3.0),
    "InverseSqrt": (lambda x: 1 / np.sqrt(x), by_size(*NORMAL), 2.5),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), evenly(-80, 80), 4.5),
    "Tanh": (np.tanh, both(by_size(1e-6, 20)), 6.5),
    "Erf": (ERF, both(by_size(1e-6, 6, 20_000)), 6.5),
    "Reciprocal": (lambda x: 1 / x, both(by_size(1e-30, 1e30)), 0.51),
}
ABSOLUTE: dict[str, tuple[Reference, np.ndarray, float]] = {
    "Sin": (np.sin, evenly(-1000, 1000), 2.5e-7),
    "Cos": (np.cos, evenly(-1000, 1000), 2.5e-7),
    "Log": (np.log, evenly(0.8, 1.3), 1e-7),
    "Gelu": (lambda x: x * 0.5 * (1 + ERF(x / math.sqrt(2))), evenly(-6, 6, 20_000), 2e-6),
    "GeluTanh": (
        lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        evenly(-6, 6),
        2e-6,
    ),
    "Swish": (lambda x: x / (1 + np.exp(-x)), evenly(-20, 20), 3e-6),
    "Softplus": (lambda x: np.log1p(np.exp(-abs(x))) + np.maximum(x, 0), evenly(-20, 20), 1e-6),
    "Abs": (np.abs, evenly(-5, 5), 0.0),
    "Neg": (np.negative, evenly(-5, 5), 0.0),
    "Relu": (lambda x: np.maximum(x, 0), evenly(-5, 5), 0.0),
    "Not": (lambda x: 1 - x, np.array([0, 1], np.float32), 0.0),
    "Identity": (lambda x: x, evenly(-5, 5), 0.0),
}


@pytest.mark.parametrize("name", ULPS)
def test_error_in_units_of_the_last_place(name: str) -> None:
    wanted, x, ulps = ULPS[name]
    exact = wanted(x.astype(np.float64))
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(apply(UNARY[name], x) - exact) / unit) <= ulps


@pytest.mark.parametrize("name", ABSOLUTE)
def test_absolute_error(name: str) -> None:
    wanted, x, most = ABSOLUTE[name]
    assert np.max(np.abs(apply(UNARY[name], x) - wanted(x.astype(np.float64)))) <= most


def test_every_function_is_measured() -> None:
    assert set(ULPS) | set(ABSOLUTE) == set(UNARY)


def test_ends_of_the_exponential() -> None:
    x = np.array([-np.inf, -3.4e38, -200, -87.1, 88.8, 1e10, np.inf, 0], np.float32)
    assert np.array_equal(apply(UNARY["Exp"], x), [0, 0, 0, 0, np.inf, np.inf, np.inf, 1])
    assert np.array_equal(apply(UNARY["Sqrt"], np.array([0, 1, 4], np.float32)), [0, 1, 2])


@pytest.mark.parametrize("name", ROUGH)
def test_rough_functions_are_good_to_eight_bits(name: str) -> None:
    """Against the exact formulas, far beyond the ends of the tables too; an exponential relatively."""
    x = evenly(-80, 0) if name == "Exp" else evenly(-60, 60)
    rough, exact = (apply(each[name], x).astype(np.float64) for each in (ROUGH, UNARY))
    assert np.max(np.abs(rough - exact) / (exact if name == "Exp" else 1)) < 0.001
    steps = [len(_lines(each[name]).lines) for each in (ROUGH, UNARY)]
    assert steps[0] < 0.85 * steps[1]


@pytest.mark.parametrize("top", [0.0, 3.3, -17.77, 1000.0, 12345.6])
def test_an_exponential_below_the_largest_of_a_row(top: float) -> None:
    formula = Formula(2)
    result = falling_exponential(formula, formula.input(0), formula.input(1))
    x = np.unique((np.float32(top) - evenly(0, 40)).astype(np.float32))
    found = formula.evaluate([x, np.float32(top)])[result.number].astype(np.float64)
    exact = np.exp(x.astype(np.float64) - np.float64(np.float32(top)))
    above = exact > 1.3e-7
    assert np.max(np.abs(found / exact - 1)[above]) < 2.6e-4
    assert found[~above].min() >= 0
    assert found[~above].max() < 1.3e-7
    ends = np.array([-np.inf, -3e38, top - 17.1], np.float32)
    assert np.array_equal(formula.evaluate([ends, np.float32(top)])[result.number], [0, 0, 0])


def _lines(function: Callable[[Formula, Operand], Ref]) -> Formula:
    formula = Formula(1)
    function(formula, formula.input(0))
    return formula


@pytest.mark.parametrize("exponent", [2.0, 3.0, 7.0, 0.5, -0.5, -1.0, -3.0, 1.7, -2.3])
def test_powers(exponent: float) -> None:
    x = by_size(0.05, 20)
    found = apply(lambda f, a: power(f, a, exponent), x)
    assert np.max(np.abs(found / x.astype(np.float64) ** exponent - 1)) < 2e-6


def test_fused_is_rounded_once() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        a = (rng.integers(1 << 12, 1 << 24, 400) * 2.0 ** rng.integers(-30, 30)).astype(np.float32)
        factor = np.float32(1 + rng.integers(0, 1 << 12) * 2.0**-12)
        distance = 2.0 ** rng.integers(-40, 41, 400) * rng.choice([-1, 1], 400)
        addend = (a.astype(np.float64) * factor * distance).astype(np.float32)
        wanted = fused_multiply_add(a, factor, addend)
        assert np.array_equal(fused(a, factor, addend).view(np.int32), wanted.view(np.int32))
    corners = np.array([0, -0.0, np.inf, -np.inf, 1, -1, 3e38, 1e-45, 1e-38], np.float32)
    a, addend = (part.ravel() for part in np.meshgrid(corners, corners))
    for factor in corners:
        with np.errstate(all="ignore"):
            found, wanted = fused(a, factor, addend), fused_multiply_add(a, factor, addend)
        assert np.array_equal(found, wanted, equal_nan=True)


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_sums_go_by_lanes(lanes: int) -> None:
    x = np.random.default_rng(3).standard_normal((3, 21)).astype(np.float32)
    formula = Formula(1)
    total = formula.fold(Action.SUM, formula.input(0))
    found = formula.evaluate([x], lanes)[total.number]
    for row, value in zip(x, found, strict=True):
        parts = [np.float32(0)] * lanes
        for number, element in enumerate(row):
            parts[number % lanes] = np.float32(parts[number % lanes] + element)
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [np.float32(a + b) for a, b in zip(parts[:half], parts[half:], strict=True)]
        assert value[0] == parts[0]
