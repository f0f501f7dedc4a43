"""The body of a sealed bundle: files in chunks of AES-256-GCM, worked on by a few threads in fixed memory.

Each chunk has a nonce of its own (STREAM, Hoang, Reyhanitabar, Rogaway, Vizar, CRYPTO 2015): 7 bytes of the
bundle, 4 of the chunk's number in the bundle, 1 that marks the last chunk of a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar

from hanok.protect._header import ContentKeys, altered
from hanok.protect._primitives import AESGCM, InvalidTag
from hanok.protect.manifest import CHUNK_BYTES, TAG_BYTES, BundleError, FileEntry

if TYPE_CHECKING:
    from hashlib import _Hash

MOST_WORKERS = 4
_RING = 4
"""Buffers of a worker: so many chunks may wait to be hashed or written."""
_Job = TypeVar("_Job")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is in the body: number of its first chunk, offset in the bundle in bytes."""

    file: FileEntry
    first_chunk: int
    offset: int


class Worker:
    """A cipher and buffers for one thread, with a second thread that hashes or writes behind it."""

    def __init__(self, keys: ContentKeys) -> None:
        self.cipher = AESGCM(keys.body)
        self.prefix = keys.nonce_prefix
        self.sealed = memoryview(bytearray(CHUNK_BYTES + TAG_BYTES))
        self.plain = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(_RING)]
        self.waiting: list[Future[None] | None] = [None] * _RING
        self.behind = ThreadPoolExecutor(1)

    def nonce(self, place: Place, chunk: int) -> bytes:
        """Return the nonce of a file's chunk, by its number in the file."""
        last = b"\1" if chunk == place.file.chunks - 1 else b"\0"
        return self.prefix + (place.first_chunk + chunk).to_bytes(4, "big") + last

    def buffers(self, place: Place) -> Iterator[tuple[int, memoryview]]:
        """Yield each chunk's number in the file, and a buffer of its length that no one waits for."""
        for chunk in range(place.file.chunks):
            slot = chunk % _RING
            self._settle(slot)
            length = min(CHUNK_BYTES, place.file.size_bytes - chunk * CHUNK_BYTES)
            yield chunk, self.plain[slot][:length]

    def later(self, place: Place, chunk: int, action: Callable[[], None]) -> None:
        """Do something with a chunk's buffer behind this thread, in order; at once in a file of one chunk."""
        if place.file.chunks == 1:
            action()
        else:
            self.waiting[chunk % _RING] = self.behind.submit(action)

    def finish(self) -> None:
        """Wait for what is behind; raise what it raised."""
        for slot in range(_RING):
            self._settle(slot)

    def _settle(self, slot: int) -> None:
        future, self.waiting[slot] = self.waiting[slot], None
        if future is not None:
            future.result()


def seal_file(worker: Worker, place: Place, source: int, target: int) -> str:
    """Encrypt a file between descriptors and return its SHA-256; refuse one that changed its length."""
    digest = hashlib.sha256()
    offset = place.offset
    for chunk, plain in worker.buffers(place):
        if _read(source, plain, chunk * CHUNK_BYTES) < len(plain):
            raise _changed(place)
        worker.later(place, chunk, _hashing(digest, plain))
        sealed = worker.sealed[: len(plain) + TAG_BYTES]
        worker.cipher.encrypt_into(worker.nonce(place, chunk), plain, None, sealed)
        _write(target, sealed, offset)
        offset += len(sealed)
    worker.finish()
    if os.fstat(source).st_size != place.file.size_bytes:
        raise _changed(place)
    return digest.hexdigest()


def verify_file(worker: Worker, place: Place, source: int, what: str) -> None:
    """Check every chunk's tag and the file's SHA-256, keeping nothing; raise BundleError if any is wrong."""
    digest = hashlib.sha256()
    for chunk, plain in _decrypted(worker, place, source, what):
        worker.later(place, chunk, _hashing(digest, plain))
    worker.finish()
    if digest.hexdigest() != place.file.sha256:
        raise altered(what, f"the file '{place.file.path:.120}'")


def release_file(worker: Worker, place: Place, source: int, target: int, what: str) -> None:
    """Decrypt a file, which was verified, into a descriptor."""
    for chunk, plain in _decrypted(worker, place, source, what):
        worker.later(place, chunk, _writing(target, plain, chunk * CHUNK_BYTES))
    worker.finish()


def work_through(
    keys: ContentKeys, jobs: Iterable[_Job], work: Callable[[Worker, _Job], None], workers: int | None = None
) -> None:
    """Do `work` for every job on a few threads; raise the first error once all threads have stopped."""
    queue, lock, stop = iter(jobs), Lock(), Event()

    def run() -> None:
        worker = Worker(keys)
        try:
            while not stop.is_set():
                with lock:
                    job = next(queue, None)
                if job is None:
                    return
                work(worker, job)
        finally:
            stop.set()
            worker.behind.shutdown()

    count = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run) for _ in range(count)]
        try:
            for future in futures:
                future.result()
        finally:
            stop.set()


def _decrypted(worker: Worker, place: Place, source: int, what: str) -> Iterator[tuple[int, memoryview]]:
    """Yield a file's chunks as plain text whose tag is right."""
    offset = place.offset
    for chunk, plain in worker.buffers(place):
        sealed = worker.sealed[: len(plain) + TAG_BYTES]
        if _read(source, sealed, offset) < len(sealed):
            raise BundleError(f"{what}: became shorter while it was read; nothing was opened, try again")
        try:
            worker.cipher.decrypt_into(worker.nonce(place, chunk), sealed, None, plain)
        except InvalidTag:
            raise altered(what, f"the file '{place.file.path:.120}'") from None
        offset += len(sealed)
        yield chunk, plain


def _hashing(digest: _Hash, plain: memoryview) -> Callable[[], None]:
    return lambda: digest.update(plain)


def _writing(target: int, plain: memoryview, offset: int) -> Callable[[], None]:
    return lambda: _write(target, plain, offset)


def _read(source: int, buffer: memoryview, offset: int) -> int:
    """Fill a buffer from an offset; return how many bytes there were."""
    done = 0
    while done < len(buffer):
        count = os.preadv(source, [buffer[done:]], offset + done)
        if not count:
            break
        done += count
    return done


def _write(target: int, buffer: memoryview, offset: int) -> None:
    done = 0
    while done < len(buffer):
        done += os.pwrite(target, buffer[done:], offset + done)


def _changed(place: Place) -> BundleError:
    return BundleError(
        f"file '{place.file.path:.120}': changed while it was sealed; let it rest and seal again"
    )
