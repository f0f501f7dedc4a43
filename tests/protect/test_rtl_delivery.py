"""A delivery of the gates is marked, and its marks are read; a changed one is refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from hanok.flows.rtl import core_delivery
from hanok.machine import Chip
from hanok.protect.rtl_delivery import (
    MAKER,
    MANIFEST,
    DeliveryError,
    RtlDelivery,
    is_rtl_delivery,
    read_rtl_delivery,
)
from hanok.report.folder import write_folder
from hanok.rtl.delivery import CHIP_FILE
from hanok.rtl.mark_reader import read_marks
from hanok.rtl.marks import MARKS

CORE = {
    "matrix": {
        "rows": 4,
        "columns": 4,
        "preload_rows_per_cycle": 1,
        "accumulator_rows": 32,
        "accumulator_banks": 2,
    },
    "vector": {"lanes": 4, "stages": 1},
    "sram": {"banks": 8, "bank_bytes": 4096},
    "dma": {"bytes_per_cycle": 8, "outstanding": 2, "expand_lanes": 0},
    "control": {"queue_depth": 2, "semaphore_limit": 3, "fetch_buffer_bytes": 512},
}
CHIP = Chip.from_dict(
    {
        "name": "small",
        "clock_mhz": 100,
        "core": CORE,
        "memory": {"standard": "FLAT:800", "channels": 1, "capacity_mib": 1, "latency_cycles": 7},
    },
    "test",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = core_delivery(CHIP, lambda _: None)
    return write_folder(tmp_path_factory.mktemp("rtl") / "build", made.files, MAKER, made.about)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def change_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def test_marks_survive_the_folder(folder: Path, tmp_path: Path) -> None:
    assert is_rtl_delivery(folder)
    plain = read_rtl_delivery(folder)
    assert plain.chip == CHIP
    assert plain.marks == MARKS
    marks = [random.Random(5).getrandbits(1) for _ in range(MARKS)]
    marked = plain.marked(marks)
    changed = {path for path in plain.files if plain.files[path] != marked.files[path]}
    assert plain.files.keys() == marked.files.keys()
    assert all(path.startswith("rtl/") for path in changed)
    assert 7 <= len(changed) < len(plain.sources), "the marked blocks and what holds them, not all"
    written = write_folder(tmp_path / "marked", marked.files, MAKER, marked.about)
    assert read_marks(CHIP, read_rtl_delivery(written).sources) == marks
    with pytest.raises(DeliveryError, match="is not what this hanok makes of"):
        read_rtl_delivery(written).marked(marks)


def test_what_is_no_delivery(tmp_path: Path, copy: Path) -> None:
    assert not is_rtl_delivery(tmp_path / "none")
    assert not is_rtl_delivery(tmp_path)
    with pytest.raises(DeliveryError, match="No such file"):
        read_rtl_delivery(tmp_path)
    change_manifest(copy, maker="somebody")
    assert not is_rtl_delivery(copy)
    with pytest.raises(DeliveryError, match="is no folder of `hanok rtl`"):
        read_rtl_delivery(copy)
    for text, words in (("[", "not JSON"), ("[]", "no manifest"), ("[" * 100_000, "not JSON")):
        (copy / MANIFEST).write_text(text)
        with pytest.raises(DeliveryError, match=words):
            read_rtl_delivery(copy)


@pytest.mark.parametrize("name", ["../outside.v", "/etc/hostname", "rtl", "rtl/none.v"])
def test_files_outside(copy: Path, name: str) -> None:
    (copy.parent / "outside.v").write_text("")
    digests = json.loads((copy / MANIFEST).read_text())["sha256"]
    change_manifest(copy, sha256=digests | {name: "0"})
    with pytest.raises(DeliveryError, match="which is no file of it"):
        read_rtl_delivery(copy)


def test_changed_files(copy: Path) -> None:
    (copy / "files.f").write_text("rtl/another.v\n")
    with pytest.raises(DeliveryError, match=r"files\.f: was changed since"):
        read_rtl_delivery(copy)
    too_many = {f"{number}": "0" for number in range(5000)}
    change_manifest(copy, sha256=too_many | {CHIP_FILE: "0"})
    with pytest.raises(DeliveryError, match="lists 5001 files; at most 4096"):
        read_rtl_delivery(copy)


@pytest.mark.parametrize(("text", "words"), [("{", "not JSON"), ("[]", "describes no chip"), ("{}", "name")])
def test_descriptions(copy: Path, text: str, words: str) -> None:
    plain = read_rtl_delivery(copy)
    write_folder(copy, plain.files | {CHIP_FILE: text.encode()}, MAKER, plain.about)
    with pytest.raises(Exception, match=words) as found:
        read_rtl_delivery(copy)
    assert CHIP_FILE in str(found.value)


def test_links(copy: Path) -> None:
    (copy / "files.f").unlink()
    (copy / "files.f").symlink_to("/etc/hostname")
    with pytest.raises(DeliveryError, match="which is no file of it"):
        read_rtl_delivery(copy)


def test_a_delivery_knows_its_sources(folder: Path) -> None:
    delivery: RtlDelivery = read_rtl_delivery(folder)
    assert all("module" in text for text in delivery.sources)
