"""What a CHAIN's record says about groups: how many, how far apart, and which lanes hold elements."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Destination, Reduction, Source
from hanok.isa.table import FLAG_REDUCE_INNER, VECTOR
from hanok.rtl._strides import bounded, is_far
from hanok.rtl._vector_loops import COUNT_BITS
from hanok.rtl._vector_plan import operand_bits, plan_layout
from hanok.rtl.records import record_layout


class VectorShape(wiring.Component):
    """All outputs are registers that follow the record within four cycles, long before its first group.

    `lasts`: counts less 1. `bases` and `strides` are of the operands and the result; `far` has the levels of
    the loops whose steps leave the memory, but for strides that are bounded. `starts_outside`: operand 0
    begins outside of any memory.
    """

    def __init__(self, address_bits: int, lanes: int) -> None:
        self.address_bits = address_bits
        self.lanes = lanes
        address = unsigned(operand_bits(address_bits))
        super().__init__(
            {
                "record": In(record_layout(VECTOR)),
                "plan": In(plan_layout(address_bits)),
                "reduces": Out(1),
                "reduce_inner": Out(1),
                "contiguous": Out(1),
                "broadcast": Out(3),
                "result_lasts": Out(data.ArrayLayout(COUNT_BITS, 4)),
                "reduce_lasts": Out(data.ArrayLayout(COUNT_BITS, 3)),
                "bases": Out(data.ArrayLayout(address, 4)),
                "strides": Out(data.ArrayLayout(data.ArrayLayout(address, 4), 4)),
                "far": Out(data.ArrayLayout(4, 4)),
                "starts_outside": Out(1),
                "group_strides": Out(data.ArrayLayout(address, 4)),
                "tail_mask": Out(lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        record, low = self.record, self.lanes.bit_length() - 1
        m.d.sync += self.reduces.eq(record.reduction != Reduction.NONE)
        m.d.sync += self.reduce_inner.eq(record.flags & FLAG_REDUCE_INNER)
        strides = [record.stride_inner, record.strides_1[3], record.strides_2[3]]
        plain = Signal(4)
        for number, stride in enumerate(strides):
            kind, still = record[f"kind_{number}"], stride == 0
            dense = (kind == Source.NONE) | still | (stride == self._step(kind))
            m.d.sync += [plain[number].eq(dense), self.broadcast[number].eq(still | ~self.contiguous)]
        size = Mux(record.kind_out == Destination.INT8, 1, 4)
        m.d.sync += plain[3].eq((record.strides_out[3] == size) | self.reduce_inner)
        m.d.comb += self.contiguous.eq(plain.all())
        rest, last, groups = record.inner[:low], Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.sync += [last.eq(record.inner - 1), groups.eq(Mux(self.contiguous, last >> low, last))]
        m.d.sync += self.tail_mask.eq(Cat((lane < rest) | (rest == 0) for lane in range(self.lanes)))
        outer = [record[f"outer_{level}"] - 1 for level in (2, 1, 0)]
        outer.append(Mux(self.reduce_inner, 0, groups))
        m.d.sync += [place.eq(last) for place, last in zip(self.result_lasts, outer, strict=True)]
        reduce = [record.reduce_1 - 1, record.reduce_0 - 1, Mux(self.reduce_inner, groups, 0)]
        m.d.sync += [place.eq(last) for place, last in zip(self.reduce_lasts, reduce, strict=True)]
        self._strides(m, [*strides, record.strides_out[3]], low)
        return m

    def _strides(self, m: Module, inner: list[Any], low: int) -> None:
        record, plan = self.record, self.plan
        steps = [Mux(self.contiguous, stride << low, stride).as_signed() for stride in inner]
        across = Signal(signed(self.address_bits), reset_less=True)
        pixels = [across, 0, plan.x_stride]
        m.d.sync += [
            across.eq(bounded(record.stride_2, self.address_bits)),
            self.starts_outside.eq(record.address_0[self.address_bits - 1 :].any()),
        ]
        m.d.comb += [self.bases[0].eq(record.address_0 + plan.x_start)]
        names = ("1", "2", "out")
        for number, name in enumerate(names, 1):
            m.d.comb += self.bases[number].eq(record[f"address_{name}"])
        outer = [pixels, *([record[f"strides_{name}"][level] for level in range(3)] for name in names)]
        for number in range(4):
            m.d.sync += self.group_strides[number].eq(bounded(steps[number], self.address_bits))
            for level in range(3):
                m.d.comb += self.strides[number][level].eq(outer[number][level])
                if number:
                    m.d.sync += self.far[number][level].eq(is_far(outer[number][level], self.address_bits))
            m.d.comb += self.strides[number][3].eq(self.group_strides[number])

    def _step(self, kind: Any) -> Any:
        """Address units of an element: accumulators count elements, the scratchpad bytes."""
        return Mux((kind == Source.INT32) | (kind == Source.FLOAT32), 4, 1)

    def lane_mask(self, tail: Any) -> Any:
        """Lanes that hold elements in a group, were it the last of the inner loop or not."""
        return self.tail_mask | (~tail).replicate(self.lanes)

    def read_count(self, m: Module, number: int, tail: Any) -> Any:
        """Elements that a group reads of an operand."""
        low = self.lanes.bit_length() - 1
        rest, count = self.record.inner[:low], Signal(range(self.lanes + 1), name=f"count_{number}")
        m.d.comb += count.eq(Mux(tail & (rest != 0), rest, self.lanes))
        with m.If(self.broadcast[number]):
            m.d.comb += count.eq(1)
        return count
