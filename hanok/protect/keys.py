"""Keys of a firm or a person: public and private, for signing, for receiving, or for both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.errors import HanokError
from hanok.protect import algorithms
from hanok.protect.algorithms import (
    ED25519,
    ML_DSA_65,
    MLKEM768_X25519,
    RECEIVING,
    SIGNING,
    X25519,
    Algorithm,
    ReceivingAlgorithm,
    SigningAlgorithm,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PUBLIC_TITLE = "hanok public key 1"


class KeyFileError(HanokError):
    """A key that cannot be read, is of the wrong kind, or does not open what it should."""


@dataclass(frozen=True)
class Part:
    """One key of a file: its algorithm's name, and raw bytes (of the secret, in a private key)."""

    algorithm: str
    data: bytes = field(repr=False)

    @property
    def role(self) -> str:
        """`sign` or `receive`."""
        return "sign" if self.algorithm in SIGNING else "receive"

    @property
    def kind(self) -> Algorithm:
        """The algorithm itself."""
        return SIGNING[self.algorithm] if self.algorithm in SIGNING else RECEIVING[self.algorithm]


@dataclass(frozen=True)
class PublicKey:
    """Who it is, and the public keys: at most one for each algorithm, signing first, in canonical order."""

    name: str
    parts: tuple[Part, ...]

    @cached_property
    def text(self) -> str:
        """The lines that the fingerprint is taken over."""
        from base64 import b64encode

        lines = [PUBLIC_TITLE, f"name {self.name}"]
        lines += [f"{part.role} {part.algorithm} {b64encode(part.data).decode()}" for part in self.parts]
        return "\n".join(lines) + "\n"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `text`, in 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @property
    def signing(self) -> tuple[tuple[SigningAlgorithm, bytes], ...]:
        """Algorithms and raw keys that sign; empty for a key that only receives."""
        return tuple((SIGNING[part.algorithm], part.data) for part in self.parts if part.role == "sign")

    @property
    def receiving(self) -> tuple[ReceivingAlgorithm, bytes] | None:
        """Algorithm and raw key that receives; None for a key that only signs."""
        found = [part for part in self.parts if part.role == "receive"]
        return (RECEIVING[found[0].algorithm], found[0].data) if found else None

    @property
    def signature_bytes(self) -> int:
        """Length of a signature of this key: those of its algorithms, one after another."""
        return sum(algorithm.signature_bytes for algorithm, _ in self.signing)

    def verifies(self, purpose: str, message: bytes, signature: bytes) -> bool:
        """Return whether every algorithm of this key signed `message` for `purpose`."""
        if not self.signing or len(signature) != self.signature_bytes:
            return False
        place = 0
        for algorithm, public in self.signing:
            mark = signature[place : place + algorithm.signature_bytes]
            if not algorithms.is_signature(algorithm, public, mark, _signed_bytes(purpose, message)):
                return False
            place += algorithm.signature_bytes
        return True

    def must_sign(self, where: str) -> None:
        """Refuse a key that only receives; `where` names its file."""
        if not self.signing:
            raise KeyFileError(
                f"{where}: key '{self.name}' only receives, and a signing key is needed here; "
                "make one with `hanok protect keygen`"
            )

    def must_receive(self, where: str) -> None:
        """Refuse a key that only signs; `where` names its file."""
        if self.receiving is None:
            raise KeyFileError(
                f"{where}: key '{self.name}' only signs, and a receiving key is needed here; "
                "make one with `hanok protect keygen`"
            )


@dataclass(frozen=True)
class PrivateKey:
    """A public key with its secrets, in the same order."""

    public: PublicKey
    secrets: tuple[bytes, ...] = field(repr=False)

    def sign(self, purpose: str, message: bytes) -> bytes:
        """Return the signatures of every signing algorithm of the key, one after another."""
        signed = _signed_bytes(purpose, message)
        marks = [
            SIGNING[part.algorithm].sign(secret, signed)
            for part, secret in zip(self.public.parts, self.secrets, strict=True)
            if part.role == "sign"
        ]
        assert marks, "must_sign was asked before"
        return b"".join(marks)

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes | None:
        """Return what was wrapped for this key with the same `info`; None if nothing was, or is damaged."""
        for part, secret in zip(self.public.parts, self.secrets, strict=True):
            if part.role == "receive":
                return algorithms.unwrap(RECEIVING[part.algorithm], secret, wrapped, info)
        return None


def _signed_bytes(purpose: str, message: bytes) -> bytes:
    """What is signed: no signature for one purpose is one for another."""
    return f"hanok 1 {purpose}\0".encode("ascii") + message


def wrap_for(public: PublicKey, plain: bytes, info: bytes) -> bytes:
    """Return `plain` wrapped for a receiving key; `info` must be the same to unwrap it."""
    assert public.receiving is not None, "must_receive was asked before"
    algorithm, data = public.receiving
    wrapped = algorithms.wrap(algorithm, data, plain, info)
    if wrapped is None:
        raise KeyFileError(f"key '{public.name}': its {algorithm.name} key is a weak one; ask for another")
    return wrapped


def chosen_algorithms(
    sign: bool, receive: bool, lattice_signature: bool, hybrid: bool
) -> tuple[Algorithm, ...]:
    """Return the algorithms of a new key, in canonical order."""
    signing: list[Algorithm] = [ED25519, ML_DSA_65] if lattice_signature else [ED25519]
    receiving: list[Algorithm] = [MLKEM768_X25519 if hybrid else X25519]
    return tuple((signing if sign else []) + (receiving if receive else []))


def check_name(name: str) -> str:
    """Return a name that may stand in a key and in the names of its files; refuse any other."""
    if not NAME.fullmatch(name):
        raise KeyFileError(
            f"key name {name!r:.80}: write 1 to 64 letters, digits, '.', '_' or '-', "
            "the first a letter or a digit"
        )
    return name


def make_key(name: str, kinds: Sequence[Algorithm]) -> PrivateKey:
    """Return a new private key with one part for each algorithm, from the system's random numbers."""
    secrets = tuple(algorithms.new_secret(kind) for kind in kinds)
    return private_key(check_name(name), tuple(kind.name for kind in kinds), secrets)


def private_key(name: str, kinds: Sequence[str], secrets: Sequence[bytes]) -> PrivateKey:
    """Return the private key of these secrets, one for each algorithm's name."""
    parts = tuple(
        Part(kind, Part(kind, secret).kind.public_of(secret))
        for kind, secret in zip(kinds, secrets, strict=True)
    )
    return PrivateKey(PublicKey(name, parts), tuple(secrets))
