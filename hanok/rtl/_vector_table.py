"""TABLE: entries from the scratchpad to the tables of all step units."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import TABLE_ENTRIES
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import VectorPipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_step import table_write_layout


class VectorTable(wiring.Component):
    """Reads from `address` on, table_words entries a cycle, and writes them when they have come.

    `ends`: in the next cycle all of them can be looked up.
    """

    def __init__(self, address_bits: int, lanes: int, pipeline: VectorPipeline) -> None:
        self.words = pipeline.table_words
        address = unsigned(address_bits)
        super().__init__(
            {
                "start": In(1),
                "address": In(address),
                "ends": Out(1),
                "reads": Out(1),
                "read_address": Out(address),
                "data": In(32 * lanes),
                "entries": Out(table_write_layout(self.words)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rows = TABLE_ENTRIES // self.words
        row, last = Signal(range(rows)), Signal()
        m.d.comb += last.eq(self.reads & (row == rows - 1))
        with m.If(self.start):
            m.d.sync += [self.reads.eq(1), row.eq(0), self.read_address.eq(self.address)]
        with m.Elif(self.reads):
            m.d.sync += [row.eq(row + 1), self.read_address.eq(self.read_address + 4 * self.words)]
            m.d.sync += self.reads.eq(~last)
        cycles = 1 + MEMORY_READ_CYCLES
        m.d.comb += self.entries.enable.eq(delayed(m, self.reads, cycles, "reads", reset_less=False))
        m.d.comb += self.entries.row.eq(delayed(m, row, cycles, "row"))
        m.d.sync += self.entries.entries.eq(self.data)
        m.d.comb += self.ends.eq(delayed(m, last, cycles, "last", reset_less=False))
        return m
