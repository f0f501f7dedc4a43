"""Kernels that list the banks in which a queue wants a column command, an activate or a precharge."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._layout import (
    B_BYPASSED,
    B_HEAD_READ,
    B_HIT_READ,
    B_OWNER,
    B_PLACE_READ,
    B_ROW,
    B_SIZE,
    B_WANT_READ,
    H_BANKS,
    H_CAP,
    O_BANKS,
    O_WANTING,
    U_WANTING,
    WANTS,
    WANTS_ACTIVATE,
    WANTS_COLUMN,
    WANTS_NOTHING,
    WANTS_PRECHARGE,
    State,
)
from hanok.numerics._kernels_compile import inner, leaf


@leaf
def wanting(state: State, unit: int, kind: int, want: int) -> int:
    """Return where the list of the banks begins of which a queue wants something."""
    return unit + state[O_WANTING] + (kind * WANTS + want) * state[H_BANKS]


@leaf
def wanting_count(unit: int, kind: int, want: int) -> int:
    """Return where the number of those banks stands."""
    return unit + U_WANTING + kind * WANTS + want


@leaf
def _want(state: State, slot: int, kind: int) -> int:
    """Say what a queue wants of a bank.

    A row hit goes before older requests of its bank, but only H_CAP times. A row stays open until what it was
    opened for is served.
    """
    hit, head = state[slot + B_HIT_READ + kind], state[slot + B_HEAD_READ + kind]
    if head < 0:
        return WANTS_NOTHING
    if hit == head or (hit >= 0 and state[slot + B_BYPASSED] < state[H_CAP]):
        return WANTS_COLUMN
    if state[slot + B_ROW] < 0:
        return WANTS_ACTIVATE
    return WANTS_PRECHARGE if state[slot + B_OWNER] < 0 else WANTS_NOTHING


@leaf
def sort_bank(state: State, unit: int, bank: int, kind: int) -> None:
    """Put a bank into the list of what a queue wants of it, after its row or its requests have changed."""
    slot = unit + state[O_BANKS] + bank * B_SIZE
    want = _want(state, slot, kind)
    if want != state[slot + B_WANT_READ + kind]:
        _move_bank(state, unit, bank, kind, want)


@inner
def _move_bank(state: State, unit: int, bank: int, kind: int, want: int) -> None:
    slot = unit + state[O_BANKS] + bank * B_SIZE
    before = state[slot + B_WANT_READ + kind]
    if before != WANTS_NOTHING:
        counter, banks = wanting_count(unit, kind, before), wanting(state, unit, kind, before)
        state[counter] -= 1
        moved, place = state[banks + state[counter]], state[slot + B_PLACE_READ + kind]
        state[banks + place] = moved
        state[unit + state[O_BANKS] + moved * B_SIZE + B_PLACE_READ + kind] = place
    if want != WANTS_NOTHING:
        counter = wanting_count(unit, kind, want)
        state[wanting(state, unit, kind, want) + state[counter]] = bank
        state[slot + B_PLACE_READ + kind] = state[counter]
        state[counter] += 1
    state[slot + B_WANT_READ + kind] = want
