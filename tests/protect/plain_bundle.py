"""A second opener and sealer of bundles, written from docs/protect/sealing.md alone: X25519 and Ed25519.

It shares no code with hanok: HKDF and HPKE are written out here from RFC 5869 and RFC 9180.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK, TAG = 1 << 20, 16
X25519_KEM, XWING_KEM = b"\x00\x20", b"\x64\x7a"
KEM_SUITE = b"KEM" + X25519_KEM


@dataclass(frozen=True)
class Person:
    """Raw secrets, and the fingerprint of the public key file."""

    name: str
    sign: bytes
    receive: bytes

    @property
    def public_sign(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.sign).public_key().public_bytes_raw()

    @property
    def public_receive(self) -> bytes:
        return X25519PrivateKey.from_private_bytes(self.receive).public_key().public_bytes_raw()

    @property
    def text(self) -> str:
        lines = ["hanok public key 1", f"name {self.name}"]
        lines.append(f"sign ed25519 {b64encode(self.public_sign).decode()}")
        lines.append(f"receive x25519 {b64encode(self.public_receive).decode()}")
        return "".join(f"{line}\n" for line in lines)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def extract(salt: bytes, material: bytes) -> bytes:
    return hmac.new(salt or bytes(32), material, "sha256").digest()


def expand(key: bytes, info: bytes, length: int) -> bytes:
    block, out, number = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([number]), "sha256").digest()
        out, number = out + block, number + 1
    return out[:length]


def labelled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return extract(salt, b"HPKE-v1" + suite + label + material)


def labelled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def schedule(kem: bytes, secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of base mode with HKDF-SHA256 and AES-256-GCM (RFC 9180, section 5.1)."""
    suite = b"HPKE" + kem + b"\x00\x01" + b"\x00\x02"
    context = b"\0" + labelled_extract(suite, b"", b"psk_id_hash", b"")
    context += labelled_extract(suite, b"", b"info_hash", info)
    base = labelled_extract(suite, secret, b"secret", b"")
    key = labelled_expand(suite, base, b"key", context, 32)
    return key, labelled_expand(suite, base, b"base_nonce", context, 12)


def hpke_key(shared: bytes, encapsulated: bytes, recipient: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and nonce for DHKEM(X25519, HKDF-SHA256) (section 4.1)."""
    prk = labelled_extract(KEM_SUITE, b"", b"eae_prk", shared)
    secret = labelled_expand(KEM_SUITE, prk, b"shared_secret", encapsulated + recipient, 32)
    return schedule(X25519_KEM, secret, info)


def xwing_open(wrapped: bytes, secret: bytes, info: bytes) -> bytes:
    """Unwrap under X-Wing (draft-connolly-cfrg-xwing-kem): a seed of ML-KEM-768, then X25519's secret."""
    curve = X25519PrivateKey.from_private_bytes(secret[64:])
    lattice_text, curve_text = wrapped[:1088], wrapped[1088:1120]
    parts = [
        MLKEM768PrivateKey.from_seed_bytes(secret[:64]).decapsulate(lattice_text),
        curve.exchange(X25519PublicKey.from_public_bytes(curve_text)),
        curve_text,
        curve.public_key().public_bytes_raw(),
        bytes.fromhex("5c2e2f2f5e5c"),
    ]
    key, nonce = schedule(XWING_KEM, hashlib.sha3_256(b"".join(parts)).digest(), info)
    return AESGCM(key).decrypt(nonce, wrapped[1120:], b"")


def hpke_seal(plain: bytes, recipient: bytes, info: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    encapsulated = ephemeral.public_key().public_bytes_raw()
    key, nonce = hpke_key(shared, encapsulated, recipient, info)
    return encapsulated + AESGCM(key).encrypt(nonce, plain, b"")


def hpke_open(wrapped: bytes, person: Person, info: bytes) -> bytes:
    secret = X25519PrivateKey.from_private_bytes(person.receive)
    shared = secret.exchange(X25519PublicKey.from_public_bytes(wrapped[:32]))
    key, nonce = hpke_key(shared, wrapped[:32], person.public_receive, info)
    return AESGCM(key).decrypt(nonce, wrapped[32:], b"")


def canonical(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def keys_of(content: bytes, salt: bytes) -> dict[str, bytes]:
    lengths = {"manifest": 32, "body": 32, "nonce": 7, "commitment": 32}
    prk = extract(salt, content)
    return {
        name: expand(prk, b"hanok sealed bundle 1 " + name.encode(), size) for name, size in lengths.items()
    }


def nonce_of(keys: dict[str, bytes], number: int, is_last: bool) -> bytes:
    return keys["nonce"] + struct.pack(">IB", number, is_last)


def open_bundle(data: bytes, person: Person, signer: Ed25519PublicKey) -> dict[str, bytes]:
    """Return the files by path."""
    assert data[:8] == b"\x89HNK\r\n\x1a\x01"
    header_bytes, section_bytes = struct.unpack(">II", data[8:16])
    open_part = data[: 16 + header_bytes]
    section = data[16 + header_bytes :][:section_bytes]
    header = json.loads(open_part[16:])
    salt = bytes.fromhex(header["salt"])
    (entry,) = [each for each in header["recipients"] if each["fingerprint"] == person.fingerprint]
    info = b"hanok sealed bundle 1 wrap\0" + salt + bytes.fromhex(person.fingerprint)
    keys = keys_of(hpke_open(b64decode(entry["wrapped"]), person, info), salt)
    assert keys["commitment"].hex() == header["commitment"]
    plain = AESGCM(keys["manifest"]).decrypt(bytes(12), section, open_part)
    manifest, signature = plain[:-64], plain[-64:]
    signer.verify(signature, b"hanok 1 sealed bundle\0" + hashlib.sha256(open_part).digest() + manifest)
    files, place, number = {}, 16 + header_bytes + section_bytes, 0
    for file in json.loads(manifest)["files"]:
        content = b""
        while len(content) < file["size"]:
            length = min(CHUNK, file["size"] - len(content))
            is_last = len(content) + length == file["size"]
            chunk = data[place : place + length + TAG]
            content += AESGCM(keys["body"]).decrypt(nonce_of(keys, number, is_last), chunk, b"")
            place, number = place + length + TAG, number + 1
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        files[file["path"]] = content
    assert place == len(data)
    return files


LICENCE = {
    "destination": "KR",
    "expires": "",
    "licensee": "Acme",
    "licensor": "Hanok",
    "terms": "",
    "title": "Evaluation",
    "uses": [],
}


@dataclass
class Forge:
    """A sealer whose every part can be bent: set a field, then call `bundle`."""

    people: list[Person]
    signer: Person
    files: dict[str, bytes]
    content: bytes = b""
    salt: bytes = b""
    commitment: bytes = b""
    manifest: Any = None
    manifest_bytes: bytes = b""
    signature: bytes = b""

    def __post_init__(self) -> None:
        self.content, self.salt = os.urandom(32), os.urandom(32)
        entries = [
            {"executable": False, "path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in sorted(self.files.items(), key=lambda item: item[0].encode("utf-8", "replace"))
        ]
        self.manifest = {"files": entries, "licence": {**LICENCE}, "sealed_at": "2026-01-01T00:00:00Z"}

    @property
    def keys(self) -> dict[str, bytes]:
        return keys_of(self.content, self.salt)

    def header(self) -> Any:
        info = b"hanok sealed bundle 1 wrap\0" + self.salt
        people = sorted(self.people, key=lambda person: person.fingerprint)
        wrapped = [
            hpke_seal(self.content, person.public_receive, info + bytes.fromhex(person.fingerprint))
            for person in people
        ]
        return {
            "commitment": (self.commitment or self.keys["commitment"]).hex(),
            "recipients": [
                {"algorithm": "x25519", "fingerprint": person.fingerprint, "wrapped": b64encode(key).decode()}
                for person, key in zip(people, wrapped, strict=True)
            ],
            "salt": self.salt.hex(),
            "signer": self.signer.fingerprint,
        }

    def body(self) -> bytes:
        out, number = b"", 0
        for entry in self.manifest["files"]:
            data = self.files[entry["path"]]
            for start in range(0, len(data), CHUNK):
                is_last = start + CHUNK >= len(data)
                nonce = nonce_of(self.keys, number, is_last)
                out, number = (
                    out + AESGCM(self.keys["body"]).encrypt(nonce, data[start : start + CHUNK], b""),
                    number + 1,
                )
        return out

    def bundle(self, header: bytes = b"", body: bytes | None = None) -> bytes:
        head = header or canonical(self.header())
        manifest = self.manifest_bytes or canonical(self.manifest)
        open_part = b"\x89HNK\r\n\x1a\x01" + struct.pack(">II", len(head), len(manifest) + 64 + TAG) + head
        signed = b"hanok 1 sealed bundle\0" + hashlib.sha256(open_part).digest() + manifest
        signature = self.signature or Ed25519PrivateKey.from_private_bytes(self.signer.sign).sign(signed)
        section = AESGCM(self.keys["manifest"]).encrypt(bytes(12), manifest + signature, open_part)
        return open_part + section + (self.body() if body is None else body)
