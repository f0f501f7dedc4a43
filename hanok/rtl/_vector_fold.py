"""The accumulators of a reduction: rows of lanes in a memory, folded with what leaves the ring.

Lanes are folded by halves, and two rows share a fold: the halves of row 2 r and those of row 2 r + 1 fill one
row, r. Lane l of what the first makes goes to lane 2 l, that of the second to lane 2 l + 1, so that on every
level lane l is folded with lane l + lanes / 2, and which lane comes from where never changes. In the end the
result of row r is in row r / lanes, in the lane whose bits are those of r mod lanes in reverse.
"""

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
    """`token` folds `values` into row `token.result`; `halve` folds row 2 `pair` and the next into `pair`.

    Both may use a row again fold_cycles later. `read_row` gives `row` two cycles later, where `halve` is off.
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
                "pair": In(number),
                "read_row": In(number),
                "row": Out(row),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row = data.ArrayLayout(32, self.lanes)
        m.submodules.rows = store = memory.Memory(shape=row, depth=self.pipeline.batch, init=[])
        old, asked, write = store.read_port(), store.read_port(), store.write_port()
        rows = self.pair << 1
        m.d.comb += asked.addr.eq(Mux(self.halve, rows | 1, self.read_row))
        m.d.sync += self.row.eq(asked.data)
        m.d.comb += old.addr.eq(Mux(self.halve, rows, self.token.result))
        number = Mux(self.halve, self.pair, self.token.result)
        found = delayed(m, old.data, 1, "found")
        values = delayed(m, self.values, 2, "values")
        given = Mux(self.token.inside, self.mask, 0)
        halve = delayed(m, self.halve, 2, "halve")
        first, mask = delayed(m, self.token.first, 2, "first"), delayed(m, given, 2, "mask")
        cycles = 3 + self.pipeline.add
        writes = delayed(m, self.token.valid | self.halve, cycles, "writes", reset_less=False)
        m.d.comb += [write.en.eq(writes), write.addr.eq(delayed(m, number, cycles, "number"))]
        half = self.lanes // 2
        for lane in range(self.lanes):
            row = self.row if lane & 1 else found
            value = Mux(halve, row[(lane >> 1) + half], values[lane])
            total = Mux(halve, row[lane >> 1], Mux(first, self._start(), found[lane]))
            folded = self._fold(m, lane, total, value, mask[lane] | halve)
            m.d.comb += write.data[lane].eq(folded)
        return m

    def _start(self) -> Any:
        ends = Mux(self.reduction == Reduction.MAX, LOWEST, HIGHEST)
        return Mux(self.reduction == Reduction.SUM, 0, ends)

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


def result_lane(row: Any, number: Any) -> Any:
    """What folding the lanes has made of row `number` of a batch: the lane of its reversed bits."""
    levels = len(row).bit_length() - 1
    bits = min(levels, len(number))
    found = [row[int(f"{r:0{levels}b}"[::-1], 2)] for r in range(1 << bits)]
    for bit in range(bits):
        found = [Mux(number[bit], odd, even) for even, odd in zip(found[::2], found[1::2], strict=True)]
    return found[0]
