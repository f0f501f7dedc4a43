"""`hanok run` of a language model: the text as it grows, then what each token costs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.labelling import show_notice
from hanok.cli.progress import progress_line
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.flows.generate import Generation
    from hanok.machine import Chip

DEFAULT_TOKENS = 64
MOST_TOKENS = 1 << 20
MAX_TEXT_BYTES = 16 << 20
MOST_TEXTS = 64

PromptOption = Annotated[
    str | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help="Continue this text (language models)."),
]
TokensOption = Annotated[
    int | None,
    typer.Option(
        "--tokens", "-n", min=1, max=MOST_TOKENS, help="Make at most so many tokens.", show_default="64"
    ),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", help="0 takes the likeliest token; more draws more freely.")
]
TopPOption = Annotated[
    float, typer.Option("--top-p", help="Draw among the likeliest tokens that reach this chance together.")
]


@dataclass(frozen=True)
class TextRequest:
    """What to generate, and where to write reports."""

    prompt: str
    tokens: int
    temperature: float
    top_p: float
    seed: int
    calibrate: Path | None
    no_host: bool
    goal_db: float | None
    weight_bits: int
    check: bool
    html: Path | None
    trace: Path | None
    json: Path | None


def run_language(model: Path, chip: Chip, request: TextRequest) -> None:
    """Stream the text to the terminal, say that AI made it, and print the programs, speed and energy."""
    from hanok.cli.console import make_console
    from hanok.flows.generate import open_language_model
    from hanok.flows.labelling import Label
    from hanok.flows.sampling import Sampling
    from hanok.report.language import print_generation
    from hanok.rules.digital_source import GENERATED

    sampling = Sampling(request.temperature, request.top_p, request.seed)
    with progress_line() as progress:
        language = open_language_model(
            model,
            chip,
            texts=read_texts(request.calibrate),
            seed=request.seed,
            no_host=request.no_host,
            goal_db=request.goal_db,
            weight_bits=request.weight_bits,
            check=request.check,
            progress=progress,
        )
        language.prepare(request.prompt, request.tokens)
    generation = language.generate(request.prompt, request.tokens, sampling=sampling, stream=write_text)
    write_text("\n")
    show_notice(Label(GENERATED, f"hanok run, with {model.name}"))
    _write_reports(generation, request, GENERATED.uri)
    print_generation(generation, make_console())


def read_texts(path: Path | None) -> list[str]:
    """The lines of a --calibrate option's text file; none without it."""
    if path is None:
        return []
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise HanokError(f"{path}: {path.stat().st_size} bytes; allowed: at most {MAX_TEXT_BYTES}")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HanokError(f"{path}: no text in UTF-8 that can be read: {error}") from None
    found = [line for line in lines if line.strip()][:MOST_TEXTS]
    if not found:
        raise HanokError(f"{path}: has no text; give sentences to quantise the model with, one a line")
    return found


def write_text(piece: str) -> None:
    """Write a piece of text at once, in UTF-8, without what could steer a terminal."""
    from hanok.report.text import clean

    cleaned = "\n".join(clean(line.replace("\t", " ")) for line in piece.split("\n"))
    sys.stdout.buffer.write(cleaned.encode("utf-8", "replace"))
    sys.stdout.flush()


def _write_reports(generation: Generation, request: TextRequest, source: str) -> None:
    """Reports of the text (JSON), and of the program that made most of it (HTML, trace)."""
    from hanok.report import to_html, to_trace, write_whole
    from hanok.report.language import generation_json

    figures = (*generation.making, *generation.reading)
    result = max(figures, key=lambda program: program.runs).result
    if request.html is not None:
        write_whole(request.html, to_html(result.record, result.traces))
    if request.trace is not None:
        write_whole(request.trace, to_trace(result.record, result.traces))
    if request.json is not None:
        write_whole(request.json, generation_json(generation, source))
