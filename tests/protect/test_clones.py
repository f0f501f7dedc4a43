"""Copies of small designs and of hanok's own units are recognised; what is hostile is refused or harmless."""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from small_designs import FRAMER, PULSER, renamed, reordered

from hanok.protect.clones import (
    FAMILIES,
    Comparison,
    Fingerprint,
    SourceError,
    compare,
    fingerprint,
    load_background,
    read_design,
    sources,
)
from hanok.protect.clones._elaborate import elaborate, roots_of
from hanok.protect.clones._lexer import read_tokens
from hanok.protect.clones._yosys import MOUNT, run_yosys
from hanok.protect.clones.sources import SourceFile, Sources


def design(text: str, name: str = "a.v") -> Sources:
    return Sources(name, (SourceFile(name, text),))


@lru_cache
def features(text: str, name: str = "a.v") -> Fingerprint:
    return fingerprint(design(text, name), limit_s=60)


def compared(suspect: str, ours: str) -> Comparison:
    return compare(features(suspect), features(ours), load_background())


GATES = "synth -flatten -top {top}\nabc -g AND,XOR,MUX\nopt_clean"
WORDS = "synth -flatten -noalumacc -run begin:fine -top {top}\nopt_clean"


def synthesised(text: str, top: str, folder: Path, how: str = GATES) -> str:
    """Return a design as gates or words, without what only its text says."""
    (folder / "in.v").write_text(text)
    script = f"read_verilog {MOUNT}/in.v\n{how.format(top=top)}\nwrite_verilog -noattr {MOUNT}/out.v\n"
    assert not run_yosys(folder, script, 100)
    return (folder / "out.v").read_text()


COPIES: dict[str, Callable[[str], str]] = {
    "itself": lambda text: text,
    "renamed": renamed,
    "reordered and renamed": lambda text: renamed(reordered(text)),
    "among others": lambda text: renamed(PULSER, 2) + renamed(text, 3),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_the_text_is_recognised(how: str) -> None:
    found = compared(COPIES[how](FRAMER), FRAMER)
    assert found.p_value == found.resolution
    assert all(family.whole > 0.4 for family in found.families), found.families


def test_another_design_is_not() -> None:
    for suspect, ours in ((PULSER, FRAMER), (FRAMER, PULSER)):
        found = compared(suspect, ours)
        assert found.p_value > 0.05
        assert found.score < 1


def test_a_copy_in_gates_is_recognised_and_its_registers_are_named(tmp_path: Path) -> None:
    found = compared(synthesised(FRAMER, "framer", tmp_path), FRAMER)
    by_family = {family.family: family for family in found.families}
    assert found.p_value == found.resolution
    assert by_family["text"].whole < 0.1
    assert by_family["gates"].whole > 0.4
    assert {"state", "sum"} & {pair.ours for pair in found.registers}
    other = compared(synthesised(PULSER, "pulser", tmp_path), FRAMER)
    assert other.p_value > 0.05


def test_a_copy_that_another_synthesis_rewrote_is_recognised(tmp_path: Path) -> None:
    found = compared(synthesised(FRAMER, "framer", tmp_path, WORDS), FRAMER)
    by_family = {family.family: family for family in found.families}
    assert found.p_value == found.resolution
    assert by_family["text"].whole < 0.1
    assert by_family["cells"].whole > 0.4
    assert by_family["registers"].whole > 0.2, "its states are others"
    other = compared(synthesised(PULSER, "pulser", tmp_path, WORDS), FRAMER)
    assert other.p_value > 0.05


def test_cells_of_a_copy_whose_reset_is_held_stay() -> None:
    """A synthesis would leave nothing of it: every register is constant, and all that it feeds."""
    text = (
        PULSER
        + """
module held (input clock, input [11:0] period, input [11:0] width, input load, output pulse);
  pulser inner (.clock(clock), .reset(1'b1), .period(period), .width(width), .load(load), .pulse(pulse));
endmodule
"""
    )
    held, free = fingerprint(design(text), False, 60), features(PULSER)
    assert len(held.families["registers"]) < 0.2 * len(free.families["registers"])
    assert len(held.families["cells"]) > 0.5 * len(free.families["cells"])


def test_a_design_of_the_house_sharpens_the_p_value() -> None:
    found = compare(features(renamed(FRAMER)), features(FRAMER), load_background(), house=[features(PULSER)])
    assert found.unrelated == len(load_background()) + 1
    assert found.p_value == found.resolution == 1 / (len(load_background()) + 2)
    assert not found.notes


def test_a_design_of_the_house_that_would_hide_a_copy_is_told() -> None:
    version = features(renamed(FRAMER, 7), "version.v")
    found = compare(features(renamed(FRAMER)), features(FRAMER), load_background(), house=[version])
    assert found.p_value == 2 * found.resolution
    first, second = found.notes
    assert re.match(r"background version.v has much of ours \(score \d.\d\d\): if it is a version", first)
    assert re.match(r"the suspect has much of background version.v \(score \d.\d\d\): that may be", second)
    holder = features(PULSER + renamed(FRAMER, 8), "holder.v")
    found = compare(features(PULSER), features(FRAMER), load_background(), house=[holder])
    assert [note for note in found.notes if "background holder.v has much of ours" in note]


def test_the_parts_that_match_are_named() -> None:
    module = renamed(FRAMER[FRAMER.index("module mixer") :])
    found = compared(renamed(PULSER, 4) + module, FRAMER)
    best = max(found.regions, key=lambda region: region.share)
    assert best.ours == "mixer"
    assert best.share > 0.8
    assert best.suspect == read_tokens(module).modules[0].name
    assert best.lines_ours.startswith("a.v:")


def test_units_of_one_author_are_told_from_each_other(tmp_path: Path) -> None:
    """hanok's own: each is found in itself renamed, and in no other."""
    pytest.importorskip("amaranth")
    from hanok.rtl.float_convert import FloatToInteger
    from hanok.rtl.fpga_uart import UartReceiver, UartTransmitter
    from hanok.rtl.verilog import write_verilog

    units = (UartReceiver(16), UartTransmitter(16), FloatToInteger())
    texts = [
        "\n".join(write_verilog(unit, f"unit{number}").modules.values()) for number, unit in enumerate(units)
    ]
    made = [fingerprint(design(text), False, 60) for text in texts]
    copies = [fingerprint(design(renamed(text, 5)), False, 60) for text in texts]
    for number, ours in enumerate(made):
        scores = [compare(copy, ours, load_background(), FAMILIES[:3]).score for copy in copies]
        assert max(range(3), key=scores.__getitem__) == number
        assert scores[number] > 1.2
        assert all(score < 0.8 * scores[number] for place, score in enumerate(scores) if place != number)


def test_what_yosys_cannot_read_is_compared_by_its_text() -> None:
    broken = FRAMER.replace("endcase", "endcas")
    found = compared(broken, FRAMER)
    assert {family.family: family.suspect for family in found.families}["cells"] == 0
    assert found.p_value == found.resolution
    assert any("suspect: no netlist could be made; only the text is compared" in note for note in found.notes)


def test_a_file_that_yosys_cannot_read_leaves_the_others() -> None:
    files = (SourceFile("bad.v", "module bad(; endmodule"), SourceFile("good.v", FRAMER))
    made = fingerprint(Sources("both", files), False)
    assert len(made.families["cells"])
    assert any("left out of the netlists: bad.v:1" in note for note in made.notes)


def test_without_yosys_the_text_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("hanok.protect.clones.fingerprint")
    monkeypatch.setattr(module, "has_yosys", lambda: False)
    made = fingerprint(design(FRAMER))
    assert len(made.families["text"])
    assert not len(made.families["cells"])
    assert made.notes == ("no netlists: they take Yosys; pip install 'hanok[rtl]'",)


def test_yosys_sees_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.vh"
    secret.write_text("wire from_outside;\n")
    body = "always @(posedge clk) q <= !q;\nendmodule\n"
    text = f'module m (input clk, output reg q);\n`include "{secret}"\n {body}'
    files = design(text)
    made = elaborate(files, [read_tokens(text)], False, 30)
    assert not made.words
    assert any("secret.vh" in note for note in made.notes)


def test_a_name_is_no_command() -> None:
    good = "module good (input c, output reg q); always @(posedge c) q <= !q;\nendmodule"
    text = f"module \\m;shell ; wire a; endmodule\n{good}"
    made = elaborate(design(text), [read_tokens(text)], False, 30)
    assert [netlist.name for netlist in made.words] == ["good"]


def test_time_is_limited() -> None:
    loop = "for (i = 0; i < 2000000; i = i + 1) q <= q * 3 + i;"
    text = f"module m (input c, output reg [31:0] q);\n integer i; always @(posedge c) {loop}\nendmodule"
    begin = time.monotonic()
    made = elaborate(design(text), [read_tokens(text)], False, 2)
    assert time.monotonic() - begin < 30
    assert any("Yosys took more than" in note for note in made.notes)


def test_roots_are_what_no_other_holds() -> None:
    text = "module a; b x(); endmodule module b; endmodule module c; b y(); b z(); endmodule : c"
    assert sorted(roots_of([read_tokens(text)])) == ["a"], "c is named a second time behind its end"
    assert sorted(roots_of([read_tokens(text.replace(": c", ""))])) == ["a", "c"]
    assert roots_of([read_tokens("module a; b x(); endmodule module b; a y(); endmodule")])


def test_many_roots_are_cut_off_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanok.protect.clones._elaborate.MAX_ROOTS", 1)
    text = FRAMER + PULSER
    made = elaborate(design(text), [read_tokens(text)], False, 60)
    assert len(made.words) == 1
    assert "2 modules that no other holds; the 1 largest were elaborated" in made.notes


def test_a_netlist_of_yosys_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.v").write_text(FRAMER)
    script = f"read_verilog {MOUNT}/in.v\nhierarchy -top framer\nproc\nwrite_json {MOUNT}/out.json\n"
    assert not run_yosys(tmp_path, script, 60)
    made = fingerprint(read_design(tmp_path / "out.json"), limit_s=60)
    assert len(made.families["gates"])
    assert not len(made.families["text"])
    found = compare(made, features(FRAMER), load_background())
    assert found.p_value == found.resolution


def test_a_netlist_that_yosys_refuses_is_compared_as_it_is() -> None:
    register = {"type": "$dff", "connections": {"D": [2], "Q": [3]}, "port_directions": {"Q": "output"}}
    module = {"ports": {}, "netnames": {}, "cells": {"r": register}}
    made = fingerprint(design(json.dumps({"modules": {"m": module}}), "a.json"), limit_s=60)
    assert len(made.families["cells"])
    assert any(note.startswith("no netlist of words in normal form: ") for note in made.notes)


def test_files_and_folders_are_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "design"
    (folder / "inner").mkdir(parents=True)
    (folder / "b.sv").write_text("module b; endmodule")
    (folder / "inner" / "a.v").write_text("module a; endmodule")
    (folder / "notes.txt").write_text("none")
    (folder / "link.v").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    assert [file.name for file in read_design(folder).files] == ["b.sv", "inner/a.v"]
    for path, words in (
        (tmp_path / "none.v", "none.v: No such file"),
        (tmp_path, "holds no Verilog; files that end in .v, .sv are read"),
        (Path(os.devnull), "is neither a file nor a folder"),
    ):
        if path == tmp_path:
            path = tmp_path / "empty"
            path.mkdir()
        with pytest.raises(SourceError, match=words):
            read_design(path)
    empty = tmp_path / "empty.v"
    empty.write_text(" \n")
    with pytest.raises(SourceError, match=r"empty.v: is empty; give Verilog"):
        read_design(empty)
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    with pytest.raises(SourceError, match="more than 1 files; give a folder of the design alone"):
        read_design(folder)


def test_a_large_file_is_refused_at_once(tmp_path: Path) -> None:
    large = tmp_path / "large.v"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    begin = time.monotonic()
    for path in (large, tmp_path):
        with pytest.raises(SourceError, match="more than 16 MiB of text; give the modules in question"):
            read_design(path)
    assert time.monotonic() - begin < 2


def test_one_long_line(tmp_path: Path) -> None:
    line = tmp_path / "line.v"
    line.write_text(
        FRAMER.replace("\n", " ").replace(
            "// Frames bytes: finds a start mark, takes a length, sums the payload and checks it.", ""
        )
    )
    found = compare(fingerprint(read_design(line), False, 60), features(FRAMER), load_background())
    assert found.p_value == found.resolution


@pytest.mark.parametrize("text", ["hello", "module", "\x00\x01\x02"])
def test_what_is_no_design_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match=r"a.v: nothing to compare"):
        fingerprint(design(text), False, 30)


def test_json_that_is_no_netlist_is_refused() -> None:
    with pytest.raises(Exception, match="is no netlist that Yosys' write_json wrote"):
        fingerprint(design(json.dumps({"a": 1}), "a.json"), False, 30)
