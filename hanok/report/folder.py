"""Writing a folder of files whole or not at all, and again only over what was written before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanok.report.files import OutputError

MANIFEST = "manifest.json"
"""Names the maker and lists the files with their SHA-256."""
WORK = ("build", "obj_dir", "__pycache__", "results.xml")
"""What tools leave in such a folder, and may be thrown away with it."""


def check_folder(path: str | Path, maker: str) -> Path:
    """Refuse, before long work, a folder that holds anything that `maker` did not write there."""
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise OutputError(
            f"{path}: folder '{target.parent}' does not exist; make it first, or write elsewhere"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: folder '{target.parent}' cannot be written to; choose another")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{path}: is no folder; give the name of a new folder")
    if not target.exists() or not any(target.iterdir()):
        return target
    listed = _listed_files(target, maker)
    if listed is None:
        raise OutputError(f"{path}: holds files that '{maker}' did not write; give a new or an empty folder")
    for file in sorted(target.rglob("*")):
        inner = file.relative_to(target)
        is_ours = inner.as_posix() in listed or file.name == MANIFEST or set(inner.parts) & set(WORK)
        if not file.is_dir() and not is_ours:
            raise OutputError(f"{path}: holds '{inner}', which '{maker}' did not write; move it away first")
    return target


def write_folder(path: str | Path, files: Mapping[str, bytes], maker: str, about: Mapping[str, str]) -> Path:
    """Write files, by their path in the folder, so that a reader sees the old folder or the new one."""
    target = check_folder(path, maker)
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = {"maker": maker, **about, "sha256": digests}
    content = {**files, MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()}
    work = ""
    try:
        work = tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
        new, old = Path(work) / "new", Path(work) / "old"
        for name, data in content.items():
            place = new / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if work:
            shutil.rmtree(work, ignore_errors=True)
    return target


def _listed_files(folder: Path, maker: str) -> set[str] | None:
    """Files that the folder's manifest lists; None if it has none of this maker."""
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("maker") != maker:
        return None
    listed = manifest.get("sha256")
    return set(listed) if isinstance(listed, dict) else None
