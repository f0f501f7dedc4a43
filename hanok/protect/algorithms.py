"""The algorithms of keys: how each makes a pair, signs, verifies, wraps and unwraps, in raw bytes.

Sources: Ed25519 RFC 8032; ML-DSA-65 FIPS 204; HPKE RFC 9180 with X25519, or with X-Wing, the hybrid of
ML-KEM-768 (FIPS 203) and X25519 of draft-connolly-cfrg-xwing-kem; HKDF-SHA256 and AES-256-GCM in both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hanok.protect._primitives import (
    AEAD,
    KDF,
    KEM,
    Ed25519PrivateKey,
    Ed25519PublicKey,
    InvalidSignature,
    InvalidTag,
    MissingPackageError,
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
    UnsupportedAlgorithm,
    X25519PrivateKey,
    X25519PublicKey,
)

_MLKEM_SEED_BYTES = 64
_MLKEM_PUBLIC_BYTES = 1184


@dataclass(frozen=True)
class SigningAlgorithm:
    """One way to sign: sizes in bytes, and functions of raw bytes."""

    name: str
    secret_bytes: int
    public_bytes: int
    signature_bytes: int
    public_of: Callable[[bytes], bytes]
    sign: Callable[[bytes, bytes], bytes]
    """(secret, message) -> signature."""
    verify: Callable[[bytes, bytes, bytes], None]
    """(public, signature, message); raises InvalidSignature."""


@dataclass(frozen=True)
class ReceivingAlgorithm:
    """One way to wrap a secret for a recipient: sizes in bytes, and functions of raw bytes."""

    name: str
    secret_bytes: int
    public_bytes: int
    overhead_bytes: int
    """What a wrapped secret is longer by: the encapsulated key and the tag."""
    public_of: Callable[[bytes], bytes]
    wrap: Callable[[bytes, bytes, bytes], bytes]
    """(public, plain, info) -> wrapped."""
    unwrap: Callable[[bytes, bytes, bytes], bytes]
    """(secret, wrapped, info) -> plain; raises InvalidTag or ValueError."""


Algorithm = SigningAlgorithm | ReceivingAlgorithm


def _suite(kem: KEM) -> Suite:
    return Suite(kem, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _hybrid_secret(secret: bytes) -> MLKEM768X25519PrivateKey:
    lattice = MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED_BYTES])
    return MLKEM768X25519PrivateKey(lattice, X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED_BYTES:]))


def _hybrid_public(public: bytes) -> MLKEM768X25519PublicKey:
    lattice = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES])
    return MLKEM768X25519PublicKey(lattice, X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]))


def _hybrid_public_of(secret: bytes) -> bytes:
    lattice = MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED_BYTES])
    curve = X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED_BYTES:])
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


ED25519 = SigningAlgorithm(
    name="ed25519",
    secret_bytes=32,
    public_bytes=32,
    signature_bytes=64,
    public_of=lambda secret: Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw(),
    sign=lambda secret, message: Ed25519PrivateKey.from_private_bytes(secret).sign(message),
    verify=lambda public, mark, message: Ed25519PublicKey.from_public_bytes(public).verify(mark, message),
)
ML_DSA_65 = SigningAlgorithm(
    name="ml-dsa-65",
    secret_bytes=32,
    public_bytes=1952,
    signature_bytes=3309,
    public_of=lambda secret: MLDSA65PrivateKey.from_seed_bytes(secret).public_key().public_bytes_raw(),
    sign=lambda secret, message: MLDSA65PrivateKey.from_seed_bytes(secret).sign(message),
    verify=lambda public, mark, message: MLDSA65PublicKey.from_public_bytes(public).verify(mark, message),
)
X25519 = ReceivingAlgorithm(
    name="x25519",
    secret_bytes=32,
    public_bytes=32,
    overhead_bytes=32 + 16,
    public_of=lambda secret: X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw(),
    wrap=lambda public, plain, info: _suite(KEM.X25519).encrypt(
        plain, X25519PublicKey.from_public_bytes(public), info
    ),
    unwrap=lambda secret, wrapped, info: _suite(KEM.X25519).decrypt(
        wrapped, X25519PrivateKey.from_private_bytes(secret), info
    ),
)
MLKEM768_X25519 = ReceivingAlgorithm(
    name="mlkem768-x25519",
    secret_bytes=_MLKEM_SEED_BYTES + 32,
    public_bytes=_MLKEM_PUBLIC_BYTES + 32,
    overhead_bytes=1088 + 32 + 16,
    public_of=_hybrid_public_of,
    wrap=lambda public, plain, info: _suite(KEM.MLKEM768_X25519).encrypt(plain, _hybrid_public(public), info),
    unwrap=lambda secret, wrapped, info: _suite(KEM.MLKEM768_X25519).decrypt(
        wrapped, _hybrid_secret(secret), info
    ),
)
SIGNING: dict[str, SigningAlgorithm] = {each.name: each for each in (ED25519, ML_DSA_65)}
RECEIVING: dict[str, ReceivingAlgorithm] = {each.name: each for each in (X25519, MLKEM768_X25519)}


@contextmanager
def _supported(algorithm: Algorithm) -> Iterator[None]:
    """Turn the package's complaint about an algorithm that it was built without into ours."""
    try:
        yield
    except UnsupportedAlgorithm:
        raise MissingPackageError(
            f"the installed cryptography was built without {algorithm.name}; install its wheel from PyPI"
        ) from None


def new_secret(algorithm: Algorithm) -> bytes:
    """Return a secret from the system's random numbers; each of these algorithms takes any bytes."""
    secret = os.urandom(algorithm.secret_bytes)
    with _supported(algorithm):
        algorithm.public_of(secret)
    return secret


def is_signature(algorithm: SigningAlgorithm, public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether `signature` is that of `message` under a raw public key."""
    with _supported(algorithm):
        try:
            algorithm.verify(public, signature, message)
        except (InvalidSignature, ValueError):
            return False
    return True


def wrap(algorithm: ReceivingAlgorithm, public: bytes, plain: bytes, info: bytes) -> bytes | None:
    """Return `plain` wrapped for a raw public key; None if that is no point to wrap for."""
    with _supported(algorithm):
        try:
            return algorithm.wrap(public, plain, info)
        except ValueError:
            return None


def unwrap(algorithm: ReceivingAlgorithm, secret: bytes, wrapped: bytes, info: bytes) -> bytes | None:
    """Return the secret that was wrapped for a raw private key; None if it was not, or is damaged."""
    with _supported(algorithm):
        try:
            return algorithm.unwrap(secret, wrapped, info)
        except (InvalidTag, ValueError):
            return None
