"""A core with the ports of a real one that can do one thing: copy a burst of memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.faults import Fault
from hanok.rtl.axi import axi_read, axi_write, set_one_transfer
from hanok.rtl.delivery import TestProgram
from hanok.rtl.register_map import ADDRESS_BITS
from hanok.rtl.registers import Registers, axi_lite

BURST_BYTES = 32
OFFSET_BITS = 5
ADDRESS_WIDTH = 20
COPY_OPCODE, CODE, ILLEGAL = 0x01, 0x104, 0x208
SOURCE, TARGET = 0x400, 0x600


class CopyingCore(wiring.Component):
    """Fetches a word; if it is COPY_OPCODE, copies a burst but for its first byte, else reports a fault."""

    def __init__(self) -> None:
        super().__init__(
            {
                "bus": In(axi_lite(ADDRESS_BITS)),
                "fetch": Out(axi_read(ADDRESS_WIDTH, BURST_BYTES, 1)),
                "load": Out(axi_read(ADDRESS_WIDTH, BURST_BYTES, 3)),
                "store": Out(axi_write(ADDRESS_WIDTH, BURST_BYTES)),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = Registers()
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        stopped, word = Signal(), Signal(32)
        content = Signal(8 * BURST_BYTES, reset_less=True)
        m.d.comb += [
            self.interrupt.eq(registers.interrupt),
            self.fetch.araddr.eq(registers.code_address & -BURST_BYTES),
            self.load.araddr.eq(SOURCE),
            self.store.awaddr.eq(TARGET),
            self.store.wdata.eq(content),
            self.store.wstrb.eq((1 << BURST_BYTES) - 2),
            self.store.wlast.eq(1),
            [bus.rready.eq(1) for bus in (self.fetch, self.load)],
            self.store.bready.eq(1),
            word.eq(self.fetch.rdata.word_select(registers.code_address[2:OFFSET_BITS], 32)),
        ]
        for bus, prefix in ((self.fetch, "ar"), (self.load, "ar"), (self.store, "aw")):
            set_one_transfer(m, bus, prefix, BURST_BYTES)
        with m.If(registers.stop):
            m.d.sync += stopped.eq(1)
        self._steps(m, registers, stopped, word, content)
        return m

    def _steps(self, m: Module, registers: Registers, stopped: Signal, word: Signal, content: Signal) -> None:
        fetch, load, store = self.fetch, self.load, self.store
        m.d.comb += registers.busy.eq(1)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += registers.busy.eq(0)
                m.d.sync += stopped.eq(0)
                with m.If(registers.start):
                    m.next = "fetch"
            self._ask(m, "fetch", fetch.arvalid, fetch.arready)
            with m.State("fetch_answer"), m.If(fetch.rvalid):
                m.d.comb += [
                    registers.faulted.eq(~stopped & (fetch.rresp.any() | (word[:8] != COPY_OPCODE))),
                    registers.cause.eq(Mux(fetch.rresp.any(), Fault.FETCH_ERROR, Fault.ILLEGAL_OPCODE)),
                ]
                m.next = "idle"
                with m.If(~stopped & ~registers.faulted):
                    m.next = "load"
            self._ask(m, "load", load.arvalid, load.arready)
            with m.State("load_answer"), m.If(load.rvalid):
                m.d.sync += content.eq(load.rdata)
                m.next = "store"
                with m.If(stopped):
                    m.next = "idle"
            self._ask(m, "store", store.awvalid, store.awready)
            with m.State("store_answer"):
                m.d.comb += store.wvalid.eq(1)
                with m.If(store.wready):
                    m.next = "response"
            with m.State("response"), m.If(store.bvalid):
                m.d.comb += registers.finished.eq(~stopped)
                m.next = "idle"

    def _ask(self, m: Module, name: str, valid: Signal, ready: Signal) -> None:
        with m.State(name):
            m.d.comb += valid.eq(1)
            with m.If(ready):
                m.next = f"{name}_answer"


def copying_program() -> TestProgram:
    memory = bytearray((17 * place + place // 256) % 256 for place in range(4096))
    memory[CODE : CODE + 4] = bytes([COPY_OPCODE, 0, 0, 0])
    memory[ILLEGAL] = 0xEE
    expected = bytearray(memory)
    expected[TARGET + 1 : TARGET + BURST_BYTES] = memory[SOURCE + 1 : SOURCE + BURST_BYTES]
    facts = {
        "program": {"code_address": CODE, "code_bytes": 4},
        "illegal": {"code_address": ILLEGAL, "code_bytes": 4, "fault_offset": 0},
    }
    return TestProgram(bytes(memory), bytes(expected), facts)
