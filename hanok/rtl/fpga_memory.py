"""Memory on the FPGA that the core's AXI masters and the loader share."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl.axi import OKAY, axi_read, axi_write

DECODE_ERROR = 3
READERS = ("fetch", "load")


def byte_port(memory_bytes: int) -> wiring.Signature:
    """Return a port for single bytes, of its user, who holds a read's address until it is `answered`."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "writes": Out(1),
            "address": Out(range(memory_bytes)),
            "data": Out(8),
            "answered": In(1),
            "answer": In(8),
        }
    )


class SharedMemory(wiring.Component):
    """Lines of `line_bytes`, of which one is read and one written in a cycle; a burst of `fetch` is a part.

    `fetch` and `load` take turns; each has one read under way, whose line is in a register of its own from
    the second cycle after the request on. A write is answered two cycles later. `bytes` goes first.
    An address behind the memory is answered with DECERR.
    """

    def __init__(
        self,
        memory_bytes: int,
        burst_bytes: int,
        line_bytes: int,
        address_bits: int,
        fetch_id_bits: int,
        load_id_bits: int,
    ) -> None:
        assert memory_bytes % line_bytes == 0, f"{memory_bytes} bytes are no whole lines"
        self._lines, self._line_bytes = memory_bytes // line_bytes, line_bytes
        self._skipped = line_bytes.bit_length() - 1
        super().__init__(
            {
                "fetch": In(axi_read(address_bits, burst_bytes, fetch_id_bits)),
                "load": In(axi_read(address_bits, line_bytes, load_id_bits)),
                "store": In(axi_write(address_bits, line_bytes)),
                "bytes": In(byte_port(memory_bytes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.lines = lines = memory.Memory(shape=8 * self._line_bytes, depth=self._lines, init=[])
        read, write = lines.read_port(), lines.write_port(granularity=8)
        m.d.comb += [self.bytes.ready.eq(1), read.en.eq(1)]
        self._write(m, write)
        self._read(m, read)
        return m

    def _line(self, address: Any) -> tuple[Any, Any]:
        """Return the line of an address, and whether there is one."""
        line = address[self._skipped :]
        return line, line < self._lines

    def _write(self, m: Module, write: Any) -> None:
        """Hold address and data of a write, so that `ready` is a register, and write when both are there."""
        bus, port = self.store, self.bytes
        takes, pending = Signal(), Signal()
        line, exists = self._line(bus.awaddr)
        has = {name: Signal(name=f"has_{name}") for name in ("aw", "w")}
        held_line, is_there = Signal.like(write.addr, reset_less=True), Signal(reset_less=True)
        held_id = Signal.like(bus.bid, reset_less=True)
        content = Signal(8 * self._line_bytes, reset_less=True)
        strobes = Signal(self._line_bytes, reset_less=True)
        m.d.comb += [
            pending.eq(port.valid & port.writes),
            takes.eq(has["aw"] & has["w"] & ~pending & (~bus.bvalid | bus.bready)),
        ]
        for name, held in has.items():
            m.d.comb += getattr(bus, f"{name}ready").eq(~held)
            with m.If(takes):
                m.d.sync += held.eq(0)
            with m.Elif(getattr(bus, f"{name}valid")):
                m.d.sync += held.eq(1)
        with m.If(~has["aw"]):
            m.d.sync += [held_line.eq(line), is_there.eq(exists), held_id.eq(bus.awid)]
        with m.If(~has["w"]):
            m.d.sync += [content.eq(bus.wdata), strobes.eq(bus.wstrb)]
        with m.If(takes):
            m.d.sync += [bus.bvalid.eq(1), bus.bid.eq(held_id)]
            m.d.sync += bus.bresp.eq(Mux(is_there, OKAY, DECODE_ERROR))
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        m.d.comb += [write.addr.eq(held_line), write.data.eq(content)]
        m.d.comb += write.en.eq(strobes & (takes & is_there).replicate(self._line_bytes))
        with m.If(pending):
            m.d.comb += write.addr.eq(self._line(port.address)[0])
            m.d.comb += write.data.eq(port.data.replicate(self._line_bytes))
            m.d.comb += write.en.eq(1 << port.address[: self._skipped])

    def _read(self, m: Module, read: Any) -> None:
        port, asks = self.bytes, Signal()
        m.d.comb += asks.eq(port.valid & ~port.writes)
        wants, grants = (
            {name: Signal(name=f"{name}_{what}") for name in READERS} for what in ("wants", "granted")
        )
        load_was_last = Signal()
        m.d.comb += [
            grants["fetch"].eq(wants["fetch"] & ~asks & (load_was_last | ~wants["load"])),
            grants["load"].eq(wants["load"] & ~asks & ~grants["fetch"]),
            read.addr.eq(self._line(port.address)[0]),
        ]
        for name in READERS:
            line = self._reader(m, name, wants[name], grants[name], read.data)
            with m.If(grants[name]):
                m.d.comb += read.addr.eq(line)
                m.d.sync += load_was_last.eq(name == "load")
        # Block RAM answers late in its cycle: its line is held for a cycle before a byte is chosen
        asked, comes = Signal(), Signal()
        line = Signal(8 * self._line_bytes, reset_less=True)
        m.d.sync += [asked.eq(asks), comes.eq(asked), port.answered.eq(comes), line.eq(read.data)]
        m.d.sync += port.answer.eq(line.word_select(port.address[: self._skipped], 8))

    def _reader(self, m: Module, name: str, wants: Any, granted: Any, data: Any) -> Any:
        """Keep a master's read until it is taken; return the line that it asks for."""
        bus, busy, comes = getattr(self, name), Signal(name=f"{name}_busy"), Signal(name=f"{name}_comes")
        line, exists = self._line(bus.araddr)
        width = len(bus.rdata)
        part = Signal(range(len(data) // width), name=f"{name}_part", reset_less=True)
        m.d.comb += [wants.eq(bus.arvalid & ~busy), bus.arready.eq(granted), bus.rlast.eq(1)]
        m.d.sync += comes.eq(granted)
        with m.If(granted):
            m.d.sync += part.eq(bus.araddr[(width // 8).bit_length() - 1 : self._skipped])
            m.d.sync += [busy.eq(1), bus.rid.eq(bus.arid), bus.rresp.eq(Mux(exists, OKAY, DECODE_ERROR))]
        with m.If(comes):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(data.word_select(part, width))]
        with m.Elif(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), busy.eq(0)]
        return line
