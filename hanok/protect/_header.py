"""The public front of a sealed bundle: who may open it, who signed it, and the keys of its parts."""

from __future__ import annotations

import binascii
import hashlib
import os
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from hanok.protect._primitives import HKDF, SHA256
from hanok.protect.algorithms import RECEIVING
from hanok.protect.canonical import check_names, decode_object, encode
from hanok.protect.keys import PrivateKey, PublicKey, wrap_for
from hanok.protect.manifest import MOST_MANIFEST_BYTES, BundleError

MAGIC = b"\x89HNK\r\n\x1a\x01"
"""Not a text (first byte), damaged by changed line ends (as in PNG), stops `type` on Windows; version 1."""
PREFIX = struct.Struct(">8sII")
"""Magic, bytes of the header, bytes of the sealed manifest."""
MOST_RECIPIENTS = 2000
MOST_HEADER_BYTES = 1 << 22
KEY_BYTES = 32
_FIELDS = frozenset({"commitment", "recipients", "salt", "signer"})
_RECIPIENT_FIELDS = frozenset({"algorithm", "fingerprint", "wrapped"})
_HEX = re.compile(r"[0-9a-f]{64}")
_LONGEST_SIGNATURES = 8192


@dataclass(frozen=True)
class Recipient:
    """The content key, wrapped for one key."""

    fingerprint: str
    algorithm: str
    wrapped: bytes


@dataclass(frozen=True)
class Header:
    """What anyone can read. `salt` and `commitment` are 32 bytes, `signer` is a fingerprint."""

    recipients: tuple[Recipient, ...]
    signer: str
    salt: bytes
    commitment: bytes


@dataclass(frozen=True)
class ContentKeys:
    """Keys of one bundle, all from its content key by HKDF-SHA256 (RFC 5869) with the bundle's salt."""

    manifest: bytes
    body: bytes
    nonce_prefix: bytes
    commitment: bytes


@dataclass(frozen=True)
class Front:
    """The bytes before the body: `open_part` is the prefix and the header."""

    open_part: bytes
    header: Header
    sealed_manifest: bytes

    @property
    def size_bytes(self) -> int:
        """Where the body begins."""
        return len(self.open_part) + len(self.sealed_manifest)

    @property
    def delivery(self) -> str:
        """The bundle's identity: SHA-256 of all before the body, which binds the body through hashes."""
        return hashlib.sha256(self.open_part + self.sealed_manifest).hexdigest()


def derive_keys(content_key: bytes, salt: bytes) -> ContentKeys:
    """Return the keys of a bundle's parts. `commitment` lets nobody wrap two keys into one bundle."""

    def part(name: str, length: int) -> bytes:
        info = f"hanok sealed bundle 1 {name}".encode()
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(content_key)

    return ContentKeys(part("manifest", 32), part("body", 32), part("nonce", 7), part("commitment", 32))


def make_header(recipients: Sequence[PublicKey], signer: PublicKey) -> tuple[bytes, ContentKeys]:
    """Return the header's bytes for a new content key, and the keys that come from it."""
    if not 0 < len(recipients) <= MOST_RECIPIENTS:
        raise BundleError(f"{len(recipients):,} recipients; a bundle takes 1 to {MOST_RECIPIENTS:,}")
    content_key, salt = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    keys = derive_keys(content_key, salt)
    entries: list[dict[str, str]] = []
    for key in sorted(recipients, key=lambda each: each.fingerprint):
        if entries and entries[-1]["fingerprint"] == key.fingerprint:
            raise BundleError(f"recipient '{key.name}' is given twice; name each key once")
        key.must_receive(key.name)
        assert key.receiving is not None
        wrapped = wrap_for(key, content_key, _info(salt, key.fingerprint))
        entries.append(
            {
                "algorithm": key.receiving[0].name,
                "fingerprint": key.fingerprint,
                "wrapped": b64encode(wrapped).decode(),
            }
        )
    fields = {
        "commitment": keys.commitment.hex(),
        "recipients": entries,
        "salt": salt.hex(),
        "signer": signer.fingerprint,
    }
    return encode(fields), keys


def read_front(file: BinaryIO, what: str) -> Front:
    """Return what comes before the body, checked in form but not yet in truth."""
    prefix = file.read(PREFIX.size)
    if prefix[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise BundleError(f"{what}: is no sealed bundle, or was changed on its way; ask for it again")
    if len(prefix) < PREFIX.size:
        raise _truncated(what)
    magic, header_bytes, manifest_bytes = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise BundleError(f"{what}: is a sealed bundle of version {magic[-1]}; this hanok opens version 1")
    if header_bytes > MOST_HEADER_BYTES or manifest_bytes > MOST_MANIFEST_BYTES + _LONGEST_SIGNATURES:
        raise BundleError(f"{what}: claims a front of {header_bytes + manifest_bytes:,} bytes; it is damaged")
    header, sealed = file.read(header_bytes), file.read(manifest_bytes)
    if len(header) < header_bytes or len(sealed) < manifest_bytes:
        raise _truncated(what)
    return Front(prefix + header, _decode_header(header, what), sealed)


def unwrap_keys(front: Front, key: PrivateKey, what: str) -> ContentKeys:
    """Return the bundle's keys with a recipient's private key; refuse any other key, and any damage."""
    header = front.header
    mine = [each for each in header.recipients if each.fingerprint == key.public.fingerprint]
    if not mine:
        raise BundleError(
            f"{what}: is sealed for {len(header.recipients):,} recipients, and '{key.public.name}' "
            f"({key.public.fingerprint[:16]}) is none of them; see `hanok protect inspect`"
        )
    content_key = key.unwrap(mine[0].wrapped, _info(header.salt, mine[0].fingerprint))
    if content_key is None or len(content_key) != KEY_BYTES:
        raise altered(what, "the key wrapped for this recipient")
    keys = derive_keys(content_key, header.salt)
    if keys.commitment != header.commitment:
        raise altered(what, "the commitment to the key")
    return keys


def altered(what: str, where: str) -> BundleError:
    """The error for bytes that are not what was sealed."""
    return BundleError(f"{what}: was altered or damaged in {where}; nothing was opened, ask for it again")


def _truncated(what: str) -> BundleError:
    return BundleError(f"{what}: is truncated; ask for it again")


def _info(salt: bytes, fingerprint: str) -> bytes:
    """What HPKE binds a wrapped key to: this format, this bundle, this recipient."""
    return b"hanok sealed bundle 1 wrap\0" + salt + bytes.fromhex(fingerprint)


def _decode_header(data: bytes, what: str) -> Header:
    fields = decode_object(data, f"{what}: header", _FIELDS)
    texts = [fields[name] for name in ("commitment", "salt", "signer")]
    if not all(isinstance(text, str) and _HEX.fullmatch(text) for text in texts):
        raise altered(what, "the header")
    listed = fields["recipients"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_RECIPIENTS:
        raise altered(what, "the list of recipients")
    recipients = tuple(_recipient(entry, what) for entry in listed)
    prints = [each.fingerprint for each in recipients]
    if prints != sorted(set(prints)):
        raise altered(what, "the order of recipients")
    return Header(recipients, fields["signer"], bytes.fromhex(fields["salt"]), bytes.fromhex(texts[0]))


def _recipient(entry: Any, what: str) -> Recipient:
    fields = check_names(entry, f"{what}: recipient", _RECIPIENT_FIELDS)
    algorithm, fingerprint, text = (fields[name] for name in ("algorithm", "fingerprint", "wrapped"))
    if not all(isinstance(value, str) for value in (algorithm, fingerprint, text)):
        raise altered(what, "a recipient")
    try:
        wrapped = b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise altered(what, "a wrapped key") from None
    if algorithm not in RECEIVING or not _HEX.fullmatch(fingerprint):
        raise altered(what, "a recipient")
    if len(wrapped) != KEY_BYTES + RECEIVING[algorithm].overhead_bytes or b64encode(wrapped).decode() != text:
        raise altered(what, "a wrapped key")
    return Recipient(fingerprint, algorithm, wrapped)
