"""Keys: what they sign and wrap, their files, and every way in which a file is not the key that is wanted."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from pathlib import Path
from unicodedata import normalize

import plain_bundle
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from hanok.protect import algorithms
from hanok.protect._primitives import MissingPackageError, UnsupportedAlgorithm
from hanok.protect.algorithms import ED25519, X25519
from hanok.protect.key_files import private_text, public_text, read_private, read_public, write_pair
from hanok.protect.keys import KeyFileError, PrivateKey, chosen_algorithms, make_key, wrap_for

PASSPHRASE = "correct horse 한옥"


@pytest.fixture(scope="module")
def acme() -> PrivateKey:
    return make_key("acme", chosen_algorithms(True, True, True, True))


@pytest.fixture
def pair(tmp_path: Path, acme: PrivateKey) -> tuple[Path, Path]:
    return write_pair(tmp_path, acme, PASSPHRASE)


def test_files_give_the_key_back(pair: tuple[Path, Path], acme: PrivateKey) -> None:
    secret, public = pair
    assert (secret.name, public.name) == ("acme.key", "acme.pub")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert read_public(public) == acme.public
    assert read_private(secret, PASSPHRASE) == acme
    assert read_private(secret, normalize("NFD", PASSPHRASE)) == acme
    assert sorted(path.name for path in secret.parent.iterdir()) == ["acme.key", "acme.pub"]
    for secret_bytes in acme.secrets:
        assert secret_bytes.hex() not in repr(acme)
        assert b64encode(secret_bytes) not in secret.read_bytes()


def test_the_fingerprint_is_that_of_the_lines_before_it(pair: tuple[Path, Path], acme: PrivateKey) -> None:
    text, _, last = pair[1].read_text().rpartition("fingerprint ")
    assert last.strip() == hashlib.sha256(text.encode()).hexdigest() == acme.public.fingerprint


def test_another_program_opens_the_private_file(pair: tuple[Path, Path], acme: PrivateKey) -> None:
    """As docs/protect/sealing.md says, from the lines alone."""
    lines = pair[0].read_text().splitlines()
    salt, sealed = (b64decode(lines[at].split()[1]) for at in (3, 4))
    key = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536).derive(PASSPHRASE.encode())
    head = "".join(f"{line}\n" for line in lines[:4]).encode()
    plain = AESGCM(key).decrypt(bytes(12), sealed, head).decode().splitlines()
    assert [b64decode(line.split()[2]) for line in plain] == list(acme.secrets)
    assert [line.rsplit(" ", 1)[0] for line in plain] == [
        "sign ed25519",
        "sign ml-dsa-65",
        "receive mlkem768-x25519",
    ]


@pytest.mark.parametrize("ml_dsa", [False, True])
def test_signatures(ml_dsa: bool) -> None:
    key = make_key("vendor", chosen_algorithms(True, False, ml_dsa, True))
    signature = key.sign("purpose", b"message")
    assert len(signature) == key.public.signature_bytes == 64 + 3309 * ml_dsa
    assert key.public.verifies("purpose", b"message", signature)
    assert not key.public.verifies("other", b"message", signature)
    assert not key.public.verifies("purpose", b"massage", signature)
    assert not key.public.verifies("purpose", b"message", signature[:-1])
    for place in (0, 63, len(signature) - 1):
        bent = bytearray(signature)
        bent[place] ^= 1
        assert not key.public.verifies("purpose", b"message", bytes(bent)), "each of the signatures counts"
    receives = make_key("receives", chosen_algorithms(False, True, False, True))
    assert not receives.public.verifies("purpose", b"message", b"")


@pytest.mark.parametrize("hybrid", [False, True])
def test_wrapping(hybrid: bool) -> None:
    key, other = (make_key(name, chosen_algorithms(False, True, False, hybrid)) for name in "ab")
    wrapped = wrap_for(key.public, b"secret", b"info")
    assert key.public.receiving is not None
    assert len(wrapped) == 6 + key.public.receiving[0].overhead_bytes
    assert key.unwrap(wrapped, b"info") == b"secret"
    assert key.unwrap(wrapped, b"Info") is None
    assert other.unwrap(wrapped, b"info") is None
    assert key.unwrap(wrapped[:-1], b"info") is None
    assert key.unwrap(bytes(len(wrapped)), b"info") is None
    signs = make_key("signs", chosen_algorithms(True, False, False, hybrid))
    assert signs.unwrap(wrapped, b"info") is None


def test_the_hybrid_is_x_wing() -> None:
    key = make_key("a", chosen_algorithms(False, True, False, True))
    wrapped = wrap_for(key.public, b"secret", b"info")
    assert plain_bundle.xwing_open(wrapped, key.secrets[0], b"info") == b"secret"


def test_a_weak_point_is_not_wrapped_for(tmp_path: Path) -> None:
    from hanok.protect.keys import Part, PublicKey

    weak = PublicKey("weak", (Part("x25519", bytes(32)),))
    with pytest.raises(KeyFileError, match="key 'weak': its x25519 key is a weak one"):
        wrap_for(weak, b"secret", b"")


def test_an_algorithm_that_is_not_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def unsupported(_: bytes) -> bytes:
        raise UnsupportedAlgorithm("no")

    with pytest.raises(MissingPackageError, match="was built without ed25519; install its wheel from PyPI"):
        algorithms.new_secret(replace(ED25519, public_of=unsupported))


def test_without_the_package() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from hanok.cli.app import build_app; from typer.testing import CliRunner\n"
        "r = CliRunner().invoke(build_app(), ['protect', '--help']); assert r.exit_code == 0, r.output\n"
        "r = CliRunner().invoke(build_app(), ['protect', 'recipients', 'x.pub'])\n"
        "assert r.exit_code == 2, r.exit_code\nprint(r.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'hanok[protect]'" in done.stdout


def test_names_and_passphrases(tmp_path: Path, acme: PrivateKey) -> None:
    for name in ("", "../x", "a b", "-x", "x" * 65, "한옥"):
        with pytest.raises(KeyFileError, match="write 1 to 64 letters"):
            make_key(name, [X25519])
    with pytest.raises(KeyFileError, match="the passphrase has 7 characters; take at least 8"):
        private_text(acme, "1234567")
    with pytest.raises(KeyFileError, match="none: is no folder"):
        write_pair(tmp_path / "none", acme, PASSPHRASE)


def test_keys_are_not_written_over(tmp_path: Path, acme: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme.pub").symlink_to("nowhere")
    with pytest.raises(KeyFileError, match=r"acme.pub: is there already; keys are never written over"):
        write_pair(tmp_path, acme, PASSPHRASE)
    (tmp_path / "acme.pub").unlink()
    from hanok.protect import key_files

    before = key_files._write_new

    def fails(path: Path, text: str, mode: int) -> None:
        if path.suffix == ".pub":
            path.mkdir()
        before(path, text, mode)

    monkeypatch.setattr(key_files, "_write_new", fails)
    with pytest.raises(KeyFileError, match=r"acme.pub: cannot be written: File exists"):
        write_pair(tmp_path, acme, PASSPHRASE)
    assert [path.name for path in tmp_path.iterdir()] == ["acme.pub"], "the private key is gone too"


def refused(path: Path, words: str, private: bool = False) -> None:
    with pytest.raises(KeyFileError, match=words):
        read_private(path, PASSPHRASE) if private else read_public(path)


def test_files_of_another_kind(pair: tuple[Path, Path], tmp_path: Path) -> None:
    secret, public = pair
    refused(secret, r"acme.key: is a private key, and a public key is needed here \(the file in .pub\)")
    refused(public, r"acme.pub: is a public key, and a private key is needed here \(the file in .key\)", True)
    refused(tmp_path / "none", "none: cannot be read: No such file")
    refused(tmp_path, "cannot be read: Is a directory")
    other = tmp_path / "other"
    text = public.read_text()
    damaged = "does not match its fingerprint or its form"
    for content, words in (
        ("-----BEGIN PUBLIC KEY-----\n", "is no key file of hanok"),
        ("", "is no key file of hanok"),
        (text.replace("\n", "\r\n"), "has line ends of Windows"),
        (
            text.replace("key 1\n", "key 2\n"),
            "is a public key of another version; this hanok reads version 1",
        ),
        (text[:-1], damaged),
        (text + "\n", damaged),
        (text * 50, damaged),
        (text.replace("name acme", "name acne"), damaged),
        (text.replace("ed25519 ", "ed25519  "), damaged),
        (text.replace("sign ed25519", "sign rot13"), damaged),
        (text.replace("sign ed25519", "receive ed25519"), damaged),
        ("hanok public key 1\nname acme\n", damaged),
        ("hanok public key 1\nnames acme\nx\ny\n", damaged),
        ("hanok public key 1\nname äcme\nx\ny\n", damaged),
    ):
        other.write_text(content, newline="")
        refused(other, words)


def with_fingerprint(*lines: str) -> str:
    text = "".join(f"{line}\n" for line in ("hanok public key 1", *lines))
    return f"{text}fingerprint {hashlib.sha256(text.encode()).hexdigest()}\n"


def test_public_keys_that_are_well_hashed_but_no_keys(tmp_path: Path) -> None:
    ed, x, lattice = (b64encode(bytes(length)).decode() for length in (32, 32, 1952))
    good = ("name a", f"sign ed25519 {ed}", f"receive x25519 {x}")
    path = tmp_path / "a.pub"
    path.write_text(with_fingerprint(*good))
    assert public_text(read_public(path)) == path.read_text()
    for lines in (
        ("name a",),
        ("name ../a", *good[1:]),
        (good[0], good[2], good[1]),
        (*good, good[2]),
        (*good, f"receive mlkem768-x25519 {b64encode(bytes(1216)).decode()}"),
        ("name a", f"sign ml-dsa-65 {lattice}"),
        ("name a", f"sign ed25519 {ed[:-4]}"),
        ("name a", f"sign ed25519 {ed[:-2]}B="),
        ("name a", f"sign ed25519 {ed[:-1]}"),
    ):
        path.write_text(with_fingerprint(*lines))
        refused(path, "does not match its fingerprint or its form")


def test_a_private_file_under_another_fingerprint(tmp_path: Path, acme: PrivateKey) -> None:
    """Made by someone who knows the passphrase: the secrets are not those of the public key it names."""
    other = make_key("acme", chosen_algorithms(True, True, True, True))
    (tmp_path / "a.key").write_text(private_text(PrivateKey(acme.public, other.secrets), PASSPHRASE))
    refused(tmp_path / "a.key", "does not match its fingerprint", private=True)


def test_private_files_that_were_altered(pair: tuple[Path, Path], tmp_path: Path) -> None:
    text = pair[0].read_text()
    other = tmp_path / "other.key"
    with pytest.raises(
        KeyFileError, match=r"acme.key: the passphrase is another one, or the file is damaged"
    ):
        read_private(pair[0], PASSPHRASE + "x")
    lines = text.splitlines()
    for content, words in (
        (text.replace("name acme", "name acne"), "the passphrase is another one, or"),
        (text.replace(lines[2], f"fingerprint {bytes(32).hex()}"), "the passphrase is another"),
        (text.replace("argon2id ", "argon2id AAAA"), "does not match"),
        (text.replace("name acme", "name ../x"), "does not match"),
        (text.replace(lines[4], "sealed AAAA"), "the passphrase is another one"),
        (text + "x\n", "does not match"),
    ):
        other.write_text(content)
        refused(other, words, private=True)
