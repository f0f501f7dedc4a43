"""How a mapping repeats: the distance after which addresses find the same columns, and which banks then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram.mapping import FIELDS, LETTERS, Mapping
from hanok.dram.standard import Standard

Integers = NDArray[np.int64]

ROW = next(letter for letter, field in LETTERS.items() if field == "row")
BANKS = "".join(letter for letter, field in LETTERS.items() if field in ("rank", "group", "bank"))


@dataclass(frozen=True)
class Periods:
    """How a mapping repeats.

    Streams that move on by `period_bytes` find the same columns in the same order, in later rows of other
    banks; and banks that share a group or a rank are then others that share one. So all that a channel does
    is the same, with the parts of the banks exchanged. After len(banks) periods each has its own part again.
    """

    mask: int
    """Address bits that choose the unit, or 0 where they are not used for that alone."""
    values: Integers
    """[unit, over all channels] what those bits are."""
    period_bytes: int
    """0 where rows are not the highest address bits."""
    banks: Integers
    """[period, part] the bank that plays a part after so many periods; parts are named by the first."""
    rows: Integers
    """[period, part] the row in which it does, where it began in row 0."""
    round_rows: int
    """Rows after len(banks) periods."""

    def after(self, periods: int) -> tuple[Integers, Integers]:
        """Return bank and row [part] after so many periods."""
        rounds, rest = divmod(periods, len(self.banks))
        return self.banks[rest], self.rows[rest] + rounds * self.round_rows


def find_periods(mapping: Mapping, standard: Standard, channels: int, exchange: bool) -> Periods:
    """Find how the mapping of `channels` channels repeats.

    exchange: whether banks may change their parts; not where they are taken in the order of their numbers,
    as by refreshes of single banks.
    """
    owned = np.cumsum([piece.bits for piece in mapping.pieces])
    own_all = int(np.searchsorted(owned, len(mapping.letters))) + 1
    owners, hashes = mapping.pieces[:own_all], mapping.pieces[own_all:]
    unit_fields = ("channel", "pseudo")
    mask = sum(((1 << p.bits) - 1) << p.address_bit for p in owners if p.field in unit_fields)
    hashed = sum(((1 << p.bits) - 1) << p.address_bit for p in hashes)
    plain = not hashed & mask and not any(p.field in unit_fields for p in hashes)
    shape = standard.organisation
    units = channels * shape.pseudo_channels
    values = np.zeros(units, np.int64)
    for number in range(units):
        found = dict(zip(unit_fields, divmod(number, shape.pseudo_channels), strict=True))
        for p in owners:
            if p.field in unit_fields:
                bits = found[p.field] >> p.field_bit & ((1 << p.bits) - 1)
                values[number] |= bits << p.address_bit
    rows = sum(((1 << p.bits) - 1) << p.address_bit for p in owners if p.field == "row")
    lowest = (rows & -rows).bit_length() - 1
    topmost = (rows | mask) >> lowest == (1 << (mapping.address_bits - lowest)) - 1 and mask >> lowest == 0
    nothing = np.zeros((1, shape.banks), np.int64)
    if not plain or not topmost or hashed & ~rows:
        return Periods(mask if plain else 0, values, 0, nothing, nothing, 0)
    used = (hashed >> lowest).bit_length()
    longest = 1 << lowest + used
    shortest = standard.burst_bytes << len(mapping.letters.lstrip(ROW).lstrip(BANKS))
    period = shortest if exchange else longest
    while period < longest and not _is_symmetric(mapping, standard, period, 1 << used):
        period *= 2
    rounds = [_exchanged(mapping, standard, number * period, 0) for number in range(longest // period)]
    banks, row = (np.stack([found[part] for found in rounds]) for part in range(2))
    return Periods(mask, values, period, banks, row, 1 << used)


def _exchanged(mapping: Mapping, standard: Standard, distance: int, row: int) -> tuple[Integers, Integers]:
    """Return for each bank, from `row` on, the bank so many bytes later, and by how many rows it is later."""
    shape = standard.organisation
    nothing = np.zeros(shape.banks, np.int64)
    places = dict.fromkeys(FIELDS, nothing) | {"row": nothing + row}
    groups, places["bank"] = np.divmod(np.arange(shape.banks), shape.banks_per_group)
    places["rank"], places["group"] = np.divmod(groups, shape.groups)
    found = mapping.locate_all(mapping.address_of_all(places) + distance)
    later = (found["rank"] * shape.groups + found["group"]) * shape.banks_per_group + found["bank"]
    return later, found["row"] - row


def _is_symmetric(mapping: Mapping, standard: Standard, period: int, rows: int) -> bool:
    """Whether banks of a group or a rank share one a period later, and the same from each of the rows on."""
    shape = standard.organisation
    first = later, _ = _exchanged(mapping, standard, period, 0)
    for size in (shape.banks_per_group, shape.banks_per_group * shape.groups):
        if (later.reshape(-1, size) // size != later[::size, None] // size).any():
            return False
    return all(np.array_equal(first, _exchanged(mapping, standard, period, row)) for row in range(1, rows))
