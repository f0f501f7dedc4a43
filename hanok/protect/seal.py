"""Sealing: files to one bundle that only its recipients can open, signed by who sends it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hanok.protect._body import Place, Worker, seal_file, work_through
from hanok.protect._header import MAGIC, PREFIX, ContentKeys, make_header
from hanok.protect._primitives import AESGCM
from hanok.protect._sources import Source, find_sources, open_source
from hanok.protect.keys import PrivateKey, PublicKey
from hanok.protect.licence import Licence, time_text
from hanok.protect.manifest import TAG_BYTES, BundleError, Manifest, check_counts, encode_manifest

PURPOSE = "sealed bundle"
MANIFEST_NONCE = bytes(12)
"""The manifest's key encrypts once."""


@dataclass(frozen=True)
class SealedBundle:
    """What was sealed. `delivery`: the bundle's identity, which receipts and logs name."""

    delivery: str
    manifest: Manifest
    recipients: tuple[PublicKey, ...]
    signer: PublicKey
    sealed_bytes: int


def seal(
    paths: Sequence[str | Path],
    recipients: Sequence[PublicKey],
    licence: Licence,
    signer: PrivateKey,
    output: str | Path,
    now: datetime,
    workers: int | None = None,
) -> SealedBundle:
    """Seal files and folders for recipients into the file `output`, which is overwritten as it grows.

    `now`: the time of sealing. Memory does not grow with the data. Raises BundleError, KeyFileError or
    UnsafeNameError; then `output` holds nothing of use, so give a temporary file and rename it.
    """
    signer.public.must_sign(signer.public.name)
    if licence.is_past(now):
        raise BundleError(f"the licence expired on {licence.expires}; nobody could open the bundle")
    sources = find_sources(paths, output)
    check_counts(tuple(source.entry for source in sources))
    header, keys = make_header(recipients, signer.public)
    manifest = Manifest(tuple(source.entry for source in sources), licence, time_text(now))
    section_bytes = _section_bytes(manifest, signer.public)
    open_part = PREFIX.pack(MAGIC, len(header), section_bytes) + header
    body_start = len(open_part) + section_bytes
    try:
        with open(output, "wb", buffering=0) as file:
            hashed = _seal_body(keys, sources, manifest, file.fileno(), body_start, workers)
            section = _seal_manifest(keys, hashed, signer, open_part)
            assert len(section) == section_bytes, "the length of a manifest does not depend on its hashes"
            os.pwrite(file.fileno(), open_part + section, 0)
    except OSError as error:
        raise BundleError(f"{output}: cannot be written: {error.strerror or error}") from None
    delivery = hashlib.sha256(open_part + section).hexdigest()
    total = body_start + hashed.body_bytes
    return SealedBundle(delivery, hashed, tuple(recipients), signer.public, total)


def delivery_fields(sealed: SealedBundle) -> dict[str, str | int | bool | list[str]]:
    """Return the fields of the log's `delivery` entry."""
    licence = sealed.manifest.licence
    return {
        "bytes": sealed.manifest.size_bytes,
        "delivery": sealed.delivery,
        "destination": licence.destination,
        "expires": licence.expires,
        "files": len(sealed.manifest.files),
        "licence": licence.title,
        "licensee": licence.licensee,
        "names": [key.name for key in sealed.recipients],
        "recipients": [key.fingerprint for key in sealed.recipients],
        "sealed_at": sealed.manifest.sealed_at,
    }


def signed_part(open_part: bytes, manifest: bytes) -> bytes:
    """Return what a bundle's signature covers: the hash of what stands before the manifest, and it."""
    return hashlib.sha256(open_part).digest() + manifest


def _seal_body(
    keys: ContentKeys,
    sources: tuple[Source, ...],
    manifest: Manifest,
    target: int,
    body_start: int,
    workers: int | None,
) -> Manifest:
    """Write the body; return the manifest with the files' hashes."""
    digests = [""] * len(sources)

    def work(worker: Worker, number: int) -> None:
        first_chunk, offset = places[number]
        place = Place(sources[number].entry, first_chunk, body_start + offset)
        descriptor = open_source(sources[number])
        try:
            digests[number] = seal_file(worker, place, descriptor, target)
        finally:
            os.close(descriptor)

    places = manifest.places
    largest_first = sorted(range(len(sources)), key=lambda number: -sources[number].entry.size_bytes)
    work_through(keys, largest_first, work, workers)
    files = zip(manifest.files, digests, strict=True)
    return replace(manifest, files=tuple(replace(file, sha256=digest) for file, digest in files))


def _section_bytes(manifest: Manifest, signer: PublicKey) -> int:
    return len(encode_manifest(manifest)) + signer.signature_bytes + TAG_BYTES


def _seal_manifest(keys: ContentKeys, manifest: Manifest, signer: PrivateKey, open_part: bytes) -> bytes:
    """Return the manifest and its signatures, encrypted and bound to all that stands before them."""
    plain = encode_manifest(manifest)
    plain += signer.sign(PURPOSE, signed_part(open_part, plain))
    return AESGCM(keys.manifest).encrypt(MANIFEST_NONCE, plain, open_part)
