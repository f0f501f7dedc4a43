"""C2PA manifests: read again by the library's own reader, bound to every byte, and made without a network."""

from __future__ import annotations

import http.server
import io
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from trial_chain import KINDS, TrialRoot

from hanok.protect import content_credentials
from hanok.protect._primitives import MissingPackageError
from hanok.protect.certificates import Credential
from hanok.protect.content_credentials import (
    Action,
    Claim,
    ManifestError,
    check_installed,
    check_parent,
    read_manifest,
    sign_picture,
)

c2pa = pytest.importorskip("c2pa")
ROOT = TrialRoot()
SCHEME = "http://cv.iptc.org/newscodes/digitalsourcetype/"
CREATED = Claim(
    "a.png", (Action("c2pa.created", f"{SCHEME}trainedAlgorithmicMedia", "painter"),), "hanok", "1"
)
EDITED = Claim(
    "b.png",
    (Action("c2pa.opened"), Action("c2pa.edited", f"{SCHEME}algorithmicallyEnhanced", "editor")),
    "hanok",
    "1",
)
KINDS_OF_PICTURE = {"image/png": "PNG", "image/jpeg": "JPEG"}


def made(kind: str = "ES256") -> Credential:
    root, key = (ROOT if kind == "ES256" else TrialRoot(kind)), KINDS[kind]()
    return Credential((root.issue(key), root.certificate), key)


CREDENTIAL = made()


def picture(kind: str = "image/png", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, KINDS_OF_PICTURE[kind])
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


SIGNED = sign_picture(picture(), "image/png", CREATED, CREDENTIAL)


def chunks(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Place, kind and whole bytes of each chunk, by the PNG specification."""
    place = 8
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        yield place, content[place + 4 : place + 8], content[place:end]
        place = end


def read_by_the_library(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    """What the library says on its own, with the settings that it has from the start."""
    with c2pa.Reader(kind, io.BytesIO(content)) as reader:
        store: dict[str, Any] = json.loads(reader.json())
    return store


@pytest.mark.parametrize("kind", KINDS_OF_PICTURE)
@pytest.mark.parametrize("algorithm", KINDS)
def test_the_library_finds_it_valid(kind: str, algorithm: str) -> None:
    plain, credential = picture(kind), made(algorithm)
    signed = sign_picture(plain, kind, CREATED, credential)
    store = read_by_the_library(signed, kind)
    active = store["manifests"][store["active_manifest"]]
    codes = {each["code"] for each in store["validation_results"]["activeManifest"]["success"]}
    assert store["validation_state"] == "Valid"
    assert {"assertion.dataHash.match", "claimSignature.validated", "claimSignature.insideValidity"} <= codes
    assert active["claim_generator_info"][0]["name"] == "hanok"
    assert active["signature_info"]["common_name"] == "Trial signer"
    (action,) = active["assertions"][0]["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == f"{SCHEME}trainedAlgorithmicMedia"
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(signed)) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
    again = sign_picture(plain, kind, CREATED, credential)
    assert again != signed, "names of manifests are random"


def test_ours_says_what_the_library_says() -> None:
    signed = SIGNED
    manifest = read_manifest(signed, "image/png", (), "a.png")
    assert manifest.actions == CREATED.actions
    assert (manifest.signer, manifest.generator, manifest.failures) == ("Trial signer, Trial", "hanok 1", ())
    assert not manifest.trusted
    assert read_manifest(signed, "image/png", (ROOT.certificate,), "a.png").trusted
    assert not read_manifest(signed, "image/png", (TrialRoot().certificate,), "a.png").trusted


def test_every_byte_outside_the_manifest_is_bound() -> None:
    signed = sign_picture(picture(), "image/png", CREATED, CREDENTIAL)
    (ours,) = [(place, len(data)) for place, kind, data in chunks(signed) if kind == b"caBX"]
    outside = [place for place in range(len(signed)) if not ours[0] <= place < sum(ours)]
    for place in outside[:: max(1, len(outside) // 120)]:
        wrong = bytearray(signed)
        wrong[place] ^= 1
        try:
            failures = read_manifest(bytes(wrong), "image/png", (), "a.png").failures
        except ManifestError:
            continue
        assert any("assertion.dataHash.mismatch" in failure for failure in failures), place


@pytest.mark.parametrize("word", [b"trainedAlgorithmicMedia", b"c2pa.created", b"hanok", b"Trial signer"])
def test_what_a_manifest_says_is_bound(word: bytes) -> None:
    signed = sign_picture(picture(), "image/png", CREATED, CREDENTIAL)
    wrong = bytearray()
    for _, kind, data in chunks(signed):
        wrong += chunk(kind, data[8:-4].replace(word, word[:-1] + b"x")) if kind == b"caBX" else data
    content = signed[:8] + bytes(wrong)
    assert content != signed
    try:
        failures = read_manifest(content, "image/png", (), "a.png").failures
    except ManifestError:
        return
    assert failures


def test_a_manifest_moved_to_another_picture_does_not_stand() -> None:
    signed = sign_picture(picture(), "image/png", CREATED, CREDENTIAL)
    other = picture(seed=1)
    (manifest,) = [data for _, kind, data in chunks(signed) if kind == b"caBX"]
    moved = other[:33] + manifest + other[33:]
    failures = read_manifest(moved, "image/png", (), "a.png").failures
    assert any("dataHash.mismatch" in failure for failure in failures)


def test_other_chunks_stay() -> None:
    plain = picture()
    own = chunk(b"tEXt", b"Comment\0kept") + chunk(b"prVt", bytes(range(256)))
    plain = plain[:33] + own + plain[33:]
    signed = sign_picture(plain, "image/png", CREATED, CREDENTIAL)
    kept = b"".join(data for _, kind, data in chunks(signed) if kind != b"caBX")
    assert plain[:8] + kept == plain


def test_an_edited_picture_names_its_source_and_keeps_its_history(tmp_path: Path) -> None:
    source = tmp_path / "secret name.png"
    camera = Claim("camera", (Action("c2pa.created", f"{SCHEME}digitalCapture", "camera"),), "camera", "9")
    source.write_bytes(sign_picture(picture(seed=1), "image/png", camera, CREDENTIAL))
    check_parent(EDITED, (source, "image/png"))
    carried = sign_picture(picture(), "image/png", EDITED, CREDENTIAL, (source, "image/png"))
    without = sign_picture(picture(), "image/png", EDITED, CREDENTIAL)
    for content, manifests in ((carried, 2), (without, 1)):
        store = read_by_the_library(content)
        active = store["manifests"][store["active_manifest"]]
        first, second = active["assertions"][0]["data"]["actions"]
        (parent,) = active["ingredients"]
        assert (first["action"], second["action"]) == ("c2pa.opened", "c2pa.edited")
        assert first["parameters"]["ingredients"][0]["url"].endswith("c2pa.ingredient.v3")
        assert parent["relationship"] == "parentOf"
        assert len(store["manifests"]) == manifests
        assert store["validation_state"] == "Valid"
        assert "thumbnail" not in json.dumps(store)
        assert b"secret name" not in content
    assert b"digitalCapture" in carried
    assert b"digitalCapture" not in without


def test_a_source_that_was_altered_is_carried_as_such(tmp_path: Path) -> None:
    source = bytearray(sign_picture(picture(seed=1), "image/png", CREATED, CREDENTIAL))
    source[-20] ^= 1
    place = tmp_path / "a.png"
    place.write_bytes(bytes(source))
    signed = sign_picture(picture(), "image/png", EDITED, CREDENTIAL, (place, "image/png"))
    store = read_by_the_library(signed)
    (parent,) = store["manifests"][store["active_manifest"]]["ingredients"]
    codes = {each["code"] for each in parent["validation_results"]["activeManifest"]["failure"]}
    assert "assertion.dataHash.mismatch" in codes


def test_sources_that_cannot_be_carried(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        check_parent(EDITED, (tmp_path / "none.png", "image/png"))
    place, plain = tmp_path / "a.png", picture()
    place.write_bytes(plain[:33] + chunk(b"caBX", b"\0\0\0\x10jumbnonsense") + plain[33:])
    with pytest.raises(ManifestError, match="its C2PA manifest cannot be read"):
        check_parent(EDITED, (place, "image/png"))


@pytest.mark.parametrize("content", [b"", b"GIF89a", picture()[:40], picture()[:-20]])
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(ManifestError, match="a C2PA manifest cannot be made"):
        sign_picture(content, "image/png", CREATED, CREDENTIAL)
    with pytest.raises(ManifestError, match="its C2PA manifest is damaged"):
        read_manifest(content, "image/png", (), "x")


def test_the_library_is_asked_once_more_about_what_was_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = KINDS["ES256"]()
    wrong = Credential((ROOT.issue(KINDS["ES256"]()), ROOT.certificate), key)
    monkeypatch.setitem(content_credentials._SETTINGS["verify"], "verify_after_sign", False)
    with pytest.raises(ManifestError, match="C2PA refuses what was signed: claimSignature"):
        sign_picture(picture(), "image/png", CREATED, wrong)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """XMP may name a manifest elsewhere, which the library fetches unless it is told not to."""
    asked: list[str] = []

    class Listening(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/a.c2pa"
        xmp = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/"'
            f' dcterms:provenance="{address}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        plain = picture()
        naming = plain[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode()) + plain[33:]
        place = tmp_path / "a.png"
        place.write_bytes(naming)
        check_parent(EDITED, (place, "image/png"))
        sign_picture(plain, "image/png", EDITED, CREDENTIAL, (place, "image/png"))
        with pytest.raises(ManifestError):
            read_manifest(naming, "image/png", (), "a.png")
        assert asked == []
        with pytest.raises(c2pa.C2paError):
            read_by_the_library(naming)
        assert asked == ["/a.c2pa"], "the library does fetch where nobody forbids it"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'hanok\[c2pa\]'"):
        check_installed()


@pytest.mark.parametrize("name", ["libc2pa_c.so", "libc2pa_c.dylib"])
def test_a_library_in_the_working_folder_is_not_loaded(name: str, tmp_path: Path) -> None:
    """The package looks there first; what lies beside a picture may be anybody's."""
    (tmp_path / name).write_bytes(b"not a library")
    hook = (
        "import sys\n"
        "def told(event, given):\n    if event == 'ctypes.dlopen' and given[0]: print(given[0])\n"
        "sys.addaudithook(told)\n"
    )
    ours = "from hanok.protect.content_credentials import check_installed; check_installed()"
    loaded = [
        subprocess.run(
            [sys.executable, "-c", hook + code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for code in (ours, "import c2pa")
    ]
    assert "libc2pa_c" in loaded[0]
    assert str(tmp_path) not in loaded[0]
    if name.endswith(".dylib") == (sys.platform == "darwin"):
        assert str(tmp_path) in loaded[1], "the package does look there"


def test_a_library_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "c2pa").mkdir()
    (tmp_path / "c2pa" / "__init__.py").write_text("raise RuntimeError('no native\\npart')", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import hanok.protect.content_credentials as door\n"
        "try:\n    door.check_installed()\nexcept Exception as error:\n    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "does not load here: no native part; pip install --force-reinstall 'hanok[c2pa]'" in run.stdout


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_manifest_fails_or_says_the_same(changes: list[tuple[int, int]]) -> None:
    """Only the padding of its signature may change, which says nothing."""
    content = SIGNED[:8]
    for _, kind, data in chunks(SIGNED):
        if kind != b"caBX":
            content += data
            continue
        box = bytearray(data[8:-4])
        for place, value in changes:
            box[place % len(box)] = value
        content += chunk(kind, bytes(box))
    try:
        found = read_manifest(content, "image/png", (ROOT.certificate,), "a.png")
    except ManifestError:
        return
    assert found.failures or found == read_manifest(SIGNED, "image/png", (ROOT.certificate,), "a.png")
