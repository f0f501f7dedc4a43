"""One step of a chain on one lane: a fused multiply-add, comparisons, rounding and the table."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Operand, Step
from hanok.isa.table import TABLE_ENTRIES
from hanok.machine import VectorPipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_program import STEP
from hanok.rtl.float_compare import Comparison
from hanok.rtl.float_convert import FloatToInteger, IntegerToFloat
from hanok.rtl.float_fused import FloatFusedMultiplyAdd

ONE, MINUS_ONE, MINUS_ZERO = 0x3F800000, 0xBF800000, 0x80000000
_FUSED = (Step.ADD, Step.SUB, Step.REVERSE_SUB, Step.MUL, Step.FUSED_ADD)

VALUES = data.StructLayout(dict.fromkeys(("value", "saved", "source_1", "source_2"), 32))
ROUNDING = data.StructLayout({name: signed(16) for name in ("zero", "low", "high")})


def table_write_layout(words: int) -> data.StructLayout:
    """`words` neighbouring entries of the table, written together."""
    rows = TABLE_ENTRIES // words
    return data.StructLayout(
        {"enable": 1, "row": max(1, (rows - 1).bit_length()), "entries": data.ArrayLayout(32, words)}
    )


def select_operand(step: Any, values: Any) -> Any:
    """What the operand code of a step names."""
    sources = Mux(step.operand == Operand.SOURCE_1, values.source_1, values.source_2)
    other = Mux(step.operand == Operand.SAVED, values.saved, step.immediate)
    named = (step.operand == Operand.SOURCE_1) | (step.operand == Operand.SOURCE_2)
    return Mux(named, sources, other)


class VectorStep(wiring.Component):
    """Makes a step on the values of a lane, `step_cycles` after they came; a division is made elsewhere."""

    def __init__(self, pipeline: VectorPipeline) -> None:
        self.pipeline = pipeline
        super().__init__(
            {
                "values": In(VALUES),
                "step": In(STEP),
                "rounding": In(ROUNDING),
                "table": In(table_write_layout(pipeline.table_words)),
                "result": Out(VALUES),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held, operand, step = Signal(VALUES, reset_less=True), Signal(32, reset_less=True), Signal(4)
        m.d.sync += [held.eq(self.values), step.eq(self.step.code)]
        m.d.sync += operand.eq(select_operand(self.step, self.values))
        cycles = self.pipeline.step_cycles - 1
        fused = delayed(m, self._fused(m), cycles - self.pipeline.fused, "fused")
        rounding = self._rounded(m, held, operand, step)
        is_fused = Signal()
        m.d.comb += is_fused.eq(sum((step == code for code in _FUSED[1:]), step == _FUSED[0]) != 0)
        uses_fused = delayed(m, is_fused, cycles, "uses_fused")
        result = self.result
        m.d.comb += result.value.eq(Mux(uses_fused, fused, rounding))
        saved = Mux(step == Step.SAVE, held.value, held.saved)
        m.d.comb += result.saved.eq(delayed(m, saved, cycles, "saved"))
        for name in ("source_1", "source_2"):
            m.d.comb += result[name].eq(delayed(m, held[name], cycles, name))
        return m

    def _fused(self, m: Module) -> Any:
        """v + o, v - o, o - v, v * o and o * immediate + v as one multiply-add, which all are exactly."""
        step, value = self.step, self.values.value
        m.submodules.fused = unit = FloatFusedMultiplyAdd(self.pipeline.fused)
        a, b, c = (Signal(32, name=f"fused_{name}", reset_less=True) for name in "abc")
        m.d.comb += [unit.a.eq(a), unit.b.eq(b), unit.c.eq(c)]
        m.d.sync += [a.eq(select_operand(step, self.values)), b.eq(ONE), c.eq(value)]
        with m.Switch(step.code):
            with m.Case(Step.SUB):
                m.d.sync += b.eq(MINUS_ONE)
            with m.Case(Step.REVERSE_SUB):
                m.d.sync += c.eq(value ^ MINUS_ZERO)
            with m.Case(Step.MUL):
                m.d.sync += [b.eq(value), c.eq(MINUS_ZERO)]
            with m.Case(Step.FUSED_ADD):
                m.d.sync += b.eq(step.immediate)
        return unit.o

    def _rounded(self, m: Module, held: Any, operand: Any, step: Any) -> Any:
        """All other steps: comparisons and moves, joined by ROUND and LOOKUP where those are through."""
        pipeline = self.pipeline
        m.submodules.to_integer = to_integer = FloatToInteger(pipeline.to_integer)
        m.submodules.to_float = to_float = IntegerToFloat(17, pipeline.convert)
        looks_up = step == Step.LOOKUP
        m.d.comb += [
            to_integer.a.eq(held.value),
            to_integer.zero.eq(Mux(looks_up, 0, self.rounding.zero)),
            to_integer.low.eq(Mux(looks_up, -128, self.rounding.low)),
            to_integer.high.eq(Mux(looks_up, 127, self.rounding.high)),
            to_float.a.eq(to_integer.o),
        ]
        entry = self._looked_up(m, to_integer.o)
        path = max(pipeline.convert, 1)
        value = delayed(m, self._compared(m, held, operand, step), pipeline.to_integer + path - 1, "compared")
        late = delayed(m, step, pipeline.to_integer + path, "step", reset_less=False)
        rounded = delayed(m, to_float.o, path - pipeline.convert, "rounded")
        value = Mux(late == Step.ROUND, rounded, value)
        value = Mux(late == Step.LOOKUP, delayed(m, entry, path - 1, "entry"), value)
        return delayed(m, value, pipeline.step_cycles - 1 - pipeline.to_integer - path, "other")

    def _compared(self, m: Module, held: Any, operand: Any, step: Any) -> Any:
        """The value, or what a comparison or a move makes of it, a cycle later."""
        value, saved, other, step = (
            delayed(m, given, 1, f"compared_{name}")
            for given, name in (
                (held.value, "value"),
                (held.saved, "saved"),
                (operand, "other"),
                (step, "step"),
            )
        )
        parts = Comparison.of(held.value, operand).parts
        found = Comparison(*(delayed(m, Value.cast(part), 1, f"part_{n}") for n, part in enumerate(parts)))
        takes = (
            (step == Step.TAKE)
            | ((step == Step.MAX) & found.less)
            | ((step == Step.MIN) & found.greater)
            | ((step == Step.SELECT) & ~found.zero)
        )
        kept = Mux(step == Step.SELECT, saved, value)
        return Mux(takes, other, Mux(step == Step.GREATER, Mux(found.greater, ONE, 0), kept))

    def _looked_up(self, m: Module, index: Any) -> Any:
        """The table's entry, one cycle after its index from -128 on."""
        words = self.pipeline.table_words
        row = data.ArrayLayout(32, words)
        m.submodules.table = store = memory.Memory(shape=row, depth=TABLE_ENTRIES // words, init=[])
        read, write = store.read_port(), store.write_port()
        m.d.comb += [write.en.eq(self.table.enable), write.addr.eq(self.table.row)]
        m.d.comb += write.data.eq(self.table.entries)
        number = Signal(8)
        m.d.comb += number.eq(index[:8] ^ 0x80)
        low = (words - 1).bit_length()
        m.d.comb += read.addr.eq(number[low:])
        if words == 1:
            return read.data[0]
        return read.data[delayed(m, number[:low], 1, "word")]
