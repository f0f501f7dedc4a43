"""What commands share that label what AI made: options, keys, notices, and a text with its record."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hanok.cli.passphrase import read_passphrase
from hanok.errors import HanokError

if TYPE_CHECKING:
    from hanok.flows.labelling import Label
    from hanok.protect.certificates import Credential
    from hanok.rules.digital_source import DigitalSource

Choice = Literal["auto", "generated", "composite", "enhanced", "none"]
LabelOption = Annotated[
    Choice,
    typer.Option(
        "--label",
        help="What the mark says of AI's part; another network may do more than ours. none: leave mark and "
        "notice off, for your own use or where your product marks what it shows by itself.",
    ),
]
SignKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--sign-key", metavar="KEY.pem", help="Sign with this private key (with --sign-certificate)."
    ),
]
SignCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--sign-certificate", metavar="CHAIN.pem", help="The key's certificate and who issued it, in order."
    ),
]
TextOutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the text here too, with its record beside it."
    ),
]


def make_label(
    choice: Choice,
    ours: DigitalSource,
    system: str,
    key: Path | None,
    certificate: Path | None,
    descriptor: int,
) -> Label | None:
    """Return the label that was asked for; `ours` is what auto means. None for none.

    Asks for the passphrase of an encrypted key, so call it before long work.
    """
    if (key is None) != (certificate is None):
        raise HanokError("--sign-key and --sign-certificate go together: the key, and whose it is")
    if choice == "none":
        if key is not None:
            raise HanokError("--label none: leaves nothing to sign; take away --sign-key, or --label")
        return None
    from hanok.flows.labelling import Label
    from hanok.rules.digital_source import SOURCES

    source = ours if choice == "auto" else SOURCES[choice]
    if key is None or certificate is None:
        return Label(source, system)
    return Label(source, system, _credential(key, certificate, descriptor))


def show_notice(label: Label | None) -> None:
    """Say on the terminal, beside the text and not in it, that AI made it."""
    if label is not None:
        typer.echo(f"{label.source.text_ko} {label.source.text_en}", err=True)


def check_text_places(output: Path | None, label: Label | None) -> None:
    """Refuse, before long work, places where text and record cannot be written."""
    from hanok.report import check_writable
    from hanok.rules.label import record_place

    if output is None:
        if label is not None and label.credential is not None:
            raise HanokError("--sign-key: signs a text in a file; give --output FILE")
        return
    check_writable(output)
    if label is not None:
        check_writable(record_place(output))


def write_labelled_text(output: Path | None, text: str, label: Label | None) -> list[str]:
    """Write a text and its record, both or none; return the lines to say of it."""
    if output is None:
        return []
    from hanok.flows.labelling import record_of_bytes
    from hanok.report.files import write_together
    from hanok.report.text import clean
    from hanok.rules.label import record_place

    content = f"{text}\n".encode("utf-8", "replace")
    if label is None:
        write_together({output: content})
        return [clean(str(output))]
    place = record_place(output)
    write_together({place: record_of_bytes(output.name, content, label), output: content})
    return [f"{clean(str(output))}, {clean(place.name)}: {label_words(label)}"]


def label_words(label: Label) -> str:
    """Return what a label says, on one line."""
    from hanok.report.text import clean

    signed = "not signed"
    if label.credential is not None:
        from hanok.protect.certificates import name_of

        signed = f"signed by {clean(name_of(label.credential.chain[0]))}"
    return f"marked as {label.source.name} ({label.source.term}), {signed}"


def _credential(key: Path, certificate: Path, descriptor: int) -> Credential:
    from hanok.protect.certificates import needs_passphrase, read_credential

    passphrase = read_passphrase(descriptor, str(key)) if needs_passphrase(key) else None
    return read_credential(key, certificate, passphrase, datetime.datetime.now(datetime.UTC))
