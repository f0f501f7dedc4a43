"""Marks that machines read on what AI generated: XMP in a PNG, a JSON record beside any other file.

The mark is IPTC's digital source type 'trainedAlgorithmicMedia', which C2PA manifests use as well. It says
that the file was made by AI; nothing here proves who says so. A record can carry a signature that a caller
makes (`Signer`), as `hanok.protect` could; a C2PA manifest needs a certificate and is not made.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hanok.rules.errors import RulesError
from hanok.rules.evidence import sha256_of
from hanok.rules.notices import DIGITAL_SOURCE_TYPE

Signer = Callable[[bytes], str]
"""From the canonical bytes of a record to a signature in text."""
MAX_PICTURE_BYTES = 1 << 28
MAX_NAME = 200
RECORD_SUFFIX = ".ai.json"
_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_MAKER = "hanok rules label"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    " Iptc4xmpExt:DigitalSourceType={source} Iptc4xmpExt:AISystemUsed={system} xmp:CreatorTool={maker}/>"
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_Chunk = tuple[bytes, bytes]


def labelled_png(content: bytes, system: str, where: str) -> bytes:
    """Return a PNG with the mark and with every other chunk as it was; the same mark again changes nothing.

    Raises RulesError for what is no whole PNG, and where other XMP stands in it, which is not overwritten.
    """
    chunks = list(_chunks(content, where))
    for kind, data in chunks:
        if kind == b"iTXt" and data.startswith(_XMP_KEYWORD) and _MAKER.encode() not in data:
            raise RulesError(
                f"{where}: has XMP of another maker, which is not overwritten; label a copy without it"
            )
    kept = [chunk for chunk in chunks if not (chunk[0] == b"iTXt" and chunk[1].startswith(_XMP_KEYWORD))]
    text = _XMP.format(
        source=quoteattr(DIGITAL_SOURCE_TYPE), system=quoteattr(_flat(system)), maker=quoteattr(_MAKER)
    )
    mark = (b"iTXt", _XMP_KEYWORD + b"\0\0\0\0" + text.encode("utf-8", "replace"))
    return _PNG + b"".join(_packed(chunk) for chunk in (kept[0], mark, *kept[1:]))


def is_labelled_png(content: bytes, where: str) -> bool:
    """Whether a PNG carries the mark of AI in XMP, of any maker."""
    return any(
        kind == b"iTXt" and data.startswith(_XMP_KEYWORD) and DIGITAL_SOURCE_TYPE.encode() in data
        for kind, data in _chunks(content, where)
    )


def label_record(path: Path, system: str, sign: Signer | None = None) -> str:
    """Return the record that stands beside a generated file: its name, size, hash and source, as JSON."""
    size, digest = sha256_of(path, str(path))
    content: dict[str, Any] = {
        "maker": _MAKER,
        "file": path.name,
        "bytes": size,
        "sha256": digest,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "system": _flat(system),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["signature"] = None if sign is None else sign(canonical)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def has_label_record(path: Path) -> bool:
    """Whether a record stands beside a file and is of its bytes."""
    place = path.with_name(path.name + RECORD_SUFFIX)
    if not place.is_file():
        return False
    try:
        content: Any = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RulesError(f"{place}: no record of {_MAKER}: {error}") from None
    _, digest = sha256_of(path, str(path))
    return isinstance(content, dict) and content.get("sha256") == digest


def read_picture(path: Path) -> bytes:
    """Return the bytes of a picture of a size that one has; raises RulesError."""
    size, digest = sha256_of(path, str(path))
    if size > MAX_PICTURE_BYTES:
        raise RulesError(f"{path}: {size} bytes; a picture has at most {MAX_PICTURE_BYTES}")
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest, "the file did not change meanwhile"
    return content


def _chunks(content: bytes, where: str) -> Iterator[_Chunk]:
    """The chunks of a PNG, each with its checksum checked, the last one IEND at the very end."""
    if not content.startswith(_PNG):
        raise RulesError(f"{where}: is no PNG")
    place, kind = len(_PNG), b""
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        end = place + 12 + size
        if kind == b"" or end > len(content) or (place == len(_PNG)) != (kind == b"IHDR"):
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


def _flat(text: str) -> str:
    """A name on one line, without characters that XML does not hold."""
    printable = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return printable[:MAX_NAME].strip()
