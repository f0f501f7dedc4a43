"""One execution of a program: stages in order, values in DRAM or on the host, times kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ProgramError
from hanok.flows._accounting import TimedStage
from hanok.flows._tensors import dram_image, read_tensor, write_tensor
from hanok.flows.results import HostOperator
from hanok.graph.oracle import reference_session, run_session
from hanok.isa import Binding, Decoded, HostStage, NpuStage, Program, decode
from hanok.simulator import emulate, simulate

Array = npt.NDArray[Any]
Progress = Callable[[str], None]
"""Told the name of each phase as it begins."""


def quiet(_phase: str) -> None:
    """Progress that nobody watches."""


class Execution:
    """The state of an execution; a value lies in DRAM where it is bound, and on the host where known."""

    def __init__(self, program: Program, inputs: dict[str, Array], progress: Progress = quiet) -> None:
        self.program = program
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.timed: list[TimedStage] = []
        self.host_operators: list[HostOperator] = []
        self.image = dram_image(program)
        self._host_values: dict[str, Array] = {}
        self._bindings: dict[str, list[Binding]] = {}
        for binding in program.bindings:
            self._bindings.setdefault(binding.name, []).append(binding)
        self._decoded: dict[int, Decoded] = {}
        self._sessions: dict[int, Any] = {}
        for constant in program.constant_outputs:
            self._write(constant.name, np.asarray(constant.value))
        self.load(inputs)

    def load(self, inputs: Mapping[str, Array]) -> None:
        """Put the inputs where the program reads them; a run may write over those of the run before."""
        for name, value in inputs.items():
            self._write(name, value)

    def run(self, *, count_cycles: bool = True) -> None:
        """Run every stage; without `count_cycles` only for its values."""
        for number, stage in enumerate(self.program.stages):
            if isinstance(stage, HostStage):
                self._run_host(stage, number)
            else:
                self.run_npu(stage, count_cycles)

    def outputs(self) -> dict[str, Array]:
        """The program's outputs, each in the type that ONNX gives it."""
        return {info.name: self._output(info.name, np.dtype(info.dtype)) for info in self.program.outputs}

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time of the block to `phase`."""
        begin = perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + perf_counter() - begin

    def run_npu(self, stage: NpuStage, count_cycles: bool) -> None:
        """Run a stage of the NPU: its values, and with `count_cycles` its time."""
        chip = self.program.chip
        decoded = self._decoded.get(stage.code_address) or decode(stage.code)
        self._decoded[stage.code_address] = decoded
        self.progress("computing values")
        content = self.image.copy() if count_cycles and chip.core.dma.expand_lanes else None
        with self.clock("emulate"):
            emulate(decoded, chip, self.image)
        if not count_cycles:
            return
        self.progress("counting cycles")
        with self.clock("time"):
            timing = simulate(decoded, chip, code_address=stage.code_address, content=content)
        offset = self.timed[-1].offset + self.timed[-1].timing.cycles if self.timed else 0
        self.timed.append(TimedStage(stage, timing, decoded, offset))

    def _run_host(self, stage: HostStage, number: int) -> None:
        self.progress("running host operators")
        with self.clock("host"):
            session = self._sessions.get(number) or reference_session(stage.model)
            self._sessions[number] = session
            values = {name: self._read(name) for name in stage.inputs}
            begin = perf_counter()
            results = run_session(session, values, list(stage.outputs))
            milliseconds = 1e3 * (perf_counter() - begin)
            for name, value in results.items():
                self._write(name, value)
        self.host_operators += [
            HostOperator(name, kind, number, stage.reason, milliseconds) for name, kind in stage.operators
        ]

    def _write(self, name: str, value: Array) -> None:
        """Keep a value that the host has, and put it into DRAM wherever the NPU reads it."""
        self._host_values[name] = value
        for binding in self._bindings.get(name, ()):
            write_tensor(self.image, binding, value)

    def _read(self, name: str) -> Array:
        """The real value of a tensor: as the host has it, else from DRAM."""
        known = self._host_values.get(name)
        if known is not None and not (known.dtype in (np.int8, np.uint8) and name in self._bindings):
            return known
        return self._read_dram(name, "float32")

    def _output(self, name: str, dtype: np.dtype[Any]) -> Array:
        known = self._host_values.get(name)
        return known if known is not None and known.dtype == dtype else self._read_dram(name, str(dtype))

    def _read_dram(self, name: str, dtype: str) -> Array:
        if name not in self._bindings:
            raise ProgramError(
                f"the program reads '{name}' before anything makes it; compile the model again"
            )
        return read_tensor(self.image, self._bindings[name][0], dtype)
