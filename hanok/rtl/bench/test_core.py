"""Acceptance of a core: its registers, a program and what it leaves in memory, faults, stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cocotb
from axi_models import OKAY, Host, ReadPort, Speed, WritePort
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

FOLDER = Path(__file__).parent
FACTS: dict[str, Any] = json.loads((FOLDER / "acceptance.json").read_text(encoding="utf-8"))
REGISTERS: dict[str, int] = FACTS["registers"]
COUNTERS: dict[str, int] = FACTS["counters"]
CAUSES: dict[str, int] = FACTS["causes"]
CAUSE_MASK = 0xFF
PROGRAM, ILLEGAL = FACTS["program"], FACTS["illegal"]
START, STOP = 1, 2
BUSY, DONE, FAULT = 1, 2, 4
SLAVE_ERROR = 2
RESET_CYCLES = 8
MOST_CYCLES = 200_000
FAST, STEADY, SLOW = Speed(), Speed(latency=20), Speed(latency=60)
ROUGH = Speed(latency=5, spread=50, stalls=0.4)


class Bench:
    """A core with memory on its AXI ports and a host at its registers; all go on by `cycle`."""

    def __init__(self, core: Any, speed: Speed) -> None:
        self.core, self.now = core, 0
        self.memory = bytearray((FOLDER / "memory.bin").read_bytes())
        self.fetch = ReadPort(core, "m_axi_fetch", self.memory, speed)
        self.load = ReadPort(core, "m_axi_load", self.memory, speed)
        self.store = WritePort(core, "m_axi_store", self.memory, speed, self.fetch.data_bytes)
        self.host = Host(core, "s_axi_control")
        self._ports = (self.fetch, self.load, self.store)
        self._all = (*self._ports, self.host)

    @classmethod
    async def begin(cls, core: Any, speed: Speed = FAST) -> Bench:
        """Start the clock and reset the core."""
        Clock(core.clk, 10, "ns").start()
        bench = cls(core, speed)
        core.rst.value = 1
        for part in bench._all:
            part.drive(0)
        for _ in range(RESET_CYCLES):
            await FallingEdge(core.clk)
        core.rst.value = 0
        return bench

    async def cycle(self) -> None:
        """One clock: inputs change at the falling edge, then what the next rising edge sees is looked at."""
        await FallingEdge(self.core.clk)
        for part in self._all:
            part.drive(self.now)
        await ReadOnly()
        for part in self._all:
            part.sample(self.now)
        self.now += 1

    async def write(self, offset: int, value: int, strobes: int = 15) -> int:
        """Write a register; return the response."""
        self.host.begin_write(offset, value, strobes)
        return await self._response()

    async def read(self, offset: int) -> tuple[int, int]:
        """Read a register; return the response and what is in it."""
        self.host.begin_read(offset)
        return await self._response(), self.host.data

    async def _response(self) -> int:
        for _ in range(1000):
            await self.cycle()
            if self.host.response is not None:
                return self.host.response
        raise AssertionError("the registers do not answer")

    async def set(self, name: str, value: int) -> None:
        assert await self.write(REGISTERS[name], value) == OKAY, f"{name} can be written"

    async def get(self, name: str) -> int:
        response, value = await self.read(REGISTERS[name])
        assert response == OKAY, f"{name} can be read"
        return value

    async def counter(self, name: str) -> int:
        low, high = [await self.read(COUNTERS[name] + place) for place in (0, 4)]
        assert low[0] == high[0] == OKAY
        return low[1] | high[1] << 32

    async def start(self, address: int, code_bytes: int) -> None:
        await self.set("code_address_low", address & 0xFFFF_FFFF)
        await self.set("code_address_high", address >> 32)
        await self.set("code_bytes", code_bytes)
        await self.set("interrupt_enable", DONE | FAULT)
        await self.set("control", START)

    async def interrupt(self) -> int:
        """Wait for the interrupt; return the status, cleared."""
        for _ in range(MOST_CYCLES):
            if int(self.core.irq.value):
                break
            await self.cycle()
        assert int(self.core.irq.value), f"the interrupt comes within {MOST_CYCLES} cycles"
        status = await self.get("status")
        await self.set("status", DONE | FAULT)
        assert not int(self.core.irq.value), "the interrupt falls when its cause is cleared"
        return status

    async def interrupt_of_fault(self, cause: int, offset: int | None = None) -> None:
        """Wait for a fault; check its cause, and where it is, before it is cleared."""
        for _ in range(MOST_CYCLES):
            if int(self.core.irq.value):
                break
            await self.cycle()
        assert await self.get("cause") & CAUSE_MASK == cause
        if offset is not None:
            assert await self.get("fault_offset") == offset
        assert await self.interrupt() == FAULT
        assert await self.get("cause") == 0, "clearing the fault clears its cause"

    async def until_idle(self) -> None:
        """Wait until the core and its buses rest."""
        for _ in range(MOST_CYCLES):
            await self.cycle()
            if not await self.get("status") & BUSY and all(part.is_idle for part in self._ports):
                return
        raise AssertionError(f"the core rests within {MOST_CYCLES} cycles")

    def check_memory(self) -> None:
        expected = (FOLDER / "expected.bin").read_bytes()
        wrong = [place for place in range(len(expected)) if self.memory[place] != expected[place]]
        assert not wrong, f"{len(wrong)} bytes of memory are not as expected; the first at 0x{wrong[0]:X}"


async def run_program(bench: Bench) -> None:
    """Run the program to its end and compare the memory."""
    await bench.start(PROGRAM["code_address"], PROGRAM["code_bytes"])
    assert await bench.interrupt() == DONE
    bench.check_memory()


@cocotb.test()
async def registers_answer(core: Any) -> None:
    """Reset values, strobes, and SLVERR for what cannot be."""
    bench = await Bench.begin(core)
    for name, value in FACTS["reset_values"].items():
        assert await bench.get(name) == value, name
    await bench.set("code_bytes", 0x11223344)
    assert await bench.write(REGISTERS["code_bytes"], 0xAABBCCDD, strobes=0b0101) == OKAY
    assert await bench.get("code_bytes") == 0x11BB33DD
    assert await bench.write(REGISTERS["identifier"], 0) == SLAVE_ERROR
    for offset in FACTS["unused_offsets"]:
        assert await bench.write(offset, 1) == SLAVE_ERROR
        assert (await bench.read(offset))[0] == SLAVE_ERROR
    assert not int(core.irq.value)


@cocotb.test()
@cocotb.parametrize(speed=[FAST, SLOW, ROUGH])
async def program_runs(core: Any, speed: Speed) -> None:
    """The program leaves in memory what it should, with a fast (twice), a slow and an irregular memory."""
    bench = await Bench.begin(core, speed)
    await run_program(bench)
    if speed is FAST:
        bench.memory[:] = (FOLDER / "memory.bin").read_bytes()
        await run_program(bench)


@cocotb.test()
async def counters_count(core: Any) -> None:
    """Each cycle of each unit has one cause; bytes are those on the buses."""
    bench = await Bench.begin(core, SLOW)
    await bench.start(PROGRAM["code_address"], PROGRAM["code_bytes"])
    begin = bench.now
    assert await bench.interrupt() == DONE
    cycles = await bench.counter("cycles")
    assert PROGRAM["code_bytes"] // 4 < cycles <= bench.now - begin + RESET_CYCLES
    for unit in FACTS["units"]:
        causes = [await bench.counter(f"{unit}_{cause}") for cause in FACTS["cycle_causes"]]
        assert sum(causes) == cycles, f"causes of the {unit} unit"
        assert 0 < causes[0] < cycles, f"the {unit} unit is busy at times"
    for name, port in (("read", bench.load), ("written", bench.store), ("fetched", bench.fetch)):
        assert await bench.counter(f"{name}_bytes") == port.moved_bytes, name
    assert await bench.counter("cycles") == cycles, "counters stand after the end"


@cocotb.test()
async def illegal_opcode_is_reported(core: Any) -> None:
    """An opcode that is none stops the core with its cause and place; then it runs again."""
    bench = await Bench.begin(core)
    await bench.start(ILLEGAL["code_address"], ILLEGAL["code_bytes"])
    await bench.interrupt_of_fault(CAUSES["illegal_opcode"], ILLEGAL["fault_offset"])
    await run_program(bench)


@cocotb.test()
async def refused_fetch_is_reported(core: Any) -> None:
    """Code where there is no memory: the bus answers with an error."""
    bench = await Bench.begin(core)
    await bench.start(len(bench.memory), 64)
    await bench.interrupt_of_fault(CAUSES["fetch_error"])
    await run_program(bench)


@cocotb.test()
async def stopped_core_starts_again(core: Any) -> None:
    """After a stop in the middle, when what was under way is over, the next start is as the first."""
    bench = await Bench.begin(core, STEADY)
    await bench.start(PROGRAM["code_address"], PROGRAM["code_bytes"])
    begin = bench.now
    assert await bench.interrupt() == DONE
    cycles = bench.now - begin
    for share in (0.3, 0.6):
        await bench.set("control", START)
        for _ in range(int(share * cycles)):
            await bench.cycle()
        assert await bench.get("status") & BUSY
        assert await bench.write(REGISTERS["control"], START) == SLAVE_ERROR, "a start while it is busy"
        await bench.set("control", STOP)
        await bench.until_idle()
        assert await bench.get("status") == 0, "a stop is no end and no fault"
    bench.memory[:] = (FOLDER / "memory.bin").read_bytes()
    await run_program(bench)
