"""`hanok rules leak`: the draft of a report, with what a transparency log says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.protect_keys import read_public_key
from hanok.cli.rules import MAKER, LanguageOption

if TYPE_CHECKING:
    from hanok.rules.leak_report import Event


def leak(
    facts: Annotated[Path, typer.Argument(metavar="FACTS", help="What is known of the leak (TOML).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Write the drafts as two texts.")
    ] = None,
    language: LanguageOption = "ko",
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="LOG", help="Add what a transparency log says (with --from and --of)."),
    ] = None,
    signer: Annotated[
        Path | None, typer.Option("--from", metavar="KEY.pub", help="The public key that signed the log.")
    ] = None,
    recipients: Annotated[
        list[Path] | None,
        typer.Option("--of", metavar="KEY.pub", help="A recipient whom the leak concerns; may be repeated."),
    ] = None,
) -> None:
    """Draft the report of a leak of industrial technology; nothing is sent."""
    from hanok.report.folder import check_folder, write_folder
    from hanok.report.text import clean
    from hanok.rules.errors import RulesError
    from hanok.rules.leak_report import leak_report

    if output is not None:
        check_folder(output, MAKER)
    events: tuple[Event, ...] = ()
    if len({log is None, signer is None, not recipients}) > 1:
        raise RulesError("--log, --from and --of go together: whose log, and whom the leak concerns")
    if log is not None and signer is not None:
        from hanok.flows.leak_events import leak_events

        events = leak_events(log, read_public_key(signer), [read_public_key(key) for key in recipients or ()])
    report = leak_report(facts, events)
    if output is not None:
        drafts = {"leak_report.ko.txt": report.korean.encode(), "leak_report.en.txt": report.english.encode()}
        write_folder(output, drafts, MAKER, {"about": "draft of a leak report"})
    for line in (report.korean if language == "ko" else report.english).splitlines():
        typer.echo(clean(line))
    if report.gaps:
        typer.echo(f"missing: {', '.join(report.gaps)}", err=True)
