"""A folder of files is written whole or not at all, and never over what somebody else put there."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from hanok.report.files import OutputError
from hanok.report.folder import MANIFEST, check_folder, write_folder

FILES = {"a.txt": b"1", "inner/b.bin": b"\x00\xff"}


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_has_its_files_and_their_digests(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "out", FILES, "maker", {"chip": "x"})
    found = content(target)
    manifest = json.loads(found.pop(MANIFEST))
    assert found == FILES
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert manifest == {"maker": "maker", "chip": "x", "sha256": digests}
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_and_an_own_one_are_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    write_folder(target, FILES, "maker", {})
    (target / "build").mkdir()
    (target / "build" / "x.o").write_bytes(b"work of a tool")
    write_folder(target, {"c": b"3"}, "maker", {})
    assert set(content(target)) == {"c", MANIFEST}


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "out", FILES, "maker", {})
    with pytest.raises(
        OutputError, match="holds files that 'other' did not write; give a new or an empty folder"
    ):
        write_folder(target, FILES, "other", {})
    (target / "notes.txt").write_text("mine")
    with pytest.raises(
        OutputError, match=r"holds 'notes.txt', which 'maker' did not write; move it away first"
    ):
        write_folder(target, {"c": b"3"}, "maker", {})
    assert set(content(target)) == {*FILES, MANIFEST, "notes.txt"}
    (target / "notes.txt").unlink()
    for text in ("no JSON", "[]", '{"maker": "maker", "sha256": 3}'):
        (target / MANIFEST).write_text(text)
        with pytest.raises(OutputError, match="did not write"):
            check_folder(target, "maker")


def test_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is no folder"):
        check_folder(tmp_path / "file", "maker")
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_folder(tmp_path / "none" / "out", "maker")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="is no folder"):
        check_folder(tmp_path / "link", "maker")


def test_a_failure_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_folder(tmp_path / "out", FILES, "maker", {})
    before, real = content(target), os.replace

    def broken(source: Path, destination: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        real(source, destination)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OutputError, match="cannot be written: No space left"):
        write_folder(target, {"c": b"3"}, "maker", {})
    assert content(target) == before
    assert os.listdir(tmp_path) == ["out"]
