"""`hanok rules label` and the labels of `hanok app`: what is written, found and refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_types import Run
from PIL import Image

from hanok.flows.apps import photo, translate, write
from hanok.flows.apps.photo import Photo
from hanok.flows.apps.translate import Translation
from hanok.flows.apps.write import Writing
from hanok.flows.cost import Cost
from hanok.flows.generate import Generation
from hanok.rules.digital_source import COMPOSITE, ENHANCED, GENERATED
from hanok.rules.label import picture_mark

sys.path.append(str(Path(__file__).parents[1] / "protect"))
from trial_chain import PASSPHRASE, TrialRoot, pem, write_trial

DOCUMENT = Path(__file__).parents[2] / "docs" / "rules.md"
Trial = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Key, chain and root."""
    return write_trial(tmp_path_factory.mktemp("trial"))


@pytest.fixture
def needs_c2pa() -> None:
    pytest.importorskip("c2pa")


def signing(trial: Trial) -> tuple[Any, ...]:
    return ("--sign-key", trial[0], "--sign-certificate", trial[1])


def done(result: Any) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr, result.stderr
    assert "Traceback" not in result.output


def a_picture(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return path


def a_text(path: Path) -> Path:
    path.write_text("한 줄\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_carry_their_mark(hanok_command: Run, tmp_path: Path, ending: str) -> None:
    plain, marked = a_picture(tmp_path / f"a{ending}"), tmp_path / f"b{ending}"
    before = plain.read_bytes()
    assert "not marked as made by AI" in hanok_command("rules", "label", "--check", plain).stdout
    told = done(hanok_command("rules", "label", plain, "--as", "composite", "--system", "x", "-o", marked))
    assert "marked as composite (compositeWithTrainedAlgorithmicMedia), not signed" in told.stdout
    assert plain.read_bytes() == before
    assert hanok_command("rules", "label", "--check", plain).exit_code == 1
    assert (
        "XMP mark: not signed; says composite"
        in done(hanok_command("rules", "label", "--check", marked)).stdout
    )
    first = marked.read_bytes()
    done(hanok_command("rules", "label", plain, "--as", "composite", "--system", "x", "-o", marked))
    assert marked.read_bytes() == first, "byte for byte"
    done(hanok_command("rules", "label", plain, "--as", "composite", "--system", "x"))
    assert plain.read_bytes() == first


def test_other_files_have_a_record(hanok_command: Run, tmp_path: Path, trial: Trial) -> None:
    text = a_text(tmp_path / "글.txt")
    assert hanok_command("rules", "label", "--check", text).exit_code == 1
    done(hanok_command("rules", "label", text))
    assert (
        "record: not signed; says generated" in done(hanok_command("rules", "label", "--check", text)).stdout
    )
    unsigned = (tmp_path / "글.txt.ai.json").read_bytes()
    assert (
        "signed by Trial signer, Trial" in done(hanok_command("rules", "label", text, *signing(trial))).stdout
    )
    check = ("rules", "label", "--check", text)
    assert (
        "record: valid; says generated; signed by Trial signer, Trial (not checked"
        in done(hanok_command(*check)).stdout
    )
    assert "(trusted)" in done(hanok_command(*check, "--trust", trial[2])).stdout
    (tmp_path / "other.pem").write_bytes(pem(TrialRoot("ES256", "Other").certificate))
    stranger = hanok_command(*check, "--trust", tmp_path / "other.pem")
    assert stranger.exit_code == 1
    assert "(not trusted)" in stranger.stdout
    assert "nobody of the trusted authorities signed it" in stranger.stdout
    done(hanok_command("rules", "label", text))
    assert (tmp_path / "글.txt.ai.json").read_bytes() == unsigned, "byte for byte"
    nobody = hanok_command(*check, "--trust", trial[2])
    assert nobody.exit_code == 1, "who asks for trust wants a signature"


def test_an_altered_text_or_record_is_told(hanok_command: Run, tmp_path: Path, trial: Trial) -> None:
    text, place = a_text(tmp_path / "a.txt"), tmp_path / "a.txt.ai.json"
    check = ("rules", "label", "--check", text)
    done(hanok_command("rules", "label", text, *signing(trial)))
    good = json.loads(place.read_text("utf-8"))
    for name, value in (("system", "another"), ("notice_en", "Written by a person."), ("file", "b.txt")):
        place.write_text(json.dumps({**good, name: value}), encoding="utf-8")
        found = hanok_command(*check)
        assert found.exit_code == 1
        assert "record: altered" in found.stdout
        assert "the signature is of another record" in found.stdout
    place.write_text(json.dumps({**good, "signature": "e30..AA"}), encoding="utf-8")
    assert "record: altered; says generated; the signature is none for" in hanok_command(*check).stdout
    place.write_text(json.dumps(good), encoding="utf-8")
    assert done(hanok_command(*check)), "written in another way it is the same record"
    text.write_text("다른 글", encoding="utf-8")
    found = hanok_command(*check)
    assert found.exit_code == 1
    assert "record: altered; the file has other bytes than the record says" in found.stdout
    place.write_text("{", encoding="utf-8")
    refused(hanok_command(*check), "a.txt.ai.json: no record of hanok rules label")


def test_a_certificate_that_has_run_out(hanok_command: Run, tmp_path: Path, trial: Trial) -> None:
    from datetime import timedelta

    from trial_chain import NOW

    from hanok.flows.labelling import check_file

    text = a_text(tmp_path / "a.txt")
    done(hanok_command("rules", "label", text, *signing(trial)))
    checked = check_file(text, None, NOW + timedelta(days=40))
    (finding,) = checked.findings
    assert finding.state == "not valid"
    assert "is valid from" in finding.reason
    assert not checked.stands


@pytest.mark.usefixtures("needs_c2pa")
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_signed_picture_is_checked(hanok_command: Run, tmp_path: Path, trial: Trial, ending: str) -> None:
    plain, signed = a_picture(tmp_path / f"a{ending}"), tmp_path / f"b{ending}"
    done(hanok_command("rules", "label", plain, "-o", signed, *signing(trial)))
    found = done(hanok_command("rules", "label", "--check", signed, "--trust", trial[2]))
    assert "XMP mark: not signed; says generated; the manifest's signature covers it" in found.stdout
    assert "C2PA manifest: valid; says generated; signed by Trial signer, Trial (trusted)" in found.stdout
    content = bytearray(signed.read_bytes())
    with Image.open(signed) as before:
        size = before.size
    if ending == ".png":
        with Image.open(signed) as image:
            pixels = np.array(image)
        pixels[0, 0, 0] ^= 1
        altered = tmp_path / "c.png"
        Image.fromarray(pixels).save(altered)
        place = content.index(b"caBX") - 4
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        other = altered.read_bytes()
        altered.write_bytes(other[:33] + bytes(content[place:end]) + other[33:])
    else:
        altered = tmp_path / "c.jpg"
        content[-40] ^= 1
        altered.write_bytes(bytes(content))
    with Image.open(altered) as after:
        assert after.size == size
    found = hanok_command("rules", "label", "--check", altered)
    assert found.exit_code == 1
    assert "C2PA manifest: altered" in found.stdout
    assert "assertion.dataHash.mismatch" in found.stdout
    refused(hanok_command("rules", "label", signed), "has a C2PA manifest, which a mark would break")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}", f"c{ending}"]


@pytest.mark.usefixtures("needs_c2pa")
def test_a_manifest_that_is_none(hanok_command: Run, tmp_path: Path) -> None:
    import zlib

    place = a_picture(tmp_path / "a.png")
    plain, kind = place.read_bytes(), b"caBX\0\0\0\x10jumbnonsense"
    box = (len(kind) - 4).to_bytes(4, "big") + kind + zlib.crc32(kind).to_bytes(4, "big")
    place.write_bytes(plain[:33] + box + plain[33:])
    found = hanok_command("rules", "label", "--check", place)
    assert found.exit_code == 1
    assert "C2PA manifest: altered; " in found.stdout
    assert "its C2PA manifest is damaged" in found.stdout


def test_what_label_refuses(hanok_command: Run, tmp_path: Path, trial: Trial) -> None:
    text, image = a_text(tmp_path / "a.txt"), a_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    key, chain, root = trial
    cases: tuple[tuple[tuple[Any, ...], str], ...] = (
        ((text, "-o", tmp_path / "x"), "is for PNG and JPEG files"),
        ((tmp_path / "none.txt",), "is no file"),
        ((tmp_path / "b.png",), "is no PNG and no JPEG"),
        ((image, "-o", tmp_path / "x.jpg"), "must end in .png"),
        ((image, "-o", tmp_path / "no" / "x.png"), "does not exist"),
        ((text, "--sign-key", key), "--sign-key and --sign-certificate go together"),
        ((text, "--sign-certificate", chain), "--sign-key and --sign-certificate go together"),
        ((text, "--sign-key", chain, "--sign-certificate", chain), "holds no private key"),
        ((text, "--sign-key", key, "--sign-certificate", key), "no certificates in PEM"),
        ((text, "--sign-key", key, "--sign-certificate", root), "is not that of the key"),
        ((text, "--trust", root), "--trust: goes with --check"),
        ((text, "--check", "--sign-key", key), "--check: changes nothing"),
        ((text, "--check", "--trust", tmp_path / "none.pem"), "none.pem: cannot be read"),
        ((tmp_path / "none.png", "--check"), "is no file"),
    )
    for arguments, words in cases:
        refused(hanok_command("rules", "label", *arguments), words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.txt", "b.png"]


def test_an_encrypted_key_asks_for_its_passphrase(
    hanok_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANOK_PASSPHRASE", raising=False)
    trial = write_trial(tmp_path, passphrase=PASSPHRASE)
    text = a_text(tmp_path / "a.txt")
    refused(hanok_command("rules", "label", text, *signing(trial)), "a passphrase is needed for")
    monkeypatch.setenv("HANOK_PASSPHRASE", "another one")
    refused(hanok_command("rules", "label", text, *signing(trial)), "the passphrase is another one")
    assert not (tmp_path / "a.txt.ai.json").exists()
    monkeypatch.setenv("HANOK_PASSPHRASE", PASSPHRASE)
    done(hanok_command("rules", "label", text, *signing(trial)))


def test_without_the_library_a_signature_is_refused_before_the_work(
    hanok_command: Run, tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == "c2pa" else find(name, *rest))
    monkeypatch.setattr(photo, "edit_photo", lambda *_, **__: pytest.fail("the work had begun"))
    image, out = a_picture(tmp_path / "a.png"), tmp_path / "out.png"
    refused(hanok_command("app", "photo", image, "-o", out, *signing(trial)), "pip install 'hanok[c2pa]'")
    refused(hanok_command("rules", "label", image, "-o", out, *signing(trial)), "pip install 'hanok[c2pa]'")
    assert not out.exists()
    done(hanok_command("rules", "label", a_text(tmp_path / "a.txt"), *signing(trial)))


@pytest.fixture
def quick_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs without their networks: labels are what is tested here."""

    class Quick:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def prepare(self, *_: Any) -> None:
            pass

        def translate(self, text: str, stream: Any) -> Translation:
            stream("저장")
            return Translation(text, "저장", (1,), 1, "end", Cost(()))

        def write(self, prompt: str, *, stream: Any, **_: Any) -> Writing:
            stream(" 맑다.")
            return Writing(
                prompt, " 맑다.", Generation((1,), (2,), "length", " 맑다.", (), (), 0.0), Cost(())
            )

    def edit(picture: Any, job: str, *_: Any, **__: Any) -> Photo:
        return Photo(255 - picture, picture, job, 1, Cost(()))

    monkeypatch.setattr(translate, "Translator", Quick)
    monkeypatch.setattr(write, "Writer", Quick)
    monkeypatch.setattr(photo, "edit_photo", edit)


@pytest.mark.usefixtures("quick_apps")
@pytest.mark.parametrize(
    ("arguments", "source", "text"),
    [
        (("translate", "Save"), GENERATED, "저장\n"),
        (("write", "오늘은"), COMPOSITE, "오늘은 맑다.\n"),
        (("write", ""), GENERATED, " 맑다.\n"),
        (("write", "오늘은", "--label", "generated"), GENERATED, "오늘은 맑다.\n"),
    ],
)
def test_texts_come_with_notice_and_record(
    hanok_command: Run, tmp_path: Path, trial: Trial, arguments: tuple[str, ...], source: Any, text: str
) -> None:
    out, data = tmp_path / "out.txt", tmp_path / "out.json"
    result = done(hanok_command("app", *arguments, "-o", out, "--json", data, *signing(trial)))
    assert out.read_text("utf-8") == text
    assert result.stderr.endswith(f"{source.text_ko} {source.text_en}\n")
    assert source.text_ko not in result.stdout
    assert result.stdout.startswith(text)
    assert json.loads(data.read_text("utf-8"))["digital_source_type"] == source.uri
    record = json.loads((tmp_path / "out.txt.ai.json").read_text("utf-8"))
    assert record["system"] == f"hanok app {arguments[0]}"
    assert (record["notice_ko"], record["notice_en"]) == (source.text_ko, source.text_en)
    found = done(hanok_command("rules", "label", "--check", out, "--trust", trial[2]))
    assert f"record: valid; says {source.name}; signed by Trial signer, Trial (trusted)" in found.stdout


@pytest.mark.usefixtures("quick_apps")
@pytest.mark.parametrize("arguments", [("translate", "Save"), ("write", "오늘은")])
def test_texts_without_a_label(hanok_command: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    out = tmp_path / "out.txt"
    result = done(hanok_command("app", *arguments, "--label", "none", "-o", out))
    assert "AI" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    plain = done(hanok_command("app", *arguments))
    assert plain.stderr.endswith("generated by AI.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.usefixtures("quick_apps")
def test_what_texts_refuse(hanok_command: Run, tmp_path: Path, trial: Trial) -> None:
    out = tmp_path / "out.txt"
    for arguments, words in (
        (signing(trial), "--sign-key: signs a text in a file; give --output FILE"),
        (("--label", "none", *signing(trial)), "--label none: leaves nothing to sign"),
        (("-o", tmp_path), "is a folder"),
        (("-o", tmp_path / "no" / "out.txt"), "does not exist"),
    ):
        refused(hanok_command("app", "translate", "Save", *arguments), words)
    (tmp_path / "out.txt.ai.json").mkdir()
    refused(hanok_command("app", "translate", "Save", "-o", out), "is a folder")
    assert not out.exists()


@pytest.mark.usefixtures("quick_apps")
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_photos_are_marked(hanok_command: Run, tmp_path: Path, ending: str) -> None:
    image, out = a_picture(tmp_path / "a.png"), tmp_path / f"out{ending}"
    done(hanok_command("app", "photo", image, "-o", out))
    assert picture_mark(out.read_bytes(), "out") == ENHANCED
    first = out.read_bytes()
    assert b"hanok app photo: denoise" in first
    done(hanok_command("app", "photo", image, "-o", out))
    assert out.read_bytes() == first, "byte for byte"
    done(hanok_command("app", "photo", image, "-o", out, "--label", "generated"))
    assert picture_mark(out.read_bytes(), "out") == GENERATED
    done(hanok_command("app", "photo", image, "-o", out, "--label", "none"))
    assert picture_mark(out.read_bytes(), "out") is None


@pytest.mark.usefixtures("quick_apps", "needs_c2pa")
@pytest.mark.parametrize(
    ("job", "action"), [("denoise", "c2pa.enhanced"), ("upscale", "c2pa.resized"), ("cutout", "c2pa.edited")]
)
def test_photos_are_signed(hanok_command: Run, tmp_path: Path, trial: Trial, job: str, action: str) -> None:
    import io

    import c2pa

    image, out = tmp_path / "source.png", tmp_path / "out.png"
    done(hanok_command("rules", "label", a_picture(tmp_path / "a.png"), "-o", image, *signing(trial)))
    result = done(hanok_command("app", "photo", image, "-o", out, "--job", job, *signing(trial)))
    assert "marked as enhanced (algorithmicallyEnhanced), signed by Trial signer, Trial" in result.stdout
    with c2pa.Reader("image/png", io.BytesIO(out.read_bytes())) as reader:
        store = json.loads(reader.json())
    assert store["validation_state"] == "Valid"
    active = store["manifests"][store["active_manifest"]]
    first, second = active["assertions"][0]["data"]["actions"]
    assert (first["action"], second["action"]) == ("c2pa.opened", action)
    assert second["digitalSourceType"] == ENHANCED.uri
    assert second["softwareAgent"]["name"] == f"hanok app photo: {job}"
    assert active["title"] == "out.png"
    carried = 1 if job == "cutout" else 2
    assert len(store["manifests"]) == carried, "a cutout takes nothing along that shows what was cut away"
    done(hanok_command("rules", "label", "--check", out, "--trust", trial[2]))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs OpenSSL")
def test_the_documents_commands_make_a_trial_certificate(
    hanok_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"```sh\n(.*?openssl.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert block is not None
    monkeypatch.setenv("HANOK_PASSPHRASE", PASSPHRASE)
    subprocess.run(["sh", "-euc", block.group(1)], cwd=tmp_path, check=True, capture_output=True)
    text = a_text(tmp_path / "a.txt")
    places = (tmp_path / "sign.key", tmp_path / "chain.pem", tmp_path / "root.pem")
    assert b"ENCRYPTED" in places[0].read_bytes()
    done(hanok_command("rules", "label", text, *signing(places)))
    done(hanok_command("rules", "label", "--check", text, "--trust", places[2]))
