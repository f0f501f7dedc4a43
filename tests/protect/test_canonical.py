"""Canonical JSON: one text for one value, and no other text is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.protect.canonical import CanonicalError, decode, decode_object, encode

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
VALUES: Any = st.recursive(
    TEXTS | NUMBERS | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def plainly(value: Any) -> str:
    """RFC 8785, section 3.2, written out."""
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        letters = (short.get(ord(each), each if ord(each) > 31 else f"\\u{ord(each):04x}") for each in value)
        return f'"{"".join(letters)}"'
    if isinstance(value, list):
        return f"[{','.join(map(plainly, value))}]"
    return f"{{{','.join(f'{plainly(name)}:{plainly(value[name])}' for name in sorted(value))}}}"


@given(VALUES)
def test_values_come_back_and_have_the_text_of_the_standard(value: Any) -> None:
    data = encode(value)
    assert data.decode() == plainly(value)
    assert decode(data, "x") == value


@given(VALUES, st.randoms())
def test_any_other_text_of_a_value_is_refused(value: Any, generator: Any) -> None:
    for text in (json.dumps(value, indent=1), json.dumps(value) + "\n", json.dumps(value, ensure_ascii=True)):
        if text.encode() != encode(value):
            with pytest.raises(CanonicalError, match="not in its canonical form"):
                decode(text.encode(), "x")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a":1,"a":1}', "not in its canonical form"),
        (b'{"b":1,"a":1}', "not in its canonical form"),
        (b"-0", "not in its canonical form"),
        (b'"\\u0041"', "not in its canonical form"),
        (b"1.5", "a value is float"),
        (b"null", "a value is NoneType"),
        (b"NaN", "a value is float"),
        (b"9007199254740992", r"the number 9.007e\+15 is outside"),
        (b"1" * 5000, "is no JSON"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'"\xff"', "is no JSON"),
        (b"[" * 17 + b"]" * 17, "nested deeper than 16"),
        (b"[" * 1_000_000, "is no JSON"),
        (b'{"A":1}', "the name 'A' is not of the form"),
        (b'{"":1}', "the name '' is not of the form"),
        (b"", "is no JSON"),
    ],
)
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CanonicalError, match=f"thing: .*{words}"):
        decode(data, "thing")


def test_objects_have_the_names_that_are_asked_for() -> None:
    assert decode_object(b'{"a":1}', "x", frozenset("a")) == {"a": 1}
    for data, words in (
        (b"[]", "is no object"),
        (b'{"b":1}', "'a' is missing"),
        (b'{"a":1,"b":1}', "'b' is unknown"),
    ):
        with pytest.raises(CanonicalError, match=words):
            decode_object(data, "x", frozenset("a"))
