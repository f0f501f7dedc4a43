"""Tampering with sealed bundles: by someone who has no key, and by a recipient who has."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import plain_bundle
import pytest
from sealing_cases import ACME, NOW, VENDOR, key_of, new_person, refuses, sealed

from hanok.errors import HanokError
from hanok.protect.manifest import CHUNK_BYTES
from hanok.protect.unseal import inspect_bundle, open_bundle, verify_bundle

VENDOR_PERSON, MALLORY, ALICE = new_person("vendor"), new_person("mallory"), new_person("alice")
FILES = {
    "a.bin": random.Random(1).randbytes(3 * CHUNK_BYTES + 77),
    "b.v": b"module b;\n",
    "c.bin": bytes(5000),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("tampering")
    sealed(place / "in", FILES, place / "d.hnk", [ACME])
    return (place / "d.hnk").read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("small")
    sealed(place / "in", {"x": b"secret"}, place / "d.hnk", [ACME])
    return (place / "d.hnk").read_bytes()


def is_refused(place: Path, data: bytes) -> bool:
    place.write_bytes(data)
    try:
        verify_bundle(place, ACME, VENDOR.public, NOW, workers=1)
    except HanokError:
        return True
    return False


def front_bytes(data: bytes) -> int:
    return 16 + int.from_bytes(data[8:12], "big") + int.from_bytes(data[12:16], "big")


def flip_every_bit(tmp_path: Path, data: bytes, step: int) -> None:
    place = tmp_path / "bent.hnk"
    assert not is_refused(place, data)
    for bit in range(0, 8 * front_bytes(data), step):
        bent = bytearray(data)
        bent[bit // 8] ^= 1 << (bit % 8)
        assert is_refused(place, bytes(bent)), f"bit {bit}"


def test_bits_of_the_header(tmp_path: Path, small: bytes) -> None:
    flip_every_bit(tmp_path, small, step=11)


@pytest.mark.slow
def test_every_bit_of_the_header(tmp_path: Path, small: bytes) -> None:
    flip_every_bit(tmp_path, small, step=1)


def change_randomly(data: bytes, generator: random.Random) -> bytes:
    """One random change of the body: a bit, a byte, a run, a cut, an exchange, a repetition, an insertion."""
    start = front_bytes(data)
    place = generator.randrange(start, len(data))
    length = generator.randint(1, min(4096, len(data) - place))
    other = generator.randrange(start, len(data) - length + 1)
    match generator.randrange(7):
        case 0:
            bent = bytearray(data)
            bent[place] ^= 1 << generator.randrange(8)
        case 1:
            bent = bytearray(data)
            bent[place] = (bent[place] + generator.randint(1, 255)) % 256
        case 2:
            bent = bytearray(data)
            bent[place : place + length] = generator.randbytes(length)
        case 3:
            bent = bytearray(data[:place])
        case 4:
            bent = bytearray(data)
            bent[place : place + length] = data[other : other + length]
        case 5:
            bent = bytearray(data[:place] + data[other : other + length] + data[place:])
        case _:
            bent = bytearray(data[:place] + data[place + length :])
    return bytes(bent)


def change_often(tmp_path: Path, data: bytes, times: int) -> None:
    generator = random.Random(5)
    done = 0
    while done < times:
        bent = change_randomly(data, generator)
        if bent == data:
            continue
        assert is_refused(tmp_path / "bent.hnk", bent), f"change {done}"
        done += 1


def test_random_changes_of_the_body(tmp_path: Path, bundle: bytes) -> None:
    change_often(tmp_path, bundle, 300)


@pytest.mark.slow
def test_ten_thousand_random_changes_of_the_body(tmp_path: Path, bundle: bytes) -> None:
    change_often(tmp_path, bundle, 10_000)


def test_chunks_in_another_order(tmp_path: Path, bundle: bytes) -> None:
    start, chunk = front_bytes(bundle), CHUNK_BYTES + 16
    first, second = bundle[start : start + chunk], bundle[start + chunk : start + 2 * chunk]
    (tmp_path / "d.hnk").write_bytes(bundle[:start] + second + first + bundle[start + 2 * chunk :])
    refuses(tmp_path / "d.hnk", "altered or damaged in the file 'in/a.bin'; nothing was opened")


def test_the_body_of_another_bundle(tmp_path: Path, bundle: bytes) -> None:
    sealed(tmp_path / "in", FILES, tmp_path / "e.hnk", [ACME])
    other = (tmp_path / "e.hnk").read_bytes()
    (tmp_path / "d.hnk").write_bytes(bundle[: front_bytes(bundle)] + other[front_bytes(other) :])
    refuses(tmp_path / "d.hnk", "altered or damaged in the file")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "is no sealed bundle"),
        (7, "is truncated"),
        (15, "is truncated"),
        (300, "is truncated"),
        (-1, "is truncated: "),
    ],
)
def test_truncated(tmp_path: Path, bundle: bytes, length: int, words: str) -> None:
    (tmp_path / "d.hnk").write_bytes(bundle[:length])
    refuses(tmp_path / "d.hnk", words)


def test_other_files(tmp_path: Path, bundle: bytes) -> None:
    for data, words in (
        (bundle + b"x", "has 1 bytes too many"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no sealed bundle"),
        (bundle[:7] + b"\2" + bundle[8:], "is a sealed bundle of version 2; this hanok opens version 1"),
        (bundle[:8] + b"\xff" + bundle[9:], "claims a front of [0-9,]* bytes; it is damaged"),
        (bundle.replace(b"\r\n", b"\n", 1), "is no sealed bundle, or was changed on its way"),
    ):
        (tmp_path / "d.hnk").write_bytes(data)
        refuses(tmp_path / "d.hnk", words)
    with pytest.raises(HanokError, match="is no plain file; save the bundle to a file first"):
        inspect_bundle("/dev/zero")
    with pytest.raises(HanokError, match=r"none.hnk: cannot be read: No such file"):
        inspect_bundle(tmp_path / "none.hnk")


def forged(place: Path, data: bytes, words: str) -> None:
    place.write_bytes(data)
    refuses(place, words, key=key_of(ALICE), sender=key_of(VENDOR_PERSON))


def forge(files: dict[str, bytes] | None = None) -> plain_bundle.Forge:
    return plain_bundle.Forge([MALLORY, ALICE], VENDOR_PERSON, files or {"a": b"true", "b": b"tale"})


def test_a_recipient_cannot_write_in_the_senders_name(tmp_path: Path) -> None:
    """Mallory has the content key, so every tag that he makes is right; he cannot sign."""
    place, made = tmp_path / "d.hnk", forge()
    data = made.bundle()
    made.files["a"] = b"lies"
    forged(place, data[: front_bytes(data)] + made.body(), "altered or damaged in the file 'a'")
    made = forge()
    made.signature = bytes(64)
    forged(place, made.bundle(), "the signature of 'vendor' is wrong")
    made = forge()
    as_mallory = plain_bundle.Forge([MALLORY, ALICE], MALLORY, made.files)
    forged(place, as_mallory.bundle(), "is signed by .*, not by 'vendor'")


def test_a_recipient_cannot_send_it_on_as_the_senders(tmp_path: Path) -> None:
    """The signature binds the list of recipients: it cannot be taken over to a bundle for others."""
    made = plain_bundle.Forge([MALLORY], VENDOR_PERSON, {"a": b"true"})
    data = made.bundle()
    head, section = (int.from_bytes(data[at : at + 4], "big") for at in (8, 12))
    plain = plain_bundle.AESGCM(made.keys["manifest"]).decrypt(
        bytes(12), data[16 + head :][:section], data[: 16 + head]
    )
    made.people, made.signature = [MALLORY, ALICE], plain[-64:]
    forged(tmp_path / "d.hnk", made.bundle(), "the signature of 'vendor' is wrong")


def test_two_keys_in_one_bundle(tmp_path: Path) -> None:
    made = forge()
    header = made.header()
    made.content = bytes(32)
    forged(tmp_path / "d.hnk", made.bundle(plain_bundle.canonical(header)), "altered or damaged in the")
    made = forge()
    made.commitment = bytes(32)
    forged(tmp_path / "d.hnk", made.bundle(), "the commitment to the key")


def test_headers_that_are_not_canonical(tmp_path: Path) -> None:
    made, place = forge(), tmp_path / "d.hnk"

    def bent(change: Any) -> bytes:
        header = made.header()
        change(header)
        return made.bundle(plain_bundle.canonical(header))

    def entry(**fields: Any) -> Any:
        return lambda header: header["recipients"][0].update(fields)

    text = plain_bundle.canonical(made.header())
    forged(place, made.bundle(text.replace(b",", b", ", 1)), "not in its canonical form")
    forged(place, made.bundle(b"[" * 100_000), "header: is no JSON")
    forged(place, made.bundle(b"\xff\xff"), "header: is no JSON")
    forged(place, bent(lambda header: header.update(more=1)), "header: 'more' is unknown")
    forged(place, bent(lambda header: header.pop("salt")), "header: 'salt' is missing")
    forged(place, bent(lambda header: header.update(salt="x")), "damaged in the header")
    forged(place, bent(lambda header: header.update(recipients=[])), "the list of recipients")
    forged(place, bent(lambda header: header["recipients"].reverse()), "the order of recipients")
    forged(place, bent(lambda header: header.update(recipients=[1])), "recipient: is no object")
    forged(place, bent(entry(algorithm="rot13")), "in a recipient")
    forged(place, bent(entry(fingerprint=7)), "in a recipient")
    forged(place, bent(entry(wrapped="!")), "in a wrapped key")
    forged(place, bent(entry(wrapped="AAAA")), "in a wrapped key")


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../up", "a/../../up", "a//b", "", ".", "a/", "C:\\x", "a\\b", "a:stream"),
        *("con", "Nul.txt", "COM¹", "a. ", " a", "x" * 256, "y/" * 600 + "y", "<b>"),
        *("a\x1b]0;t\x07", "a\u202eb"),
    ],
)
def test_paths_that_a_signed_manifest_must_not_have(tmp_path: Path, path: str) -> None:
    """The sender's own key does not help: a stolen one must not write outside the folder."""
    forged(tmp_path / "d.hnk", forge({path: b"x"}).bundle(), "path '")


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("A", "a"), "are one where case"),
        (("d/x", "D/y"), "are one where case"),
        (("\u00e9", "e\u0301"), "are one where case"),
        (("straße", "STRASSE"), "are one where case"),
        (("a", "a/b"), "is a file and a folder"),
    ],
)
def test_paths_that_collide(tmp_path: Path, paths: tuple[str, str], words: str) -> None:
    forged(tmp_path / "d.hnk", forge(dict.fromkeys(paths, b"x")).bundle(), words)


def test_manifests_that_break_a_rule(tmp_path: Path) -> None:
    place = tmp_path / "d.hnk"

    def bent(change: Any) -> bytes:
        made = forge()
        body = made.body()
        change(made.manifest)
        return made.bundle(body=body)

    def entry(**fields: Any) -> Any:
        return lambda manifest: manifest["files"][0].update(fields)

    forged(place, bent(lambda manifest: manifest["files"].reverse()), "are not in their order")
    forged(place, bent(lambda manifest: manifest.update(files=manifest["files"] * 2)), "is there twice")
    forged(place, bent(lambda manifest: manifest.update(files=[])), "0 files; a bundle takes 1 to 40,000")
    forged(place, bent(lambda manifest: manifest.update(files=1)), "list of files is no list")
    forged(place, bent(lambda manifest: manifest.update(sealed_at="now")), "is not of the form 2027")
    forged(place, bent(entry(size=-1)), "a field of the wrong kind")
    forged(place, bent(entry(size=True)), "a field of the wrong kind")
    forged(place, bent(entry(sha256="00")), "a field of the wrong kind")
    forged(place, bent(entry(size=2**53 - 1)), "more than 4 PiB of files")
    forged(place, bent(entry(size=2**40)), "is truncated: ")
    forged(place, bent(entry(sha256="0" * 64)), "damaged in the file 'a'")
    forged(
        place, bent(lambda manifest: manifest["licence"].update(title="\x1b[2J")), "licence: title: write 1"
    )
    made = forge()
    made.manifest_bytes = plain_bundle.canonical(made.manifest) + b" "
    forged(place, made.bundle(), "manifest: is JSON but not in its canonical form")


def test_a_bundle_that_changes_between_verifying_and_writing(
    tmp_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hanok.protect import unseal

    place = tmp_path / "d.hnk"
    place.write_bytes(small)
    before = unseal._release

    def late(*given: Any) -> None:
        place.write_bytes(small[:-1] + bytes([small[-1] ^ 1]))
        before(*given)

    monkeypatch.setattr(unseal, "_release", late)
    refuses(place, "altered or damaged in the file 'in/x'")
    place.write_bytes(small)

    def cut(*given: Any) -> None:
        place.write_bytes(small[:-1])
        before(*given)

    monkeypatch.setattr(unseal, "_release", cut)
    refuses(place, "became shorter while it was read")


def test_a_large_lie_costs_little(tmp_path: Path) -> None:
    import time

    made = forge()
    entries = b",".join([b"{}"] * 1_300_000)
    (tmp_path / "d.hnk").write_bytes(made.bundle(b'{"commitment":[' + entries + b"]}"))
    begin = time.process_time()
    with pytest.raises(HanokError, match=r"header: '.*' is"):
        inspect_bundle(tmp_path / "d.hnk")
    assert time.process_time() - begin < 5
    with pytest.raises(HanokError):
        open_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, tmp_path / "out", NOW)
