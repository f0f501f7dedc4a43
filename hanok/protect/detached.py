"""Signatures that stand apart from what they sign: JWS with the signer's certificates in it, in one line.

RFC 7515, appendix F: header and signature of a compact JWS, between them nothing; whoever verifies puts the
payload back. The header names the algorithm, the chain (`x5c`) and the purpose (`typ`).
"""

from __future__ import annotations

import binascii
import datetime
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from hanok.errors import HanokError
from hanok.protect._primitives import Encoding, UnsupportedAlgorithm, x509
from hanok.protect.certificates import (
    MOST_CERTIFICATES,
    Certificate,
    CertificateError,
    Credential,
    algorithm_of,
    flaw_of_signer,
    is_signature,
)

MOST_CHARACTERS = 1 << 17


class DetachedSignatureError(HanokError):
    """A text that is no signature of this kind."""


@dataclass(frozen=True)
class Verified:
    """What a signature turned out to be: whose, whether it fits, and what is wrong with the certificate."""

    chain: tuple[Certificate, ...]
    fits: bool
    flaw: str


def sign_detached(credential: Credential, payload: bytes, purpose: str) -> str:
    """Return the signature of `payload` for `purpose`, such as `hanok-label+jws`."""
    chain = [b64encode(each.public_bytes(Encoding.DER)).decode() for each in credential.chain]
    header = {"alg": credential.algorithm, "typ": purpose, "x5c": chain}
    head = _packed(json.dumps(header, separators=(",", ":")).encode())
    return f"{head}..{_packed(credential.sign(_signed_bytes(head, payload)))}"


def verify_detached(text: str, payload: bytes, purpose: str, now: datetime.datetime) -> Verified:
    """Return whose signature it is and whether it is of `payload`; raises DetachedSignatureError.

    Who issued the chain is not asked here (`certificates.is_trusted`).
    """
    parts = text.split(".")
    if len(text) > MOST_CHARACTERS or len(parts) != 3 or parts[1]:
        raise DetachedSignatureError("the signature is no detached JWS (header..signature)")
    header = _header(parts[0])
    if header.get("typ") != purpose or "crit" in header or header.get("b64", True) is not True:
        raise DetachedSignatureError(f"the signature is none for '{purpose}'")
    chain = _chain(header.get("x5c"))
    try:
        public = chain[0].public_key()
        algorithm = algorithm_of(public)
    except (CertificateError, ValueError, UnsupportedAlgorithm) as error:
        raise DetachedSignatureError(
            f"the signature's certificate has a key of another kind: {error}"
        ) from None
    if header.get("alg") != algorithm:
        raise DetachedSignatureError(f"the signature names another algorithm than its key has, {algorithm}")
    fits = is_signature(public, _unpacked(parts[2]), _signed_bytes(parts[0], payload))
    return Verified(chain, fits, flaw_of_signer(chain[0], now))


def _signed_bytes(head: str, payload: bytes) -> bytes:
    return f"{head}.{_packed(payload)}".encode("ascii")


def _header(text: str) -> dict[str, Any]:
    try:
        header: Any = json.loads(_unpacked(text).decode("utf-8"))
    except (ValueError, RecursionError):
        raise DetachedSignatureError("the signature's header is no JSON") from None
    if not isinstance(header, dict):
        raise DetachedSignatureError("the signature's header is no object")
    return header


def _chain(entries: Any) -> tuple[Certificate, ...]:
    """The certificates of `x5c`, each checked to be one."""
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_CERTIFICATES:
        raise DetachedSignatureError(f"the signature holds no chain of 1 to {MOST_CERTIFICATES} certificates")
    try:
        return tuple(x509.load_der_x509_certificate(b64decode(each, validate=True)) for each in entries)
    except (ValueError, TypeError, binascii.Error):
        raise DetachedSignatureError("the signature's certificates cannot be read") from None


def _packed(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unpacked(text: str) -> bytes:
    """The bytes of base64url without padding, written in the one way that there is."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise DetachedSignatureError("the signature is no base64url") from None
    if _packed(data) != text:
        raise DetachedSignatureError("the signature is no base64url")
    return data
