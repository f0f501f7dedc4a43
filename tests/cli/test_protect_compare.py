"""`hanok protect compare`: what is printed and written, what is refused, and names that would do harm."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

COUNTER = """module counter (input clk, input rst, input [7:0] step,
                output reg [15:0] total, output reg full);
  reg [3:0] turns;
  always @(posedge clk)
    if (rst) begin total <= 16'd0; turns <= 4'd0; end
    else begin total <= total + step; if (step[0]) turns <= {turns[2:0], ~turns[3]}; end
  always @(posedge clk) full <= total > 16'd60000 && turns != 4'd5;
endmodule
"""
SHIFTER = """module shifter (input clk, input load, input [9:0] word, output reg line, output reg idle);
  reg [9:0] left;
  always @(posedge clk)
    if (load) left <= word; else left <= {1'b1, left[9:1]};
  always @(posedge clk) begin line <= left[0] ^ load; idle <= &left; end
endmodule
"""


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    ours, suspect = tmp_path / "ours.v", tmp_path / "suspect.v"
    ours.write_text(COUNTER)
    suspect.write_text(COUNTER.replace("total", "sum").replace("counter", "thing") + "// a comment\n")
    return suspect, ours


def test_a_copy_is_reported(hanok_command: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    page, figures = tmp_path / "report.html", tmp_path / "report.json"
    result = hanok_command("protect", "compare", *files, "--html", page, "--json", figures)
    assert result.exit_code == 0, result.output
    assert "ours.v in suspect.v" in result.stdout
    assert "modules of ours, and where most of each is" in result.stdout
    flat = " ".join(result.stdout.split())
    assert "It does not say who copied from whom" in flat
    found = json.loads(figures.read_text("utf-8"))
    assert found["p_value"] >= found["resolution"] == 1 / (found["unrelated"] + 1)
    assert [each["family"] for each in found["families"]] == ["text", "cells", "registers", "gates"]
    assert found["regions"][0]["ours"] == "counter"
    assert found["regions"][0]["suspect"] == "thing"
    text = page.read_text("utf-8")
    assert "What this does not prove" in text
    assert escape(found["verdict"]) in text
    again = hanok_command("protect", "compare", *files, "--json", figures, "--no-gates")
    assert again.exit_code == 0, again.output
    assert len(json.loads(figures.read_text("utf-8"))["families"]) == 3


def test_designs_of_the_house_join_the_background(
    hanok_command: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    figures, page = tmp_path / "report.json", tmp_path / "report.html"
    written = ("--no-gates", "--json", figures, "--html", page)
    assert hanok_command("protect", "compare", *files, *written).exit_code == 0
    alone = json.loads(figures.read_text("utf-8"))
    assert alone["house"] == 0
    assert "given with --background)" not in alone["verdict"]
    house = tmp_path / "house"
    house.mkdir()
    (house / "shifter.v").write_text(SHIFTER)
    evil = tmp_path / "\x1b[31mother.v"
    evil.write_text(SHIFTER.replace("endmodule", "endmodul"))
    options = ("--background", house, "--background", evil)
    result = hanok_command("protect", "compare", *files, *options, *written)
    assert result.exit_code == 0, result.output
    found = json.loads(figures.read_text("utf-8"))
    assert (found["house"], found["unrelated"]) == (2, alone["unrelated"] + 2)
    assert found["resolution"] == 1 / (alone["unrelated"] + 3)
    assert "2 given with --background)" in found["verdict"]
    assert "2 of them given with --background" in page.read_text("utf-8")
    assert any(
        note.endswith("no netlist could be made; only the text is compared") for note in found["notes"]
    )
    assert "\x1b" not in result.stdout


def test_names_do_no_harm(hanok_command: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    _, ours = files
    evil = tmp_path / "\x1b[31m<b>evil.v"
    evil.write_text(COUNTER.replace("counter", "\\<script>alert(1)</script>\x1b[2J "), "latin-1")
    page = tmp_path / "report.html"
    result = hanok_command("protect", "compare", evil, ours, "--no-gates", "--html", page)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "<b>evil" not in text
    assert "\x1b" not in text
    assert "&lt;b&gt;evil.v" in text


def test_what_is_refused(hanok_command: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    suspect, ours = files
    refused(hanok_command("protect", "compare", tmp_path / "none.v", ours), "none.v: No such file")
    refused(hanok_command("protect", "compare", suspect, ours, "--html", tmp_path), "is a folder")
    words = tmp_path / "words.v"
    words.write_text("hello")
    refused(hanok_command("protect", "compare", words, ours), "words.v: nothing to compare")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    refused(hanok_command("protect", "compare", bad, ours), "bad.json: is no netlist that Yosys' write_json")
    large = tmp_path / "large.v"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    refused(hanok_command("protect", "compare", large, ours), "more than 16 MiB of text")
    refused(hanok_command("protect", "compare", suspect, ours, "--background", words), "words.v: nothing to")
    refused(
        hanok_command("protect", "compare", suspect, ours, "--background", tmp_path / "none"),
        "none: No such file",
    )
    assert not list(tmp_path.glob("*.html"))
