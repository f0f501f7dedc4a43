"""The results of a chain: converted to their type, packed, and written with the addresses of their loops."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Destination
from hanok.machine import VectorPipeline
from hanok.numerics.rounding import CANONICAL_NAN_BITS
from hanok.rtl._vector_delay import delayed
from hanok.rtl.float_compare import is_nan
from hanok.rtl.float_convert import FloatToInt32, FloatToInteger

LIMITS = data.StructLayout({name: signed(16) for name in ("zero", "low", "high")})


class VectorWriter(wiring.Component):
    """A group that is `valid` is written write_cycles later, its lanes of `mask` side by side."""

    def __init__(self, address_bits: int, lanes: int, pipeline: VectorPipeline) -> None:
        self.address_bits = address_bits
        self.lanes = lanes
        self.pipeline = pipeline
        address = unsigned(address_bits)
        super().__init__(
            {
                "address": In(address),
                "kind": In(8),
                "limits": In(LIMITS),
                "valid": In(1),
                "mask": In(lanes),
                "values": In(data.ArrayLayout(32, lanes)),
                "write_en": Out(1),
                "write_address": Out(address),
                "write_data": Out(32 * lanes),
                "write_mask": Out(4 * lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cycles = self.pipeline.to_integer
        values = Signal.like(self.values, name="values_held", reset_less=True)
        m.d.sync += values.eq(self.values)
        converted = [self._convert(m, lane, values[lane]) for lane in range(self.lanes)]
        valid = delayed(m, self.valid, 1 + cycles, "valid", reset_less=False)
        mask = delayed(m, self.mask, 1 + cycles, "mask")
        is_byte = self.kind == Destination.INT8
        packed = Cat(byte for byte, _ in converted)
        whole = Cat(word for _, word in converted)
        wide_mask = Cat(bit.replicate(4) for bit in mask)
        m.d.sync += [self.write_en.eq(valid), self.write_data.eq(Mux(is_byte, packed, whole))]
        m.d.sync += [self.write_mask.eq(Mux(is_byte, mask, wide_mask))]
        m.d.sync += self.write_address.eq(delayed(m, self.address, 1 + cycles, "address"))
        return m

    def _convert(self, m: Module, lane: int, value: Any) -> tuple[Any, Any]:
        """Return the int8, and the int32 or float32, of a lane, to_integer cycles later."""
        cycles = self.pipeline.to_integer
        m.submodules[f"byte_{lane}"] = byte = FloatToInteger(cycles)
        m.submodules[f"word_{lane}"] = word = FloatToInt32(cycles)
        m.d.comb += [byte.a.eq(value), word.a.eq(value)]
        for name in ("zero", "low", "high"):
            m.d.comb += getattr(byte, name).eq(self.limits[name])
        plain = delayed(m, Mux(is_nan(value), CANONICAL_NAN_BITS, value), cycles, f"plain_{lane}")
        whole = Signal(32, name=f"whole_{lane}")
        m.d.comb += whole.eq(Mux(self.kind == Destination.INT32, word.o, plain))
        return byte.o[:8], whole
