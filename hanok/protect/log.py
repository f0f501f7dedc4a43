"""A transparency log: entries that can be added to and never altered unseen, in one SQLite file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from hanok.protect._log_store import LogStore
from hanok.protect._log_tiles import TileWriter, tile_reader
from hanok.protect.keys import PrivateKey
from hanok.protect.licence import time_text
from hanok.protect.log_entries import Entry, LogError, Value, decode_entry, encode_entry, kind_bytes
from hanok.protect.log_heads import SignedHead, TreeHead, check_follows, forked, sign_head
from hanok.protect.merkle import EMPTY_ROOT, HASH_BYTES, Reader, leaf_hash, range_root

BATCH = 20_000
"""Entries that are made durable at once by `append_many`."""


class TransparencyLog:
    """Append entries and read them; a context manager that closes its file.

    `signer` signs a new head with each batch; without one the log can only be read.
    """

    def __init__(self, store: LogStore, signer: PrivateKey | None) -> None:
        self._store = store
        self._signer = signer

    @classmethod
    def create(cls, path: str | Path, signer: PrivateKey, now: datetime | None = None) -> TransparencyLog:
        """Make an empty log with its first signed head; raise LogError if the file is there."""
        signer.public.must_sign(signer.public.name)
        head = sign_head(TreeHead(os.urandom(32).hex(), 0, EMPTY_ROOT, _time(now)), signer)
        return cls(LogStore.create(path, head), signer)

    @classmethod
    def open(cls, path: str | Path, signer: PrivateKey | None = None) -> TransparencyLog:
        """Open a log; with `signer`, who must have signed its last head, for appending too."""
        if signer is not None:
            signer.public.must_sign(signer.public.name)
        log = cls(LogStore.open(path, for_writing=signer is not None), signer)
        try:
            if signer is not None:
                log.head.check(signer.public, str(path))
        except BaseException:
            log.close()
            raise
        return log

    def __enter__(self) -> TransparencyLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    @property
    def path(self) -> str:
        """The log's file."""
        return self._store.path

    @property
    def head(self) -> SignedHead:
        """The signed head of the whole log."""
        return self._store.last_head()

    @property
    def reader(self) -> Reader:
        """The tree as `merkle` reads it; hashes come from the file and are not verified here."""
        read = tile_reader(self._store.tile)

        def checked(level: int, number: int) -> bytes:
            found = read(level, number)
            if len(found) != HASH_BYTES:
                raise LogError(f"{self.path}: hashes of its tree are missing; it is damaged")
            return found

        return checked

    def append(self, kind: str, fields: Mapping[str, Value], now: datetime | None = None) -> Entry:
        """Append one entry and return it; it is on the disk, under a signed head, when this returns.

        `kind`: one of `log_entries.KINDS`, with the fields that it must have and any more.
        """
        size = self.append_many([(kind, fields)], now)
        return self.entry(size - 1)

    def append_many(
        self, entries: Iterable[tuple[str, Mapping[str, Value]]], now: datetime | None = None
    ) -> int:
        """Append entries in batches of BATCH, each durable under a signed head; return the log's new size."""
        batch: list[bytes] = []
        at = _time(now)
        for kind, fields in entries:
            batch.append(encode_entry(kind, at, fields))
            if len(batch) == BATCH:
                self._write(batch, at)
                batch = []
        return self._write(batch, at)

    def entry(self, position: int) -> Entry:
        """Return one entry by its position from 0."""
        return decode_entry(self.entry_bytes(position), position, self.path)

    def entry_bytes(self, position: int) -> bytes:
        """Return the canonical bytes of one entry."""
        size = self.head.head.size
        if not 0 <= position < size:
            raise LogError(f"{self.path}: has no entry {position:,}; its {size:,} entries count from 0")
        return self._store.entry(position)

    def entries(self, kind: str = "") -> Iterator[Entry]:
        """Yield all entries, or those of one kind, in the order of appending."""
        for position, data in self._store.entries(kind_bytes(kind) if kind else b""):
            yield decode_entry(data, position, self.path)

    def check_seen(self, seen: SignedHead) -> None:
        """Raise LogError if a head that was seen before is not one of this log's past."""
        check_follows(seen, self.head, self.path)
        if range_root(self.reader, 0, seen.head.size) != seen.head.root:
            raise forked(seen, self.path)

    def _write(self, batch: list[bytes], at: str) -> int:
        """Append a batch in one transaction under a new head; return the log's size."""
        if self._signer is None:
            raise LogError(f"{self.path}: was opened for reading; give the key that signs it")
        with self._store.transaction():
            last = self.head
            if not batch:
                return last.head.size
            size = last.head.size + len(batch)
            tiles = TileWriter(self._store.tile, last.head.size)
            tiles.append([leaf_hash(data) for data in batch])
            changed = tiles.finish()
            read = tile_reader(
                lambda level, number: changed.get((level, number)) or self._store.tile(level, number)
            )
            if range_root(read, 0, last.head.size) != last.head.root:
                raise LogError(
                    f"{self.path}: its hashes do not lead to its last head; verify it, and restore it"
                )
            head = TreeHead(last.head.log, size, range_root(read, 0, size), max(at, last.head.time))
            self._store.add(last.head.size, batch, changed, sign_head(head, self._signer))
        return size


def _time(now: datetime | None) -> str:
    return time_text(now or datetime.now(UTC))
