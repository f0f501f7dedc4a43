"""The control and status registers behind an AXI4-Lite port, made from `register_map.py`."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import Unit
from hanok.rtl.marks import (
    CAUSE_MARK_BITS,
    COUNTER_MARK_BITS,
    INDEX_BITS,
    REGISTER_MARK_BITS,
    Words,
    answer,
    words_of,
)
from hanok.rtl.register_map import (
    ADDRESS_BITS,
    BY_NAME,
    CAUSE_BITS,
    COUNTERS,
    FIRST_COUNTER,
    FIRST_OPEN,
    REGISTERS,
    WORD_BYTES,
    Access,
)

OKAY, SLAVE_ERROR = 0, 2
OPEN_COUNTERS = data.ArrayLayout(COUNTER_MARK_BITS, len(Unit))


def axi_lite(address_bits: int) -> wiring.Signature:
    """Return an AXI4-Lite port of 32-bit data as its master sees it (ARM IHI 0022, chapter B1)."""
    return wiring.Signature(
        {
            "awvalid": Out(1),
            "awready": In(1),
            "awaddr": Out(address_bits),
            "wvalid": Out(1),
            "wready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "bvalid": In(1),
            "bready": Out(1),
            "bresp": In(2),
            "arvalid": Out(1),
            "arready": In(1),
            "araddr": Out(address_bits),
            "rvalid": In(1),
            "rready": Out(1),
            "rdata": In(32),
            "rresp": In(2),
        }
    )


class Registers(wiring.Component):
    """Control and status: the host writes, starts and reads, the core reports.

    `start` and `stop` are 1 for one cycle. The core gives `finished` or `faulted` for one cycle, with `cause`
    and `fault_offset` beside the latter. `interrupt` is a level. Reading a counter's low word keeps its high
    word for the next read, so that both belong together. An address without a register, a write to one that
    is read-only and a start while the core is busy are answered with SLVERR and change nothing.

    With `words`, the answers of a marked core, `open_cause` and `open_counters` are what its blocks answer
    where nothing is specified; they are read from a fault until it is cleared.
    """

    def __init__(self, words: Mapping[str, Words] | None = None) -> None:
        self._words = words or words_of(())
        self._marked = bool(self._words["registers"])
        super().__init__(
            {
                "bus": In(axi_lite(ADDRESS_BITS)),
                "start": Out(1),
                "stop": Out(1),
                "code_address": Out(64),
                "code_bytes": Out(32),
                "busy": In(1),
                "finished": In(1),
                "faulted": In(1),
                "cause": In(CAUSE_BITS),
                "fault_offset": In(32),
                "counters": In(data.ArrayLayout(64, len(COUNTERS))),
                "interrupt": Out(1),
            }
            | (
                {"open_cause": In(CAUSE_MARK_BITS), "open_counters": In(OPEN_COUNTERS)}
                if self._marked
                else {}
            )
        )
        self._written = {
            register.name: Signal(32, name=register.name)
            for register in REGISTERS
            if register.access is Access.READ_WRITE
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        done, fault = Signal(), Signal()
        cause, offset = Signal(CAUSE_BITS), Signal(32)
        self._fault, self._open_cause = fault, Signal(CAUSE_MARK_BITS)
        status = Cat(self.busy, done, fault)
        m.d.comb += [
            self.code_bytes.eq(self._written["code_bytes"]),
            self.code_address.eq(Cat(self._written["code_address_low"], self._written["code_address_high"])),
            self.interrupt.eq((self._written["interrupt_enable"] & status & ~1).any()),
        ]
        cleared = self._write(m)
        with m.If(cleared[1] | self.start):
            m.d.sync += done.eq(0)
        with m.If(cleared[2] | self.start):
            m.d.sync += [fault.eq(0), cause.eq(0), offset.eq(0)]
            m.d.sync += self._open_cause.eq(0) if self._marked else []
        with m.If(self.finished):
            m.d.sync += done.eq(1)
        with m.If(self.faulted):
            m.d.sync += [fault.eq(1), cause.eq(self.cause), offset.eq(self.fault_offset)]
            m.d.sync += self._open_cause.eq(self.open_cause) if self._marked else []
        whole_cause = Cat(cause, self._open_cause) if self._marked else cause
        self._read(m, {"status": status, "cause": whole_cause, "fault_offset": offset})
        return m

    def _write(self, m: Module) -> Value:
        """The write channels; return the bits of `status` that a write clears in this cycle."""
        bus, word = self.bus, Signal(ADDRESS_BITS - 2)
        address, content, strobes = Signal(ADDRESS_BITS), Signal(32), Signal(4)
        has_address, has_content = Signal(), Signal()
        m.d.comb += [bus.awready.eq(~has_address), bus.wready.eq(~has_content), word.eq(address[2:])]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), has_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [content.eq(bus.wdata), strobes.eq(bus.wstrb), has_content.eq(1)]
        writes, right = Signal(), Signal()
        m.d.comb += writes.eq(has_address & has_content & ~bus.bvalid)
        mask = Cat(strobe.replicate(8) for strobe in strobes)
        bits = content & mask
        with m.Switch(word):
            for name, register in self._written.items():
                with m.Case(BY_NAME[name].offset // WORD_BYTES):
                    m.d.comb += right.eq(1)
                    with m.If(writes):
                        m.d.sync += register.eq(register & ~mask | bits)
            with m.Case(BY_NAME["status"].offset // WORD_BYTES):
                m.d.comb += right.eq(1)
            with m.Case(BY_NAME["control"].offset // WORD_BYTES):
                m.d.comb += right.eq(~(bits[0] & self.busy))
        controls = writes & (word == BY_NAME["control"].offset // WORD_BYTES)
        clears = writes & (word == BY_NAME["status"].offset // WORD_BYTES)
        m.d.sync += [self.start.eq(controls & bits[0] & ~self.busy), self.stop.eq(controls & bits[1])]
        with m.If(writes):
            m.d.sync += [has_address.eq(0), has_content.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(Mux(right, OKAY, SLAVE_ERROR))
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        return Mux(clears, bits, 0)

    def _read(self, m: Module, reported: dict[str, Value]) -> None:
        """The read channels: the address in one cycle, the answer in the one after the next."""
        bus, address, looks = self.bus, Signal(ADDRESS_BITS), Signal()
        m.d.comb += bus.arready.eq(~looks & ~bus.rvalid)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [address.eq(bus.araddr), looks.eq(1)]
        held, content, right = Signal(32), Signal(32), Signal()
        first = FIRST_COUNTER // WORD_BYTES
        number = Signal(range(len(COUNTERS)))
        counter = Signal(64)
        m.d.comb += [number.eq((address >> 3) - first // 2), counter.eq(Array(self.counters)[number])]
        with m.Switch(address[2:]):
            for register in REGISTERS:
                if register.offset < FIRST_COUNTER:
                    value = self._written.get(
                        register.name, reported.get(register.name, Const(register.reset, 32))
                    )
                    with m.Case(register.offset // WORD_BYTES):
                        m.d.comb += [content.eq(value), right.eq(1)]
            if self._marked:
                self._answer(m, address, content)
        is_counter = Signal()
        m.d.comb += is_counter.eq((address >= FIRST_COUNTER) & (address < FIRST_COUNTER + 8 * len(COUNTERS)))
        with m.If(looks):
            m.d.sync += [looks.eq(0), bus.rvalid.eq(1), bus.rdata.eq(content)]
            m.d.sync += bus.rresp.eq(Mux(right | is_counter, OKAY, SLAVE_ERROR))
            with m.If(is_counter):
                m.d.sync += bus.rdata.eq(Mux(address[2], held, counter[:32]))
                with m.If(~address[2]):
                    m.d.sync += held.eq(self._high(m, counter, number))
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)

    def _answer(self, m: Module, address: Signal, content: Signal) -> None:
        """Within the switch of the read address: what stands beside the error of an open address."""
        index = address[2 : 2 + INDEX_BITS]
        first = FIRST_OPEN // WORD_BYTES
        open_words = [first + place for place in range(1 << INDEX_BITS)]
        with m.Case(*open_words):
            m.d.comb += content.eq(answer(m, self._words["registers"], REGISTER_MARK_BITS, index))

    def _high(self, m: Module, counter: Signal, number: Signal) -> Value:
        """The high word of a counter; after a fault a unit answers above what its first one counts."""
        if not self._marked:
            return counter[32:]
        above = Signal(COUNTER_MARK_BITS)
        for unit in Unit:
            with m.If(self._fault & (number == COUNTERS.index(f"{unit.name.lower()}_busy"))):
                m.d.comb += above.eq(self.open_counters[int(unit)])
        return Cat(counter[32 : 64 - COUNTER_MARK_BITS], above)
