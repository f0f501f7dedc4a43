"""Marks in gates as a carrier: a folder of `hanok rtl` is marked, and its Verilog names the recipient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_rtl_delivery import CHIP

from hanok.flows.rtl import core_delivery
from hanok.protect import marking
from hanok.protect.gates import GateMarks
from hanok.protect.marking import mark, trace
from hanok.protect.rtl_delivery import MAKER, MANIFEST, read_rtl_delivery
from hanok.protect.tardos import FingerprintError
from hanok.report.folder import write_folder
from hanok.rtl import mark_reader

SECRET = bytes(range(4, 36))
RECIPIENTS = tuple(f"recipient {row}" for row in range(100))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = core_delivery(CHIP, lambda _: None)
    return write_folder(tmp_path_factory.mktemp("gates") / "build", made.files, MAKER, made.about)


def written(folder: Path, files: Any) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_marked_core_names_its_recipient(build: Path, tmp_path: Path) -> None:
    marked = mark([build], RECIPIENTS[7], SECRET)
    assert [(part.kind, part.path) for part in marked.parts] == [("gates", MANIFEST)]
    copy = written(tmp_path / "copy", marked.files)
    assert read_rtl_delivery(copy).sources != read_rtl_delivery(build).sources
    found = trace(copy, build, SECRET, RECIPIENTS, 1e-6)
    assert [each.recipient for each in found.accused] == [RECIPIENTS[7]]
    assert found.found == found.marks
    one = tmp_path / "one.v"
    one.write_text("\n".join(read_rtl_delivery(copy).sources))
    assert [each.recipient for each in trace(one, build, SECRET, RECIPIENTS, 1e-6).accused] == [RECIPIENTS[7]]


def test_answers_that_were_lost_or_wiped(build: Path, monkeypatch: Any) -> None:
    marks = GateMarks(build, SECRET)
    bits = np.random.default_rng(1).integers(0, 2, marks.marks)
    answers: list[int | None] = [int(bit) for bit in bits]
    answers[5] = None
    monkeypatch.setattr(mark_reader, "read_marks", lambda chip, texts: answers)
    evidence = marks.read(build)
    assert np.isnan(evidence).sum() == 1
    order = marks._order
    assert sorted(order.tolist()) == list(range(marks.marks))
    assert order.tolist() != sorted(order.tolist())
    assert (evidence[order[6:]] == 2.0 * bits[6:] - 1).all()


def test_too_much_verilog(build: Path, tmp_path: Path) -> None:
    with (tmp_path / "large.v").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(FingerprintError, match=r"104,857,600 bytes of Verilog; allowed: at most 67,108,864"):
        GateMarks(build, SECRET).read(tmp_path)


def test_gates_without_their_tools(build: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(marking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        FingerprintError, match=r"marks in gates need amaranth; run pip install 'hanok\[rtl\]'"
    ):
        mark([build], "acme", SECRET)
