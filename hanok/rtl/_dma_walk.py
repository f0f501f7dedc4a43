"""Where an instruction's runs lie: a walker that gives one run a cycle, by addition of strides alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import LEVELS, DmaShape


class RunWalker(wiring.Component):
    """Give runs, one behind the other, also over the border of two transfers.

    `sides`: the memories that are walked. While `valid`, `run` has the addresses of a run; `first` and `last`
    say which one of its transfer it is; `rest`, `fills` and so on are those of the transfer. `take` goes on
    to the next run in the cycle after. `source` is taken in the cycle in which `loads` is 1, which it is only
    while `source_valid` is; that signal may be late, since it decides about `valid` alone.
    """

    def __init__(self, shape: DmaShape, sides: Sequence[str]) -> None:
        self._flags = ("fills", *shape.stream_fields)
        self._sides = {side: shape.side_bits(side) for side in sides}
        super().__init__(
            {
                "source": In(shape.transfer),
                "source_valid": In(1),
                "loads": Out(1),
                "take": In(1),
                "valid": Out(1),
                "run": Out(data.StructLayout(self._sides)),
                "first": Out(1),
                "last": Out(1),
                "rest": Out(32),
                "fills": Out(1),
                **{name: Out(bits) for name, bits in shape.stream_fields.items()},
            }
        )
        self._advances, self._new = Signal(), Signal()
        self._more = [Signal(name=f"more_{level}") for level in LEVELS]  # the loop has another run; 0 if idle

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(self.source.shape(), reset_less=True)
        more = self._more
        m.d.comb += [
            self.last.eq(~(more[0] | more[1] | more[2])),
            self._advances.eq(~self.valid | self.take),
            self._new.eq(self.last),
            self.loads.eq(self._advances & self._new & self.source_valid),
            self.rest.eq(held.rest),
            *(getattr(self, name).eq(held[name]) for name in self._flags),
        ]
        with m.If(self._advances):
            m.d.sync += [self.valid.eq(~self._new | self.source_valid), self.first.eq(self._new)]
            with m.If(self._new):
                m.d.sync += held.eq(self.source)
            self._count(m, held)
        for side in self._sides:
            self._walk(m, side, held[side])
        return m

    def _count(self, m: Module, held: Any) -> None:
        """Count the runs of each loop; what is compared is the number of the run behind the next one."""
        with m.If(self._new):
            for level, more in zip(LEVELS, self._more, strict=True):
                m.d.sync += more.eq(self.source[f"repeats_{level}"] & self.source_valid)
        counting = ~self._new
        for level, more in zip(LEVELS, self._more, strict=True):
            behind = Signal(32, name=f"behind_{level}", reset_less=True)
            with m.If(self._new):
                m.d.sync += behind.eq(2)
            with m.Elif(counting & more):
                m.d.sync += [behind.eq(behind + 1), more.eq(behind != held[f"count_{level}"])]
            with m.Elif(counting):
                m.d.sync += [behind.eq(2), more.eq(held[f"repeats_{level}"])]
            counting &= ~more

    def _walk(self, m: Module, side: str, held: Any) -> None:
        """The addresses of one side: of the run, and of the first run of its loops 2 and 3."""
        bits, more = self._sides[side], self._more
        here = self.run[side]
        starts = [Signal(bits, name=f"{side}_start_{level}", reset_less=True) for level in LEVELS[1:]]
        base, stride, address = Signal(bits), Signal(held.stride_1.shape()), Signal(bits)
        m.d.comb += base.eq(self.source[side].address)
        with m.If(more[0]):
            m.d.comb += [base.eq(here), stride.eq(held.stride_1)]
        with m.Elif(more[1]):
            m.d.comb += [base.eq(starts[0]), stride.eq(held.stride_2)]
        with m.Elif(more[2]):
            m.d.comb += [base.eq(starts[1]), stride.eq(held.stride_3)]
        m.d.comb += address.eq(base + stride)
        with m.If(self._advances):
            m.d.sync += here.eq(address)
        with m.If(self._advances & ~more[0]):
            m.d.sync += starts[0].eq(address)
        with m.If(self._advances & ~(more[0] | more[1])):
            m.d.sync += starts[1].eq(address)
