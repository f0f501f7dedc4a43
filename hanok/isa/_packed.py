"""The packed form of instructions as tables: bitmap and body words, and the register that each changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.isa.table import BY_OPCODE, FLAG_FRESH, INSTRUCTIONS, Format, Opcode, Unit

WORD = np.dtype("<u4")
FRESH_BIT = FLAG_FRESH << 24
"""FLAG_FRESH in the header word."""
_BITMAP_BITS = 8 * WORD.itemsize


@dataclass(frozen=True)
class PackedFormat:
    """How the records of a format are packed."""

    dtype: np.dtype[np.void]
    body_words: int
    """32-bit words after the header that fields reach into."""
    bitmap_words: int
    used_bits: tuple[int, ...]
    """Bits of each body word that belong to fields."""

    @property
    def record_words(self) -> int:
        """32-bit words of a record, header and padding included."""
        return self.dtype.itemsize // WORD.itemsize


def _packed(layout: Format) -> PackedFormat:
    body_bytes = sum(field.size_bytes for field in layout.fields) - WORD.itemsize
    body_words = -(-body_bytes // WORD.itemsize)
    used = (1 << 8 * body_bytes) - 1
    return PackedFormat(
        layout.dtype,
        body_words,
        -(-body_words // _BITMAP_BITS),
        tuple(used >> _BITMAP_BITS * number & 0xFFFFFFFF for number in range(body_words)),
    )


FORMATS: dict[str, PackedFormat] = {row.format.name: _packed(row.format) for row in INSTRUCTIONS}
FORMAT_OF: dict[Opcode, PackedFormat] = {row.opcode: FORMATS[row.format.name] for row in INSTRUCTIONS}
_REGISTERS: tuple[tuple[Unit, str], ...] = tuple(
    dict.fromkeys((row.unit, row.format.name) for row in INSTRUCTIONS)
)
"""Each unit keeps the last record of each of its formats."""
REGISTER_OF: dict[Opcode, int] = {
    opcode: _REGISTERS.index((row.unit, row.format.name)) for opcode, row in BY_OPCODE.items()
}


def _kernel_table() -> npt.NDArray[np.int64]:
    table = np.full((256, 5), -1, np.int64)
    for opcode, form in FORMAT_OF.items():
        number = list(FORMATS).index(BY_OPCODE[opcode].format.name)
        table[opcode] = number, form.record_words, form.body_words, form.bitmap_words, REGISTER_OF[opcode]
    return table


def _used_bits() -> npt.NDArray[np.uint32]:
    used = np.zeros((len(FORMATS), max(form.body_words for form in FORMATS.values())), np.uint32)
    for row, form in zip(used, FORMATS.values(), strict=True):
        row[: form.body_words] = form.used_bits
    return used


KERNEL_TABLE = _kernel_table()
"""Opcode -> format number (-1: illegal), record, body and bitmap words, register; see _kernels_decode."""
KERNEL_USED_BITS = _used_bits()
"""Format number, body word -> bits that belong to fields."""
