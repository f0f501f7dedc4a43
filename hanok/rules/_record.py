"""What the records of the TOML files share: they are frozen, take nothing unknown, and say what is wrong."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from hanok.rules.errors import RulesError
from hanok.rules.exact import exact

MAX_FILE_BYTES = 1 << 20
MAX_TOML_DEPTH = 32
_MAX_PROBLEMS = 3
_Item = TypeVar("_Item")


class Record(BaseModel):
    """A frozen record that refuses unknown fields and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


Exact = Annotated[Fraction, BeforeValidator(exact)]
"""A decimal of the file, exactly."""
Positive = Annotated[Fraction, BeforeValidator(exact), Field(gt=0)]
NotNegative = Annotated[Fraction, BeforeValidator(exact), Field(ge=0)]
Rows = Annotated[tuple[_Item, ...], Strict(False), Field(max_length=1000)]
"""An array of the file."""
MAX_WORDS = 4000
Words = Annotated[str, Field(max_length=MAX_WORDS)]
Line = Annotated[str, Field(min_length=1, max_length=400)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.():/, -]{0,79}$")]

_Model = TypeVar("_Model", bound=Record)


def check(model: type[_Model], content: dict[str, Any], origin: str) -> _Model:
    """Return the record of a parsed TOML document; raise RulesError that names field, finding and rule."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [_problem(problem) for problem in problems[:_MAX_PROBLEMS]]
        more = f"; {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        raise RulesError(f"{origin}: {'; '.join(lines)}{more}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return a TOML file whose decimals are Decimal; refuse missing, huge, deep and non-UTF-8 ones."""
    target = Path(path)
    try:
        if not target.is_file():
            raise RulesError(f"{path}: there is no such file")
        size = target.stat().st_size
        if size > MAX_FILE_BYTES:
            raise RulesError(f"{path}: {size} bytes; such a file has at most {MAX_FILE_BYTES}")
        text = target.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RulesError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (OSError, ValueError) as error:
        raise RulesError(
            f"{str(path)[:200]}: cannot be read: {getattr(error, 'strerror', '') or error}"
        ) from None
    return parse_toml(text, str(path))


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """As `read_toml`, of text that was read already."""
    _check_depth(text, origin)
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise RulesError(f"{origin}: not a TOML file: {error}") from None


def _check_depth(text: str, origin: str) -> None:
    """Refuse brackets nested, or keys dotted, deeper than any such file needs."""
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_TOML_DEPTH:
            raise RulesError(f"{origin}: brackets nested deeper than {MAX_TOML_DEPTH}")
    for line in text.splitlines():
        if line.partition("=")[0].count(".") > MAX_TOML_DEPTH:
            raise RulesError(f"{origin}: a key of more than {MAX_TOML_DEPTH} parts")


def _problem(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "the file"
    found = problem.get("input")
    shown = "" if isinstance(found, dict | list | BaseModel) else f" (found {str(found)[:80]!r})"
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown field{shown}"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}{shown}"
