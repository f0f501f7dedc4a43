"""What a CHAIN needs before its first group: rows modulo the ring, and products of strides and pitches."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import VECTOR
from hanok.rtl._strides import reach_of
from hanok.rtl._vector_delay import delayed
from hanok.rtl.records import record_layout

SPLIT_STEPS = 34
"""Bits of |y_start + ring_start|, one a cycle."""
PRODUCTS = ("start", "stride", "dilation", "ring", "x_start", "x_stride", "x_dilation")


def operand_bits(address_bits: int) -> int:
    """Bits of the addresses of operand 0, sums of a start, a row, a pixel and steps of two loops."""
    return address_bits + 2


def plan_layout(address_bits: int) -> data.StructLayout:
    """Slots of the ring for y_start, y_stride and y_dilation, and addresses of rows and pixels.

    Without a ring the slots are not used, and rows count from y = 0. `back`: less a whole ring. `reach` is
    that of a pitch.
    """
    bits = operand_bits(address_bits)
    slots: dict[str, Any] = {f"slot_{name}": unsigned(32) for name in PRODUCTS[:3]}
    rows = {f"row_{name}": unsigned(bits) for name in PRODUCTS[:4]}
    pixels = {name: unsigned(bits) for name in PRODUCTS[4:]}
    reaches = {f"{name}_reach": address_bits for name in ("row", "pixel")}
    for name in PRODUCTS[1:3]:
        slots[f"slot_{name}_back"] = signed(33)
        rows[f"row_{name}_back"] = unsigned(bits)
    return data.StructLayout({"has_ring": 1, **slots, **rows, **pixels, **reaches})


class Modulo(wiring.Component):
    """The remainder of a number of up to 34 bits by one of 32, as Python's %: a `step` for each bit."""

    def __init__(self) -> None:
        flags = {"start": In(1), "step": In(1)}
        super().__init__({**flags, "number": In(signed(35)), "divisor": In(32), "remainder": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        negative = Signal()
        left = Signal(SPLIT_STEPS, reset_less=True)
        rest = Signal(32, reset_less=True)
        longer = Signal(33)
        shorter = Signal(signed(34))
        m.d.comb += [longer.eq((rest << 1) | left[-1]), shorter.eq(longer - self.divisor)]
        with m.If(self.step):
            m.d.sync += [left.eq(left << 1), rest.eq(Mux(shorter < 0, longer, shorter))]
        with m.If(self.start):
            magnitude = Mux(self.number < 0, -self.number, self.number)
            m.d.sync += [left.eq(magnitude), rest.eq(0), negative.eq(self.number < 0)]
        m.d.comb += self.remainder.eq(Mux(negative & (rest != 0), self.divisor - rest, rest))
        return m


class VectorPlan(wiring.Component):
    """Makes the plan of the record that is held at its input, some time after `start`.

    `ready` for one cycle: all of it is there in the next.

    Addresses of operand 0 are modulo 2 ** operand_bits, so one multiplier of that width makes the products in
    turn.
    """

    def __init__(self, address_bits: int) -> None:
        self.address_bits = address_bits
        super().__init__(
            {
                "record": In(record_layout(VECTOR)),
                "start": In(1),
                "ready": Out(1),
                "plan": Out(plan_layout(address_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        record = self.record
        splitting, multiplying = Signal(), Signal()
        count = Signal(range(SPLIT_STEPS + 1))
        has_ring = self.plan.has_ring
        m.d.sync += has_ring.eq(record.ring_rows != 0)
        for name in ("row", "pixel"):
            m.d.sync += self.plan[f"{name}_reach"].eq(
                reach_of(record[f"{name}_pitch"], self.address_bits - 1)
            )
        begins = delayed(m, self.start, 1, "begins", reset_less=False)
        with m.If(begins):
            m.d.sync += [splitting.eq(has_ring), multiplying.eq(~has_ring), count.eq(0)]
        with m.If(splitting):
            m.d.sync += count.eq(count + 1)
            with m.If(count == SPLIT_STEPS):
                m.d.sync += [splitting.eq(0), multiplying.eq(1), count.eq(0)]
        last = len(PRODUCTS) + 1
        with m.If(multiplying):
            m.d.sync += count.eq(count + 1)
            m.d.comb += self.ready.eq(count == last)
            with m.If(count == last):
                m.d.sync += multiplying.eq(0)
        self._slots(m, begins, splitting & (count != SPLIT_STEPS))
        self._products(m, has_ring, multiplying, count)
        return m

    def _slots(self, m: Module, begins: Any, step: Any) -> None:
        record, plan = self.record, self.plan
        start = Signal(signed(34), reset_less=True)
        m.d.sync += start.eq(record.y_start + record.ring_start)
        for name, number in zip(PRODUCTS, (start, record.y_stride, record.y_dilation), strict=False):
            m.submodules[f"modulo_{name}"] = modulo = Modulo()
            m.d.comb += [modulo.start.eq(begins), modulo.step.eq(step), modulo.number.eq(number)]
            m.d.comb += modulo.divisor.eq(record.ring_rows)
            m.d.sync += plan[f"slot_{name}"].eq(modulo.remainder)
        for name in PRODUCTS[1:3]:
            m.d.sync += plan[f"slot_{name}_back"].eq(plan[f"slot_{name}"] - record.ring_rows)
            m.d.sync += plan[f"row_{name}_back"].eq(plan[f"row_{name}"] - plan.row_ring)

    def _products(self, m: Module, has_ring: Any, multiplying: Any, count: Any) -> None:
        """One product a cycle: operands, product, result registers; the last comes in two cycles later."""
        record, plan, bits = self.record, self.plan, operand_bits(self.address_bits)
        rows = [Mux(has_ring, plan[f"slot_{name}"], record[f"y_{name}"])[:bits] for name in PRODUCTS[:3]]
        pixels = [record[name][:bits] for name in PRODUCTS[4:]]
        index = Signal(range(8))
        m.d.comb += index.eq(count)
        left, right = (Signal(bits, reset_less=True) for _ in range(2))
        product = Signal(bits, reset_less=True)
        m.d.sync += left.eq(Array([*rows, record.ring_rows[:bits], *pixels, 0])[index])
        m.d.sync += right.eq(Mux(index < 4, record.row_pitch[:bits], record.pixel_pitch[:bits]))
        m.d.sync += product.eq(left * right)
        results = [Signal(bits, name=f"product_{name}", reset_less=True) for name in PRODUCTS]
        for number, (name, result) in enumerate(zip(PRODUCTS, results, strict=True)):
            with m.If(multiplying & (count == number + 2)):
                m.d.sync += result.eq(product)
            m.d.comb += plan[name if number > 3 else f"row_{name}"].eq(result)
