"""JPEG files as segments: where XMP and C2PA manifests stand in them."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.rules.errors import RulesError

SIGNATURE = b"\xff\xd8\xff"
_XMP_KEYWORD = b"http://ns.adobe.com/xap/1.0/\0"
_FIRST = (b"JFIF\0", b"JFXX\0", b"Exif\0\0")
"""What other readers look for at the beginning: JFIF, and the camera's data."""
_APP0, _APP1, _APP11 = 0xE0, 0xE1, 0xEB
_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers without a length; none belongs before the scan."""
_MOST_SEGMENT_BYTES = 65533
_BOX = slice(8, 16)
"""Of a JUMBF segment (ISO 19566-5): behind 'JP', instance and sequence, the length and kind of its box."""
_Segment = tuple[int, bytes]


def xmp_packets(content: bytes, where: str) -> list[bytes]:
    """Return the packet of each XMP segment; raises RulesError for what is no whole JPEG."""
    return [data[len(_XMP_KEYWORD) :] for kind, data in _segments(content, where)[0] if _is_xmp(kind, data)]


def has_manifest(content: bytes, where: str) -> bool:
    """Whether a segment holds JUMBF with a C2PA manifest (C2PA 2.4, appendix A); raises RulesError."""
    return any(
        kind == _APP11 and data.startswith(b"JP") and data[_BOX].endswith(b"jumb") and b"c2pa" in data[:80]
        for kind, data in _segments(content, where)[0]
    )


def with_xmp(content: bytes, packet: bytes, where: str) -> bytes:
    """Return the JPEG with this XMP behind JFIF and Exif and in place of any other; all else stays."""
    segments, scan = _segments(content, where)
    data = _XMP_KEYWORD + packet
    assert len(data) <= _MOST_SEGMENT_BYTES, "the mark is short"
    kept = [segment for segment in segments if not _is_xmp(*segment)]
    place = next((at for at, (kind, inner) in enumerate(kept) if not _is_first(kind, inner)), len(kept))
    marked = (*kept[:place], (_APP1, data), *kept[place:])
    return b"\xff\xd8" + b"".join(_packed(segment) for segment in marked) + scan


def _is_xmp(kind: int, data: bytes) -> bool:
    return kind == _APP1 and data.startswith(_XMP_KEYWORD)


def _is_first(kind: int, data: bytes) -> bool:
    return kind in (_APP0, _APP1) and data.startswith(_FIRST)


def _segments(content: bytes, where: str) -> tuple[list[_Segment], bytes]:
    """The segments before the first scan, and all from there on, which must hold an end of the picture."""
    if not content.startswith(SIGNATURE):
        raise RulesError(f"{where}: is no JPEG")
    found = list(_walk(content, where))
    scan = content[2 + sum(4 + len(data) for _, data in found) :]
    if bytes((0xFF, _END)) not in scan:
        raise RulesError(f"{where}: a damaged JPEG: it has no end")
    return found, scan


def _walk(content: bytes, where: str) -> Iterator[_Segment]:
    place = 2
    while True:
        head = content[place : place + 4]
        size = int.from_bytes(head[2:], "big")
        end = place + 2 + size
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0x00, 0xFF, _END, *_ALONE):
            raise RulesError(f"{where}: a damaged JPEG at byte {place}")
        if head[1] == _SCAN:
            return
        if size < 2 or end > len(content):
            raise RulesError(f"{where}: a damaged JPEG at byte {place}")
        yield head[1], content[place + 4 : end]
        place = end


def _packed(segment: _Segment) -> bytes:
    kind, data = segment
    return bytes((0xFF, kind)) + (len(data) + 2).to_bytes(2, "big") + data
