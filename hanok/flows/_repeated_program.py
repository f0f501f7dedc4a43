"""A program that runs many times: its DRAM stays, and its cycles are counted the first time."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from hanok.flows._check import check_outputs
from hanok.flows._execution import Execution, Progress, quiet
from hanok.flows._record import make_record, make_traces
from hanok.flows.compile_and_run import RunResult
from hanok.flows.results import OutputCheck, Seconds
from hanok.isa import Program

Array = npt.NDArray[Any]
Values = dict[str, Array]


class RepeatedProgram:
    """A compiled model and how often it ran; every run takes the same cycles, whatever the values."""

    def __init__(
        self, name: str, program: Program, *, check: bool = True, progress: Progress = quiet
    ) -> None:
        """`check` compares the first run's outputs with ONNX Runtime on the same model."""
        self.name = name
        self.program = program
        self.runs = 0
        self.result: RunResult | None = None
        """Of the first run."""
        self._check = check
        self._progress = progress
        self._execution: Execution | None = None

    def run(self, values: Values) -> Values:
        """Compute the outputs; the first time also the cycles, and the comparison with ONNX Runtime."""
        self.runs += 1
        execution = self._execution
        if execution is None:
            execution = self._execution = Execution(self.program, values, self._progress)
            execution.run()
            outputs = execution.outputs()
            self.result = self._measured(execution, values, outputs)
            return outputs
        execution.load(values)
        execution.run(count_cycles=False)
        return execution.outputs()

    def _measured(self, execution: Execution, values: Values, outputs: Values) -> RunResult:
        program = self.program
        checks: tuple[OutputCheck, ...] | None = None
        if self._check and program.source_model:
            from hanok.graph import run_onnxruntime

            with execution.clock("check"):
                names = [info.name for info in program.outputs]
                checks = check_outputs(program, outputs, run_onnxruntime(program.source_model, values, names))
        seconds = Seconds(**execution.seconds)
        record = make_record(
            program, execution.timed, execution.host_operators, checks, seconds, program.warnings
        )
        return RunResult(outputs, record, make_traces(program, execution.timed, record.cycles))
