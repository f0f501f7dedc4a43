"""A generation as terminal lines and as JSON: its programs, the tokens a second, the energy of each token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hanok.report import text as _format
from hanok.report._tables import plain_text, titled_table
from hanok.report.json_result import as_dictionary, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hanok.flows.generate import Generation, ProgramFigures


def print_generation(generation: Generation, console: Console) -> None:
    """Print what the text cost; the last line gives time to the first token, speed and energy."""
    console.print(_programs(generation))
    for warning in dict.fromkeys(_warnings(generation)):
        console.print(plain_text(f"note: {warning}", "yellow"))
    console.print(plain_text(_summary(generation), "bold"))


def generation_json(generation: Generation) -> str:
    """Return the generation as JSON: ids, text, figures, and the record of every program."""
    content: dict[str, Any] = {
        "prompt_ids": generation.prompt,
        "ids": generation.ids,
        "text": generation.text,
        "stop": generation.stop,
        "first_token_ms": generation.first_token_ms,
        "tokens_per_second": generation.tokens_per_second,
        "joules_per_token": generation.joules_per_token,
        "reading": [_program(figures) for figures in generation.reading],
        "making": [_program(figures) for figures in generation.making],
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _program(figures: ProgramFigures) -> dict[str, Any]:
    record = as_dictionary(figures.result.record)
    return {"kind": figures.kind, "length": figures.length, "runs": figures.runs, "record": record}


def _programs(generation: Generation) -> Table:
    table = titled_table("programs")
    for name in ("program", "sees", "runs", "cycles", "time", "energy", "ONNX Runtime"):
        table.add_column(name, justify="left" if name == "program" else "right")
    for figures in (*generation.reading, *generation.making):
        record = figures.result.record
        table.add_row(
            figures.kind,
            f"{figures.length:,} tokens",
            f"{figures.runs:,}",
            f"{record.cycles:,}",
            _format.milliseconds(record.latency_ms),
            _format.energy(record.energy_mj),
            _agreement(figures),
        )
    return table


def _agreement(figures: ProgramFigures) -> str:
    record = figures.result.record
    if not record.checked:
        return "not compared"
    largest = max((check.max_absolute_error for check in record.outputs), default=0.0)
    return "same bits" if largest == 0 else f"within {_format.significant(largest)}"


def _warnings(generation: Generation) -> list[str]:
    records = [figures.result.record for figures in (*generation.reading, *generation.making)]
    found = [warning for record in records for warning in record.warnings]
    hosts = max((len(record.host_operators) for record in records), default=0)
    if hosts:
        found.append(f"{hosts} operators of each step run on the host; their time is not in the figures")
    return found


def _summary(generation: Generation) -> str:
    first = _format.milliseconds(generation.first_token_ms)
    head = f"{len(generation.ids)} tokens ({generation.stop}); the first after {first}"
    if not generation.steps:
        return f"{head}."
    speed = _format.significant(generation.tokens_per_second)
    energy = _format.energy(1e3 * generation.joules_per_token)
    return f"{head}, then {speed} tokens a second at {energy} each."
