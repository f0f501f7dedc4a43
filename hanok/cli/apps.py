"""`hanok app`: a phone's jobs on the NPU: photo, voice, translation, writing, and all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hanok.cli.language import TemperatureOption, TopPOption, write_text
from hanok.cli.options import DEFAULT_CHIP, ChipOption, load_chip
from hanok.cli.progress import progress_line
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.flows.cost import Cost
    from hanok.machine import Chip

HELP = """Do the jobs of a phone without the cloud: edit photos, recognise voice, translate, write.

The small networks that ship with hanok show the whole path; --model puts another of the same shape in their
place.
"""
_MAX_TEXT_BYTES = 1 << 20
_STANDARD_INPUT = "-"

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", metavar="PATH", help="Another network than the one that ships."),
]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
NoCheckOption = Annotated[bool, typer.Option("--no-check", help="Do not compare with ONNX Runtime.")]
TextArgument = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="The text; without it, UTF-8 from standard input.")
]


def photo(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A JPEG, PNG, WebP ... of any size.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The new picture: .png or .jpg."),
    ],
    job: Annotated[
        Literal["denoise", "upscale", "cutout"],
        typer.Option("--job", "-j", help="Take noise away, double both sides, or cut the subject out."),
    ] = "denoise",
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
) -> None:
    """Edit a photo on the NPU."""
    _need_pillow()
    from hanok.flows.apps.photo import check_picture_name, edit_photo, picture_bytes, read_picture
    from hanok.report import write_whole

    check_picture_name(output, transparent=job == "cutout")
    _check_places(output, html, json)
    begin, target = perf_counter(), load_chip(chip)
    with progress_line() as progress:
        progress("reading the picture")
        before = read_picture(picture)
        result = edit_photo(before, job, target, model=model, check=not no_check, progress=progress)
        progress("writing the picture")
        write_whole(output, picture_bytes(output, result.picture))
    asked, given = (f"{array.shape[1]} x {array.shape[0]}" for array in (before, result.picture))
    if html is not None:
        pictures = (result.before, result.picture)
        _write_page(html, f"photo: {job}", (asked, given), result.cost, target, begin, pictures)
    figures = {"job": job, "in": asked, "out": given, "tiles": result.tiles}
    _finish(f"{output}: {asked} -> {given} pixels, {result.tiles} tiles", figures, result.cost, json)


def voice(
    clip: Annotated[
        str,
        typer.Argument(metavar="WAV|-", help="A WAV file; - reads one from standard input as it comes."),
    ],
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
) -> None:
    """Hear Korean commands in a WAV file or in what a microphone records.

    arecord -q -f S16_LE -r 16000 -t wav | hanok app voice -
    """
    from hanok.flows.apps.voice import VoiceListener, read_wav, stream_wav

    _check_places(html, json)
    begin, target = perf_counter(), load_chip(chip)
    with progress_line() as progress:
        sound = None if clip == _STANDARD_INPUT else read_wav(Path(clip))
        listener = VoiceListener(target, model=model, check=not no_check, progress=progress)
        if sound is not None:
            listener.feed(sound)
    told = 0
    if sound is None:
        for block in stream_wav(sys.stdin.buffer, 0.25):
            for heard in listener.feed(block):
                _print_heard(heard)
                told += 1
    result = listener.finish()
    words = result.heard
    for heard in words[told:]:
        _print_heard(heard)
    if not words:
        typer.echo("no word")
    said = [
        {"seconds": each.start_seconds, "word": each.word, "confidence": each.confidence} for each in words
    ]
    if html is not None:
        given = ", ".join(each.word or "unknown" for each in words) or "no word"
        _write_page(html, "voice", (f"{result.seconds:.1f} s of sound", given), result.cost, target, begin)
    summary = f"{result.seconds:.1f} s of sound in {result.windows} windows"
    _finish(summary, {"seconds": result.seconds, "windows": result.windows, "heard": said}, result.cost, json)


def translate(
    text: TextArgument = None,
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
) -> None:
    """Translate English of software into Korean."""
    from hanok.flows.apps.translate import Translator

    _check_places(html, json)
    source = _text_of(text)
    begin, target = perf_counter(), load_chip(chip)
    with progress_line() as progress:
        translator = Translator(target, model=model, check=not no_check, progress=progress)
    result = translator.translate(source, stream=write_text)
    write_text("\n")
    if html is not None:
        _write_page(html, "translate", (source, result.text), result.cost, target, begin)
    figures = {"source": source, "text": result.text, "steps": result.steps, "stop": result.stop}
    _finish(f"{result.steps} steps ({result.stop})", figures, result.cost, json)


def write(
    text: TextArgument = None,
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1, help="Make at most so many tokens.")] = 64,
    temperature: TemperatureOption = 0.5,
    top_p: TopPOption = 0.9,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="The same seed, the same text.")
    ] = 1,
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
) -> None:
    """Continue a Korean text, token by token."""
    from hanok.flows.apps.write import Writer
    from hanok.flows.sampling import Sampling
    from hanok.report.language import generation_summary

    _check_places(html, json)
    prompt = _text_of(text)
    begin, target = perf_counter(), load_chip(chip)
    sampling = Sampling(temperature, top_p, seed)
    with progress_line() as progress:
        writer = Writer(target, model=model, check=not no_check, progress=progress)
        writer.prepare(prompt, tokens)
    write_text(prompt.rstrip(" "))
    result = writer.write(prompt, tokens=tokens, sampling=sampling, stream=write_text)
    write_text("\n")
    made = result.generation
    if html is not None:
        _write_page(html, "write", (prompt, prompt + result.text), result.cost, target, begin)
    figures = {
        "prompt": prompt,
        "text": result.text,
        "stop": made.stop,
        "first_token_ms": made.first_token_ms,
        "tokens_per_second": made.tokens_per_second,
        "joules_per_token": made.joules_per_token,
    }
    _finish(generation_summary(made), figures, result.cost, json)


def all_jobs(
    chip: ChipOption = DEFAULT_CHIP,
    power_cap: Annotated[
        float | None,
        typer.Option("--power-cap", metavar="W", help="Mean power of NPU and DRAM under a sustained load."),
    ] = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
) -> None:
    """Do every job once on what ships with hanok: results, time, energy, and what left the device."""
    _need_pillow()
    from hanok.cli.console import make_console
    from hanok.flows.apps.day import run_day
    from hanok.report import write_whole
    from hanok.report.apps import day_json, departure_words, jobs_page, print_day

    _check_places(html, json)
    with progress_line() as progress:
        day = run_day(load_chip(chip), cap_watts=power_cap, check=not no_check, progress=progress)
    if html is not None:
        write_whole(
            html, jobs_page("A phone's jobs without the cloud", day.chip, day.jobs, departure_words(day))
        )
    if json is not None:
        write_whole(json, day_json(day))
    print_day(day, make_console())


def _check_places(*paths: Path | None) -> None:
    """Refuse, before any work, places where an output cannot be written."""
    from hanok.report import check_writable

    for path in paths:
        if path is not None:
            check_writable(path)


def _need_pillow() -> None:
    """Say what is missing before anything is imported that needs it."""
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise HanokError("pictures need Pillow; install it with: pip install 'hanok[apps]'")


def _print_heard(heard: Any) -> None:
    typer.echo(f"{heard.start_seconds:7.2f} s  {heard.word or 'unknown'}  {100 * heard.confidence:.0f} %")


def _text_of(argument: str | None) -> str:
    """The text of the argument, or of standard input."""
    if argument is not None:
        return argument
    data = sys.stdin.buffer.read(_MAX_TEXT_BYTES + 1)
    if len(data) > _MAX_TEXT_BYTES:
        raise HanokError(f"standard input: more than {_MAX_TEXT_BYTES} bytes of text; give it in parts")
    try:
        return data.decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise HanokError(f"standard input: not UTF-8 at byte {error.start}; convert it first") from None


def _write_page(
    path: Path,
    name: str,
    exchange: tuple[str, str],
    cost: Cost,
    chip: Chip,
    begin: float,
    pictures: tuple[Any, Any] | None = None,
) -> None:
    """Write the page of one job; `exchange` is what came in and what came out."""
    from hanok.flows.apps.day import Job
    from hanok.flows.apps.power import sustained_load
    from hanok.flows.chips import chip_summary
    from hanok.report import write_whole
    from hanok.report.apps import jobs_page

    job = Job(name, *exchange, cost, sustained_load(cost), perf_counter() - begin, pictures)
    verdict = f"{exchange[0]} -> {exchange[1]}"
    write_whole(path, jobs_page(name, chip_summary(chip), [job], verdict))


def _finish(summary: str, figures: dict[str, Any], cost: Cost, json: Path | None) -> None:
    """Write the JSON, and print the programs and what the job takes."""
    from hanok.cli.console import make_console
    from hanok.report import write_whole
    from hanok.report.apps import job_json, print_cost

    if json is not None:
        write_whole(json, job_json(figures, cost))
    typer.echo(summary)
    print_cost(cost, make_console())
