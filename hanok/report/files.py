"""Writing an output whole or not at all: a temporary file in the same folder, then a rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from hanok.errors import HanokError


class OutputError(HanokError):
    """A place where an output cannot be written."""


def check_writable(path: str | Path) -> Path:
    """Refuse, before long work, a path that is a folder or whose folder is missing or closed to us."""
    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; give the name of a file in it")
    if not folder.is_dir():
        raise OutputError(f"{target}: folder '{folder}' does not exist; make it first, or write elsewhere")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: folder '{folder}' cannot be written to; choose another")
    return target


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return write_through(path, lambda place: place.write_bytes(data))


def write_through(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path` with the same ending, then put it there as `write_whole` does."""
    target = check_writable(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            prefix=f".{target.name[:40]}.", suffix=f".part{target.suffix[:10]}", dir=target.parent
        )
        os.close(handle)
        write(Path(temporary))
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return target


def write_together(files: Mapping[Path, bytes | str]) -> None:
    """Write several files so that all are written, or, as long as the disk takes them, none is changed.

    They are put in place in order, so give first what the others need to be understood.
    """
    targets = [check_writable(path) for path in files]
    with ExitStack() as cleaning:
        places = []
        for target, content in zip(targets, files.values(), strict=True):
            data = content.encode("utf-8", "replace") if isinstance(content, str) else content
            try:
                handle, name = tempfile.mkstemp(
                    prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent
                )
                cleaning.callback(Path(name).unlink, missing_ok=True)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.chmod(name, 0o666 & ~_umask())
            except OSError as error:
                raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from None
            places.append(name)
        for name, target in zip(places, targets, strict=True):
            try:
                os.replace(name, target)
            except OSError as error:
                raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
