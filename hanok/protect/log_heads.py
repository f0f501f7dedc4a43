"""Signed tree heads: how many entries a log has, and the one hash that all of them lead to."""

from __future__ import annotations

import binascii
import os
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanok.protect.canonical import LARGEST_INTEGER, check_names, decode, encode
from hanok.protect.keys import PrivateKey, PublicKey
from hanok.protect.licence import parse_time
from hanok.protect.log_entries import LogError

PURPOSE = "tree head"
MOST_FILE_BYTES = 1 << 20
"""Of the files of heads and proofs: the longest path is 53 hashes, and an entry has 256 KiB."""
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset({"log", "root", "size", "time"})


@dataclass(frozen=True)
class TreeHead:
    """What is signed. `log`: the log's random name; `root`: 32 bytes; `time`: in UTC."""

    log: str
    size: int
    root: bytes
    time: str

    @property
    def fields(self) -> dict[str, Any]:
        """The head as it stands in files."""
        return {"log": self.log, "root": self.root.hex(), "size": self.size, "time": self.time}


@dataclass(frozen=True)
class SignedHead:
    """A head and its signature."""

    head: TreeHead
    signature: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The signed head as it stands in files."""
        return {"head": self.head.fields, "signature": b64encode(self.signature).decode()}

    @property
    def data(self) -> bytes:
        """The content of a file of a signed head."""
        return encode(self.fields) + b"\n"

    def check(self, signer: PublicKey, what: str) -> None:
        """Raise LogError unless `signer` signed this head."""
        if not signer.verifies(PURPOSE, encode(self.head.fields), self.signature):
            raise LogError(
                f"{what}: the head at {self.head.size:,} entries is not signed by '{signer.name}' "
                f"({signer.fingerprint[:16]})"
            )


def sign_head(head: TreeHead, signer: PrivateKey) -> SignedHead:
    """Return the head with a signature."""
    return SignedHead(head, signer.sign(PURPOSE, encode(head.fields)))


def head_of(fields: Any, what: str) -> SignedHead:
    """Return the signed head of a file's fields."""
    outer = check_names(fields, f"{what}: signed head", frozenset({"head", "signature"}))
    inner = check_names(outer["head"], f"{what}: head", _FIELDS)
    log, root, size, time = (inner[name] for name in ("log", "root", "size", "time"))
    if not all(isinstance(text, str) for text in (log, root, time)) or type(size) is not int:
        raise LogError(f"{what}: a field of the head is of the wrong kind")
    if not _HASH.fullmatch(log) or not _HASH.fullmatch(root) or not 0 <= size <= LARGEST_INTEGER:
        raise LogError(f"{what}: a field of the head is of the wrong kind")
    parse_time(time)
    return SignedHead(TreeHead(log, size, bytes.fromhex(root), time), binary(outer["signature"], what))


def read_head(path: str | Path) -> SignedHead:
    """Return the signed head of a file."""
    return head_of(decode_file(path), str(path))


def decode_file(path: str | Path) -> Any:
    """Return the value of a file of one line of canonical JSON."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MOST_FILE_BYTES:
        raise LogError(f"{path}: is longer than {MOST_FILE_BYTES >> 20} MiB, so it is no head and no proof")
    return decode(data.removesuffix(b"\n"), str(path))


def binary(text: Any, what: str) -> bytes:
    """Return the bytes of a canonical base64 text."""
    try:
        data = b64decode(text, validate=True) if isinstance(text, str) else b""
    except (ValueError, binascii.Error):
        data = b""
    if not data or b64encode(data).decode() != text:
        raise LogError(f"{what}: a signature is no base64")
    return data


def check_follows(seen: SignedHead, found: SignedHead, what: str) -> None:
    """Raise LogError if a head that was seen before shows that `found` is of another log, or rolled back."""
    if seen.head.log != found.head.log:
        raise LogError(
            f"{what}: is another log ({found.head.log[:16]}) than the one seen ({seen.head.log[:16]})"
        )
    if found.head.size < seen.head.size:
        raise LogError(
            f"{what}: was rolled back: {found.head.size:,} entries, and {seen.head.size:,} were seen on "
            f"{seen.head.time}; keep both heads, they prove it"
        )


def forked(seen: SignedHead, what: str) -> LogError:
    """The error for a log whose beginning is not what was seen."""
    return LogError(
        f"{what}: was forked: its first {seen.head.size:,} entries are not those seen on {seen.head.time}; "
        "keep both heads, they prove it"
    )
