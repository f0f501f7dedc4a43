"""Outputs are written whole or not at all."""

import os
from pathlib import Path

import pytest

from hanok.errors import HanokError
from hanok.report.files import OutputError, check_writable, write_through, write_whole


def test_old_content_stays_until_the_new_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    write_whole(target, "old")

    def broken(source: str, destination: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OutputError, match=r"report\.html: cannot be written: No space left"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_writable(tmp_path / "none" / "x.html")


def test_bytes_and_permissions(tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    target = write_whole(tmp_path / "x", b"\x00\xff")
    assert target.read_bytes() == b"\x00\xff"
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "commands.csv.gz"

    def half(place: Path) -> None:
        assert place.suffix == ".gz"
        place.write_text("half")
        raise HanokError("no room")

    with pytest.raises(HanokError, match="no room"):
        write_through(target, half)
    assert os.listdir(tmp_path) == []
    write_through(target, lambda place: place.write_text("whole"))
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == ["commands.csv.gz"]
