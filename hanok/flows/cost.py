"""What a job costs the chip: its programs, how often each ran, and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.flows._repeated_program import RepeatedProgram
from hanok.flows.compile_and_run import RunResult


@dataclass(frozen=True)
class ProgramUse:
    """How often a program ran, and the result of its first run; its cycles are the same each time."""

    name: str
    runs: int
    result: RunResult

    @property
    def milliseconds(self) -> float:
        """Of all runs on the chip."""
        return self.runs * self.result.record.latency_ms

    @property
    def energy_mj(self) -> float:
        """Of all runs."""
        return self.runs * self.result.energy

    @property
    def dram_bytes(self) -> int:
        """Read and written, of all runs."""
        record = self.result.record
        return self.runs * (record.dram_read_bytes + record.dram_write_bytes)

    @property
    def footprint_bytes(self) -> int:
        """DRAM that the program occupies: its instructions, weights, inputs, outputs and what it spills."""
        return sum(region.size_bytes for region in self.result.record.regions)


@dataclass(frozen=True)
class Cost:
    """Of one job: the chip's share, without the host's."""

    programs: tuple[ProgramUse, ...]

    @property
    def milliseconds(self) -> float:
        """All runs one after another on the chip."""
        return sum(program.milliseconds for program in self.programs)

    @property
    def energy_mj(self) -> float:
        """Millijoules of the NPU and its DRAM."""
        return sum(program.energy_mj for program in self.programs)

    @property
    def dram_bytes(self) -> int:
        """DRAM traffic, read and written."""
        return sum(program.dram_bytes for program in self.programs)

    @property
    def peak_dram_bytes(self) -> int:
        """DRAM occupied while all programs of the job are loaded."""
        return sum(program.footprint_bytes for program in self.programs)


def cost_of(programs: Sequence[RepeatedProgram]) -> Cost:
    """The cost of all runs so far; programs that never ran are left out."""
    return Cost(
        tuple(
            ProgramUse(program.name, program.runs, program.result)
            for program in programs
            if program.result is not None
        )
    )
