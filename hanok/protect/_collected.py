"""The files of what a user gives: a file or a folder each, by their path in a copy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from hanok.protect.tardos import FingerprintError

MOST_FILES, MOST_BYTES = 100_000, 4 << 30


def collected(paths: Sequence[Path]) -> dict[str, Path]:
    """Return files by their path in a copy; links and what is no file are refused."""
    found: dict[str, Path] = {}
    total = 0
    for path in paths:
        for relative, file in _inside(path):
            if relative in found:
                raise FingerprintError(f"{file}: another file of this copy is called '{relative}' too")
            found[relative] = file
            total += file.stat().st_size
            if len(found) > MOST_FILES or total > MOST_BYTES:
                raise FingerprintError(
                    f"{path}: more than {MOST_FILES:,} files or {MOST_BYTES >> 30} GiB; give its parts"
                )
    return found


def _inside(path: Path) -> list[tuple[str, Path]]:
    is_folder = path.is_dir() and not path.is_symlink()
    found = []
    for file in sorted(path.rglob("*")) if is_folder else [path]:
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            what = "is a link or a device" if file.is_symlink() or file.exists() else "does not exist"
            raise FingerprintError(f"{file}: {what}; give files and folders")
        if not file.is_dir():
            found.append((file.relative_to(path).as_posix() if is_folder else file.name, file))
    return found


def digest_of(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of a file, or of the lines `digest  path` of a folder's files."""
    digests = {name: _sha256(path) for name, path in sorted(files.items())}
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256(
        "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    ).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
