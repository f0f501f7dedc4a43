"""What is sealed: the files of paths and folders, with links, devices and private keys refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanok.protect.manifest import MOST_FILES, BundleError, FileEntry
from hanok.protect.names import check_paths

_NO_DIGEST = "0" * 64
_PRIVATE_KEYS = (b"hanok private key ", b"-----BEGIN OPENSSH PRIVATE KEY", b"-----BEGIN PRIVATE KEY")
_HEAD_BYTES = max(map(len, _PRIVATE_KEYS))


@dataclass(frozen=True, slots=True)
class Source:
    """A file to seal: where it is, and its entry, whose hash is not known yet."""

    place: str
    entry: FileEntry


def find_sources(paths: Sequence[str | Path], output: str | Path) -> tuple[Source, ...]:
    """Return the files of paths and folders in the order of a bundle.

    A path appears under its last component. Raises BundleError for links, devices, an output inside a folder
    that is sealed, private keys, and UnsafeNameError for names that are not safe on every system.
    """
    found: list[Source] = []
    for path in paths:
        top = os.path.abspath(path)
        name = os.path.basename(top)
        if not name:
            raise BundleError(f"{path}: is the root of a file system; give a folder in it")
        _check_outside(top, output)
        for place, inner in _walk(top, name):
            found.append(Source(place, _entry(place, inner)))
            if len(found) > MOST_FILES:
                raise BundleError(f"more than {MOST_FILES:,} files; seal an archive of them")
    if not found:
        raise BundleError("nothing to seal: the folders hold no files")
    check_paths(source.entry.path for source in found)
    return tuple(sorted(found, key=lambda source: source.entry.path.encode()))


def open_source(source: Source) -> int:
    """Return a descriptor of the file, which must still be the plain file that it was."""
    try:
        descriptor = os.open(source.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{_shown(source.place)}: cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{_shown(source.place)}: is no plain file any more; seal again")
    return descriptor


def check_no_secret(source: Source, head: bytes) -> None:
    """Refuse a file that begins as private keys do."""
    if head.startswith(_PRIVATE_KEYS):
        raise BundleError(f"{_shown(source.place)}: is a private key; take it out of what is delivered")


def _walk(top: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield each plain file below a path, and its path in the bundle; refuse everything else."""
    waiting = [(top, name)]
    while waiting:
        place, inner = waiting.pop()
        try:
            mode = os.lstat(place).st_mode
            if stat.S_ISDIR(mode):
                waiting += [(f"{place}/{each}", f"{inner}/{each}") for each in os.listdir(place)]
                continue
        except OSError as error:
            raise BundleError(f"{_shown(place)}: cannot be read: {error.strerror or error}") from None
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a device, a pipe or a socket"
            raise BundleError(f"{_shown(place)}: is {kind}; a bundle takes files and folders, so remove it")
        yield place, inner


def _entry(place: str, inner: str) -> FileEntry:
    found = os.lstat(place)
    source = Source(place, FileEntry(inner, found.st_size, _NO_DIGEST, bool(found.st_mode & stat.S_IXUSR)))
    descriptor = open_source(source)
    try:
        check_no_secret(source, os.pread(descriptor, _HEAD_BYTES, 0))
    finally:
        os.close(descriptor)
    return source.entry


def _check_outside(top: str, output: str | Path) -> None:
    target = os.path.realpath(output)
    if os.path.commonpath([os.path.realpath(top), target]) == os.path.realpath(top):
        raise BundleError(f"{output}: lies in '{_shown(top)}', which is to be sealed; write it elsewhere")


def _shown(place: str) -> str:
    """A path as text that can be printed."""
    return os.fsencode(place).decode("utf-8", "backslashreplace")
