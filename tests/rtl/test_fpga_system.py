"""The FPGA's own parts: UART, loader, shared memory, and a core behind them, over the UART's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from core_bench import small_chip
from uart_link import UartLink

from hanok.errors import ChipError, HanokError
from hanok.flows._acceptance import acceptance_program
from hanok.flows.board import Board
from hanok.rtl.axi import axi_read, axi_write
from hanok.rtl.fpga_board import BOARDS, board_of, pll_divisors, preferences
from hanok.rtl.fpga_loader import Loader
from hanok.rtl.fpga_memory import DECODE_ERROR, SharedMemory
from hanok.rtl.fpga_protocol import Reply
from hanok.rtl.fpga_system import FpgaSystem
from hanok.rtl.fpga_uart import UartReceiver, UartTransmitter
from hanok.rtl.register_map import IDENTIFIER
from hanok.rtl.registers import Registers
from hanok.rtl.simulate import Simulation

CYCLES = 4
MEMORY_BYTES, BURST_BYTES, LINE_BYTES, ADDRESS_BITS = 2048, 32, 64, 16


class Peripherals(wiring.Component):
    """Loader, memory and registers without a core; the memory's other ports are outside."""

    def __init__(self) -> None:
        super().__init__(
            {
                "receive": In(1, init=1),
                "transmit": Out(1, init=1),
                "fetch": In(axi_read(ADDRESS_BITS, BURST_BYTES, 1)),
                "load": In(axi_read(ADDRESS_BITS, LINE_BYTES, 3)),
                "store": In(axi_write(ADDRESS_BITS, LINE_BYTES)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = SharedMemory(MEMORY_BYTES, BURST_BYTES, LINE_BYTES, ADDRESS_BITS, 1, 3)
        m.submodules.loader = loader = Loader(MEMORY_BYTES, timeout_log2=10)
        m.submodules.receiver = receiver = UartReceiver(CYCLES)
        m.submodules.transmitter = transmitter = UartTransmitter(CYCLES)
        m.submodules.registers = registers = Registers()
        for name in ("fetch", "load", "store"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(memory, name))
        wiring.connect(m, loader.memory, memory.bytes)
        wiring.connect(m, loader.bus, registers.bus)
        wiring.connect(m, receiver.bytes, loader.received)
        wiring.connect(m, loader.transmitted, transmitter.bytes)
        m.d.comb += [receiver.line.eq(self.receive), self.transmit.eq(transmitter.line)]
        return m


class DamagingLink:
    """A link that turns over a bit of one byte that passes."""

    def __init__(self, link: UartLink, written: int = -1, read: int = -1) -> None:
        self._link, self._written, self._read = link, written, read

    def write(self, content: bytes) -> None:
        self._link.write(self._damaged(content, self._written))
        self._written -= len(content)

    def read(self, count: int) -> bytes:
        found = self._link.read(count)
        damaged = self._damaged(found, self._read)
        self._read -= len(found)
        return damaged

    @staticmethod
    def _damaged(content: bytes, at: int) -> bytes:
        if not 0 <= at < len(content):
            return content
        return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


@pytest.fixture(scope="module")
def peripherals() -> Simulation:
    return Simulation(Peripherals())


def test_memory_and_registers_over_the_uart(peripherals: Simulation) -> None:
    board = Board(UartLink(peripherals, CYCLES))
    rng = np.random.default_rng(1)
    content = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8).tobytes()
    board.write_memory(0, content)
    assert board.read_memory(0, MEMORY_BYTES) == content
    board.write_memory(333, b"\x48\x00\xff")
    assert board.read_memory(331, 7) == content[331:333] + b"\x48\x00\xff" + content[336:338]
    assert board.read_register("identifier") == IDENTIFIER
    board.write_register("code_bytes", 0x89ABCDEF)
    assert board.read_register("code_bytes") == 0x89ABCDEF


def test_what_is_not_there_is_refused(peripherals: Simulation) -> None:
    board = Board(UartLink(peripherals, CYCLES))
    for address, count in ((MEMORY_BYTES - 3, 4), (1 << 31, 1)):
        with pytest.raises(HanokError, match=r"refuses read_memory of \d+ bytes at 0x"):
            board.read_memory(address, count)
    with pytest.raises(HanokError, match=r"refuses write_register of 4 bytes at 0x0;"):
        board.write_register("identifier", 1)
    assert board.read_register("identifier") == IDENTIFIER


@pytest.mark.parametrize("at", range(20))
def test_a_damaged_command_is_repeated(peripherals: Simulation, at: int) -> None:
    """Any byte of the command, its checksum, content and its checksum: the bytes are written in the end."""
    link = UartLink(peripherals, CYCLES)
    board = Board(DamagingLink(link, written=at))
    board.write_memory(100, bytes([7, at] * 4))
    assert Board(link).read_memory(100, 8) == bytes([7, at] * 4)


@pytest.mark.parametrize("at", range(1, 6))
def test_a_damaged_answer_is_repeated(peripherals: Simulation, at: int) -> None:
    link = UartLink(peripherals, CYCLES)
    Board(link).write_memory(200, b"\x01\x02\x03")
    assert Board(DamagingLink(link, read=at)).read_memory(200, 3) == b"\x01\x02\x03"


def test_a_damaged_register_write_has_no_effect(peripherals: Simulation) -> None:
    link = UartLink(peripherals, CYCLES)
    Board(link).write_register("code_bytes", 5)

    class Once:
        """The content is damaged, and the reply is kept."""

        replies: list[bytes] = []  # noqa: RUF012

        def write(self, content: bytes) -> None:
            link.write(content if content[0] == 0x48 else b"\x01" + content[1:])

        def read(self, count: int) -> bytes:
            self.replies.append(link.read(count))
            return self.replies[-1]

    with pytest.raises(HanokError, match="the board answers 15"):
        Board(Once()).write_register("code_bytes", 6)
    assert Once.replies[1] == bytes([Reply.WRONG_CHECKSUM])
    assert Board(link).read_register("code_bytes") == 5


def test_masters_share_the_memory(peripherals: Simulation) -> None:
    """Random reads of both masters and writes, held against arrays; a line behind the memory is an error."""
    rng = np.random.default_rng(2)
    Board(UartLink(peripherals, CYCLES)).write_memory(0, bytes(MEMORY_BYTES))
    model = bytearray(MEMORY_BYTES)
    for _ in range(60):
        line = int(rng.integers(0, MEMORY_BYTES // LINE_BYTES + 4)) * LINE_BYTES
        data, mask = rng.integers(0, 256, LINE_BYTES, dtype=np.uint8), int(rng.integers(1, 1 << 63))
        peripherals.set(
            store__awvalid=1, store__wvalid=1, store__awaddr=line, store__wstrb=mask, store__bready=1,
            store__wdata=int.from_bytes(data.tobytes(), "little"),
        )  # fmt: skip
        peripherals.step()
        peripherals.set(store__awvalid=0, store__wvalid=0)
        assert peripherals.run_until("store__bvalid", 2)
        exists = line < MEMORY_BYTES
        assert peripherals.get("store__bresp") == (0 if exists else DECODE_ERROR)
        for at in range(LINE_BYTES):
            if exists and mask >> at & 1:
                model[line + at] = data[at]
        _read_both(peripherals, rng, model, line)


def _read_both(simulation: Simulation, rng: np.random.Generator, model: bytearray, line: int) -> None:
    load, burst = (
        int(rng.integers(0, MEMORY_BYTES // LINE_BYTES)),
        int(rng.integers(LINE_BYTES // BURST_BYTES)),
    )
    places = {"fetch": line + burst * BURST_BYTES, "load": load * LINE_BYTES}
    sizes = {"fetch": BURST_BYTES, "load": LINE_BYTES}
    number = int(rng.integers(8))
    simulation.set(load__arid=number, fetch__rready=0, load__rready=0)
    simulation.set(**{f"{name}__{what}": value for name, at in places.items() for what, value in
                      (("arvalid", 1), ("araddr", at))})  # fmt: skip
    waiting, answered = set(places), set()
    for _ in range(12):
        simulation.step()
        for name in list(waiting):
            if simulation.get(f"{name}__arready"):
                waiting.remove(name)
                simulation.set(**{f"{name}__arvalid": 0})
        for name in set(places) - answered:
            if simulation.get(f"{name}__rvalid"):
                at = places[name]
                exists = at < MEMORY_BYTES
                assert simulation.get(f"{name}__rresp") == (0 if exists else DECODE_ERROR)
                if exists:
                    expected = int.from_bytes(model[at : at + sizes[name]], "little")
                    assert simulation.get(f"{name}__rdata") == expected, name
                answered.add(name)
                simulation.set(**{f"{name}__rready": 1})
        if len(answered) == 2:
            break
    assert answered == set(places)
    assert simulation.get("load__rid") == number
    simulation.step(2)
    assert not simulation.get("load__rvalid")
    assert not simulation.get("fetch__rvalid")


@pytest.mark.slow
def test_a_program_through_the_loader_gives_the_emulators_bytes() -> None:
    """Every unit of a core, over the UART's bits: memory in, registers, start, status, memory out."""
    chip = small_chip(rows=8, columns=8, lanes=4, bank_bytes=1024)
    found = acceptance_program(chip)
    system = FpgaSystem(chip, len(found.memory), CYCLES, timeout_log2=16)
    board = Board(UartLink(Simulation(system, identity=system.identity), CYCLES))
    board.write_memory(0, found.memory)
    cycles = board.run(found.code_address, found.code_bytes)
    assert cycles > 1000
    assert board.read_memory(0, len(found.memory)) == found.expected
    with pytest.raises(HanokError, match=rf"stopped: illegal_opcode, at byte {found.illegal_offset} of"):
        board.run(found.illegal_address, found.illegal_bytes)


def test_boards() -> None:
    for board in BOARDS.values():
        text = preferences(board, 100)
        assert 'FREQUENCY NET "clk" 100 MHZ;' in text
        assert text.count("LOCATE COMP") == len(board.pins) == board.leds + 3
        assert len(set(board.pins.values())) == len(board.pins), "a pin is used once"
    with pytest.raises(ChipError, match="board 'none' is not known; boards: ulx3s-85f"):
        board_of("none")


@pytest.mark.parametrize(
    ("given", "wanted"), [(25, 100), (12, 100), (25, 65), (25, 50), (12, 40), (12, 75), (25, 70), (12, 62.5)]
)
def test_pll(given: float, wanted: float) -> None:
    divisors = pll_divisors(given, wanted)
    assert given * divisors.back == wanted * divisors.reference * divisors.output
    assert 400 <= wanted * divisors.output <= 800
    assert given / divisors.reference >= 3.125
    assert max(divisors.reference, divisors.back, divisors.output) <= 128
    with pytest.raises(ChipError, match=r"the board's PLL cannot make 700\.5 MHz of"):
        pll_divisors(given, 700.5)
