"""From a matrix record to the strides and first values of the activation walk, in one cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, MATRIX, Opcode
from hanok.machine import Matrix
from hanok.rtl._matrix_remainder import VALUE_BITS, Remainder
from hanok.rtl.records import record_layout

COORDINATE_BITS = 32
"""y and x of every position fit int32, those outside the limits too."""


def accumulator_row_bits(matrix: Matrix) -> int:
    """Bits of a row number over all accumulator banks."""
    return (matrix.accumulator_rows * matrix.accumulator_banks - 1).bit_length()


def dilation_bits(matrix: Matrix) -> int:
    """Bits of a dilation in pixels; a window of two taps has at most `rows` pixels."""
    return (matrix.rows - 1).bit_length()


def walk_layout(matrix: Matrix, address_bits: int) -> data.StructLayout:
    """What the walk takes from an instruction.

    A step between rows has two forms: `low` for a row slot that wraps (or a negative step that does not), and
    `high`, a ring larger; without a ring they are the same. `offset` is the address of byte 0 of the first
    row.
    """
    rows, coordinate = accumulator_row_bits(matrix) + 1, signed(COORDINATE_BITS)
    fields: dict[str, Any] = {
        "depthwise": 1,
        "bias": 1,
        "accumulate": 1,
        "pad": 8,
        "accumulator_row": rows,
        "out_height": rows,
        "out_width": rows,
        "taps_y": 16,
        "taps_x": 16,
        "tap_bytes": address_bits + 1,
        "blocks": 16,
        "last_columns": range(matrix.columns + 1),
        "x_start": coordinate,
        "x_step": coordinate,
        "x_tap": coordinate,
        "x_block": coordinate,
        "x_limit": coordinate,
        "window_taps": dilation_bits(matrix),
        "dilation": dilation_bits(matrix),
        "gap": coordinate,
        "pixel_pitch": coordinate,
        "y_start": coordinate,
        "y_stride": coordinate,
        "y_dilation": coordinate,
        "y_limit": coordinate,
        "slot": signed(VALUE_BITS),
        "offset": address_bits,
    }
    for step in ("stride", "dilation"):
        for form in ("low", "high"):
            fields[f"{step}_slots_{form}"] = signed(VALUE_BITS)
            fields[f"{step}_offset_{form}"] = address_bits
    return data.StructLayout(fields)


class MatrixSetup(wiring.Component):
    """Products of rows and row_pitch, ring slots, and the dilation in pixels.

    A record is taken at `start`; `first` is there in the next cycle, while `pending`, until `taken`. Where
    a row of the first position or a step between rows is more than a ring away from the ring, remainders are
    formed first, which takes VALUE_BITS + 1 cycles more. `dilation` is that of the record taken,
    from the second cycle on.
    """

    def __init__(self, matrix: Matrix, address_bits: int) -> None:
        self._matrix, self._address_bits = matrix, address_bits
        super().__init__(
            {
                "record": In(record_layout(MATRIX)),
                "start": In(1),
                "first": Out(walk_layout(matrix, address_bits)),
                "pending": Out(1),
                "taken": In(1),
                "dilation": Out(dilation_bits(matrix)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        kept = Signal(record_layout(MATRIX), reset_less=True)
        has, reduces, slow = Signal(), Signal(), Signal()
        with m.If(self.start):
            m.d.sync += [kept.eq(self.record), has.eq(1)]
        with m.Elif(self.taken):
            m.d.sync += has.eq(0)
        self._values = [
            Signal(signed(VALUE_BITS), name=name, reset_less=True) for name in ("slot", "stride", "dilation")
        ]
        dividers = [Remainder() for _ in self._values]
        for number, (divider, value) in enumerate(zip(dividers, self._values, strict=True)):
            m.submodules[f"remainder_{number}"] = divider
            m.d.comb += [divider.value.eq(value), divider.modulus.eq(kept.ring_rows)]
            m.d.comb += divider.start.eq(has & slow & ~reduces)
        reduced = dividers[0].done
        m.d.comb += slow.eq(self._rows(m, kept, reduced, [divider.remainder for divider in dividers]))
        with m.If(reduced):
            m.d.sync += reduces.eq(0)
        with m.Elif(has & slow):
            m.d.sync += reduces.eq(1)
        m.d.comb += self.pending.eq(has & ~slow)
        self._plain(m, kept)
        self._dilation(m, kept)
        return m

    def _plain(self, m: Module, kept: Any) -> None:
        """Fields that are taken as they are, or depend on the opcode alone."""
        first, depthwise = self.first, kept.opcode == Opcode.DEPTHWISE
        same = (
            *("pad", "accumulator_row", "out_height", "out_width", "taps_y", "tap_bytes", "blocks"),
            *("last_columns", "x_start", "x_tap", "x_block", "x_limit", "pixel_pitch"),
            *("y_start", "y_stride", "y_dilation", "y_limit"),
        )
        m.d.comb += [getattr(first, name).eq(getattr(kept, name)) for name in same]
        m.d.comb += [
            first.depthwise.eq(depthwise),
            first.bias.eq((kept.flags & FLAG_BIAS) != 0),
            first.accumulate.eq((kept.flags & FLAG_ACCUMULATE) != 0),
            first.taps_x.eq(Mux(depthwise, 1, kept.taps_x)),
            first.x_step.eq(Mux(depthwise, kept.pixel_pitch.as_signed(), kept.x_stride)),
            first.window_taps.eq(Mux(depthwise, kept.taps_x - 1, 0)),
            first.gap.eq(Mux(depthwise, kept.x_stride - kept.pixel_pitch.as_signed(), 0)),
        ]

    def _rows(self, m: Module, kept: Any, reduced: Value, remainders: list[Value]) -> Value:
        """Slots and offsets of rows; return whether remainders have to be formed first."""
        record, bits = self.record, self._address_bits
        ring = Signal(signed(VALUE_BITS), reset_less=True)
        above = Signal(reset_less=True)
        products = [Signal(bits, name=f"product_{number}", reset_less=True) for number in range(5)]
        pitch, factors = Signal(bits), [Signal(bits, name=f"factor_{number}") for number in range(5)]
        start = Mux(record.ring_rows == 0, 0, record.ring_start)
        sources = (record.y_start, start, record.ring_rows, record.y_stride, record.y_dilation)
        again = (remainders[0], Const(0), kept.ring_rows, remainders[1], remainders[2])
        with m.If(self.start):
            m.d.comb += pitch.eq(record.row_pitch)
            m.d.comb += [factor.eq(source) for factor, source in zip(factors, sources, strict=True)]
            m.d.sync += [
                ring.eq(record.ring_rows),
                above.eq(record.y_start + start - record.ring_rows >= 0),
                self._values[0].eq(record.y_start + start),
                self._values[1].eq(Mux(record.out_height == 1, 0, record.y_stride)),
                self._values[2].eq(Mux(record.taps_y == 1, 0, record.y_dilation)),
            ]
        with m.Else():
            m.d.comb += pitch.eq(kept.row_pitch)
            m.d.comb += [factor.eq(source) for factor, source in zip(factors, again, strict=True)]
            with m.If(reduced):
                m.d.sync += above.eq(0)
                m.d.sync += [value.eq(rest) for value, rest in zip(self._values, remainders, strict=True)]
        with m.If(self.start | reduced):
            m.d.sync += [
                product.eq(factor * pitch) for product, factor in zip(products, factors, strict=True)
            ]
        self._first_row(m, ring, above, products[:3], kept.activation_address)
        for name, step, product in zip(("stride", "dilation"), self._values[1:], products[3:], strict=True):
            self._step(m, name, step, product, ring, products[2])
        slot = self._values[0]
        far = (slot + ring < 0) | (slot - 2 * ring >= 0)
        for step in self._values[1:]:
            far |= (step - ring >= 0) | (step + ring <= 0)
        return (ring != 0) & far

    def _first_row(self, m: Module, ring: Value, above: Value, products: list[Signal], base: Value) -> None:
        """The first row's slot and address; `above` and a sign say that it is a ring too far."""
        slot, (start, ring_start, whole) = self._values[0], products
        moved, byte = Signal(signed(VALUE_BITS)), Signal(self._address_bits)
        with m.If(slot < 0):
            m.d.comb += [moved.eq(ring), byte.eq(whole)]
        with m.Elif(above):
            m.d.comb += [moved.eq(-ring), byte.eq(-whole)]
        m.d.comb += [
            self.first.slot.eq(slot + moved),
            self.first.offset.eq(start + ring_start + byte + base),
        ]

    def _step(self, m: Module, name: str, step: Value, product: Value, ring: Value, whole: Value) -> None:
        """Both forms of a step between rows."""
        falls = step < 0
        values = {
            "slots_low": step - Mux(falls, 0, ring),
            "slots_high": step + Mux(falls, ring, 0),
            "offset_low": product - Mux(falls, 0, whole),
            "offset_high": product + Mux(falls, whole, 0),
        }
        m.d.comb += [getattr(self.first, f"{name}_{form}").eq(value) for form, value in values.items()]

    def _dilation(self, m: Module, kept: Any) -> None:
        """x_tap / pixel_pitch, an exact quotient below `rows`.

        Without the pitch's trailing zeros it is the product with the inverse of the pitch modulo a power of
        two, which a table of odd numbers gives.
        """
        record, bits = self.record, dilation_bits(self._matrix)
        odd, tap = (Signal(bits, name=name, reset_less=True) for name in ("odd_pitch", "odd_tap"))
        with m.If(self.start):
            pitch, tap_bytes = record.pixel_pitch, record.x_tap.as_unsigned()
            for zeros in range(COORDINATE_BITS):
                with m.If(pitch[: zeros + 1] == 1 << zeros):
                    m.d.sync += [odd.eq(pitch >> zeros), tap.eq(tap_bytes >> zeros)]
        inverse = Signal(bits)
        with m.Switch(odd):
            for number in range(1, 1 << bits, 2):
                with m.Case(number):
                    m.d.comb += inverse.eq(pow(number, -1, 1 << bits))
        quotient = Signal(bits)
        m.d.comb += quotient.eq(Mux(kept.opcode == Opcode.DEPTHWISE, tap * inverse, 1))
        m.d.comb += self.first.dilation.eq(quotient)
        m.d.sync += self.dilation.eq(quotient)
