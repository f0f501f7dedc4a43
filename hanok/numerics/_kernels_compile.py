"""How kernels are compiled: IEEE arithmetic without shortcuts, cached on disk where that is possible."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit

Kernel = Callable[..., Any]
PACKAGE = Path(__file__).resolve().parent.parent


def _cache_folder() -> str:
    """A cache folder named by all kernels' sources.

    Numba watches only the file of the kernel that it compiles, not those of the kernels that it calls, and
    would go on using old machine code of theirs.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("_kernels*.py")):
        digest.update(path.read_bytes())
    for path in (PACKAGE / "dram" / "_layout.py", PACKAGE / "isa" / "table.py"):
        digest.update(path.read_bytes() if path.is_file() else b"")
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return str(home / "hanok" / f"kernels-{digest.hexdigest()[:16]}")


if not config.CACHE_DIR:
    config.CACHE_DIR = _cache_folder()


def kernel(function: Kernel) -> Kernel:
    """Compile `function` on its first call, with NumPy's error model (division by zero gives infinity).

    Without a writable cache folder Numba refuses to cache; then the kernel is compiled in each process.
    """
    try:
        compiled: Kernel = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        compiled = njit(error_model="numpy")(function)
    return compiled


def inner(function: Kernel) -> Kernel:
    """Compile `function` for calls from other kernels alone: without wrappers for Python, it is quicker."""
    return _compiled(function, forceinline=False)


def leaf(function: Kernel) -> Kernel:
    """Compile a short `function` into its callers; a call would take longer than what it does."""
    return _compiled(function, forceinline=True)


def _compiled(function: Kernel, forceinline: bool) -> Kernel:
    options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    try:
        compiled: Kernel = njit(cache=True, forceinline=forceinline, **options)(function)
    except RuntimeError:
        compiled = njit(forceinline=forceinline, **options)(function)
    return compiled


def part(function: Kernel) -> Kernel:
    """Make `function` a part of every kernel that calls it; it is not compiled on its own.

    Numba optimises a kernel anew at each level of calls, so flat kernels compile several times faster.
    """
    compiled: Kernel = njit(inline="always", error_model="numpy")(function)
    return compiled
