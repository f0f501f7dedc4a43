"""Standards of users: a TOML file that names a base and says what differs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

from hanok.dram.standard import FlatMemory, Organisation, Standard, build_rules
from hanok.dram.standards._check import check_standard
from hanok.errors import ChipError

_KEYS = ("name", "base", "source", "mapping", "timings", "organisation")
_FIXED = ("nBL",)
"""Timings that are the base's own: the burst, and with it the speed."""
_MOST = 1 << 30


def load_standard(path: str, get_standard: Callable[[str], Standard | FlatMemory]) -> Standard:
    """Read the file at `path`, with bases from `get_standard`; see `hanok.dram.standards.load_standard`."""
    where = f"standard file '{path[:200]}'"
    content = _read(path, where)
    for key in content:
        if key not in _KEYS:
            raise ChipError(f"{where}: '{key[:32]}' is unknown; allowed: {', '.join(_KEYS)}")
    name, base_name = (_text(content, key, where) for key in ("name", "base"))
    base = get_standard(base_name)
    if isinstance(base, FlatMemory):
        raise ChipError(f"{where}: base '{base_name[:32]}' has no banks; name a standard with rules")
    timings = {key: count for key, count in base.timings.items() if key not in _FIXED}
    timings = dict(base.timings) | _numbers(content, "timings", tuple(timings), where)
    shape_fields = tuple(part.name for part in fields(Organisation))
    shape = replace(base.organisation, **_numbers(content, "organisation", shape_fields, where))
    source = _text(content, "source", where) if "source" in content else f"{where}, from {base.name}"
    standard = replace(
        base,
        name=name,
        organisation=shape,
        timings=timings,
        rules=build_rules(base.rows, timings),
        read_latency_cycles=timings["nCL"],
        write_latency_cycles=timings["nCWL"],
        refresh_interval_cycles=timings["nREFI"],
        bank_refresh_interval_cycles=timings.get("nREFIpb", 0),
        mapping=_text(content, "mapping", where) if "mapping" in content else base.mapping,
        sources={**base.sources, "changes": source},
    )
    check_standard(standard)
    return standard


def _read(path: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ChipError(f"{where}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ChipError(f"{where}: is not TOML: {error}") from error


def _text(content: Mapping[str, object], key: str, where: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise ChipError(f'{where}: {key} is {value!r:.40}; give a text, such as {key} = "HBM3_6400"')
    return value


def _numbers(
    content: Mapping[str, object], table: str, allowed: tuple[str, ...], where: str
) -> dict[str, int]:
    """Return a table of whole numbers whose names are all among `allowed`."""
    values = content.get(table, {})
    if not isinstance(values, dict):
        raise ChipError(f"{where}: {table} is {values!r:.40}; give a table [{table}]")
    for key, value in values.items():
        if key not in allowed:
            raise ChipError(f"{where}: {table}.{key[:32]} is unknown; allowed: {', '.join(allowed)}")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
            raise ChipError(f"{where}: {table}.{key} is {value!r:.40}; allowed: whole numbers, 0..{_MOST}")
    return values
