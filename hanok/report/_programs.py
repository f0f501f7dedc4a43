"""The table of programs that run many times: what one run takes, and how well it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanok.report import text as _format
from hanok.report._tables import titled_table

if TYPE_CHECKING:
    from rich.table import Table

    from hanok.flows.cost import ProgramUse


def program_table(programs: Sequence[ProgramUse]) -> Table:
    """One row a program; cycles, time and energy are those of one run."""
    table = titled_table("programs")
    for name in ("program", "runs", "cycles", "time", "energy", "ONNX Runtime"):
        table.add_column(name, justify="left" if name == "program" else "right")
    for program in programs:
        record = program.result.record
        table.add_row(
            _format.clean(program.name),
            f"{program.runs:,}",
            f"{record.cycles:,}",
            _format.milliseconds(record.latency_ms),
            _format.energy(record.energy_mj),
            agreement(program),
        )
    return table


def agreement(program: ProgramUse) -> str:
    """How the first run's outputs compare with ONNX Runtime's on the same model."""
    record = program.result.record
    if not record.checked:
        return "not compared"
    if not record.outputs_mismatched:
        return "same bits"
    largest = max(check.max_absolute_error for check in record.outputs)
    steps = [check.max_error_steps for check in record.outputs if check.max_error_steps is not None]
    return (
        f"within {max(steps)} step"
        if len(steps) == len(record.outputs)
        else f"within {_format.significant(largest)}"
    )


def program_notes(programs: Sequence[ProgramUse]) -> list[str]:
    """Warnings of the programs, each once, and that some of their operators ran on the host."""
    records = [program.result.record for program in programs]
    found = [warning for record in records for warning in record.warnings]
    hosts = max((len(record.host_operators) for record in records), default=0)
    if hosts:
        found.append(f"{hosts} operators of each step run on the host; their time is not in the figures")
    return list(dict.fromkeys(found))
