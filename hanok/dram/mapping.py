"""Address mappings: which bits of a byte address choose channel, bank, row and column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hanok.dram._mapping_notation import FIELDS, LETTERS, PRESETS, Hash, parse_notation
from hanok.dram.standard import Standard
from hanok.errors import ChipError

__all__ = ["FIELDS", "LETTERS", "PRESETS", "Hash", "Mapping", "Piece", "compose_mapping", "parse_mapping"]

Integers = NDArray[np.int64]
_Bits = TypeVar("_Bits", int, Integers)


@dataclass(frozen=True)
class Piece:
    """`bits` address bits from `address_bit` up are XORed into the bits `field_bit` up of `field`."""

    field: str
    address_bit: int
    field_bit: int
    bits: int


@dataclass(frozen=True)
class Mapping:
    """A one-to-one linear map from burst addresses to fields: a field's bits are the XOR of its pieces.

    `letters` has the field's letter of each address bit above the burst, highest first: who owns the bit.
    """

    letters: str
    hashes: tuple[Hash, ...]
    pieces: tuple[Piece, ...]
    """First those that give each address bit to its owner, then the hashes."""
    burst_bits: int
    """The lowest address bits, which are a place within a burst."""

    @property
    def address_bits(self) -> int:
        """Of the whole memory."""
        return self.burst_bits + len(self.letters)

    def width(self, field: str) -> int:
        """Return how many bits `field` has."""
        return self._widths[field]

    def locate(self, address: int) -> dict[str, int]:
        """Return the fields that `address` (bytes) goes to; bits above `address_bits` count for nothing."""
        return self._locate(address)

    def locate_all(self, addresses: Integers) -> dict[str, Integers]:
        """Return the fields of all `addresses` (bytes), each an array of their shape."""
        return self._locate(addresses)

    def address_of(self, places: AbstractMapping[str, int]) -> int:
        """Return the first byte of the burst at `places`; a field not named is 0.

        Raises ChipError for an unknown field or one beyond its width.
        """
        for field, value in places.items():
            if field not in self._widths:
                raise ChipError(f"place: '{field[:20]}' is not one of {', '.join(FIELDS)}")
            if not 0 <= value < 1 << self._widths[field]:
                raise ChipError(f"place: {field} is {value}; allowed: 0..{(1 << self._widths[field]) - 1}")
        return self._address({field: places.get(field, 0) for field in FIELDS})

    def address_of_all(self, places: AbstractMapping[str, Integers]) -> Integers:
        """Return the first bytes of the bursts at `places`, which has all fields, as from `locate_all`."""
        return self._address(places)

    def to_bits(self) -> str:
        """Return the bit-string notation, such as 'RRRRBBGGCCC B0^R0'."""
        names = {field: letter for letter, field in LETTERS.items()}
        terms: dict[str, str] = {}
        for term in self.hashes:
            target = f"{names[term.field]}{term.field_bit}"
            terms[target] = terms.get(target, target) + f"^{names[term.source]}{term.source_bit}"
        return " ".join((self.letters, *terms.values()))

    def __str__(self) -> str:
        """Return the notation in words, which `parse_mapping` reads back."""
        tokens: list[str] = []
        left = dict(self._widths)
        for field, first, bits in self._runs():
            left[field] -= bits
            sources = "".join(
                f"^{term.source}" + (f"+{term.source_bit}" if term.source_bit else "")
                for term in self.hashes
                if (term.field, term.field_bit) == (field, first)
            )
            tokens.append(f"{field}{sources}" + (f":{bits}" if left[field] else ""))
        return " ".join(reversed(tokens))

    @cached_property
    def _widths(self) -> dict[str, int]:
        counts = Counter(self.letters)
        return {field: counts[letter] for letter, field in LETTERS.items()}

    def _locate(self, address: _Bits) -> dict[str, _Bits]:
        found = dict.fromkeys(FIELDS, address & 0)
        for piece in self.pieces:
            bits = (address >> piece.address_bit) & ((1 << piece.bits) - 1)
            found[piece.field] = found[piece.field] ^ bits << piece.field_bit
        return found

    def _address(self, places: AbstractMapping[str, _Bits]) -> _Bits:
        """XOR the address of each field bit that is set: the inverse of a linear map is linear."""
        address = places["row"] & 0
        for (field, bit), image in self._inverse.items():
            address = address ^ (places[field] >> bit & 1) * image
        return address

    @cached_property
    def _inverse(self) -> dict[tuple[str, int], int]:
        """The byte address at which one field bit alone is set, for every field bit."""
        masks = _masks(self.pieces)
        _, reduced = _eliminate(list(masks.values()))
        images = dict.fromkeys(masks, 0)
        for address_bit, combination in reduced.items():
            for number, place in enumerate(masks):
                images[place] |= (combination >> number & 1) << address_bit
        return images

    def _runs(self) -> list[tuple[str, int, int]]:
        """Cut the letters, lowest first, into (field, first bit, bits) whose hashes one token can say."""
        terms: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for term in self.hashes:
            terms.setdefault((term.field, term.field_bit), set()).add((term.source, term.source_bit))
        runs: list[tuple[str, int, int]] = []
        used = dict.fromkeys(FIELDS, 0)
        for letter in reversed(self.letters):
            field = LETTERS[letter]
            here = used[field]
            used[field] += 1
            if runs and runs[-1][0] == field:
                first, bits = runs[-1][1:]
                moved = {(source, bit + bits) for source, bit in terms.get((field, first), set())}
                moved = {(source, bit) for source, bit in moved if bit < self._widths[source]}
                if moved == terms.get((field, here), set()):
                    runs[-1] = (field, first, bits + 1)
                    continue
            runs.append((field, here, 1))
        return runs


def parse_mapping(text: str, standard: Standard, channels: int) -> Mapping:
    """Read a mapping in one of four notations, all with the highest bits first.

    Words: 'row rank bank^row group column channel pseudo group:1'. ':n' are n bits; a field without it takes
    what of it is not named further right. 'bank^row+2' XORs the row's own address bits from bit 2 up into
    these bits of the bank, as many as there are. Bits: 'RRRRKBBGGCCCHP B0^R2', a letter for each bit (see
    LETTERS; spaces and '_' are ignored), then the field bits that are hashed. One of PRESETS. DRAMsim3's
    pairs, such as 'rochrababgco', where 'ch' is channel and pseudo-channel. Raises ChipError unless each bit
    of each field is named once, and unless no two bursts go to one place.
    """
    widths = _field_widths(standard, channels)
    try:
        return compose_mapping(*parse_notation(text, widths), standard)
    except ChipError as error:
        raise ChipError(f"mapping '{text[:80]}': {error}") from None


def compose_mapping(letters: str, hashes: Iterable[Hash], standard: Standard) -> Mapping:
    """Build the mapping of `letters` (LETTERS, highest bit first) with `hashes` on top.

    Raises ChipError when the same hash stands there twice, or when it is not one-to-one.
    """
    ordered = tuple(sorted(hashes))
    for term, following in pairwise(ordered):
        if term == following:
            raise ChipError(
                f"{term.source} bit {term.source_bit} is XORed into {term.field} bit {term.field_bit} twice, "
                "which undoes it; name it once"
            )
    burst_bits = standard.burst_bytes.bit_length() - 1
    used = dict.fromkeys(FIELDS, 0)
    owners: list[Piece] = []
    for number, letter in enumerate(reversed(letters)):
        owners.append(Piece(LETTERS[letter], burst_bits + number, used[LETTERS[letter]], 1))
        used[LETTERS[letter]] += 1
    home = {(piece.field, piece.field_bit): piece.address_bit for piece in owners}
    extra = [Piece(term.field, home[term.source, term.source_bit], term.field_bit, 1) for term in ordered]
    pieces = (*_join(owners), *_join(sorted(extra, key=lambda piece: (piece.field, piece.address_bit))))
    _refuse_singular(pieces)
    return Mapping(letters, ordered, pieces, burst_bits)


def _field_widths(standard: Standard, channels: int) -> dict[str, int]:
    if channels < 1 or channels & channels - 1:
        raise ChipError(f"mapping: {channels} channels; allowed: a power of two")
    shape = standard.organisation
    sizes = (
        channels,
        shape.pseudo_channels,
        shape.ranks,
        shape.groups,
        shape.banks_per_group,
        shape.rows,
        shape.columns,
    )
    return {field: size.bit_length() - 1 for field, size in zip(FIELDS, sizes, strict=True)}


def _join(pieces: list[Piece]) -> list[Piece]:
    """Join pieces whose address bits and field bits run on."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and (last.field, last.address_bit + last.bits, last.field_bit + last.bits) == (
            piece.field,
            piece.address_bit,
            piece.field_bit,
        ):
            joined[-1] = Piece(last.field, last.address_bit, last.field_bit, last.bits + piece.bits)
        else:
            joined.append(piece)
    return joined


def _masks(pieces: tuple[Piece, ...]) -> dict[tuple[str, int], int]:
    """Return for each field bit the address bits that it is the XOR of."""
    masks: dict[tuple[str, int], int] = {}
    for piece in pieces:
        for number in range(piece.bits):
            place = (piece.field, piece.field_bit + number)
            masks[place] = masks.get(place, 0) ^ 1 << piece.address_bit + number
    return masks


def _eliminate(rows: list[int]) -> tuple[int, dict[int, int]]:
    """Gauss and Jordan over GF(2): a combination of rows that is zero (0: none), and for each column (bit)
    the combination of rows, one bit a row, that leaves that column alone.
    """
    pivots: dict[int, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        combination = 1 << number
        for column, (other, other_combination) in pivots.items():
            if row >> column & 1:
                row, combination = row ^ other, combination ^ other_combination
        if not row:
            return combination, {}
        pivot = row.bit_length() - 1
        for column, (other, other_combination) in pivots.items():
            if other >> pivot & 1:
                pivots[column] = (other ^ row, other_combination ^ combination)
        pivots[pivot] = (row, combination)
    return 0, {column: combination for column, (_, combination) in pivots.items()}


def _refuse_singular(pieces: tuple[Piece, ...]) -> None:
    """Raise ChipError unless the map has full rank over GF(2)."""
    masks = _masks(pieces)
    zero, _ = _eliminate(list(masks.values()))
    if zero:
        names = [f"{field} bit {bit}" for number, (field, bit) in enumerate(masks) if zero >> number & 1]
        raise ChipError(
            f"no permutation: {' ^ '.join(names)} is always 0, so that several bursts go to one place"
        )
