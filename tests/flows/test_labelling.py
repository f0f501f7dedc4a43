"""Labels as flows make and check them: sources of every format, hostile names, what counts as standing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hanok.flows.labelling import (
    Checked,
    Finding,
    Label,
    check_file,
    check_signing,
    label_picture,
    record_of_bytes,
    record_of_file,
)
from hanok.rules.digital_source import COMPOSITE, ENHANCED, GENERATED
from hanok.rules.errors import RulesError

sys.path.append(str(Path(__file__).parents[1] / "protect"))
from trial_chain import KINDS, NOW, TrialRoot

from hanok.protect.certificates import Credential


def credential() -> Credential:
    root, key = TrialRoot(), KINDS["ES256"]()
    return Credential((root.issue(key), root.certificate), key)


SIGNED = Label(ENHANCED, "trial", credential())


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(stream, kind)
    return stream.getvalue()


def read(content: bytes) -> Any:
    c2pa = pytest.importorskip("c2pa")
    with c2pa.Reader("image/png", io.BytesIO(content)) as reader:
        store = json.loads(reader.json())
    assert store["validation_state"] == "Valid"
    return store["manifests"][store["active_manifest"]]


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("TIFF", "image/tiff"),
        ("BMP", None),
        ("PPM", None),
    ],
)
def test_every_source_becomes_the_parent(kind: str, known: str | None, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    source = tmp_path / "source"
    source.write_bytes(picture(kind))
    check_signing(SIGNED, "out.png", source, "denoise")
    (parent,) = read(label_picture(picture("PNG"), "out.png", SIGNED, "denoise", source))["ingredients"]
    assert parent["relationship"] == "parentOf"
    assert parent["title"] == "source picture"
    assert parent.get("format") == known


def test_a_source_that_is_gone(tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    with pytest.raises(RulesError, match="cannot be read: No such file"):
        check_signing(SIGNED, "out.png", tmp_path / "none.png", "denoise")


@pytest.mark.parametrize(
    ("source", "actions"),
    [
        (GENERATED, ["c2pa.created"]),
        (COMPOSITE, ["c2pa.opened", "c2pa.edited"]),
        (ENHANCED, ["c2pa.opened", "c2pa.enhanced"]),
    ],
)
def test_what_is_claimed_of_files_made_elsewhere(source: Any, actions: list[str]) -> None:
    pytest.importorskip("c2pa")
    label = Label(source, "painter\n\x1b[31m 3", SIGNED.credential)
    active = read(label_picture(picture("PNG"), "a\x1b\udcff\nb.png", label))
    found = active["assertions"][0]["data"]["actions"]
    assert [action["action"] for action in found] == actions
    assert found[-1]["digitalSourceType"] == source.uri
    assert found[-1]["softwareAgent"] == {"name": "painter [31m 3"}
    assert active["title"] == "a b.png"
    assert active["claim_generator_info"][0]["name"] == "hanok"


def test_pictures_of_another_ending_take_no_manifest() -> None:
    pytest.importorskip("c2pa")
    with pytest.raises(RulesError, match=r"a.gif: is neither .png nor .jpg"):
        label_picture(picture("PNG"), "a.gif", SIGNED)


def test_a_record_is_the_same_of_bytes_and_of_their_file(tmp_path: Path) -> None:
    path, label = tmp_path / "a.txt", Label(GENERATED, "x")
    path.write_bytes(b"text")
    record = record_of_bytes("a.txt", b"text", label)
    assert record == record_of_file(path, label)
    (tmp_path / "a.txt.ai.json").write_text(record, encoding="utf-8")
    (finding,) = check_file(path, None, NOW).findings
    assert finding == Finding("record", ("generated",), "not signed")
    odd = record_of_bytes("\udcff.txt", b"text", SIGNED)
    assert json.loads(odd)["file"] == "?.txt"


@pytest.mark.parametrize(
    ("states", "asked", "stands"),
    [
        ((), False, False),
        ((("not signed", None),), False, True),
        ((("not signed", None),), True, False),
        ((("valid", None),), False, True),
        ((("valid", True), ("not signed", None)), True, True),
        ((("valid", True), ("valid", False)), True, False),
        ((("valid", True), ("altered", None)), False, False),
        ((("not valid", True),), False, False),
    ],
)
def test_what_stands(states: tuple[Any, ...], asked: bool, stands: bool) -> None:
    findings = [Finding("record", ("generated",), state, trusted=trusted) for state, trusted in states]
    assert Checked(tuple(findings), asked).stands == stands


def test_what_says_nothing_of_ai_is_no_mark() -> None:
    assert not Checked((Finding("C2PA manifest", (), "valid"),), False).stands
