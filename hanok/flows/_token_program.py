"""A program that runs once for every token: its DRAM stays, and its cycles are counted the first time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows._check import check_outputs
from hanok.flows._execution import Execution, Progress
from hanok.flows._record import make_record, make_traces
from hanok.flows.compile_and_run import RunResult
from hanok.flows.results import OutputCheck, Seconds
from hanok.isa import Program

Array = npt.NDArray[Any]
Values = dict[str, Array]
SMALLEST_BUCKET = 16


def bucket_of(length: int, most: int) -> int:
    """The power of two that holds `length` tokens, at least SMALLEST_BUCKET and at most `most`."""
    return min(max(SMALLEST_BUCKET, 1 << (length - 1).bit_length()), most)


class TokenProgram:
    """One compiled model of a generation; `length` is how many tokens it can see."""

    def __init__(self, kind: str, length: int, program: Program, *, check: bool, progress: Progress) -> None:
        self.kind = kind
        self.length = length
        self.program = program
        self.runs = 0
        self.result: RunResult | None = None
        """Of the first run; the cycles of all runs are the same."""
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


class Cache:
    """Keys and values of the tokens so far, on the host: for every layer an array of places by position."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], axis: int) -> None:
        """`shapes`: of one place of each cache, whose length along `axis` is 1."""
        self.axis = axis
        self.filled = 0
        self._arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def view(self, places: int) -> Values:
        """The caches with exactly `places` places; those that are not filled hold zeros."""
        for name, array in self._arrays.items():
            missing = places - array.shape[self.axis]
            if missing > 0:
                widths = [(0, missing if axis == self.axis else 0) for axis in range(array.ndim)]
                self._arrays[name] = np.pad(array, widths)
        return {name: self._cut(array, 0, places) for name, array in self._arrays.items()}

    def append(self, rows: Mapping[str, Array]) -> None:
        """Put new rows behind the filled places."""
        count = next(iter(rows.values())).shape[self.axis]
        self.view(self.filled + count)
        for name, new in rows.items():
            self._cut(self._arrays[name], self.filled, self.filled + count)[...] = new
        self.filled += count

    def _cut(self, array: Array, start: int, end: int) -> Array:
        places = [slice(None)] * array.ndim
        places[self.axis] = slice(start, end)
        return array[tuple(places)]


Compile = Callable[[str, int, bytes, list[Values]], TokenProgram]
"""Compiles a model with calibration samples; told its kind and how many tokens it sees."""
