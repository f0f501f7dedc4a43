"""Marks in gates as a carrier: a folder of `hanok rtl` for a recipient, and what names it again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_rtl_delivery import CHIP

from hanok.flows.rtl import core_delivery
from hanok.protect import gates, marking
from hanok.protect.gates import GateMarks
from hanok.protect.marking import mark, trace
from hanok.protect.rtl_delivery import MAKER, MANIFEST, read_rtl_delivery
from hanok.protect.tardos import FingerprintError
from hanok.report.folder import write_folder
from hanok.rtl import mark_reader
from hanok.rtl.marks import MARKS

SECRET = bytes(range(4, 36))
RECIPIENTS = tuple(f"recipient {row}" for row in range(100))
SOURCE = "rtl/core.v"


@dataclass(frozen=True)
class PlainDelivery:
    """A stand-in for a core: its Verilog spells the marks, so that no gates need be made."""

    bits: tuple[int, ...] = ()
    chip: Any = None
    marks: int = MARKS

    @property
    def files(self) -> dict[str, bytes]:
        return {SOURCE: self.sources[0].encode(), "files.f": b"rtl/core.v\n"}

    @property
    def about(self) -> dict[str, str]:
        return {"chip": "plain"}

    @property
    def sources(self) -> list[str]:
        return [f"// marks {''.join(map(str, self.bits))}\n"]

    def marked(self, marks: Sequence[int]) -> PlainDelivery:
        return PlainDelivery(tuple(marks))


def spelled(chip: Any, texts: list[str]) -> list[int | None]:
    bits = re.search(r"marks ([01]*)", "".join(texts))[1]
    return [int(bit) for bit in bits] or [None] * MARKS


@pytest.fixture
def build(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setattr(gates, "read_rtl_delivery", lambda folder: PlainDelivery())
    monkeypatch.setattr(mark_reader, "read_marks", spelled)
    return write_folder(tmp_path / "build", PlainDelivery().files, MAKER, {})


def written(folder: Path, files: Any) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_and_its_verilog_name_the_recipient(build: Path, tmp_path: Path) -> None:
    marked = mark([build], RECIPIENTS[7], SECRET)
    assert [(part.kind, part.path, part.marks) for part in marked.parts] == [("gates", MANIFEST, MARKS)]
    assert sorted(marked.files) == ["files.f", MANIFEST, SOURCE]
    assert json.loads(marked.files[MANIFEST])["maker"] == MAKER
    copy = written(tmp_path / "copy", marked.files)
    for leaked in (copy, copy / SOURCE):
        found = trace(leaked, build, SECRET, RECIPIENTS, 1e-6)
        assert [each.recipient for each in found.accused] == [RECIPIENTS[7]]
        assert found.found == found.marks == MARKS
    assert not trace(build, build, SECRET, RECIPIENTS, 1e-6).accused


def test_a_core_in_a_folder_keeps_its_place(build: Path) -> None:
    marked = mark([build.parent], "acme", SECRET)
    assert f"build/{SOURCE}" in marked.files
    assert marked.files[f"build/{SOURCE}"] != (build / SOURCE).read_bytes()


def test_answers_that_were_lost(build: Path, monkeypatch: Any) -> None:
    marks = GateMarks(build, SECRET)
    bits = np.random.default_rng(1).integers(0, 2, marks.marks)
    answers: list[int | None] = [int(bit) for bit in bits]
    answers[5] = None
    monkeypatch.setattr(mark_reader, "read_marks", lambda chip, texts: answers)
    evidence, order = marks.read(build), marks._order
    assert np.flatnonzero(np.isnan(evidence)).tolist() == [order[5]]
    assert sorted(order.tolist()) == list(range(marks.marks))
    assert (evidence[order[6:]] == 2.0 * bits[6:] - 1).all()


def test_too_much_verilog(build: Path, tmp_path: Path) -> None:
    with (tmp_path / "large.v").open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(FingerprintError, match=r"bytes of Verilog; allowed: at most 268,435,456"):
        GateMarks(build, SECRET).read(tmp_path)


def test_gates_without_their_tools(build: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(marking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        FingerprintError, match=r"marks in gates need amaranth; run pip install 'hanok\[rtl\]'"
    ):
        mark([build], "acme", SECRET)


@pytest.mark.slow
def test_a_core_in_gates_names_its_recipient(tmp_path: Path) -> None:
    made = core_delivery(CHIP, lambda _: None)
    build = write_folder(tmp_path / "build", made.files, MAKER, made.about)
    copy = written(tmp_path / "copy", mark([build], RECIPIENTS[7], SECRET).files)
    assert read_rtl_delivery(copy).sources != read_rtl_delivery(build).sources
    found = trace(copy, build, SECRET, RECIPIENTS, 1e-6)
    assert [each.recipient for each in found.accused] == [RECIPIENTS[7]]
    assert found.found == found.marks
