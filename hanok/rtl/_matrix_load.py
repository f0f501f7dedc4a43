"""The weight loader: tiles to the shadow weights, biases to their slots."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import FLAG_BIAS, FLAG_COLUMNS, MATRIX, Opcode
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Matrix
from hanok.rtl._matrix_columns import TileColumns, weight_port_bytes
from hanok.rtl._matrix_setup import dilation_bits
from hanok.rtl._memory_shift import delayed
from hanok.rtl.array import weight_sources
from hanok.rtl.records import record_layout
from hanok.units import ceil_div

BIAS_ROWS = 4
"""An int32 bias takes the bytes of four weight rows."""

_LATER = MEMORY_READ_CYCLES - 1
"""Cycles that answers come after the next tile's first read may go out."""


def bias_reads(matrix: Matrix) -> int:
    """Reads of the weight port for the biases of a block."""
    return ceil_div(BIAS_ROWS, matrix.preload_rows_per_cycle)


class MatrixLoader(wiring.Component):
    """Reads a tile after the other, as `preload_cycles` counts, or `column_preload_cycles` where weights lie
    by column: cycle 0 is that of `start` or `begin`.

    Reads go out from cycle 1 on, weights before biases; memory answers MEMORY_READ_CYCLES later, and in the
    cycle after that the beat goes to the shadow weights (`select` and `used`, or `shift`). `loaded` is 1 from
    the cycle on in which the tile may begin to stream, the beats that are still under way come before its
    weights are swapped. `begin` says that it does.
    """

    def __init__(self, matrix: Matrix, address_bits: int) -> None:
        self._matrix, self._address_bits = matrix, address_bits
        beat = weight_port_bytes(matrix)
        selects = sum(len(weight_sources(matrix, row)) for row in range(matrix.rows))
        super().__init__(
            {
                "record": In(record_layout(MATRIX)),
                "start": In(1),
                "dilation": In(dilation_bits(matrix)),
                "begin": In(1),
                "ready": Out(1),
                "loaded": Out(1),
                "read": Out(1),
                "address": Out(address_bits),
                "mask": Out(beat),
                "select": Out(selects),
                "used": Out(range(matrix.columns + 1)),
                "shift": Out(matrix.rows),
                "bias_part": Out(bias_reads(matrix)),  # which part of a block's biases memory answers now
                "bias_ends": Out(1),  # all biases of a tile that begins to stream have come
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._registers()
        busy, counts, settles, last = Signal(), Signal(), Signal(), Signal(reset_less=True)
        beat = self._matrix.preload_rows_per_cycle
        m.submodules.columns = columns = self._columns = TileColumns(self._matrix, self._address_bits)
        m.d.comb += self.ready.eq(~busy | (self.begin & last))
        m.d.comb += [
            self.bias_ends.eq(delayed(m, self.begin & self._has_bias, _LATER, "bias_ended")),
            self.used.eq(delayed(m, self._used, _LATER, "used_before")),
        ]
        with m.If(counts):
            m.d.sync += self._total_left.eq(self._total_left - beat)
            biases = self._bias_left > Mux(self._weights, 0, 1)
            rests = (self._weights & ~columns.last) | columns.rests | biases
            with m.If(Mux(self._by_column, ~rests, self._total_left <= beat)):
                m.d.sync += [counts.eq(0), settles.eq(1)]
        with m.If(settles):
            m.d.sync += [settles.eq(0), self.loaded.eq(1)]
        self._read(m)
        self._answer(m)
        self._next(m, last)
        with m.If(self.begin):
            m.d.sync += [self.loaded.eq(0), busy.eq(~last), counts.eq(~last)]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), counts.eq(1)]
        return m

    def _registers(self) -> None:
        matrix, record = self._matrix, self.record

        def register(like: Any, name: str) -> Signal:
            return Signal(like, name=name, reset_less=True)

        count = 16 + BIAS_ROWS.bit_length()
        self._depthwise, self._bias = register(1, "depthwise"), register(1, "bias")
        self._by_column = register(1, "by_column")
        self._held = {
            name: register(record[name].shape(), name)
            for name in ("tap_bytes", "taps_x", "taps_y", "last_columns")
        }
        self._left = {
            name: register(record[name].shape(), f"{name}_left")
            for name in ("tap_bytes", "taps_x", "taps_y", "blocks")
        }
        self._used = register(self.used.shape(), "tile_used")
        self._weight_address = register(self._address_bits, "weight_address")
        self._bias_address = register(self._address_bits, "bias_address")
        self._rows_left = Signal(count, name="rows_left")
        self._beat_bytes = register(len(self.mask).bit_length(), "beat_bytes")
        self._bias_left = Signal(range(bias_reads(matrix) + 1), name="bias_left")
        self._bias_bytes = register((4 * matrix.columns).bit_length(), "bias_bytes")
        self._total_left = register(count, "total_left")
        self._has_bias = register(1, "has_bias")
        self._weights = Signal(name="weights")
        self._number = register(range(ceil_div(matrix.rows, matrix.preload_rows_per_cycle) + 1), "number")

    def _tile(self, m: Module, rows: Value, used: Value, bias: Value, by_column: Value) -> None:
        """Take the counts of a tile of `rows` rows; none of them is read as a row if it lies by column."""
        beat, columns = self._matrix.preload_rows_per_cycle, self._columns
        port = len(self.mask)
        m.d.comb += [columns.rows.eq(rows), columns.used.eq(used), columns.by_column.eq(by_column)]
        column_bytes = Mux(columns.rows > port, port, columns.rows)
        m.d.sync += [
            self._used.eq(used),
            self._rows_left.eq(Mux(by_column, 0, rows)),
            self._weights.eq(1),
            self._beat_bytes.eq(
                Mux(by_column, column_bytes, used * Mux(rows > beat, beat, rows)[: beat.bit_length()])
            ),
            self._total_left.eq(rows + Mux(bias, BIAS_ROWS, 0)),
            self._bias_left.eq(Mux(bias, bias_reads(self._matrix), 0)),
            self._bias_bytes.eq(used << 2),
            self._has_bias.eq(bias),
            self._number.eq(0),
        ]

    def _next(self, m: Module, last: Signal) -> None:
        """Go on to the next tile at `begin`, to the first of a record at `start`."""
        matrix, held, left, record = self._matrix, self._held, self._left, self.record
        chunk_ends, tap_ends, block_ends = (
            Signal(name=f"{name}_ends", reset_less=True) for name in ("chunk", "tap", "block")
        )
        ends = (left["tap_bytes"] <= matrix.rows) & ((left["taps_x"] == 1) | self._depthwise)
        m.d.sync += [
            chunk_ends.eq(left["tap_bytes"] <= matrix.rows),
            tap_ends.eq(ends),
            block_ends.eq(ends & (left["taps_y"] == 1)),
            last.eq(ends & (left["taps_y"] == 1) & (left["blocks"] == 1)),
        ]
        rows, used, bias = self._coming(m, chunk_ends, block_ends)
        with m.If(self.begin):
            less = left["tap_bytes"] - matrix.rows
            m.d.sync += left["tap_bytes"].eq(Mux(chunk_ends, held["tap_bytes"], less))
            with m.If(chunk_ends):
                m.d.sync += left["taps_x"].eq(Mux(tap_ends, held["taps_x"], left["taps_x"] - 1))
            with m.If(tap_ends):
                m.d.sync += left["taps_y"].eq(Mux(block_ends, held["taps_y"], left["taps_y"] - 1))
            with m.If(block_ends):
                m.d.sync += left["blocks"].eq(left["blocks"] - 1)
            self._tile(m, rows, used, bias, self._by_column)
            with m.If(self._by_column):
                m.d.sync += self._weight_address.eq(self._columns.tile)
            with m.If(last):
                m.d.sync += [self._rows_left.eq(0), self._weights.eq(0), self._bias_left.eq(0)]
        with m.If(self.start):
            depthwise, bias = record.opcode == Opcode.DEPTHWISE, (record.flags & FLAG_BIAS) != 0
            by_column = (record.flags & FLAG_COLUMNS) != 0
            m.d.sync += [self._depthwise.eq(depthwise), self._bias.eq(bias), self._by_column.eq(by_column)]
            m.d.sync += [register.eq(record[name]) for name, register in held.items()]
            m.d.sync += [register.eq(record[name]) for name, register in left.items()]
            m.d.sync += [
                self._weight_address.eq(record.weight_address),
                self._bias_address.eq(record.bias_address),
            ]
            used = Mux(record.blocks == 1, record.last_columns, matrix.columns)
            rows = Mux(depthwise, record.taps_x, self._chunk(record.tap_bytes))
            self._tile(m, rows, used, bias, by_column)
        m.d.comb += [
            self._columns.record.eq(record),
            self._columns.start.eq(self.start),
            self._columns.begin.eq(self.begin & ~last),
            self._columns.block_ends.eq(block_ends),
        ]

    def _coming(self, m: Module, chunk_ends: Value, block_ends: Value) -> tuple[Value, Value, Value]:
        """Rows, columns and bias of the tile behind the present one, three cycles after its counts."""
        matrix, held, left = self._matrix, self._held, self._left
        whole = Signal(range(matrix.rows + 1), name="whole_chunk", reset_less=True)
        rows = Signal(held["taps_x"].shape(), name="coming_rows", reset_less=True)
        used, bias = Signal.like(self.used, reset_less=True), Signal(reset_less=True)
        rest = left["tap_bytes"][: (2 * matrix.rows).bit_length()] - matrix.rows
        chunk = Mux(left["tap_bytes"] > 2 * matrix.rows, matrix.rows, rest[: len(whole)])
        fits = Mux(block_ends, left["blocks"] == 2, left["blocks"] == 1)
        m.d.sync += [
            whole.eq(self._chunk(held["tap_bytes"])),
            rows.eq(Mux(self._depthwise, held["taps_x"], Mux(chunk_ends, whole, chunk))),
            used.eq(Mux(fits, held["last_columns"], matrix.columns)),
            bias.eq(block_ends & self._bias),
        ]
        return rows, used, bias

    def _chunk(self, tap_bytes: Value) -> Value:
        rows = self._matrix.rows
        return Mux(tap_bytes > rows, rows, tap_bytes)[: rows.bit_length()]

    def _read(self, m: Module) -> None:
        """A read of the weight port: rows of the tile, then biases."""
        matrix = self._matrix
        beat, width = matrix.preload_rows_per_cycle, len(self.mask)
        biases = Signal()
        m.d.comb += biases.eq(~self._weights & (self._bias_left != 0))
        rest = Signal.like(self._rows_left, name="rows_rest")
        goes_on = self._rows_left > beat
        low = self._rows_left[: (2 * beat).bit_length()] - beat
        following = Mux(self._rows_left > 2 * beat, beat, Mux(goes_on, low, 0))[: beat.bit_length()]
        m.d.comb += rest.eq(Mux(goes_on, self._rows_left - beat, 0))
        size = Mux(self._bias_bytes > width, width, self._bias_bytes)
        columns, by_column = self._columns, self._by_column
        behind = Signal(self._address_bits, name="behind")
        m.d.comb += [
            columns.reads.eq(self._weights & by_column),
            columns.at.eq(self._weight_address),
            behind.eq(
                Mux(by_column, columns.base, self._weight_address)
                + Mux(by_column, columns.step, self._beat_bytes)
            ),
            columns.behind.eq(behind),
        ]
        with m.If(self._weights):
            m.d.sync += [
                self._weight_address.eq(behind),
                self._rows_left.eq(rest),
                self._weights.eq(Mux(by_column, ~columns.last, goes_on)),
                self._beat_bytes.eq(Mux(by_column, columns.next_size, self._used * following)),
                self._number.eq(self._number + 1),
            ]
        with m.Elif(biases):
            m.d.sync += [
                self._bias_address.eq(self._bias_address + size),
                self._bias_bytes.eq(self._bias_bytes - size),
                self._bias_left.eq(self._bias_left - 1),
            ]
        m.d.comb += [
            self.read.eq(self._weights | (biases & (self._bias_bytes != 0))),
            self.address.eq(Mux(self._weights, self._weight_address, self._bias_address)),
        ]
        m.d.comb += [
            self.mask[at].eq(Mux(self._weights, self._beat_bytes > at, biases & (self._bias_bytes > at)))
            for at in range(width)
        ]

    def _answer(self, m: Module) -> None:
        """When memory answers: which array rows take which row of the beat, in the cycle after that."""
        matrix = self._matrix
        beat, reads = matrix.preload_rows_per_cycle, bias_reads(matrix)
        parts = [~self._weights & (self._bias_left == reads - part) for part in range(reads)]
        taken = (self._rows_left > source for source in range(beat))
        number, valid, bias_part = (
            delayed(m, value, MEMORY_READ_CYCLES, f"answered_{name}")
            for name, value in (("number", self._number), ("rows", Cat(taken)), ("biases", Cat(parts)))
        )
        m.d.comb += [self.bias_part.eq(bias_part), self.shift.eq(self._columns.shift)]
        numbers = [number == at for at in range(ceil_div(matrix.rows, beat))]
        dilations = [Value.cast(1), *(self.dilation == at for at in range(1, matrix.rows))]
        selects: list[Value] = []
        for row in range(matrix.rows):
            for source, cases in weight_sources(matrix, row).items():
                chosen: Any = 0
                for dilation, at in cases:
                    chosen |= dilations[dilation] & numbers[at]
                selects.append(valid[source] & chosen)
        m.d.sync += self.select.eq(Cat(selects))
