"""Kernels of places: where a burst lies, in one number, and where its unit's block begins."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._layout import (
    CH_UNITS,
    H_ADDRESS,
    H_CHANNEL_SIZE,
    H_CHANNELS,
    H_PLACE,
    H_PLACES,
    H_PSEUDO,
    H_PSEUDO_SHIFT,
    H_UNIT_SIZE,
    P_BANK,
    P_COLUMN,
    P_DIGIT,
    P_ROW,
    P_VALUES,
    State,
)
from hanok.numerics._kernels_compile import leaf


@leaf
def locate(state: State, address: int) -> int:
    """Return the place of the burst at `address`, as the layout's P_* say.

    Each of its bits is the XOR of bits of the address, so it follows from the place that was asked for last.
    """
    differing, place = address ^ state[H_ADDRESS], state[H_PLACE]
    digit = state[H_PLACES]
    while differing > 0:
        place ^= state[digit + (differing & (P_VALUES - 1))]
        differing >>= P_DIGIT
        digit += P_VALUES
    state[H_ADDRESS], state[H_PLACE] = address, place
    return place


@leaf
def unit_of(place: int) -> int:
    """Return the unit of a place, counted over all channels."""
    return place & ((1 << P_COLUMN) - 1)


@leaf
def channel_of(state: State, number: int) -> int:
    """Return the channel of unit `number`, counted over all channels."""
    return number >> state[H_PSEUDO_SHIFT]


@leaf
def unit_block(state: State, number: int) -> int:
    """Return where the block of unit `number`, counted over all channels, begins."""
    channel = channel_of(state, number)
    return (
        state[H_CHANNELS]
        + channel * state[H_CHANNEL_SIZE]
        + CH_UNITS
        + (number - channel * state[H_PSEUDO]) * state[H_UNIT_SIZE]
    )


@leaf
def bank_of(place: int) -> int:
    """Return the bank of a place, counted over all groups and ranks of its unit."""
    return (place >> P_BANK) & ((1 << (P_ROW - P_BANK)) - 1)


@leaf
def row_of(place: int) -> int:
    """Return the row of a place."""
    return place >> P_ROW


@leaf
def column_of(place: int) -> int:
    """Return the column of a place, in bursts."""
    return (place >> P_COLUMN) & ((1 << (P_BANK - P_COLUMN)) - 1)
