"""Addresses of the operands of each issue, and what goes along with its group."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import VectorPipeline
from hanok.rtl._strides import is_beyond
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_loops import COUNT_BITS, POSITION_BITS, place_layout
from hanok.rtl._vector_plan import operand_bits, plan_layout
from hanok.rtl._vector_ring import token_layout

ADDRESS_CYCLES = 5
"""From an issue to the cycle in which its reads are at the ports."""
_NAMES = ("y", "x", "address_0", "address_1", "address_2")


class VectorAddress(wiring.Component):
    """Adds the reduce loops' offsets to a result's place, which it keeps for the batch.

    `new`: the issue is the first about its result, whose place is `place`; the kept one is taken otherwise.
    `reads` are in the ports' registers ADDRESS_CYCLES after the issue; `token`, with `inside` and the address
    of the result, beside them. An address of operand 0 that is made of terms larger than any memory is not
    one of the memory either. `leaves`: y or x of an issue has left its 32 bits.
    """

    def __init__(self, address_bits: int, lanes: int, pipeline: VectorPipeline) -> None:
        self.address_bits = address_bits
        self.pipeline = pipeline
        place, token = place_layout(address_bits), token_layout(address_bits, lanes, pipeline)
        self.token_shape = token
        limits = data.StructLayout({"y": signed(32), "x": signed(32)})
        super().__init__(
            {
                "issue": In(token),
                "new": In(1),
                "reduces_inner": In(1),
                "place": In(place),
                "offset": In(place),
                "plan": In(plan_layout(address_bits)),
                "ring": In(32),
                "limits": In(limits),
                "starts_outside": In(1),
                "token": Out(token),
                "addresses": Out(data.ArrayLayout(unsigned(operand_bits(address_bits)), 3)),
                "leaves": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        address, position = unsigned(self.address_bits), signed(POSITION_BITS)
        operand = unsigned(operand_bits(self.address_bits))
        sums: dict[str, Any] = {"y": position, "x": position, "address_0": operand}
        sums |= {"address_1": address, "address_2": address}
        kept = data.StructLayout({**sums, "slot": unsigned(32), "address_out": address, "tail": 1})
        fresh = Signal(kept, reset_less=True)
        offset = Signal(data.StructLayout({**sums, "slot": signed(33)}), reset_less=True)
        m.d.sync += [fresh[name].eq(self.place[name]) for name in (*_NAMES, "slot", "address_out")]
        m.d.sync += [offset[name].eq(self.offset[name]) for name in _NAMES]
        m.d.sync += [fresh.tail.eq(self.issue.tail), offset.slot.eq(self.offset.slot - self.ring)]
        for held, given in ((fresh, self.place), (offset, self.offset)):
            m.d.sync += held.address_0.eq(given.address_0 + given.row)
        token, new = delayed(m, self.issue, 1, "token", reset_less=False), delayed(m, self.new, 1, "new")
        found = self._kept(m, kept, token, new, fresh)
        place = Signal(kept, reset_less=True)
        m.d.sync += place.eq(Mux(delayed(m, new, 1, "newer"), delayed(m, fresh, 1, "fresh"), found))
        later = Signal.like(offset, reset_less=True)
        m.d.sync += later.eq(offset)
        with m.If(token.after):
            m.d.sync += later.eq(0)
        later = delayed(m, later, 1, "later")
        self._add(m, place, later, delayed(m, token, 2, "at_place", reset_less=False))
        return m

    def _kept(self, m: Module, kept: Any, token: Any, new: Any, fresh: Any) -> Any:
        """Keep a new place; return the one that is kept of the token's result, a cycle later."""
        m.submodules.places = store = memory.Memory(shape=kept, depth=self.pipeline.batch, init=[])
        read, write = store.read_port(), store.write_port()
        m.d.comb += [read.addr.eq(token.result), write.addr.eq(token.result)]
        m.d.comb += [write.en.eq(new), write.data.eq(fresh)]
        return read.data

    def _add(self, m: Module, place: Any, offset: Any, token: Any) -> None:
        """Two registers: sums and the wrap of the ring, then the address and whether it is inside."""
        sums = {name: Signal.like(place[name], name=f"moved_{name}", reset_less=True) for name in _NAMES}
        m.d.sync += [held.eq(place[name] + offset[name]) for name, held in sums.items()]
        less, slot = Signal(signed(34)), Signal(signed(34), reset_less=True)  # less a ring
        has_ring, wraps = self.plan.has_ring, Signal()
        m.d.comb += less.eq(place.slot + offset.slot)
        m.d.sync += [wraps.eq(has_ring & ~less[-1]), slot.eq(less)]
        moved = Signal(self.token_shape)
        m.d.sync += [moved.eq(token), moved.address.eq(place.address_out)]
        with m.If(~self.reduces_inner):
            m.d.sync += moved.tail.eq(place.tail)
        y, x = sums["y"], sums["x"]
        inside = (y >= 0) & (y < self.limits.y) & (x >= 0) & (x < self.limits.x)
        m.d.sync += [self.addresses[number].eq(sums[f"address_{number}"]) for number in range(3)]
        m.d.sync += self.addresses[0].eq(sums["address_0"] - Mux(wraps, self.plan.row_ring, 0))
        m.d.sync += [self.token.eq(moved), self.token.inside.eq(inside)]
        row = Mux(has_ring, slot + Mux(wraps, 0, self.ring), y)[:COUNT_BITS]
        far = is_beyond(row, self.plan.row_reach) | is_beyond(x[:COUNT_BITS], self.plan.pixel_reach)
        with m.If(self.starts_outside | far):
            m.d.sync += self.addresses[0][self.address_bits - 1 :].eq(1)
        m.d.sync += self.leaves.eq(moved.valid & ((y[-1] ^ y[-2]) | (x[-1] ^ x[-2])))
