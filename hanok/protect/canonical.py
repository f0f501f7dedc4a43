"""Canonical JSON: one text for one value, so that what is signed or hashed can be written in one way only.

A subset of RFC 8785 (JCS): objects with names of ASCII letters, digits and underscores, arrays, strings,
whole numbers within 2**53 - 1, true and false; no null, no fractions. UTF-8 without blanks, names sorted.
"""

from __future__ import annotations

import json
import re
from typing import Any

from hanok.errors import HanokError

MOST_DEPTH = 16
LARGEST_INTEGER = 2**53 - 1
"""What every reader of JSON keeps exactly (RFC 7493, I-JSON)."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


class CanonicalError(HanokError):
    """Bytes that are no canonical JSON, or a value that has none."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of `value`; raise CanonicalError if it holds what the subset has not."""
    _check(value, 0)
    return encode_flat(value)


def is_name(name: str) -> bool:
    """Return whether an object may have this name."""
    return _NAME.fullmatch(name) is not None


def encode_flat(value: Any) -> bytes:
    """Return the canonical bytes of a value that is known to be of the subset, surrogates apart."""
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise CanonicalError("a text holds half of a surrogate pair, which UTF-8 has no bytes for") from None


def decode(data: bytes, what: str) -> Any:
    """Return the value of canonical bytes; raise CanonicalError, which names `what`, for any others."""
    try:
        value = json.loads(data.decode("utf-8"))
        same = encode(value) == data
    except CanonicalError as error:
        raise CanonicalError(f"{what}: {error}") from None
    except (ValueError, RecursionError):
        raise CanonicalError(f"{what}: is no JSON; it is damaged, or something else than it claims") from None
    if not same:
        raise CanonicalError(f"{what}: is JSON but not in its canonical form, so it has been rewritten")
    return value


def decode_object(data: bytes, what: str, names: frozenset[str]) -> dict[str, Any]:
    """Return the object of canonical bytes that must have exactly these names."""
    value = decode(data, what)
    return check_names(value, what, names)


def check_names(value: Any, what: str, names: frozenset[str]) -> dict[str, Any]:
    """Return `value` if it is an object with exactly these names."""
    if not isinstance(value, dict):
        raise CanonicalError(f"{what}: is no object; it is damaged, or something else than it claims")
    if value.keys() != names:
        wrong = sorted(value.keys() ^ names)[0]
        raise CanonicalError(f"{what}: '{wrong}' is {'unknown' if wrong in value else 'missing'}")
    return value


def _check(value: Any, depth: int) -> None:
    """Raise CanonicalError unless `value` is of the subset."""
    if isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise CanonicalError(f"the number {value:.3e} is outside -(2**53-1)..2**53-1")
        return
    if depth >= MOST_DEPTH:
        raise CanonicalError(f"nested deeper than {MOST_DEPTH}")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise CanonicalError(f"the name {name!r:.80} is not of the form {_NAME.pattern}")
            _check(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, depth + 1)
    else:
        raise CanonicalError(
            f"a value is {type(value).__name__}; allowed: objects, arrays, texts, whole numbers, true, false"
        )
