"""Loading a rule pack: the built-in ones, a user's own, and everything that is checked before one is used."""

from __future__ import annotations

from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Any

from hanok.rules._record import check, parse_toml, read_toml
from hanok.rules.errors import RulesError
from hanok.rules.expression import RESERVED, Kind, kind_of, names_in
from hanok.rules.overlap import check_overlaps
from hanok.rules.pack import Pack


def builtin_packs() -> tuple[str, ...]:
    """Return the ids of the packs that ship with hanok."""
    folder = resources.files("hanok.rules") / "packs"
    return tuple(
        sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
    )


def load_pack(name_or_path: str | Path) -> Pack:
    """Return a built-in pack by its id, or a checked one from a file; raises RulesError that says where."""
    name = str(name_or_path)
    if name in builtin_packs():
        return _builtin(name)
    if not name.endswith(".toml") and not Path(name).exists():
        raise RulesError(
            f"'{name[:200]}' is neither a pack of hanok nor a file; packs: {', '.join(builtin_packs())}"
        )
    return make_pack(read_toml(name), name)


def make_pack(content: dict[str, Any], origin: str) -> Pack:
    """Return the pack of a parsed document once everything about it is checked."""
    pack = check(Pack, content, origin)
    try:
        _check_names(pack)
        _check_types(pack)
        check_overlaps(pack)
    except RulesError as error:
        raise RulesError(f"{origin}: {error}") from None
    return pack


@cache
def builtin_quantities() -> frozenset[str]:
    """Return the quantities that the built-in packs ask for; a declaration may serve several of them."""
    return frozenset(name for pack in builtin_packs() for name in _builtin(pack).asked)


@cache
def builtin_evidence() -> frozenset[str]:
    """Return the ids of the evidence that the built-in packs ask for."""
    return frozenset(
        item.id for pack in builtin_packs() for rule in _builtin(pack).rule for item in rule.evidence
    )


@cache
def _builtin(name: str) -> Pack:
    text = (resources.files("hanok.rules") / "packs" / f"{name}.toml").read_text("utf-8")
    return make_pack(parse_toml(text, name), name)


def _check_names(pack: Pack) -> None:
    for name in pack.quantity:
        if name in RESERVED:
            raise RulesError(f"quantity.{name}: '{name}' is a word of the language; choose another name")
    seen: set[str] = set()
    for rule in pack.rule:
        if rule.id in seen:
            raise RulesError(f"rule '{rule.id}': stands twice; give each version its own id")
        seen.add(rule.id)
        ids = [evidence.id for evidence in rule.evidence]
        if len(set(ids)) != len(ids):
            raise RulesError(f"rule '{rule.id}': two pieces of evidence have one id")


def _check_types(pack: Pack) -> None:
    """Every definition and condition has the type that it must have, and no definition needs itself."""
    for name, tree in pack.definitions.items():
        where = f"quantity.{name}.definition"
        if pack.kinds[name] is Kind.CHOICE:
            raise RulesError(f"{where}: a choice is given by facts alone; derive a flag from it")
        found = kind_of(tree, pack.kinds, where)
        if found is not pack.kinds[name]:
            raise RulesError(f"{where}: is a {found.value}; the quantity is a {pack.kinds[name].value}")
    needs = {name: set(names_in(tree)) for name, tree in pack.definitions.items()}
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise RulesError(f"quantity: definitions need each other: {' -> '.join(error.args[1])}") from None
    for identity, tree in pack.conditions.items():
        where = f"rule '{identity}': condition"
        if kind_of(tree, pack.kinds, where) is not Kind.FLAG:
            raise RulesError(f"{where}: is a number; a condition is yes or no, such as tpp >= 4800")
