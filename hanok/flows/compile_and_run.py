"""The main flow: a model becomes a verified program; a program becomes outputs, cycles and a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hanok.errors import ProgramError
from hanok.flows._check import check_outputs
from hanok.flows._inputs import complete_inputs
from hanok.flows._record import make_record, make_traces
from hanok.flows._tensors import dram_image, read_tensor, write_tensor
from hanok.flows.results import HostOperator, OutputCheck, RunRecord, RunTraces, Seconds
from hanok.isa import Binding, HostStage, NpuStage, Program, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hanok.flows._accounting import TimedStage
    from hanok.machine import Chip

Array = npt.NDArray[Any]
Calibration = Mapping[str, Array] | Iterable[Mapping[str, Array]]
Progress = Callable[[str], None]
"""Told the name of each phase as it begins."""


@dataclass(frozen=True)
class RunResult:
    """What a run gave: the outputs, the record that reports render, and the traces for its drawings."""

    outputs: dict[str, Array]
    record: RunRecord
    traces: RunTraces

    @property
    def cycles(self) -> int:
        """Cycles of the NPU."""
        return self.record.cycles

    @property
    def energy(self) -> float:
        """Millijoules of the NPU and its DRAM."""
        return self.record.energy_mj

    @property
    def timeline(self) -> Any:
        """When every instruction ran."""
        return self.traces.timeline


def quiet(_phase: str) -> None:
    """Progress that nobody watches."""


def compile_model(
    source: str | Path | bytes,
    chip: Chip,
    *,
    calibration: Calibration | None = None,
    no_host: bool = False,
    seed: int = 0,
    progress: Progress = quiet,
) -> Program:
    """Compile an ONNX model for `chip`; a float model is quantised first.

    Raises HanokError subclasses for a model that cannot be read, run or fitted; with `no_host` also where
    the NPU lacks an operator. The compiler verifies the program.
    """
    from hanok.compiler import compile_graph
    from hanok.graph import import_graph, load_model
    from hanok.graph.quantise import is_quantised, quantise_model

    progress("reading the model")
    model = load_model(source)
    warnings: tuple[str, ...] = ()
    notes: dict[str, str] = {"quantised by": "the model's own quantiser"}
    if not is_quantised(model):
        progress("quantising")
        quantised = quantise_model(model, calibration, seed=seed)
        model, warnings = quantised.model, quantised.record.warnings
        notes = _quantisation_notes(quantised.record, seed)
    progress("compiling")
    content = model.SerializeToString(deterministic=True)
    program = compile_graph(
        import_graph(model), chip, no_host=no_host, source_model=content, warnings=warnings
    )
    name = program.name if isinstance(source, bytes) else Path(source).stem
    return replace(program, name=name, metadata={**program.metadata, **notes})


def _quantisation_notes(record: Any, seed: int) -> dict[str, str]:
    notes = {"quantised by": "ONNX Runtime's static quantiser through hanok"}
    notes["calibration"] = (
        f"{record.samples} random samples, seed {seed}" if record.random_data else f"{record.samples} samples"
    )
    if record.snr_plain_db is not None:
        notes["signal to noise"] = f"{record.snr_plain_db:.1f} dB as quantised"
        if record.repair_used:
            notes["signal to noise"] += f", {record.snr_repaired_db:.1f} dB after weight repair"
    if record.kept_float:
        notes["kept in float"] = ", ".join(f"{name} ({reason})" for name, reason in record.kept_float.items())
    return notes


def load_verified(path: str | Path) -> Program:
    """Load a .hanok file and prove that it keeps the rules of the machine."""
    from hanok.compiler.verify import verify_program
    from hanok.isa import load_program

    program = load_program(path)
    verify_program(program)
    return program


@dataclass
class _Run:
    """The state of a run between stages."""

    program: Program
    image: npt.NDArray[np.uint8]
    host_values: dict[str, Array]
    seconds: dict[str, float] = field(default_factory=dict)
    timed: list[TimedStage] = field(default_factory=list)
    host_operators: list[HostOperator] = field(default_factory=list)
    bindings: dict[str, list[Binding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for binding in self.program.bindings:
            self.bindings.setdefault(binding.name, []).append(binding)

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time of the block to `phase`."""
        begin = perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + perf_counter() - begin

    def read(self, name: str) -> Array:
        """The real value of a tensor: as the host has it, else from DRAM."""
        known = self.host_values.get(name)
        if known is not None and not (known.dtype in (np.int8, np.uint8) and name in self.bindings):
            return known
        return self.read_dram(name, "float32")

    def read_dram(self, name: str, dtype: str) -> Array:
        """The value of a tensor that lies in DRAM."""
        if name not in self.bindings:
            raise ProgramError(
                f"the program reads '{name}' before anything makes it; compile the model again"
            )
        return read_tensor(self.image, self.bindings[name][0], dtype)

    def write(self, name: str, value: Array) -> None:
        """Keep a value that the host has, and put it into DRAM wherever the NPU reads it."""
        self.host_values[name] = value
        for binding in self.bindings.get(name, ()):
            write_tensor(self.image, binding, value)


def run_program(
    program: Program,
    inputs: Mapping[str, Array] | None = None,
    *,
    check: bool = True,
    seed: int = 0,
    compile_seconds: float = 0.0,
    progress: Progress = quiet,
) -> RunResult:
    """Run a verified program: values from the emulator, cycles from the engine, then the check.

    Missing inputs are seeded random data, with a warning in the record. `check` compares every output with
    ONNX Runtime on the quantised model.
    """
    values, input_warnings = complete_inputs(program, inputs or {}, seed)
    state = _Run(program, dram_image(program), {})
    for constant in program.constant_outputs:
        state.write(constant.name, np.asarray(constant.value))
    for name, value in values.items():
        state.write(name, value)
    for number, stage in enumerate(program.stages):
        if isinstance(stage, HostStage):
            _run_host(state, stage, number, progress)
        else:
            _run_npu(state, stage, progress)
    outputs = {info.name: _output(state, info.name, info.dtype) for info in program.outputs}
    checks, check_warnings = _check(state, values, outputs, check, progress)
    seconds = Seconds(compile=compile_seconds, **state.seconds)
    warnings = (*program.warnings, *input_warnings, *check_warnings)
    record = make_record(program, state.timed, state.host_operators, checks, seconds, warnings)
    return RunResult(outputs, record, make_traces(program, state.timed, record.cycles))


def _output(state: _Run, name: str, dtype: str) -> Array:
    """An output in the type that ONNX gives it."""
    known = state.host_values.get(name)
    if known is not None and known.dtype == np.dtype(dtype):
        return known
    return state.read_dram(name, dtype)


def _run_npu(state: _Run, stage: NpuStage, progress: Progress) -> None:
    from hanok.flows._accounting import TimedStage
    from hanok.simulator.emulator import emulate
    from hanok.simulator.engine import simulate

    chip = state.program.chip
    decoded = decode(stage.code)
    progress("computing values")
    with state.clock("emulate"):
        emulate(decoded, chip, state.image)
    progress("counting cycles")
    with state.clock("time"):
        timing = simulate(decoded, chip, code_address=stage.code_address)
    offset = state.timed[-1].offset + state.timed[-1].timing.cycles if state.timed else 0
    state.timed.append(TimedStage(stage, timing, decoded, offset))


def _run_host(state: _Run, stage: HostStage, number: int, progress: Progress) -> None:
    from hanok.graph.oracle import reference_session, run_session

    progress("running host operators")
    begin = perf_counter()
    session = reference_session(stage.model)
    values = {name: state.read(name) for name in stage.inputs}
    ready = perf_counter()
    results = run_session(session, values, list(stage.outputs))
    done = perf_counter()
    for name, value in results.items():
        state.write(name, value)
    state.seconds["host"] = state.seconds.get("host", 0.0) + perf_counter() - begin
    state.host_operators += [
        HostOperator(name, onnx_type, number, stage.reason, 1e3 * (done - ready))
        for name, onnx_type in stage.operators
    ]


def _check(
    state: _Run, values: dict[str, Array], outputs: dict[str, Array], wanted: bool, progress: Progress
) -> tuple[tuple[OutputCheck, ...] | None, tuple[str, ...]]:
    from hanok.graph.oracle import run_onnxruntime

    if not wanted:
        return None, ()
    if not state.program.source_model:
        return None, ("not checked: the program does not carry its model",)
    progress("comparing with ONNX Runtime")
    with state.clock("check"):
        expected = run_onnxruntime(
            state.program.source_model, values, [info.name for info in state.program.outputs]
        )
        return check_outputs(state.program, outputs, expected), ()
