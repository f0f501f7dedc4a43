"""Labels on what AI made: marks, records and signatures made together, and checked together."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hanok.flows._version import hanok_version
from hanok.rules import label as labels
from hanok.rules.digital_source import COMPOSITE, ENHANCED, GENERATED, SOURCES, DigitalSource
from hanok.rules.errors import RulesError
from hanok.rules.evidence import sha256_of

if TYPE_CHECKING:
    from hanok.protect.certificates import Certificate, Credential
    from hanok.protect.content_credentials import Claim, Manifest

PHOTO_ACTIONS = {
    "denoise": ("c2pa.opened", "c2pa.enhanced"),
    "upscale": ("c2pa.opened", "c2pa.resized"),
    "cutout": ("c2pa.opened", "c2pa.edited"),
}
"""What each job does to a picture, in C2PA's words: an enhancement is not editorial, cutting out is."""
_ACTIONS = {
    GENERATED: ("c2pa.created",),
    COMPOSITE: ("c2pa.opened", "c2pa.edited"),
    ENHANCED: ("c2pa.opened", "c2pa.enhanced"),
}
_PURPOSE = "hanok-label+jws"
_HEAD_BYTES = 12


@dataclass(frozen=True)
class Label:
    """What is said of a file, of which system, and with whose signature; None signs nothing."""

    source: DigitalSource
    system: str
    credential: Credential | None = None


@dataclass(frozen=True)
class Finding:
    """One label on a file: what kind it is, what it says, whether it stands, and whose it is."""

    kind: Literal["XMP mark", "C2PA manifest", "record"]
    sources: tuple[str, ...]
    """Names of `digital_source.SOURCES`; empty where it says nothing of AI."""
    state: Literal["valid", "altered", "not valid", "not signed"]
    reason: str = ""
    signer: str = ""
    trusted: bool | None = None
    """Whether the signer's chain leads to a trusted root; None where nobody asked."""


@dataclass(frozen=True)
class Checked:
    """All labels that were found on a file."""

    findings: tuple[Finding, ...]
    against_trust: bool

    @property
    def is_marked(self) -> bool:
        """Whether any label says that AI had a part in it."""
        return any(finding.sources for finding in self.findings)

    @property
    def stands(self) -> bool:
        """Whether it is marked, nothing is altered, and, if that was asked, whoever signed is trusted."""
        signed = [finding for finding in self.findings if finding.state == "valid"]
        sound = all(finding.state in ("valid", "not signed") for finding in self.findings)
        trusted = bool(signed) and all(finding.trusted for finding in signed)
        return self.is_marked and sound and (trusted or not self.against_trust)


def check_signing(label: Label, picture: str, parent: Path | None = None, job: str = "") -> None:
    """Refuse, before long work, a picture that could not be signed afterwards: library or source."""
    if label.credential is None or not picture:
        return
    from hanok.protect.content_credentials import check_installed, check_parent

    check_installed()
    carried = _carried(parent)
    if carried is not None:
        check_parent(_claim(picture, label, PHOTO_ACTIONS[job]), carried)


def label_picture(
    content: bytes, name: str, label: Label, job: str = "", parent: Path | None = None, where: str = ""
) -> bytes:
    """Return a PNG or JPEG with its mark and, where the label has a credential, a C2PA manifest.

    `job` is one of PHOTO_ACTIONS for a picture that hanok made from `parent`, whose own manifest goes along.
    """
    marked = labels.labelled_picture(content, label.source, label.system, where or name)
    if label.credential is None:
        return marked
    from hanok.protect.content_credentials import sign_picture

    claim = _claim(name, label, PHOTO_ACTIONS[job] if job else _ACTIONS[label.source])
    return sign_picture(marked, _kind(Path(name)), claim, label.credential, _carried(parent))


def record_of_bytes(name: str, content: bytes, label: Label) -> str:
    """Return the record of a file of this name and content, signed where the label has a credential."""
    return _record(name, len(content), hashlib.sha256(content).hexdigest(), label)


def record_of_file(path: Path, label: Label) -> str:
    """Return the record of a file, signed where the label has a credential."""
    return _record(path.name, *sha256_of(path, str(path)), label)


def is_picture(path: Path) -> bool:
    """Whether a file of this name takes its mark inside."""
    return path.suffix.lower() in labels.PICTURES


def check_file(path: Path, anchors: Sequence[Certificate] | None, now: datetime.datetime) -> Checked:
    """Return every label on a file, each checked; with `anchors`, also who vouches for the signers.

    Raises HanokError where a label is there that cannot be read, or the library for it is missing.
    """
    found: list[Finding] = []
    if is_picture(path):
        content = labels.read_picture(path)
        source = labels.picture_mark(content, str(path))
        if labels.has_manifest(content, str(path)):
            found.append(_check_manifest(content, path, anchors))
        if source is not None:
            covered = "the manifest's signature covers it" if found and found[0].state == "valid" else ""
            found.append(Finding("XMP mark", (source.name,), "not signed", covered))
    facts = sha256_of(path, str(path))
    record = labels.read_record(path)
    if record is not None:
        found.append(_check_record(record, facts, anchors, now))
    return Checked(tuple(found), anchors is not None)


def _check_manifest(content: bytes, path: Path, anchors: Sequence[Certificate] | None) -> Finding:
    from hanok.protect.content_credentials import ManifestError, read_manifest

    try:
        manifest = read_manifest(content, _kind(path), anchors or (), str(path))
    except ManifestError as error:
        return Finding("C2PA manifest", (), "altered", str(error))
    trusted = None if anchors is None else manifest.trusted
    if not manifest.failures:
        return Finding(
            "C2PA manifest",
            _sources(manifest),
            "valid",
            f"made by {manifest.generator}",
            manifest.signer,
            trusted,
        )
    altered = any(".mismatch" in failure or ".missing" in failure for failure in manifest.failures)
    return Finding(
        "C2PA manifest",
        _sources(manifest),
        "altered" if altered else "not valid",
        "; ".join(manifest.failures),
        manifest.signer,
        False if trusted is not None else None,
    )


def _check_record(
    record: labels.Record,
    facts: tuple[int, str],
    anchors: Sequence[Certificate] | None,
    now: datetime.datetime,
) -> Finding:
    sources = (record.source.name,) if record.source else ()
    if not record.is_of(*facts):
        return Finding("record", (), "altered", "the file has other bytes than the record says")
    if not record.signature:
        return Finding("record", sources, "not signed")
    from hanok.protect.certificates import is_trusted, name_of
    from hanok.protect.detached import DetachedSignatureError, verify_detached

    try:
        verified = verify_detached(record.signature, record.canonical, _PURPOSE, now)
    except DetachedSignatureError as error:
        return Finding("record", sources, "altered", str(error))
    signer = name_of(verified.chain[0])
    trusted = None if anchors is None else is_trusted(verified.chain, anchors, now)
    if not verified.fits:
        return Finding("record", sources, "altered", "the signature is of another record", signer, trusted)
    if verified.flaw:
        reason = f"the certificate {verified.flaw}"
        return Finding("record", sources, "not valid", reason, signer, trusted)
    return Finding("record", sources, "valid", "", signer, trusted)


def _record(name: str, size: int, digest: str, label: Label) -> str:
    credential = label.credential
    if credential is None:
        return labels.label_record(name, size, digest, label.source, label.system)
    from hanok.protect.detached import sign_detached

    return labels.label_record(
        name,
        size,
        digest,
        label.source,
        label.system,
        lambda payload: sign_detached(credential, payload, _PURPOSE),
    )


def _claim(name: str, label: Label, actions: tuple[str, ...]) -> Claim:
    from hanok.protect.content_credentials import Action, Claim

    system = labels.flat_name(label.system)
    done = tuple(Action(action, label.source.uri, system) for action in actions)
    return Claim(labels.flat_name(name), done, "hanok", hanok_version())


def _sources(manifest: Manifest) -> tuple[str, ...]:
    """What the actions of a manifest say of AI."""
    found = {action.source for action in manifest.actions}
    return tuple(source.name for source in SOURCES.values() if source.uri in found)


def _kind(path: Path) -> str:
    kind = labels.PICTURES.get(path.suffix.lower())
    if kind is None:
        raise RulesError(f"{path}: is neither .png nor .jpg; a manifest goes into one of these")
    return kind


def _carried(parent: Path | None) -> tuple[Path, str] | None:
    """A source picture and its kind; None where its format holds no manifest."""
    if parent is None:
        return None
    try:
        with parent.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise RulesError(f"{parent}: cannot be read: {error.strerror or error}") from None
    starts = {
        b"\x89PNG": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF8": "image/gif",
        b"II*\0": "image/tiff",
        b"MM\0*": "image/tiff",
    }
    kinds = [kind for start, kind in starts.items() if head.startswith(start)]
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        kinds.append("image/webp")
    return (parent, kinds[0]) if kinds else None
