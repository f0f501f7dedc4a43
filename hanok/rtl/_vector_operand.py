"""An operand of a chain: bytes of a read port to scaled float32 elements."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Source
from hanok.machine import VectorPipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl.float_convert import IntegerToFloat
from hanok.rtl.float_multiply import FloatMultiply

DIFFERENCE_BITS = 33
"""An int32 less an int16."""
OPERAND_CYCLES = 3
"""Element, difference, and the factor that either of them gives."""


class VectorOperand(wiring.Component):
    """Elements float32(element - zero) * scale, OPERAND_CYCLES + convert + multiply cycles after the bytes.

    `broadcast`: each lane takes the first element. `words` are the bytes as 32-bit words, of which int8
    elements take the first quarter.
    """

    def __init__(self, lanes: int, pipeline: VectorPipeline) -> None:
        self.lanes = lanes
        self.pipeline = pipeline
        super().__init__(
            {
                "words": In(data.ArrayLayout(32, lanes)),
                "kind": In(8),
                "broadcast": In(1),
                "zero": In(signed(16)),
                "scale": In(32),
                "elements": Out(data.ArrayLayout(32, lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        is_float, is_byte = Signal(), Signal()
        m.d.sync += [is_float.eq(self.kind == Source.FLOAT32), is_byte.eq(self.kind == Source.INT8)]
        words = self.words.as_value()
        for lane in range(self.lanes):
            byte = Mux(self.broadcast, words[:8], words.word_select(lane, 8))
            word = Mux(self.broadcast, words[:32], words.word_select(lane, 32))
            element = Signal(signed(32), name=f"element_{lane}", reset_less=True)
            m.d.sync += element.eq(Mux(is_byte, byte.as_signed(), word.as_signed()))
            m.d.comb += self.elements[lane].eq(self._scaled(m, lane, element, is_float))
        return m

    def _scaled(self, m: Module, lane: int, element: Any, is_float: Any) -> Any:
        pipeline = self.pipeline
        difference = Signal(signed(DIFFERENCE_BITS), name=f"difference_{lane}", reset_less=True)
        m.d.sync += difference.eq(element - self.zero)
        convert = IntegerToFloat(DIFFERENCE_BITS, pipeline.convert)
        multiply = FloatMultiply(pipeline.multiply)
        m.submodules[f"convert_{lane}"], m.submodules[f"multiply_{lane}"] = convert, multiply
        plain = delayed(m, element.as_unsigned(), 1 + pipeline.convert, f"plain_{lane}")
        factor = Signal(32, name=f"factor_{lane}", reset_less=True)
        m.d.sync += factor.eq(Mux(is_float, plain, convert.o))
        m.d.comb += [convert.a.eq(difference), multiply.a.eq(factor), multiply.b.eq(self.scale)]
        return multiply.o
