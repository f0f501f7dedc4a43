"""The SQLite file of a log: its tables, opened so that a file made by someone else runs nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from hanok.protect.log_entries import MOST_ENTRY_BYTES, LogError
from hanok.protect.log_heads import SignedHead, head_of

FORMAT = 1
_SECONDS_TO_WAIT = 60
"""For others to finish: verifying a million entries takes 20 s, in which nothing can be appended."""
_PAGE = 500
"""Rows that are read at once, so that a reader who takes its time keeps nobody from appending."""
_TABLES = {
    "entries": "CREATE TABLE entries(position INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "heads": "CREATE TABLE heads(size INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "tiles": "CREATE TABLE tiles(level INTEGER, number INTEGER, hashes BLOB NOT NULL, "
    "PRIMARY KEY(level, number)) WITHOUT ROWID",
}
_APPLICATION = 0x484E4B4C
"""HNKL: what PRAGMA application_id says."""


class LogStore:
    """Rows in and out of a log's file; nothing here knows what they mean."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection, self.path = connection, path

    @classmethod
    def create(cls, path: str | Path, head: SignedHead) -> LogStore:
        """Make the file of an empty log, whole or not at all; refuse one that is there."""
        if not Path(path).absolute().parent.is_dir():
            raise LogError(f"{path}: its folder does not exist; make it first")
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            raise LogError(f"{path}: cannot be made: {error.strerror or error}") from None
        store = cls(_connect(path, "rw"), str(path))
        try:
            with store.guarded():
                store._set_up()
                store.connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                store.connection.execute(f"PRAGMA user_version = {FORMAT}")
            with store.transaction():
                for statement in _TABLES.values():
                    store.connection.execute(statement)
                store.add(0, (), {}, head)
        except BaseException:
            store.connection.close()
            os.unlink(path)
            raise
        return store

    @classmethod
    def open(cls, path: str | Path, for_writing: bool = False) -> LogStore:
        """Open a log's file; raise LogError for anything else.

        Where it may be written, what a program that was killed left half done is taken back on the way.
        """
        if not os.path.isfile(path):
            raise LogError(f"{path}: is no log; `hanok protect log create` makes one")
        may_write = for_writing or os.access(path, os.W_OK)
        store = cls(_connect(path, "rw" if may_write else "ro"), str(path))
        try:
            store._check_form(for_writing)
        except BaseException:
            store.connection.close()
            raise
        return store

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn what SQLite says of a file into our words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise LogError(
                f"{self.path}: {error}; another program may be using it, or it is damaged"
            ) from None
        except sqlite3.Error as error:
            raise LogError(f"{self.path}: is damaged, or no log: {error}") from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and on the disk when it ends."""
        with self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def entry(self, position: int) -> bytes:
        """Return the bytes of an entry."""
        row = self._one("SELECT data FROM entries WHERE position = ?", position)
        return self._blob(row, f"entry {position:,}")

    def entries(self, part: bytes = b"") -> Iterator[tuple[int, bytes]]:
        """Yield positions and bytes of all entries, or of those that hold `part`."""
        rows = self._page("instr(data, ?)" if part else "?", part or 1)
        while rows:
            for position, data in rows:
                yield position, self._blob((data,), f"entry {position:,}")
            rows = self._page(
                "instr(data, ?) AND position > ?" if part else "? AND position > ?", part or 1, position
            )

    def heads(self) -> Iterator[SignedHead]:
        """Yield all signed heads, smallest first."""
        with self.guarded():
            for size, data in self.connection.execute("SELECT size, data FROM heads ORDER BY size"):
                yield self._head(size, data)

    def last_head(self) -> SignedHead:
        """Return the head of the whole log."""
        row = self._one("SELECT size, data FROM heads ORDER BY size DESC LIMIT 1")
        if row is None:
            raise LogError(f"{self.path}: has no signed head; it is damaged")
        return self._head(*row)

    def tile(self, level: int, number: int) -> bytes:
        """Return the hashes of a tile, b"" if there is none."""
        row = self._one("SELECT hashes FROM tiles WHERE level = ? AND number = ?", level, number)
        return b"" if row is None else self._blob(row, f"tile {level}/{number}")

    def tile_count(self) -> int:
        """Return how many tiles there are."""
        with self.guarded():
            return int(self.connection.execute("SELECT count(*) FROM tiles").fetchone()[0])

    def add(
        self,
        first: int,
        entries: Iterable[bytes],
        tiles: dict[tuple[int, int], bytes],
        head: SignedHead,
    ) -> None:
        """Write entries from a position on, tiles and a head, inside a transaction."""
        run = self.connection.executemany
        run("INSERT INTO entries VALUES(?, ?)", enumerate(entries, first))
        run("INSERT OR REPLACE INTO tiles VALUES(?, ?, ?)", ((*place, data) for place, data in tiles.items()))
        run("INSERT OR REPLACE INTO heads VALUES(?, ?)", [(head.head.size, head.data)])

    def _set_up(self) -> None:
        """Run no code of the file, check its pages, and be on the disk at the end of a transaction."""
        for setting in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "synchronous = FULL",
            "mmap_size = 0",
        ):
            self.connection.execute(f"PRAGMA {setting}")

    def _check_form(self, for_writing: bool) -> None:
        """Refuse a file with other tables, or with triggers and views."""
        with self.guarded():
            self._set_up()
            self.connection.execute(f"PRAGMA query_only = {'OFF' if for_writing else 'ON'}")
            application = self.connection.execute("PRAGMA application_id").fetchone()[0]
            version = self.connection.execute("PRAGMA user_version").fetchone()[0]
            found = dict(self.connection.execute("SELECT name, sql FROM sqlite_master LIMIT 10").fetchall())
        if application != _APPLICATION:
            raise LogError(
                f"{self.path}: is a database of something else; `hanok protect log create` makes a log"
            )
        if version != FORMAT:
            raise LogError(f"{self.path}: is a log of version {version}; this hanok reads version {FORMAT}")
        if found != _TABLES:
            raise LogError(f"{self.path}: has other tables than a log; it is damaged or was altered")

    def _page(self, condition: str, *values: bytes | int) -> list[tuple[int, object]]:
        statement = f"SELECT position, data FROM entries WHERE {condition} ORDER BY position LIMIT {_PAGE}"
        with self.guarded():
            return self.connection.execute(statement, values).fetchall()

    def _one(self, statement: str, *values: int) -> tuple[object, ...] | None:
        with self.guarded():
            found: tuple[object, ...] | None = self.connection.execute(statement, values).fetchone()
        return found

    def _blob(self, row: tuple[object, ...] | None, what: str) -> bytes:
        if row is None:
            raise LogError(f"{self.path}: {what} is missing")
        if not isinstance(row[0], bytes):
            raise LogError(f"{self.path}: {what} is no bytes; the log is damaged or was altered")
        return row[0]

    def _head(self, size: object, data: object) -> SignedHead:
        from hanok.protect.canonical import decode

        what = f"{self.path}: head {size}"
        found = head_of(decode(self._blob((data,), "a head").removesuffix(b"\n"), what), what)
        if found.head.size != size:
            raise LogError(f"{what}: says {found.head.size}; the log is damaged or was altered")
        return found


def _connect(path: str | Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit that reads no row that is too long."""
    place = quote(os.path.abspath(path))
    connection = sqlite3.connect(
        f"file:{place}?mode={mode}", uri=True, timeout=_SECONDS_TO_WAIT, isolation_level=None
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * MOST_ENTRY_BYTES)
    return connection
