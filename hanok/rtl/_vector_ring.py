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


def token_layout(address_bits: int, lanes: int, pipeline: VectorPipeline) -> data.StructLayout:
    """What goes along with a group.

    `after`: it is past the reduction; `result`: its number in the batch; `first`: it starts a fold; `inside`:
    operand 0 was within its limits; `tail`: it is the last group of the inner loop; `lane`: where an element
    that comes alone is folded; `divider`: the one that it uses; `address`: where its results go.
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
            "address": address_bits,
        }
    )


class VectorRing(wiring.Component):
    """`entry` is taken in the cycle in which it is valid; its issue keeps the place free.

    Its last round over, a group is at `exit` for one cycle, rounds * depth cycles after its entry.
    """

    def __init__(self, address_bits: int, lanes: int, stages: int, pipeline: VectorPipeline) -> None:
        self.lanes = lanes
        self.stages = stages
        self.pipeline = pipeline
        token = token_layout(address_bits, lanes, pipeline)
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
                "rounding": In(ROUNDING),
                "table": In(table_write_layout(pipeline.table_words)),
            }
        )

    def connect(self, m: Module, program: VectorProgram) -> None:
        """Let the ring ask `program` what to do."""
        m.d.comb += [program.rows.eq(self.rows), self.steps.eq(program.found)]
        m.d.comb += self.sections.eq(program.sections)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rounds = self.pipeline.division_rounds(self.stages)
        turn = max(1, (rounds - 1).bit_length())
        place = data.StructLayout({"token": self.token, "row": 4, "turn": turn})
        first = Signal(place)
        values = Signal(data.ArrayLayout(VALUES, self.lanes), reset_less=True)
        steps = [Signal(STEP, name=f"step_{stage}", reset_less=True) for stage in range(self.stages)]
        divides = Signal()
        m.d.comb += divides.eq((steps[0].code == Step.DIV) | (steps[0].code == Step.REVERSE_DIV))
        late, cycles = first, self.pipeline.step_cycles
        for stage in range(self.stages):
            if stage:
                m.d.comb += self.rows[stage].eq(late.row)
                late = delayed(m, late, 1, f"place_{stage}", reset_less=False)
            m.d.sync += steps[stage].eq(self.steps[stage])
            late = delayed(m, late, cycles - 1, f"place_{stage}_after", reset_less=False)
        ended = [self._lane(m, lane, values[lane], steps) for lane in range(self.lanes)]
        divided = delayed(m, divides, self.pipeline.depth(self.stages) - 2, "divides")
        last = self._turn(m, first, late, divided, rounds)
        divided = delayed(m, divided, 1, "divided")
        quotients = self._divisions(m, first, values, steps[0], divides, last.token.divider)
        for lane, result in enumerate(ended):
            value = Mux(divided, quotients[lane], result.value)
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

    def _turn(self, m: Module, first: Any, late: Any, divided: Any, rounds: int) -> Any:
        """At the end of a round a group leaves, or goes on with its next row or its division.

        `late` is the place before the last, where that is decided; return the last place. The entry's steps
        are looked up a cycle before they are made.
        """
        last = Signal.like(late, name="last")
        ends, waits, leaves = Signal(), Signal(), Signal()
        section = self.sections[late.token.after]
        m.d.comb += waits.eq(divided & (late.turn != rounds - 1))
        m.d.comb += ends.eq(~waits & (late.row == section.last_row))
        m.d.sync += [last.eq(late), last.token.valid.eq(late.token.valid & ~ends)]
        m.d.sync += [leaves.eq(late.token.valid & ends), last.row.eq(Mux(waits, late.row, late.row + 1))]
        m.d.sync += last.turn.eq(Mux(waits, late.turn + 1, 0))
        m.d.comb += [self.exit.eq(last.token), self.exit.valid.eq(leaves)]
        following = Signal(4)
        m.d.comb += [following.eq(last.row), self.rows[0].eq(following)]
        m.d.sync += [first.eq(last), first.row.eq(following)]
        with m.If(self.entry.valid):
            m.d.comb += following.eq(self.sections[self.entry.after].first_row)
            m.d.sync += [first.token.eq(self.entry), first.turn.eq(0)]
        return last

    def _divisions(
        self, m: Module, first: Any, values: Any, step: Any, divides: Any, chosen: Any
    ) -> list[Any]:
        """Start a division in its first round; return the quotients of the divider `chosen`, one a lane."""
        pipeline = self.pipeline
        starts = Signal()
        m.d.sync += starts.eq(first.token.valid & divides & (first.turn == 0))
        divider = delayed(m, first.token.divider, 1, "divider")
        found = []
        for lane in range(self.lanes):
            operand, value = select_operand(step, values[lane]), values[lane].value
            swapped = step.code == Step.REVERSE_DIV
            a, b = (Signal(32, name=f"{name}_{lane}", reset_less=True) for name in ("dividend", "divisor"))
            m.d.sync += [a.eq(Mux(swapped, operand, value)), b.eq(Mux(swapped, value, operand))]
            found.append(Signal(32, name=f"quotient_{lane}"))
            for number in range(pipeline.dividers):
                m.submodules[f"divide_{lane}_{number}"] = unit = FloatDivide(pipeline.division_bits)
                m.d.comb += [unit.start.eq(starts & (divider == number)), unit.a.eq(a), unit.b.eq(b)]
                quotient = Signal(32, name=f"quotient_{lane}_{number}", reset_less=True)
                with m.If(unit.done):
                    m.d.sync += quotient.eq(unit.o)
                with m.If(chosen == number):
                    m.d.comb += found[lane].eq(quotient)
        return found
