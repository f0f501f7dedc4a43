"""Marks that machines read on what AI made: XMP in a picture, a JSON record beside any file.

A mark says in IPTC's terms what part trained networks had in a file. Nothing in it proves who says so: for
that a record carries a signature that a caller makes (`Signer`), and a picture a C2PA manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.sax.saxutils import quoteattr

from hanok.rules import _jpeg, _png
from hanok.rules.digital_source import SOURCES, DigitalSource
from hanok.rules.errors import RulesError
from hanok.rules.evidence import sha256_of

Signer = Callable[[bytes], str]
"""From the canonical bytes of a record to a signature in text."""
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""Endings of the pictures that take a mark, and their kinds."""
MAX_PICTURE_BYTES = 1 << 28
MAX_RECORD_BYTES = 1 << 18
MAX_NAME = 200
RECORD_SUFFIX = ".ai.json"
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
_FIELDS = ("maker", "file", "bytes", "sha256", "digital_source_type", "system", "notice_ko", "notice_en")


@dataclass(frozen=True)
class Record:
    """What stands beside a file: the facts that are signed, and the signature, empty where there is none."""

    facts: dict[str, str | int]
    signature: str

    @property
    def canonical(self) -> bytes:
        """The bytes that are signed: RFC 8785 (JCS) of the facts."""
        return _canonical(self.facts)

    @property
    def source(self) -> DigitalSource | None:
        """What it says of the file; None for a term that makes it no work of AI."""
        return _source_of(str(self.facts["digital_source_type"]))

    def is_of(self, size: int, digest: str) -> bool:
        """Whether it is the record of these bytes."""
        return (self.facts["bytes"], self.facts["sha256"]) == (size, digest)


def labelled_picture(content: bytes, source: DigitalSource, system: str, where: str) -> bytes:
    """Return a PNG or JPEG with the mark and with all else as it was; the same mark again changes nothing.

    Raises RulesError for what is no whole picture, where other XMP stands in it, which is not overwritten,
    and where a C2PA manifest does, which any change would break.
    """
    file = _file_kind(content, where)
    if file.has_manifest(content, where):
        raise RulesError(
            f"{where}: has a C2PA manifest, which a mark would break; read it with --check, "
            "or label a copy without it"
        )
    if any(_MAKER.encode() not in packet for packet in file.xmp_packets(content, where)):
        raise RulesError(
            f"{where}: has XMP of another maker, which is not overwritten; label a copy without it"
        )
    text = _XMP.format(
        source=quoteattr(source.uri), system=quoteattr(flat_name(system)), maker=quoteattr(_MAKER)
    )
    marked: bytes = file.with_xmp(content, text.encode("utf-8", "replace"), where)
    return marked


def picture_mark(content: bytes, where: str) -> DigitalSource | None:
    """Return what the XMP of a picture, of any maker, says of AI; None where it says nothing of it."""
    packets = _file_kind(content, where).xmp_packets(content, where)
    found = [source for packet in packets for source in SOURCES.values() if _says(packet, source)]
    return found[0] if found else None


def has_manifest(content: bytes, where: str) -> bool:
    """Whether a picture carries a C2PA manifest, sound or not."""
    found: bool = _file_kind(content, where).has_manifest(content, where)
    return found


def label_record(
    name: str, size: int, digest: str, source: DigitalSource, system: str, sign: Signer | None = None
) -> str:
    """Return the record of a file of `size` bytes with the SHA-256 `digest`, as JSON."""
    facts: dict[str, str | int] = {
        "maker": _MAKER,
        "file": name.encode("utf-8", "replace").decode(),
        "bytes": size,
        "sha256": digest,
        "digital_source_type": source.uri,
        "system": flat_name(system),
        "notice_ko": source.text_ko,
        "notice_en": source.text_en,
    }
    signature = None if sign is None else sign(_canonical(facts))
    return json.dumps({**facts, "signature": signature}, indent=1, ensure_ascii=False) + "\n"


def record_place(path: Path) -> Path:
    """Return where the record of a file stands."""
    return path.with_name(path.name + RECORD_SUFFIX)


def read_record(path: Path) -> Record | None:
    """Return the record that stands beside a file; None without one. Raises RulesError for anything else."""
    place = record_place(path)
    if not place.exists():
        return None
    try:
        with place.open("rb") as file:
            data = file.read(MAX_RECORD_BYTES + 1)
        content: Any = json.loads(data.decode("utf-8")) if len(data) <= MAX_RECORD_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise RulesError(f"{place}: no record of {_MAKER}: {error}") from None
    if not isinstance(content, dict) or content.keys() != {*_FIELDS, "signature"}:
        raise RulesError(f"{place}: no record of {_MAKER}: it has other entries; make it again")
    signature = content.pop("signature") or ""
    texts = [signature, *(value for name, value in content.items() if name != "bytes")]
    if not all(isinstance(text, str) for text in texts) or type(content["bytes"]) is not int:
        raise RulesError(f"{place}: no record of {_MAKER}: an entry is of another type; make it again")
    try:
        json.dumps(texts, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise RulesError(f"{place}: no record of {_MAKER}: half of a surrogate pair stands in it") from None
    return Record(content, signature)


def read_picture(path: Path) -> bytes:
    """Return the bytes of a picture of a size that one has; raises RulesError."""
    size, digest = sha256_of(path, str(path))
    if size > MAX_PICTURE_BYTES:
        raise RulesError(f"{path}: {size} bytes; a picture has at most {MAX_PICTURE_BYTES}")
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest, "the file did not change meanwhile"
    return content


def flat_name(text: str) -> str:
    """Return a name on one line, without characters that XML does not hold, and not too long."""
    printable = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return printable[:MAX_NAME].strip()


def _file_kind(content: bytes, where: str) -> ModuleType:
    """The module that knows files of this kind, by their first bytes."""
    for kind in (_png, _jpeg):
        if content.startswith(kind.SIGNATURE):
            return kind
    raise RulesError(f"{where}: is no PNG and no JPEG, whatever its name says; give one of these")


def _says(packet: bytes, source: DigitalSource) -> bool:
    """Whether the term stands in XMP, alone or at the end of its URI."""
    return re.search(rb"[/>\"']" + source.term.encode() + rb"[<\"']", packet) is not None


def _source_of(uri: str) -> DigitalSource | None:
    return next((source for source in SOURCES.values() if source.uri == uri), None)


def _canonical(facts: dict[str, str | int]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
