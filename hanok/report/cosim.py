"""A program in gates beside emulator and engine: as terminal tables, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from hanok.flows.cosim import CosimRecord, CosimStage
from hanok.report import text as _format
from hanok.report._tables import plain_text, titled_table
from hanok.report.json_result import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_SHOWN = 12


def print_cosim(record: CosimRecord, console: Console) -> None:
    """Print the comparison; the last line says whether everything is equal."""
    console.print()
    for stage in record.stages:
        console.print(_units(stage))
        for line in _faults(stage):
            console.print(plain_text(line, "red"))
    for warning in record.warnings:
        console.print(plain_text(f"note: {warning}", "yellow"))
    speed = _format.scaled(int(record.cycles_per_second), "cycles/s")
    console.print(plain_text(f"gates: {record.build_seconds:.1f} s to make or find, then {speed}", "dim"))
    console.print(plain_text(verdict(record), "bold green" if record.equal else "bold red"))


def verdict(record: CosimRecord) -> str:
    """Say in one sentence whether the gates agree with the models."""
    if not record.stages:
        return "The program has no part that runs on the NPU; nothing was compared."
    instructions = sum(unit.instructions for stage in record.stages for unit in stage.units)
    if record.equal:
        return (
            f"Gates, emulator and engine agree: every byte of DRAM, and {record.gate_cycles:,} cycles with "
            f"dispatch, start and end of {instructions:,} instructions and every counter."
        )
    wrong = sum(not stage.equal for stage in record.stages)
    return f"Gates and models differ in {wrong} of {len(record.stages)} stages."


def cosim_json(record: CosimRecord) -> str:
    """Return the record as JSON: stable keys, finite numbers, no dates."""
    content = asdict(record)
    content["equal"] = record.equal
    content["gate_cycles"] = record.gate_cycles
    for stage, part in zip(record.stages, content["stages"], strict=True):
        part["equal"] = stage.equal
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _units(stage: CosimStage) -> Table:
    cycles = f"{stage.gate_cycles:,} cycles in gates, {stage.engine_cycles:,} in the engine"
    table = titled_table(f"stage {stage.number}: {cycles}")
    table.add_column("unit")
    for title in ("instructions", "with another time", "busy cycles", "counters that differ"):
        table.add_column(title, justify="right")
    for unit in stage.units:
        figures = (
            unit.instructions,
            unit.different_instructions,
            unit.busy_cycles,
            unit.different_counters,
        )
        table.add_row(unit.unit, *(f"{figure:,}" for figure in figures))
    return table


def _faults(stage: CosimStage) -> list[str]:
    lines = [f"the core stopped: {stage.fault}"] if stage.fault else []
    if stage.different_bytes:
        lines.append(
            f"{stage.different_bytes:,} bytes of DRAM differ, the first at {stage.first_different_byte:,}"
        )
    for one in stage.differences[:_SHOWN]:
        where = f"{one.unit} instruction {one.instruction}" if one.instruction >= 0 else one.unit
        lines.append(f"{one.what} {where}: engine {one.engine:,}, gates {one.gates:,}".replace("  ", " "))
    if len(stage.differences) > _SHOWN:
        lines.append(f"and {len(stage.differences) - _SHOWN} more (--json lists them)")
    return lines
