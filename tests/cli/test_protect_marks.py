"""`hanok protect secret`, `mark` and `trace`: from a secret to a name, and what is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
import pytest
from cli_types import Run
from typer.testing import CliRunner

from hanok.cli.protect import build_protect

sys.path.append(str(Path(__file__).parents[1] / "protect"))
from specifications import specification, written
from weight_attacks import noisy, small_model

VOICE = Path(str(resources.files("hanok") / "assets" / "korean_commands.onnx"))
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def protect() -> Run:
    runner, app = CliRunner(), build_protect({})
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def secret(protect: Run, tmp_path: Path) -> Path:
    path = tmp_path / "vendor.secret"
    result = protect("secret", "-o", path)
    assert result.exit_code == 0, result.output
    assert "keep a copy in a safe place" in result.stdout
    return path


@pytest.fixture
def recipients(tmp_path: Path) -> Path:
    names = ["acme", "beta", "gamma", HOSTILE]
    return written(tmp_path, f"recipients = {json.dumps(names)}", "list.toml")


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def done(result: Any) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_secret_is_for_its_owner_alone_and_never_overwritten(protect: Run, secret: Path) -> None:
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    before = secret.read_bytes()
    refused(protect("secret", "-o", secret), "exists; a secret is never overwritten")
    assert secret.read_bytes() == before
    refused(protect("secret", "-o", secret.parent / "none" / "x"), "cannot be written: No such file")


def test_a_model_from_the_secret_to_a_name(
    protect: Run, secret: Path, recipients: Path, tmp_path: Path
) -> None:
    leaks = []
    for name in ("acme", "beta"):
        out = tmp_path / f"{name}.onnx"
        text = done(protect("mark", VOICE, "--recipient", name, "--secret", secret, "-o", out))
        assert f"{out}: the copy of {name}" in text
        assert "2,226 marks (int8 weights)" in text
        leaks.append(out)
    assert leaks[0].read_bytes() != leaks[1].read_bytes()
    onnx.save(noisy(onnx.load(leaks[1]), 8, 1), tmp_path / "leak.onnx")
    page = tmp_path / "report.html"
    arguments = ("--original", VOICE, "--secret", secret, "--recipients", recipients, "--html", page)
    text = done(protect("trace", tmp_path / "leak.onnx", *arguments))
    assert text.startswith("The leak was made from the copy of: beta (of 4 recipients, limit 1e-06)")
    assert "of 2,226 marks read" in text
    assert "accused: beta, chance of a false accusation at most" in text
    html = page.read_text("utf-8")
    assert "Trace of a leak" in html
    assert HOSTILE not in html
    assert "&lt;script&gt;alert" in html


def test_nobody_is_a_result(protect: Run, secret: Path, recipients: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    arguments = ("--original", VOICE, "--secret", secret, "--recipients", recipients, "--html", page)
    text = done(protect("trace", VOICE, *arguments))
    assert text.startswith("Nobody of 4 recipients is named: no marks were read")
    assert "nobody" in page.read_text("utf-8")
    done(protect("mark", VOICE, "--recipient", "zeta", "--secret", secret, "-o", tmp_path / "zeta.onnx"))
    text = done(protect("trace", tmp_path / "zeta.onnx", *arguments))
    assert "Nobody of 4 recipients is named: no bound is within the limit of 1e-06" in text


def test_a_folder_with_a_model_and_a_specification(
    protect: Run, secret: Path, recipients: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    (build / "docs").mkdir(parents=True)
    shutil.copy(VOICE, build / "voice.onnx")
    written(build / "docs", specification(200), "spec.toml")
    written(build, "a = 1", "chip.toml")
    written(build, "read me", "README")
    small_model(640, build)
    out = tmp_path / "out"
    text = done(protect("mark", build, "--recipient", "gamma", "--secret", secret, "-o", out))
    assert "docs/spec.toml" in text
    assert "note: without marks:" in text
    assert (out / "README").read_text() == "read me"
    assert (out / "chip.toml").read_text() == "a = 1"
    assert (out / "model.onnx").read_bytes() == (build / "model.onnx").read_bytes()
    arguments = ("--original", build, "--secret", secret, "--recipients", recipients)
    text = done(protect("trace", out, *arguments))
    assert "copy of: gamma" in text
    assert "docs/spec.toml:" in text
    values = tomllib.loads((out / "docs" / "spec.toml").read_text(), parse_float=str)["value"]
    notebook = written(
        tmp_path, "\n".join(f"{each['name']} {each['value']}" for each in values[:120]), "notes"
    )
    assert "copy of: gamma" in done(protect("trace", notebook, *arguments))
    again = done(protect("mark", build, "--recipient", "gamma", "--secret", secret, "-o", out))
    assert "copy of gamma" in again


def test_equal_originals_count_once(protect: Run, secret: Path, recipients: Path, tmp_path: Path) -> None:
    """Two files of the same content carry the same word: as independent marks they would break the bound."""
    build = tmp_path / "build"
    build.mkdir()
    for name in ("a.onnx", "b.onnx"):
        shutil.copy(VOICE, build / name)
    out = tmp_path / "out"
    done(protect("mark", build, "--recipient", "acme", "--secret", secret, "-o", out))
    assert (out / "a.onnx").read_bytes() == (out / "b.onnx").read_bytes()
    text = done(protect("trace", out, "--original", build, "--secret", secret, "--recipients", recipients))
    assert "2,226 of 2,226 marks read" in text


def test_a_model_with_external_data_becomes_a_folder(protect: Run, secret: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = small_model(64_000, source, external=True)
    out = tmp_path / "out"
    done(protect("mark", path, "--recipient", "acme", "--secret", secret, "-o", out))
    assert {file.name for file in out.iterdir()} == {"model.onnx", "weights.bin", "manifest.json"}


def test_what_cannot_be_marked(protect: Run, secret: Path, tmp_path: Path) -> None:
    arguments = ("--recipient", "acme", "--secret", secret, "-o", tmp_path / "out")
    refused(protect("mark", tmp_path / "none.onnx", *arguments), "does not exist; give files and folders")
    refused(
        protect("mark", written(tmp_path, "x", "x.txt"), *arguments),
        "nothing in it can carry marks; allowed: int8",
    )
    refused(protect("mark", small_model(640, tmp_path), *arguments), "at least 1024 are needed")
    refused(protect("mark", written(tmp_path, "a = 1", "b.toml"), *arguments), "no tables [[value]]")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    refused(protect("mark", folder, *arguments), "is a link or a device")
    refused(protect("mark", VOICE, VOICE, *arguments), "another file of this copy is called")
    refused(protect("mark", VOICE, "--recipient", "a\x1b[1m", *arguments[2:]), "printable characters")
    refused(protect("mark", VOICE, *arguments[:-1], tmp_path / "no" / "out"), "does not exist")
    assert not (tmp_path / "out").exists()


LISTS = {
    "recipients = 3": "no names; allowed: recipients =",
    "recipients = []": "no names; allowed: recipients =",
    "recipients": "not a TOML file",
    'recipients = ["a", "a "]': "a recipient is named twice",
    'recipients = ["a\\nb"]': "printable characters on one line",
}


@pytest.mark.parametrize("text", LISTS)
def test_lists_that_are_refused(text: str, protect: Run, secret: Path, tmp_path: Path) -> None:
    names = written(tmp_path, text, "names.toml")
    arguments = ("--original", VOICE, "--secret", secret, "--recipients", names)
    refused(protect("trace", VOICE, *arguments), LISTS[text])


def test_lists_that_are_too_long(protect: Run, secret: Path, tmp_path: Path) -> None:
    names = written(tmp_path, f"recipients = {[str(row) for row in range(10_001)]}", "names.toml")
    arguments = ("--original", VOICE, "--secret", secret, "--recipients", names)
    refused(protect("trace", VOICE, *arguments), "10,001 names; allowed: at most 10,000")


def test_leaks_that_cannot_be_read(protect: Run, secret: Path, recipients: Path, tmp_path: Path) -> None:
    arguments = ("--original", VOICE, "--secret", secret, "--recipients", recipients)
    refused(protect("trace", written(tmp_path, "x", "x.onnx"), *arguments), "x.onnx")
    refused(protect("trace", written(tmp_path, "x", "x.csv"), *arguments), "no file that could show marks of")
    refused(protect("trace", tmp_path / "none", *arguments), "does not exist")
    other = ("--original", written(tmp_path, "x", "y.txt"), *arguments[2:])
    refused(protect("trace", VOICE, *other), "nothing in it can carry marks; give the original")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "something\n", "not a vendor secret; make one"),
        (lambda text: text[:30] + ("0" if text[30] != "0" else "1") + text[31:], "a damaged vendor secret"),
        (lambda text: text.replace("\n", "\nzz", 1), "a damaged vendor secret"),
    ],
)
def test_secrets_that_are_refused(
    change: Any, words: str, protect: Run, secret: Path, tmp_path: Path
) -> None:
    secret.write_text(change(secret.read_text()))
    refused(protect("mark", VOICE, "--recipient", "a", "--secret", secret, "-o", tmp_path / "o"), words)


def test_secrets_that_others_may_read(protect: Run, secret: Path, tmp_path: Path) -> None:
    arguments = ("mark", VOICE, "--recipient", "a", "-o", tmp_path / "o", "--secret")
    os.chmod(secret, 0o644)
    refused(protect(*arguments, secret), "others may read this secret (mode 644); run chmod 600")
    refused(protect(*arguments, tmp_path / "none"), "cannot be read: No such file")
    refused(protect(*arguments, tmp_path), "cannot be read: Is a directory")


def test_copies_on_record(protect: Run, secret: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HANOK_PASSPHRASE", "correct horse")
    done(protect("keygen", "vendor", "-o", tmp_path, "--x25519"))
    log, sign = tmp_path / "log.db", tmp_path / "vendor.key"
    done(protect("log", "create", log, "--sign", sign))
    trace = ("--original", VOICE, "--secret", secret, "--log", log)
    refused(protect("trace", VOICE, *trace), "no marked copy is on record; give --recipients")
    for name in ("acme", "beta"):
        out = tmp_path / f"{name}.onnx"
        arguments = ("--recipient", name, "--secret", secret, "-o", out, "--log", log, "--sign", sign)
        text = done(protect("mark", VOICE, *arguments))
        assert "mark, 20" in text
        assert hashlib.sha256(out.read_bytes()).hexdigest()[:16] in done(protect("log", "list", log))
    assert "copy of: acme (of 2 recipients" in done(protect("trace", tmp_path / "acme.onnx", *trace))
    refused(protect("trace", VOICE, *trace[:4]), "give --recipients or --log: who was given a copy")
    refused(protect("mark", VOICE, *arguments[:-2]), "--log and --sign go together")
