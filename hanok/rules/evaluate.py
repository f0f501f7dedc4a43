"""What a condition comes to under facts: yes, no, or unknown with the reasons that leave it open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hanok.rules.expression import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Expression,
    Flag,
    Member,
    Name,
    Negative,
    Not,
    Number,
    Or,
    names_in,
    parts_of,
    text_of,
)
from hanok.rules.facts import Fact, Facts
from hanok.rules.interval import EVERYTHING, Interval, compare, largest, smallest
from hanok.rules.truth import Truth, all_of, any_of


@dataclass(frozen=True)
class Reason:
    """Why something is unknown: the quantity to be given, or one that is known too loosely."""

    quantity: str
    why: str


@dataclass(frozen=True)
class Judgement:
    """The truth of a condition; `reasons` is empty unless it is unknown."""

    truth: Truth
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Where names get their meaning: definitions of derived quantities, and facts for the others."""

    definitions: Mapping[str, Expression]
    facts: Facts
    unit: Callable[[str], str] = lambda _name: ""

    def fact(self, name: str) -> Fact:
        """The fact of a quantity that is not derived."""
        return self.facts.get(name, Fact(None, "not given"))


def judge(tree: Expression, scope: Scope) -> Judgement:
    """Return the truth of a flag."""
    match tree:
        case Flag(value):
            return Judgement(Truth.of(value))
        case Name(name):
            return _flag(name, scope)
        case Not(part):
            found = judge(part, scope)
            return Judgement(~found.truth, found.reasons)
        case And(parts):
            return _joined(all_of, [judge(part, scope) for part in parts])
        case Or(parts):
            return _joined(any_of, [judge(part, scope) for part in parts])
        case Member(name, texts):
            fact = scope.fact(name.name)
            if fact.value is None:
                return Judgement(Truth.UNKNOWN, (Reason(name.name, fact.source),))
            return Judgement(Truth.of(fact.value in texts))
        case Comparison(operator, left, right):
            truth = compare(amount(left, scope), operator, amount(right, scope))
            reasons = _open(tree, scope) if truth is Truth.UNKNOWN else ()
            return Judgement(truth, reasons)
    raise AssertionError(f"'{text_of(tree)}' is no flag")


def amount(tree: Expression, scope: Scope) -> Interval:
    """Return what is known of a number."""
    match tree:
        case Number(value):
            return Interval.of(value)
        case Name(name):
            if name in scope.definitions:
                return amount(scope.definitions[name], scope)
            known = scope.fact(name).value
            return known if isinstance(known, Interval) else EVERYTHING
        case Negative(part):
            return -amount(part, scope)
        case Arithmetic(operator, left, right):
            return _OPERATORS[operator](amount(left, scope), amount(right, scope))
        case Call(function, parts):
            pick = smallest if function == "min" else largest
            return pick([amount(part, scope) for part in parts])
    raise AssertionError(f"'{text_of(tree)}' is no number")


_OPERATORS: dict[str, Callable[[Interval, Interval], Interval]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}


def _flag(name: str, scope: Scope) -> Judgement:
    if name in scope.definitions:
        return judge(scope.definitions[name], scope)
    fact = scope.fact(name)
    if isinstance(fact.value, bool):
        return Judgement(Truth.of(fact.value))
    return Judgement(Truth.UNKNOWN, (Reason(name, fact.source),))


def _joined(join: Callable[[Iterable[Truth]], Truth], parts: list[Judgement]) -> Judgement:
    truth = join(part.truth for part in parts)
    if truth is not Truth.UNKNOWN:
        return Judgement(truth)
    reasons = dict.fromkeys(reason for part in parts for reason in part.reasons)
    return Judgement(truth, tuple(reasons))


def _open(comparison: Comparison, scope: Scope) -> tuple[Reason, ...]:
    """Which quantities keep a comparison from being decided."""
    found: dict[Reason, None] = {}
    for name in _leaves(comparison, scope):
        fact = scope.fact(name)
        if not fact.exact:
            why = fact.source if fact.value is None else f"{fact.shown} ({fact.source}) is not sharp enough"
            found[Reason(name, f"{why}, for {text_of(comparison)}" if fact.value is not None else why)] = None
    if not found:
        names = ", ".join(dict.fromkeys(names_in(comparison)))
        found[Reason(names, f"{text_of(comparison)} has no value here: a division by zero")] = None
    return tuple(found)


def _leaves(tree: Expression, scope: Scope) -> Iterable[str]:
    if isinstance(tree, Name):
        if tree.name in scope.definitions:
            yield from _leaves(scope.definitions[tree.name], scope)
        else:
            yield tree.name
    for part in parts_of(tree):
        yield from _leaves(part, scope)
