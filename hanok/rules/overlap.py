"""Rules that contradict each other: two of a group that may both hold, and rules that never can.

A condition is a tree of comparisons. Where each compares one quantity with constants, its truth is the same
for all values between two neighbouring constants, so that a value of each constant, of each gap between them
and beyond both ends tries every case there is. Derived numbers are tried as if they were independent, which
can only find more. A comparison of another form (of two quantities) is tried as both yes and no.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date
from fractions import Fraction
from itertools import combinations, pairwise

from hanok.rules.errors import RulesError
from hanok.rules.evaluate import Scope, amount
from hanok.rules.exact import readable
from hanok.rules.expression import (
    MIRRORED,
    And,
    Comparison,
    Expression,
    Flag,
    Kind,
    Member,
    Name,
    Not,
    Number,
    Or,
    names_in,
    text_of,
)
from hanok.rules.pack import Pack, Rule

MAX_TRIES = 20_000
"""Of a whole pack."""
OTHER = "(another)"
"""A choice that no rule names."""
_Try = Fraction | bool | str
_COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


def check_overlaps(pack: Pack) -> None:
    """Raise RulesError for a rule under which no facts fall, and for two rules of a group under which some
    facts fall both, with such facts."""
    budget = _Budget()
    for rule in pack.rule:
        if not any(_witness(pack, (rule,), day, budget) for day in _days(pack, rule)):
            raise RulesError(f"rule '{rule.id}': its condition contradicts itself; no facts make it hold")
    for one, two in combinations(pack.rule, 2):
        if not one.group or one.group != two.group or not one.meets(two):
            continue
        days = {max(day, one.since, two.since) for day in (*_days(pack, one), *_days(pack, two))}
        for day in sorted(day for day in days if one.in_force(day) and two.in_force(day)):
            witness = _witness(pack, (one, two), day, budget)
            if witness:
                raise RulesError(
                    f"rules '{one.id}' and '{two.id}' of group '{one.group}' overlap: both hold for {witness}"
                )


class _Budget:
    """How many cases a pack may take to be compared."""

    def __init__(self) -> None:
        self._left = MAX_TRIES

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise RulesError(
                f"its rules take more than {MAX_TRIES:,} cases to compare; "
                "use fewer thresholds, or smaller groups"
            )


def _days(pack: Pack, rule: Rule) -> tuple[date, ...]:
    """Days that stand for all others: when the rule begins, and when a constant changes under it."""
    changes = (entry.since for quantity in pack.quantity.values() for entry in quantity.dated)
    return tuple(sorted({rule.since, *(day for day in changes if rule.in_force(day))}))


def _witness(pack: Pack, rules: tuple[Rule, ...], day: date, budget: _Budget) -> str:
    """Facts under which all of the rules hold on a day, in words; '' where there are none."""
    space = _Space(pack, day)
    tree = space.prepare(And(tuple(_expanded(pack.conditions[rule.id], pack) for rule in rules)))
    found = _search(tree, space.values, {}, budget)
    if found is None:
        return ""
    return (
        ", ".join(f"{space.shown.get(name, name)} = {_shown(value)}" for name, value in found.items())
        or "all"
    )


def _search(
    tree: Expression, values: Mapping[str, list[_Try]], chosen: dict[str, _Try], budget: _Budget
) -> dict[str, _Try] | None:
    """Choose a value a name until the tree is true; go back where it is false already."""
    budget.spend()
    truth = _truth(tree, chosen)
    if truth is not None:
        return chosen if truth else None
    name = next(name for name in values if name not in chosen)
    for value in values[name]:
        found = _search(tree, values, {**chosen, name: value}, budget)
        if found is not None:
            return found
    return None


def _truth(tree: Expression, chosen: Mapping[str, _Try]) -> bool | None:
    """The truth of a prepared tree; None while it depends on names without a value."""
    match tree:
        case Flag(value):
            return value
        case Name(name):
            found = chosen.get(name)
            return None if found is None else bool(found)
        case Member(Name(name), texts):
            return None if name not in chosen else chosen[name] in texts
        case Comparison(sign, Name(name), Number(limit)):
            given = chosen.get(name)
            return _COMPARE[sign](given, limit) if isinstance(given, Fraction) else None
        case Not(part):
            inner = _truth(part, chosen)
            return None if inner is None else not inner
        case And(parts) | Or(parts):
            decides = isinstance(tree, Or)
            found_parts = [_truth(part, chosen) for part in parts]
            if decides in found_parts:
                return decides
            return None if None in found_parts else not decides
    raise AssertionError(f"'{text_of(tree)}' was not prepared")


def _expanded(tree: Expression, pack: Pack) -> Expression:
    """The tree with the definitions of derived flags in place of their names."""
    match tree:
        case Name(name) if name in pack.definitions and pack.kinds[name] is Kind.FLAG:
            return _expanded(pack.definitions[name], pack)
        case Not(part):
            return Not(_expanded(part, pack))
        case And(parts):
            return And(tuple(_expanded(part, pack) for part in parts))
        case Or(parts):
            return Or(tuple(_expanded(part, pack) for part in parts))
    return tree


class _Space:
    """The quantities that a tree speaks of, and the values of each that stand for all others."""

    def __init__(self, pack: Pack, day: date) -> None:
        constants = {
            name: quantity.constant(day) for name, quantity in pack.quantity.items() if quantity.is_constant
        }
        self._constants = Scope({}, constants)
        self._limits: dict[str, set[Fraction]] = {}
        self.values: dict[str, list[_Try]] = {}
        self.shown: dict[str, str] = {}

    def prepare(self, tree: Expression) -> Expression:
        """Return the tree with every comparison as one of a name with a number, or as a name of its own."""
        prepared = self._visit(tree)
        self.values |= {name: _points(sorted(limits)) for name, limits in self._limits.items()}
        return prepared

    def _visit(self, tree: Expression) -> Expression:
        match tree:
            case Not(part):
                return Not(self._visit(part))
            case And(parts):
                return And(tuple(self._visit(part) for part in parts))
            case Or(parts):
                return Or(tuple(self._visit(part) for part in parts))
            case Name(name):
                self.values[name] = [True, False]
            case Member(Name(name), texts):
                self.values[name] = list(dict.fromkeys((*self.values.get(name, ()), *texts, OTHER)))
            case Comparison():
                return self._comparison(tree)
        return tree

    def _comparison(self, tree: Comparison) -> Expression:
        left, right = self._constant(tree.left), self._constant(tree.right)
        if left is not None and right is not None:
            return Flag(_COMPARE[tree.operator](left, right))
        if isinstance(tree.left, Name) and right is not None:
            self._limits.setdefault(tree.left.name, set()).add(right)
            return Comparison(tree.operator, tree.left, Number(right))
        if isinstance(tree.right, Name) and left is not None:
            return self._comparison(Comparison(MIRRORED[tree.operator], tree.right, Number(left)))
        text = text_of(tree)
        name = next((known for known, shown in self.shown.items() if shown == text), f"#{len(self.shown)}")
        self.shown[name] = text
        self.values[name] = [True, False]
        return Name(name)

    def _constant(self, tree: Expression) -> Fraction | None:
        """The value of a tree of numbers and known constants alone."""
        if not all(name in self._constants.facts for name in names_in(tree)):
            return None
        return amount(tree, self._constants).value


def _points(limits: list[Fraction]) -> list[_Try]:
    """Each limit, a value in each gap, and one beyond either end."""
    gaps = [(low + high) / 2 for low, high in pairwise(limits)]
    return sorted([limits[0] - 1, *limits, *gaps, limits[-1] + 1])


def _shown(value: _Try) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return readable(value) if isinstance(value, Fraction) else value
