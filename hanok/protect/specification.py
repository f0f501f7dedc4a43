"""Specifications of numbers: a TOML file in which an engineer signs off how far each value may be moved."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from hanok.protect.tardos import FingerprintError

MOST_BYTES = 4 << 20
MOST_VALUES = 2000
MOST_DIGITS = 12
_KEYS = ("name", "value", "unit", "tolerance", "may_move", "signed_by", "signed_on", "note")
_SIGN_OFF = ("may_move", "signed_by", "signed_on")
"""Keys that a recipient's copy does not have: they would say which values carry a mark."""
_HEADER = re.compile(r"\s*\[\[\s*value\s*\]\]")
_OTHER_HEADER = re.compile(r"\s*\[")
_VALUE_LINE = re.compile(r"(\s*value\s*=\s*)([-+]?[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][-+]?[0-9]+)?)(?=\s|#|$)")
_SIGN_OFF_LINE = re.compile(rf"\s*(?:{'|'.join(_SIGN_OFF)})\s*=")
_LITERAL = re.compile(r"([-+]?)([0-9]+)(?:\.([0-9]+))?((?:[eE][-+]?[0-9]+)?)$")


class _Written(Decimal):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> _Written:
        """Take TOML's text of a float."""
        number = super().__new__(cls, text)
        number.text = text.replace("_", "")
        return number


@dataclass(frozen=True)
class Figure:
    """One value of a specification.

    literal: as it stands in the file, which is all its digits; may_move: the distance that was signed off, 0
    where nobody signed.
    """

    name: str
    literal: str
    may_move: Decimal

    @property
    def value(self) -> Decimal:
        """The number."""
        return Decimal(self.literal)

    @property
    def step(self) -> Decimal:
        """One unit of the last digit that is written."""
        return Decimal(1).scaleb(_exponent(self.value))

    @property
    def reach(self) -> int:
        """Steps that the value may be moved either way; it never reaches 0 or changes its sign."""
        mantissa = int(abs(self.value) / self.step)
        return max(0, min(int(self.may_move / self.step), mantissa - 1))

    def moved(self, steps: int) -> str:
        """Return the literal of the value moved by `steps`, with as many decimals as before."""
        parts = _LITERAL.match(self.literal)
        assert parts, f"{self.literal} was checked when it was read"
        sign, whole, decimals, exponent = parts[1], parts[2], parts[3] or "", parts[4]
        mantissa = int(whole + decimals) + (-steps if sign == "-" else steps)
        digits = str(mantissa).rjust(len(decimals) + 1, "0")
        point = len(digits) - len(decimals)
        return sign + digits[:point] + ("." + digits[point:] if decimals else "") + exponent


@dataclass(frozen=True)
class Specification:
    """The values of a file in their order, and its text."""

    path: Path
    text: str
    figures: tuple[Figure, ...]

    def copy(self, literals: Sequence[str]) -> str:
        """Return the text with other values and without sign-offs; all else, comments too, stays."""
        lines: list[str] = []
        number, inside = -1, False
        for line in self.text.splitlines(keepends=True):
            if _HEADER.match(line):
                number, inside = number + 1, True
            elif _OTHER_HEADER.match(line):
                inside = False
            found = _VALUE_LINE.match(line) if inside and 0 <= number < len(literals) else None
            if inside and _SIGN_OFF_LINE.match(line):
                continue
            lines.append(found[1] + literals[number] + line[found.end() :] if found else line)
        text = "".join(lines)
        self._check_copy(text, literals)
        return text

    def _check_copy(self, text: str, literals: Sequence[str]) -> None:
        """Refuse a file that is written in a way in which its values could not be replaced line by line."""
        try:
            tables = _tables(tomllib.loads(text, parse_float=Decimal), self.path)
        except (tomllib.TOMLDecodeError, FingerprintError):
            tables = []
        values = [Decimal(table.get("value", "NaN")) for table in tables]
        if values != [Decimal(literal) for literal in literals] or any(
            set(_SIGN_OFF) & set(t) for t in tables
        ):
            raise FingerprintError(
                f"{self.path}: its values cannot be replaced one by one; write each as a table [[value]] "
                "with a line 'value = 2.35' and each sign-off on a line of its own"
            )


def read_specification(path: Path) -> Specification:
    """Read and check a specification; every flaw is a FingerprintError that says what it is."""
    text = read_text(path)
    try:
        content = tomllib.loads(text, parse_float=_Written)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError, ArithmeticError) as error:
        raise FingerprintError(f"{path}: not a TOML file: {str(error)[:200]}") from None
    tables = _tables(content, path)
    figures = tuple(_figure(table, f"{path}: value {number}") for number, table in enumerate(tables, 1))
    seen: set[str] = set()
    for figure in figures:
        if plain_name(figure.name) in seen:
            raise FingerprintError(f"{path}: two values are called '{figure.name}'; names must differ")
        seen.add(plain_name(figure.name))
    return Specification(path, text, figures)


def plain_name(name: str) -> str:
    """Return a value's name as it is recognised: in small letters, underscores and spaces alike."""
    return " ".join(name.replace("_", " ").casefold().split())


def read_text(path: Path) -> str:
    """Return the text of a file of at most MOST_BYTES; what is no UTF-8 becomes a replacement character."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_BYTES:
            raise FingerprintError(
                f"{path}: {size:,} bytes; allowed: a file of at most {MOST_BYTES:,} bytes with the values"
            )
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise FingerprintError(f"{path}: cannot be read: {error.strerror or error}") from None


def _tables(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    tables = content.get("value")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise FingerprintError(
            f"{path}: no tables [[value]]; see docs/protect/fingerprints.md for the format"
        )
    if len(tables) > MOST_VALUES:
        raise FingerprintError(f"{path}: {len(tables):,} values; allowed: at most {MOST_VALUES:,}")
    return tables


def _figure(table: Mapping[str, Any], where: str) -> Figure:
    unknown = next((key for key in table if key not in _KEYS), None)
    if unknown is not None:
        raise FingerprintError(f"{where}: key '{unknown}'; allowed: {', '.join(_KEYS)}")
    name = table.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise FingerprintError(f"{where}: name {name!r:.60}; allowed: 1 to 200 printable characters")
    where = f"{where} ('{name[:60]}')"
    value = _number(table, "value", where)
    if value is None:
        raise FingerprintError(f"{where}: has no value; give a number with all its digits")
    tolerance = _number(table, "tolerance", where)
    may_move = _number(table, "may_move", where)
    if (tolerance or 0) < 0 or (may_move or 0) < 0:
        raise FingerprintError(f"{where}: a tolerance below 0; allowed: 0 or more")
    signed = _signed(table, where)
    if signed and tolerance is None:
        raise FingerprintError(f"{where}: signed off without a tolerance; give the one that was signed")
    if may_move is not None and (tolerance is None or may_move > tolerance):
        raise FingerprintError(f"{where}: may_move {may_move} is beyond its tolerance of {tolerance}")
    distance = (tolerance if may_move is None else may_move) if signed else None
    literal = value.text if isinstance(value, _Written) else str(value)
    return Figure(name, literal, distance or Decimal(0))


def _signed(table: Mapping[str, Any], where: str) -> bool:
    """Whether an engineer put a name and a date to it; half a signature is refused."""
    by, on = table.get("signed_by"), table.get("signed_on")
    if by is None and on is None:
        return False
    if not isinstance(by, str) or not by.strip():
        raise FingerprintError(f"{where}: signed_by {by!r:.60}; allowed: the engineer's name")
    if not isinstance(on, datetime.date):
        raise FingerprintError(f"{where}: signed_on {on!r:.60}; allowed: a date such as 2026-11-02")
    return True


def _number(table: Mapping[str, Any], key: str, where: str) -> Decimal | None:
    found = table.get(key)
    if found is None:
        return None
    is_number = isinstance(found, int | Decimal) and not isinstance(found, bool)
    number = found if isinstance(found, Decimal) else Decimal(found if is_number else "NaN")
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > 30:
        raise FingerprintError(
            f"{where}: {key} is {str(found)[:40]!r}; allowed: a number of at most {MOST_DIGITS} digits "
            "between 1e-30 and 1e30"
        )
    return number


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "checked to be finite"
    return exponent
