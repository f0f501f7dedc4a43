"""The controller's kernels for callers outside of Numba: C functions of a state and integers."""

# Compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels import advance_all, request
from hanok.dram._layout import State
from hanok.numerics._kernels_compile import address_of


def _request(state: State, port: int, handle: int, address: int, cycle: int, kind: int) -> int:
    return request(state, port, handle, address, cycle, kind)


def _advance(state: State, until: int) -> int:
    return advance_all(state, until)


def request_address() -> int:
    """Return where `request` begins: int64 (int64 *state, port, handle, address, cycle, kind)."""
    return address_of(_request)


def advance_all_address() -> int:
    """Return where `advance_all` begins: int64 (int64 *state, until)."""
    return address_of(_advance)
