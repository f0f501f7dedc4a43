"""The steps of a chain sorted into rows: what each step unit does each time that a group goes round."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Step
from hanok.isa.table import VECTOR_STEPS

ROWS = 16
"""At most a row for each step, and one for each section without steps."""
SORT_CYCLES = VECTOR_STEPS + 2
"""A cycle for each step and for the end of each section."""

STEP = data.StructLayout({"code": 4, "operand": 2, "immediate": 32})
SECTION = data.StructLayout({"first_row": 4, "last_row": 4, "rounds": 8, "divides": 1})


class VectorProgram(wiring.Component):
    """Sorts the steps of the record that is held, from `start` on, and answers what a row holds.

    A row is `stages` steps, or one division, for which a group goes round `division_rounds` times. Section 0
    is what comes before the reduction, section 1 what comes after it.
    """

    def __init__(self, stages: int, division_rounds: int) -> None:
        self.stages = stages
        self.division_rounds = division_rounds
        super().__init__(
            {
                "start": In(1),
                "reduces": In(1),
                "steps": In(8),
                "steps_before": In(8),
                "step": In(data.ArrayLayout(8, VECTOR_STEPS)),
                "operand": In(data.ArrayLayout(8, VECTOR_STEPS)),
                "immediate": In(data.ArrayLayout(32, VECTOR_STEPS)),
                "sections": Out(data.ArrayLayout(SECTION, 2)),
                "rows": In(data.ArrayLayout(unsigned(4), stages)),
                "found": Out(data.ArrayLayout(STEP, stages)),
                "division_row": In(4),
                "divides": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        division_rows = Signal(ROWS)
        m.d.comb += self.divides.eq(division_rows.bit_select(self.division_row, 1))
        row, column = Signal(4), Signal(range(self.stages))
        stores = self._stores(m)
        number, section, sorting = Signal(range(VECTOR_STEPS + 1)), Signal(), Signal()
        now = self.sections[section]
        code, last_column = self.step[number[:3]], column == self.stages - 1
        divides = (code == Step.DIV) | (code == Step.REVERSE_DIV)
        at = Mux(divides & (column != 0), row + 1, row)
        places = Mux(divides, 1, 1 << column)
        closes = (~section & self.reduces & (number == self.steps_before)) | (number == self.steps)
        with m.If(self.start):
            m.d.sync += [sorting.eq(1), number.eq(0), section.eq(0), row.eq(0), column.eq(0)]
            m.d.sync += [division_rows.eq(0), self.sections.eq(0)]
            for _, used in stores:
                m.d.sync += used.eq(0)
        with m.Elif(sorting & closes):
            m.d.sync += [now.last_row.eq(Mux(now.rounds == 0, row, row - (column == 0)))]
            m.d.sync += [now.rounds.eq(Mux(now.rounds == 0, 1, now.rounds)), column.eq(0)]
            next_row = row + ((now.rounds == 0) | (column != 0))
            m.d.sync += [row.eq(next_row), section.eq(1)]
            with m.If(~section):
                m.d.sync += self.sections[1].first_row.eq(next_row)
            m.d.sync += sorting.eq(self.reduces & ~section)
        with m.Elif(sorting):
            m.d.sync += number.eq(number + 1)
            with m.If(divides):
                m.d.sync += [row.eq(at + 1), column.eq(0), now.divides.eq(1)]
                m.d.sync += [now.rounds.eq(now.rounds + self.division_rounds)]
                m.d.sync += division_rows.bit_select(at[:4], 1).eq(1)
            with m.Elif(code != Step.NONE):
                m.d.sync += [now.rounds.eq(now.rounds + (column == 0))]
                m.d.sync += [column.eq(Mux(last_column, 0, column + 1)), row.eq(row + last_column)]
            for stage, (port, used) in enumerate(stores):
                m.d.comb += [port.en.eq(places[stage] & (code != Step.NONE)), port.addr.eq(at)]
                m.d.comb += [port.data.code.eq(code), port.data.operand.eq(self.operand[number[:3]])]
                m.d.comb += port.data.immediate.eq(self.immediate[number[:3]])
                with m.If(port.en):
                    m.d.sync += used.bit_select(at[:4], 1).eq(1)
        return m

    def _stores(self, m: Module) -> list[tuple[Any, Signal]]:
        """A small memory for each step unit, and which of its rows hold a step."""
        stores = []
        for stage in range(self.stages):
            m.submodules[f"steps_{stage}"] = store = memory.Memory(shape=STEP, depth=ROWS, init=[])
            used = Signal(ROWS, name=f"used_{stage}")
            read = store.read_port(domain="comb")
            found = self.found[stage]
            m.d.comb += [read.addr.eq(self.rows[stage]), found.eq(read.data)]
            m.d.comb += found.code.eq(
                Mux(used.bit_select(self.rows[stage], 1), read.data.code, int(Step.NONE))
            )
            stores.append((store.write_port(), used))
        return stores
