"""Weight tiles that lie by column: where each read goes, and which rows of the array take it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import MATRIX
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Matrix
from hanok.rtl._matrix_setup import memory_bits
from hanok.rtl._memory_shift import delayed
from hanok.rtl._strides import bounded
from hanok.rtl.records import record_layout
from hanok.units import ceil_div

_TURNOVER = 2
"""Cycles from a tile's last read to the first in which the tile behind it may begin."""


def weight_port_bytes(matrix: Matrix) -> int:
    """Bytes that the weight port brings in a cycle."""
    return matrix.columns * matrix.preload_rows_per_cycle


class TileColumns(wiring.Component):
    """A column after the other enters the array at its last one, and those before it move on by one.

    A column of more bytes than the port has takes several reads. Behind the last column of a tile that does
    not use all of them, columns move on without a read until the first one is in its place.

    A tile of `rows` and `used` is taken at `start` or `begin`. `reads`: a read goes out, `at` an address. The
    next one is at `base` + `step`, which comes back as `behind`, and has `next_size` bytes. `last`: it is the
    tile's last. `rests`: columns move on after this cycle, too. `tile` is where the next tile begins, from
    the second cycle after the last read on; `block_ends`: it is the first of a block.
    `shift`, a bit for each row of the array, belongs to what memory brought a cycle ago.
    """

    def __init__(self, matrix: Matrix, address_bits: int) -> None:
        self._matrix, self._address_bits = matrix, address_bits
        self._port = weight_port_bytes(matrix)
        self._parts = ceil_div(matrix.rows, self._port)
        super().__init__(
            {
                "record": In(record_layout(MATRIX)),
                "start": In(1),
                "begin": In(1),
                "by_column": In(1),
                "rows": In(range(matrix.rows + 1)),
                "used": In(range(matrix.columns + 1)),
                "block_ends": In(1),
                "reads": In(1),
                "at": In(address_bits),
                "behind": In(address_bits),
                "base": Out(address_bits),
                "step": Out(signed(address_bits)),
                "next_size": Out(range(self._port + 1)),
                "last": Out(1),
                "rests": Out(1),
                "tile": Out(address_bits),
                "shift": Out(matrix.rows),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        columns, bits = self._matrix.columns, memory_bits(self._address_bits)
        self._rows = Signal(self.rows.shape(), name="tile_rows", reset_less=True)
        self._pitch = Signal(signed(bits + 1), name="pitch", reset_less=True)
        left = Signal(range(max(2, columns)), reset_less=True)
        empty = Signal(range(max(2, columns)))
        moves_on = ~self.reads & (empty != 0)
        ends, parts = self._part(m)
        m.d.comb += [
            self.last.eq(ends & (left == 0)),
            self.rests.eq(Mux(self.reads, empty != 0, empty > 1)),
        ]
        with m.If(self.reads & ends):
            m.d.sync += left.eq(left - 1)
        with m.If(moves_on):
            m.d.sync += empty.eq(empty - 1)
        with m.If(self.start | self.begin):
            m.d.sync += [
                self._rows.eq(self.rows),
                left.eq(self.used - 1),
                empty.eq(Mux(self.by_column, columns - self.used, 0)),
            ]
        self._tiles(m)
        self._shifts(m, [moves_on | (self.reads & part) for part in parts])
        return m

    def _part(self, m: Module) -> tuple[Value, list[Value]]:
        """Whether a read is the last one of its column, and a bit for each part that it may be."""
        if self._parts == 1:
            m.d.comb += [self.base.eq(self.at), self.step.eq(self._pitch), self.next_size.eq(self._rows)]
            return Const(1, 1), [Const(1, 1)]
        port, column_at = self._port, Signal(self._address_bits, name="column_at", reset_less=True)
        part, following = (Signal(range(self._parts), name=name) for name in ("part", "following_part"))
        firsts = range(port, self._matrix.rows, port)
        last_part = sum(((self._rows > first) for first in firsts), Const(0))
        last_size = Signal(self.next_size.shape(), name="last_size")
        m.d.comb += last_size.eq(self._rows)
        for first in firsts:
            with m.If(self._rows > first):
                m.d.comb += last_size.eq(self._rows - first)
        ends = part == last_part
        m.d.comb += [
            following.eq(Mux(ends, 0, part + 1)),
            self.base.eq(Mux(ends, column_at, self.at)),
            self.step.eq(Mux(ends, self._pitch, port)),
            self.next_size.eq(Mux(following == last_part, last_size, port)),
        ]
        with m.If(self.reads):
            m.d.sync += part.eq(following)
            with m.If(ends):
                m.d.sync += column_at.eq(self.behind)
        with m.If(self.begin):
            m.d.sync += column_at.eq(self.tile)
        with m.If(self.start):
            m.d.sync += column_at.eq(self.record.weight_address)
        return ends, [part == number for number in range(self._parts)]

    def _tiles(self, m: Module) -> None:
        """Where tiles begin: behind the last column of a block's first tile lies the next block."""
        tile_at, block_at = (
            Signal(self._address_bits, name=name, reset_less=True) for name in ("tile_at", "block_at")
        )
        opens = Signal(reset_less=True)
        m.d.sync += self.tile.eq(Mux(self.block_ends, block_at, tile_at + self._rows))
        with m.If(self.reads & self.last & opens):
            m.d.sync += block_at.eq(self.behind)
        with m.If(self.begin):
            m.d.sync += [tile_at.eq(self.tile), opens.eq(self.block_ends)]
        with m.If(self.start):
            pitch = Cat(self.record.weight_pitch, Const(0, 1))
            m.d.sync += [
                tile_at.eq(self.record.weight_address),
                opens.eq(1),
                self._pitch.eq(bounded(pitch, len(self._pitch))),
            ]

    def _shifts(self, m: Module, parts: list[Value]) -> None:
        """Rows of the array that move when memory has answered; those behind the tile's last stay zero."""
        answered = delayed(m, Cat(parts), MEMORY_READ_CYCLES, "answered_parts")
        rows = delayed(m, self._rows, _TURNOVER, "rows_before")
        m.d.sync += [
            self.shift[row].eq(answered[row // self._port] & (rows > row)) for row in range(self._matrix.rows)
        ]
