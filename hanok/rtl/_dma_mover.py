"""The SRAM side of the load engine: takes bursts in order and decides each cycle which bytes go."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_buffer import beat_layout
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._dma_walk import RunWalker


class LoadMover(wiring.Component):
    """Decides beats of transfers in the order of their `put`; `beat` shows a decision a cycle later.

    A beat goes when its burst is there, and the next one too if it lies in both. A burst leaves its slot with
    the last of its bytes; a rest that is less than a beat counts as gone to a beat register. (It stays where
    it is: the slot is used anew only after the next one has left.)
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "put": In(1),
                "transfer": In(shape.transfer),
                "arrives": In(1),
                "arriving_slot": In(shape.ring_bits),
                "beat": Out(beat_layout(shape)),
            }
        )
        bits = shape.offset_bits
        self._slot = Signal(shape.ring_bits + 1)  # one bit more: how often the ring was gone around
        self._offset = Signal(bits, reset_less=True)
        self._number = Signal(shape.number_bits, reset_less=True)
        self._left = Signal(32, reset_less=True)
        self._run_bytes = Signal(32, reset_less=True)
        self._address = Signal(shape.scratchpad_bits, reset_less=True)
        self._active = Signal()
        self._absorbed = Signal()  # the burst has left, its rest waits for the next burst

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        m.submodules.walker = walker = RunWalker({"dram": shape.dram_bits, "sram": shape.scratchpad_bits})
        here, there = self._arrivals(m)
        stop = Signal(range(2 * shape.burst_bytes))
        size = Signal(shape.width.bit_length())
        goes, run_ends, crosses, finishes = Signal(), Signal(), Signal(), Signal()
        leaving = Signal(2)
        beat = self.beat
        m.d.comb += [
            run_ends.eq(self._left <= shape.width),
            size.eq(Mux(run_ends, self._left, shape.width)),
            stop.eq(self._offset + size),
            crosses.eq(stop > shape.burst_bytes),
            goes.eq(self._active & here & (there | ~crosses)),
            finishes.eq(goes & run_ends & ~walker.more),
            walker.step.eq(goes & run_ends),
        ]
        m.d.sync += [
            beat.goes.eq(goes),
            beat.leaving.eq(leaving),
            beat.slot.eq(self._slot),
            beat.offset.eq(self._offset),
            beat.bytes.eq(size),
            beat.address.eq(self._address),
            beat.ends.eq(finishes),
        ]
        with m.If(goes & run_ends):
            self._next_run(m, walker, crosses, leaving)
        with m.Elif(goes):
            self._next_beat(m, stop, leaving)
        with m.Elif(self._active & here & crosses):
            m.d.comb += leaving.eq(~self._absorbed)
            m.d.sync += self._absorbed.eq(1)
        self._next_transfer(m, walker, finishes)
        return m

    def _arrivals(self, m: Module) -> tuple[Value, Value]:
        """Whether the burst of the present slot is there, and that of the next.

        A bit for each slot turns with each arrival, so it differs from the ring's turn when one has come.
        """
        shape = self._shape
        turned = Signal(1 << shape.ring_bits)
        with m.If(self.arrives):
            bit = turned.bit_select(self.arriving_slot, 1)
            m.d.sync += bit.eq(~bit)
        found = []
        for ahead in range(2):
            slot = (self._slot + ahead)[: shape.ring_bits + 1]
            found.append(turned.bit_select(slot[: shape.ring_bits], 1) ^ slot[shape.ring_bits])
        return found[0], found[1]

    def _next_beat(self, m: Module, stop: Value, leaving: Signal) -> None:
        """Go on in the run: a whole beat is gone, and some bytes are left."""
        width, burst = self._shape.width, self._shape.burst_bytes
        leaves, short, rest = Signal(), Signal(), Signal(range(2 * burst))
        offset = stop[: self._shape.offset_bits]
        m.d.comb += [
            leaves.eq(stop >= burst),
            rest.eq(burst - offset),
            short.eq((rest < width) & (self._left > rest + width)),
            leaving.eq((leaves & ~self._absorbed) + short),
        ]
        m.d.sync += [
            self._slot.eq(self._slot + leaves),
            self._number.eq(self._number + leaves),
            self._offset.eq(offset),
            self._left.eq(self._left - width),
            self._address.eq(self._address + width),
            self._absorbed.eq(short),
        ]

    def _next_run(self, m: Module, walker: Any, crosses: Value, leaving: Signal) -> None:
        """Go on to the next run, in the burst in which this one ends or in the burst behind it."""
        bits = self._shape.offset_bits
        following = walker.following
        leaves = Signal()
        m.d.comb += [
            leaves.eq(
                ~walker.more | (following.dram[bits:] != (self._number + crosses)[: len(self._number)])
            ),
            leaving.eq((crosses & ~self._absorbed) + leaves),
        ]
        m.d.sync += [
            self._slot.eq(self._slot + crosses + leaves),
            self._number.eq(following.dram[bits:]),
            self._offset.eq(following.dram[:bits]),
            self._left.eq(self._run_bytes),
            self._address.eq(following.sram),
            self._absorbed.eq(0),
        ]

    def _next_transfer(self, m: Module, walker: Any, finishes: Value) -> None:
        """Take the next transfer once the one before has its last beat."""
        shape = self._shape
        layout = shape.transfer
        m.submodules.waiting = waiting = SyncFIFOBuffered(width=layout.size, depth=shape.outstanding + 2)
        transfer = Signal(layout)
        takes = Signal()
        m.d.comb += [
            waiting.w_en.eq(self.put),
            waiting.w_data.eq(self.transfer),
            transfer.as_value().eq(waiting.r_data),
            takes.eq(waiting.r_rdy & (finishes | ~self._active)),
            waiting.r_en.eq(takes),
            walker.load.eq(takes),
        ]
        m.d.comb += [walker.runs[name].eq(transfer[name]) for name in ("dram", "sram")]
        m.d.comb += [walker.runs[f"count_{level}"].eq(transfer[f"count_{level}"]) for level in (1, 2, 3)]
        with m.If(takes):
            m.d.sync += [
                self._active.eq(1),
                self._number.eq(transfer.dram.address[shape.offset_bits :]),
                self._offset.eq(transfer.dram.address[: shape.offset_bits]),
                self._left.eq(transfer.run_bytes),
                self._run_bytes.eq(transfer.run_bytes),
                self._address.eq(transfer.sram.address),
            ]
        with m.Elif(finishes):
            m.d.sync += self._active.eq(0)
