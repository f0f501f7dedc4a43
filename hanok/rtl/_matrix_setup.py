"""From a matrix record to the strides and first values of the activation walk."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, MATRIX, Opcode
from hanok.machine import Matrix
from hanok.rtl._matrix_remainder import VALUE_BITS, Remainder
from hanok.rtl._strides import reach_of
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import MASKED_SPARE_BITS

COORDINATE_BITS = 32
"""y and x of every position fit int32, those outside the limits too."""

SETTLING_CYCLES = 5
"""Until all that is formed of a record stands in registers: values, parts of products, products, sums of two
terms, offset."""


def accumulator_row_bits(matrix: Matrix) -> int:
    """Bits of a row number over all accumulator banks, of the one behind them too."""
    return (matrix.accumulator_rows * matrix.accumulator_banks).bit_length()


def dilation_bits(matrix: Matrix) -> int:
    """Bits of a dilation in pixels; a window of two taps has at most `rows` pixels."""
    return (matrix.rows - 1).bit_length()


def memory_bits(address_bits: int) -> int:
    """Bits of the addresses that may lie in the memory."""
    return address_bits - MASKED_SPARE_BITS


def walk_layout(matrix: Matrix, address_bits: int) -> data.StructLayout:
    """What the walk takes from an instruction.

    A step between rows has two forms: `low` for a row slot that wraps (or a negative step that does not), and
    `high`, a ring larger; without a ring they are the same. `offset` is the address of byte 0 of the first
    row. `outside`: slot 0 begins outside of the memory. `reach` is that of row_pitch.
    """
    rows, coordinate = accumulator_row_bits(matrix), signed(COORDINATE_BITS)
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
        "entry": dilation_bits(matrix),
        "gap": coordinate,
        "no_gap": 1,
        "pixel_pitch": coordinate,
        "y_start": coordinate,
        "y_stride": coordinate,
        "y_dilation": coordinate,
        "y_limit": coordinate,
        "slot": signed(VALUE_BITS),
        "offset": address_bits,
        "outside": 1,
        "reach": memory_bits(address_bits) + 1,
    }
    for step in ("stride", "dilation"):
        for form in ("low", "high"):
            fields[f"{step}_slots_{form}"] = signed(VALUE_BITS)
            fields[f"{step}_offset_{form}"] = address_bits
    return data.StructLayout(fields)


class MatrixSetup(wiring.Component):
    """Products of rows and row_pitch, ring slots, and the dilation in pixels.

    A record is taken at `start`; what is formed of it passes through registers that never wait, so `first`
    is there, while `pending`, SETTLING_CYCLES + 1 later, until `taken`. Where a row of the first position or
    a step between rows is more than a ring away from the ring, remainders are formed first, and all follows
    once more. `dilation` is that of the record taken, from the fourth cycle on, and that of
    the one before in the first one.
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
        self._formed = Signal(walk_layout(self._matrix, self._address_bits), reset_less=True)
        self._has_ring = Signal(reset_less=True)
        has, reduces, reduced, far = Signal(), Signal(), Signal(), Signal(reset_less=True)
        settles = Signal(SETTLING_CYCLES)
        dividers = [Remainder() for _ in range(3)]
        values = self._values(m, kept, reduced, [divider.remainder for divider in dividers])
        divides = has & settles[-1] & far & ~reduced & ~reduces
        for number, (divider, value) in enumerate(zip(dividers, values, strict=True)):
            m.submodules[f"remainder_{number}"] = divider
            m.d.comb += [
                divider.value.eq(value),
                divider.modulus.eq(kept.ring_rows),
                divider.start.eq(divides),
            ]
        m.d.sync += settles.eq(Cat(1, settles[:-1]))
        with m.If(divides):
            m.d.sync += reduces.eq(1)
        with m.If(dividers[0].done):
            m.d.sync += [reduces.eq(0), reduced.eq(1), settles.eq(0)]
        with m.If(self.taken):
            m.d.sync += has.eq(0)
        with m.If(self.start):
            m.d.sync += [kept.eq(self.record), has.eq(1), reduced.eq(0), settles.eq(0)]
            m.d.sync += self._has_ring.eq(self.record.ring_rows != 0)
        m.d.comb += self.pending.eq(has & settles[-1] & (~far | reduced))
        self._plain(m, kept)
        m.d.sync += far.eq(self._has_ring & self._rows(m, kept, values))
        self._dilation(m, kept)
        return m

    def _plain(self, m: Module, kept: Any) -> None:
        """Fields that are taken as they are, or depend on the opcode alone."""
        formed, depthwise = self._formed, kept.opcode == Opcode.DEPTHWISE
        same = (
            *("pad", "accumulator_row", "out_height", "out_width", "taps_y", "tap_bytes", "blocks"),
            *("last_columns", "x_start", "x_tap", "x_block", "x_limit", "pixel_pitch"),
            *("y_start", "y_stride", "y_dilation", "y_limit"),
        )
        m.d.comb += [
            getattr(self.first, name).eq(getattr(kept if name in same else formed, name))
            for name in formed.shape().members
            if name != "dilation"
        ]
        m.d.comb += self.first.dilation.eq(self.dilation)
        m.d.sync += [
            formed.depthwise.eq(depthwise),
            formed.bias.eq((kept.flags & FLAG_BIAS) != 0),
            formed.accumulate.eq((kept.flags & FLAG_ACCUMULATE) != 0),
            formed.taps_x.eq(Mux(depthwise, 1, kept.taps_x)),
            formed.x_step.eq(Mux(depthwise, kept.pixel_pitch.as_signed(), kept.x_stride)),
            formed.window_taps.eq(Mux(depthwise, kept.taps_x - 1, 0)),
            formed.gap.eq(Mux(depthwise, kept.x_stride - kept.pixel_pitch.as_signed(), 0)),
            formed.no_gap.eq(formed.gap == 0),
            formed.entry.eq(formed.window_taps * self.dilation),
            formed.outside.eq(kept.activation_address[memory_bits(self._address_bits) :].any()),
            formed.reach.eq(reach_of(kept.row_pitch, memory_bits(self._address_bits))),
        ]

    def _values(self, m: Module, kept: Any, reduced: Value, remainders: list[Value]) -> list[Signal]:
        """Row of the first position and steps between rows, or their remainders."""
        values = [
            Signal(signed(VALUE_BITS), name=name, reset_less=True) for name in ("slot", "stride", "dilation")
        ]
        start = Mux(self._has_ring, kept.ring_start, 0)
        plain = (
            kept.y_start + start,
            Mux(kept.out_height == 1, 0, kept.y_stride),
            Mux(kept.taps_y == 1, 0, kept.y_dilation),
        )
        m.d.sync += [
            value.eq(Mux(reduced, rest, given))
            for value, rest, given in zip(values, remainders, plain, strict=True)
        ]
        return values

    def _rows(self, m: Module, kept: Any, values: list[Signal]) -> Value:
        """Slots and offsets of rows; return whether one is a ring or more away."""
        ring, formed, bits = Signal(signed(VALUE_BITS)), self._formed, self._address_bits
        m.d.comb += ring.eq(kept.ring_rows)
        factors = (values[0], ring, *values[1:])
        start, whole, *products = (
            self._product(m, factor[:bits], kept.row_pitch, number) for number, factor in enumerate(factors)
        )
        slot = values[0]
        higher, lower, lowest = (
            Signal(signed(VALUE_BITS), name=name, reset_less=True) for name in ("higher", "lower", "lowest")
        )
        below, above = slot < 0, Signal()
        base, byte = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        m.d.sync += [higher.eq(slot + ring), lower.eq(slot - ring), lowest.eq(slot - 2 * ring)]
        m.d.comb += above.eq(lower >= 0)
        m.d.sync += [
            formed.slot.eq(Mux(below, higher, Mux(above, lower, slot))),
            base.eq(start + kept.activation_address),
            byte.eq(Mux(below, whole, Mux(above, -whole, 0))),
            formed.offset.eq(base + byte),
        ]
        far = (higher < 0) | (lowest >= 0)
        for name, step, product in zip(("stride", "dilation"), values[1:], products, strict=True):
            far |= self._step(m, name, step, product, ring, whole)
        return far

    def _step(self, m: Module, name: str, step: Value, product: Value, ring: Value, whole: Value) -> Value:
        """Form both forms of a step between rows; return whether it is a ring or more."""
        falls = step < 0
        low, high = (getattr(self._formed, f"{name}_slots_{form}") for form in ("low", "high"))
        m.d.sync += [
            low.eq(step - Mux(falls, 0, ring)),
            high.eq(step + Mux(falls, ring, 0)),
            getattr(self._formed, f"{name}_offset_low").eq(product - Mux(falls, 0, whole)),
            getattr(self._formed, f"{name}_offset_high").eq(product + Mux(falls, whole, 0)),
        ]
        return Mux(falls, high <= 0, low >= 0)

    def _product(self, m: Module, factor: Value, pitch: Value, number: int) -> Signal:
        """A product two cycles later, of halves so that multipliers stand between registers."""
        bits = self._address_bits
        half = (bits + 1) // 2
        product = Signal(bits, name=f"product_{number}", reset_less=True)
        pairs = (
            (factor[:half], pitch[:half]),
            (factor[half:], pitch[:half]),
            (factor[:half], pitch[half:bits]),
        )
        low, middle, other = (
            Signal(bits if part == 0 else bits - half, name=f"product_{number}_{part}", reset_less=True)
            for part in range(3)
        )
        m.d.sync += [part.eq(one * two) for part, (one, two) in zip((low, middle, other), pairs, strict=True)]
        m.d.sync += product.eq(low + ((middle + other) << half))
        return product

    def _dilation(self, m: Module, kept: Any) -> None:
        """x_tap / pixel_pitch, an exact quotient below `rows`.

        Without the pitch's trailing zeros it is the product with the inverse of the pitch modulo a power of
        two, which a table of odd numbers gives.
        """
        bits = dilation_bits(self._matrix)
        pitch, tap = kept.pixel_pitch, kept.x_tap.as_unsigned()
        for stage in reversed(range((COORDINATE_BITS - 1).bit_length())):
            step, width = 1 << stage, bits + (1 << stage) - 1
            even = pitch[:step] == 0
            shifted = [Signal(width, name=f"{name}_{stage}", reset_less=True) for name in ("pitch", "tap")]
            now = [
                new.eq(Mux(even, old[step:], old)[:width])
                for new, old in zip(shifted, (pitch, tap), strict=True)
            ]
            if stage in (3, 0):
                m.d.sync += now
            else:
                m.d.comb += now
            pitch, tap = shifted
        inverse = Signal(bits)
        with m.Switch(pitch):
            for number in range(1, 1 << bits, 2):
                with m.Case(number):
                    m.d.comb += inverse.eq(pow(number, -1, 1 << bits))
        m.d.sync += self.dilation.eq(Mux(kept.opcode == Opcode.DEPTHWISE, tap * inverse, 1))
