"""`hanok rules`: where a chip or a system stands under rules that are data."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hanok.cli.options import DEFAULT_CHIP, ChipOption, load_chip
from hanok.cli.progress import progress_line
from hanok.errors import HanokError

if TYPE_CHECKING:
    from fractions import Fraction

    from hanok.rules.assess import Assessment
    from hanok.rules.evidence import Checklist
    from hanok.rules.pack import Pack
    from hanok.rules.subject import Given

HELP = """Where a chip stands under export control, and a system under the AI Basic Act.

Rules are data, as of a day, with citations. Results are yes, no or unknown with what is missing; they are not
legal advice.
"""
MAKER = "hanok rules"

DateOption = Annotated[
    str,
    typer.Option(
        "--date",
        metavar="YYYY-MM-DD",
        help="Judge for this day.",
        show_default="the day as of which each pack was written",
    ),
]
PackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pack", metavar="NAME|FILE", help="Only these packs, of hanok or your own; may be repeated."
    ),
]
LanguageOption = Annotated[
    Literal["en", "ko"], typer.Option("--language", "-l", help="Of texts and reports.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page.")]
FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Write the evidence file: page, JSON and texts."),
]


def export(
    chips: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHIP",
            help="A preset, a chip file, or a datasheet (TOML with kind = 'logic' or 'memory').",
            show_default="every preset",
        ),
    ] = None,
    product: Annotated[
        Path | None,
        typer.Option("--product", metavar="FILE", help="What is declared about the product (TOML)."),
    ] = None,
    die_mm2: Annotated[
        str, typer.Option("--die-mm2", metavar="MM2", help="Area of the chip's die.", show_default=False)
    ] = "",
    transistors: Annotated[
        Literal["planar", "non-planar"] | None,
        typer.Option("--transistors", help="Of its process.", show_default="taken from the node"),
    ] = None,
    data_centre: Annotated[
        bool | None,
        typer.Option("--data-centre/--no-data-centre", help="Designed or marketed for data centres."),
    ] = None,
    exporter: Annotated[
        Literal["foundry", "osat", "designer", "other"] | None,
        typer.Option("--exporter", help="Who exports.", show_default=False),
    ] = None,
    destination: Annotated[
        str,
        typer.Option(
            "--destination", metavar="CC", help="Country, two letters (ISO 3166).", show_default=False
        ),
    ] = "",
    pack: PackOption = None,
    day: DateOption = "",
    language: LanguageOption = "en",
    full: Annotated[bool, typer.Option("--full", help="Every rule of every chip, also for several.")] = False,
    json: JsonOption = None,
    html: HtmlOption = None,
    output: FolderOption = None,
) -> None:
    """Judge chips under export control and technology-protection law."""
    _check_places(json, html, output)
    from hanok.machine import preset_names
    from hanok.rules.product import NO_PRODUCT, read_product
    from hanok.rules.subject import EXPORT_PACKS, assess_export, read_subject

    packs = _load_packs(pack or list(EXPORT_PACKS))
    given = _given(die_mm2, transistors, data_centre, exporter, destination)
    declared = NO_PRODUCT if product is None else read_product(product)
    when = _read_date(day)
    names = chips or list(preset_names())
    pairs = [assess_export(read_subject(name, given), packs, declared, given, when) for name in names]
    inputs = [Path(name) for name in names if name not in preset_names()]
    _write_export(pairs, language, json, html, output, [*inputs, *([product] if product else [])])
    from hanok.cli.console import make_console
    from hanok.report.rules_terminal import print_assessment, print_summary

    if len(pairs) > 1 and not full:
        print_summary([assessment for assessment, _ in pairs], make_console(), language)
        return
    for assessment, lists in pairs:
        print_assessment(assessment, lists, make_console(), language)


def ai_act(
    system: Annotated[
        Path,
        typer.Argument(metavar="SYSTEM", help="The system: facts, training runs, models, evidence (TOML)."),
    ],
    pack: PackOption = None,
    day: DateOption = "",
    language: LanguageOption = "ko",
    json: JsonOption = None,
    html: HtmlOption = None,
    output: FolderOption = None,
) -> None:
    """Say what the AI Basic Act asks of a system, and make the evidence that software can make."""
    _check_places(json, html, output)
    from hanok.cli.console import make_console
    from hanok.report import write_whole
    from hanok.report.folder import write_folder
    from hanok.report.rules_system import print_system, system_files, system_json, system_page
    from hanok.rules.system import AI_ACT_PACKS, report_system

    report = report_system(system, _load_packs(pack or list(AI_ACT_PACKS)), _read_date(day))
    if json is not None:
        write_whole(json, system_json(report))
    if html is not None:
        write_whole(html, system_page(report, language))
    if output is not None:
        files = {**system_files(report, language), **_copies([system])}
        write_folder(output, files, MAKER, {"about": "AI Basic Act"})
    print_system(report, make_console(), language)


def fairness(
    predictions: Annotated[
        Path,
        typer.Argument(metavar="CSV", help="Columns subgroup, label, float and quantised; a row a sample."),
    ],
    language: LanguageOption = "en",
    json: JsonOption = None,
) -> None:
    """Compare the quality of a float and a quantised model by subgroup."""
    _check_places(json, None, None)
    from hanok.cli.console import make_console
    from hanok.report import write_whole
    from hanok.report.rules_system import fairness_json, print_fairness
    from hanok.rules.fairness import fairness_table

    table = fairness_table(predictions)
    if json is not None:
        write_whole(json, fairness_json(table))
    print_fairness(table, make_console(), language)


def privacy(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Record of the run (JSON), for `ai-act`.")
    ],
    chip: ChipOption = DEFAULT_CHIP,
    language: LanguageOption = "en",
) -> None:
    """Do every job of `hanok app` with the network cut off, and record what tried to leave."""
    _need_apps()
    from hanok.flows.apps.cut_off import run_cut_off
    from hanok.report import check_writable, write_whole
    from hanok.report.rules_json import json_text
    from hanok.rules._record import check
    from hanok.rules.privacy import PrivacyRun, privacy_statement

    check_writable(output)
    load_chip(chip)
    with progress_line() as progress:
        content = run_cut_off(chip, progress)
    run = check(PrivacyRun, content, "the run")
    write_whole(output, json_text(content))
    typer.echo(privacy_statement(run, language))


def packs_command(
    pack: Annotated[
        str,
        typer.Argument(metavar="[NAME|FILE]", help="Check this pack and list its rules.", show_default=False),
    ] = "",
    language: LanguageOption = "en",
) -> None:
    """List the packs of hanok, or check one of your own."""
    from hanok.cli.console import make_console
    from hanok.report.rules_terminal import print_pack_rules, print_packs
    from hanok.rules.load import builtin_packs, load_pack

    if pack:
        print_pack_rules(load_pack(pack), make_console(), language)
        return
    print_packs([load_pack(name) for name in builtin_packs()], make_console(), language)


def _need_apps() -> None:
    """Say what is missing before minutes of work."""
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise HanokError("the jobs need Pillow; install it with: pip install 'hanok[apps]'")


def _given(
    die_mm2: str, transistors: str | None, data_centre: bool | None, exporter: str | None, destination: str
) -> Given:
    from hanok.rules.facts import Fact, flag
    from hanok.rules.subject import Given

    facts: list[tuple[str, Fact]] = []
    if data_centre is not None:
        facts.append(("for_data_centres", flag(data_centre, "the command line")))
    if exporter is not None:
        facts.append(("exporter", Fact(exporter, "the command line")))
    if destination:
        if len(destination) != 2 or not destination.isascii() or not destination.isalpha():
            raise HanokError(f"--destination {destination[:20]}: a country has two letters, such as CN or US")
        facts.append(("destination", Fact(destination.upper(), "the command line")))
    non_planar = None if transistors is None else transistors == "non-planar"
    return Given(_read_area(die_mm2), non_planar, tuple(facts))


def _read_area(text: str) -> Fraction | None:
    from hanok.rules.exact import exact

    if not text:
        return None
    try:
        area = exact(text)
    except ValueError as error:
        raise HanokError(f"--die-mm2: {error}; give mm2, such as 826") from None
    if not 0 < area <= 100_000:
        raise HanokError(f"--die-mm2 {text}: allowed: above 0, at most 100000")
    return area


def _read_date(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise HanokError(f"--date {text[:40]}: not a day; write it as 2026-01-15") from None


def _load_packs(names: list[str]) -> list[Pack]:
    from hanok.rules.load import load_pack

    packs = [load_pack(name) for name in dict.fromkeys(names)]
    ids = [loaded.id for loaded in packs]
    for identity in ids:
        if ids.count(identity) > 1:
            raise HanokError(f"--pack: two packs have the id '{identity}'; give one of them another id")
    return packs


def _check_places(json: Path | None, html: Path | None, output: Path | None) -> None:
    from hanok.report import check_writable
    from hanok.report.folder import check_folder

    for path in (json, html):
        if path is not None:
            check_writable(path)
    if output is not None:
        check_folder(output, MAKER)


def _write_export(
    pairs: list[tuple[Assessment, tuple[Checklist, ...]]],
    language: Literal["en", "ko"],
    json: Path | None,
    html: Path | None,
    output: Path | None,
    inputs: list[Path],
) -> None:
    """Write the files that were asked for, each whole or not at all; a folder with what was judged."""
    if json is None and html is None and output is None:
        return
    from hanok.report import write_whole
    from hanok.report.folder import write_folder
    from hanok.report.rules_html import assessments_page
    from hanok.report.rules_json import assessments_json

    text, page = assessments_json(pairs), assessments_page(pairs, language)
    if json is not None:
        write_whole(json, text)
    if html is not None:
        write_whole(html, page)
    if output is not None:
        files = {"assessment.json": text.encode(), "assessment.html": page.encode()}
        write_folder(output, {**files, **_copies(inputs)}, MAKER, {"about": "export control"})


def _copies(inputs: list[Path]) -> dict[str, bytes]:
    """The files that were judged, by their places in the evidence file."""
    copies = {}
    for number, path in enumerate(inputs, 1):
        try:
            copies[f"inputs/{number:02}.toml"] = path.read_bytes()
        except OSError as error:
            raise HanokError(f"{path}: cannot be read: {error.strerror}") from None
    return copies
