"""What a user declares about a product or a system: quantities of the packs, in TOML, each checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from hanok.rules.errors import RulesError
from hanok.rules.exact import exact
from hanok.rules.expression import Kind
from hanok.rules.facts import Fact, Value
from hanok.rules.interval import Interval
from hanok.rules.pack import Pack

MAX_CHOICE = 60
_FORMS = {
    Kind.NUMBER: "a number, or { low = ..., high = ... }",
    Kind.FLAG: "true or false",
    Kind.CHOICE: "a text",
}


def asked_kinds(packs: Sequence[Pack]) -> dict[str, Kind]:
    """Return every quantity that facts can give to these packs; raises RulesError where two disagree."""
    kinds: dict[str, Kind] = {}
    for pack in packs:
        for name in pack.asked:
            if kinds.setdefault(name, pack.kinds[name]) is not pack.kinds[name]:
                raise RulesError(
                    f"pack '{pack.id}': quantity '{name}' is a {pack.kinds[name].value}, in another pack a "
                    f"{kinds[name].value}; use the packs one at a time, or rename it"
                )
    return kinds


def declared_facts(
    table: Mapping[str, Any], kinds: Mapping[str, Kind], origin: str, others: Collection[str] = ()
) -> dict[str, Fact]:
    """Return the facts of a TOML table whose keys are quantities.

    A value stands alone or in { value = ..., source = "..." }. `others` are quantities of packs that are not
    in use, and pass by. Raises RulesError for quantities that no pack asks for, and values of another type.
    """
    facts = {}
    for name, entry in table.items():
        where = f"{origin}: {name}"
        if name not in kinds and name in others:
            continue
        if name not in kinds:
            near = get_close_matches(name, kinds, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; asked for are: {', '.join(sorted(kinds))}"
            raise RulesError(f"{where}: no pack in use asks for this{hint}")
        source = origin
        if isinstance(entry, dict) and "value" in entry:
            if set(entry) - {"value", "source"} or not isinstance(entry.get("source", ""), str):
                raise RulesError(f'{where}: allowed are {{ value = ..., source = "..." }}')
            source, entry = entry.get("source", origin)[:400], entry["value"]
        facts[name] = Fact(_value(entry, kinds[name], where), source)
    return facts


def _value(entry: Any, kind: Kind, where: str) -> Value:
    match kind:
        case Kind.NUMBER if isinstance(entry, dict):
            return _range(entry, where)
        case Kind.NUMBER:
            return Interval.of(_exact(entry, where))
        case Kind.FLAG if isinstance(entry, bool):
            return entry
        case Kind.CHOICE if isinstance(entry, str) and 0 < len(entry) <= MAX_CHOICE:
            return entry
    raise RulesError(f"{where}: found {str(entry)[:60]!r}; allowed: {_FORMS[kind]}")


def _range(entry: Mapping[str, Any], where: str) -> Interval:
    if not entry or set(entry) - {"low", "high"}:
        raise RulesError(f"{where}: allowed: {_FORMS[Kind.NUMBER]}; one end may be left out")
    low, high = (_exact(entry[end], f"{where}.{end}") if end in entry else None for end in ("low", "high"))
    if low is not None and high is not None and low > high:
        raise RulesError(f"{where}: low {low} is above high {high}")
    return Interval(low, high)


def _exact(entry: Any, where: str) -> Fraction:
    try:
        value = exact(entry)
    except ValueError as error:
        raise RulesError(f"{where}: {error}; allowed: {_FORMS[Kind.NUMBER]}") from None
    if value < 0:
        raise RulesError(f"{where}: {entry} is negative; no quantity here is")
    return value
