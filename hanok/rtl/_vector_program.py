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
SORT_CYCLES = VECTOR_STEPS + 3
"""A cycle for each step and for the end of each section, and one to begin."""

STEP = data.StructLayout({"code": 4, "operand": 2, "immediate": 32})
SECTION = data.StructLayout({"first_row": 4, "last_row": 4, "turns": 8, "divides": 1})
"""`turns`: rounds less 1."""


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
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sorting, section, closes, step = self._next(m)
        row, column, opened = Signal(4), Signal(range(self.stages)), Signal()
        ports = self._stores(m)
        now = self.sections[section]
        last_column = column == self.stages - 1
        divides = (step.code == Step.DIV) | (step.code == Step.REVERSE_DIV)
        at, place = Mux(divides & (column != 0), row + 1, row), Mux(divides, 0, column)
        steps = step.code != Step.NONE
        with m.If(self.start):
            m.d.sync += [row.eq(0), column.eq(0), opened.eq(0)]
            for part in self.sections:
                m.d.sync += [part.first_row.eq(0), part.turns.eq(-1), part.divides.eq(0)]
        with m.Elif(sorting & closes):
            m.d.sync += [now.last_row.eq(row - (opened & (column == 0))), column.eq(0), opened.eq(0)]
            next_row = row + (~opened | (column != 0))
            m.d.sync += row.eq(next_row)
            with m.If(~opened):
                m.d.sync += now.turns.eq(0)
            with m.If(~section):
                m.d.sync += self.sections[1].first_row.eq(next_row)
        with m.Elif(sorting & steps):
            m.d.sync += opened.eq(1)
            with m.If(divides):
                m.d.sync += [row.eq(at + 1), column.eq(0), now.divides.eq(1)]
                m.d.sync += now.turns.eq(now.turns + self.division_rounds)
            with m.Else():
                m.d.sync += now.turns.eq(now.turns + (column == 0))
                m.d.sync += [column.eq(Mux(last_column, 0, column + 1)), row.eq(row + last_column)]
        for stage, port in enumerate(ports):
            m.d.comb += [port.addr.eq(at), port.data.eq(step)]
            with m.If(closes | (place != stage)):
                m.d.comb += port.data.code.eq(Step.NONE)
            m.d.comb += port.en.eq(sorting & Mux(closes, ~opened, steps & (place <= stage)))
        return m

    def _next(self, m: Module) -> tuple[Any, Any, Any, Any]:
        """Bring a step a cycle to registers: if there is one, its section, if that ends, and the step."""
        number, ahead, goes = Signal(range(VECTOR_STEPS + 1)), Signal(), Signal()
        ends = (~ahead & self.reduces & (number == self.steps_before)) | (number == self.steps)
        with m.If(self.start):
            m.d.sync += [goes.eq(1), number.eq(0), ahead.eq(0)]
        with m.Elif(goes & ends):
            m.d.sync += [ahead.eq(1), goes.eq(self.reduces & ~ahead)]
        with m.Elif(goes):
            m.d.sync += number.eq(number + 1)
        sorting, section, closes = Signal(), Signal(), Signal()
        step = Signal(STEP, reset_less=True)
        m.d.sync += [sorting.eq(goes), section.eq(ahead), closes.eq(ends)]
        m.d.sync += [step[name].eq(getattr(self, name)[number[:3]]) for name in ("operand", "immediate")]
        m.d.sync += step.code.eq(self.step[number[:3]])
        return sorting, section, closes, step

    def _stores(self, m: Module) -> list[Any]:
        """A small memory for each step unit; return what writes to it."""
        ports = []
        for stage in range(self.stages):
            m.submodules[f"steps_{stage}"] = store = memory.Memory(shape=STEP, depth=ROWS, init=[])
            read = store.read_port(domain="comb")
            m.d.comb += [read.addr.eq(self.rows[stage]), self.found[stage].eq(read.data)]
            ports.append(store.write_port())
        return ports
