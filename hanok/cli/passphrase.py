"""Passphrases: from the environment, a file descriptor or a prompt, and never from the command line."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

ENVIRONMENT = "HANOK_PASSPHRASE"
_MOST_BYTES = 4096
_NO_DESCRIPTOR = -1

PassphraseOption = Annotated[
    int,
    typer.Option(
        "--passphrase-fd",
        metavar="N",
        help=f"Read the passphrase from this file descriptor; else from ${ENVIRONMENT}, or asked for.",
        show_default=False,
    ),
]
DEFAULT_DESCRIPTOR = _NO_DESCRIPTOR


def read_passphrase(descriptor: int, of_what: str, twice: bool = False) -> str:
    """Return the passphrase; `twice`: a new one, which is asked for again."""
    from hanok.protect.keys import KeyFileError

    if descriptor != _NO_DESCRIPTOR:
        return _from_descriptor(descriptor)
    given = os.environ.get(ENVIRONMENT)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise KeyFileError(
            f"a passphrase is needed for {of_what}; set {ENVIRONMENT}, or give --passphrase-fd N, "
            "or run this on a terminal"
        )
    from getpass import getpass

    passphrase = getpass(f"passphrase of {of_what}: ")
    if twice and getpass("again: ") != passphrase:
        raise KeyFileError("the two passphrases differ; nothing was written, try again")
    return passphrase


def _from_descriptor(descriptor: int) -> str:
    from hanok.protect.keys import KeyFileError

    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"--passphrase-fd {descriptor}: cannot be read: {error.strerror or error}"
        ) from None
    if len(data) > _MOST_BYTES:
        raise KeyFileError(f"--passphrase-fd {descriptor}: holds more than {_MOST_BYTES} bytes")
    return data.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "surrogateescape")
