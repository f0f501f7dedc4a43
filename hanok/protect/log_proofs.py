"""Proofs that are taken out of a log and hold without it: an entry is in it, its past is unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanok.protect.canonical import check_names, encode
from hanok.protect.keys import PublicKey
from hanok.protect.log import TransparencyLog
from hanok.protect.log_entries import Entry, LogError, decode_entry
from hanok.protect.log_heads import SignedHead, check_follows, decode_file, forked, head_of
from hanok.protect.merkle import (
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    root_of_inclusion,
)

INCLUSION_FORMAT = "hanok inclusion proof 1"
CONSISTENCY_FORMAT = "hanok consistency proof 1"
_INCLUSION_FIELDS = frozenset({"entry", "format", "path", "position", "signed"})
_CONSISTENCY_FIELDS = frozenset({"first", "format", "path", "second"})
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_PATH = 2 * 53


@dataclass(frozen=True)
class InclusionProof:
    """An entry, its position from 0, the hashes that lead from it to a root, and the signed head of that."""

    entry: Entry
    path: tuple[bytes, ...]
    signed: SignedHead

    @property
    def data(self) -> bytes:
        """The content of a proof's file."""
        fields = {
            "entry": {**self.entry.fields, "at": self.entry.at, "kind": self.entry.kind},
            "format": INCLUSION_FORMAT,
            "path": [node.hex() for node in self.path],
            "position": self.entry.position,
            "signed": self.signed.fields,
        }
        return encode(fields) + b"\n"

    @property
    def newest(self) -> SignedHead:
        """The head that the proof leads to."""
        return self.signed

    def check(self, signer: PublicKey, what: str, seen: SignedHead | None = None) -> None:
        """Raise LogError unless the entry is under a head that `signer` signed, which is `seen` if given."""
        self.signed.check(signer, what)
        head = self.signed.head
        leaf = leaf_hash(encode({**self.entry.fields, "at": self.entry.at, "kind": self.entry.kind}))
        if root_of_inclusion(leaf, self.entry.position, head.size, self.path) != head.root:
            raise LogError(
                f"{what}: entry {self.entry.position:,} is not under the signed head; it was altered"
            )
        if seen is None:
            return
        check_follows(seen, self.signed, what)
        if seen.head.size != head.size:
            raise LogError(
                f"{what}: is of {head.size:,} entries, and {seen.head.size:,} were seen; verify a proof of "
                "`hanok protect log prove --since` first"
            )
        if seen.head.root != head.root:
            raise forked(seen, what)


@dataclass(frozen=True)
class ConsistencyProof:
    """Two signed heads, and the hashes that show that the second only adds to the first."""

    first: SignedHead
    second: SignedHead
    path: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """The content of a proof's file."""
        fields = {
            "first": self.first.fields,
            "format": CONSISTENCY_FORMAT,
            "path": [node.hex() for node in self.path],
            "second": self.second.fields,
        }
        return encode(fields) + b"\n"

    @property
    def newest(self) -> SignedHead:
        """The head that the proof leads to."""
        return self.second

    def check(self, signer: PublicKey, what: str, seen: SignedHead | None = None) -> None:
        """Raise LogError unless both heads are signed, the second continues the first, and that is `seen`."""
        self.first.check(signer, what)
        self.second.check(signer, what)
        check_follows(self.first, self.second, what)
        first, second = self.first.head, self.second.head
        if not is_consistent(first.size, second.size, (first.root, second.root), self.path):
            raise forked(self.first, what)
        if seen is None:
            return
        check_follows(seen, self.second, what)
        if seen.head.size != first.size:
            raise LogError(
                f"{what}: begins at {first.size:,} entries, and {seen.head.size:,} were seen; "
                "ask for a proof since the head that you have"
            )
        if seen.head.root != first.root:
            raise forked(seen, what)


Proof = InclusionProof | ConsistencyProof


def prove_inclusion(log: TransparencyLog, position: int) -> InclusionProof:
    """Return the proof that an entry is under the log's last head."""
    signed, entry = log.head, log.entry(position)
    return InclusionProof(entry, inclusion_path(log.reader, position, signed.head.size), signed)


def prove_consistency(log: TransparencyLog, seen: SignedHead) -> ConsistencyProof:
    """Return the proof that the log's last head continues one that was seen; LogError if it does not."""
    log.check_seen(seen)
    signed = log.head
    return ConsistencyProof(seen, signed, consistency_path(log.reader, seen.head.size, signed.head.size))


def read_proof(path: str | Path) -> Proof:
    """Return the proof of a file, checked in form but not yet in truth."""
    what, fields = str(path), decode_file(path)
    form = fields.get("format") if isinstance(fields, dict) else None
    if form == INCLUSION_FORMAT:
        check_names(fields, what, _INCLUSION_FIELDS)
        position = fields["position"]
        if type(position) is not int or position < 0:
            raise LogError(f"{what}: the position is no whole number")
        entry = decode_entry(encode(fields["entry"]), position, what)
        return InclusionProof(entry, _path(fields["path"], what), head_of(fields["signed"], what))
    if form == CONSISTENCY_FORMAT:
        check_names(fields, what, _CONSISTENCY_FIELDS)
        first, second = (head_of(fields[name], what) for name in ("first", "second"))
        return ConsistencyProof(first, second, _path(fields["path"], what))
    raise LogError(f"{what}: is no proof of `hanok protect log prove`, and no log or export of one")


def _path(fields: Any, what: str) -> tuple[bytes, ...]:
    is_list = isinstance(fields, list) and len(fields) <= _LONGEST_PATH
    if not is_list or not all(isinstance(node, str) and _HASH.fullmatch(node) for node in fields):
        raise LogError(f"{what}: the path is no list of up to {_LONGEST_PATH} hashes")
    return tuple(bytes.fromhex(node) for node in fields)
