"""The walk over activations: a position a cycle, over rows, chunks, taps and blocks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix
from hanok.rtl._matrix_remainder import VALUE_BITS
from hanok.rtl._matrix_setup import (
    COORDINATE_BITS,
    accumulator_row_bits,
    dilation_bits,
    memory_bits,
    walk_layout,
)
from hanok.rtl._strides import is_beyond
from hanok.rtl.scratchpad import MASKED_SPARE_BITS


def position_layout(matrix: Matrix, address_bits: int) -> data.StructLayout:
    """A position as it streams: what is read, and what becomes of the sums."""
    return data.StructLayout(
        {
            "address": address_bits,
            "mask": max(matrix.rows, matrix.columns),  # bytes inside the limits; the others are `pad`
            "pad": 8,
            "depthwise": 1,
            "entry": dilation_bits(matrix),  # array row where DEPTHWISE's pixels enter
            "writes": 1,  # the window is whole, or CONV: the sums go to accumulator row `row`
            "row": accumulator_row_bits(matrix),
            "used": range(matrix.columns + 1),
            "adds": 1,  # to what the accumulators hold; otherwise to the bias or zero
            "bias": 1,
            "tile_first": 1,
            "tile_last": 1,
            "last": 1,  # of the instruction
        }
    )


class MatrixWalk(wiring.Component):
    """Positions in the order of the stream.

    `first` is taken while `pending`, when the positions before it have been made. A position is made two
    cycles ahead: coordinates move in one cycle, address and distances to the limits are formed of them in
    the next, the mask in the third; it stands in `position` while `valid`, until `take`. Whether a loop is at
    its end is found as its count moves.

    `leaves`: y or x of a position has left its 32 bits, a cycle or two ago. Positions that read outside of
    the memory have an address that is not there, whatever their rows and pitches.
    """

    def __init__(self, matrix: Matrix, address_bits: int) -> None:
        self._matrix, self._address_bits = matrix, address_bits
        super().__init__(
            {
                "first": In(walk_layout(matrix, address_bits)),
                "pending": In(1),
                "taken": Out(1),
                "position": Out(position_layout(matrix, address_bits)),
                "valid": Out(1),
                "take": In(1),
                "leaves": Out(1),
            }
        )
        self._moves_out, self._ends_out = Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._held = held = Signal.like(self.first, reset_less=True)
        walks, moves = Signal(), Signal()
        row = data.StructLayout(
            {"y": signed(COORDINATE_BITS), "slot": signed(VALUE_BITS), "offset": self._address_bits}
        )
        self._rows = {
            name: Signal(row, name=f"row_{name}", reset_less=True) for name in ("now", "tap", "block")
        }
        self._x = {
            name: Signal(signed(COORDINATE_BITS), name=f"x_{name}", reset_less=True)
            for name in ("now", "tile", "tap", "block")
        }
        names = ("out_width", "out_height", "tap_bytes", "taps_x", "taps_y", "blocks")
        self._left = {name: Signal.like(held[name], name=f"{name}_left", reset_less=True) for name in names}
        self._ends = {name: Signal(name=f"{name}_ends", reset_less=True) for name in (*names, "gap")}
        self._only = {name: Signal(name=f"{name}_only", reset_less=True) for name in names}
        flags = self._flags(m)
        made, goes = Signal(), Signal()
        m.d.comb += [
            goes.eq(~self.valid | self.take),
            moves.eq(walks & (~made | goes)),
            self.taken.eq(self.pending & (~walks | (moves & flags["last"]))),
        ]
        m.d.sync += self.leaves.eq(self._moves_out | (self._ends_out & made))
        with m.If(goes):
            m.d.sync += [self.valid.eq(made), made.eq(0)]
        with m.If(moves):
            m.d.sync += made.eq(1)
            self._move(m, flags)
            with m.If(flags["last"]):
                m.d.sync += walks.eq(0)
        self._emit(m, flags, moves, goes)
        with m.If(self.taken):
            m.d.sync += [walks.eq(1), held.eq(self.first)]
            self._begin(m)
        return m

    def _flags(self, m: Module) -> dict[str, Signal]:
        """Which loops the present position ends."""
        ends, names = self._ends, ("writes", "row", "tile", "chunks", "taps_x", "block", "last")
        flags = {name: Signal(name=f"ends_{name}") for name in names}
        self._window_left = Signal(dilation_bits(self._matrix), reset_less=True)
        self._phase = Signal(dilation_bits(self._matrix), reset_less=True)
        self._gap = Signal(signed(COORDINATE_BITS), reset_less=True)
        self._accumulator_row = Signal(accumulator_row_bits(self._matrix), reset_less=True)
        self._block_row = Signal.like(self._accumulator_row, reset_less=True)
        self._tile_first, self._block_first = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            flags["writes"].eq((self._window_left == 0) & ends["gap"]),
            flags["row"].eq(flags["writes"] & ends["out_width"]),
            flags["tile"].eq(flags["row"] & ends["out_height"]),
            flags["chunks"].eq(flags["tile"] & ends["tap_bytes"]),
            flags["taps_x"].eq(flags["chunks"] & ends["taps_x"]),
            flags["block"].eq(flags["taps_x"] & ends["taps_y"]),
            flags["last"].eq(flags["block"] & ends["blocks"]),
        ]
        return flags

    def _begin(self, m: Module) -> None:
        """The first position of an instruction."""
        first = self.first
        for row in self._rows.values():
            m.d.sync += [row.y.eq(first.y_start), row.slot.eq(first.slot), row.offset.eq(first.offset)]
        m.d.sync += [x.eq(first.x_start) for x in self._x.values()]
        for name, left in self._left.items():
            only = first[name] <= self._matrix.rows if name == "tap_bytes" else first[name] == 1
            m.d.sync += [left.eq(first[name]), self._ends[name].eq(only), self._only[name].eq(only)]
        m.d.sync += [
            self._window_left.eq(first.window_taps),
            self._phase.eq(first.dilation),
            self._gap.eq(0),
            self._ends["gap"].eq(1),
            self._accumulator_row.eq(first.accumulator_row),
            self._block_row.eq(first.accumulator_row),
            self._tile_first.eq(1),
            self._block_first.eq(1),
        ]

    def _emit(self, m: Module, flags: dict[str, Signal], moves: Value, goes: Value) -> None:
        """Form the position: address, bytes inside the limits, and where its sums go."""
        held, x, row = self._held, self._x["now"], self._rows["now"]
        made = Signal.like(self.position, reset_less=True)
        width, rows = len(made.mask), self._matrix.rows
        used = Mux(self._ends["blocks"], held.last_columns, self._matrix.columns)
        chunk = Mux(self._ends["tap_bytes"], self._left["tap_bytes"][: rows.bit_length()], rows)
        size, low = (Signal(range(width + 1), name=name, reset_less=True) for name in ("size", "low"))
        rest = Signal(signed(COORDINATE_BITS + 1), reset_less=True)
        inside, outside = Signal(reset_less=True), Signal(reset_less=True)
        self._see_end(m, moves, size)
        with m.If(moves):
            m.d.sync += [
                size.eq(Mux(held.depthwise, used, chunk)),
                low.eq(Mux(x >= 0, 0, Mux(x < -width, width, -x))),
                rest.eq(held.x_limit - x),
                inside.eq((row.y >= 0) & (row.y < held.y_limit)),
                made.address.eq(row.offset + x),
                outside.eq(self._is_beyond(row, x)),
                made.pad.eq(held.pad),
                made.depthwise.eq(held.depthwise),
                made.entry.eq(held.entry),
                made.writes.eq(flags["writes"]),
                made.row.eq(self._accumulator_row),
                made.used.eq(used),
                made.adds.eq(~self._block_first | held.accumulate),
                made.bias.eq(self._block_first & held.bias),
                made.tile_first.eq(self._tile_first),
                made.tile_last.eq(flags["tile"]),
                made.last.eq(flags["last"]),
            ]
        small = rest[: len(size)]
        beyond = rest[len(size) : -1].any()
        mask = Cat(
            inside & (low <= at) & (size > at) & ~rest[-1] & (beyond | (small > at)) for at in range(width)
        )
        with m.If(goes):
            m.d.sync += [self.position.eq(made), self.position.mask.eq(mask)]
            with m.If(outside):
                m.d.sync += self.position.address[-MASKED_SPARE_BITS:].eq(1)

    def _is_beyond(self, row: Any, x: Value) -> Value:
        """Whether one of the terms of an address, were it inside the limits, is larger than any memory."""
        far_x = ~x[-1] & x[memory_bits(self._address_bits) : -1].any()
        return self._held.outside | is_beyond(row.slot.as_unsigned(), self._held.reach) | far_x

    def _see_end(self, m: Module, moves: Value, size: Value) -> None:
        """Find positions that begin in 32 bits, but end behind them."""
        x, low = self._x["now"], len(size)
        last, near = Signal(low, name="x_low", reset_less=True), Signal(name="x_is_near", reset_less=True)
        with m.If(moves):
            m.d.sync += [last.eq(x[:low]), near.eq(~x[-1] & x[low:-1].all())]
        m.d.comb += self._ends_out.eq(near & ((last + size) > 1 << low))

    def _add(self, m: Module, value: Value, step: Value) -> Value:
        """A coordinate moved by a step; it is noted that it leaves its bits."""
        moved = Signal(signed(COORDINATE_BITS + 1), name="coordinate_moved")
        m.d.comb += [moved.eq(value + step), self._moves_out.eq(moved[-1] ^ moved[-2])]
        return moved[:-1].as_signed()

    def _count(self, m: Module, name: str, step: int = 1) -> None:
        """Count a loop down by a step."""
        left = self._left[name]
        m.d.sync += left.eq(left - step)
        m.d.sync += self._ends[name].eq(left == 2 if step == 1 and name != "tap_bytes" else left <= 2 * step)

    def _recount(self, m: Module, name: str) -> None:
        """Let a loop begin anew."""
        m.d.sync += [self._left[name].eq(self._held[name]), self._ends[name].eq(self._only[name])]

    def _move(self, m: Module, flags: dict[str, Signal]) -> None:
        """To the next position: the innermost loop that goes on moves, those inside it begin anew."""
        held, x, rows = self._held, self._x, self._rows
        m.d.sync += self._tile_first.eq(0)
        self._pixel(m, flags)
        with m.If(~flags["row"]):
            m.d.sync += x["now"].eq(self._add(m, x["now"], held.x_step))
        with m.Elif(~flags["tile"]):
            m.d.sync += x["now"].eq(x["tile"])
            self._count(m, "out_height")
            m.d.sync += rows["now"].eq(self._stepped(m, rows["now"], held.y_stride, "stride"))
        with m.Else():
            self._recount(m, "out_height")
            m.d.sync += [
                self._tile_first.eq(1),
                self._block_first.eq(0),
                self._accumulator_row.eq(self._block_row),
            ]
            self._tile(m, flags)

    def _pixel(self, m: Module, flags: dict[str, Signal]) -> None:
        """Columns of a row; DEPTHWISE counts the pixels until the window is whole, then those between."""
        held, gap, no_gap = self._held, self._gap, self._ends["gap"]
        with m.If(flags["writes"]):
            self._count(m, "out_width")
            m.d.sync += [gap.eq(held.gap), no_gap.eq(held.no_gap)]
            m.d.sync += self._accumulator_row.eq(self._accumulator_row + 1)
        with m.Elif(self._window_left == 0):
            m.d.sync += [gap.eq(gap - held.pixel_pitch), no_gap.eq(gap == held.pixel_pitch)]
        with m.Elif(self._phase == 1):
            m.d.sync += [self._window_left.eq(self._window_left - 1), self._phase.eq(held.dilation)]
        with m.Else():
            m.d.sync += self._phase.eq(self._phase - 1)
        with m.If(flags["row"]):
            self._recount(m, "out_width")
            m.d.sync += [gap.eq(0), no_gap.eq(1), self._window_left.eq(held.window_taps)]

    def _tile(self, m: Module, flags: dict[str, Signal]) -> None:
        """The next tile: chunk, horizontal tap, vertical tap or block."""
        held, x, rows = self._held, self._x, self._rows

        def restart(number: int, to: Value) -> None:
            """Positions begin at `to`, for the loops inside loop `number` too."""
            m.d.sync += [x[name].eq(to) for name in ("now", "tile", "tap", "block")[: number + 1]]

        with m.If(flags["chunks"]):
            self._recount(m, "tap_bytes")
        with m.Else():
            self._count(m, "tap_bytes", self._matrix.rows)
            restart(1, self._add(m, x["tile"], Const(self._matrix.rows)))
        with m.If(~flags["taps_x"]):
            m.d.sync += rows["now"].eq(rows["tap"])
            with m.If(flags["chunks"]):
                self._count(m, "taps_x")
                restart(2, self._add(m, x["tap"], held.x_tap))
        with m.Else():
            self._recount(m, "taps_x")
            with m.If(~flags["block"]):
                lower = self._stepped(m, rows["tap"], held.y_dilation, "dilation")
                self._count(m, "taps_y")
                m.d.sync += [rows["now"].eq(lower), rows["tap"].eq(lower)]
                restart(2, x["block"])
            with m.Else():
                self._recount(m, "taps_y")
                self._count(m, "blocks")
                m.d.sync += [rows[name].eq(rows["block"]) for name in ("now", "tap")]
                m.d.sync += [self._block_first.eq(1), self._block_row.eq(self._accumulator_row + 1)]
                m.d.sync += self._accumulator_row.eq(self._accumulator_row + 1)
                with m.If(~flags["last"]):
                    restart(3, self._add(m, x["block"], held.x_block))

    def _stepped(self, m: Module, row: Any, rows: Value, name: str) -> Value:
        """A row moved by a step; the slot stays in its ring."""
        held = self._held
        low = row.slot + held[f"{name}_slots_low"]
        high = row.slot + held[f"{name}_slots_high"]
        wraps = low < 0
        offsets = [row.offset + held[f"{name}_offset_{form}"] for form in ("high", "low")]
        moved = Signal(row.shape(), name=f"{name}_moved")
        m.d.comb += [
            moved.y.eq(self._add(m, row.y, rows)),
            moved.slot.eq(Mux(wraps, high, low)),
            moved.offset.eq(Mux(wraps, *offsets)),
        ]
        return moved
