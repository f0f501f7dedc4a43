"""Licence terms of a delivery, as `licence.toml` gives them and the manifest carries them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from hanok.errors import HanokError
from hanok.protect.canonical import check_names
from hanok.protect.names import check_line, check_text

MOST_FILE_BYTES = 1 << 18
MOST_TERMS = 65536
_LINES = ("title", "licensor", "licensee", "destination")
_OPTIONAL = ("uses", "terms", "expires")
_FIELDS = frozenset(_LINES + _OPTIONAL)


class LicenceError(HanokError):
    """A licence file that cannot be used."""


@dataclass(frozen=True)
class Licence:
    """Who gives what to whom, where it may go, for which uses, until when.

    `expires`: the last second, as text in UTC (2027-06-30T23:59:59Z); "" where it does not expire.
    """

    title: str
    licensor: str
    licensee: str
    destination: str
    uses: tuple[str, ...]
    terms: str
    expires: str

    def is_past(self, now: datetime) -> bool:
        """Return whether it has expired at `now` (with a time zone)."""
        return bool(self.expires) and now.astimezone(UTC) > parse_time(self.expires)


def read_licence(path: str | Path) -> Licence:
    """Return the licence of a TOML file; raise LicenceError for anything missing, unknown or wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
        if len(data) > MOST_FILE_BYTES:
            raise LicenceError(
                f"{path}: is longer than {MOST_FILE_BYTES >> 10} KiB, so it is no licence file"
            )
        found = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise LicenceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise LicenceError(f"{path}: is no TOML: {str(error)[:200]}") from None
    wrong = sorted((found.keys() - _FIELDS) | (set(_LINES) - found.keys()))
    if wrong:
        state = "unknown" if wrong[0] in found else "missing"
        raise LicenceError(
            f"{path}: field {wrong[0]!r:.80} is {state}; "
            f"needed: {', '.join(_LINES)}; optional: {', '.join(_OPTIONAL)}"
        )
    expires = "" if "expires" not in found else _expiry(path, found["expires"])
    return _checked({"uses": [], "terms": "", **found, "expires": expires}, str(path))


def licence_fields(licence: Licence) -> dict[str, Any]:
    """Return the licence as the manifest has it."""
    return {
        "destination": licence.destination,
        "expires": licence.expires,
        "licensee": licence.licensee,
        "licensor": licence.licensor,
        "terms": licence.terms,
        "title": licence.title,
        "uses": list(licence.uses),
    }


def licence_of(fields: Any, what: str) -> Licence:
    """Return the licence of a manifest's fields."""
    licence = _checked(check_names(fields, what, _FIELDS), what)
    if licence.expires:
        parse_time(licence.expires)
    return licence


def time_text(moment: datetime) -> str:
    """Return a time as it stands in manifests and logs: whole seconds in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Return the time of `time_text`; raise LicenceError for any other form."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or time_text(moment) != text:
        raise LicenceError(f"time {text!r:.60}: is not of the form 2027-06-30T23:59:59Z")
    return moment


def _expiry(path: str | Path, value: Any) -> str:
    """The last second of a date (in UTC), or the second of a time that says its zone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise LicenceError(f"{path}: expires has no time zone; write 2027-06-30T18:00:00+09:00")
        try:
            return time_text(value)
        except OverflowError:
            raise LicenceError(f"{path}: expires is outside the calendar; leave it out for no end") from None
    if isinstance(value, date):
        return time_text(datetime.combine(value, time(23, 59, 59), UTC))
    raise LicenceError(f"{path}: expires is no date; write expires = 2027-06-30, without quotes")


def _checked(fields: dict[str, Any], what: str) -> Licence:
    texts = {name: fields[name] for name in (*_LINES, "terms", "expires")}
    uses = fields["uses"]
    if not isinstance(uses, list) or len(uses) > 100:
        raise LicenceError(f"{what}: uses is not a list of up to 100 texts")
    for name, value in [*texts.items(), *(("uses", use) for use in uses)]:
        if not isinstance(value, str):
            raise LicenceError(f"{what}: {name} is no text")
    for name in _LINES:
        check_line(texts[name], f"{what}: {name}")
    for use in uses:
        check_line(use, f"{what}: uses")
    check_text(texts["terms"], f"{what}: terms", MOST_TERMS)
    return Licence(**texts, uses=tuple(uses))
