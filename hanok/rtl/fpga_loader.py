"""The host's way to memory and registers: commands of bytes with checksums, as they come from a UART."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl.fpga_memory import byte_port
from hanok.rtl.fpga_protocol import (
    CHECKSUM_BITS,
    CHECKSUM_BYTES,
    CHECKSUM_POLYNOMIAL,
    CHECKSUM_START,
    HEADER_BYTES,
    SYNCHRONIZATION,
    WORD_BYTES,
    Command,
    Reply,
)
from hanok.rtl.register_map import ADDRESS_BITS
from hanok.rtl.registers import OKAY, axi_lite

TIMEOUT_CYCLES_LOG2 = 23


def checksum_after(m: Module, checksum: Any, byte: Any, name: str) -> Any:
    """Return the CRC-16 of polynomial 0x1021, highest bit first, after another byte.

    Each bit of it is the parity of some bits of both, which the shifts of a bit at a time tell.
    """
    sources = [{bit} for bit in range(CHECKSUM_BITS)]
    for bit in reversed(range(8)):
        feedback = sources[-1] ^ {CHECKSUM_BITS + bit}
        sources = [set(), *sources[:-1]]
        sources = [
            source ^ feedback if CHECKSUM_POLYNOMIAL >> at & 1 else source
            for at, source in enumerate(sources)
        ]
    bits, found = Cat(checksum, byte), Signal(CHECKSUM_BITS, name=name)
    m.d.comb += found.eq(Cat(Cat(bits[at] for at in sorted(source)).xor() for source in sources))
    return found


class Loader(wiring.Component):
    """Reads and writes the memory and the core's registers.

    A command is `SYNCHRONIZATION`, then seven bytes (command, address in four bytes, count in two, lowest
    first) and the CRC-16 of the seven, highest byte first. The answer is a `Reply`. What is written follows
    after DONE, `count` bytes and their CRC-16, and has a `Reply` of its own; what is read comes behind DONE,
    `count` bytes and the CRC-16 of DONE and them. A register takes four bytes at an address divisible by
    four; it is written when the checksum was right. Memory is written byte by byte: a wrong checksum means
    that the command has to be repeated. A command whose bytes cease to come for 2 ** `timeout_log2` cycles
    is forgotten.
    """

    def __init__(self, memory_bytes: int, timeout_log2: int = TIMEOUT_CYCLES_LOG2) -> None:
        self._memory_bytes, self._timeout_log2 = memory_bytes, timeout_log2
        super().__init__(
            {
                "received": In(stream.Signature(8)),
                "transmitted": Out(stream.Signature(8)),
                "memory": Out(byte_port(memory_bytes)),
                "bus": Out(axi_lite(ADDRESS_BITS)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._header = header = Signal(8 * (HEADER_BYTES + CHECKSUM_BYTES))
        self._command, self._address, self._count = Signal(8), Signal(32), Signal(16)
        self._left, self._word = Signal(range(HEADER_BYTES + CHECKSUM_BYTES + 1)), Signal(32)
        self._checksum, self._reply, self._after = Signal(16), Signal(8), Signal(2)
        m.d.comb += [
            self.memory.address.eq(self._address),
            self.memory.data.eq(self.received.payload),
            self.bus.awaddr.eq(self._address),
            self.bus.araddr.eq(self._address),
            self.bus.wdata.eq(self._word),
            self.bus.wstrb.eq(0b1111),
            self.bus.bready.eq(1),
            self.bus.rready.eq(1),
        ]
        received, transmitted = Signal(), Signal()
        byte = Mux(self.transmitted.valid, self.transmitted.payload, self.received.payload)
        after = checksum_after(m, self._checksum, byte, "checksum_after")
        m.d.comb += [
            received.eq(self.received.valid & self.received.ready),
            transmitted.eq(self.transmitted.valid & self.transmitted.ready),
        ]
        with m.If(received | transmitted):
            m.d.sync += self._checksum.eq(after)
        with m.FSM() as machine:
            self._take_header(m, header, received)
            self._judge(m)
            self._answer(m)
            self._take_content(m, received)
            self._access_register(m)
            self._give_content(m)
        m.d.comb += self.busy.eq(~machine.ongoing("WAIT"))
        return m

    def _fail(self, m: Module, reply: Reply) -> None:
        m.d.sync += [self._reply.eq(reply), self._after.eq(_THEN_WAIT)]
        m.next = "REPLY"

    def _timeout(self, m: Module, received: Any, name: str) -> None:
        """Give up where bytes cease to come."""
        waited = Signal(self._timeout_log2 + 1, name=f"{name}_waited")
        m.d.sync += waited.eq(Mux(received, 0, waited + 1))
        with m.If(waited[-1] & ~received):
            m.d.sync += waited.eq(0)
            m.next = "WAIT"

    def _take_header(self, m: Module, header: Signal, received: Any) -> None:
        with m.State("WAIT"):
            m.d.comb += self.received.ready.eq(1)
            m.d.sync += self._left.eq(HEADER_BYTES + CHECKSUM_BYTES)
            with m.If(received & (self.received.payload == SYNCHRONIZATION)):
                m.d.sync += self._checksum.eq(CHECKSUM_START)
                m.next = "HEADER"
        with m.State("HEADER"):
            m.d.comb += self.received.ready.eq(1)
            self._timeout(m, received, "header")
            with m.If(received):
                m.d.sync += [header.eq(Cat(header[8:], self.received.payload)), self._left.eq(self._left - 1)]
                with m.If(self._left == 1):
                    m.next = "FIELDS"
        with m.State("FIELDS"):
            m.d.sync += [self._command.eq(header[:8]), self._address.eq(header[8:40])]
            m.d.sync += self._count.eq(header[40:56])
            m.next = "ADD"

    def _judge(self, m: Module) -> None:
        """Answer a command: by now or, for the read of a register, after the bus has answered."""
        command = self._command
        ends, legal, is_wrong = Signal(33), Signal(), Signal()
        is_memory = (command == Command.READ_MEMORY) | (command == Command.WRITE_MEMORY)
        is_register = (command == Command.READ_REGISTER) | (command == Command.WRITE_REGISTER)
        inside = (ends <= self._memory_bytes) & self._count.any()
        is_word = (
            (self._count == WORD_BYTES) & (self._address[:2] == 0) & (self._address >> ADDRESS_BITS == 0)
        )
        with m.State("ADD"):
            m.d.sync += [ends.eq(self._address + self._count), is_wrong.eq(self._checksum != 0)]
            m.next = "COMPARE"
        with m.State("COMPARE"):
            m.d.sync += legal.eq((is_memory & inside) | (is_register & is_word))
            m.next = "JUDGE"
        with m.State("JUDGE"):
            m.d.sync += [self._reply.eq(Reply.DONE), self._checksum.eq(CHECKSUM_START)]
            m.d.sync += self._after.eq(Mux(command == Command.READ_MEMORY, _THEN_GIVE, _THEN_TAKE))
            m.next = "REPLY"
            with m.If(is_wrong):
                self._fail(m, Reply.WRONG_CHECKSUM)
            with m.Elif(~legal):
                self._fail(m, Reply.REFUSED)
            with m.Elif(command == Command.READ_REGISTER):
                m.next = "READ_REGISTER"

    def _answer(self, m: Module) -> None:
        with m.State("REPLY"):
            m.d.comb += [self.transmitted.valid.eq(1), self.transmitted.payload.eq(self._reply)]
            m.d.sync += self._left.eq(CHECKSUM_BYTES)
            with m.If(self.transmitted.ready), m.Switch(self._after):
                with m.Case(_THEN_TAKE):
                    m.d.sync += self._checksum.eq(CHECKSUM_START)
                    m.next = "CONTENT"
                with m.Case(_THEN_GIVE):
                    m.next = "READ_MEMORY"
                with m.Case(_THEN_GIVE_WORD):
                    m.next = "GIVE"
                with m.Default():
                    m.next = "WAIT"

    def _next_byte(self, m: Module) -> None:
        m.d.sync += [self._count.eq(self._count - 1), self._address.eq(self._address + 1)]

    def _take_content(self, m: Module, received: Any) -> None:
        is_memory = self._command == Command.WRITE_MEMORY
        with m.State("CONTENT"):
            m.d.comb += [self.memory.valid.eq(self.received.valid & is_memory), self.memory.writes.eq(1)]
            m.d.comb += self.received.ready.eq(self.memory.ready)
            self._timeout(m, received, "content")
            with m.If(received):
                m.d.sync += [
                    self._count.eq(self._count - 1),
                    self._word.eq(Cat(self._word[8:], self.received.payload)),
                ]
                with m.If(is_memory):
                    m.d.sync += self._address.eq(self._address + 1)
                with m.If(self._count == 1):
                    m.next = "CHECKSUM"
        with m.State("CHECKSUM"):
            m.d.comb += self.received.ready.eq(1)
            self._timeout(m, received, "checksum")
            with m.If(received):
                m.d.sync += self._left.eq(self._left - 1)
                with m.If(self._left == 1):
                    m.next = "WRITTEN"
        with m.State("WRITTEN"):
            with m.If(self._checksum != 0):
                self._fail(m, Reply.WRONG_CHECKSUM)
            with m.Elif(is_memory):
                m.d.sync += [self._reply.eq(Reply.DONE), self._after.eq(_THEN_WAIT)]
                m.next = "REPLY"
            with m.Else():
                m.next = "WRITE_REGISTER"

    def _access_register(self, m: Module) -> None:
        bus, asked, sent = self.bus, Signal(), Signal()
        with m.State("WRITE_REGISTER"):
            m.d.comb += [bus.awvalid.eq(~asked), bus.wvalid.eq(~sent)]
            m.d.sync += [asked.eq(asked | bus.awready), sent.eq(sent | bus.wready)]
            with m.If(bus.bvalid):
                m.d.sync += [asked.eq(0), sent.eq(0)]
                m.d.sync += [
                    self._reply.eq(Mux(bus.bresp == OKAY, Reply.DONE, Reply.REFUSED)),
                    self._after.eq(_THEN_WAIT),
                ]
                m.next = "REPLY"
        with m.State("READ_REGISTER"):
            m.d.comb += bus.arvalid.eq(~asked)
            m.d.sync += asked.eq(asked | bus.arready)
            with m.If(bus.rvalid):
                m.d.sync += [asked.eq(0), self._word.eq(bus.rdata), self._after.eq(_THEN_GIVE_WORD)]
                m.next = "REPLY"
                with m.If(bus.rresp != OKAY):
                    self._fail(m, Reply.REFUSED)

    def _give_content(self, m: Module) -> None:
        with m.State("READ_MEMORY"):
            m.d.comb += self.memory.valid.eq(1)
            with m.If(self.memory.ready):
                m.next = "ANSWER"
        with m.State("ANSWER"):
            m.d.sync += self._word[:8].eq(self.memory.answer)
            with m.If(self.memory.answered):
                m.next = "GIVE"
        with m.State("GIVE"):
            m.d.comb += [self.transmitted.valid.eq(1), self.transmitted.payload.eq(self._word)]
            with m.If(self.transmitted.ready):
                self._next_byte(m)
                m.d.sync += self._word.eq(self._word >> 8)
                with m.If(self._count == 1):
                    m.next = "GIVE_CHECKSUM"
                with m.Elif(self._command == Command.READ_MEMORY):
                    m.next = "READ_MEMORY"
        with m.State("GIVE_CHECKSUM"):
            m.d.comb += [self.transmitted.valid.eq(1), self.transmitted.payload.eq(self._checksum[8:])]
            with m.If(self.transmitted.ready):
                m.d.sync += [self._checksum.eq(self._checksum << 8), self._left.eq(self._left - 1)]
                with m.If(self._left == 1):
                    m.next = "WAIT"


_THEN_WAIT, _THEN_TAKE, _THEN_GIVE, _THEN_GIVE_WORD = range(4)
