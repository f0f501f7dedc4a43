"""`hanok protect seal`, `open` and `inspect`: deliveries that only their recipients can open."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption
from hanok.cli.progress import progress_line
from hanok.cli.protect_keys import read_public_key, unlock_key
from hanok.cli.protect_log import WitnessOption, move_witness, read_witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanok.protect.licence import Licence
    from hanok.protect.log import TransparencyLog
    from hanok.protect.manifest import Manifest
    from hanok.protect.seal import SealedBundle

_FILES_SHOWN = 1000


def seal_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders to seal.")],
    to: Annotated[
        list[Path], typer.Option("--to", metavar="KEY.pub", help="A recipient's public key; may be repeated.")
    ],
    licence: Annotated[Path, typer.Option("--licence", metavar="FILE", help="The licence terms (TOML).")],
    sign: Annotated[Path, typer.Option("--sign", metavar="KEY.key", help="Your private key, to sign with.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.hnk", help="The bundle to write.")],
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="LOG", help="Record the delivery in this log before the bundle appears."
        ),
    ] = None,
    witness: WitnessOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Seal files for recipients: only they can open them, and they see who sent them on what terms."""
    from hanok.protect.licence import read_licence
    from hanok.protect.log import TransparencyLog
    from hanok.protect.manifest import BundleError
    from hanok.protect.seal import seal
    from hanok.report.files import check_writable

    check_writable(output)
    if witness is not None and log is None:
        raise BundleError("--witness is of a log; give --log too")
    terms = read_licence(licence)
    publics = [read_public_key(path) for path in to]
    for key, path in zip(publics, to, strict=True):
        key.must_receive(str(path))
    signer = unlock_key(sign, passphrase_fd)
    signer.public.must_sign(str(sign))
    now = datetime.now(UTC)
    with ExitStack() as stack:
        record = stack.enter_context(TransparencyLog.open(log, signer)) if log else None
        seen = read_witness(witness)
        if record is not None and seen is not None:
            record.check_seen(seen)
        _write_sealed(lambda place: seal(paths, publics, terms, signer, place, now), output, record)
        if record is not None:
            move_witness(witness, record.head)


def _write_sealed(make: Callable[[Path], SealedBundle], output: Path, record: TransparencyLog | None) -> None:
    """Put a bundle in its place once it is whole and, with a log, recorded."""
    from hanok.protect.seal import delivery_fields
    from hanok.report.files import write_through
    from hanok.report.text import clean

    sealed: list[SealedBundle] = []

    def write(place: Path) -> None:
        sealed.append(make(place))
        if record is not None:
            record.append("delivery", delivery_fields(sealed[0]))

    with progress_line() as progress:
        progress("sealing")
        write_through(output, write)
    _print_sealed(sealed[0], output)
    if record is not None:
        typer.echo(f"  recorded as entry {record.head.head.size - 1:,} of {clean(record.path)}")


def open_command(
    bundle: Annotated[Path, typer.Argument(metavar="FILE.hnk", help="The bundle.")],
    key: Annotated[Path, typer.Option("--key", metavar="KEY.key", help="Your private key, as a recipient.")],
    sender: Annotated[
        Path, typer.Option("--from", metavar="KEY.pub", help="The public key of who must have sent it.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new or empty folder for the files.")
    ],
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Open a bundle: every byte is verified before any is written, and all files appear or none."""
    from hanok.protect.unseal import check_target, open_bundle

    check_target(output)
    vendor = read_public_key(sender)
    vendor.must_sign(str(sender))
    private = unlock_key(key, passphrase_fd)
    private.public.must_receive(str(key))
    with progress_line() as progress:
        progress("verifying and opening")
        opened = open_bundle(bundle, private, vendor, output, datetime.now(UTC))
    from hanok.report.text import clean

    files = len(opened.manifest.files)
    typer.echo(
        f"{clean(str(output))}: {files:,} files from '{vendor.name}', {opened.manifest.size_bytes:,} bytes"
    )
    typer.echo(f"  delivery {opened.delivery}")
    _print_licence(opened.manifest.licence)


def inspect_command(
    bundle: Annotated[Path, typer.Argument(metavar="FILE.hnk", help="The bundle.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEY.key", help="Your private key, to list the files.")
    ] = None,
    sender: Annotated[
        Path | None, typer.Option("--from", metavar="KEY.pub", help="With --key: who must have sent it.")
    ] = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Show what stands openly in a bundle (who, not what); with --key and --from its licence and files."""
    from hanok.protect.manifest import BundleError
    from hanok.protect.unseal import inspect_bundle, read_manifest

    if (key is None) != (sender is None):
        raise BundleError("--key and --from belong together: give both, or neither to see what stands openly")
    front = inspect_bundle(bundle)
    typer.echo(f"delivery {front.delivery}")
    typer.echo(f"  {front.size_bytes:,} bytes, claims to be signed by {front.signer}")
    for fingerprint in front.recipients:
        typer.echo(f"  sealed for {fingerprint}")
    if key is None or sender is None:
        typer.echo("  nothing of this is proven; a recipient verifies it with --key and --from")
        return
    vendor = read_public_key(sender)
    opened = read_manifest(bundle, unlock_key(key, passphrase_fd), vendor)
    typer.echo(f"  signed by '{vendor.name}' on {opened.manifest.sealed_at}: verified; the files are not")
    _print_licence(opened.manifest.licence, whole=True)
    _print_files(opened.manifest)


def _print_sealed(sealed: SealedBundle, output: Path) -> None:
    from hanok.report.text import clean

    manifest = sealed.manifest
    typer.echo(
        f"{clean(str(output))}: {len(manifest.files):,} files, {manifest.size_bytes:,} bytes, "
        f"for {', '.join(key.name for key in sealed.recipients[:10])}"
        + (f" and {len(sealed.recipients) - 10:,} more" if len(sealed.recipients) > 10 else "")
    )
    typer.echo(f"  delivery {sealed.delivery}")
    _print_licence(manifest.licence)


def _print_licence(licence: Licence, whole: bool = False) -> None:
    typer.echo(f"  licence  {licence.title}: {licence.licensor} to {licence.licensee}, {licence.destination}")
    typer.echo(f"  expires  {licence.expires or 'never'}")
    if licence.uses:
        typer.echo(f"  uses     {', '.join(licence.uses)}")
    if whole:
        for line in licence.terms.splitlines():
            typer.echo(f"  | {line}")


def _print_files(manifest: Manifest) -> None:
    for file in manifest.files[:_FILES_SHOWN]:
        typer.echo(f"  {file.sha256}  {file.size_bytes:>15,}  {file.path}")
    if len(manifest.files) > _FILES_SHOWN:
        typer.echo(f"  and {len(manifest.files) - _FILES_SHOWN:,} more")
