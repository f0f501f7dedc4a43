"""Where the cells of a banked memory lie: words run over all banks, and each bank holds some of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hanok.units import ceil_div


@dataclass(frozen=True)
class Geometry:
    """Cells in a row over all banks, `columns` of them (a power of two) a word.

    Each column is a memory of its own in each bank, so an access of up to a word from any cell on takes
    word w in the columns at or above the first cell's, and word w + 1 in those below. Words are counted over
    all banks, so that an access turns its data in the same way whatever its banks; a bank need not begin with
    a word.
    """

    banks: int
    bank_cells: int
    columns: int
    cell_bits: int
    cell_masks: int
    """Parts of a cell that are written on their own, a power of two."""
    ring_parts: int
    """A word's parts or half of them, at least those of an access: place p is for parts p modulo these."""

    @property
    def part_bits(self) -> int:
        """Bits of a part's number that are its place in a cell."""
        return self.cell_masks.bit_length() - 1

    @property
    def offset_bits(self) -> int:
        """Bits of a part's number that are its place in a word."""
        return self.part_bits + self.column_bits

    @property
    def word_parts(self) -> int:
        """Parts of a word."""
        return self.columns * self.cell_masks

    @property
    def halves(self) -> bool:
        """Whether a ring is half a word, so that each of its places has one of two parts."""
        return self.ring_parts < self.word_parts

    @property
    def ring_bits(self) -> int:
        """Bits of a ring."""
        return self.ring_parts * self.cell_bits // self.cell_masks

    @property
    def cells(self) -> int:
        """Cells of all banks."""
        return self.banks * self.bank_cells

    @property
    def column_bits(self) -> int:
        """Bits of a cell's number that are its column."""
        return self.columns.bit_length() - 1

    @property
    def cell_number_bits(self) -> int:
        """Bits of a cell's number, with room for wrong ones: a product of a row may be twice too large."""
        return (2 * self.cells - 1).bit_length()

    @cached_property
    def first_words(self) -> tuple[tuple[int, ...], ...]:
        """Return the first words of each column, [column][bank], and behind the last bank the end."""
        banks = range(self.banks + 1)
        return tuple(
            tuple(ceil_div(bank * self.bank_cells - column, self.columns) for bank in banks)
            for column in range(self.columns)
        )

    @cached_property
    def classes(self) -> tuple[tuple[int, ...], ...]:
        """The different ones of `first_words`: just one if a bank is a whole number of words."""
        return tuple(dict.fromkeys(self.first_words))

    @cached_property
    def class_of(self) -> tuple[int, ...]:
        """The class of each column."""
        numbers = {words: number for number, words in enumerate(self.classes)}
        return tuple(numbers[words] for words in self.first_words)

    def members(self, number: int) -> int:
        """Return the columns of a class, a bit each."""
        return sum(1 << column for column, own in enumerate(self.class_of) if own == number)

    @cached_property
    def depths(self) -> tuple[tuple[int, ...], ...]:
        """Words of the memory of each column, [bank][column]; 0 where a word is longer than a bank."""
        return tuple(
            tuple(words[bank + 1] - words[bank] for words in self.first_words) for bank in range(self.banks)
        )

    @property
    def memory_bits(self) -> int:
        """Bits of all memories; they have no word that is not used."""
        return self.cells * self.cell_bits
