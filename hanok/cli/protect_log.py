"""`hanok protect log`: a record of deliveries that can be added to, and not altered unseen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption
from hanok.cli.progress import progress_line
from hanok.cli.protect_keys import read_public_key, unlock_key

if TYPE_CHECKING:
    from hanok.protect.log_entries import Entry
    from hanok.protect.log_heads import SignedHead

HELP = (
    "A record that can be added to and not altered unseen: deliveries, marks, receipts, returns, deletions."
)
_KINDS = "delivery, receipt, return, deletion, mark, incident"

LogArgument = Annotated[Path, typer.Argument(metavar="LOG", help="The log's file.")]
SignOption = Annotated[
    Path, typer.Option("--sign", metavar="KEY.key", help="The private key that signs the log's heads.")
]
WitnessOption = Annotated[
    Path | None,
    typer.Option(
        "--witness",
        metavar="FILE",
        help="The last head that you saw: what goes against it is refused, else it is moved on.",
    ),
]


def create_command(
    log: LogArgument, sign: SignOption, passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR
) -> None:
    """Make an empty log with its first signed head."""
    from hanok.protect.log import TransparencyLog

    with TransparencyLog.create(log, unlock_key(sign, passphrase_fd)) as made:
        _print_head(made.head)


def append_command(
    log: LogArgument,
    sign: SignOption,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help=f"One of: {_KINDS}.")] = "",
    field: Annotated[
        list[str] | None, typer.Option("--field", metavar="NAME=VALUE", help="A field; may be repeated.")
    ] = None,
    statement: Annotated[
        Path | None,
        typer.Option("--statement", metavar="FILE", help="Instead: a recipient's file of `acknowledge`."),
    ] = None,
    sender: Annotated[
        Path | None,
        typer.Option("--from", metavar="KEY.pub", help="With --statement: who must have signed it."),
    ] = None,
    witness: WitnessOption = None,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Append an entry: of a kind with fields, or a statement that a recipient signed."""
    from hanok.protect.log import TransparencyLog
    from hanok.protect.log_entries import LogError, field_of

    if bool(kind) == (statement is not None) or (statement is None) != (sender is None):
        raise LogError("give --kind with its --field, or --statement with --from")
    if statement is not None and sender is not None:
        kind, fields = _stated(statement, sender)
    else:
        fields = dict(field_of(kind, text) for text in field or [])
    seen = read_witness(witness)
    with TransparencyLog.open(log, unlock_key(sign, passphrase_fd)) as opened:
        if seen is not None:
            opened.check_seen(seen)
        entry = opened.append(kind, fields)
        typer.echo(f"entry {entry.position:,}: {entry.kind}, {entry.at}")
        _print_head(opened.head)
        move_witness(witness, opened.head)


def verify_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A log, an export of one, or a proof.")],
    sender: Annotated[
        Path, typer.Option("--from", metavar="KEY.pub", help="The public key of who must have signed it.")
    ],
    witness: WitnessOption = None,
) -> None:
    """Verify a log, an export or a proof: every entry, every hash and every signed head that it holds."""
    from hanok.protect.log_verify import verify_file

    with progress_line() as progress:
        progress("verifying")
        found = verify_file(file, read_public_key(sender), read_witness(witness))
    from hanok.report.text import clean

    typer.echo(f"{clean(str(file))}: {found.what}, as it was signed")
    for kind, count in sorted(found.kinds.items()):
        typer.echo(f"  {count:>10,} {kind}")
    if found.entry is not None:
        _print_entry(found.entry)
    _print_head(found.newest)
    move_witness(witness, found.newest)


def prove_command(
    log: LogArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The proof to write.")],
    entry: Annotated[
        int | None,
        typer.Option("--entry", metavar="N", help="Prove that entry N, counted from 0, is in the log."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="FILE", help="Prove that nothing changed since this head."),
    ] = None,
) -> None:
    """Write a proof that holds without the log: of an entry, or that nothing changed since a head."""
    from hanok.protect.log import TransparencyLog
    from hanok.protect.log_entries import LogError
    from hanok.protect.log_heads import read_head
    from hanok.protect.log_proofs import prove_consistency, prove_inclusion
    from hanok.report.files import check_writable, write_whole

    if (entry is None) == (since is None):
        raise LogError("give --entry N or --since FILE: one of them, since a proof is of one thing")
    check_writable(output)
    with TransparencyLog.open(log) as opened:
        if entry is not None:
            write_whole(output, prove_inclusion(opened, entry).data)
        elif since is not None:
            write_whole(output, prove_consistency(opened, read_head(since)).data)
    typer.echo("written; it shows nothing before `hanok protect log verify` has checked it against a key")


def export_command(
    log: LogArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
) -> None:
    """Write all entries and signed heads as lines of JSON, which `hanok protect log verify` takes too."""
    from hanok.protect.log_verify import export_log
    from hanok.report.files import write_through

    counts: list[int] = []
    write_through(output, lambda place: counts.append(export_log(log, place)))
    typer.echo(f"{counts[0]:,} entries")


def head_command(
    log: LogArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it, to be kept elsewhere.")
    ] = None,
) -> None:
    """Show the signed head of a log, the one line that stands for all of its entries."""
    from hanok.protect.log import TransparencyLog
    from hanok.report.files import write_whole

    with TransparencyLog.open(log) as opened:
        _print_head(opened.head)
        if output is not None:
            write_whole(output, opened.head.data)


def list_command(
    log: LogArgument,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help=f"One of: {_KINDS}.")] = "",
) -> None:
    """List the entries of a log, or those of one kind."""
    from hanok.protect.log import TransparencyLog

    with TransparencyLog.open(log) as opened:
        for entry in opened.entries(kind):
            _print_entry(entry)


def acknowledge_command(
    kind: Annotated[Literal["receipt", "return", "deletion"], typer.Argument(help="What you state.")],
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="A bundle's file, or its 64 digits.")],
    key: Annotated[Path, typer.Option("--key", metavar="KEY.key", help="Your private key, to sign with.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The statement to write.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Anything to add.")] = "",
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """State under your signature that you received, returned or deleted a delivery, for the sender's log."""
    from hanok.protect.statements import make_statement
    from hanok.protect.unseal import inspect_bundle
    from hanok.report.files import check_writable, write_whole

    check_writable(output)
    identity = inspect_bundle(delivery).delivery if Path(delivery).is_file() else delivery
    private = unlock_key(key, passphrase_fd)
    private.public.must_sign(str(key))
    made = make_statement(kind, identity, note, private, datetime.now(UTC))
    write_whole(output, made.data)
    typer.echo(f"{made.kind} of delivery {made.delivery}, signed by '{private.public.name}'")


def _stated(statement: Path, sender: Path) -> tuple[str, dict[str, Any]]:
    """Kind and fields of the entry of a recipient's statement, once its signature is right."""
    from hanok.protect.statements import read_statement

    found = read_statement(statement)
    found.check(read_public_key(sender), str(statement))
    return found.kind, found.fields


def read_witness(witness: Path | None) -> SignedHead | None:
    """Return the head of a witness's file; None where there is none yet."""
    from hanok.protect.log_heads import read_head
    from hanok.report.files import check_writable

    if witness is None:
        return None
    check_writable(witness)
    return read_head(witness) if witness.exists() else None


def move_witness(witness: Path | None, head: SignedHead) -> None:
    """Keep a head in a witness's file."""
    from hanok.report.files import write_whole

    if witness is not None:
        write_whole(witness, head.data)


def _print_head(signed: SignedHead) -> None:
    head = signed.head
    typer.echo(f"head of {head.size:,} entries on {head.time}, log {head.log[:16]}")
    typer.echo(f"  root {head.root.hex()}")


def _print_entry(entry: Entry) -> None:
    from hanok.report.text import clean

    fields = ", ".join(f"{name} {_shown(value)}" for name, value in sorted(entry.fields.items()))
    typer.echo(clean(f"{entry.position:>8,}  {entry.at}  {entry.kind:9} {fields}"))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{len(value)}]" if len(value) > 3 else " ".join(_shown(each) for each in value)
    text = str(value)
    return f"{text[:16]}.." if len(text) in (64, 88) else text[:80]
