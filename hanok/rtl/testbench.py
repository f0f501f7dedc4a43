"""The compiled core with the memory of its chip: runs code and says what happened in which cycle."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.dram import make_state
from hanok.dram._kernels_foreign import advance_all_address, request_address
from hanok.dram._layout import H_TCK_FS
from hanok.dram.chip_memory import ecc_latency_cycles
from hanok.dram.state import answers_of
from hanok.errors import HanokError
from hanok.isa.faults import Fault
from hanok.isa.table import Unit
from hanok.isa.timing import open_lines
from hanok.machine import Chip
from hanok.rtl._bench import KINDS, PORTS, bench
from hanok.rtl.core import Core
from hanok.rtl.register_map import BY_NAME, CAUSE_BITS, COUNTERS
from hanok.rtl.simulate import Simulation

Integers = npt.NDArray[np.int64]
MOST_ANSWER_CYCLES = 100


class _Bench(ctypes.Structure):
    _fields_ = (
        ("state", ctypes.c_void_p),
        ("request", ctypes.c_void_p),
        ("advance", ctypes.c_void_p),
        ("answers", ctypes.c_void_p),
        ("image", ctypes.c_void_p),
        ("image_bytes", ctypes.c_int64),
        ("ring", ctypes.c_int64),
        ("period_fs", ctypes.c_int64),
        ("clock_mhz", ctypes.c_int64),
        ("latency", ctypes.c_int64),
        ("most_cycles", ctypes.c_int64),
        ("events", ctypes.c_void_p * (len(KINDS) * len(Unit))),
        ("room", ctypes.c_int64 * len(Unit)),
        ("counts", ctypes.c_int64 * (len(KINDS) * len(Unit))),
        ("cycles", ctypes.c_int64),
        ("requests", ctypes.c_int64 * len(PORTS)),
    )


@dataclass(frozen=True)
class CoreRun:
    """What the core did with a code: cycles from its start on, and its registers after the interrupt."""

    cycles: int
    fault: Fault
    fault_offset: int
    counters: dict[str, int]
    dispatched: tuple[Integers, ...]
    """[unit][instruction of the unit]; of those that got so far."""
    started: tuple[Integers, ...]
    ended: tuple[Integers, ...]


class Testbench:
    """A core in simulation, and the memory of its chip; each run begins with the memory idle.

    Reads are answered `memory.latency_cycles` after the DRAM, one a cycle on each bus: of the loads that are
    due the one requested first, fetches in order. Writes are answered when they have entered the controller's
    queue. A transfer of several bursts is answered when all of them are. Raises ChipError for a chip that
    cannot be made.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        core = Core(chip, trace=True)
        self._burst_bytes, self._line_bytes = core.burst_bytes, core.line_bytes
        self._simulation = Simulation(core, bench(core.burst_bytes, core.line_bytes), core.identity)
        self._simulation.set(bus__bready=1, bus__rready=1)

    def run(
        self, code_bytes: int, code_address: int, image: npt.NDArray[np.uint8], most_cycles: int = 1 << 40
    ) -> CoreRun:
        """Run the code that lies in `image`, the content of the memory, which changes as the core writes.

        Raises HanokError if the core has not ended after `most_cycles`.
        """
        most = code_bytes // 4 + 1
        events = np.full((len(KINDS) * len(Unit), most), -1, np.int64)
        state = self._memory_state()
        parameters = self._parameters(state, image, events, most_cycles)
        for name, value in (
            ("interrupt_enable", 0b110),
            ("status", 0b110),
            ("code_bytes", code_bytes),
            ("code_address_low", code_address & 0xFFFF_FFFF),
            ("code_address_high", code_address >> 32),
            ("control", 1),
        ):
            self.write(name, value)
        ended = self._simulation.call("run_bench", ctypes.byref(parameters))
        assert ended != 2, "the core has a loop of gates without a register"
        if ended:
            raise HanokError(f"the core has not ended after {most_cycles} cycles")
        counts = np.ctypeslib.as_array(parameters.counts).reshape(len(KINDS), len(Unit))
        seen = events.reshape(len(KINDS), len(Unit), most)
        times = [
            tuple(seen[kind, unit, : counts[kind, unit]].copy() for unit in range(len(Unit)))
            for kind in range(len(KINDS))
        ]
        counters = {name: self.read(f"{name}_low") | self.read(f"{name}_high") << 32 for name in COUNTERS}
        return CoreRun(
            int(parameters.cycles),
            Fault(self.read("cause") & (1 << CAUSE_BITS) - 1),
            self.read("fault_offset"),
            counters,
            *times,
        )

    def renew(self) -> None:
        """Begin with a core whose scratchpad, accumulators and table are zero."""
        self._simulation.renew()

    def write(self, name: str, value: int) -> None:
        """Write a register over the bus."""
        simulation = self._simulation
        simulation.step(
            bus__awvalid=1, bus__awaddr=BY_NAME[name].offset, bus__wvalid=1, bus__wdata=value, bus__wstrb=15
        )
        simulation.set(bus__awvalid=0, bus__wvalid=0)
        if name == "control":
            simulation.step()
        else:
            simulation.run_until("bus__bvalid", MOST_ANSWER_CYCLES)

    def read(self, name: str) -> int:
        """Read a register over the bus."""
        simulation = self._simulation
        simulation.step(bus__arvalid=1, bus__araddr=BY_NAME[name].offset)
        simulation.set(bus__arvalid=0)
        simulation.run_until("bus__rvalid", MOST_ANSWER_CYCLES)
        return simulation.get("bus__rdata")

    def _memory_state(self) -> Integers:
        control, dma = self.chip.core.control, self.chip.core.dma
        burst, parts = self._burst_bytes, self._line_bytes // self._burst_bytes
        depth = max(open_lines(dma, burst), control.fetch_buffer_bytes // burst) + 2
        self._ring = 1 << depth.bit_length()
        room = self._ring * parts
        return make_state(self.chip.memory, ports=len(PORTS), port_depth=room, answers=len(PORTS) * room)

    def _parameters(
        self, state: Integers, image: npt.NDArray[np.uint8], events: Integers, most_cycles: int
    ) -> _Bench:
        assert image.flags.c_contiguous, "the image is one piece of memory"
        memory, clock = self.chip.memory, self.chip.clock_mhz
        found = _Bench(
            state=state.ctypes.data,
            request=request_address(),
            advance=advance_all_address(),
            answers=answers_of(state).ctypes.data,
            image=image.ctypes.data,
            image_bytes=image.size,
            ring=self._ring,
            period_fs=int(state[H_TCK_FS]),
            clock_mhz=clock,
            latency=memory.latency_cycles + ecc_latency_cycles(memory, clock),
            most_cycles=most_cycles,
        )
        for row in range(len(events)):
            found.events[row] = events[row].ctypes.data
        for unit in range(len(Unit)):
            found.room[unit] = events.shape[1]
        return found
