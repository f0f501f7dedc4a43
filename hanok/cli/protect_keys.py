"""`hanok protect keygen` and `recipients`: making keys, and looking at public ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hanok.cli.passphrase import DEFAULT_DESCRIPTOR, PassphraseOption, read_passphrase

if TYPE_CHECKING:
    from hanok.protect.keys import PrivateKey, PublicKey


def keygen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; also the name of its files.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where NAME.key and NAME.pub go.")
    ] = Path(),
    use: Annotated[
        Literal["both", "sign", "receive"],
        typer.Option("--for", help="Signing what is sent, receiving what is sealed, or both."),
    ] = "both",
    ml_dsa: Annotated[
        bool,
        typer.Option("--ml-dsa", help="Sign with Ed25519 and ML-DSA-65 both, against quantum computers."),
    ] = False,
    x25519: Annotated[
        bool, typer.Option("--x25519", help="Receive with X25519 alone, without ML-KEM-768 beside it.")
    ] = False,
    passphrase_fd: PassphraseOption = DEFAULT_DESCRIPTOR,
) -> None:
    """Make a pair of key files: NAME.key under a passphrase, and NAME.pub to give away."""
    from hanok.protect.key_files import write_pair
    from hanok.protect.keys import check_name, chosen_algorithms, make_key

    check_name(name)
    passphrase = read_passphrase(passphrase_fd, f"the new key '{name}'", twice=True)
    key = make_key(name, chosen_algorithms(use != "receive", use != "sign", ml_dsa, not x25519))
    secret, public = write_pair(output, key, passphrase)
    from hanok.report.text import clean

    typer.echo(f"{clean(str(secret))}: keep it, and its passphrase apart from it")
    typer.echo(f"{clean(str(public))}: give it away; tell the fingerprint by another way")
    _print_key(key.public)


def recipients(
    keys: Annotated[
        list[Path], typer.Argument(metavar="KEY.pub...", help="Public key files, or folders of them.")
    ],
) -> None:
    """List public keys: whose they are, fingerprints, and what they sign and receive with."""
    from hanok.protect.keys import KeyFileError

    files = [file for path in keys for file in (sorted(path.glob("*.pub")) if path.is_dir() else [path])]
    if not files:
        raise KeyFileError(f"{keys[0]}: holds no public key file (*.pub)")
    for file in files:
        _print_key(read_public_key(file))


def read_public_key(path: Path) -> PublicKey:
    """Return the key of a public key file."""
    from hanok.protect.key_files import read_public

    return read_public(path)


def unlock_key(path: Path, descriptor: int) -> PrivateKey:
    """Return the key of a private key file, asking for its passphrase once the file is known to be one."""
    from hanok.protect.key_files import check_private, read_private

    check_private(path)
    return read_private(path, read_passphrase(descriptor, str(path)))


def _print_key(key: PublicKey) -> None:
    from textwrap import wrap

    signing = " and ".join(algorithm.name for algorithm, _ in key.signing) or "nothing"
    receiving = key.receiving[0].name if key.receiving else "nothing"
    typer.echo(f"{key.name}: signs with {signing}, receives with {receiving}")
    typer.echo(f"  fingerprint {' '.join(wrap(key.fingerprint, 8))}")
