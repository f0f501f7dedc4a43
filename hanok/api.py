"""The Python interface: compile a model for a chip, run it, look at the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hanok.errors import HanokError
from hanok.flows.compile_and_run import Calibration, RunResult, compile_model, load_verified, run_program
from hanok.flows.results import Contribution, RunRecord, Timeline
from hanok.isa import Program
from hanok.machine import Chip
from hanok.report import OutputError, to_html, to_json, to_trace, write_whole
from hanok.report.listing import listing

if TYPE_CHECKING:
    from hanok.flows.generate import LanguageModel

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Result:
    """One run: its outputs and figures, and reports on request."""

    run: RunResult

    @property
    def outputs(self) -> dict[str, Array]:
        """The model's outputs by name."""
        return self.run.outputs

    @property
    def record(self) -> RunRecord:
        """Every figure of the run."""
        return self.run.record

    @property
    def cycles(self) -> int:
        """Cycles of the NPU."""
        return self.run.record.cycles

    @property
    def energy(self) -> float:
        """Millijoules of the NPU and its DRAM; `energy_parts` splits them."""
        return self.run.record.energy_mj

    @property
    def energy_parts(self) -> tuple[Contribution, ...]:
        """The energy by part, in millijoules."""
        return self.run.record.energy

    @property
    def timeline(self) -> Timeline:
        """When every instruction ran, as arrays."""
        return self.run.traces.timeline

    def report(self, path: str | Path) -> Path:
        """Write a report; the name's ending says which: .html, .json, or .pftrace for ui.perfetto.dev."""
        target = Path(path)
        record, traces = self.run.record, self.run.traces
        match target.suffix:
            case ".html":
                return write_whole(target, to_html(record, traces))
            case ".json":
                return write_whole(target, to_json(record))
            case ".pftrace":
                return write_whole(target, to_trace(record, traces))
        raise OutputError(f"{target}: cannot tell what to write; allowed endings: .html, .json, .pftrace")


@dataclass(frozen=True)
class CompiledModel:
    """A verified program, ready to run on its chip."""

    program: Program
    compile_seconds: float = 0.0

    def run(self, inputs: Mapping[str, Array] | None = None, *, check: bool = True, seed: int = 0) -> Result:
        """Run once; inputs that are missing are seeded random data (the record warns of it)."""
        arrays = {name: np.asarray(value) for name, value in (inputs or {}).items()}
        return Result(
            run_program(self.program, arrays, check=check, seed=seed, compile_seconds=self.compile_seconds)
        )

    def save(self, path: str | Path) -> Path:
        """Write a .hanok file."""
        from hanok.isa import save_program

        save_program(self.program, path)
        return Path(path)

    def inspect(self, *, layer: str = "", limit: int = 0) -> str:
        """Return summary, memory map and assembly as text; see `hanok inspect`."""
        return "\n".join(listing(self.program, layer=layer, limit=limit)) + "\n"


def compile(
    model: str | Path | bytes,
    chip: Chip | str | Path = "edge",
    *,
    calibration: Calibration | None = None,
    no_host: bool = False,
    seed: int = 0,
    goal_db: float | None = None,
    weight_bits: int = 8,
) -> CompiledModel:
    """Compile an ONNX model (path or bytes) for a chip (record, preset name or TOML path).

    `goal_db`: of a float transformer, how many dB its worst output is to be above its error; it costs cycles.
    `weight_bits`: 8, or 4 for the constant matrices of a float model.
    """
    target = chip if isinstance(chip, Chip) else Chip.load(chip)
    begin = perf_counter()
    program = compile_model(
        model,
        target,
        calibration=calibration,
        no_host=no_host,
        seed=seed,
        goal_db=goal_db,
        weight_bits=weight_bits,
    )
    return CompiledModel(program, perf_counter() - begin)


def load(path: str | Path) -> CompiledModel:
    """Load a .hanok file, and prove that it keeps the rules of the machine."""
    return CompiledModel(load_verified(path))


def language_model(
    path: str | Path,
    chip: Chip | str | Path = "edge",
    *,
    texts: Sequence[str] = (),
    no_host: bool = False,
    check: bool = True,
    seed: int = 0,
    goal_db: float | None = None,
    weight_bits: int = 8,
) -> LanguageModel:
    """Open a language model's folder, or an ONNX decoder, for a chip; its `generate` writes text.

    `texts` calibrate it, `goal_db` and `weight_bits` are those of `compile`; see docs/language-models.md.
    """
    from hanok.flows.generate import open_language_model

    target = chip if isinstance(chip, Chip) else Chip.load(chip)
    return open_language_model(
        path,
        target,
        texts=texts,
        no_host=no_host,
        check=check,
        seed=seed,
        goal_db=goal_db,
        weight_bits=weight_bits,
    )


__all__ = ["Chip", "CompiledModel", "HanokError", "Result", "compile", "language_model", "load"]
