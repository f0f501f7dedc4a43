"""Licence files: their fields, when they expire, and what is wrong with others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hanok.errors import HanokError
from hanok.protect.licence import licence_fields, licence_of, read_licence

GOOD = """
title = "Evaluation"
licensor = "Hanok"
licensee = "Acme"
destination = "KR"
"""


def read(path: Path, text: str) -> object:
    path.write_text(text, encoding="utf-8")
    return read_licence(path)


def test_a_licence(tmp_path: Path) -> None:
    path = tmp_path / "licence.toml"
    path.write_text(GOOD + 'uses = ["a", "b"]\nterms = """\nNo\n\tcopies.\n"""\nexpires = 2027-06-30\n')
    licence = read_licence(path)
    assert (licence.title, licence.uses, licence.terms) == ("Evaluation", ("a", "b"), "No\n\tcopies.\n")
    assert licence.expires == "2027-06-30T23:59:59Z"
    assert not licence.is_past(datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC))
    assert licence.is_past(datetime(2027, 7, 1, tzinfo=UTC))
    assert licence_of(licence_fields(licence), "x") == licence
    path.write_text(GOOD + "expires = 2027-06-30T18:00:00+09:00\n")
    assert read_licence(path).expires == "2027-06-30T09:00:00Z"
    path.write_text(GOOD)
    assert not read_licence(path).is_past(datetime(9999, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("title", "titel"), "field 'titel' is unknown; needed: title, licensor"),
        (GOOD.replace('title = "Evaluation"', ""), "field 'title' is missing"),
        (GOOD.replace('"KR"', "7"), "destination is no text"),
        (GOOD.replace('"KR"', '""'), "destination: write 1 to 200 characters in one line"),
        (GOOD.replace('"KR"', '"\\u001b[31m"'), "destination: write 1 to 200 characters"),
        (GOOD + 'uses = "a"', "uses is not a list"),
        (GOOD + "uses = [1]", "uses is no text"),
        (GOOD + 'uses = ["a\\nb"]', "uses: write 1 to 200"),
        (GOOD + 'terms = "\\u202e"', "terms: write up to 65536 characters"),
        (GOOD + 'expires = "2027-06-30"', "expires is no date; write expires = 2027-06-30, without"),
        (GOOD + "expires = 2027-06-30T18:00:00", "expires has no time zone"),
        (GOOD + "expires = 0001-01-01T00:00:00+09:00", "expires is outside the calendar"),
        ("title = ", "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
        ("#" * 300_000, "is longer than 256 KiB"),
    ],
)
def test_licences_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(HanokError, match=words):
        read(tmp_path / "licence.toml", text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HanokError, match="cannot be read: No such file"):
        read_licence(tmp_path / "none.toml")
    (tmp_path / "x").write_bytes(b"\xff\xff")
    with pytest.raises(HanokError, match="is no TOML"):
        read_licence(tmp_path / "x")
