"""How a long prompt is cut: rows with the keys that they can see, and columns of float32 results."""

from __future__ import annotations

from dataclasses import dataclass

_FEWEST_ROWS = 128
"""Blocks of fewer rows would leave the matrix unit waiting for keys: a product loads them for each block."""
_MOST_BLOCKS = 8
"""More would save little: with n blocks (n + 1) / 2n of the scores are made, of which 1 / 2 are needed."""
_RESULT_BYTES = 1 << 20
"""Of a float32 result; a chip with a few MiB of SRAM keeps it beside what it is made from."""
_REAL_BYTES = 4


@dataclass(frozen=True)
class RowBlock:
    """Rows start..end - 1 of a prompt, which see no key but first_key..end - 1."""

    start: int
    end: int
    first_key: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.end - self.start


def causal_blocks(rows: int, window: int = 0) -> tuple[RowBlock, ...]:
    """Cut a prompt of `rows` tokens into blocks, each a row at least.

    A row sees its own key and those before it; where `window` is not 0, as many as that at most.
    """
    length = max(_FEWEST_ROWS, -(-rows // _MOST_BLOCKS))
    return tuple(
        RowBlock(start, min(start + length, rows), max(0, start - window + 1) if window else 0)
        for start in range(0, rows, length)
    )


def result_columns(rows: int, unit: int = 128) -> int:
    """How many columns, in whole units, a float32 result of so many rows has at most."""
    return max(unit, _RESULT_BYTES // (_REAL_BYTES * rows) // unit * unit)
