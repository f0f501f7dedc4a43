"""`hanok rules label`: mark, sign and check files that AI made, here or elsewhere."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hanok.cli.labelling import SignCertificateOption, SignKeyOption, label_words, make_label
from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.flows.labelling import Checked, Finding, Label

EXIT_NOT_MARKED = 1


def label(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What AI made or worked on.")],
    system: Annotated[str, typer.Option("--system", metavar="NAME", help="What made it.")] = "hanok",
    source: Annotated[
        Literal["generated", "composite", "enhanced"],
        typer.Option("--as", help="Made by AI, in part made by AI, or only enhanced by it."),
    ] = "generated",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Of a PNG or JPEG: where the marked picture goes."
        ),
    ] = None,
    sign_key: SignKeyOption = None,
    sign_certificate: SignCertificateOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Say what marks it has, whether they stand, and who signed; change nothing."
        ),
    ] = False,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust", metavar="ROOTS.pem", help="With --check: only signers of these authorities will do."
        ),
    ] = None,
) -> None:
    """Mark what AI made: XMP in a PNG or JPEG, a JSON record beside any other file; signed with a key."""
    if check:
        _check(file, trust, sign_key or sign_certificate or output)
        return
    if trust is not None:
        raise HanokError("--trust: goes with --check")
    from hanok.flows.labelling import check_signing, is_picture
    from hanok.rules.digital_source import SOURCES

    if output is not None and not is_picture(file):
        raise HanokError(f"--output: is for PNG and JPEG files; the record of {file} stands beside it")
    chosen = make_label(source, SOURCES[source], system, sign_key, sign_certificate, passphrase_fd)
    assert chosen is not None, "none is no choice here"
    check_signing(chosen, file.name if is_picture(file) else "")
    target = _write_label(file, output, chosen)
    from hanok.report.text import clean

    typer.echo(f"{clean(str(target))}: {label_words(chosen)}")


def _write_label(file: Path, output: Path | None, chosen: Label) -> Path:
    """Write the marked picture, or the record beside the file."""
    from hanok.flows.labelling import is_picture, label_picture, record_of_file
    from hanok.report import check_writable, write_whole
    from hanok.rules.label import read_picture, record_place

    if not is_picture(file):
        return write_whole(record_place(file), record_of_file(file, chosen))
    target = check_writable(output or file)
    if target.suffix.lower() != file.suffix.lower():
        raise HanokError(f"--output {target}: must end in {file.suffix}, as the picture does")
    return write_whole(target, label_picture(read_picture(file), target.name, chosen, where=str(file)))


def _check(file: Path, trust: Path | None, other: Path | None) -> None:
    """Print what was found; end with 1 where it is not marked, or a mark does not stand."""
    if other is not None:
        raise HanokError("--check: changes nothing; take away --output and the options that sign")
    from hanok.flows.labelling import check_file

    anchors = None
    if trust is not None:
        from hanok.protect.certificates import read_certificates

        anchors = read_certificates(trust)
    checked = check_file(file, anchors, datetime.datetime.now(datetime.UTC))
    _print_checked(file, checked)
    sys.exit(0 if checked.stands else EXIT_NOT_MARKED)


def _print_checked(file: Path, checked: Checked) -> None:
    from hanok.report.text import clean

    typer.echo(f"{clean(str(file))}: {'marked' if checked.is_marked else 'not marked'} as made by AI")
    for finding in checked.findings:
        typer.echo(f"  {clean(_words(finding))}")
    if checked.against_trust and not any(finding.trusted for finding in checked.findings):
        typer.echo("  nobody of the trusted authorities signed it")


def _words(finding: Finding) -> str:
    parts = [f"{finding.kind}: {finding.state}"]
    if finding.sources:
        parts.append(f"says {', '.join(finding.sources)}")
    if finding.signer:
        told = {None: "not checked against trusted roots", True: "trusted", False: "not trusted"}
        parts.append(f"signed by {finding.signer} ({told[finding.trusted]})")
    return "; ".join([*parts, *([finding.reason] if finding.reason else [])])
