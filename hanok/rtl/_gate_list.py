"""Gates of two and three inputs in a growing list: what the cells of a netlist are made into."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from hanok.errors import HanokError
from hanok.rtl._kernels_gates import AND, MUX, OR, READ, XOR, Gates

ZERO, ONE = 0, 1
"""Nets that are constant."""
MOST_NETS = 1 << 24

Bits = Sequence[int]
"""Nets of a word, the lowest bit first."""


class GateList:
    """Gates as rows of `Gates`; what constants decide becomes no gate.

    An inverter is an XOR with `ONE`, a wire an AND of a net with itself.
    """

    def __init__(self, nets: int) -> None:
        self.nets = nets
        self._rows = array("i")

    def rows(self) -> Gates:
        """Return all gates, in the order in which they were added."""
        return (
            np.frombuffer(self._rows, np.int32).reshape(-1, 5) if self._rows else np.zeros((0, 5), np.int32)
        )

    def new_nets(self, count: int) -> int:
        """Return the first of nets that follow each other."""
        first = self.nets
        self.nets += count
        if self.nets > MOST_NETS:
            raise HanokError(f"the design has more than {MOST_NETS:,} gates; give the core alone")
        return first

    def connect(self, net: int, source: int) -> None:
        """Let a net that nothing drives have a source's value."""
        self._rows.extend((AND, net, source, source, 0))

    def gathered(self, sources: Bits) -> int:
        """Return the first of nets that follow each other, with the values of sources."""
        first = self.new_nets(len(sources))
        for place, source in enumerate(sources):
            self.connect(first + place, source)
        return first

    def read(self, port: int, bits: int) -> int:
        """Add a read of a memory; return the first net of its word."""
        first = self.new_nets(bits)
        self._rows.extend((READ, first, port, 0, 0))
        return first

    def both(self, a: int, b: int) -> int:
        if ZERO in (a, b):
            return ZERO
        if b in (a, ONE):
            return a
        return b if a == ONE else self._gate(AND, a, b)

    def either(self, a: int, b: int) -> int:
        if ONE in (a, b):
            return ONE
        if b in (a, ZERO):
            return a
        return b if a == ZERO else self._gate(OR, a, b)

    def differ(self, a: int, b: int) -> int:
        if a == b:
            return ZERO
        if b == ZERO:
            return a
        if a == ZERO:
            return b
        if a == ONE:
            a, b = b, a
        return ONE if a == ZERO else self._gate(XOR, a, b)

    def inverse(self, a: int) -> int:
        return self.differ(a, ONE)

    def choose(self, select: int, high: int, low: int) -> int:
        """`high` where `select` is set, else `low`."""
        if select in (ZERO, ONE):
            return high if select else low
        if high == low:
            return high
        if low == ZERO:
            return self.both(select, high)
        return self.either(select, low) if high == ONE else self._gate(MUX, select, high, low)

    def choose_word(self, select: int, high: Bits, low: Bits) -> list[int]:
        """`choose` for each bit of two words of the same length."""
        return [self.choose(select, one, zero) for one, zero in zip(high, low, strict=True)]

    def _gate(self, operation: int, a: int, b: int, c: int = 0) -> int:
        out = self.new_nets(1)
        self._rows.extend((operation, out, a, b, c))
        return out
