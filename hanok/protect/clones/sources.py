"""What a user gives as a design, Verilog files, a folder of them or Yosys' JSON, read within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hanok.errors import HanokError

MAX_BYTES = 16 << 20
"""Of all files of a design together: what is tokenised in two seconds."""
MAX_FILES = 5_000
"""Files of a folder that are looked at."""
SOURCE_ENDINGS = (".v", ".sv")
HEADER_ENDINGS = (".vh", ".svh", ".h", ".inc")
NETLIST_ENDINGS = (".json",)


class SourceError(HanokError):
    """A design that cannot be read."""


@dataclass(frozen=True)
class SourceFile:
    """A file: its name as it is shown, and its bytes as Latin-1, which any bytes are."""

    name: str
    text: str

    @property
    def ending(self) -> str:
        return os.path.splitext(self.name)[1].lower()

    @property
    def is_header(self) -> bool:
        return self.ending in HEADER_ENDINGS


@dataclass(frozen=True)
class Sources:
    """The files of a design, in the order of their names."""

    name: str
    files: tuple[SourceFile, ...]

    @property
    def is_json(self) -> bool:
        """Whether it is a netlist that Yosys wrote."""
        return len(self.files) == 1 and self.files[0].ending in NETLIST_ENDINGS


def read_design(path: Path) -> Sources:
    """Read a file, or the Verilog of a folder; links in a folder are not followed.

    Raises SourceError for what is missing, no file, too large or without Verilog.
    """
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return _read_folder(path)
        if not stat.S_ISREG(kind):
            raise SourceError(f"{path}: is neither a file nor a folder; give Verilog files")
        text, _ = _read(path, MAX_BYTES, path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None
    if not text.strip():
        raise SourceError(f"{path}: is empty; give Verilog, a folder of it, or Yosys' JSON")
    return Sources(path.name, (SourceFile(path.name, text),))


def _read(path: Path, left_bytes: int, design: Path) -> tuple[str, int]:
    """Return the text of a file and its size; read no more than is allowed."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > left_bytes else file.read(left_bytes + 1)
    if max(size, len(content)) > left_bytes:
        raise SourceError(
            f"{design}: more than {MAX_BYTES >> 20} MiB of text; give the modules in question alone"
        )
    return content.decode("latin-1"), len(content)


def _read_folder(path: Path) -> Sources:
    left_bytes = MAX_BYTES
    files = []
    for place in _verilog_files(path):
        text, size = _read(place, left_bytes, path)
        left_bytes -= size
        files.append(SourceFile(place.relative_to(path).as_posix(), text))
    if not any(file.ending in SOURCE_ENDINGS for file in files):
        raise SourceError(f"{path}: holds no Verilog; files that end in {', '.join(SOURCE_ENDINGS)} are read")
    return Sources(path.name or path.resolve().name, tuple(files))


def _verilog_files(path: Path) -> list[Path]:
    found = []
    for seen, place in enumerate(_walk(path)):
        if seen >= MAX_FILES:
            raise SourceError(f"{path}: more than {MAX_FILES:,} files; give a folder of the design alone")
        if place.suffix.lower() in SOURCE_ENDINGS + HEADER_ENDINGS:
            found.append(place)
    return sorted(found)


def _walk(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path, followlinks=False):
        for name in names:
            place = Path(folder) / name
            if not place.is_symlink() and place.is_file():
                yield place
