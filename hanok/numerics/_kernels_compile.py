"""How kernels are compiled: IEEE arithmetic without shortcuts, cached on disk where that is possible."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import cfunc, config, njit, types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

from hanok.numerics.locks import alone

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
    for name in ("dram/_layout.py", "isa/table.py", "isa/timing.py", "numerics/nibbles.py"):
        path = PACKAGE / name
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
    return _compiled_once(compiled)


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
    return _compiled_once(compiled)


def _compiled_once(dispatcher: Kernel) -> Kernel:
    """Let one process compile, while others wait and then load; Numba's cache has no lock of its own.

    Without one, two that compile a kernel for different types may take each other's machine code.
    """
    compile_for: Any = dispatcher.compile  # type: ignore[attr-defined]
    compiling = False

    def compile_alone(signature: Any) -> Any:
        nonlocal compiling
        with global_compiler_lock:
            if compiling:  # it calls itself with other types
                return compile_for(signature)
            with alone(_lock_of(dispatcher)):
                compiling = True
                try:
                    return compile_for(signature)
                finally:
                    compiling = False

    dispatcher.compile = compile_alone  # type: ignore[attr-defined]
    return dispatcher


def _lock_of(function: Kernel) -> Path:
    return Path(config.CACHE_DIR) / f"{function.__module__}.{function.__qualname__}.lock"


def part(function: Kernel) -> Kernel:
    """Make `function` a part of every kernel that calls it; it is not compiled on its own.

    Numba optimises a kernel anew at each level of calls, so flat kernels compile several times faster.
    """
    compiled: Kernel = njit(inline="always", error_model="numpy")(function)
    return compiled


@intrinsic
def pointer_of(context: Any, array: Any) -> Any:
    """Return a pointer to a contiguous array's elements, or a pointer itself; the array must outlive it.

    Indexing a pointer neither tests for negative indices nor follows strides, and a pointer is one argument
    of a call where an array is seven.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    def keep(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    if isinstance(array, types.CPointer):
        return array(array), keep
    return (types.CPointer(array.dtype)(array), generate) if array.layout == "C" else None


@intrinsic
def pointer_at(context: Any, pointer: Any, index: Any) -> Any:
    """Return a pointer to an element of what a pointer points to."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, index), generate


@lru_cache
def address_of(function: Kernel) -> int:
    """Compile a function of a pointer and integers to an integer, and return where its machine code begins.

    What calls it by `call_at` does not contain it, so that Numba does not optimise it anew in each caller.
    """
    count = len(inspect.signature(function).parameters) - 1
    signature = types.int64(types.CPointer(types.int64), *(types.int64,) * count)
    with global_compiler_lock, alone(_lock_of(function)):
        try:
            compiled = cfunc(signature, cache=True, error_model="numpy")(function)
        except RuntimeError:
            compiled = cfunc(signature, error_model="numpy")(function)
    _KEPT.append(compiled)
    return int(compiled.address)


_KEPT: list[Any] = []
"""Machine code that lives as long as the process, since others know its address."""


@intrinsic
def call_at(context: Any, address: Any, pointer: Any, integers: Any) -> Any:
    """Call the function at an address that `address_of` returned, with a pointer and a tuple of integers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [
            context.cast(builder, builder.extract_value(arguments[2], index), kind, types.int64)
            for index, kind in enumerate(signature.args[2])
        ]
        whole = ir.IntType(64)
        called = ir.FunctionType(whole, [arguments[1].type] + [whole] * len(values))
        return builder.call(builder.inttoptr(arguments[0], called.as_pointer()), [arguments[1], *values])

    return types.int64(types.int64, pointer, integers), generate
