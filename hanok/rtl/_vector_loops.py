"""The loops of a CHAIN: results in order with their addresses, and the reduce loops' offsets to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._vector_plan import plan_layout

COUNT_BITS = 32


def position_bits(address_bits: int) -> int:
    """Bits of y and x of operand 0: no legal loop leaves them (emulator_checks bounds the counts)."""
    return 34 + max(address_bits + 1, 16)


def place_layout(address_bits: int) -> data.StructLayout:
    """Where a result's operands lie before the reduce loops move them.

    `row` is the part of operand 0's address that rows make, `slot` the row's slot in the ring.
    """
    position, address = signed(position_bits(address_bits)), unsigned(address_bits)
    members = {"y": position, "x": position, "slot": unsigned(32), "row": address}
    return data.StructLayout({**members, **{f"address_{number}": address for number in range(3)}})


def ring_step(
    m: Module, slot: Any, row: Any, slot_step: Any, row_step: Any, ring: Any, ring_bytes: Any
) -> tuple[Any, Any]:
    """Return slot and row after a step, where the slot wraps at `ring` (0: it does not)."""
    sum_ = Signal(33)
    wraps = Signal()
    m.d.comb += [sum_.eq(slot + slot_step), wraps.eq((ring != 0) & (sum_ >= ring))]
    slot_next, row_next = Signal(32), Signal(len(row))
    m.d.comb += slot_next.eq(sum_ - Mux(wraps, ring, 0))
    m.d.comb += row_next.eq(row + row_step - Mux(wraps, ring_bytes, 0))
    return slot_next, row_next


class Levels:
    """Nested counters: which level a step moves, the outermost first, and whether the loop is at its end."""

    def __init__(self, m: Module, counts: Sequence[Any], load: Any, step: Any) -> None:
        self.at_end: list[Any] = []
        self.index: list[Any] = []
        self.moves: list[Any] = []
        inner_end: Any = 1
        for count in reversed(counts):
            index, ends = Signal(COUNT_BITS), Signal()
            m.d.comb += ends.eq(index == count - 1)
            moves = Signal()
            m.d.comb += moves.eq(step & inner_end & ~ends)
            with m.If(load | (step & inner_end & ends)):
                m.d.sync += index.eq(0)
            with m.Elif(moves):
                m.d.sync += index.eq(index + 1)
            self.moves.insert(0, moves)
            self.at_end.insert(0, ends)
            self.index.insert(0, index)
            inner_end = inner_end & ends
        self.last = inner_end


class AddressLoop(wiring.Component):
    """An address that nested loops move: each level keeps where its present turn began."""

    def __init__(self, levels: int, address_bits: int) -> None:
        self.levels = levels
        address = unsigned(address_bits)
        super().__init__(
            {
                "load": In(1),
                "base": In(address),
                "moves": In(levels),
                "strides": In(data.ArrayLayout(address, levels)),
                "address": Out(address),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        at = [Signal.like(self.base, name=f"at_{level}", reset_less=True) for level in range(self.levels)]
        for level in range(self.levels):
            with m.If(self.load):
                m.d.sync += at[level].eq(self.base)
            for outer in range(level + 1):
                with m.If(self.moves[outer]):
                    m.d.sync += at[level].eq(at[outer] + self.strides[outer])
        m.d.comb += self.address.eq(at[-1])
        return m


class ResultLoop(wiring.Component):
    """Results in the order outer_2, outer_1, outer_0, group; `step` goes on to the next."""

    def __init__(self, address_bits: int) -> None:
        self.address_bits = address_bits
        address, position = unsigned(address_bits), signed(32)
        limits = dict.fromkeys(("y_start", "y_stride", "x_start", "x_stride"), position)
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "counts": In(data.ArrayLayout(COUNT_BITS, 4)),
                "plan": In(plan_layout(address_bits)),
                "ring": In(32),
                "rows": In(data.StructLayout(limits)),
                "bases": In(data.ArrayLayout(address, 3)),
                "strides": In(data.ArrayLayout(data.ArrayLayout(address, 4), 3)),
                "place": Out(place_layout(address_bits)),
                "last_group": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        levels = Levels(m, [self.counts[level] for level in range(4)], self.load, self.step)
        m.d.comb += [self.last.eq(levels.last), self.last_group.eq(levels.at_end[3])]
        for number in range(3):
            m.submodules[f"address_{number}"] = loop = AddressLoop(4, self.address_bits)
            m.d.comb += [loop.load.eq(self.load), loop.base.eq(self.bases[number])]
            m.d.comb += loop.strides.eq(self.strides[number])
            for level in range(4):
                m.d.comb += loop.moves[level].eq(levels.moves[level])
            m.d.comb += self.place[f"address_{number}"].eq(loop.address)
        self._rows(m, levels)
        return m

    def _rows(self, m: Module, levels: Levels) -> None:
        place, rows, plan = self.place, self.rows, self.plan
        y, x = (Signal.like(place[name], name=name, reset_less=True) for name in ("y", "x"))
        slot, row = (Signal.like(place[name], name=name, reset_less=True) for name in ("slot", "row"))
        m.d.comb += [place.y.eq(y), place.x.eq(x), place.slot.eq(slot), place.row.eq(row)]
        slot_next, row_next = ring_step(
            m, slot, row, plan.slot_stride, plan.row_stride, self.ring, plan.row_ring
        )
        with m.If(self.load | levels.moves[0]):
            m.d.sync += [y.eq(rows.y_start), slot.eq(plan.slot_start), row.eq(plan.row_start)]
        with m.Elif(levels.moves[1]):
            m.d.sync += [y.eq(y + rows.y_stride), slot.eq(slot_next), row.eq(row_next)]
        with m.If(self.load | levels.moves[0] | levels.moves[1]):
            m.d.sync += x.eq(rows.x_start)
        with m.Elif(levels.moves[2]):
            m.d.sync += x.eq(x + rows.x_stride)


class ReduceLoop(wiring.Component):
    """Offsets of reduce_1, reduce_0 and, folded, the inner groups; all results of a batch share them."""

    def __init__(self, address_bits: int) -> None:
        self.address_bits = address_bits
        address = unsigned(address_bits)
        dilations = {name: signed(32) for name in ("y", "x")}
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "counts": In(data.ArrayLayout(COUNT_BITS, 3)),
                "plan": In(plan_layout(address_bits)),
                "ring": In(32),
                "dilations": In(data.StructLayout(dilations)),
                "strides": In(data.ArrayLayout(address, 3)),
                "place": Out(place_layout(address_bits)),
                "group": Out(COUNT_BITS),
                "last_group": Out(1),
                "first": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        levels = Levels(m, [self.counts[level] for level in range(3)], self.load, self.step)
        m.d.comb += [self.last.eq(levels.last), self.last_group.eq(levels.at_end[2])]
        m.d.comb += self.group.eq(levels.index[2])
        first = Signal()
        with m.If(self.load | self.step):
            m.d.sync += first.eq(self.load)
        m.d.comb += self.first.eq(first)
        for number in range(3):
            m.submodules[f"address_{number}"] = loop = AddressLoop(3, self.address_bits)
            pixels = self.plan.x_dilation if number == 0 else 0
            m.d.comb += [loop.load.eq(self.load), loop.base.eq(0), loop.strides[0].eq(0)]
            m.d.comb += [loop.strides[1].eq(pixels), loop.strides[2].eq(self.strides[number])]
            for level in range(3):
                m.d.comb += loop.moves[level].eq(levels.moves[level])
            m.d.comb += self.place[f"address_{number}"].eq(loop.address)
        self._rows(m, levels)
        return m

    def _rows(self, m: Module, levels: Levels) -> None:
        place, plan = self.place, self.plan
        y, x = (Signal.like(place[name], name=name, reset_less=True) for name in ("y", "x"))
        slot, row = (Signal.like(place[name], name=name, reset_less=True) for name in ("slot", "row"))
        m.d.comb += [place.y.eq(y), place.x.eq(x), place.slot.eq(slot), place.row.eq(row)]
        slot_next, row_next = ring_step(
            m, slot, row, plan.slot_dilation, plan.row_dilation, self.ring, plan.row_ring
        )
        with m.If(self.load):
            m.d.sync += [y.eq(0), slot.eq(0), row.eq(0)]
        with m.Elif(levels.moves[0]):
            m.d.sync += [y.eq(y + self.dilations.y), slot.eq(slot_next), row.eq(row_next)]
        with m.If(self.load | levels.moves[0]):
            m.d.sync += x.eq(0)
        with m.Elif(levels.moves[1]):
            m.d.sync += x.eq(x + self.dilations.x)
