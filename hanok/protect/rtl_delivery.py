"""A folder that `hanok rtl` wrote: read with all its digests checked, and marked for a recipient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from hanok.errors import HanokError
from hanok.machine import Chip
from hanok.rtl.core import Core
from hanok.rtl.delivery import CHIP_FILE, SOURCES, core_sources
from hanok.rtl.marks import MARKS

MAKER, MANIFEST = "hanok rtl", "manifest.json"
MOST_FILES, MOST_FILE_BYTES = 4096, 1 << 28


class DeliveryError(HanokError):
    """A folder that is no delivery of this hanok's, or was changed."""


@dataclass(frozen=True)
class RtlDelivery:
    """A core's files by path, the description that they come from, and what the manifest says of them."""

    chip: Chip
    files: dict[str, bytes]
    about: dict[str, str]

    @property
    def marks(self) -> int:
        """How many bits a copy carries."""
        return MARKS

    @property
    def sources(self) -> list[str]:
        """The Verilog, a text a module."""
        return [text.decode() for path, text in self.files.items() if _is_source(path)]

    def marked(self, marks: Sequence[int]) -> RtlDelivery:
        """Return the delivery with a core that carries `MARKS` bits.

        Raises DeliveryError where the core in the folder is not the one that this hanok makes of its chip.
        """
        version = self.about["hanok"]
        plain = _plain_sources(self.files[CHIP_FILE], version)
        if {path: text.encode() for path, text in plain.items()} != self._verilog():
            raise DeliveryError(
                f"the Verilog is not what this hanok makes of the folder's {CHIP_FILE}; "
                f"make the folder anew with `{MAKER}`, then mark it"
            )
        marked = core_sources(Core(self.chip, marks=marks), self.chip, version)
        assert marked.keys() == plain.keys(), "marks add no modules"
        return RtlDelivery(
            self.chip, self.files | {path: text.encode() for path, text in marked.items()}, self.about
        )

    def _verilog(self) -> dict[str, bytes]:
        return {path: text for path, text in self.files.items() if _is_source(path)}


def is_rtl_delivery(folder: Path) -> bool:
    """Whether a folder says that `hanok rtl` wrote it."""
    try:
        return folder.is_dir() and _manifest(folder).get("maker") == MAKER
    except DeliveryError:
        return False


def read_rtl_delivery(folder: Path) -> RtlDelivery:
    """Read a delivery; raises DeliveryError for one that is not whole, or was changed."""
    manifest = _manifest(folder)
    digests = manifest.get("sha256")
    about = {name: manifest.get(name) for name in ("hanok", "chip", "top")}
    named = all(isinstance(value, str) for value in about.values())
    if (
        manifest.get("maker") != MAKER
        or not named
        or not isinstance(digests, dict)
        or CHIP_FILE not in digests
    ):
        raise DeliveryError(
            f"{folder}: is no folder of `{MAKER}`; make one with `{MAKER} --chip CHIP -o FOLDER`"
        )
    if len(digests) > MOST_FILES:
        raise DeliveryError(f"{folder}: lists {len(digests)} files; at most {MOST_FILES} are read")
    files = {path: _content(folder, path, digest) for path, digest in digests.items()}
    try:
        description = json.loads(files[CHIP_FILE])
    except (ValueError, RecursionError) as error:
        raise DeliveryError(f"{folder}/{CHIP_FILE}: not JSON: {error}") from None
    if not isinstance(description, dict):
        raise DeliveryError(f"{folder}/{CHIP_FILE}: describes no chip")
    chip = Chip.from_dict(description, f"{folder}/{CHIP_FILE}")
    return RtlDelivery(chip, files, {name: str(value) for name, value in about.items()})


@lru_cache(1)
def _plain_sources(description: bytes, version: str) -> dict[str, str]:
    """The Verilog of an unmarked core; kept, for one core is marked for many."""
    chip = Chip.from_dict(json.loads(description), CHIP_FILE)
    return core_sources(Core(chip), chip, version)


def _is_source(path: str) -> bool:
    return path.startswith(f"{SOURCES}/") and path.endswith(".v")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise DeliveryError(f"{path}: too large")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DeliveryError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DeliveryError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise DeliveryError(f"{path}: no manifest of a folder")
    return content


def _content(folder: Path, name: str, digest: Any) -> bytes:
    """Read a file of the manifest, which must lie in the folder and be what the manifest says."""
    inner = PurePosixPath(name)
    path = folder / inner
    if inner.is_absolute() or ".." in inner.parts or path.is_symlink() or not path.is_file():
        raise DeliveryError(f"{folder}: lists '{name}', which is no file of it")
    if path.stat().st_size > MOST_FILE_BYTES:
        raise DeliveryError(f"{path}: larger than {MOST_FILE_BYTES >> 20} MiB")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DeliveryError(f"{path}: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise DeliveryError(f"{path}: was changed since `{MAKER}` wrote it; make the folder anew")
    return content
