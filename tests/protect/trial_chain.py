"""Certificates for trials: a root, a signer that C2PA takes, and the same with one thing wrong."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
PASSPHRASE = "a trial passphrase"
KINDS = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
SIGNING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
ISSUING = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


def named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Trial"),
        ]
    )


class TrialRoot:
    """A root that issues; its certificates are good for C2PA unless something else is asked for."""

    def __init__(self, kind: str = "ES256", name: str = "Trial root") -> None:
        self.key: Any = KINDS[kind]()
        self.name = named(name)
        self.certificate = self.sign(
            x509.CertificateBuilder()
            .subject_name(self.name)
            .public_key(self.key.public_key())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(NOW + 365 * DAY)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(ISSUING, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        )

    def sign(self, builder: x509.CertificateBuilder, issuer: x509.Name | None = None) -> x509.Certificate:
        digest = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        numbered = builder.serial_number(x509.random_serial_number()).issuer_name(issuer or self.name)
        return numbered.sign(self.key, digest)

    def issue(
        self,
        key: Any,
        *,
        name: str = "Trial signer",
        days: tuple[int, int] = (-1, 30),
        usage: x509.KeyUsage | None = SIGNING,
        purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        is_authority: bool = False,
        names_issuer: bool = True,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .public_key(key.public_key())
            .not_valid_before(NOW + days[0] * DAY)
            .not_valid_after(NOW + days[1] * DAY)
            .add_extension(x509.BasicConstraints(is_authority, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if usage is not None:
            builder = builder.add_extension(usage, True)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if names_issuer:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, False)
        return self.sign(builder)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(key: Any, passphrase: str = "") -> bytes:
    hidden = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))


def write_trial(
    folder: Path, kind: str = "ES256", passphrase: str = "", **wanted: Any
) -> tuple[Path, Path, Path]:
    """Files of a new key, its chain and the root that issued it."""
    root, key = TrialRoot(kind), KINDS[kind]()
    places = (folder / "key.pem", folder / "chain.pem", folder / "root.pem")
    contents = (
        key_pem(key, passphrase),
        pem(root.issue(key, **wanted), root.certificate),
        pem(root.certificate),
    )
    for place, content in zip(places, contents, strict=True):
        place.write_bytes(content)
    return places
