"""Marks on generated files: pixels and all other parts stay, the mark is found again, damage is refused."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hanok.rules.digital_source import COMPOSITE, ENHANCED, GENERATED, SOURCES, DigitalSource
from hanok.rules.errors import RulesError
from hanok.rules.label import (
    MAX_RECORD_BYTES,
    has_manifest,
    label_record,
    labelled_picture,
    picture_mark,
    read_picture,
    read_record,
)
from hanok.rules.notices import DIGITAL_SOURCE_TYPE

SPACE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
NAME = '사진 <도우미> & "x"'


def picture(kind: str = "PNG", **wanted: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **wanted)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_pixels_stay_and_other_readers_find_the_mark(kind: str, source: DigitalSource) -> None:
    plain = picture(kind)
    assert picture_mark(plain, "a") is None
    marked = labelled_picture(plain, source, NAME, "a")
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(marked)) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
        text = after.info["XML:com.adobe.xmp"] if kind == "PNG" else after.info["xmp"].decode()
    tree = ElementTree.fromstring(text.partition("?>")[2].rpartition("<?")[0])
    attributes = next(tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")).attrib
    assert attributes[f"{SPACE}DigitalSourceType"] == source.uri
    assert attributes[f"{SPACE}AISystemUsed"] == NAME
    assert picture_mark(marked, "a") == source
    assert labelled_picture(marked, source, NAME, "a") == marked
    other = COMPOSITE if source is ENHANCED else ENHANCED
    assert labelled_picture(marked, other, NAME, "a") == labelled_picture(plain, other, NAME, "a")


def test_terms_are_those_of_iptc() -> None:
    scheme = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    assert [source.uri for source in (GENERATED, COMPOSITE, ENHANCED)] == [
        f"{scheme}trainedAlgorithmicMedia",
        f"{scheme}compositeWithTrainedAlgorithmicMedia",
        f"{scheme}algorithmicallyEnhanced",
    ]
    assert GENERATED.uri == DIGITAL_SOURCE_TYPE


kinds_of_chunk = st.text("abcdefgXYZ", min_size=4, max_size=4).map(str.encode)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(kinds_of_chunk, st.binary(max_size=50)), max_size=5))
def test_all_other_chunks_of_a_png_stay(others: list[tuple[bytes, bytes]]) -> None:
    plain = picture()
    plain = plain[:33] + b"".join(chunk(*each) for each in others) + plain[33:]
    marked = labelled_picture(plain, GENERATED, "x", "a")
    size = 12 + struct.unpack(">I", marked[33:37])[0]
    assert marked[37:41] == b"iTXt"
    assert marked[:33] + marked[33 + size :] == plain


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0xE2, 0xEF), st.binary(max_size=50)), max_size=5), st.booleans())
def test_all_other_segments_of_a_jpeg_stay(others: list[tuple[int, bytes]], has_exif: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "what it shows"
    plain = picture("JPEG", **({"exif": exif} if has_exif else {}))
    place = plain.index(b"\xff\xdb")
    plain = plain[:place] + b"".join(segment(*each) for each in others) + plain[place:]
    marked = labelled_picture(plain, GENERATED, "x", "a")
    begin = marked.index(b"\xff\xe1", place)
    size = 2 + struct.unpack(">H", marked[begin + 2 : begin + 4])[0]
    assert begin == place, "behind JFIF and Exif, before all else"
    assert marked[:begin] + marked[begin + size :] == plain
    with Image.open(io.BytesIO(marked)) as image:
        assert image.getexif().get(0x010E) == ("what it shows" if has_exif else None)


def test_damaged_pngs_are_refused(tmp_path: Path) -> None:
    plain = picture()
    flipped = bytearray(plain)
    flipped[40] ^= 1
    foreign = plain[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>") + plain[33:]
    cases = {
        b"GIF89a": "is no PNG and no JPEG",
        b"": "is no PNG and no JPEG",
        plain[:8]: "does not end with IEND",
        plain[:-12]: "does not end with IEND",
        plain[:-5]: "a damaged PNG at byte",
        plain + b"more": "does not end with IEND",
        bytes(flipped): "another checksum",
        plain[:8] + plain[33:]: "a damaged PNG at byte 8",
        foreign: "XMP of another maker",
        plain[:33] + chunk(b"caBX", b"") + plain[33:]: "has a C2PA manifest, which a mark would break",
    }
    for content, message in cases.items():
        with pytest.raises(RulesError, match=message):
            labelled_picture(content, GENERATED, "x", "a")
    for place in range(8, len(plain), 3):
        broken = bytearray(plain)
        broken[place] ^= 0x40
        with pytest.raises(RulesError, match="a damaged PNG"):
            picture_mark(bytes(broken), "a")
    with pytest.raises(RulesError, match="is no file"):
        read_picture(tmp_path / "none.png")


def test_damaged_jpegs_are_refused() -> None:
    plain = picture("JPEG")
    box = b"JP\0\x01\0\0\0\x01\0\0\0\x40jumb\0\0\0\x1ejumdc2pa\0"
    cases = {
        plain[:3]: "a damaged JPEG at byte 2",
        plain[:30]: "a damaged JPEG at byte 20",
        plain[:-2]: "a damaged JPEG: it has no end",
        plain[:20] + b"\0" + plain[20:]: "a damaged JPEG at byte 20",
        plain[:20] + b"\xff\xe5\0\1" + plain[20:]: "a damaged JPEG at byte 20",
        plain[:20] + b"\xff\xd9" + plain[20:]: "a damaged JPEG at byte 20",
        plain[:20] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>") + plain[20:]: "another maker",
        plain[:20] + segment(0xEB, box) + plain[20:]: "has a C2PA manifest, which a mark would break",
    }
    for content, message in cases.items():
        with pytest.raises(RulesError, match=message):
            labelled_picture(content, GENERATED, "x", "a")
    assert not has_manifest(plain, "a")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["PNG", "JPEG"]), st.data())
def test_hostile_bytes_end_in_one_error(kind: str, data: st.DataObject) -> None:
    content = bytearray(picture(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for broken in (bytes(content), cut):
        try:
            marked = labelled_picture(broken, GENERATED, "x", "a")
        except RulesError:
            continue
        assert picture_mark(marked, "a") == GENERATED


def facts_of(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def test_a_record_is_of_its_file(tmp_path: Path) -> None:
    text = tmp_path / "글.txt"
    text.write_text("글", encoding="utf-8")
    place = tmp_path / "글.txt.ai.json"
    assert read_record(text) is None
    asked: list[bytes] = []
    size, digest = facts_of(text)
    plain = label_record(text.name, size, digest, COMPOSITE, "writer\n\x1b")
    assert plain == label_record(text.name, size, digest, COMPOSITE, "writer"), "byte for byte"
    signed = label_record(
        text.name, size, digest, COMPOSITE, "writer", lambda data: asked.append(data) or "signature"
    )
    for content, signature in ((plain, ""), (signed, "signature")):
        place.write_text(content, encoding="utf-8")
        record = read_record(text)
        assert record is not None
        assert (record.facts["file"], record.facts["system"]) == ("글.txt", "writer")
        assert (record.source, record.signature) == (COMPOSITE, signature)
        assert record.is_of(*facts_of(text))
        assert record.canonical == asked[0]
    expected = {**json.loads(plain)}
    del expected["signature"]
    assert json.loads(asked[0]) == expected
    assert list(json.loads(asked[0])) == sorted(expected)
    text.write_text("다른 글", encoding="utf-8")
    assert not record.is_of(*facts_of(text))


def test_records_that_are_none(tmp_path: Path) -> None:
    text, place = tmp_path / "a.txt", tmp_path / "a.txt.ai.json"
    good = json.loads(label_record("a.txt", 1, "0" * 64, GENERATED, "x"))
    cases: list[tuple[bytes, str]] = [
        (b"{", "no record of hanok rules label"),
        (b"\xff", "no record of hanok rules label"),
        (b"[" * 100_000, "no record of hanok rules label"),
        (b" " * (MAX_RECORD_BYTES + 1), "it has other entries"),
        (b"[]", "it has other entries"),
        (json.dumps({**good, "more": 1}).encode(), "it has other entries"),
        (json.dumps({**good, "bytes": True}).encode(), "an entry is of another type"),
        (json.dumps({**good, "system": 7}).encode(), "an entry is of another type"),
        (json.dumps({**good, "signature": ["x"]}).encode(), "an entry is of another type"),
        (json.dumps({**good, "system": "\ud800"}).encode(), "half of a surrogate pair"),
    ]
    for content, message in cases:
        place.write_bytes(content)
        with pytest.raises(RulesError, match=message):
            read_record(text)
    place.unlink()
    place.mkdir()
    with pytest.raises(RulesError, match="no record of hanok rules label"):
        read_record(text)
    place.rmdir()
    other = {**good, "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"}
    place.write_text(json.dumps(other), encoding="utf-8")
    record = read_record(text)
    assert record is not None
    assert record.source is None
