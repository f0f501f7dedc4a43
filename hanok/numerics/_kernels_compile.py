"""How kernels are compiled: IEEE arithmetic without shortcuts, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

Kernel = Callable[..., Any]


def kernel(function: Kernel) -> Kernel:
    """Compile `function` on its first call, with NumPy's error model (division by zero gives infinity).

    Without a writable cache folder Numba refuses to cache; then the kernel is compiled in each process.
    """
    try:
        compiled: Kernel = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        compiled = njit(error_model="numpy")(function)
    return compiled


def part(function: Kernel) -> Kernel:
    """Make `function` a part of every kernel that calls it; it is not compiled on its own.

    Numba optimises a kernel anew at each level of calls, so flat kernels compile several times faster.
    """
    compiled: Kernel = njit(inline="always", error_model="numpy")(function)
    return compiled
