"""The ring of step units: groups enter, go round once for each row of steps, and leave."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Step
from hanok.machine import VectorPipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_program import SECTION, STEP, VectorProgram
from hanok.rtl._vector_step import ROUNDING, VALUES, VectorStep, select_operand, table_write_layout
from hanok.rtl.float_divide import FloatDivide


def token_layout(lanes: int, pipeline: VectorPipeline) -> data.StructLayout:
    """What goes along with a group.

    `after`: it is past the reduction; `result`: its number in the batch; `first`: it starts a fold; `inside`:
    operand 0 was within its limits; `tail`: it is the last group of the inner loop; `lane`: where an element
    that comes alone is folded; `divider`: the one that it uses.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "after": 1,
            "result": (pipeline.batch - 1).bit_length(),
            "first": 1,
            "inside": 1,
            "tail": 1,
            "lane": (lanes - 1).bit_length(),
            "divider": max(1, (pipeline.dividers - 1).bit_length()),
        }
    )


class VectorRing(wiring.Component):
    """`entry` is taken in the cycle in which it is valid; its issue keeps the place free.

    Its last round over, a group is at `exit` for one cycle, rounds * depth cycles after its entry.
    """

    def __init__(self, lanes: int, stages: int, pipeline: VectorPipeline) -> None:
        self.lanes = lanes
        self.stages = stages
        self.pipeline = pipeline
        token = token_layout(lanes, pipeline)
        self.token = token
        super().__init__(
            {
                "entry": In(token),
                "entry_values": In(data.ArrayLayout(VALUES, lanes)),
                "exit": Out(token),
                "exit_values": Out(data.ArrayLayout(32, lanes)),
                "sections": In(data.ArrayLayout(SECTION, 2)),
                "rows": Out(data.ArrayLayout(4, stages)),
                "steps": In(data.ArrayLayout(STEP, stages)),
                "division_row": Out(4),
                "divides": In(1),
                "rounding": In(ROUNDING),
                "table": In(table_write_layout(pipeline.table_words)),
            }
        )

    def connect(self, m: Module, program: VectorProgram) -> None:
        """Let the ring ask `program` what to do."""
        m.d.comb += [program.rows.eq(self.rows), self.steps.eq(program.found)]
        m.d.comb += [program.division_row.eq(self.division_row), self.divides.eq(program.divides)]
        m.d.comb += self.sections.eq(program.sections)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rounds = self.pipeline.division_rounds(self.stages)
        place = data.StructLayout({"token": self.token, "row": 4, "turn": max(1, (rounds - 1).bit_length())})
        first = Signal(place)
        last = first
        values = Signal(data.ArrayLayout(VALUES, self.lanes), reset_less=True)
        steps = [Signal(STEP, name=f"step_{stage}") for stage in range(self.stages)]
        for stage in range(self.stages):
            m.d.comb += [self.rows[stage].eq(last.row), steps[stage].eq(self.steps[stage])]
            last = delayed(m, last, self.pipeline.step_cycles, f"place_{stage}", reset_less=False)
        m.d.comb += steps[0].code.eq(Mux(self.divides, int(Step.NONE), self.steps[0].code))
        m.d.comb += self.division_row.eq(first.row)
        ended = [self._lane(m, lane, values[lane], steps) for lane in range(self.lanes)]
        divides = delayed(m, self.divides, self.pipeline.depth(self.stages) - 1, "divides")
        quotients = self._divisions(m, first, values, last)
        self._turn(m, first, last, divides, rounds)
        for lane, result in enumerate(ended):
            value = Mux(divides, quotients[lane], result.value)
            m.d.comb += self.exit_values[lane].eq(value)
            m.d.sync += [values[lane].eq(result), values[lane].value.eq(value)]
            with m.If(self.entry.valid):
                m.d.sync += values[lane].eq(self.entry_values[lane])
        return m

    def _lane(self, m: Module, lane: int, values: Any, steps: list[Any]) -> Any:
        for stage in range(self.stages):
            m.submodules[f"lane_{lane}_step_{stage}"] = unit = VectorStep(self.pipeline)
            m.d.comb += [unit.values.eq(values), unit.step.eq(steps[stage])]
            m.d.comb += [unit.rounding.eq(self.rounding), unit.table.eq(self.table)]
            values = unit.result
        return values

    def _turn(self, m: Module, first: Any, last: Any, divides: Any, rounds: int) -> None:
        """At the end of a round a group leaves, or goes on with its next row or its division."""
        section = self.sections[last.token.after]
        waits, leaves = Signal(), Signal()
        m.d.comb += waits.eq(divides & (last.turn != rounds - 1))
        m.d.comb += leaves.eq(last.token.valid & ~waits & (last.row == section.last_row))
        m.d.comb += [self.exit.eq(last.token), self.exit.valid.eq(leaves)]
        m.d.sync += [first.eq(last), first.token.valid.eq(last.token.valid & ~leaves)]
        m.d.sync += first.turn.eq(Mux(waits, last.turn + 1, 0))
        m.d.sync += first.row.eq(Mux(waits, last.row, last.row + 1))
        with m.If(self.entry.valid):
            m.d.sync += [first.token.eq(self.entry), first.turn.eq(0)]
            m.d.sync += first.row.eq(self.sections[self.entry.after].first_row)

    def _divisions(self, m: Module, first: Any, values: Any, last: Any) -> list[Any]:
        """Start a division in its first round; return the quotients that the last place's group has."""
        pipeline = self.pipeline
        starts = first.token.valid & self.divides & (first.turn == 0)
        code = self.steps[0].code
        results: list[list[Any]] = [[] for _ in range(self.lanes)]
        for number in range(pipeline.dividers):
            for lane in range(self.lanes):
                m.submodules[f"divide_{lane}_{number}"] = unit = FloatDivide(pipeline.division_bits)
                held = values[lane]
                operand = select_operand(self.steps[0], held)
                swapped = code == Step.REVERSE_DIV
                m.d.comb += unit.start.eq(starts & (first.token.divider == number))
                m.d.comb += unit.a.eq(Mux(swapped, operand, held.value))
                m.d.comb += unit.b.eq(Mux(swapped, held.value, operand))
                quotient = Signal(32, name=f"quotient_{lane}_{number}", reset_less=True)
                with m.If(unit.done):
                    m.d.sync += quotient.eq(unit.o)
                results[lane].append(quotient)
        chosen = []
        for lane in range(self.lanes):
            value = results[lane][0]
            for number in range(1, pipeline.dividers):
                value = Mux(last.token.divider == number, results[lane][number], value)
            chosen.append(value)
        return chosen
