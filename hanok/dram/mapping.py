"""Address mappings: which bits of a byte address choose channel, bank, row and column."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.dram.standard import Standard
from hanok.errors import ChipError

FIELDS = ("channel", "pseudo", "rank", "group", "bank", "row", "column")


@dataclass(frozen=True)
class Piece:
    """`bits` address bits from `address_bit` up are bits `field_bit` up of `field`."""

    field: str
    address_bit: int
    field_bit: int
    bits: int


@dataclass(frozen=True)
class Mapping:
    """A permutation of burst addresses; besides, the low row bits are XORed into the bank number.

    The XOR keeps two streams whose buffers are aligned alike from meeting in one bank all the time.
    """

    pieces: tuple[Piece, ...]
    address_bits: int

    def locate(self, address: int) -> dict[str, int]:
        """Return the fields that `address` (bytes) goes to."""
        found = dict.fromkeys(FIELDS, 0)
        for piece in self.pieces:
            found[piece.field] |= (address >> piece.address_bit & (1 << piece.bits) - 1) << piece.field_bit
        found["bank"] ^= found["row"] & (1 << self.width("bank")) - 1
        return found

    def width(self, field: str) -> int:
        """Return how many bits `field` has."""
        return sum(piece.bits for piece in self.pieces if piece.field == field)


def parse_mapping(text: str, standard: Standard, channels: int) -> Mapping:
    """Read a mapping such as 'row rank bank group column channel pseudo group:1', highest bits first.

    A field without ':bits' takes the bits of it that are not named further right. Raises ChipError unless
    every bit of every field is named exactly once.
    """
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
    left = {field: size.bit_length() - 1 for field, size in zip(FIELDS, sizes, strict=True)}
    used = dict.fromkeys(FIELDS, 0)
    position = standard.burst_bytes.bit_length() - 1
    pieces = []
    for token in reversed(text.split()):
        field, _, count = token.partition(":")
        if field not in left or (count and not (count.isascii() and count.isdigit() and len(count) < 3)):
            raise ChipError(
                f"mapping '{text[:80]}': '{token[:20]}' is not one of {', '.join(FIELDS)} with optional :bits"
            )
        bits = int(count) if count else left[field]
        if bits > left[field]:
            raise ChipError(
                f"mapping '{text[:80]}': {token} asks for {bits} bits; {left[field]} are left of {field}"
            )
        if bits:
            pieces.append(Piece(field, position, used[field], bits))
        left[field] -= bits
        used[field] += bits
        position += bits
    missing = [field for field in FIELDS if left[field]]
    if missing:
        raise ChipError(
            f"mapping '{text[:80]}': bits of {', '.join(missing)} are not named; name every field once"
        )
    return Mapping(tuple(pieces), position)
