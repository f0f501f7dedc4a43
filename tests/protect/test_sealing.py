"""Sealed bundles: what goes in comes out, for every recipient, and for an opener that someone else wrote."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import plain_bundle
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealing_cases import (
    ACME,
    LICENCE,
    NOW,
    OTHER,
    VENDOR,
    key_of,
    new_key,
    new_person,
    person_of,
    read_files,
    refuses,
    sealed,
    write_files,
)

from hanok.protect.keys import KeyFileError, chosen_algorithms, make_key
from hanok.protect.manifest import CHUNK_BYTES, BundleError
from hanok.protect.names import UnsafeNameError
from hanok.protect.seal import seal
from hanok.protect.unseal import inspect_bundle, open_bundle, read_manifest, verify_bundle

FILES = {
    "build/core.v": b"module core; endmodule\n",
    "build/empty": b"",
    "build/deep/er/weights.bin": os.urandom(3 * CHUNK_BYTES + 5),
    "build/exact.bin": os.urandom(2 * CHUNK_BYTES),
    "build/한글 이름.txt": "무게".encode(),
}


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_sealed_is_opened_by_every_recipient(tmp_path: Path, workers: int) -> None:
    write_files(tmp_path, FILES)
    os.chmod(tmp_path / "build/core.v", 0o755)
    bundle, keys = tmp_path / "d.hnk", [ACME, new_key("hybrid", hybrid=True)]
    vendor = new_key("both", ml_dsa=True)
    made = seal([tmp_path / "build"], [key.public for key in keys], LICENCE, vendor, bundle, NOW, workers)
    assert made.sealed_bytes == bundle.stat().st_size
    for key in keys:
        target = tmp_path / key.public.name
        opened = open_bundle(bundle, key, vendor.public, target, NOW, workers)
        assert opened.delivery == made.delivery == inspect_bundle(bundle).delivery
        assert opened.manifest == made.manifest
        assert opened.manifest.licence == LICENCE
        assert read_files(target) == FILES
        assert (target / "build/core.v").stat().st_mode & 0o777 == 0o700
        assert (target / "build/exact.bin").stat().st_mode & 0o777 == 0o600
        assert target.stat().st_mode & 0o777 == 0o700
    with pytest.raises(BundleError, match=r"is sealed for 2 recipients, and 'other' .* is none of them"):
        open_bundle(bundle, OTHER, vendor.public, tmp_path / "no", NOW)


def test_another_implementation_opens_it(tmp_path: Path) -> None:
    sealed(
        tmp_path / "build",
        {name[6:]: data for name, data in FILES.items()},
        tmp_path / "d.hnk",
        [ACME, OTHER],
    )
    signer = Ed25519PublicKey.from_public_bytes(person_of(VENDOR).public_sign)
    assert person_of(ACME).fingerprint == ACME.public.fingerprint
    assert plain_bundle.open_bundle((tmp_path / "d.hnk").read_bytes(), person_of(ACME), signer) == FILES


def test_it_opens_what_another_implementation_made(tmp_path: Path) -> None:
    vendor, acme = new_person("vendor"), new_person("acme")
    (tmp_path / "d.hnk").write_bytes(plain_bundle.Forge([acme, new_person("x")], vendor, FILES).bundle())
    open_bundle(tmp_path / "d.hnk", key_of(acme), key_of(vendor).public, tmp_path / "out", NOW)
    assert read_files(tmp_path / "out") == FILES


SIZES = st.one_of(st.integers(0, 40), st.sampled_from([CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(SIZES, min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_files_of_any_length(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int) -> None:
    place = tmp_path_factory.mktemp("any")
    files = {f"{(number * 7 + seed) % 1000}_{number}": os.urandom(size) for number, size in enumerate(sizes)}
    sealed(place / "in", files, place / "d.hnk", [ACME])
    open_bundle(place / "d.hnk", ACME, VENDOR.public, place / "out", NOW)
    assert read_files(place / "out" / "in") == files


def test_a_thousand_recipients(tmp_path: Path) -> None:
    keys = [new_key(f"firm-{number}") for number in range(1000)]
    sealed(tmp_path / "in", {"a": b"1"}, tmp_path / "d.hnk", keys)
    for key in (keys[0], keys[500], keys[-1]):
        assert read_manifest(tmp_path / "d.hnk", key, VENDOR.public).manifest.files[0].path == "in/a"
    assert len(inspect_bundle(tmp_path / "d.hnk").recipients) == 1000


def test_two_seals_of_one_thing_share_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sealed(tmp_path / "in", {"x": bytes(100)}, tmp_path / name, [ACME])
    first, second = ((tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first[-116:] != second[-116:]


def test_expiry(tmp_path: Path) -> None:
    sealed(tmp_path / "in", {"x": b"1"}, tmp_path / "d.hnk", [ACME])
    last = NOW.replace(month=6, day=30, hour=23, minute=59, second=59)
    verify_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, last)
    late = last + timedelta(seconds=1)
    with pytest.raises(BundleError, match="the licence expired on 2027-06-30T23:59:59Z; ask 'vendor'"):
        open_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, tmp_path / "out", late)
    with pytest.raises(BundleError, match="nobody could open the bundle"):
        seal([tmp_path / "in"], [ACME.public], LICENCE, VENDOR, tmp_path / "e.hnk", late)


def test_keys_of_the_wrong_kind(tmp_path: Path) -> None:
    write_files(tmp_path / "in", {"x": b"1"})
    signs = make_key("signs", chosen_algorithms(True, False, False, True))
    receives = make_key("receives", chosen_algorithms(False, True, False, True))
    with pytest.raises(KeyFileError, match="key 'signs' only signs, and a receiving key is needed"):
        seal([tmp_path / "in"], [signs.public], LICENCE, VENDOR, tmp_path / "d", NOW)
    with pytest.raises(KeyFileError, match="key 'receives' only receives, and a signing key is needed"):
        seal([tmp_path / "in"], [ACME.public], LICENCE, receives, tmp_path / "d", NOW)
    with pytest.raises(BundleError, match="recipient 'acme' is given twice"):
        seal([tmp_path / "in"], [ACME.public, ACME.public], LICENCE, VENDOR, tmp_path / "d", NOW)
    with pytest.raises(BundleError, match="0 recipients; a bundle takes 1 to 2,000"):
        seal([tmp_path / "in"], [], LICENCE, VENDOR, tmp_path / "d", NOW)
    sealed(tmp_path / "in", {"x": b"1"}, tmp_path / "d.hnk", [ACME])
    refuses(tmp_path / "d.hnk", "only signs", key=signs)
    refuses(tmp_path / "d.hnk", "only receives", sender=receives)
    refuses(tmp_path / "d.hnk", "is signed by .*, not by 'other'", sender=OTHER)


def seal_of(tmp_path: Path, *paths: Path) -> None:
    seal(paths, [ACME.public], LICENCE, VENDOR, tmp_path / "d.hnk", NOW)


def test_what_is_not_sealed(tmp_path: Path) -> None:
    place = write_files(tmp_path / "in", {"x": b"1"})
    (place / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="in/link: is a link; a bundle takes files and folders"):
        seal_of(tmp_path, place)
    (place / "link").unlink()
    (tmp_path / "top").symlink_to(place)
    with pytest.raises(BundleError, match="top: is a link"):
        seal_of(tmp_path, tmp_path / "top")
    os.mkfifo(place / "pipe")
    with pytest.raises(BundleError, match="in/pipe: is a device, a pipe or a socket"):
        seal_of(tmp_path, place)
    with pytest.raises(BundleError, match="/dev/null: is a device"):
        seal_of(tmp_path, Path("/dev/null"))
    (place / "pipe").unlink()
    (place / "id").write_bytes(b"hanok private key 1\nname x\n")
    with pytest.raises(BundleError, match="in/id: is a private key; take it out"):
        seal_of(tmp_path, place)
    (place / "id").unlink()
    with pytest.raises(BundleError, match=r"out.hnk: lies in '.*in', which is to be sealed"):
        seal([place], [ACME.public], LICENCE, VENDOR, place / "out.hnk", NOW)
    with pytest.raises(BundleError, match="is the root of a file system"):
        seal_of(tmp_path, Path("/"))
    with pytest.raises(BundleError, match="none: cannot be read: No such file"):
        seal_of(tmp_path, tmp_path / "none")
    (tmp_path / "hollow" / "folder").mkdir(parents=True)
    with pytest.raises(BundleError, match="the folders hold no files"):
        seal_of(tmp_path, tmp_path / "hollow")
    with pytest.raises(UnsafeNameError, match="path 'in/x': is there twice"):
        seal_of(tmp_path, place, place)
    seal_of(tmp_path, place)


def test_more_than_a_bundle_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_files(tmp_path / "in", {"x": b"1", "y": b"2"})
    monkeypatch.setattr("hanok.protect.manifest.MOST_MANIFEST_BYTES", 100)
    with pytest.raises(
        BundleError, match=r"the list of files takes [0-9]+ bytes, more than 100; seal an archive"
    ):
        seal_of(tmp_path, place)
    monkeypatch.setattr("hanok.protect._sources.MOST_FILES", 1)
    with pytest.raises(BundleError, match="more than 1 files; seal an archive of them"):
        seal_of(tmp_path, place)


def test_names_that_are_not_sealed(tmp_path: Path) -> None:
    place = write_files(tmp_path / "in", {"x": b"1", "a\x1b[31mred": b""})
    with pytest.raises(UnsafeNameError, match=r"in/a\\x1b\[31mred': holds a control character"):
        seal_of(tmp_path, place)
    (place / "a\x1b[31mred").unlink()
    os.close(os.open(os.fsencode(place) + b"/\xff", os.O_CREAT))
    with pytest.raises(UnsafeNameError, match="bytes that are no UTF-8"):
        seal_of(tmp_path, place)


def test_a_file_that_changes_while_it_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_files(tmp_path / "in", {"x": bytes(100)})
    from hanok.protect import seal as module

    before = module.open_source

    def bent(size: int, replace_it: bool = False) -> None:
        def change(source):
            if replace_it:
                (place / "x").unlink()
                os.mkfifo(place / "x")
            else:
                os.truncate(place / "x", size)
            return before(source)

        monkeypatch.setattr(module, "open_source", change)

    for size in (99, 101):
        bent(size)
        with pytest.raises(BundleError, match="file 'in/x': changed while it was sealed"):
            seal_of(tmp_path, place)
        os.truncate(place / "x", 100)
    bent(0, replace_it=True)
    with pytest.raises(BundleError, match="x: is no plain file any more"):
        seal_of(tmp_path, place)
    (place / "x").unlink()
    monkeypatch.setattr(module, "open_source", lambda source: (place / "x").unlink() or before(source))
    (place / "x").write_bytes(b"1")
    with pytest.raises(BundleError, match="x: cannot be read: No such file"):
        seal_of(tmp_path, place)


def test_where_it_is_opened(tmp_path: Path) -> None:
    sealed(tmp_path / "in", {"x": b"1"}, tmp_path / "d.hnk", [ACME])
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for name, words in (
        ("in", "is not empty"),
        ("d.hnk", "is no folder"),
        ("link", "is no folder"),
        ("none/below", "is missing or cannot be written to"),
    ):
        with pytest.raises(BundleError, match=words):
            open_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, tmp_path / name, NOW)
    (tmp_path / "empty").mkdir()
    open_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, tmp_path / "empty", NOW)
    assert read_files(tmp_path / "empty") == {"in/x": b"1"}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    sealed(tmp_path / "in", {"x": bytes(100)}, tmp_path / "d.hnk", [ACME])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=99))
    refuses(tmp_path / "d.hnk", "opened: needs 100 bytes, and 99 are free")
    monkeypatch.undo()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    refuses(tmp_path / "d.hnk", "opened: cannot be written: No space left")
    with pytest.raises(BundleError, match=r"e.hnk: cannot be written: No space left"):
        seal([tmp_path / "in"], [ACME.public], LICENCE, VENDOR, tmp_path / "e.hnk", NOW)


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    import tracemalloc

    write_files(tmp_path / "in", {"x": bytes(96 * CHUNK_BYTES)})
    tracemalloc.start()
    seal([tmp_path / "in"], [ACME.public], LICENCE, VENDOR, tmp_path / "d.hnk", NOW)
    open_bundle(tmp_path / "d.hnk", ACME, VENDOR.public, tmp_path / "out", NOW)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 32 * CHUNK_BYTES, "4 workers with 5 buffers of a chunk, and what Python needs"
