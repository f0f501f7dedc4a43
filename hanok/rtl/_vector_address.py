"""Addresses of the operands of each issue, and what goes along with its group."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import VectorPipeline
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_loops import place_layout, ring_step
from hanok.rtl._vector_ring import token_layout

ADDRESS_CYCLES = 3
"""From an issue to the cycle in which its reads are at the ports."""


class VectorAddress(wiring.Component):
    """Adds the reduce loops' offsets to a result's place, which it keeps for the batch.

    `new`: the issue is the first about its result, whose place is `place`; the kept one is taken otherwise.
    `reads` are in the ports' registers ADDRESS_CYCLES after the issue; `token`, with `inside`, beside them.
    """

    def __init__(self, address_bits: int, lanes: int, pipeline: VectorPipeline) -> None:
        self.address_bits = address_bits
        self.pipeline = pipeline
        place, token = place_layout(address_bits), token_layout(lanes, pipeline)
        self.token_shape = token
        limits = data.StructLayout({"y": signed(32), "x": signed(32)})
        super().__init__(
            {
                "issue": In(token),
                "new": In(1),
                "reduces_inner": In(1),
                "place": In(place),
                "offset": In(place),
                "ring": In(32),
                "ring_bytes": In(unsigned(address_bits)),
                "limits": In(limits),
                "token": Out(token),
                "addresses": Out(data.ArrayLayout(unsigned(address_bits), 3)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        kept = data.StructLayout({"place": place_layout(self.address_bits), "tail": 1})
        m.submodules.places = store = memory.Memory(shape=kept, depth=self.pipeline.batch, init=[])
        read, write = store.read_port(), store.write_port()
        m.d.comb += [read.addr.eq(self.issue.result), write.addr.eq(self.issue.result), write.en.eq(self.new)]
        m.d.comb += [write.data.place.eq(self.place), write.data.tail.eq(self.issue.tail)]
        fresh = Signal(kept, reset_less=True)
        m.d.sync += [fresh.place.eq(self.place), fresh.tail.eq(self.issue.tail)]
        place = Signal(kept)
        m.d.comb += place.eq(Mux(delayed(m, self.new, 1, "new"), fresh.as_value(), read.data.as_value()))
        offset = Signal.like(self.offset, name="offset_held", reset_less=True)
        m.d.sync += offset.eq(self.offset)
        with m.If(self.issue.after):
            m.d.sync += offset.eq(0)
        token = Signal(self.token_shape)
        m.d.sync += token.eq(self.issue)
        moved = Signal(self.token_shape)
        m.d.sync += moved.eq(token)
        with m.If(~self.reduces_inner):
            m.d.sync += moved.tail.eq(place.tail)
        self._add(m, place.place, offset, moved)
        return m

    def _add(self, m: Module, place: Any, offset: Any, token: Any) -> None:
        """Two registers: sums and the wrap of the ring, then the address and whether it is inside."""
        y, x = (Signal.like(place[name], name=f"moved_{name}", reset_less=True) for name in ("y", "x"))
        _, row = ring_step(m, place.slot, place.row, offset.slot, offset.row, self.ring, self.ring_bytes)
        row_held = Signal.like(row, name="row_held", reset_less=True)
        sums = Signal.like(self.addresses, name="sums", reset_less=True)
        m.d.sync += [y.eq(place.y + offset.y), x.eq(place.x + offset.x), row_held.eq(row)]
        for number in range(3):
            m.d.sync += sums[number].eq(place[f"address_{number}"] + offset[f"address_{number}"])
        inside = (y >= 0) & (y < self.limits.y) & (x >= 0) & (x < self.limits.x)
        m.d.sync += [self.addresses.eq(sums), self.addresses[0].eq(sums[0] + row_held)]
        m.d.sync += [self.token.eq(token), self.token.inside.eq(inside)]
