"""The lines that a store gathers, and their way to the bus."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.rtl._dma_lanes import columns, place_layout, place_of
from hanok.rtl._dma_shape import DmaShape, first_bytes, rotate_bytes
from hanok.rtl.axi import axi_write, set_one_transfer


def piece_layout(shape: DmaShape) -> data.StructLayout:
    """Return the layout of a beat on its way into one or two slots, and of what ends with it."""
    return data.StructLayout(
        {
            "bytes": shape.width.bit_length(),  # 0 if nothing is read
            "slot": shape.ring_bits,
            "number": shape.number_bits,
            "offset": shape.offset_bits,
            "completes": 1,  # the slot has all its bytes
        }
    )


class StoreBuffer(wiring.Component):
    """Slots for lines: their bytes, and beside them where they go and which bytes are valid.

    `piece` comes in the cycle after a beat's read, in which its line can be requested too. The bus sees it
    `STORE_REQUEST_STAGES` later (`hanok.isa.timing`), if it is idle, when its bytes are in their slot.
    """

    def __init__(self, shape: DmaShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "piece": In(piece_layout(shape)),
                "content": In(8 * shape.width),
                "bus": Out(axi_write(shape.address_bits, shape.line_bytes)),
                "address_fault": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, piece = self._shape, self.piece
        place, valid, turn = Signal(place_layout(shape)), Signal(shape.lanes), Signal(range(shape.lanes))
        back = Signal.like(turn)
        m.d.comb += back.eq(-piece.offset[: len(turn)])
        m.d.sync += [
            place.eq(place_of(shape, piece.slot, piece.offset)),
            valid.eq(rotate_bytes(m, first_bytes(piece.bytes, shape.lanes), back, 1)),
            turn.eq(back),
        ]
        send_slot, reads = Signal(shape.ring_bits), Signal()
        about = self._describe(m, place, valid, send_slot, reads)
        late = (place, valid, turn)
        for _ in range(MEMORY_READ_CYCLES - 1):
            here, late = late, (Signal.like(place), Signal.like(valid), Signal.like(turn))
            m.d.sync += [one.eq(before) for one, before in zip(late, here, strict=True)]
        content = self._write(m, *late, send_slot, reads)
        self._send(m, about, content, send_slot, reads)
        return m

    def _describe(self, m: Module, place: Any, valid: Value, send_slot: Value, reads: Value) -> Any:
        """Keep number and strobes of whole lines; return those of the line to send."""
        shape = self._shape
        bits = shape.address_bits - shape.offset_bits
        described = data.StructLayout({"number": bits, "beyond": 1, "strobes": shape.line_bytes})
        about = memory.Memory(shape=described, depth=1 << shape.ring_bits, init=[])
        m.submodules.about = about
        write, read = about.write_port(), about.read_port()
        first, second = Signal(shape.line_bytes), Signal(shape.lanes)
        gathered, content = Signal(shape.line_bytes), Signal(shape.line_bytes)
        wraps = place.wraps.as_value()
        m.d.comb += [
            second.eq(valid & wraps),
            first.eq(_word_strobes(shape, place, valid & ~wraps)),
            content.eq(gathered | first),
            write.data.strobes.eq(content),
            read.addr.eq(send_slot),
            read.en.eq(reads),
        ]
        m.d.sync += [
            write.en.eq(self.piece.completes),
            write.addr.eq(self.piece.slot),
            write.data.number.eq(self.piece.number),
            write.data.beyond.eq(self.piece.number[bits:].any()),
            gathered.eq(Mux(write.en, second, content)),
        ]
        return read.data

    def _write(
        self, m: Module, place: Any, valid: Value, turn: Value, send_slot: Value, reads: Value
    ) -> Value:
        """Write a beat to its slots; return the bytes of the line to send."""
        shape = self._shape
        padded = Cat(self.content, Value.cast(0)[:1].replicate(8 * (shape.lanes - shape.width)))
        row = rotate_bytes(m, padded, turn).replicate(shape.words)
        strobes = Signal(shape.line_bytes)
        m.d.comb += strobes.eq(_word_strobes(shape, place, valid))
        parts = []
        for number, (first, size) in enumerate(columns(shape)):
            layout = data.ArrayLayout(8, size)
            column = memory.Memory(shape=layout, depth=1 << shape.ring_bits, init=[])
            m.submodules[f"column_{number}"] = column
            write, read = column.write_port(granularity=1), column.read_port()
            m.d.comb += [
                write.en.eq(strobes[first : first + size]),
                write.addr.eq(place.rows[number]),
                write.data.as_value().eq(row[8 * first : 8 * (first + size)]),
                read.addr.eq(send_slot),
                read.en.eq(reads),
            ]
            parts.append(read.data.as_value())
        return Cat(*parts)

    def _send(self, m: Module, about: Any, content: Value, send_slot: Signal, reads: Signal) -> None:
        """Send what was requested, in order; address and data are taken each in its own time."""
        shape, bus = self._shape, self.bus
        waits, sends = Signal(range(shape.slots + 1)), Signal()
        address_taken, data_taken, free = Signal(), Signal(), Signal()
        whole: Value = self.piece.completes
        for stage in range(MEMORY_READ_CYCLES):
            here, whole = whole, Signal(name=f"whole_{stage}")
            m.d.sync += whole.eq(here)
        m.d.comb += [
            free.eq(~sends | ((address_taken | bus.awready) & (data_taken | bus.wready))),
            reads.eq(free & waits.any()),
            bus.awvalid.eq(sends & ~address_taken),
            bus.awaddr.eq(about.number << shape.offset_bits),
            bus.wvalid.eq(sends & ~data_taken),
            bus.wdata.eq(content),
            bus.wstrb.eq(Mux(about.beyond, 0, about.strobes)),
            bus.wlast.eq(1),
            bus.bready.eq(1),
        ]
        set_one_transfer(m, bus, "aw", shape.line_bytes)
        m.d.sync += [waits.eq(waits + whole - reads), self.address_fault.eq(sends & about.beyond)]
        with m.If(free):
            m.d.sync += [sends.eq(reads), address_taken.eq(0), data_taken.eq(0)]
        with m.Else():
            m.d.sync += [
                address_taken.eq(address_taken | bus.awready),
                data_taken.eq(data_taken | bus.wready),
            ]
        with m.If(reads):
            m.d.sync += send_slot.eq(send_slot + 1)


def _word_strobes(shape: DmaShape, place: Any, valid: Value) -> Value:
    """Return the bytes of a slot that are written: of each lane the one in its word."""
    return Cat(
        Cat(valid[lane] & (place.words[lane] == word) for lane in range(shape.lanes))
        for word in range(shape.words)
    )
