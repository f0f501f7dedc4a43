"""Verifying a whole log, from its file or an export: every entry, every hash, every signed head."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hanok.protect._log_store import LogStore
from hanok.protect._log_tiles import TileWriter
from hanok.protect.canonical import decode, encode
from hanok.protect.keys import PublicKey
from hanok.protect.log_entries import MOST_ENTRY_BYTES, Entry, LogError, decode_entry
from hanok.protect.log_heads import SignedHead, check_follows, forked, head_of
from hanok.protect.log_proofs import InclusionProof, read_proof
from hanok.protect.merkle import Frontier, leaf_hash

EXPORT_FORMAT = "hanok log export 1"
_SQLITE = b"SQLite format 3\0"
_HEAD = b'{"head":'
_TILED = 65536
"""Entries whose tiles are compared at once."""
Item = bytes | SignedHead
"""What a log consists of, in order: entries, and after the entries that it covers, a head."""


@dataclass(frozen=True)
class Verified:
    """What was found right: the newest head, and how many entries of each kind (none for a proof)."""

    newest: SignedHead
    kinds: dict[str, int]
    what: str
    """`log`, `export`, `inclusion proof` or `consistency proof`."""
    entry: Entry | None = None
    """Of an inclusion proof."""


def verify_file(path: str | Path, signer: PublicKey, seen: SignedHead | None = None) -> Verified:
    """Verify a log, an export or a proof, by what the file is; raise a HanokError if anything is wrong.

    `signer`: who must have signed every head. `seen`: a head seen before, which must be of this log's past.
    """
    signer.must_sign(signer.name)
    if seen is not None:
        seen.check(signer, "the head seen before")
    beginning = _beginning(path)
    if beginning.startswith(_SQLITE):
        return _verify_log(path, signer, seen)
    if beginning.startswith(_export_line()[:-2]):
        with open(path, "rb") as file:
            replay = _Replay(signer, seen, str(path))
            _replay(_read_export(file, str(path)), replay)
        return replay.finish("export")
    proof = read_proof(path)
    proof.check(signer, str(path), seen)
    if isinstance(proof, InclusionProof):
        return Verified(proof.newest, {}, "inclusion proof", proof.entry)
    return Verified(proof.newest, {}, "consistency proof")


def export_log(path: str | Path, output: str | Path) -> int:
    """Write all entries and heads as lines of canonical JSON; return the number of entries."""
    store = LogStore.open(path)
    count = 0
    try:
        with open(output, "wb") as file:
            file.write(_export_line() + b"\n")
            for item in _items(store):
                count += isinstance(item, bytes)
                file.write(item + b"\n" if isinstance(item, bytes) else item.data)
    except OSError as error:
        raise LogError(f"{output}: cannot be written: {error.strerror or error}") from None
    finally:
        store.close()
    return count


def _export_line() -> bytes:
    return encode({"format": EXPORT_FORMAT})


def _beginning(path: str | Path) -> bytes:
    if not os.path.isfile(path):
        raise LogError(f"{path}: is no file; give a log, an export of one, or a proof")
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from None


def _verify_log(path: str | Path, signer: PublicKey, seen: SignedHead | None) -> Verified:
    """Replay a log's file, and compare the hashes that it keeps for proofs."""
    store = LogStore.open(path)
    try:
        with store.guarded():
            store.connection.execute("BEGIN")
        tiles, replay = _TileCheck(store), _Replay(signer, seen, str(path))
        _replay(_items(store), replay, tiles.append)
        found = replay.finish("log")
        tiles.finish()
    finally:
        store.close()
    return found


def _items(store: LogStore) -> Iterator[Item]:
    """Yield a file's entries and heads in order; refuse a gap."""
    heads = store.heads()
    head = next(heads, None)
    count = 0
    while head is not None and head.head.size == 0:
        yield head
        head = next(heads, None)
    for position, data in store.entries():
        if position != count:
            raise LogError(f"{store.path}: entry {count:,} is missing; the log is damaged or was altered")
        yield data
        count += 1
        if head is not None and head.head.size == count:
            yield head
            head = next(heads, None)
    if head is not None:
        raise LogError(
            f"{store.path}: has {count:,} entries, and a head signed for {head.head.size:,}; "
            "it was cut or altered"
        )


class _Replay:
    """Recomputes a tree from its entries, and holds every head against it."""

    def __init__(self, signer: PublicKey, seen: SignedHead | None, what: str) -> None:
        self.signer, self.seen, self.what = signer, seen, what
        self.tree, self.kinds = Frontier(), Counter[str]()
        self.last: SignedHead | None = None
        self.was_seen = False
        self._compare_seen()

    def entry(self, data: bytes) -> bytes:
        """Take an entry; return its hash."""
        self.kinds[decode_entry(data, self.tree.size, self.what).kind] += 1
        leaf = leaf_hash(data)
        self.tree.append(leaf)
        self._compare_seen()
        return leaf

    def head(self, found: SignedHead) -> None:
        """Take a head, which must be signed and be that of the entries so far."""
        found.check(self.signer, self.what)
        if self.last is not None and found.head.log != self.last.head.log:
            raise LogError(f"{self.what}: holds heads of two logs; it was altered")
        if self.last is not None and found.head.time < self.last.head.time:
            raise LogError(
                f"{self.what}: the head at {found.head.size:,} entries is older than one before it"
            )
        if (found.head.size, found.head.root) != (self.tree.size, self.tree.root):
            raise LogError(
                f"{self.what}: the first {self.tree.size:,} entries do not lead to the head signed for "
                f"{found.head.size:,}; they were altered"
            )
        self.last = found

    def finish(self, kind: str) -> Verified:
        """Return what was found, once the last head covers all and continues the one seen."""
        if self.last is None or self.last.head.size != self.tree.size:
            raise LogError(f"{self.what}: ends without a signed head; it was cut or altered")
        if self.seen is not None:
            check_follows(self.seen, self.last, self.what)
            if not self.was_seen:
                raise forked(self.seen, self.what)
        return Verified(self.last, dict(self.kinds), kind)

    def _compare_seen(self) -> None:
        if self.seen is not None and self.seen.head.size == self.tree.size:
            self.was_seen = self.seen.head.root == self.tree.root


def _replay(
    items: Iterable[Item], replay: _Replay, each: Callable[[bytes], None] = lambda leaf: None
) -> None:
    """Give items to a replay, and the hashes of entries to `each`."""
    for item in items:
        if isinstance(item, SignedHead):
            replay.head(item)
        else:
            each(replay.entry(item))


class _TileCheck:
    """Holds the hashes that a file keeps against those of its entries."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._writer = TileWriter(lambda level, number: b"", 0)
        self._leaves: list[bytes] = []
        self._count = 0

    def append(self, leaf: bytes) -> None:
        self._leaves.append(leaf)
        if len(self._leaves) == _TILED:
            self._compare()

    def finish(self) -> None:
        """Compare the last tiles; refuse any that belong to no entry."""
        self._writer.append(self._leaves)
        self._leaves = []
        self._writer.finish()
        self._compare()
        if self._store.tile_count() != self._count:
            raise LogError(f"{self._store.path}: keeps hashes of no entry; it is damaged or was altered")

    def _compare(self) -> None:
        self._writer.append(self._leaves)
        self._leaves = []
        for place, hashes in self._writer.changed.items():
            if self._store.tile(*place) != hashes:
                raise LogError(f"{self._store.path}: the hashes kept for proofs are not those of its entries")
        self._count += len(self._writer.changed)
        self._writer.changed.clear()


def _read_export(file: BinaryIO, what: str) -> Iterator[Item]:
    """Yield the items of an export's lines."""
    longest = MOST_ENTRY_BYTES + 1
    if file.readline(longest) != _export_line() + b"\n":
        raise LogError(f"{what}: is an export of another version; this hanok reads version 1")
    number = 1
    while line := file.readline(longest):
        number += 1
        if not line.endswith(b"\n"):
            raise LogError(f"{what}: line {number:,} is cut or too long; it is damaged")
        where = f"{what}: line {number:,}"
        yield head_of(decode(line[:-1], where), where) if line.startswith(_HEAD) else line[:-1]
