"""Where a subject stands: every rule of some packs, what is missing, and how far each line is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from hanok.rules.declared import asked_kinds
from hanok.rules.errors import RulesError
from hanok.rules.evaluate import Scope, amount, judge
from hanok.rules.expression import (
    MIRRORED,
    Arithmetic,
    Comparison,
    Expression,
    Kind,
    Name,
    names_in,
    parts_of,
    text_of,
)
from hanok.rules.facts import Fact, Facts
from hanok.rules.interval import Interval, compare
from hanok.rules.pack import Pack, Rule
from hanok.rules.truth import Truth

NOT_LEGAL_ADVICE = (
    "Not legal advice: computed from the facts given and from rules as data, which may be incomplete, out of "
    "date or wrong. Ask a lawyer, or the authority, before you act."
)
NOT_LEGAL_ADVICE_KO = (
    "법률 자문이 아닙니다. 주어진 사실과 데이터로 옮긴 규칙으로 계산한 것이며, 규칙은 "
    "불완전하거나 오래되었거나 틀릴 수 있습니다. 실행하기 전에 변호사 또는 관할 기관에 확인하십시오."
)
Verdict = Literal["yes", "no", "unknown", "not in force"]


@dataclass(frozen=True)
class Missing:
    """A quantity without which a rule stays unknown."""

    quantity: str
    meaning: str
    meaning_ko: str
    why: str
    give: str


@dataclass(frozen=True)
class Headroom:
    """How far a quantity is from a line of a rule."""

    quantity: str
    operator: str
    line: Fraction
    value: Interval
    unit: str
    turning: tuple[str, Fraction, str] | None = None
    """Of a quotient of which the dividend is known: its divisor, the value that puts it on the line, unit."""

    @property
    def met(self) -> Truth:
        """Whether the comparison holds."""
        return compare(self.value, self.operator, Interval.of(self.line))

    @property
    def margin(self) -> Fraction | None:
        """Value less line, where the value is known exactly."""
        return None if self.value.value is None else self.value.value - self.line


@dataclass(frozen=True)
class Finding:
    """What a rule comes to."""

    rule: Rule
    verdict: Verdict
    missing: tuple[Missing, ...] = ()
    headroom: tuple[Headroom, ...] = ()


@dataclass(frozen=True)
class Derived:
    """A derived number of a pack."""

    quantity: str
    meaning: str
    value: Interval
    unit: str


@dataclass(frozen=True)
class PackFindings:
    """The findings of one pack on one day."""

    pack: Pack
    day: date
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, Fact], ...]
    """What of the facts the pack asks for, in its order; those without a value as well."""
    derived: tuple[Derived, ...]

    @property
    def is_later(self) -> bool:
        """The day is later than what the pack knows."""
        return self.day > self.pack.as_of

    def of(self, identity: str) -> Finding:
        """The finding of a rule."""
        return next(finding for finding in self.findings if finding.rule.id == identity)


@dataclass(frozen=True)
class Assessment:
    """All findings about a subject; never a verdict on the whole."""

    subject: str
    packs: tuple[PackFindings, ...]
    warnings: tuple[str, ...] = ()


def assess(
    subject: str, facts: Facts, packs: Sequence[Pack], day: date | None = None, warnings: Sequence[str] = ()
) -> Assessment:
    """Judge every rule of `packs` on `day` (None: the day as of which each pack was written)."""
    asked_kinds(packs)
    return Assessment(
        subject, tuple(_findings(pack, facts, day or pack.as_of) for pack in packs), tuple(warnings)
    )


def _findings(pack: Pack, facts: Facts, day: date) -> PackFindings:
    constants = {
        name: quantity.constant(day) for name, quantity in pack.quantity.items() if quantity.is_constant
    }
    scope = Scope(pack.definitions, {**facts, **constants})
    findings = tuple(_finding(pack, rule, scope, day) for rule in pack.rule)
    _check_groups(findings)
    return PackFindings(
        pack,
        day,
        findings,
        tuple((name, facts.get(name, Fact(None, "not given"))) for name in pack.asked),
        tuple(_derived(pack, scope)),
    )


def _finding(pack: Pack, rule: Rule, scope: Scope, day: date) -> Finding:
    if not rule.in_force(day):
        return Finding(rule, "not in force")
    tree = pack.conditions[rule.id]
    judgement = judge(tree, scope)
    missing = tuple(_missing(pack, reason.quantity, reason.why) for reason in judgement.reasons)
    return Finding(rule, judgement.truth.value, missing, tuple(dict.fromkeys(_lines(tree, pack, scope))))


def _missing(pack: Pack, name: str, why: str) -> Missing:
    quantity = pack.quantity.get(name)
    if quantity is None:
        return Missing(name, name, "", why, "")
    return Missing(name, quantity.meaning, quantity.meaning_ko, why, quantity.give)


def _lines(tree: Expression, pack: Pack, scope: Scope) -> Iterator[Headroom]:
    """The comparisons of a quantity with a known constant, also inside the flags that a tree names."""
    if isinstance(tree, Name) and tree.name in pack.definitions and pack.kinds[tree.name] is Kind.FLAG:
        yield from _lines(pack.definitions[tree.name], pack, scope)
    if isinstance(tree, Comparison):
        for side, other, operator in (
            (tree.left, tree.right, tree.operator),
            (tree.right, tree.left, MIRRORED[tree.operator]),
        ):
            line = _constant(other, pack, scope)
            if line is not None and _constant(side, pack, scope) is None:
                unit = pack.quantity[side.name].unit if isinstance(side, Name) else ""
                turning = _turning(side, line, pack, scope)
                yield Headroom(text_of(side), operator, line, amount(side, scope), unit, turning)
    for part in parts_of(tree):
        yield from _lines(part, pack, scope)


def _turning(side: Expression, line: Fraction, pack: Pack, scope: Scope) -> tuple[str, Fraction, str] | None:
    tree = pack.definitions.get(side.name) if isinstance(side, Name) else None
    match tree:
        case Arithmetic("/", dividend, Name(divisor)) if line > 0:
            known = amount(dividend, scope).value
            return None if known is None else (divisor, known / line, pack.quantity[divisor].unit)
    return None


def _constant(tree: Expression, pack: Pack, scope: Scope) -> Fraction | None:
    if all(pack.quantity[name].is_constant for name in names_in(tree)):
        return amount(tree, scope).value
    return None


def _derived(pack: Pack, scope: Scope) -> Iterator[Derived]:
    for name in pack.definitions:
        if pack.kinds[name] is Kind.NUMBER:
            quantity = pack.quantity[name]
            yield Derived(name, quantity.meaning, amount(Name(name), scope), quantity.unit)


def _check_groups(findings: Sequence[Finding]) -> None:
    """Refuse a pack of which two rules of a group hold at once; loading finds these, but derived values of a
    pack that was not loaded do not pass by either."""
    held: dict[str, str] = {}
    for finding in findings:
        rule = finding.rule
        if rule.group and finding.verdict == "yes":
            if rule.group in held:
                raise RulesError(
                    f"rules '{held[rule.group]}' and '{rule.id}' of group '{rule.group}' both hold"
                )
            held[rule.group] = rule.id
