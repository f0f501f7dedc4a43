"""`hanok rules leak` with a transparency log: what it adds, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

FACTS = '[institution]\nname = "Vendor"\n'
HASH = "ab" * 32


@pytest.fixture
def place(hanok_command: Run, tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setenv("HANOK_PASSPHRASE", "correct horse")
    (tmp_path / "leak.toml").write_text(FACTS)
    for name in ("vendor", "acme", "beta"):
        done(hanok_command("protect", "keygen", name, "-o", tmp_path, "--x25519"))
    signs = ("--sign", tmp_path / "vendor.key")
    done(hanok_command("protect", "log", "create", tmp_path / "log.db", *signs))
    marks = [{"recipient": name, "commitment": HASH, "sha256": HASH} for name in ("acme", "beta")]
    for kind, fields in (
        ("mark", marks[0]),
        ("mark", marks[1]),
        ("incident", {"summary": "a copy turned up"}),
    ):
        given = [part for name, value in fields.items() for part in ("--field", f"{name}={value}")]
        done(hanok_command("protect", "log", "append", tmp_path / "log.db", "--kind", kind, *given, *signs))
    return tmp_path


def done(result: Any) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.stdout)


def leak(hanok_command: Run, place: Path, *options: Any) -> Any:
    return hanok_command("rules", "leak", place / "leak.toml", "-l", "en", *options)


def test_entries_of_a_recipient_are_events(hanok_command: Run, place: Path) -> None:
    log = ("--log", place / "log.db", "--from", place / "vendor.pub", "--of", place / "acme.pub")
    said = done(leak(hanok_command, place, *log))
    assert "mark: " in said
    assert "recipient acme" in said
    assert "beta" not in said
    assert "incident: summary a copy turned up" in said
    assert "entry 0, leaf " in said
    assert "tree of 3 entries, root " in said
    assert "mark: " not in done(leak(hanok_command, place))


@pytest.mark.parametrize("missing", ["--log", "--from", "--of"])
def test_options_that_go_together(hanok_command: Run, place: Path, missing: str) -> None:
    given = {"--log": "log.db", "--from": "vendor.pub", "--of": "acme.pub"}
    options = [part for name, file in given.items() if name != missing for part in (name, place / file)]
    result = leak(hanok_command, place, *options)
    assert result.exit_code == 2
    assert "--log, --from and --of go together" in result.stderr


def test_a_log_of_somebody_else(hanok_command: Run, place: Path) -> None:
    log = ("--log", place / "log.db", "--from", place / "beta.pub", "--of", place / "acme.pub")
    result = leak(hanok_command, place, *log)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stdout == ""
