"""A generation as terminal lines and as JSON: its programs, the tokens a second, the energy of each token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hanok.report import text as _format
from hanok.report._programs import program_notes, program_table
from hanok.report._tables import plain_text
from hanok.report.json_result import as_dictionary, plain

if TYPE_CHECKING:
    from rich.console import Console

    from hanok.flows.generate import Generation, ProgramFigures


def print_generation(generation: Generation, console: Console) -> None:
    """Print what the text cost; the last line gives time to the first token, speed and energy."""
    programs = (*generation.reading, *generation.making)
    console.print(program_table(programs))
    for warning in program_notes(programs):
        console.print(plain_text(f"note: {warning}", "yellow"))
    console.print(plain_text(generation_summary(generation), "bold"))


def generation_json(generation: Generation, digital_source_type: str) -> str:
    """Return the generation as JSON: ids, text, what made it, figures, and the record of every program."""
    content: dict[str, Any] = {
        "prompt_ids": generation.prompt,
        "ids": generation.ids,
        "text": generation.text,
        "digital_source_type": digital_source_type,
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


def generation_summary(generation: Generation) -> str:
    """One sentence: tokens, why they stop, time to the first, speed, energy."""
    first = _format.milliseconds(generation.first_token_ms)
    head = f"{len(generation.ids)} tokens ({generation.stop}); the first after {first}"
    if not generation.steps:
        return f"{head}."
    speed = _format.significant(generation.tokens_per_second)
    energy = _format.energy(1e3 * generation.joules_per_token)
    return f"{head}, then {speed} tokens a second at {energy} each."
