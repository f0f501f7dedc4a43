"""PNG files as chunks: where XMP and C2PA manifests stand in them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from hanok.rules.errors import RulesError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_PLAIN = b"\0\0\0\0"
"""Neither compressed nor of a language: what XMP asks for (ISO 16684-3, 1.3.5)."""
_MANIFEST = b"caBX"
"""Of C2PA 2.4, appendix A (embedding manifests into PNG)."""
_Chunk = tuple[bytes, bytes]


def xmp_packets(content: bytes, where: str) -> list[bytes]:
    """Return what stands behind the keyword of each XMP chunk; raises RulesError for what is no whole PNG."""
    return [data[len(_XMP_KEYWORD) :] for kind, data in _chunks(content, where) if _is_xmp(kind, data)]


def has_manifest(content: bytes, where: str) -> bool:
    """Whether a chunk holds a C2PA manifest; raises RulesError for what is no whole PNG."""
    return any(kind == _MANIFEST for kind, _ in _chunks(content, where))


def with_xmp(content: bytes, packet: bytes, where: str) -> bytes:
    """Return the PNG with this XMP behind its header and in place of any other; all else stays as it was."""
    chunks = [chunk for chunk in _chunks(content, where) if not _is_xmp(*chunk)]
    mark = (b"iTXt", _XMP_KEYWORD + _PLAIN + packet)
    return SIGNATURE + b"".join(_packed(chunk) for chunk in (chunks[0], mark, *chunks[1:]))


def _is_xmp(kind: bytes, data: bytes) -> bool:
    return kind == b"iTXt" and data.startswith(_XMP_KEYWORD)


def _chunks(content: bytes, where: str) -> Iterator[_Chunk]:
    """The chunks of a PNG, each with its checksum checked, the last one IEND at the very end."""
    if not content.startswith(SIGNATURE):
        raise RulesError(f"{where}: is no PNG")
    place, kind = len(SIGNATURE), b""
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        end = place + 12 + size
        if kind == b"" or end > len(content) or (place == len(SIGNATURE)) != (kind == b"IHDR"):
            raise RulesError(f"{where}: a damaged PNG at byte {place}")
        if zlib.crc32(kind + data) != int.from_bytes(content[end - 4 : end], "big"):
            raise RulesError(f"{where}: a damaged PNG: chunk {kind!r} at byte {place} has another checksum")
        yield kind, data
        place = end
        if kind == b"IEND":
            break
    if kind != b"IEND" or place != len(content):
        raise RulesError(f"{where}: a damaged PNG: it does not end with IEND")


def _packed(chunk: _Chunk) -> bytes:
    kind, data = chunk
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
