"""`hanok protect` keygen, recipients, seal, open and inspect: what they print, and what they refuse."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

LICENCE = """
title = "Evaluation licence 17"
licensor = "Hanok"
licensee = "Acme Devices"
destination = "KR"
uses = ["simulate"]
terms = "No copies."
expires = 2999-06-30
"""


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANOK_PASSPHRASE", "correct horse")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, hanok_command: Run) -> Path:
    folder = tmp_path_factory.mktemp("sealing")
    os.environ["HANOK_PASSPHRASE"] = "correct horse"
    for name in ("vendor", "acme"):
        result = hanok_command("protect", "keygen", name, "-o", folder, "--x25519")
        assert result.exit_code == 0, result.output
        assert f"{name}: signs with ed25519, receives with x25519" in result.stdout
    del os.environ["HANOK_PASSPHRASE"]
    (folder / "build").mkdir()
    (folder / "build" / "core.v").write_text("module core; endmodule\n")
    (folder / "licence.toml").write_text(LICENCE)
    return folder


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr
    assert "Traceback" not in result.output


def seal(hanok_command: Run, place: Path, output: Path, **changed: Path) -> Any:
    given = {
        "to": place / "acme.pub",
        "licence": place / "licence.toml",
        "sign": place / "vendor.key",
        **changed,
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return hanok_command("protect", "seal", place / "build", *options, "-o", output)


def test_a_delivery(hanok_command: Run, place: Path, tmp_path: Path) -> None:
    bundle, out = tmp_path / "delivery.hnk", tmp_path / "out"
    result = seal(hanok_command, place, bundle)
    assert result.exit_code == 0, result.output
    assert "1 files, 23 bytes, for acme" in result.stdout
    delivery = next(line for line in result.stdout.splitlines() if "delivery " in line and "hnk" not in line)
    keys = ("--key", place / "acme.key", "--from", place / "vendor.pub")
    result = hanok_command("protect", "open", bundle, *keys, "-o", out)
    assert result.exit_code == 0, result.output
    assert delivery in result.stdout
    assert "licence  Evaluation licence 17: Hanok to Acme Devices, KR" in result.stdout
    assert (out / "build" / "core.v").read_text() == "module core; endmodule\n"
    refused(hanok_command("protect", "open", bundle, *keys, "-o", out), "is not empty")
    result = hanok_command("protect", "inspect", bundle)
    assert "nothing of this is proven" in result.stdout
    assert "core.v" not in result.stdout
    result = hanok_command("protect", "inspect", bundle, *keys)
    assert "signed by 'vendor'" in result.stdout
    assert "23  build/core.v" in result.stdout
    assert "| No copies." in result.stdout
    refused(hanok_command("protect", "inspect", bundle, *keys[:2]), "--key and --from belong together")


def test_recipients(hanok_command: Run, place: Path, tmp_path: Path) -> None:
    result = hanok_command("protect", "recipients", place)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("fingerprint ") == 2
    refused(hanok_command("protect", "recipients", tmp_path), "holds no public key file (*.pub)")
    refused(hanok_command("protect", "recipients", place / "acme.key"), "is a private key, and a public key")


def test_nothing_is_left_of_what_is_refused(hanok_command: Run, place: Path, tmp_path: Path) -> None:
    output = tmp_path / "d.hnk"
    refused(seal(hanok_command, place, output, to=place / "acme.key"), "is a private key, and a public key")
    refused(seal(hanok_command, place, output, sign=place / "acme.pub"), "is a public key, and a private key")
    refused(seal(hanok_command, place, output, licence=place / "acme.pub"), "is no TOML")
    (place / "build" / "link").symlink_to("core.v")
    refused(seal(hanok_command, place, output), "link: is a link")
    (place / "build" / "link").unlink()
    refused(seal(hanok_command, place, tmp_path / "none" / "d.hnk"), "does not exist")
    assert list(tmp_path.iterdir()) == []


def test_passphrases(
    hanok_command: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "d.hnk"
    monkeypatch.setenv("HANOK_PASSPHRASE", "wrong horse")
    refused(seal(hanok_command, place, output), "vendor.key: the passphrase is another one")
    monkeypatch.delenv("HANOK_PASSPHRASE")
    refused(seal(hanok_command, place, output), "set HANOK_PASSPHRASE, or give --passphrase-fd N")
    refused(hanok_command("protect", "keygen", "a b"), "write 1 to 64 letters")
    refused(
        hanok_command("protect", "keygen", "x", "--passphrase-fd", 999), "--passphrase-fd 999: cannot be read"
    )
    answers = iter(["correct horse", "wrong horse", "correct horse", "correct horse", "short", "short"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    terminal = type("Terminal", (), {"isatty": lambda _: True})
    monkeypatch.setattr("hanok.cli.passphrase.sys", type("Sys", (), {"stdin": terminal()}))
    made = ("protect", "keygen", "new", "-o", tmp_path)
    refused(hanok_command(*made), "the two passphrases differ")
    assert hanok_command(*made).exit_code == 0
    refused(hanok_command(*made[:2], "newer", *made[3:]), "the passphrase has 5 characters")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.key", "new.pub"]
    assert sys.stdin is not terminal


def test_a_passphrase_from_a_descriptor(hanok_command: Run, place: Path, tmp_path: Path) -> None:
    for text, code in ((b"correct horse\nmore", 0), (b"other horse\n", 2), (b"x" * 5000, 2)):
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        files = (place / "build", "--to", place / "acme.pub", "--licence", place / "licence.toml")
        result = hanok_command(
            "protect", "seal", *files, "--sign", place / "vendor.key", "-o", tmp_path / "d.hnk",
            "--passphrase-fd", reading,
        )  # fmt: skip
        os.close(reading)
        assert result.exit_code == code, result.output
