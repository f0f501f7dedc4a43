"""The vendor's secret: 32 random bytes that decide all fingerprints, in a file that only its owner reads."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from hanok.protect._keyed import SECRET_BYTES
from hanok.protect.tardos import FingerprintError

_FIRST_LINE = "hanok vendor secret 1"
_MOST_BYTES = 1000


def new_secret() -> bytes:
    """Return a new secret from the system's random source."""
    return secrets.token_bytes(SECRET_BYTES)


def write_secret(path: Path, secret: bytes) -> None:
    """Write a secret to a new file of mode 0600; an existing one is never overwritten."""
    text = f"{_FIRST_LINE}\n{secret.hex()} {_check(secret)}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise FingerprintError(
            f"{path}: exists; a secret is never overwritten, since copies marked with it could not be traced "
            "any more. Give a new name"
        ) from None
    except OSError as error:
        raise FingerprintError(f"{path}: cannot be written: {error.strerror or error}") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> bytes:
    """Return the secret of a file; refuse one that others may read, or that is damaged."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FingerprintError(f"{path}: is no file; make one with `hanok protect secret`")
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise FingerprintError(f"{path}: cannot be read: {error.strerror or error}") from None
    if os.name == "posix" and found.st_mode & 0o077:
        raise FingerprintError(
            f"{path}: others may read this secret (mode {stat.S_IMODE(found.st_mode):o}); run chmod 600 on it"
        )
    lines = content.decode("ascii", "replace").splitlines()
    if len(lines) != 2 or lines[0] != _FIRST_LINE:
        raise FingerprintError(f"{path}: not a vendor secret; make one with `hanok protect secret`")
    text, _, check = lines[1].partition(" ")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES or check != _check(secret):
        raise FingerprintError(f"{path}: a damaged vendor secret: its check digits do not fit; use a backup")
    return secret


def _check(secret: bytes) -> str:
    return hashlib.blake2b(secret, digest_size=4, person=b"hanok-check").hexdigest()
