"""Fit the quotients of polynomials of `hanok.numerics.functions`: python benchmarks/fit_functions.py

Prints the coefficients of x P(x^2) / Q(x^2) for erf and tanh, beside those in use, and the largest relative
error of the quotient in float64. Weighted least squares, with weights raised where the error is large until
the largest errors are alike (Lawson, 1961).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hanok.numerics import functions

POINTS, ROUNDS = 4000, 40


def fit(
    function: Callable[[float], float], bound: float, above: int, below: int
) -> tuple[float, list[float], list[float]]:
    """Return the error, and the coefficients of P (degree `above`) and Q (degree `below`)."""
    x = bound * (0.5 - 0.5 * np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS))
    x = x[x > 1e-3]
    wanted = np.array([function(value) for value in x]) / x
    u = (x / bound) ** 2
    powers = u[:, None] ** np.arange(max(above, below) + 1)
    weight, denominator = np.ones_like(x), np.ones_like(x)
    best = (math.inf, [0.0], [0.0])
    for _ in range(ROUNDS):
        system = np.concatenate([powers[:, : above + 1], -wanted[:, None] * powers[:, 1 : below + 1]], axis=1)
        scale = weight / (wanted * denominator)
        found = np.linalg.lstsq(system * scale[:, None], wanted * scale, rcond=1e-18)[0]
        p, q = found[: above + 1], np.append(1.0, found[above + 1 :])
        denominator = powers[:, : below + 1] @ q
        error = np.abs(powers[:, : above + 1] @ p / denominator / wanted - 1)
        if error.max() < best[0]:
            sizes = bound ** (2.0 * np.arange(max(above, below) + 1))
            best = (float(error.max()), list(p / sizes[: above + 1]), list(q / sizes[: below + 1]))
        weight = weight * (0.3 + error / error.max())
        weight /= weight.mean()
    return best


def main() -> None:
    for name, function, used, degrees in (
        ("erf", math.erf, functions._ERF, (5, 5)),
        ("tanh", math.tanh, functions._TANH, (5, 4)),
    ):
        error, above, below = fit(function, used[2], *degrees)
        print(f"{name} up to {used[2]}: relative error {error:.2g}")
        for label, found, there in (("P", above, used[0]), ("Q", below, used[1])):
            print(f"  {label}: " + ", ".join(f"{np.float32(value):.9g}" for value in found))
            print("     in use: " + ", ".join(f"{value:.9g}" for value in there))


if __name__ == "__main__":
    main()
