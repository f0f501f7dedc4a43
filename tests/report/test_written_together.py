"""Several files at once: all of them, or none where one cannot be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hanok.report.files import OutputError, write_together


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_are_written(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old", encoding="utf-8")
    write_together({tmp_path / "a": b"\xff\0", tmp_path / "b": "글"})
    assert (tmp_path / "a").read_bytes() == b"\xff\0"
    assert (tmp_path / "b").read_text("utf-8") == "글"
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("failing", ["fdopen", "chmod"])
def test_where_the_second_fails_the_first_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "b").write_text("old", encoding="utf-8")
    real, calls = getattr(os, failing), []

    def fail_later(*given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            if failing == "fdopen":
                os.close(given[0])
            raise OSError(28, "No space left on device")
        return real(*given, **more)

    monkeypatch.setattr(os, failing, fail_later)
    with pytest.raises(OutputError, match="b: cannot be written: No space left on device"):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text("utf-8") == "old"


def test_a_place_that_is_none_stops_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_together({tmp_path / "a": b"new", tmp_path: b"new"})
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_put_in_place_leaves_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="a: cannot be written: Operation not permitted"):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert names(tmp_path) == []
