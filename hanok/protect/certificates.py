"""Signing with a certificate: a private key and its chain from PEM files, checked before anything is signed.

The demands on the certificate are those of C2PA 2.4 (X.509 certificates of signers), so that one key signs
pictures and records.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hanok.errors import HanokError
from hanok.protect._primitives import (
    SHA256,
    SHA384,
    SHA512,
    Ed25519PrivateKey,
    Ed25519PublicKey,
    Encoding,
    InvalidSignature,
    UnsupportedAlgorithm,
    decode_dss_signature,
    ec,
    encode_dss_signature,
    load_pem_private_key,
    padding,
    rsa,
    verification,
    x509,
)

MOST_BYTES = 1 << 17
MOST_CERTIFICATES = 10
MOST_ANCHOR_BYTES = 1 << 24
LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
PURPOSES = {
    "1.3.6.1.4.1.62558.2.1": "C2PA claim signing",
    "1.3.6.1.5.5.7.3.36": "document signing",
    "1.3.6.1.5.5.7.3.4": "e-mail protection",
}
"""Extended key usages that a signer of C2PA manifests may have."""
_ANY_PURPOSE = "2.5.29.37.0"
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_ADVICE = "docs/rules.md says how to make one for trials"
_CURVES: dict[str, tuple[str, Callable[[], Any], int]] = {
    "secp256r1": ("ES256", SHA256, 32),
    "secp384r1": ("ES384", SHA384, 48),
    "secp521r1": ("ES512", SHA512, 66),
}
"""Name of a curve -> algorithm (RFC 7518), hash, bytes of a coordinate."""
Certificate = x509.Certificate


class CertificateError(HanokError):
    """A key or a certificate that cannot be read, or with which nothing may be signed."""


@dataclass(frozen=True)
class Credential:
    """A private key, and the certificates that say whose it is: the signer's first, then who issued each."""

    chain: tuple[Certificate, ...]
    key: Any = field(repr=False)

    @property
    def algorithm(self) -> str:
        """ES256, ES384, ES512, PS256 or EdDSA, as in RFC 7518 and RFC 8037."""
        return algorithm_of(self.chain[0].public_key())

    @property
    def chain_pem(self) -> str:
        """The chain as PEM."""
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in self.chain)

    def sign(self, message: bytes) -> bytes:
        """Return a signature in the form of COSE and JOSE: of a curve, both numbers one after the other."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(message)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, _pss(), SHA256())
        _, hashing, width = _CURVES[self.key.curve.name]
        numbers = decode_dss_signature(self.key.sign(message, ec.ECDSA(hashing())))
        return b"".join(number.to_bytes(width, "big") for number in numbers)


def needs_passphrase(key: Path) -> bool:
    """Return whether a private key is encrypted; raises CertificateError for a file that holds none."""
    data = _read(key, MOST_BYTES)
    if b"PRIVATE KEY-----" not in data:
        raise CertificateError(f"{key}: holds no private key in PEM (BEGIN PRIVATE KEY); {_ADVICE}")
    return _ENCRYPTED.search(data) is not None


def read_credential(
    key: Path, certificate: Path, passphrase: str | None, now: datetime.datetime
) -> Credential:
    """Return the key with its chain; `passphrase` where `needs_passphrase`. Raises CertificateError.

    Refused are other algorithms, a certificate of another key, of a CA, out of date at `now`, or for other
    purposes, and a chain in which one certificate does not issue the one before.
    """
    private = _load_key(key, passphrase)
    chain = read_certificates(certificate)
    if len(chain) > MOST_CERTIFICATES:
        raise CertificateError(
            f"{certificate}: {len(chain)} certificates; a chain has at most {MOST_CERTIFICATES}"
        )
    algorithm_of(private.public_key(), str(key))
    if private.public_key() != _public_key(chain[0], str(certificate)):
        raise CertificateError(
            f"{certificate}: its first certificate is not that of the key in {key}; put the signer's first"
        )
    _check_signer(chain[0], str(certificate), now)
    for issued, issuer in pairwise(chain):
        if not _is_issued_by(issued, issuer):
            raise CertificateError(
                f"{certificate}: '{name_of(issuer)}' did not issue '{name_of(issued)}', which stands "
                "before it; order the chain from the signer up"
            )
    return Credential(chain, private)


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file, at least one: a chain, or the roots that one trusts."""
    data = _read(path, MOST_ANCHOR_BYTES)
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise CertificateError(f"{path}: no certificates in PEM (BEGIN CERTIFICATE): {error}") from None


def algorithm_of(public: Any, where: str = "certificate") -> str:
    """Return the algorithm of a public key; raises CertificateError for one that C2PA does not know."""
    if isinstance(public, Ed25519PublicKey):
        return "EdDSA"
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name][0]
    if isinstance(public, rsa.RSAPublicKey) and LEAST_RSA_BITS <= public.key_size <= MOST_RSA_BITS:
        return "PS256"
    raise CertificateError(
        f"{where}: its key is of another kind; allowed: ECDSA on P-256, P-384 or P-521, Ed25519, "
        f"RSA of {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits"
    )


def is_signature(public: Any, signature: bytes, message: bytes) -> bool:
    """Return whether a signature in the form of `Credential.sign` is of this key and message."""
    algorithm_of(public)
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, message)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, _pss(), SHA256())
        else:
            _, hashing, width = _CURVES[public.curve.name]
            if len(signature) != 2 * width:
                return False
            numbers = (int.from_bytes(part, "big") for part in (signature[:width], signature[width:]))
            public.verify(encode_dss_signature(*numbers), message, ec.ECDSA(hashing()))
    except InvalidSignature:
        return False
    return True


def is_trusted(chain: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime.datetime) -> bool:
    """Return whether the chain leads to a root that one trusts, as RFC 5280 asks, without revocation.

    Ed25519 chains count as not trusted: the library that builds paths takes RSA and the curves of NIST.
    """
    policy = verification.PolicyBuilder().store(verification.Store(list(anchors))).time(now)
    policy = policy.extension_policies(
        ee_policy=verification.ExtensionPolicy.permit_all(),
        ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
    )
    try:
        policy.build_client_verifier().verify(chain[0], list(chain[1:]))
    except (verification.VerificationError, ValueError, UnsupportedAlgorithm):
        return False
    return True


def name_of(certificate: Certificate) -> str:
    """Return whose a certificate is: common name and organisation."""
    attributes = (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME)
    names = [
        str(each.value) for kind in attributes for each in certificate.subject.get_attributes_for_oid(kind)
    ]
    return ", ".join(dict.fromkeys(names)) or certificate.subject.rfc4514_string() or "nobody"


def fingerprint(certificate: Certificate) -> str:
    """Return the SHA-256 of a certificate, in 64 hexadecimal digits."""
    return certificate.fingerprint(SHA256()).hex()


def flaw_of_signer(certificate: Certificate, now: datetime.datetime) -> str:
    """Return why nothing may be signed with a certificate at a time; empty where it may."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        first, last = (
            f"{day:%Y-%m-%d}" for day in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        )
        return f"is valid from {first} to {last}, not on {now:%Y-%m-%d}"
    try:
        return _flaw_of_extensions(certificate)
    except ValueError as error:
        return f"has extensions that cannot be read: {error}"


def _flaw_of_extensions(certificate: Certificate) -> str:
    extensions = {type(each.value): each.value for each in certificate.extensions}
    authority = extensions.get(x509.BasicConstraints)
    if isinstance(authority, x509.BasicConstraints) and authority.ca:
        return "is of a CA; C2PA takes the certificate of a signer, which a CA issued"
    if certificate.issuer == certificate.subject:
        return "is signed by itself; C2PA takes one that a CA issued"
    usage = extensions.get(x509.KeyUsage)
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        return "has not the key usage digitalSignature"
    purposes = extensions.get(x509.ExtendedKeyUsage)
    found = (
        {each.dotted_string for each in purposes} if isinstance(purposes, x509.ExtendedKeyUsage) else set()
    )
    if not found & PURPOSES.keys() or _ANY_PURPOSE in found:
        return f"has not the extended key usage of a signer, one of: {', '.join(PURPOSES.values())}"
    if x509.AuthorityKeyIdentifier not in extensions:
        return "has no authority key identifier"
    return ""


def _check_signer(certificate: Certificate, where: str, now: datetime.datetime) -> None:
    flaw = flaw_of_signer(certificate, now)
    if flaw:
        raise CertificateError(f"{where}: the certificate of '{name_of(certificate)}' {flaw}; {_ADVICE}")


def _is_issued_by(issued: Certificate, issuer: Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _public_key(certificate: Certificate, where: str) -> Any:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{where}: its key cannot be read: {error}") from None


def _load_key(path: Path, passphrase: str | None) -> Any:
    password = passphrase.encode("utf-8", "surrogateescape") if passphrase else None
    try:
        return load_pem_private_key(_read(path, MOST_BYTES), password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        wrong = "the passphrase is another one, or " if passphrase is not None else ""
        raise CertificateError(
            f"{path}: {wrong}it is damaged, or no private key in PEM that can be read"
        ) from None


def _pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path}: cannot be read: {getattr(error, 'strerror', '') or error}") from None
    if len(data) > most:
        raise CertificateError(f"{path}: more than {most} bytes; give a PEM file")
    return data
