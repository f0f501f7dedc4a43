"""Files of keys: public ones as plain lines with a fingerprint, private ones under a passphrase (Argon2id).

`docs/protect/sealing.md` gives both to the byte.
"""

from __future__ import annotations

import binascii
import os
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path
from unicodedata import normalize

from hanok.protect._primitives import AESGCM, Argon2id, InvalidTag
from hanok.protect.algorithms import RECEIVING, SIGNING
from hanok.protect.keys import NAME, PUBLIC_TITLE, KeyFileError, Part, PrivateKey, PublicKey, private_key

PRIVATE_TITLE = "hanok private key 1"
MOST_BYTES = 32768
LEAST_PASSPHRASE = 8
ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES = 65536, 3, 4
"""RFC 9106, section 4, second recommended option; fixed by the version, so no file can ask for more."""
_SALT_BYTES = 16
_ZERO_NONCE = bytes(12)
"""The key of a private key file comes from a salt of its own and encrypts once."""


def public_text(key: PublicKey) -> str:
    """Return the content of a public key file."""
    return f"{key.text}fingerprint {key.fingerprint}\n"


def read_public(path: str | Path) -> PublicKey:
    """Return the key of a public key file; raise KeyFileError if it is anything else."""
    lines = _read_lines(path, PUBLIC_TITLE)
    name = _value(path, lines, 1, "name")
    parts = tuple(_part(path, line) for line in lines[2:-1])
    key = PublicKey(name, parts)
    if (
        not NAME.fullmatch(name)
        or not _is_ordered(parts)
        or _value(path, lines, -1, "fingerprint") != key.fingerprint
    ):
        raise _damaged(path)
    return key


def write_pair(folder: str | Path, key: PrivateKey, passphrase: str) -> tuple[Path, Path]:
    """Write NAME.key and NAME.pub, both or none; refuse to write over a file that is there."""
    place = Path(folder)
    if not place.is_dir():
        raise KeyFileError(f"{place}: is no folder; make it first, or give another")
    secret, public = place / f"{key.public.name}.key", place / f"{key.public.name}.pub"
    for path in (secret, public):
        if path.exists() or path.is_symlink():
            raise KeyFileError(
                f"{path}: is there already; keys are never written over, so choose another name"
            )
    _write_new(secret, private_text(key, passphrase), 0o600)
    try:
        _write_new(public, public_text(key.public), 0o644)
    except BaseException:
        secret.unlink()
        raise
    return secret, public


def private_text(key: PrivateKey, passphrase: str) -> str:
    """Return the content of a private key file."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise KeyFileError(
            f"the passphrase has {len(passphrase)} characters; take at least {LEAST_PASSPHRASE}"
        )
    salt = os.urandom(_SALT_BYTES)
    head = (
        f"{PRIVATE_TITLE}\nname {key.public.name}\nfingerprint {key.public.fingerprint}\n"
        f"argon2id {b64encode(salt).decode()}\n"
    )
    plain = "".join(
        f"{part.role} {part.algorithm} {b64encode(secret).decode()}\n"
        for part, secret in zip(key.public.parts, key.secrets, strict=True)
    )
    sealed = AESGCM(_passphrase_key(passphrase, salt)).encrypt(
        _ZERO_NONCE, plain.encode("ascii"), head.encode()
    )
    return f"{head}sealed {b64encode(sealed).decode()}\n"


def read_private(path: str | Path, passphrase: str) -> PrivateKey:
    """Return the key of a private key file; raise KeyFileError for any other, or another passphrase."""
    lines = check_private(path)
    salt, sealed = (
        _binary(path, _value(path, lines, at, word)) for at, word in ((3, "argon2id"), (4, "sealed"))
    )
    head = "".join(f"{line}\n" for line in lines[:4])
    if len(salt) != _SALT_BYTES:
        raise _damaged(path)
    try:
        plain = AESGCM(_passphrase_key(passphrase, salt)).decrypt(_ZERO_NONCE, sealed, head.encode("ascii"))
    except (InvalidTag, ValueError):
        raise KeyFileError(f"{path}: the passphrase is another one, or the file is damaged") from None
    parts = [_part(path, line, of_secret=True) for line in plain.decode("ascii").splitlines()]
    key = private_key(lines[1][5:], [part.algorithm for part in parts], [part.data for part in parts])
    if key.public.fingerprint != _value(path, lines, 2, "fingerprint"):
        raise _damaged(path)
    return key


def check_private(path: str | Path) -> list[str]:
    """Refuse, before a passphrase is asked for, a file that holds no private key; return its lines."""
    lines = _read_lines(path, PRIVATE_TITLE)
    if len(lines) != 5 or not NAME.fullmatch(_value(path, lines, 1, "name")):
        raise _damaged(path)
    return lines


def _passphrase_key(passphrase: str, salt: bytes) -> bytes:
    """32 bytes out of a passphrase, in whichever form its accents were typed: 64 MiB and about 0.2 s."""
    derivation = Argon2id(
        salt=salt, length=32, iterations=ARGON2_PASSES, lanes=ARGON2_LANES, memory_cost=ARGON2_MEMORY_KIB
    )
    return derivation.derive(normalize("NFC", passphrase).encode("utf-8", "surrogateescape"))


def _read_lines(path: str | Path, title: str) -> list[str]:
    """Lines of a key file without their ends; the first is the title, and the file ends with a line end."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    _check_kind(path, data, title)
    if len(data) > MOST_BYTES or not data.endswith(b"\n") or not data.isascii():
        raise _damaged(path)
    lines = data.decode("ascii").split("\n")[:-1]
    if lines[0] != title or len(lines) < 4:
        raise _damaged(path)
    return lines


def _check_kind(path: str | Path, data: bytes, title: str) -> None:
    """Say what the file is, if it is known not to be what is wanted."""
    wanted = "private" if title == PRIVATE_TITLE else "public"
    other, ending = ("public", ".key") if wanted == "private" else ("private", ".pub")
    if data.startswith(f"hanok {other} key ".encode()):
        raise KeyFileError(
            f"{path}: is a {other} key, and a {wanted} key is needed here (the file in {ending})"
        )
    if not data.startswith(f"hanok {wanted} key ".encode()):
        raise KeyFileError(f"{path}: is no key file of hanok; `hanok protect keygen` makes them")
    if b"\r" in data:
        raise KeyFileError(
            f"{path}: has line ends of Windows; send key files as they are, or take out the returns"
        )
    if not data.startswith(f"{title}\n".encode()):
        raise KeyFileError(f"{path}: is a {wanted} key of another version; this hanok reads version 1")


def _value(path: str | Path, lines: list[str], at: int, word: str) -> str:
    found, separator, value = lines[at].partition(" ")
    if found != word or not separator:
        raise _damaged(path)
    return value


def _part(path: str | Path, line: str, of_secret: bool = False) -> Part:
    fields = line.split(" ")
    if len(fields) != 3 or fields[1] not in (SIGNING | RECEIVING):
        raise _damaged(path)
    part = Part(fields[1], _binary(path, fields[2]))
    length = part.kind.secret_bytes if of_secret else part.kind.public_bytes
    if part.role != fields[0] or len(part.data) != length:
        raise _damaged(path)
    return part


def _is_ordered(parts: tuple[Part, ...]) -> bool:
    """Whether the parts are those of a key: Ed25519 if it signs, and no more than one to receive with."""
    names = [part.algorithm for part in parts]
    order = [*SIGNING, *RECEIVING]
    receiving = [name for name in names if name in RECEIVING]
    is_sorted = names == sorted(set(names), key=order.index)
    return (
        bool(names) and is_sorted and len(receiving) < 2 and ("ml-dsa-65" not in names or "ed25519" in names)
    )


def _binary(path: str | Path, text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise _damaged(path) from None
    if b64encode(data).decode() != text:
        raise _damaged(path)
    return data


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all, and only where none is."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, mode)
        os.link(temporary, path)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if temporary:
            os.unlink(temporary)


def _damaged(path: str | Path) -> KeyFileError:
    return KeyFileError(
        f"{path}: does not match its fingerprint or its form, so it is damaged or altered; ask for it again"
    )
