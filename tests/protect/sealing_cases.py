"""Keys, licences and sealed bundles that tests of sealing share; none needs a passphrase."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import plain_bundle
import pytest

from hanok.errors import HanokError
from hanok.protect.keys import PrivateKey, chosen_algorithms, make_key, private_key
from hanok.protect.licence import Licence
from hanok.protect.seal import SealedBundle, seal
from hanok.protect.unseal import open_bundle

NOW = datetime(2027, 1, 1, tzinfo=UTC)
LICENCE = Licence("Evaluation", "Hanok", "Acme", "KR", ("simulate",), "No copies.\n", "2027-06-30T23:59:59Z")


def new_key(name: str, hybrid: bool = False, ml_dsa: bool = False) -> PrivateKey:
    return make_key(name, chosen_algorithms(True, True, ml_dsa, hybrid))


VENDOR, ACME, OTHER = new_key("vendor"), new_key("acme"), new_key("other")


def person_of(key: PrivateKey) -> plain_bundle.Person:
    return plain_bundle.Person(key.public.name, *key.secrets)


def key_of(person: plain_bundle.Person) -> PrivateKey:
    return private_key(person.name, ("ed25519", "x25519"), (person.sign, person.receive))


def new_person(name: str) -> plain_bundle.Person:
    return plain_bundle.Person(name, os.urandom(32), os.urandom(32))


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def sealed(folder: Path, files: dict[str, bytes], output: Path, recipients: list[PrivateKey]) -> SealedBundle:
    write_files(folder, files)
    return seal([folder], [key.public for key in recipients], LICENCE, VENDOR, output, NOW)


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refuses(bundle: Path, words: str, key: PrivateKey = ACME, sender: PrivateKey = VENDOR) -> None:
    """Opening says `words` and leaves nothing behind."""
    place = bundle.parent
    before = sorted(place.iterdir())
    with pytest.raises(HanokError, match=words):
        open_bundle(bundle, key, sender.public, place / "opened", NOW)
    assert sorted(place.iterdir()) == before
