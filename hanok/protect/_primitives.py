"""The one door to the package `cryptography`; importing this module says what to install if it is missing."""

from __future__ import annotations

from hanok.errors import HanokError


class MissingPackageError(HanokError):
    """The package `cryptography` is missing or too old, or was built without an algorithm."""


try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
    from cryptography.hazmat.primitives.hpke import (
        AEAD,
        KDF,
        KEM,
        MLKEM768X25519PrivateKey,
        MLKEM768X25519PublicKey,
        Suite,
    )
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
    from cryptography.x509 import verification
except ImportError:
    raise MissingPackageError(
        "sealing and signing need the package cryptography, 48 or newer: pip install 'hanok[protect]'"
    ) from None

__all__ = [
    "AEAD",
    "AESGCM",
    "HKDF",
    "KDF",
    "KEM",
    "SHA256",
    "SHA384",
    "SHA512",
    "Argon2id",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "Encoding",
    "InvalidSignature",
    "InvalidTag",
    "MLDSA65PrivateKey",
    "MLDSA65PublicKey",
    "MLKEM768PrivateKey",
    "MLKEM768PublicKey",
    "MLKEM768X25519PrivateKey",
    "MLKEM768X25519PublicKey",
    "MissingPackageError",
    "Suite",
    "UnsupportedAlgorithm",
    "X25519PrivateKey",
    "X25519PublicKey",
    "decode_dss_signature",
    "ec",
    "encode_dss_signature",
    "load_pem_private_key",
    "padding",
    "rsa",
    "verification",
    "x509",
]
