"""The code of packed weights: from the lengths of 256 symbols to what the lanes compare with and look up."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.numerics.huffman import MAX_LENGTH, SYMBOLS, TABLE_BYTES

LENGTHS = range(1, MAX_LENGTH + 1)
END_BITS = MAX_LENGTH + 1
SUM_BITS = MAX_LENGTH + SYMBOLS.bit_length()
"""Of the sum of all codes' windows, also of a table with far too many."""
SYMBOL_BITS = 8
LENGTH_BITS = 4

CODE = data.StructLayout(
    {
        "ends": data.ArrayLayout(END_BITS, MAX_LENGTH),  # the window behind the last code of each length
        "offsets": data.ArrayLayout(SYMBOL_BITS, MAX_LENGTH),  # from a code of a length to its symbol's place
    }
)
"""A canonical code; a window's length is the first one whose end lies above it. All zero: no code."""
SYMBOL = data.StructLayout({"en": 1, "place": SYMBOL_BITS, "symbol": SYMBOL_BITS})
"""A symbol for its place in the order of the codes."""


def selected(choice: Any, values: list[Any]) -> Value:
    """Return the value whose bit of `choice` is 1, or 0."""
    bits = max(len(value) for value in values)
    found: Any = 0
    for number, value in enumerate(values):
        found |= Value.cast(value) & Value.cast(choice)[number].replicate(bits)
    return Value.cast(found)[:bits]


class _Lengths(wiring.Component):
    """The table as it came, in rows of a beat; from `start` on it gives all lengths, one a cycle."""

    def __init__(self, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "write": In(1),
                "write_row": In(range(-(-TABLE_BYTES // width))),
                "content": In(8 * width),
                "start": In(1),
                "valid": Out(1),
                "length": Out(LENGTH_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        in_row = 2 * self._width
        rows = -(-TABLE_BYTES // self._width)
        m.submodules.rows = table = memory.Memory(shape=8 * self._width, depth=rows, init=[])
        write, read = table.write_port(), table.read_port()
        row, shown = Signal(8 * self._width, reset_less=True), Signal(range(rows))
        place, left = Signal(range(in_row)), Signal(range(SYMBOLS))
        begins, fetches = Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_row),
            write.data.eq(self.content),
            read.addr.eq(shown),
            fetches.eq(begins | (place == in_row - 1)),
            self.length.eq(row[:LENGTH_BITS]),
        ]
        m.d.sync += [
            begins.eq(self.start),
            row.eq(Mux(fetches, read.data, row >> LENGTH_BITS)),
            place.eq(Mux(fetches, 0, place + 1)),
            left.eq(Mux(begins, SYMBOLS - 1, left - 1)),
        ]
        with m.If(begins):
            m.d.sync += self.valid.eq(1)
        with m.Elif(left == 0):
            m.d.sync += self.valid.eq(0)
        with m.If(fetches & (begins | self.valid)):
            m.d.sync += shown.eq(Mux(shown == rows - 1, 0, shown + 1))
        with m.If(~self.valid & ~begins & ~self.start):
            m.d.sync += shown.eq(0)
        return m


class CodeBuilder(wiring.Component):
    """Make `code` from a table.

    The table's bytes are written in rows of a beat. `start`, which comes with the last of them, counts the
    symbols of each length, then sums, then gives each symbol its place. `built` is 1 for a cycle at the end.
    `wrong` comes with it where the lengths ask for more codes than there are.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "write": In(1),
                "write_row": In(range(-(-TABLE_BYTES // width))),
                "content": In(8 * width),
                "start": In(1),
                "built": Out(1),
                "wrong": Out(1),
                "code": Out(CODE),
                "sorted": Out(SYMBOL),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.lengths = lengths = _Lengths(self._width)
        counts = [Signal(range(SYMBOLS + 1), name=f"count_{length}") for length in LENGTHS]
        places = [Signal(SYMBOL_BITS, name=f"place_{length}") for length in LENGTHS]
        sums, summed, sorts, sorted_all = Signal(), Signal(), Signal(), Signal()
        kind, counted = Signal(MAX_LENGTH), Signal()
        m.d.comb += [
            lengths.write.eq(self.write),
            lengths.write_row.eq(self.write_row),
            lengths.content.eq(self.content),
            lengths.start.eq(self.start | summed),
            counted.eq(~lengths.valid),
        ]
        m.d.sync += kind.eq(Cat(lengths.valid & (lengths.length == length) for length in LENGTHS))
        before = Signal()
        m.d.sync += before.eq(lengths.valid)
        ends = Signal()
        m.d.sync += ends.eq(before & counted)
        with m.If(self.start):
            m.d.sync += [sorts.eq(0), *(count.eq(0) for count in counts)]
        with m.Elif(summed):
            m.d.sync += sorts.eq(1)
        m.d.comb += [sums.eq(ends & ~sorts), sorted_all.eq(ends & sorts)]
        with m.If(~sorts & ~self.start):
            m.d.sync += [count.eq(count + one) for count, one in zip(counts, kind, strict=True)]
        self._sum(m, sums, summed, counts, places)
        symbol = Signal(SYMBOL_BITS)
        m.d.sync += [
            symbol.eq(Mux(lengths.start, 0, symbol + before)),
            self.sorted.en.eq(sorts & kind.any()),
            self.sorted.place.eq(selected(kind, list(places))),
            self.sorted.symbol.eq(symbol),
            self.built.eq(sorted_all),
        ]
        with m.If(sorts):
            m.d.sync += [place.eq(place + one) for place, one in zip(places, kind, strict=True)]
        return m

    def _sum(self, m: Module, starts: Value, ends: Value, counts: list[Signal], places: list[Signal]) -> None:
        """Length by length, add the windows and the symbols of its codes."""
        at = [Signal(MAX_LENGTH, name=f"at_{stage}") for stage in range(3)]
        window, rank = Signal(SUM_BITS), Signal(range(SYMBOLS + 1))
        added, symbols = Signal(SUM_BITS, reset_less=True), Signal(rank.shape(), reset_less=True)
        first, below = (Signal(SYMBOL_BITS, name=name, reset_less=True) for name in ("first", "below"))
        after = Signal(SUM_BITS)
        m.d.comb += after.eq(window + added)
        spread = [count << (MAX_LENGTH - length) for length, count in zip(LENGTHS, counts, strict=True)]
        m.d.sync += [
            at[0].eq(Cat(starts, at[0][:-1])),
            at[1].eq(at[0]),
            at[2].eq(at[1]),
            added.eq(selected(at[0], spread)),
            symbols.eq(selected(at[0], list(counts))),
            first.eq(selected(at[1], [window.shift_right(MAX_LENGTH - length)[:8] for length in LENGTHS])),
            below.eq(rank),
            ends.eq(at[2][-1]),
        ]
        with m.If(at[1].any()):
            m.d.sync += [window.eq(after), rank.eq(rank + symbols)]
        with m.Elif(starts):
            m.d.sync += [window.eq(0), rank.eq(0)]
        for number, place in enumerate(places):
            with m.If(at[1][number]):
                m.d.sync += [self.code.ends[number].eq(after), place.eq(rank)]
            with m.If(at[2][number]):
                m.d.sync += self.code.offsets[number].eq(below - first)
        m.d.comb += self.wrong.eq(
            self.built & (window[END_BITS:].any() | (window[END_BITS - 1] & window[: END_BITS - 1].any()))
        )
