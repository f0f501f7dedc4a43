"""Logs that were altered, cut, rolled back, forked, damaged, or made by someone else: all are told apart."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from log_cases import NOW, SIGNER, STRANGER, make_log, mark

from hanok.errors import HanokError
from hanok.protect.canonical import encode
from hanok.protect.log import TransparencyLog
from hanok.protect.log_entries import LogError
from hanok.protect.log_heads import SignedHead, read_head, sign_head
from hanok.protect.log_proofs import prove_consistency, prove_inclusion, read_proof
from hanok.protect.log_verify import export_log, verify_file


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_log(tmp_path_factory.mktemp("log") / "log.db")


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "log.db"))


def run(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def head_of(path: Path) -> SignedHead:
    with TransparencyLog.open(path) as log:
        return log.head


ENTRY = "SELECT data FROM entries WHERE position = 2"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            f"UPDATE entries SET data = ({ENTRY}) WHERE position = 1",
            "the first 3 entries do not lead to the head",
        ),
        ("UPDATE entries SET data = CAST('x' AS BLOB) WHERE position = 1", "entry 1: is no JSON"),
        ("UPDATE entries SET data = CAST('{}' AS BLOB) WHERE position = 1", "entry 1: is no entry"),
        (
            'UPDATE entries SET data = CAST(\'{"kind":"mark"}\' AS BLOB) WHERE position = 1',
            "entry 1: has no time",
        ),
        (
            'UPDATE entries SET data = CAST(\'{"at":"2027-01-01T00:00:00Z","kind":"mark"}\' AS BLOB)',
            "entry 0: mark entry: field 'commitment' is missing",
        ),
        ("UPDATE entries SET data = 'text' WHERE position = 1", "entry 1 is no bytes"),
        ("DELETE FROM entries WHERE position = 1", "entry 1 is missing"),
        ("DELETE FROM entries WHERE position = 303", "has 303 entries, and a head signed for 304"),
        ("UPDATE entries SET position = 400 WHERE position = 303", "entry 303 is missing"),
        (f"INSERT INTO entries VALUES(304, ({ENTRY}))", "ends without a signed head; it was cut or altered"),
        ("DELETE FROM heads WHERE size = 304", "ends without a signed head"),
        ("DELETE FROM heads", "has no signed head|ends without a signed head"),
        ("UPDATE heads SET size = 5 WHERE size = 4", "head 5: says 4; the log is damaged"),
        ("UPDATE heads SET data = CAST('{}' AS BLOB) WHERE size = 4", "signed head: '.*' is missing"),
        (
            "UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND number = 0",
            "the hashes kept for proofs",
        ),
        ("DELETE FROM tiles WHERE level = 1", "the hashes kept for proofs"),
        ("INSERT INTO tiles VALUES(0, 9, zeroblob(32))", "keeps hashes of no entry"),
        ("INSERT INTO entries VALUES(-9223372036854775808, zeroblob(1))", "entry 0 is missing"),
        ("CREATE TABLE more(x)", "has other tables than a log"),
        (
            "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
            "has other tables than a log",
        ),
        ("PRAGMA user_version = 2", "is a log of version 2; this hanok reads version 1"),
        ("PRAGMA application_id = 7", "is a database of something else"),
    ],
)
def test_rows_that_were_altered(path: Path, statement: str, words: str) -> None:
    run(path, statement)
    with pytest.raises(HanokError, match=words):
        verify_file(path, SIGNER.public)


def test_hashes_that_were_altered_are_not_built_on(path: Path) -> None:
    run(path, "UPDATE tiles SET hashes = zeroblob(1536) WHERE level = 0 AND number = 1")
    with TransparencyLog.open(path, SIGNER) as log:
        with pytest.raises(
            LogError, match="its hashes do not lead to its last head; verify it, and restore it"
        ):
            log.append(*mark(1))
        with pytest.raises(LogError, match="is not under the signed head"):
            prove_inclusion(log, 300).check(SIGNER.public, "x")
        with pytest.raises(LogError, match="was forked"):
            prove_consistency(log, log.head)
    run(path, "DELETE FROM tiles WHERE level = 0")
    with TransparencyLog.open(path) as log, pytest.raises(LogError, match="hashes of its tree are missing"):
        prove_inclusion(log, 300)


def test_a_stranger_signs(path: Path) -> None:
    with pytest.raises(LogError, match=r"the head at 0 entries is not signed by 'stranger' \(\w{16}\)"):
        verify_file(path, STRANGER.public)
    head = head_of(path).head
    data = sign_head(head, STRANGER).data.decode()
    run(path, f"UPDATE heads SET data = CAST('{data}' AS BLOB) WHERE size = 304")
    with pytest.raises(LogError, match="the head at 304 entries is not signed by 'vendor'"):
        verify_file(path, SIGNER.public)


def test_a_rolled_back_log(path: Path, tmp_path: Path) -> None:
    """Everything in the older copy is right and signed; only a head that was seen shows it."""
    older = Path(shutil.copy(path, tmp_path / "older.db"))
    with TransparencyLog.open(path, SIGNER) as log:
        log.append(*mark(0))
        seen = log.head
        newer = prove_consistency(log, seen)
    verify_file(older, SIGNER.public)
    with pytest.raises(LogError, match=r"older.db: was rolled back: 304 entries, and 305 were seen on"):
        verify_file(older, SIGNER.public, seen)
    with TransparencyLog.open(older) as log, pytest.raises(LogError, match="was rolled back"):
        prove_consistency(log, seen)
    with TransparencyLog.open(older) as log:
        (tmp_path / "proof").write_bytes(prove_inclusion(log, 1).data)
    with pytest.raises(LogError, match="was rolled back"):
        verify_file(tmp_path / "proof", SIGNER.public, seen)
    (tmp_path / "proof").write_bytes(newer.data)
    verify_file(tmp_path / "proof", SIGNER.public, seen)


def test_a_forked_log(path: Path, tmp_path: Path) -> None:
    """The signer itself tells two people two stories: each is right, and one head from either shows it."""
    other = Path(shutil.copy(path, tmp_path / "other.db"))
    heads = []
    for place, number, extra in ((path, 1, 1), (other, 2, 2)):
        with TransparencyLog.open(place, SIGNER) as log:
            log.append(*mark(number), NOW)
            heads.append(log.head)
            log.append_many([mark(0)] * extra, NOW)
    verify_file(other, SIGNER.public, heads[1])
    with pytest.raises(LogError, match=r"other.db: was forked: its first 305 entries are not those seen"):
        verify_file(other, SIGNER.public, heads[0])
    export_log(other, tmp_path / "export")
    with pytest.raises(LogError, match="export: was forked"):
        verify_file(tmp_path / "export", SIGNER.public, heads[0])
    with TransparencyLog.open(other) as log:
        with pytest.raises(LogError, match="was forked"):
            prove_consistency(log, heads[0])
        proof, inclusion = prove_consistency(log, heads[1]), prove_inclusion(log, 0)
    (tmp_path / "proof").write_bytes(proof.data)
    with pytest.raises(LogError, match="proof: was forked"):
        verify_file(tmp_path / "proof", SIGNER.public, heads[0])
    (tmp_path / "proof").write_bytes(inclusion.data)
    same_size = sign_head(type(heads[0].head)(heads[0].head.log, 307, bytes(32), heads[0].head.time), SIGNER)
    with pytest.raises(LogError, match="proof: was forked"):
        verify_file(tmp_path / "proof", SIGNER.public, same_size)


def test_another_log(path: Path, tmp_path: Path) -> None:
    other = make_log(tmp_path / "other.db", (400,))
    with pytest.raises(LogError, match=r"other.db: is another log \(\w{16}\) than the one seen"):
        verify_file(other, SIGNER.public, head_of(path))
    with pytest.raises(LogError, match="the head seen before: the head at 304 entries is not signed by"):
        verify_file(path, SIGNER.public, sign_head(head_of(path).head, STRANGER))
    data = head_of(make_log(tmp_path / "third.db", ())).data.decode()
    run(path, f"UPDATE heads SET data = CAST('{data}' AS BLOB) WHERE size = 0")
    with pytest.raises(LogError, match="holds heads of two logs"):
        verify_file(path, SIGNER.public)


def test_a_head_from_the_past(path: Path) -> None:
    head = head_of(path).head
    old = sign_head(type(head)(head.log, head.size, head.root, "2020-01-01T00:00:00Z"), SIGNER).data.decode()
    run(path, f"UPDATE heads SET data = CAST('{old}' AS BLOB) WHERE size = 304")
    with pytest.raises(LogError, match="the head at 304 entries is older than one before it"):
        verify_file(path, SIGNER.public)


def bent_proofs(tmp_path: Path, text: str, changes: tuple[tuple[str, str, str], ...]) -> None:
    place = tmp_path / "bent"
    for old, new, words in changes:
        assert old in text
        place.write_text(text.replace(old, new, 1))
        with pytest.raises(HanokError, match=words):
            verify_file(place, SIGNER.public)


def test_proofs_that_were_altered(path: Path, tmp_path: Path) -> None:
    with TransparencyLog.open(path, SIGNER) as log:
        seen = log.head
        log.append(*mark(5), NOW)
        inclusion, consistency = prove_inclusion(log, 3), prove_consistency(log, seen)
    node = inclusion.path[0].hex()
    bent_proofs(
        tmp_path,
        inclusion.data.decode(),
        (
            ("firm-3", "firm-4", "entry 3 is not under the signed head; it was altered"),
            (node, "0" * 64, "is not under the signed head"),
            (f'"{node}",', "", "is not under the signed head"),
            ('"position":3', '"position":2', "is not under the signed head"),
            ('"position":3', '"position":-3', "the position is no whole number"),
            (node, node[1:], "the path is no list of up to 106 hashes"),
            ('"size":305', '"size":306', "the head at 306 entries is not signed by 'vendor'"),
            ('"size":305', '"size":"305"', "a field of the head is of the wrong kind"),
            ('"log":"', '"log":"x', "a field of the head is of the wrong kind"),
            ("2027-01", "2027-13", "is not of the form"),
            ('"signature":"', '"signature":"!', "a signature is no base64"),
            ("inclusion proof 1", "inclusion proof 2", "is no proof of `hanok protect log prove`"),
            ('"path"', '"psth"', "'psth' is unknown|'path' is missing|canonical form"),
        ),
    )
    node = consistency.path[0].hex()
    bent_proofs(
        tmp_path,
        consistency.data.decode(),
        ((node, "0" * 64, "was forked"), (f'"{node}",', "", "was forked")),
    )
    swapped = encode(
        {
            "first": consistency.second.fields,
            "format": "hanok consistency proof 1",
            "path": [],
            "second": consistency.first.fields,
        }
    )
    bent_proofs(tmp_path, swapped.decode(), (("hanok", "hanok", "was rolled back"),))
    with TransparencyLog.open(path) as log:
        (tmp_path / "bent").write_bytes(prove_consistency(log, make_seen(path, 4)).data)
    with pytest.raises(
        LogError, match="begins at 4 entries, and 304 were seen; ask for a proof since the head"
    ):
        verify_file(tmp_path / "bent", SIGNER.public, seen)


def make_seen(path: Path, size: int) -> SignedHead:
    with TransparencyLog.open(path) as log:
        return next(head for head in log._store.heads() if head.head.size == size)


def test_bytes_of_a_proof_count(path: Path, tmp_path: Path) -> None:
    with TransparencyLog.open(path) as log:
        data = prove_inclusion(log, 3).data
    for place in range(0, len(data) - 1, 5):
        bent = bytearray(data)
        bent[place] ^= 1
        (tmp_path / "bent").write_bytes(bent)
        with pytest.raises(HanokError):
            verify_file(tmp_path / "bent", SIGNER.public)


def change_export(
    tmp_path: Path, path: Path, change: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    export_log(path, tmp_path / "export")
    lines = (tmp_path / "export").read_bytes().splitlines(keepends=True)
    (tmp_path / "export").write_bytes(b"".join(change(lines)))
    with pytest.raises(HanokError, match=words):
        verify_file(tmp_path / "export", SIGNER.public)


def test_exports_that_were_altered(path: Path, tmp_path: Path) -> None:
    for change, words in (
        (lambda lines: lines[:-1], "ends without a signed head"),
        (lambda lines: [lines[0]], "ends without a signed head"),
        (lambda lines: [*lines[:3], *lines[4:]], "do not lead to the head signed for 3"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "do not lead to the head signed for 3"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "line 309 is cut or too long"),
        (lambda lines: [*lines, b"x" * 400_000], "line 310 is cut or too long"),
        (lambda lines: [lines[0].replace(b'1"', b'1","x":1'), *lines[1:]], "is an export of another version"),
        (lambda lines: [*lines[:4], b"{}\n", *lines[4:]], "entry 2: is no entry"),
    ):
        change_export(tmp_path, path, change, words)


def damaged_at_random(original: Path, tmp_path: Path, times: int) -> None:
    """Either it is refused in our words, or the bytes were of no account and all that was signed is there."""
    data, generator = original.read_bytes(), random.Random(3)
    right = verify_file(original, SIGNER.public)
    place = tmp_path / "bent.db"
    refused = 0
    for number in range(times):
        bent = bytearray(data)
        match number % 3:
            case 0:
                bent[generator.randrange(len(bent))] ^= 1 << generator.randrange(8)
            case 1:
                start = generator.randrange(len(bent))
                bent[start : start + 64] = generator.randbytes(len(bent[start : start + 64]))
            case _:
                del bent[generator.randrange(1, len(bent)) :]
        place.write_bytes(bent)
        try:
            assert verify_file(place, SIGNER.public) == right
        except HanokError:
            refused += 1
    assert refused > times / 2


def test_a_damaged_file(original: Path, tmp_path: Path) -> None:
    damaged_at_random(original, tmp_path, 90)


@pytest.mark.slow
def test_a_damaged_file_often(original: Path, tmp_path: Path) -> None:
    damaged_at_random(original, tmp_path, 2000)


def test_files_of_another_kind(tmp_path: Path) -> None:
    place = tmp_path / "x"
    for content, words in (
        (b"", "is no JSON"),
        (b"[]", "is no proof of `hanok protect log prove`"),
        (b"SQLite format 3\0" + bytes(500), "is damaged, or no log"),
        (b"x" * (2 << 20), "is longer than 1 MiB"),
    ):
        place.write_bytes(content)
        with pytest.raises(HanokError, match=words):
            verify_file(place, SIGNER.public)
    with pytest.raises(LogError, match="is no file; give a log"):
        verify_file(tmp_path, SIGNER.public)
    with pytest.raises(LogError, match="cannot be read: No such file"):
        read_head(tmp_path / "none")
    place.write_bytes(b"1")
    with pytest.raises(HanokError, match="is no object"):
        read_head(place)
    with pytest.raises(LogError, match="is no proof"):
        read_proof(place)


def test_what_is_missing_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(path, "DELETE FROM entries WHERE position = 7")
    with TransparencyLog.open(path) as log, pytest.raises(LogError, match=r"log.db: entry 7 is missing"):
        log.entry(7)
    run(path, "DELETE FROM heads")
    with (
        TransparencyLog.open(path) as log,
        pytest.raises(LogError, match="has no signed head; it is damaged"),
    ):
        log.entry(7)

    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", closed)
    with pytest.raises(LogError, match=r"log.db: cannot be read: Permission denied"):
        verify_file(path, SIGNER.public)


def test_hashes_are_compared_part_by_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanok.protect.log_verify._TILED", 100)
    verify_file(path, SIGNER.public)
    run(path, "UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND number = 0")
    with pytest.raises(LogError, match="the hashes kept for proofs are not those of its entries"):
        verify_file(path, SIGNER.public)


def test_a_large_row_costs_little(path: Path) -> None:
    run(path, "UPDATE entries SET data = zeroblob(200000000) WHERE position = 1")
    begin = time.process_time()
    with pytest.raises(HanokError, match="too big"):
        verify_file(path, SIGNER.public)
    assert time.process_time() - begin < 2
