"""Entries of a transparency log: what each kind must say, and the bytes that are hashed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hanok.errors import HanokError
from hanok.protect.canonical import LARGEST_INTEGER, decode, encode, encode_flat, is_name
from hanok.protect.licence import parse_time

MOST_ENTRY_BYTES = 1 << 18
"""Room for a delivery to 2,000 recipients."""
_HEX = re.compile(r"[0-9a-f]{64}")
Value = str | int | bool | list[str]
"""What a field may be."""


class LogError(HanokError):
    """A log, a tree head or a proof that cannot be used, or that shows that a record was altered."""


def _is_hash(value: Value) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _is_text(value: Value) -> bool:
    return isinstance(value, str)


def _is_count(value: Value) -> bool:
    return type(value) is int and value >= 0


def _are_hashes(value: Value) -> bool:
    return isinstance(value, list) and all(map(_is_hash, value))


_Rule = Callable[[Value], bool]
_WORDS: dict[_Rule, str] = {
    _is_hash: "64 hexadecimal digits in lower case",
    _is_text: "a text",
    _is_count: "a whole number, 0 or more",
    _are_hashes: "a list of 64 hexadecimal digits each",
}
KINDS: dict[str, dict[str, _Rule]] = {
    "delivery": {
        "bytes": _is_count,
        "delivery": _is_hash,
        "destination": _is_text,
        "expires": _is_text,
        "files": _is_count,
        "licence": _is_text,
        "recipients": _are_hashes,
    },
    "receipt": {"delivery": _is_hash, "recipient": _is_hash},
    "return": {"delivery": _is_hash, "recipient": _is_hash},
    "deletion": {"delivery": _is_hash, "recipient": _is_hash},
    "mark": {"commitment": _is_hash, "recipient": _is_text, "sha256": _is_hash},
    "incident": {"summary": _is_text},
}
"""Kind -> the fields that it must have; more fields may stand beside them."""
_MISSING: Value = False
"""What no rule takes."""
_OWN = frozenset({"at", "kind"})


@dataclass(frozen=True)
class Entry:
    """One entry: its position from 0, its kind, when it was appended (UTC), and its fields."""

    position: int
    kind: str
    at: str
    fields: Mapping[str, Value]


def encode_entry(kind: str, at: str, fields: Mapping[str, Value]) -> bytes:
    """Return an entry's canonical bytes; raise LogError or CanonicalError for what no entry may be."""
    rules = KINDS.get(kind)
    if rules is None:
        raise LogError(f"entry of kind {kind!r:.60}: allowed are {', '.join(KINDS)}")
    for name, rule in rules.items():
        if not rule(fields.get(name, _MISSING)):
            state = "is missing" if name not in fields else "is wrong"
            raise LogError(f"{kind} entry: field '{name}' {state}; it is {_WORDS[rule]}")
    for name, value in fields.items():
        _check_field(kind, name, value)
    data = encode_flat({**fields, "at": at, "kind": kind})
    if len(data) > MOST_ENTRY_BYTES:
        raise LogError(
            f"{kind} entry: takes {len(data):,} bytes, more than {MOST_ENTRY_BYTES:,}; log a hash of it"
        )
    return data


def _check_field(kind: str, name: str, value: Value) -> None:
    """Refuse a name that is not one, and a value that is no text, whole number, truth or list of texts."""
    if not _may_name(name):
        raise LogError(
            f"{kind} entry: field {name!r:.80}: take a name of small letters, digits and '_', "
            "other than at and kind"
        )
    if type(value) is str:
        return
    is_number = isinstance(value, int) and abs(value) <= LARGEST_INTEGER
    if not is_number and not (isinstance(value, list) and all(map(_is_text, value))):
        raise LogError(
            f"{kind} entry: field '{name}' is no text, whole number within 2**53, truth or list of texts"
        )


@lru_cache(1024)
def _may_name(name: str) -> bool:
    return isinstance(name, str) and name not in _OWN and is_name(name)


def decode_entry(data: bytes, position: int, what: str) -> Entry:
    """Return the entry of canonical bytes; raise a HanokError if they are none."""
    where = f"{what}: entry {position:,}"
    fields = decode(data, where)
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise LogError(f"{where}: is no entry")
    kind, at = fields.pop("kind"), fields.pop("at", None)
    if not isinstance(at, str):
        raise LogError(f"{where}: has no time")
    parse_time(at)
    try:
        encode_entry(kind, at, fields)
    except HanokError as error:
        raise LogError(f"{where}: {error}") from None
    return Entry(position, kind, at, fields)


def kind_bytes(kind: str) -> bytes:
    """Return what stands in every entry of a kind and in no other: a quotation mark in a text is escaped."""
    return b'"kind":' + encode(kind)


def field_of(kind: str, text: str) -> tuple[str, Value]:
    """Return name and value of NAME=VALUE for a kind of entry; hashes are separated by commas."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise LogError(f"field {text!r:.80}: write NAME=VALUE")
    rule = KINDS.get(kind, {}).get(name)
    if rule is _are_hashes:
        return name, value.split(",")
    if rule is _is_count and value.isascii() and value.isdigit() and len(value) < 17:
        return name, int(value)
    return name, value
