"""`hanok app`: a phone's jobs on the NPU: photo, voice, translation, writing, and all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hanok.cli.labelling import (
    LabelOption,
    SignCertificateOption,
    SignKeyOption,
    TextOutputOption,
    check_text_places,
    label_words,
    make_label,
    show_notice,
    write_labelled_text,
)
from hanok.cli.language import TemperatureOption, TopPOption, write_text
from hanok.cli.options import DEFAULT_CHIP, ChipOption, load_chip
from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption
from hanok.cli.progress import progress_line
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.flows.cost import Cost
    from hanok.flows.labelling import Label
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
    label: LabelOption = "auto",
    sign_key: SignKeyOption = None,
    sign_certificate: SignCertificateOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Edit a photo on the NPU, and mark it as edited by AI."""
    _need_pillow()
    from hanok.flows.apps.photo import check_picture_name, edit_photo, picture_bytes, read_picture
    from hanok.flows.labelling import check_signing, label_picture
    from hanok.report import write_whole
    from hanok.report.text import clean
    from hanok.rules.digital_source import ENHANCED

    check_picture_name(output, transparent=job == "cutout")
    _check_places(output, html, json)
    chosen = make_label(
        label, ENHANCED, _system(f"photo: {job}", model), sign_key, sign_certificate, passphrase_fd
    )
    parent = None if job == "cutout" else picture
    if chosen is not None:
        check_signing(chosen, output.name, parent, job)
    begin, target = perf_counter(), load_chip(chip)
    with progress_line() as progress:
        progress("reading the picture")
        before = read_picture(picture)
        result = edit_photo(before, job, target, model=model, check=not no_check, progress=progress)
        progress("writing the picture")
        content = picture_bytes(output, result.picture)
        if chosen is not None:
            content = label_picture(content, output.name, chosen, job, parent)
        write_whole(output, content)
    asked, given = (f"{array.shape[1]} x {array.shape[0]}" for array in (before, result.picture))
    if html is not None:
        pictures = (result.before, result.picture)
        notice = "" if chosen is None else f"{chosen.source.picture_ko} {chosen.source.picture_en}"
        _write_page(html, f"photo: {job}", (asked, given), result.cost, target, begin, pictures, notice)
    figures = {"job": job, "in": asked, "out": given, "tiles": result.tiles, **_source_figure(chosen)}
    summary = f"{clean(str(output))}: {asked} -> {given} pixels, {result.tiles} tiles"
    _finish([summary, *_label_lines(chosen)], figures, result.cost, json)


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
    _finish(
        [summary], {"seconds": result.seconds, "windows": result.windows, "heard": said}, result.cost, json
    )


def translate(
    text: TextArgument = None,
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
    output: TextOutputOption = None,
    label: LabelOption = "auto",
    sign_key: SignKeyOption = None,
    sign_certificate: SignCertificateOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Translate English of software into Korean."""
    from hanok.flows.apps.translate import Translator
    from hanok.rules.digital_source import GENERATED

    _check_places(html, json)
    chosen = make_label(
        label, GENERATED, _system("translate", model), sign_key, sign_certificate, passphrase_fd
    )
    check_text_places(output, chosen)
    source = _text_of(text)
    begin, target = perf_counter(), load_chip(chip)
    with progress_line() as progress:
        translator = Translator(target, model=model, check=not no_check, progress=progress)
    result = translator.translate(source, stream=write_text)
    write_text("\n")
    show_notice(chosen)
    written = write_labelled_text(output, result.text, chosen)
    if html is not None:
        exchange = (source, result.text)
        _write_page(html, "translate", exchange, result.cost, target, begin, notice=_notice(chosen))
    figures = {"source": source, "text": result.text, "steps": result.steps, "stop": result.stop}
    summary = f"{result.steps} steps ({result.stop})"
    _finish([*written, summary], {**figures, **_source_figure(chosen)}, result.cost, json)


def write(
    text: TextArgument = None,
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1, help="Make at most so many tokens.")] = 64,
    temperature: TemperatureOption = 0.5,
    top_p: TopPOption = 0.9,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="The same seed, the same text.")
    ] = 3,
    chip: ChipOption = DEFAULT_CHIP,
    model: ModelOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    no_check: NoCheckOption = False,
    output: TextOutputOption = None,
    label: LabelOption = "auto",
    sign_key: SignKeyOption = None,
    sign_certificate: SignCertificateOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Continue a Korean text, token by token."""
    from hanok.flows.apps.write import Writer
    from hanok.flows.sampling import Sampling
    from hanok.report.language import generation_summary
    from hanok.rules.digital_source import COMPOSITE, GENERATED

    _check_places(html, json)
    prompt = _text_of(text)
    ours = COMPOSITE if prompt.strip() else GENERATED
    chosen = make_label(label, ours, _system("write", model), sign_key, sign_certificate, passphrase_fd)
    check_text_places(output, chosen)
    begin, target = perf_counter(), load_chip(chip)
    sampling = Sampling(temperature, top_p, seed)
    with progress_line() as progress:
        writer = Writer(target, model=model, check=not no_check, progress=progress)
        writer.prepare(prompt, tokens)
    write_text(prompt.rstrip(" "))
    result = writer.write(prompt, tokens=tokens, sampling=sampling, stream=write_text)
    write_text("\n")
    show_notice(chosen)
    made, whole = result.generation, result.prompt + result.text
    written = write_labelled_text(output, whole, chosen)
    if html is not None:
        _write_page(html, "write", (prompt, whole), result.cost, target, begin, notice=_notice(chosen))
    figures = {
        "prompt": prompt,
        "text": result.text,
        "stop": made.stop,
        "first_token_ms": made.first_token_ms,
        "tokens_per_second": made.tokens_per_second,
        "joules_per_token": made.joules_per_token,
        **_source_figure(chosen),
    }
    _finish([*written, generation_summary(made)], figures, result.cost, json)


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
    from hanok.rules.digital_source import COMPOSITE

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
    typer.echo(f"{COMPOSITE.text_ko} {COMPOSITE.text_en}", err=True)


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
    notice: str = "",
) -> None:
    """Write the page of one job; `exchange` is what came in and what came out."""
    from hanok.flows.apps.day import Job
    from hanok.flows.apps.power import sustained_load
    from hanok.flows.chips import chip_summary
    from hanok.report import write_whole
    from hanok.report.apps import jobs_page

    job = Job(name, *exchange, cost, sustained_load(cost), perf_counter() - begin, pictures)
    verdict = f"{exchange[0]} -> {exchange[1]}" + (f" ({notice})" if notice else "")
    write_whole(path, jobs_page(name, chip_summary(chip), [job], verdict))


def _system(job: str, model: Path | None) -> str:
    """What stands in a mark as the system that made it."""
    return f"hanok app {job}" + (f", with {model.name}" if model is not None else "")


def _notice(label: Label | None) -> str:
    return "" if label is None else f"{label.source.text_ko} {label.source.text_en}"


def _source_figure(label: Label | None) -> dict[str, str]:
    """What the JSON of a job says of AI."""
    return {} if label is None else {"digital_source_type": label.source.uri}


def _label_lines(label: Label | None) -> list[str]:
    return [] if label is None else [label_words(label)]


def _finish(summary: list[str], figures: dict[str, Any], cost: Cost, json: Path | None) -> None:
    """Write the JSON, and print the programs and what the job takes."""
    from hanok.cli.console import make_console
    from hanok.report import write_whole
    from hanok.report.apps import job_json, print_cost

    if json is not None:
        write_whole(json, job_json(figures, cost))
    for line in summary:
        typer.echo(line)
    print_cost(cost, make_console())
