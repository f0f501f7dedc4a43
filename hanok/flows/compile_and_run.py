"""The main flow: a model becomes a verified program; a program becomes outputs, cycles and a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hanok.flows._bit_errors import check_rate_of, run_damaged
from hanok.flows._check import check_outputs
from hanok.flows._execution import Execution, Progress, quiet
from hanok.flows._inputs import complete_inputs
from hanok.flows._record import make_record, make_traces
from hanok.flows.arrays import InputError
from hanok.flows.results import BitErrors, OutputCheck, RunRecord, RunTraces, Seconds
from hanok.isa import Program

if TYPE_CHECKING:
    from hanok.machine import Chip

Array = npt.NDArray[Any]
Calibration = Mapping[str, Array] | Iterable[Mapping[str, Array]]


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


def compile_model(
    source: str | Path | bytes,
    chip: Chip,
    *,
    calibration: Calibration | None = None,
    no_host: bool = False,
    seed: int = 0,
    goal_db: float | None = None,
    weight_bits: int = 8,
    progress: Progress = quiet,
) -> Program:
    """Compile an ONNX model for `chip`; a float model is quantised first.

    `goal_db` is how many dB a float transformer's worst output is to be above its error on the calibration
    data: operands are split in two parts until it is (hanok.graph.quantise; 32 by default). With
    `weight_bits` 4 its constant matrices have four bits a weight, with a scale for every 32 of a column.
    Raises HanokError subclasses for a model that cannot be read, run or fitted; with `no_host` also where
    the NPU lacks an operator. The compiler verifies the program.
    """
    from hanok.compiler import compile_graph
    from hanok.graph import import_graph, load_model
    from hanok.graph.quantise import is_quantised, quantise_model
    from hanok.simulator import simulate

    progress("reading the model")
    model = load_model(source)
    warnings: tuple[str, ...] = ()
    notes: dict[str, str] = {"quantised by": "the model's own quantiser"}
    if not is_quantised(model):
        progress("quantising")
        quantised = quantise_model(
            model, _named(calibration, model), seed=seed, goal_db=goal_db, weight_bits=weight_bits
        )
        model, warnings = quantised.model, quantised.record.warnings
        notes = _quantisation_notes(quantised.record, seed)
    else:
        unused = {"the calibration data was": calibration is not None, "weight bits were": weight_bits != 8}
        warnings = tuple(
            f"the model is quantised already: {what} not used" for what, given in unused.items() if given
        )
    progress("compiling")
    content = model.SerializeToString(deterministic=True)
    program = compile_graph(
        import_graph(model),
        chip,
        no_host=no_host,
        measure=lambda code: simulate(code, chip),
        source_model=content,
        warnings=warnings,
    )
    name = program.name if isinstance(source, bytes) else Path(source).stem
    return replace(program, name=name, metadata={**program.metadata, **notes})


def _named(calibration: Calibration | None, model: Any) -> Calibration | None:
    """Give the array of a lone .npy file, whose name is '', to the model's only input."""
    if not isinstance(calibration, Mapping) or list(calibration) != [""]:
        return calibration
    constants = {constant.name for constant in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in constants]
    if len(names) != 1:
        raise InputError(f"calibration data: which input? save an .npz with arrays named: {', '.join(names)}")
    return {names[0]: calibration[""]}


def _quantisation_notes(record: Any, seed: int) -> dict[str, str]:
    notes = {"quantised by": "ONNX Runtime's static quantiser through hanok"}
    notes["calibration"] = (
        f"{record.samples} random samples, seed {seed}" if record.random_data else f"{record.samples} samples"
    )
    if record.snr_plain_db is not None and isfinite(record.snr_plain_db):
        notes["signal to noise"] = f"{record.snr_plain_db:.1f} dB as quantised"
        parts = record.transformer.two_parts if record.transformer is not None else ()
        if record.repair_used or parts:
            notes["signal to noise"] += f", {record.snr_repaired_db:.1f} dB after weight repair"
        if parts:
            notes["signal to noise"] += f" and with {len(parts)} operands in two parts"
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


def run_program(
    program: Program,
    inputs: Mapping[str, Array] | None = None,
    *,
    check: bool = True,
    seed: int = 0,
    compile_seconds: float = 0.0,
    bit_errors: float | None = None,
    progress: Progress = quiet,
) -> RunResult:
    """Run a verified program: values from the emulator, cycles from the engine, then the check.

    Missing inputs are seeded random data, with a warning in the record. `check` compares every output with
    ONNX Runtime on the quantised model. With `bit_errors` (the share of wrong cells) the outputs are those of
    a second run, whose constants and inputs have wrong bits in DRAM; see `hanok.flows._bit_errors`.
    """
    if bit_errors is not None:
        check_rate_of(program, bit_errors)
    values, input_warnings = complete_inputs(program, inputs or {}, seed)
    execution = Execution(program, values, progress)
    execution.run()
    outputs, errors = execution.outputs(), None
    if bit_errors is not None:
        with execution.clock("emulate"):
            outputs, errors = run_damaged(program, values, outputs, bit_errors, seed, progress)
    checks, check_warnings = _check(execution, values, outputs, check)
    seconds = Seconds(compile=compile_seconds, **execution.seconds)
    warnings = (*program.warnings, *input_warnings, *check_warnings, *_warnings(errors))
    record = make_record(program, execution.timed, execution.host_operators, checks, seconds, warnings)
    record = replace(record, bit_errors=errors)
    return RunResult(outputs, record, make_traces(program, execution.timed, record.cycles))


def _warnings(errors: BitErrors | None) -> tuple[str, ...]:
    if errors is None or not errors.detected:
        return ()
    return (
        f"{errors.detected:,} bursts were reported as uncorrectable and used as they were read; a real host "
        "would stop, or load them again",
    )


def compute_outputs(program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Compute the outputs of a verified program without counting cycles; every input must be given."""
    values, _ = complete_inputs(program, inputs, 0)
    execution = Execution(program, values)
    execution.run(count_cycles=False)
    return execution.outputs()


def _check(
    execution: Execution, values: dict[str, Array], outputs: dict[str, Array], wanted: bool
) -> tuple[tuple[OutputCheck, ...] | None, tuple[str, ...]]:
    from hanok.graph import run_onnxruntime

    program = execution.program
    if not wanted:
        return None, ()
    if not program.source_model:
        return None, ("not checked: the program does not carry its model",)
    execution.progress("comparing with ONNX Runtime")
    with execution.clock("check"):
        names = [info.name for info in program.outputs]
        return check_outputs(program, outputs, run_onnxruntime(program.source_model, values, names)), ()
