"""The manifest of a sealed bundle: its files, their hashes, and the licence they are given under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from hanok.errors import HanokError
from hanok.protect.canonical import check_names, decode_object, encode
from hanok.protect.licence import Licence, licence_fields, licence_of, parse_time
from hanok.protect.names import check_paths

CHUNK_BYTES = 1 << 20
TAG_BYTES = 16
MOST_FILES = 40_000
"""Each takes about 1 kB of memory, so that the whole stays under 64 MiB."""
MOST_MANIFEST_BYTES = 1 << 24
MOST_CHUNKS = 1 << 32
_FIELDS = frozenset({"files", "licence", "sealed_at"})
_FILE_FIELDS = frozenset({"executable", "path", "sha256", "size"})
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleError(HanokError):
    """A sealed bundle that cannot be made, or must not be opened."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: path with `/`, length in bytes, SHA-256 in hexadecimal, whether it may be executed."""

    path: str
    size_bytes: int
    sha256: str
    is_executable: bool

    @property
    def chunks(self) -> int:
        """How many chunks it takes: the last may be short, an empty file has none."""
        return -(-self.size_bytes // CHUNK_BYTES)

    @property
    def sealed_bytes(self) -> int:
        """Its length in the body."""
        return self.size_bytes + TAG_BYTES * self.chunks


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds, in the order of the body (paths by their UTF-8 bytes)."""

    files: tuple[FileEntry, ...]
    licence: Licence
    sealed_at: str

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def body_bytes(self) -> int:
        """Bytes of the body."""
        return sum(file.sealed_bytes for file in self.files)

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Of each file, the number of its first chunk and where in the body it begins."""
        chunks = accumulate((file.chunks for file in self.files), initial=0)
        offsets = accumulate((file.sealed_bytes for file in self.files), initial=0)
        return tuple(zip(chunks, offsets, strict=True))[:-1]


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes that are signed."""
    files = [
        {
            "executable": file.is_executable,
            "path": file.path,
            "sha256": file.sha256,
            "size": file.size_bytes,
        }
        for file in manifest.files
    ]
    data = encode(
        {"files": files, "licence": licence_fields(manifest.licence), "sealed_at": manifest.sealed_at}
    )
    if len(data) > MOST_MANIFEST_BYTES:
        raise BundleError(
            f"the list of files takes {len(data):,} bytes, more than {MOST_MANIFEST_BYTES:,}; "
            "seal an archive of them"
        )
    return data


def check_counts(files: tuple[FileEntry, ...]) -> None:
    """Refuse no files, too many, and more data than a bundle's counter of chunks can tell apart."""
    if not 0 < len(files) <= MOST_FILES:
        raise BundleError(
            f"{len(files):,} files; a bundle takes 1 to {MOST_FILES:,}: seal an archive of them"
        )
    if sum(file.chunks for file in files) > MOST_CHUNKS:
        raise BundleError("more than 4 PiB of files; seal several bundles")


def decode_manifest(data: bytes, what: str) -> Manifest:
    """Return the manifest of canonical bytes; raise a HanokError if any rule is broken."""
    fields = decode_object(data, f"{what}: manifest", _FIELDS)
    if not isinstance(fields["files"], list) or not isinstance(fields["sealed_at"], str):
        raise BundleError(f"{what}: the manifest's list of files is no list")
    parse_time(fields["sealed_at"])
    files = tuple(_file(entry, what) for entry in fields["files"])
    check_counts(files)
    check_paths(file.path for file in files)
    names = [file.path.encode() for file in files]
    if names != sorted(names):
        raise BundleError(f"{what}: the manifest's files are not in their order")
    return Manifest(files, licence_of(fields["licence"], f"{what}: licence"), fields["sealed_at"])


def _file(entry: Any, what: str) -> FileEntry:
    fields = check_names(entry, f"{what}: file", _FILE_FIELDS)
    path, size, digest, executable = (fields[name] for name in ("path", "size", "sha256", "executable"))
    is_right = isinstance(path, str) and type(size) is int and size >= 0 and isinstance(executable, bool)
    if not is_right or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise BundleError(f"{what}: the manifest's file {str(path)!r:.120} has a field of the wrong kind")
    return FileEntry(path, size, digest, executable)
