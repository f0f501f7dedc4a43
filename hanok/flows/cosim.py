"""A program on the core in gates, beside the emulator and the cycle engine: every bit, every cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Execution, Progress, quiet
from hanok.flows._inputs import complete_inputs
from hanok.flows.rtl import check_tools
from hanok.isa import Decoded, NpuStage, Program, Unit, decode
from hanok.simulator import emulate, simulate
from hanok.simulator.counters import Cause, Timing

if TYPE_CHECKING:
    from hanok.rtl.testbench import CoreRun, Testbench

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """A figure that the engine and the gates do not share; `instruction` is -1 for those of a whole stage."""

    what: str
    unit: str
    instruction: int
    engine: int
    gates: int


@dataclass(frozen=True)
class UnitComparison:
    """The instructions of a unit in a stage: how many, and how many have a time or a counter that differs."""

    unit: str
    instructions: int
    busy_cycles: int
    different_instructions: int
    different_counters: int


@dataclass(frozen=True)
class CosimStage:
    """One stage: cycles of both, and what differs."""

    number: int
    engine_cycles: int
    gate_cycles: int
    different_bytes: int
    first_different_byte: int
    """DRAM address; -1 where none differs."""
    fault: str
    """Why the core stopped; empty if it did not."""
    units: tuple[UnitComparison, ...]
    differences: tuple[Difference, ...]
    """The first of each kind and unit."""
    seconds: float
    """Of the gates' simulation."""

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.different_bytes or self.fault)


@dataclass(frozen=True)
class CosimRecord:
    """A program in gates and in the models."""

    model: str
    chip: str
    stages: tuple[CosimStage, ...]
    build_seconds: float
    """To make the simulation of the core, or to find it."""
    warnings: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every bit and every cycle is the same."""
        return all(stage.equal for stage in self.stages)

    @property
    def gate_cycles(self) -> int:
        """Cycles of the core in all stages."""
        return sum(stage.gate_cycles for stage in self.stages)

    @property
    def cycles_per_second(self) -> float:
        """How fast the gates were simulated."""
        seconds = sum(stage.seconds for stage in self.stages)
        return self.gate_cycles / seconds if seconds else 0.0


def cosimulate(
    program: Program,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> CosimRecord:
    """Run a verified program on the core in gates and compare it with the emulator and the engine.

    Raises ChipError for a chip that the gates cannot be made for, HanokError without the packages for it.
    """
    check_tools()
    from hanok.rtl.testbench import Testbench

    progress("compiling the gates (minutes, the first time for a core)")
    begin = perf_counter()
    testbench = Testbench(program.chip)
    build_seconds = perf_counter() - begin
    values, warnings = complete_inputs(program, inputs or {}, seed)
    execution = _Cosimulation(program, values, testbench, progress)
    execution.run()
    return CosimRecord(program.name, program.chip.name, tuple(execution.compared), build_seconds, warnings)


class _Cosimulation(Execution):
    """An execution whose stages run in gates too."""

    def __init__(
        self, program: Program, inputs: dict[str, Array], testbench: Testbench, progress: Progress
    ) -> None:
        super().__init__(program, inputs, progress)
        self.compared: list[CosimStage] = []
        self._testbench = testbench

    def run_npu(self, stage: NpuStage, count_cycles: bool) -> None:
        """Emulate and time the stage, and run it in gates."""
        decoded, image = decode(stage.code), self.image.copy()
        self.progress("computing values")
        emulate(decoded, self.program.chip, self.image)
        self.progress("counting cycles")
        timing = simulate(decoded, self.program.chip, code_address=stage.code_address, content=image)
        self.progress(f"simulating the gates for {timing.cycles:,} cycles")
        begin = perf_counter()
        most = 4 * timing.cycles + 100_000
        run = self._testbench.run(len(stage.code), stage.code_address, image, most)
        seconds = perf_counter() - begin
        number = len(self.compared)
        self.compared.append(compare(number, decoded, timing, run, self.image, image, seconds))


def compare(
    number: int,
    decoded: Decoded,
    timing: Timing,
    run: CoreRun,
    expected: npt.NDArray[np.uint8],
    found: npt.NDArray[np.uint8],
    seconds: float = 0.0,
) -> CosimStage:
    """Compare what the core did with what the emulator left in DRAM and the engine says of the time."""
    different = np.flatnonzero(expected != found)
    differences = list(_totals(timing, run))
    units = []
    for unit in Unit:
        members = np.flatnonzero(decoded.unit == unit)
        late, times = _instructions(unit, members, timing, run)
        counters = list(_counters(unit, timing, run))
        differences += [*times, *counters]
        busy = int(timing.causes[unit][Cause.BUSY])
        units.append(UnitComparison(unit.name.lower(), len(members), busy, late, len(counters)))
    return CosimStage(
        number,
        timing.cycles,
        run.cycles,
        len(different),
        int(different[0]) if len(different) else -1,
        run.fault.name.lower() if run.fault else "",
        tuple(units),
        tuple(differences),
        seconds,
    )


def _totals(timing: Timing, run: CoreRun) -> list[Difference]:
    pairs = {
        "cycles": timing.cycles,
        "read_bytes": timing.load_bytes,
        "written_bytes": timing.store_bytes,
        "fetched_bytes": timing.fetch_bytes,
    }
    found = [Difference("cycles", "", -1, timing.cycles, run.cycles)] if timing.cycles != run.cycles else []
    return found + [
        Difference(f"counter {name}", "", -1, value, run.counters[name])
        for name, value in pairs.items()
        if run.counters[name] != value
    ]


def _instructions(
    unit: Unit, members: npt.NDArray[np.int64], timing: Timing, run: CoreRun
) -> tuple[int, list[Difference]]:
    """Return how many instructions have a time that differs, and the first one of each kind of time."""
    found = []
    wrong = np.zeros(len(members), bool)
    for name, engine, gates in (
        ("dispatch", timing.dispatch[members], run.dispatched[unit]),
        ("start", timing.start[members], run.started[unit]),
        ("end", timing.end[members], run.ended[unit]),
    ):
        seen = np.full(len(members), -1, np.int64)
        count = min(len(gates), len(members))
        seen[:count] = gates[:count]
        late = seen != engine
        wrong |= late
        if len(gates) > len(members):
            found.append(
                Difference(f"instructions that {name}", unit.name.lower(), -1, len(members), len(gates))
            )
        if late.any():
            first = int(np.argmax(late))
            found.append(
                Difference(name, unit.name.lower(), int(members[first]), int(engine[first]), int(seen[first]))
            )
    return int(wrong.sum()), found


def _counters(unit: Unit, timing: Timing, run: CoreRun) -> list[Difference]:
    name = unit.name.lower()
    return [
        Difference(f"counter {cause.name.lower()}", name, -1, engine, gates)
        for cause in Cause
        if (engine := int(timing.causes[unit][cause]))
        != (gates := run.counters[f"{name}_{cause.name.lower()}"])
    ]
