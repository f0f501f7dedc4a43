"""`hanok protect log` and `acknowledge`: a delivery from its seal to a proof of its receipt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

LICENCE = 'title = "E"\nlicensor = "Hanok"\nlicensee = "Acme"\ndestination = "KR"\n'
HASH = "ab" * 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, hanok_command: Run) -> Any:
    folder = tmp_path_factory.mktemp("log")
    os.environ["HANOK_PASSPHRASE"] = "correct horse"
    for name in ("vendor", "acme"):
        assert hanok_command("protect", "keygen", name, "-o", folder, "--x25519").exit_code == 0
    (folder / "core.v").write_text("module core; endmodule\n")
    (folder / "licence.toml").write_text(LICENCE)
    yield folder
    del os.environ["HANOK_PASSPHRASE"]


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def log(hanok_command: Run, place: Path, tmp_path: Path) -> Any:
    """Runs a command of the log and returns what it printed."""

    def run(*arguments: Any) -> str:
        result = hanok_command("protect", *arguments)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    run("log", "create", tmp_path / "log.db", "--sign", place / "vendor.key")
    return run


def seal_arguments(place: Path, output: Path, log: Path) -> tuple[Any, ...]:
    return (
        *("protect", "seal", place / "core.v", "--to", place / "acme.pub", "-o", output, "--log", log),
        *("--licence", place / "licence.toml", "--sign", place / "vendor.key"),
    )


def test_a_delivery_and_its_receipt(hanok_command: Run, log: Any, place: Path, tmp_path: Path) -> None:
    database, sign, sender = (
        tmp_path / "log.db",
        ("--sign", place / "vendor.key"),
        ("--from", place / "vendor.pub"),
    )
    witness, start = tmp_path / "seen.head", tmp_path / "start.head"
    log("log", "head", database, "-o", start)
    result = hanok_command(*seal_arguments(place, tmp_path / "d.hnk", database), "--witness", witness)
    assert "recorded as entry 0 of" in result.stdout
    stated = log(
        "acknowledge", "receipt", tmp_path / "d.hnk", "--key", place / "acme.key", "-o", tmp_path / "r"
    )
    assert "signed by 'acme'" in stated
    mine = ("--statement", tmp_path / "r", "--from", place / "acme.pub")
    assert "entry 1: receipt" in log("log", "append", database, *mine, *sign, "--witness", witness)
    fields = ("--field", "recipient=acme", "--field", f"commitment={HASH}", "--field", f"sha256={HASH}")
    log("log", "append", database, "--kind", "mark", *fields, *sign, "--witness", witness)
    listed = log("log", "list", database)
    assert [line.split()[2] for line in listed.splitlines()] == ["delivery", "receipt", "mark"]
    assert len(log("log", "list", database, "--kind", "mark").splitlines()) == 1
    verified = log("log", "verify", database, *sender, "--witness", witness)
    assert "log.db: log, as it was signed" in verified
    assert "1 receipt" in verified
    log("log", "prove", database, "--entry", 1, "-o", tmp_path / "proof")
    log("log", "prove", database, "--since", start, "-o", tmp_path / "since")
    log("log", "export", database, "-o", tmp_path / "export")
    database.unlink()
    assert "consistency proof" in log("log", "verify", tmp_path / "since", *sender, "--witness", start)
    proven = log("log", "verify", tmp_path / "proof", *sender, "--witness", start)
    assert "inclusion proof, as it was signed" in proven
    assert "receipt   delivery" in proven
    assert "export, as it was signed" in log(
        "log", "verify", tmp_path / "export", *sender, "--witness", witness
    )
    assert witness.read_bytes() == start.read_bytes()


def test_what_is_refused(hanok_command: Run, log: Any, place: Path, tmp_path: Path) -> None:
    database, sign, sender = (
        tmp_path / "log.db",
        ("--sign", place / "vendor.key"),
        ("--from", place / "vendor.pub"),
    )

    def asked(*arguments: Any) -> Any:
        return hanok_command("protect", *arguments)

    older = database.read_bytes()
    incident = ("--kind", "incident", "--field", "summary=leak")
    log("log", "append", database, *incident, *sign, "--witness", tmp_path / "seen")
    refused(asked("log", "create", database, *sign), "cannot be made: File exists")
    refused(
        asked("log", "append", database, *sign), "give --kind with its --field, or --statement with --from"
    )
    refused(asked("log", "append", database, *incident, *sign, *sender), "give --kind with its --field")
    refused(asked("log", "append", database, "--kind", "incident", *sign), "field 'summary' is missing")
    refused(
        asked("log", "append", database, *incident, "--sign", place / "acme.key"), "is not signed by 'acme'"
    )
    refused(asked("log", "prove", database, "-o", tmp_path / "p"), "give --entry N or --since FILE")
    refused(
        asked("log", "prove", database, "--entry", 1, "-o", tmp_path / "p"), "has no entry 1; its 1 entries"
    )
    refused(asked("log", "export", tmp_path / "none", "-o", tmp_path / "p"), "none: is no log")
    refused(asked("log", "verify", database, "--from", place / "acme.pub"), "is not signed by 'acme'")
    refused(
        asked("acknowledge", "return", "x", "--key", place / "acme.key", "-o", tmp_path / "p"),
        "give a bundle",
    )
    refused(hanok_command(*seal_arguments(place, tmp_path / "d.hnk", tmp_path / "none")), "none: is no log")
    database.write_bytes(older)
    seen = ("--witness", tmp_path / "seen")
    refused(asked("log", "verify", database, *sender, *seen), "was rolled back: 0 entries, and 1 were seen")
    refused(asked("log", "append", database, *incident, *sign, *seen), "was rolled back")
    refused(hanok_command(*seal_arguments(place, tmp_path / "d.hnk", database), *seen), "was rolled back")
    unlogged = seal_arguments(place, tmp_path / "d.hnk", database)
    refused(hanok_command(*unlogged[:-6], *unlogged[-4:], *seen), "--witness is of a log; give --log too")
    database.write_bytes(older[:-5000])
    refused(asked("log", "list", database), "log.db")
    refused(hanok_command(*seal_arguments(place, tmp_path / "d.hnk", database)), "log.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.db", "seen"], "nothing is left behind"
