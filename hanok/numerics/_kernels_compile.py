"""How kernels are compiled: IEEE arithmetic without shortcuts, cached on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on its first call, with NumPy's error model (division by zero gives infinity).

    Without a writable cache folder Numba refuses to cache; then the kernel is compiled in each process.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(error_model="numpy")(function)


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make `function` a part of every kernel that calls it; it is not compiled on its own.

    Numba optimises a kernel anew at each level of calls, so flat kernels compile several times faster.
    """
    return njit(inline="always", error_model="numpy")(function)
