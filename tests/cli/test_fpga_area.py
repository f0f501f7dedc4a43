"""`hanok fpga` and `hanok area`: what is refused in one line, and what is printed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_types import Run

from hanok.flows import area, fpga
from hanok.flows.area import BlockArea
from hanok.flows.fpga import FpgaBuild
from hanok.rtl.fpga_board import Resources, board_of


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_load_takes_a_model(hanok_command: Run, program_file: Path) -> None:
    refused(hanok_command("fpga", "--load", "nowhere"), "--load takes a MODEL to run")
    refused(hanok_command("fpga", program_file), "MODEL is for --load PORT")


def test_a_program_needs_a_port_that_exists(hanok_command: Run, program_file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(hanok_command("fpga", program_file, "--load", "nowhere"), "pip install 'hanok[fpga]'")


def built(reached_mhz: float) -> FpgaBuild:
    used = Resources(luts=41_820, block_rams=104, multipliers=39)
    step = " 5.83 ns clk-to-q: bank"
    board = board_of("ecp5-evn")
    return FpgaBuild("nano", board, 65536, 100, reached_mhz, used, (step,), {"design.bit": b"bits"})


@pytest.mark.parametrize(
    ("reached", "words"),
    [(101.5, "101.5 MHz reached"), (48.9, "--clock-mhz 48"), (85.9, "--clock-mhz 85"), (1.5, "other seeds")],
)
def test_a_bitstream(
    hanok_command: Run, monkeypatch: Any, tmp_path: Path, reached: float, words: str
) -> None:
    asked = []
    monkeypatch.setattr(fpga, "check_tools", lambda: None)
    monkeypatch.setattr(fpga, "build_fpga", lambda *given: asked.append(given[1:5]) or built(reached))
    result = hanok_command("fpga", "--chip", "nano", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert asked == [("ecp5-evn", 65536, 100.0, range(1, 4))]
    assert "LUT4          41,820 of  83,640   50.0%" in result.stdout
    assert words in result.stdout
    assert ("clk-to-q" in result.stdout) == (reached < 100)
    assert (tmp_path / "out" / "design.bit").read_bytes() == b"bits"


def test_area_is_printed_by_block(hanok_command: Run, monkeypatch: Any, tmp_path: Path) -> None:
    found = BlockArea("array", 1234.5, 99, 11, 22, 2000.0)
    monkeypatch.setattr(area, "measure_area", lambda *_: (found,))
    result = hanok_command("area", "--chip", "nano", "--liberty", tmp_path / "cells.lib")
    assert result.exit_code == 0, result.output
    assert "array                1,234.5         99          11           22     500" in result.stdout
    assert "estimated at 40 nm: matrix" in result.stdout
    monkeypatch.undo()
    missing = hanok_command("area", "--liberty", tmp_path / "none.lib")
    refused(missing, "none.lib: No such file")


def test_tools_that_are_missing(hanok_command: Run, monkeypatch: Any) -> None:
    spec = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(fpga, "importlib", spec)
    refused(hanok_command("fpga"), "pip install 'hanok[fpga]'")
