"""The transparency log: what is appended is there, typed, signed and proven."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import plain_merkle
import pytest
from log_cases import HASH, NOW, SIGNER, STRANGER, incident, make_log, mark
from sealing_cases import new_key

from hanok.errors import HanokError
from hanok.protect import log as log_module
from hanok.protect.keys import chosen_algorithms, make_key
from hanok.protect.log import TransparencyLog
from hanok.protect.log_entries import KINDS, LogError, encode_entry, field_of
from hanok.protect.log_proofs import prove_consistency, prove_inclusion, read_proof
from hanok.protect.log_verify import export_log, verify_file
from hanok.protect.statements import make_statement, read_statement

GOOD: dict[str, dict[str, Any]] = {
    "delivery": {
        "bytes": 1, "delivery": HASH, "destination": "KR", "expires": "", "files": 1, "licence": "L",
        "recipients": [HASH],
    },
    "receipt": {"delivery": HASH, "recipient": HASH},
    "return": {"delivery": HASH, "recipient": HASH},
    "deletion": {"delivery": HASH, "recipient": HASH, "note": "\u001b[31mshredded\n"},
    "mark": {"commitment": HASH, "recipient": "acme", "sha256": HASH, "marks": 1536, "is_new": True},
    "incident": {"summary": 'a "kind":"mark" was found'},
}  # fmt: skip


def test_entries_come_back(tmp_path: Path) -> None:
    assert GOOD.keys() == KINDS.keys()
    with TransparencyLog.create(tmp_path / "log.db", SIGNER, NOW) as log:
        for number, (kind, fields) in enumerate(GOOD.items()):
            entry = log.append(kind, fields, NOW)
            assert (entry.position, entry.kind, entry.at, entry.fields) == (
                number,
                kind,
                "2027-01-01T00:00:00Z",
                fields,
            )
    with TransparencyLog.open(tmp_path / "log.db") as log:
        assert [entry.kind for entry in log.entries()] == list(GOOD)
        for kind, fields in GOOD.items():
            assert [entry.fields for entry in log.entries(kind)] == [fields]
        assert list(log.entries("rumour")) == []
    assert verify_file(tmp_path / "log.db", SIGNER.public).kinds == dict.fromkeys(GOOD, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]


def test_the_tree_is_that_of_the_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BATCH", 100)
    with TransparencyLog.create(tmp_path / "log.db", SIGNER, NOW) as log:
        assert log.append_many((mark(number) for number in range(530)), NOW) == 530
        assert log.append_many([], NOW) == 530
        data = [
            encode_entry(*mark(number)[:1], "2027-01-01T00:00:00Z", mark(number)[1]) for number in range(530)
        ]
        assert [log.entry_bytes(number) for number in range(530)] == data
        assert log.head.head.root == plain_merkle.root(data)
        for position in (0, 255, 256, 529):
            proof = prove_inclusion(log, position)
            assert list(proof.path) == plain_merkle.path(position, data)
        sizes = [head.head.size for head in log._store.heads()]
    assert sizes == [0, 100, 200, 300, 400, 500, 530]


def test_times_do_not_go_back(tmp_path: Path) -> None:
    with TransparencyLog.create(tmp_path / "log.db", SIGNER, NOW) as log:
        log.append(*mark(0), NOW + timedelta(days=1))
        log.append(*mark(1), NOW)
        assert log.head.head.time == "2027-01-02T00:00:00Z"
    verify_file(tmp_path / "log.db", SIGNER.public)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("rumour", {}, "entry of kind 'rumour': allowed are delivery, receipt"),
        ("incident", {}, "incident entry: field 'summary' is missing; it is a text"),
        ("incident", {"summary": 1}, "field 'summary' is wrong; it is a text"),
        (
            "receipt",
            {"delivery": HASH.upper(), "recipient": HASH},
            "'delivery' is wrong; it is 64 hexadecimal",
        ),
        ("delivery", GOOD["delivery"] | {"files": -1}, "'files' is wrong; it is a whole number, 0 or more"),
        ("delivery", GOOD["delivery"] | {"files": True}, "'files' is wrong"),
        ("delivery", GOOD["delivery"] | {"recipients": HASH}, "'recipients' is wrong; it is a list of 64"),
        ("incident", {"summary": "", "at": "now"}, "field 'at': take a name of small letters"),
        ("incident", {"summary": "", "kind": "mark"}, "field 'kind': take a name"),
        ("incident", {"summary": "", "A": "x"}, "field 'A': take a name"),
        ("incident", {"summary": "", 1: "x"}, "field 1: take a name"),
        ("incident", {"summary": "", "x": 1.5}, "field 'x' is no text, whole number within 2"),
        ("incident", {"summary": "", "x": 2**60}, "field 'x' is no text, whole number within 2"),
        ("incident", {"summary": "", "x": [1]}, "field 'x' is no text"),
        ("incident", {"summary": "", "x": None}, "field 'x' is no text"),
        ("incident", {"summary": "\ud800"}, "half of a surrogate pair"),
        ("incident", {"summary": "x" * 300_000}, "takes 300,0.. bytes, more than 262,144; log a hash of it"),
    ],
)
def test_entries_that_are_refused(tmp_path: Path, kind: str, fields: Any, words: str) -> None:
    make_log(tmp_path / "log.db", (2,))
    with TransparencyLog.open(tmp_path / "log.db", SIGNER) as log:
        with pytest.raises(HanokError, match=words):
            log.append_many([mark(7), (kind, fields)])
        assert log.head.head.size == 2, "a batch is appended whole or not at all"


def test_fields_of_the_command_line() -> None:
    assert field_of("delivery", "files=12") == ("files", 12)
    assert field_of("mark", "recipient=12") == ("recipient", "12")
    assert field_of("delivery", "recipients=a,b") == ("recipients", ["a", "b"])
    assert field_of("incident", "summary=a=b") == ("summary", "a=b")
    assert field_of("delivery", "files=-1") == ("files", "-1")
    for text in ("summary", "=x"):
        with pytest.raises(LogError, match="write NAME=VALUE"):
            field_of("incident", text)


def test_who_may_append(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log.db")
    with pytest.raises(LogError, match=r"the head at 304 entries is not signed by 'stranger'"):
        TransparencyLog.open(path, STRANGER)
    with (
        TransparencyLog.open(path) as log,
        pytest.raises(LogError, match="was opened for reading; give the key"),
    ):
        log.append(*mark(0))
    receives = make_key("receives", chosen_algorithms(False, True, False, False))
    for call in (TransparencyLog.open, TransparencyLog.create):
        with pytest.raises(HanokError, match="key 'receives' only receives"):
            call(path, receives)
    with pytest.raises(LogError, match=r"log.db: cannot be made: File exists"):
        TransparencyLog.create(path, SIGNER)
    unsigned = new_key("unsigned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module.LogStore, "add", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            TransparencyLog.create(tmp_path / "half.db", unsigned)
    assert [each.name for each in tmp_path.iterdir()] == ["log.db"], "a log is made whole or not at all"
    with pytest.raises(LogError, match="its folder does not exist"):
        TransparencyLog.create(tmp_path / "none" / "log.db", SIGNER)
    with pytest.raises(LogError, match=r"no.db: is no log; `hanok protect log create` makes one"):
        TransparencyLog.open(tmp_path / "no.db", SIGNER)
    with TransparencyLog.open(path) as log:
        for position in (-1, 304):
            with pytest.raises(LogError, match=f"has no entry {position}; its 304 entries count from 0"):
                prove_inclusion(log, position)


def test_a_slow_reader_keeps_nobody_from_appending(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log.db", (1200,))
    with TransparencyLog.open(path) as reader, TransparencyLog.open(path, SIGNER) as log:
        entries = reader.entries("mark")
        first = next(entries)
        log.append(*mark(7))
        found = [first, *entries]
    assert [entry.position for entry in found] == list(range(1201))


def test_a_program_that_is_killed(tmp_path: Path) -> None:
    """Whatever it was doing, what is in the file is whole and signed."""
    import subprocess
    import sys

    path = make_log(tmp_path / "log.db", ())
    code = (
        "import sys\nfrom hanok.protect.log import TransparencyLog\n"
        "from hanok.protect.keys import private_key\n"
        "secrets = [bytes.fromhex(each) for each in sys.argv[2:]]\n"
        "log = TransparencyLog.open(sys.argv[1], private_key('vendor', ['ed25519', 'x25519'], secrets))\n"
        "while True: print(log.append_many([('incident', {'summary': 'x'})] * 50), flush=True)"
    )
    secrets = [secret.hex() for secret in SIGNER.secrets]
    told = 0
    for lines in (1, 3, 8):
        command = [sys.executable, "-c", code, str(path), *secrets]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(lines):
                told = int(process.stdout.readline())
            process.kill()
        assert verify_file(path, SIGNER.public).newest.head.size >= told, (
            "what was said to be durable is there"
        )


def test_what_a_killed_program_left_half_done_is_taken_back(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = make_log(tmp_path / "log.db")
    right = verify_file(path, SIGNER.public)
    code = (
        "import os, sqlite3, sys\nlog = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "log.execute('PRAGMA cache_size = 1')\nlog.execute('BEGIN IMMEDIATE')\n"
        "log.execute('DELETE FROM tiles')\n"
        "log.executemany('INSERT INTO entries VALUES(?, zeroblob(5000))', ((n,) for n in range(304, 900)))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert (tmp_path / "log.db-journal").stat().st_size > 0
    assert verify_file(path, SIGNER.public) == right
    with (
        TransparencyLog.open(path) as log,
        pytest.raises(LogError, match="readonly database"),
        log._store.transaction(),
    ):
        log._store.connection.execute("DELETE FROM tiles")


def test_two_programs_append_at_once(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log.db", ())
    errors: list[BaseException] = []

    def run(start: int) -> None:
        try:
            with TransparencyLog.open(path, SIGNER) as log:
                for number in range(20):
                    log.append(*mark(start + number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(start,)) for start in (0, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert verify_file(path, SIGNER.public).kinds == {"mark": 40}


def test_a_log_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hanok.protect import _log_store

    monkeypatch.setattr(_log_store, "_SECONDS_TO_WAIT", 0.05)
    path = make_log(tmp_path / "log.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogError, match="database is locked; another program may be using it"):
        TransparencyLog.open(path, SIGNER)
    other.close()


def test_proofs_hold_without_the_log(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log.db", (3,))
    with TransparencyLog.open(path, SIGNER) as log:
        seen = log.head
        log.append_many([mark(number) for number in range(500)], NOW)
        inclusion, consistency = prove_inclusion(log, 2), prove_consistency(log, seen)
    path.unlink()
    for name, proof in (("i", inclusion), ("c", consistency)):
        (tmp_path / name).write_bytes(proof.data)
        assert read_proof(tmp_path / name) == proof
    found = verify_file(tmp_path / "i", SIGNER.public)
    assert found.entry is not None
    assert (found.what, found.entry.fields) == ("inclusion proof", mark(2)[1])
    with pytest.raises(
        LogError, match="is of 503 entries, and 3 were seen; verify a proof of `hanok protect log"
    ):
        verify_file(tmp_path / "i", SIGNER.public, seen)
    assert verify_file(tmp_path / "c", SIGNER.public).what == "consistency proof"
    newest = verify_file(tmp_path / "c", SIGNER.public, seen).newest
    assert verify_file(tmp_path / "i", SIGNER.public, newest).newest == newest


def test_an_export_is_the_log(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log.db")
    assert export_log(path, tmp_path / "log.jsonl") == 304
    found = verify_file(tmp_path / "log.jsonl", SIGNER.public)
    assert found.what == "export"
    assert (found.newest, found.kinds) == (verify_file(path, SIGNER.public).newest, {"mark": 304})
    with pytest.raises(LogError, match="cannot be written: "):
        export_log(path, tmp_path)


def test_a_head_may_be_signed_by_two_algorithms(tmp_path: Path) -> None:
    signer = new_key("both", ml_dsa=True)
    with TransparencyLog.create(tmp_path / "log.db", signer) as log:
        log.append(*incident("leak"))
    assert verify_file(tmp_path / "log.db", signer.public).kinds == {"incident": 1}


def test_statements(tmp_path: Path) -> None:
    statement = make_statement("deletion", HASH, "shredded\ntwice", STRANGER, NOW)
    path = tmp_path / "statement"
    path.write_bytes(statement.data)
    found = read_statement(path)
    assert found == statement
    found.check(STRANGER.public, "x")
    with pytest.raises(LogError, match=r"is a statement of .*, not of 'vendor'"):
        found.check(SIGNER.public, "x")
    with TransparencyLog.create(tmp_path / "log.db", SIGNER) as log:
        assert log.append(found.kind, found.fields).fields["note"] == "shredded\ntwice"
    text = statement.data.decode()
    path.write_text(text.replace("twice", "thrice"))
    with pytest.raises(LogError, match="the signature of 'stranger' is wrong; it was altered"):
        read_statement(path).check(STRANGER.public, "x")
    for old, new, words in (
        ('"deletion"', '"delusion"', "is no statement of `hanok protect acknowledge`"),
        (HASH, HASH[1:], "delivery or recipient is no hash"),
        ("2027-", "20x7-", "is not of the form"),
        ("twice", "\\u001btwice", "without control characters"),
        ('"signature":"', '"signature":"!', "a signature is no base64"),
        ('"note"', '"nose"', "'nose' is unknown|'note' is missing"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(HanokError, match=words):
            read_statement(path)
    for delivery, note, words in (
        ("x", "", "give a bundle, or the 64 digits"),
        (HASH, "\x07", "the note: write up"),
    ):
        with pytest.raises(HanokError, match=words):
            make_statement("receipt", delivery, note, STRANGER, NOW)
