"""The accumulators of a reduction: rows of lanes in a memory, folded with what leaves the ring."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Reduction
from hanok.machine import VectorPipeline
from hanok.rtl._float_parts import Pipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_ring import token_layout
from hanok.rtl.float_add import FloatAdd
from hanok.rtl.float_compare import Comparison

LOWEST, HIGHEST = 0xFF800000, 0x7F800000
"""Minus and plus infinity."""
_COMPARE_DELAYS = (4.5, 4)
"""Compare magnitudes, choose."""


class VectorFold(wiring.Component):
    """`token` folds `values` into row `token.result`; `halve` folds lanes l and l + lanes / 2 ** (level + 1).

    Both may use a row again fold_cycles later. `read_row` gives `row`, two cycles later.
    """

    def __init__(self, address_bits: int, lanes: int, pipeline: VectorPipeline) -> None:
        self.lanes = lanes
        self.pipeline = pipeline
        token, row = token_layout(address_bits, lanes, pipeline), data.ArrayLayout(32, lanes)
        number = range(pipeline.batch)
        super().__init__(
            {
                "reduction": In(8),
                "token": In(token),
                "mask": In(lanes),
                "values": In(row),
                "halve": In(1),
                "level": In(range(lanes.bit_length() - 1)),
                "halved": In(number),
                "read_row": In(number),
                "row": Out(row),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row = data.ArrayLayout(32, self.lanes)
        m.submodules.rows = store = memory.Memory(shape=row, depth=self.pipeline.batch, init=[])
        old, asked, write = store.read_port(), store.read_port(), store.write_port()
        m.d.comb += asked.addr.eq(self.read_row)
        m.d.sync += self.row.eq(asked.data)
        number = Mux(self.halve, self.halved, self.token.result)
        m.d.comb += old.addr.eq(number)
        found = delayed(m, old.data, 1, "found")
        values = delayed(m, self.values, 2, "values")
        given = Mux(self.token.inside, self.mask, 0)
        halve, level = delayed(m, self.halve, 2, "halve"), delayed(m, self.level, 2, "level")
        first, mask = delayed(m, self.token.first, 2, "first"), delayed(m, given, 2, "mask")
        cycles = 3 + self.pipeline.add
        writes = delayed(m, self.token.valid | self.halve, cycles, "writes", reset_less=False)
        m.d.comb += [write.en.eq(writes), write.addr.eq(delayed(m, number, cycles, "number"))]
        for lane in range(self.lanes):
            value = self._partner(found, level, lane)
            value = Mux(halve, value, values[lane])
            total = Mux(first & ~halve, self._start(), found[lane])
            folded = self._fold(m, lane, total, value, mask[lane] | halve)
            m.d.comb += write.data[lane].eq(folded)
        return m

    def _start(self) -> Any:
        ends = Mux(self.reduction == Reduction.MAX, LOWEST, HIGHEST)
        return Mux(self.reduction == Reduction.SUM, 0, ends)

    def _partner(self, row: Any, level: Any, lane: int) -> Any:
        """The lane that is folded into `lane`; any at levels that fold nothing into it."""
        value = row[lane]
        for number in range(self.lanes.bit_length() - 1):
            half = self.lanes >> number + 1
            if lane < half:
                value = Mux(level == number, row[lane + half], value)
        return value

    def _fold(self, m: Module, lane: int, total: Any, value: Any, takes: Any) -> Any:
        """total + value, or the larger or smaller of both; `total` where the lane is left out."""
        add = self.pipeline.add
        m.submodules[f"add_{lane}"] = unit = FloatAdd(add)
        old, new = (Signal(32, name=f"{name}_{lane}", reset_less=True) for name in ("old", "new"))
        m.d.sync += [old.eq(total), new.eq(value)]
        m.d.comb += [unit.a.eq(old), unit.b.eq(new), unit.subtract.eq(0)]
        takes = delayed(m, takes, 1, f"takes_{lane}")
        pipeline = Pipeline(m, add, _COMPARE_DELAYS)
        takes, old, new, *parts = pipeline.cut(takes, old, new, *Comparison.of(old, new).parts)
        order = Comparison(*parts)
        replaces = takes & Mux(self.reduction == Reduction.MAX, order.less, order.greater)
        sums, other = pipeline.cut(takes & (self.reduction == Reduction.SUM), Mux(replaces, new, old))
        pipeline.end()
        return Mux(sums, unit.o, other)
