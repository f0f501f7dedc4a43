"""`hanok protect secret`, `mark` and `trace`: fingerprints in copies, and whose copy leaked."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption
from hanok.cli.protect_keys import unlock_key

if TYPE_CHECKING:
    from hanok.protect.marking import Marked

MAKER = "hanok protect mark"

SecretOption = Annotated[
    Path, typer.Option("--secret", metavar="FILE", help="The vendor's secret (see `hanok protect secret`).")
]


def secret_command(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A new file, of mode 0600.")],
) -> None:
    """Make the secret from which fingerprints follow; without it no copy can be traced, so keep a backup."""
    from hanok.protect.secret import new_secret, write_secret
    from hanok.report.text import clean

    write_secret(output, new_secret())
    typer.echo(f"{clean(str(output))}: a new secret; keep a copy in a safe place and never send it to anyone")


def mark_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="int8 models (.onnx), specifications (.toml), or folders."),
    ],
    recipient: Annotated[str, typer.Option("--recipient", metavar="NAME", help="Whose copy it becomes.")],
    secret: SecretOption,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="A folder; for a single file, a file."),
    ],
    log: Annotated[
        Path | None, typer.Option("--log", metavar="LOG", help="Put the copy on record (with --sign).")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY.key", help="The key that signs the log's heads.")
    ] = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Make a copy with marks in it that no other recipient's copy has."""
    from hanok.protect.log import TransparencyLog
    from hanok.protect.marking import mark
    from hanok.protect.secret import read_secret
    from hanok.protect.tardos import FingerprintError
    from hanok.report.files import check_writable, write_whole
    from hanok.report.folder import check_folder, write_folder

    single = len(paths) == 1 and not paths[0].is_dir()
    key = read_secret(secret)
    if (log is None) != (sign is None):
        raise FingerprintError("--log and --sign go together: the key signs the log's new head")
    if single:
        check_writable(output)
    else:
        check_folder(output, MAKER)
    marked = mark(paths, recipient, key)
    if log is not None and sign is not None:
        with TransparencyLog.open(log, unlock_key(sign, passphrase_fd)) as opened:
            entry = opened.append("mark", marked.record)
            typer.echo(f"entry {entry.position:,}: {entry.kind}, {entry.at}")
    if single and len(marked.files) == 1:
        write_whole(output, next(iter(marked.files.values())))
    else:
        write_folder(output, marked.files, MAKER, {})
    _print_marked(marked, output)


def trace_command(
    leaked: Annotated[
        Path, typer.Argument(metavar="LEAKED", help="A model, or values copied from a specification.")
    ],
    original: Annotated[Path, typer.Option("--original", metavar="PATH", help="What was marked.")],
    secret: SecretOption,
    recipients: Annotated[
        Path | None,
        typer.Option("--recipients", metavar="FILE", help='TOML: recipients = ["acme", ...], all of them.'),
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="LOG", help="Instead: everyone of whom it has a copy.")
    ] = None,
    limit: Annotated[
        float,
        typer.Option("--limit", min=1e-30, max=0.01, help="Chance of accusing anyone innocent, at most."),
    ] = 1e-6,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report that can be printed.")
    ] = None,
) -> None:
    """Say whose copy leaked, or nobody's, with a bound on the chance of accusing an innocent."""
    from hanok.protect.marking import trace
    from hanok.protect.secret import read_secret
    from hanok.report.files import check_writable, write_whole
    from hanok.report.text import clean
    from hanok.report.tracing import trace_lines, trace_page

    key, names = read_secret(secret), _names(recipients, log)
    if html is not None:
        check_writable(html)
    found = trace(leaked, original, key, names, limit)
    if html is not None:
        write_whole(html, trace_page(found, datetime.datetime.now(datetime.UTC)))
    for line in trace_lines(found):
        typer.echo(line)
    if html is not None:
        typer.echo(f"report: {clean(str(html))}")


def _names(recipients: Path | None, log: Path | None) -> tuple[str, ...]:
    """The names of a list, or of all marked copies that are on record."""
    from hanok.protect.log import TransparencyLog
    from hanok.protect.marking import read_recipients
    from hanok.protect.tardos import FingerprintError

    if recipients is not None and log is None:
        return read_recipients(recipients)
    if log is None or recipients is not None:
        raise FingerprintError("give --recipients or --log: who was given a copy")
    with TransparencyLog.open(log) as opened:
        names = tuple(dict.fromkeys(str(entry.fields["recipient"]) for entry in opened.entries("mark")))
    if not names:
        raise FingerprintError(f"{log}: no marked copy is on record; give --recipients")
    return names


def _print_marked(marked: Marked, output: Path) -> None:
    from hanok.report.text import clean

    typer.echo(f"{clean(str(output))}: the copy of {clean(marked.recipient)}")
    for part in marked.parts:
        typer.echo(f"  {clean(part.path)}: {part.marks:,} marks ({part.kind})")
    for reason in marked.unmarked:
        typer.echo(f"note: without marks: {clean(reason)}")
