"""The bursts that a store gathers, and their way to the bus."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl._dma_shape import DmaShape, first_bytes, rotate_bytes
from hanok.rtl.axi import axi_write, set_one_transfer


def piece_layout(shape: DmaShape) -> data.StructLayout:
    """Return the layout of a beat on its way into one or two slots, and of what ends with it."""
    return data.StructLayout(
        {
            "goes": 1,
            "slot": shape.ring_bits,
            "number": shape.number_bits,
            "offset": shape.offset_bits,
            "bytes": shape.width.bit_length(),
            "completes": data.ArrayLayout(1, 2),  # an even, an odd slot has all its bytes
        }
    )


class StoreBuffer(wiring.Component):
    """Slots for bursts, even ones in one memory and odd ones in another, since a beat may lie in two.

    `piece` and `content` come a cycle after the scratchpad's answer; a burst can be requested in the cycle of
    the answer. The bus sees it three cycles later (`hanok.isa.timing.STORE_REQUEST_STAGES`), if it is idle,
    when its bytes are in their slot.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "piece": In(piece_layout(shape)),
                "content": In(8 * shape.width),
                "request": In(1),
                "bus": Out(axi_write(shape.address_bits, shape.burst_bytes)),
                "address_fault": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        piece, content = self.piece, self.content
        lane_bits = shape.lanes.bit_length() - 1
        turn = Signal(lane_bits)
        m.d.comb += turn.eq(-piece.offset[:lane_bits])
        padded = Cat(content, Value.cast(0)[:1].replicate(8 * (shape.lanes - shape.width)))
        row = rotate_bytes(m, padded, turn).replicate(shape.burst_bytes // shape.lanes)
        strobes = Signal(2 * shape.burst_bytes)
        m.d.comb += strobes.eq(
            (first_bytes(piece.bytes, shape.width) & piece.goes.replicate(shape.width)) << piece.offset
        )
        send_slot, reads = Signal(shape.ring_bits), Signal()
        banks = [self._bank(m, parity, piece, row, strobes, send_slot, reads) for parity in range(2)]
        self._send(m, banks, send_slot, reads)
        return m

    def _bank(
        self, m: Module, parity: int, piece: Any, row: Value, strobes: Value, send_slot: Value, reads: Value
    ) -> Any:
        """The slots of a parity; return what was read of the slot to send."""
        shape = self._shape
        burst, rows = shape.burst_bytes, 1 << shape.ring_bits - 1
        described = data.StructLayout({"number": shape.number_bits, "strobes": burst})
        content = memory.Memory(shape=data.ArrayLayout(8, burst), depth=rows, init=[])
        about = memory.Memory(shape=described, depth=rows, init=[])
        m.submodules[f"content_{parity}"], m.submodules[f"about_{parity}"] = content, about
        write, write_about = content.write_port(granularity=1), about.write_port()
        read, read_about = content.read_port(), about.read_port()
        second = Signal(name=f"second_{parity}")
        mine, gathered = Signal(burst, name=f"mine_{parity}"), Signal(burst, name=f"gathered_{parity}")
        slot = (piece.slot + second)[1 : shape.ring_bits]
        m.d.comb += [
            second.eq(piece.slot[0] != parity),
            mine.eq(Mux(second, strobes[burst:], strobes[:burst])),
            write.en.eq(mine),
            write.data.as_value().eq(row),
            write_about.en.eq(mine.any()),
            write_about.data.number.eq(piece.number + second),
            write_about.data.strobes.eq(gathered | mine),
            read.en.eq(reads),
            read_about.en.eq(reads),
        ]
        for port in (write, write_about):
            m.d.comb += port.addr.eq(slot)
        for port in (read, read_about):
            m.d.comb += port.addr.eq(send_slot[1:])
        m.d.sync += gathered.eq(Mux(piece.completes[parity], 0, gathered | mine))
        return read.data, read_about.data

    def _send(self, m: Module, banks: list[Any], send_slot: Signal, reads: Signal) -> None:
        """Send what was requested, in order; address and data are taken each in its own time."""
        shape, bus = self._shape, self.bus
        waits, sends = Signal(range(shape.outstanding + 1)), Signal()
        requested = Signal()
        address_taken, data_taken, free = Signal(), Signal(), Signal()
        odd = Signal()
        number, strobes = Signal(shape.number_bits), Signal(shape.burst_bytes)
        shown = shape.address_bits - shape.offset_bits
        m.d.sync += [requested.eq(self.request), waits.eq(waits + requested - reads)]
        (even_row, even_about), (odd_row, odd_about) = banks
        beyond = Signal()
        m.d.comb += [
            free.eq(~sends | ((address_taken | bus.awready) & (data_taken | bus.wready))),
            reads.eq(free & (waits != 0)),
            number.eq(Mux(odd, odd_about.number, even_about.number)),
            strobes.eq(Mux(odd, odd_about.strobes, even_about.strobes)),
            beyond.eq(number[shown:].any()),
            self.address_fault.eq(sends & beyond),
            bus.awvalid.eq(sends & ~address_taken),
            bus.awaddr.eq(number[:shown] << shape.offset_bits),
            bus.wvalid.eq(sends & ~data_taken),
            bus.wdata.eq(Mux(odd, odd_row.as_value(), even_row.as_value())),
            bus.wstrb.eq(Mux(beyond, 0, strobes)),
            bus.wlast.eq(1),
            bus.bready.eq(1),
        ]
        set_one_transfer(m, bus, "aw", shape.burst_bytes)
        with m.If(free):
            m.d.sync += [sends.eq(reads), address_taken.eq(0), data_taken.eq(0)]
        with m.Else():
            m.d.sync += [
                address_taken.eq(address_taken | bus.awready),
                data_taken.eq(data_taken | bus.wready),
            ]
        with m.If(reads):
            m.d.sync += [send_slot.eq(send_slot + 1), odd.eq(send_slot[0])]
