"""Opening: a sealed bundle is verified as a whole before a byte of it is written, then written as a whole."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanok.protect._body import Place, Worker, release_file, verify_file, work_through
from hanok.protect._header import ContentKeys, Front, altered, read_front, unwrap_keys
from hanok.protect._primitives import AESGCM, InvalidTag
from hanok.protect.keys import PrivateKey, PublicKey
from hanok.protect.manifest import BundleError, Manifest, decode_manifest
from hanok.protect.seal import MANIFEST_NONCE, PURPOSE, signed_part


@dataclass(frozen=True)
class BundleFront:
    """What anyone can read of a bundle: fingerprints of recipients and signer, its identity and length."""

    delivery: str
    signer: str
    recipients: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class OpenedBundle:
    """A bundle whose front was verified with a recipient's key."""

    delivery: str
    manifest: Manifest


def inspect_bundle(path: str | Path) -> BundleFront:
    """Return what stands openly in a bundle. Nothing of it is proven: only a recipient can verify it."""
    with _opened(path) as descriptor:
        front = _front(descriptor, path)
        size = os.fstat(descriptor).st_size
    prints = tuple(recipient.fingerprint for recipient in front.header.recipients)
    return BundleFront(front.delivery, front.header.signer, prints, size)


def read_manifest(path: str | Path, key: PrivateKey, sender: PublicKey) -> OpenedBundle:
    """Return a bundle's manifest once its front is verified; the body is not looked at."""
    with _opened(path) as descriptor:
        opened, _, _ = _verified_front(descriptor, path, key, sender)
    return opened


def verify_bundle(
    path: str | Path, key: PrivateKey, sender: PublicKey, now: datetime, workers: int | None = None
) -> OpenedBundle:
    """Verify all of a bundle as `open_bundle` does, and write nothing."""
    with _opened(path) as descriptor:
        opened, _, _ = _verified(descriptor, path, key, sender, now, workers)
    return opened


def open_bundle(
    path: str | Path,
    key: PrivateKey,
    sender: PublicKey,
    folder: str | Path,
    now: datetime,
    workers: int | None = None,
) -> OpenedBundle:
    """Write a bundle's files to a new or empty folder, all or none, after every byte has been verified.

    `key`: of a recipient; `sender`: who must have signed; `now`: for the licence's expiry. Files are for
    their owner alone (0600, 0700). Raises BundleError or another HanokError; then nothing was written.
    """
    target = check_target(folder)
    with _opened(path) as descriptor:
        opened, keys, places = _verified(descriptor, path, key, sender, now, workers)
        free = shutil.disk_usage(target.parent).free
        if free < opened.manifest.size_bytes:
            raise BundleError(f"{folder}: needs {opened.manifest.size_bytes:,} bytes, and {free:,} are free")
        work = ""
        try:
            work = tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
            _release(descriptor, str(path), keys, places, work, workers)
            os.rename(work, target)
        except OSError as error:
            raise BundleError(f"{folder}: cannot be written: {error.strerror or error}") from None
        finally:
            if work:
                shutil.rmtree(work, ignore_errors=True)
    return opened


def check_target(folder: str | Path) -> Path:
    """Refuse, before long work, a folder that is not new or empty, or whose own folder is closed to us."""
    target = Path(os.path.abspath(folder))
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        raise BundleError(f"{folder}: folder '{target.parent}' is missing or cannot be written to")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BundleError(f"{folder}: is no folder; give the name of a new one")
    if target.exists() and any(target.iterdir()):
        raise BundleError(f"{folder}: is not empty; give the name of a new or empty folder")
    return target


@contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    """A descriptor of a plain file; a pipe cannot be read twice, and a device has no end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{path}: is no plain file; save the bundle to a file first")
        yield descriptor
    finally:
        os.close(descriptor)


def _front(descriptor: int, path: str | Path) -> Front:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return read_front(file, str(path))


def _verified_front(
    descriptor: int, path: str | Path, key: PrivateKey, sender: PublicKey
) -> tuple[OpenedBundle, ContentKeys, tuple[Place, ...]]:
    """Return the manifest, the keys and the places of files, once signature and length are right."""
    what = str(path)
    key.public.must_receive(key.public.name)
    sender.must_sign(sender.name)
    front = _front(descriptor, path)
    keys = unwrap_keys(front, key, what)
    try:
        plain = AESGCM(keys.manifest).decrypt(MANIFEST_NONCE, front.sealed_manifest, front.open_part)
    except (InvalidTag, ValueError):
        raise altered(what, "the header or the manifest") from None
    if front.header.signer != sender.fingerprint:
        raise BundleError(
            f"{what}: is signed by {front.header.signer[:16]}, not by '{sender.name}' "
            f"({sender.fingerprint[:16]}); do not use it unless you know who that is"
        )
    split = len(plain) - sender.signature_bytes
    signature, text = plain[max(split, 0) :], plain[: max(split, 0)]
    if not sender.verifies(PURPOSE, signed_part(front.open_part, text), signature):
        raise BundleError(f"{what}: the signature of '{sender.name}' is wrong: someone else made this bundle")
    manifest = decode_manifest(text, what)
    _check_length(what, os.fstat(descriptor).st_size, front.size_bytes + manifest.body_bytes)
    placed = zip(manifest.files, manifest.places, strict=True)
    places = tuple(Place(file, chunk, front.size_bytes + offset) for file, (chunk, offset) in placed)
    largest_first = tuple(sorted(places, key=lambda place: -place.file.size_bytes))
    return OpenedBundle(front.delivery, manifest), keys, largest_first


def _check_length(what: str, found: int, expected: int) -> None:
    if found < expected:
        raise BundleError(f"{what}: is truncated: {found:,} bytes of {expected:,}; ask for it again")
    if found > expected:
        raise BundleError(f"{what}: has {found - expected:,} bytes too many, so it was altered")


def _verified(
    descriptor: int, path: str | Path, key: PrivateKey, sender: PublicKey, now: datetime, workers: int | None
) -> tuple[OpenedBundle, ContentKeys, tuple[Place, ...]]:
    """Verify everything, the licence's expiry included, and keep nothing of the plain text."""
    opened, keys, places = _verified_front(descriptor, path, key, sender)
    licence = opened.manifest.licence
    if licence.is_past(now):
        raise BundleError(
            f"{path}: the licence expired on {licence.expires}; ask '{sender.name}' for another"
        )

    def work(worker: Worker, place: Place) -> None:
        verify_file(worker, place, descriptor, str(path))

    work_through(keys, places, work, workers)
    return opened, keys, places


def _release(
    descriptor: int, what: str, keys: ContentKeys, places: tuple[Place, ...], folder: str, workers: int | None
) -> None:
    """Decrypt the verified files into a folder of ours."""

    def work(worker: Worker, place: Place) -> None:
        path = os.path.join(folder, place.file.path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        mode = 0o700 if place.file.is_executable else 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(path, flags, mode)
        try:
            release_file(worker, place, descriptor, target, what)
        finally:
            os.close(target)

    work_through(keys, places, work, workers)
