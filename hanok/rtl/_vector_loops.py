"""The loops of a CHAIN: results in order with their addresses, and the reduce loops' offsets to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._vector_plan import operand_bits, plan_layout

COUNT_BITS = 32
REDUCE_BITS = 16
"""Of the counts of the reduce loops in a record."""


POSITION_BITS = 33
"""Of y and x of operand 0: a step from one of 32 bits does not leave them, so that it is seen."""


def place_layout(address_bits: int) -> data.StructLayout:
    """Where a result's operands and the result lie before the reduce loops move them.

    `row` is the part of operand 0's address that rows make, `slot` the row's slot in the ring.
    """
    position, address = signed(POSITION_BITS), unsigned(address_bits)
    operand = unsigned(operand_bits(address_bits))
    rows = {"y": position, "x": position, "slot": unsigned(32), "row": operand}
    addresses = {f"address_{name}": address for name in ("1", "2", "out")}
    return data.StructLayout({**rows, "address_0": operand, **addresses})


class Levels:
    """Nested counters that count down from `lasts`, the counts less 1; they wrap.

    `moves`: which level the next step moves, the outermost first; `last`: the step wraps all of them.
    """

    def __init__(self, m: Module, lasts: Sequence[Any], load: Any, step: Any) -> None:
        self.at_end: list[Any] = []
        self.moves: list[Any] = []
        inner_end: Any = 1
        for number, last in reversed(list(enumerate(lasts))):
            left = Signal.like(last, name=f"left_{number}", reset_less=True)
            ends = Signal(name=f"ends_{number}")
            again = load | ends
            with m.If(load | (step & inner_end)):
                m.d.sync += [left.eq(Mux(again, last, left - 1)), ends.eq(Mux(again, last == 0, left == 1))]
            self.moves.insert(0, inner_end & ~ends)
            self.at_end.insert(0, ends)
            inner_end = inner_end & ends
        self.last = inner_end


class _Ahead:
    """Counters that are a step ahead of the place at the output, so that what a step does is in registers.

    Two cycles after `load` the place is the first one; from then on `step` goes on to the next. `advance`:
    the place changes, by a step of the level in `moves`, or to the first one with `wraps`.
    """

    def __init__(
        self, m: Module, lasts: Sequence[Any], load: Any, step: Any, last: Any, last_group: Any
    ) -> None:
        fills = Signal()
        m.d.sync += fills.eq(load)
        self.advance = Signal()
        m.d.comb += self.advance.eq(fills | step)
        levels = Levels(m, lasts, load, self.advance)
        self.wraps = Signal()
        self.moves = Signal(len(lasts))
        with m.If(load):
            m.d.sync += self.wraps.eq(1)
        with m.Elif(self.advance):
            m.d.sync += [self.wraps.eq(levels.last), self.moves.eq(Cat(levels.moves))]
        with m.If(self.advance):
            m.d.sync += [last.eq(levels.last), last_group.eq(levels.at_end[-1])]


class AddressLoop(wiring.Component):
    """An address that nested loops move: each level keeps where its present turn began.

    A step of a level of `far` ends outside of the memory: it sets the highest bit of the address.
    """

    def __init__(self, levels: int, address_bits: int) -> None:
        self.levels = levels
        address = unsigned(address_bits)
        super().__init__(
            {
                "advance": In(1),
                "wraps": In(1),
                "moves": In(levels),
                "base": In(address),
                "strides": In(data.ArrayLayout(address, levels)),
                "far": In(levels),
                "address": Out(address),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        at = [Signal.like(self.base, name=f"at_{level}", reset_less=True) for level in range(self.levels)]
        begin, stride, far = at[-1], self.strides[self.levels - 1], self.far[-1]
        for level in reversed(range(self.levels - 1)):
            begin = Mux(self.moves[level], at[level], begin)
            stride = Mux(self.moves[level], self.strides[level], stride)
            far = Mux(self.moves[level], self.far[level], far)
        ahead, moved = Signal.like(self.base), Signal.like(self.base)
        m.d.comb += [ahead.eq(begin + stride), moved.eq(Mux(self.wraps, self.base, ahead))]
        with m.If(far & ~self.wraps):
            m.d.comb += moved[-1].eq(1)
        for level in range(self.levels):
            with m.If(self.advance & (self.wraps | self.moves[: level + 1].any())):
                m.d.sync += at[level].eq(moved)
        m.d.comb += self.address.eq(at[-1])
        return m


def ring_step(
    m: Module, place: Any, slots: tuple[Any, Any], rows: tuple[Any, Any], has_ring: Any
) -> tuple[Any, Any]:
    """Return `slot` and `row` moved by the first of both; where the slot wraps by the second, a ring less."""
    moved, back = Signal(33), Signal(signed(34))
    wraps = Signal()
    m.d.comb += [moved.eq(place.slot + slots[0]), back.eq(place.slot + slots[1])]
    m.d.comb += wraps.eq(has_ring & ~back[-1])
    return Mux(wraps, back, moved), Mux(wraps, place.row + rows[1], place.row + rows[0])


class ResultLoop(wiring.Component):
    """Results in the order outer_2, outer_1, outer_0, group; `step` goes on to the next.

    The first one is there two cycles after `load`.
    """

    def __init__(self, address_bits: int) -> None:
        self.address_bits = address_bits
        address, position = unsigned(operand_bits(address_bits)), signed(32)
        limits = dict.fromkeys(("y_start", "y_stride", "x_start", "x_stride"), position)
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "lasts": In(data.ArrayLayout(COUNT_BITS, 4)),
                "plan": In(plan_layout(address_bits)),
                "rows": In(data.StructLayout(limits)),
                "bases": In(data.ArrayLayout(address, 4)),
                "strides": In(data.ArrayLayout(data.ArrayLayout(address, 4), 4)),
                "far": In(data.ArrayLayout(4, 4)),
                "place": Out(place_layout(address_bits)),
                "last_group": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lasts = [self.lasts[level] for level in range(4)]
        ahead = _Ahead(m, lasts, self.load, self.step, self.last, self.last_group)
        for number, name in enumerate(("address_0", "address_1", "address_2", "address_out")):
            bits = self.address_bits if number else operand_bits(self.address_bits)
            m.submodules[name] = loop = AddressLoop(4, bits)
            m.d.comb += [loop.advance.eq(ahead.advance), loop.wraps.eq(ahead.wraps)]
            m.d.comb += [loop.moves.eq(ahead.moves), loop.base.eq(self.bases[number])]
            m.d.comb += [loop.far.eq(self.far[number]), self.place[name].eq(loop.address)]
            m.d.comb += [loop.strides[level].eq(self.strides[number][level]) for level in range(4)]
        self._rows(m, ahead)
        return m

    def _rows(self, m: Module, ahead: _Ahead) -> None:
        rows, plan = self.rows, self.plan
        place = _held_rows(m, self.place)
        begins = ahead.wraps | ahead.moves[0]
        slots, parts = (plan.slot_stride, plan.slot_stride_back), (plan.row_stride, plan.row_stride_back)
        with m.If(ahead.advance & (begins | ahead.moves[1])):
            m.d.sync += place.y.eq(Mux(begins, rows.y_start, place.y + rows.y_stride))
            slot, row = ring_step(m, place, slots, parts, plan.has_ring)
            m.d.sync += place.slot.eq(Mux(begins, plan.slot_start, slot))
            m.d.sync += place.row.eq(Mux(begins, plan.row_start, row))
        begins = begins | ahead.moves[1]
        with m.If(ahead.advance & (begins | ahead.moves[2])):
            m.d.sync += place.x.eq(Mux(begins, rows.x_start, place.x + rows.x_stride))


class ReduceLoop(wiring.Component):
    """Offsets of reduce_1, reduce_0 and, folded, the inner groups; all results of a batch share them.

    The first one is there two cycles after `load`, and again behind the last one. `lane` counts the groups.
    """

    def __init__(self, address_bits: int, lanes: int) -> None:
        self.address_bits = address_bits
        address = unsigned(operand_bits(address_bits))
        dilations = {name: signed(32) for name in ("y", "x")}
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "lasts": In(data.ArrayLayout(COUNT_BITS, 3)),
                "plan": In(plan_layout(address_bits)),
                "dilations": In(data.StructLayout(dilations)),
                "strides": In(data.ArrayLayout(address, 3)),
                "place": Out(place_layout(address_bits)),
                "lane": Out(range(lanes)),
                "last_group": Out(1),
                "first": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lasts = [self.lasts[0][:REDUCE_BITS], self.lasts[1][:REDUCE_BITS], self.lasts[2]]
        ahead = _Ahead(m, lasts, self.load, self.step, self.last, self.last_group)
        rows, pixels = ahead.wraps | ahead.moves[0], ahead.wraps | ahead.moves[:2].any()
        with m.If(ahead.advance):
            m.d.sync += [self.first.eq(ahead.wraps), self.lane.eq(Mux(pixels, 0, self.lane + 1))]
        for number in range(3):
            levels = 1 if number else 2
            bits = self.address_bits if number else operand_bits(self.address_bits)
            m.submodules[f"address_{number}"] = loop = AddressLoop(levels, bits)
            m.d.comb += [loop.advance.eq(ahead.advance), loop.base.eq(0)]
            m.d.comb += [loop.wraps.eq(pixels if number else rows), loop.moves.eq(ahead.moves[3 - levels :])]
            m.d.comb += loop.strides[levels - 1].eq(self.strides[number])
            if number == 0:
                m.d.comb += loop.strides[0].eq(self.plan.x_dilation)
            m.d.comb += self.place[f"address_{number}"].eq(loop.address)
        self._rows(m, ahead, rows, pixels)
        return m

    def _rows(self, m: Module, ahead: _Ahead, rows: Any, pixels: Any) -> None:
        plan = self.plan
        place = _held_rows(m, self.place)
        slots, parts = (
            (plan.slot_dilation, plan.slot_dilation_back),
            (plan.row_dilation, plan.row_dilation_back),
        )
        with m.If(ahead.advance & rows):
            m.d.sync += place.y.eq(Mux(ahead.wraps, 0, place.y + self.dilations.y))
            slot, row = ring_step(m, place, slots, parts, plan.has_ring)
            m.d.sync += place.slot.eq(Mux(ahead.wraps, 0, slot))
            m.d.sync += place.row.eq(Mux(ahead.wraps, 0, row))
        with m.If(ahead.advance & pixels):
            m.d.sync += place.x.eq(Mux(rows, 0, place.x + self.dilations.x))


def _held_rows(m: Module, place: Any) -> Any:
    """Registers for what rows and columns make of a place."""
    names = ("y", "x", "slot", "row")
    held = Signal(data.StructLayout({name: place.shape()[name].shape for name in names}), reset_less=True)
    m.d.comb += [place[name].eq(held[name]) for name in names]
    return held
