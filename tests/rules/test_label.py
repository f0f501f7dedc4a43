"""Marks on generated files: pixels stay, the mark is found again, damage is refused."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hanok.rules.errors import RulesError
from hanok.rules.label import (
    has_label_record,
    is_labelled_png,
    label_record,
    labelled_png,
    read_picture,
)
from hanok.rules.notices import DIGITAL_SOURCE_TYPE


def picture(path: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def test_pixels_stay_and_other_readers_find_the_mark(tmp_path: Path) -> None:
    plain = picture(tmp_path / "a.png")
    assert not is_labelled_png(plain, "a")
    marked = labelled_png(plain, '사진 <도우미> & "x"', "a")
    (tmp_path / "b.png").write_bytes(marked)
    with Image.open(tmp_path / "a.png") as before, Image.open(tmp_path / "b.png") as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
        from xml.etree import ElementTree

        text = after.info["XML:com.adobe.xmp"]
        attributes = next(iter(ElementTree.fromstring(text.partition("?>")[2].rpartition("<?")[0]).iter(
            "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"))).attrib  # fmt: skip
    space = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert attributes[f"{space}DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert attributes[f"{space}AISystemUsed"] == '사진 <도우미> & "x"'
    assert is_labelled_png(marked, "a")
    assert labelled_png(marked, '사진 <도우미> & "x"', "a") == marked


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_damaged_pictures_are_refused(tmp_path: Path) -> None:
    plain = picture(tmp_path / "a.png")
    flipped = bytearray(plain)
    flipped[40] ^= 1
    foreign = plain[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>") + plain[33:]
    cases = {
        b"GIF89a": "is no PNG",
        plain[:8]: "does not end with IEND",
        plain[:-12]: "does not end with IEND",
        plain[:-5]: "a damaged PNG at byte",
        plain + b"more": "does not end with IEND",
        bytes(flipped): "another checksum",
        plain[:8] + plain[33:]: "a damaged PNG at byte 8",
        foreign: "XMP of another maker",
    }
    for content, message in cases.items():
        with pytest.raises(RulesError, match=message):
            labelled_png(content, "x", "a")
    for place in range(8, len(plain), 3):
        broken = bytearray(plain)
        broken[place] ^= 0x40
        with pytest.raises(RulesError, match="a damaged PNG"):
            is_labelled_png(bytes(broken), "a")
    with pytest.raises(RulesError, match="is no file"):
        read_picture(tmp_path / "none.png")


def test_a_record_is_of_its_file(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("글", encoding="utf-8")
    place = tmp_path / "text.txt.ai.json"
    assert not has_label_record(text)
    place.write_text(label_record(text, "writer\n\x1b"), encoding="utf-8")
    record = json.loads(place.read_text("utf-8"))
    assert (record["file"], record["system"], record["signature"]) == ("text.txt", "writer", None)
    assert has_label_record(text)
    signed = json.loads(label_record(text, "writer", sign=lambda data: f"{len(data)} bytes"))
    assert signed["signature"].endswith("bytes")
    text.write_text("다른 글", encoding="utf-8")
    assert not has_label_record(text)
    place.write_text("{", encoding="utf-8")
    with pytest.raises(RulesError, match="no record of hanok rules label"):
        has_label_record(text)
