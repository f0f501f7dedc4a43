"""What a recipient states of a delivery under its own signature: receipt, return, deletion."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hanok.protect.canonical import check_names, encode
from hanok.protect.keys import PrivateKey, PublicKey
from hanok.protect.licence import parse_time, time_text
from hanok.protect.log_entries import LogError, Value
from hanok.protect.log_heads import binary, decode_file
from hanok.protect.names import check_text

KINDS = ("receipt", "return", "deletion")
PURPOSE = "statement"
MOST_NOTE = 4096
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset({"delivery", "note", "recipient", "signature", "stated_at", "statement"})


@dataclass(frozen=True)
class Statement:
    """What a recipient states. `delivery`: a bundle's identity; `recipient`: the key's fingerprint."""

    kind: str
    delivery: str
    recipient: str
    stated_at: str
    note: str
    signature: bytes

    @property
    def signed_bytes(self) -> bytes:
        """What the signature covers."""
        return encode(
            {
                "delivery": self.delivery,
                "note": self.note,
                "recipient": self.recipient,
                "stated_at": self.stated_at,
                "statement": self.kind,
            }
        )

    @property
    def fields(self) -> dict[str, Value]:
        """The fields of the log's entry, whose kind is the statement's."""
        return {
            "delivery": self.delivery,
            "note": self.note,
            "recipient": self.recipient,
            "signature": b64encode(self.signature).decode(),
            "stated_at": self.stated_at,
        }

    @property
    def data(self) -> bytes:
        """The content of a statement's file."""
        return encode({**self.fields, "statement": self.kind}) + b"\n"

    def check(self, recipient: PublicKey, what: str) -> None:
        """Raise LogError unless `recipient` made this statement."""
        if self.recipient != recipient.fingerprint:
            raise LogError(
                f"{what}: is a statement of {self.recipient[:16]}, not of '{recipient.name}' "
                f"({recipient.fingerprint[:16]})"
            )
        if not recipient.verifies(PURPOSE, self.signed_bytes, self.signature):
            raise LogError(f"{what}: the signature of '{recipient.name}' is wrong; it was altered")


def make_statement(kind: str, delivery: str, note: str, key: PrivateKey, now: datetime) -> Statement:
    """Return a signed statement about a delivery."""
    assert kind in KINDS, "the caller offers no others"
    key.public.must_sign(key.public.name)
    if not _HASH.fullmatch(delivery):
        raise LogError(
            f"delivery {delivery!r:.80}: give a bundle, or the 64 digits that it was announced with"
        )
    check_text(note, "the note", MOST_NOTE)
    bare = Statement(kind, delivery, key.public.fingerprint, time_text(now), note, b"")
    return replace(bare, signature=key.sign(PURPOSE, bare.signed_bytes))


def read_statement(path: str | Path) -> Statement:
    """Return the statement of a file, checked in form but not yet in truth."""
    what = str(path)
    fields = check_names(decode_file(path), what, _FIELDS)
    if not all(isinstance(value, str) for value in fields.values()) or fields["statement"] not in KINDS:
        raise LogError(f"{what}: is no statement of `hanok protect acknowledge`")
    if not _HASH.fullmatch(fields["delivery"]) or not _HASH.fullmatch(fields["recipient"]):
        raise LogError(f"{what}: delivery or recipient is no hash")
    parse_time(fields["stated_at"])
    check_text(fields["note"], what, MOST_NOTE)
    signature = binary(fields["signature"], what)
    return Statement(
        fields["statement"],
        fields["delivery"],
        fields["recipient"],
        fields["stated_at"],
        fields["note"],
        signature,
    )
