"""The language of conditions: texts and trees, values against Python's own, what is refused and where."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.rules import expression as language
from hanok.rules.errors import RulesError
from hanok.rules.evaluate import Scope, amount, judge
from hanok.rules.expression import Expression, Kind, kind_of, parse, text_of
from hanok.rules.facts import Fact, number
from hanok.rules.interval import Interval
from hanok.rules.truth import Truth

KINDS = {
    **dict.fromkeys("abc", Kind.NUMBER),
    **dict.fromkeys("pqr", Kind.FLAG),
    "place": Kind.CHOICE,
}
VALUES = st.fractions(min_value=0, max_value=9, max_denominator=1).map(
    lambda value: value + Fraction(1, 4) * (value.numerator % 3)
)
NUMBERS = st.recursive(
    st.one_of(VALUES.map(language.Number), st.sampled_from("abc").map(language.Name)),
    lambda inner: st.one_of(
        st.builds(language.Negative, inner),
        st.builds(language.Arithmetic, st.sampled_from("+-*"), inner, inner),
        st.builds(
            language.Call, st.sampled_from(("min", "max")), st.lists(inner, min_size=2, max_size=3).map(tuple)
        ),
    ),
    max_leaves=4,
)
FLAGS = st.recursive(
    st.one_of(
        st.booleans().map(language.Flag),
        st.sampled_from("pqr").map(language.Name),
        st.builds(language.Comparison, st.sampled_from(language.COMPARISONS), NUMBERS, NUMBERS),
        st.just(language.Member(language.Name("place"), ("CN", "US"))),
    ),
    lambda inner: st.one_of(
        st.builds(language.Not, inner),
        st.builds(language.And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(language.Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
FACTS = st.fixed_dictionaries(
    dict.fromkeys("abc", VALUES)
    | {name: st.booleans() for name in "pqr"}
    | {"place": st.sampled_from(("CN", "KR"))}
)


def as_fact(value: Any) -> Fact:
    return number(value, "test") if isinstance(value, Fraction) else Fact(value, "test")


def by_python(text: str, values: dict[str, Any]) -> Any:
    """The value of a text as Python has it; the language is a part of Python's but for yes and no."""
    exact_text = re.sub(r"\d+(\.\d+)?", lambda found: f"F('{found[0]}')", text)
    names = {**values, "F": Fraction, "yes": True, "no": False, "min": min, "max": max}
    return eval(exact_text, {"__builtins__": {}}, names)


@settings(max_examples=60, deadline=None)
@given(FLAGS)
def test_a_tree_is_its_text(tree: Expression) -> None:
    assert parse(text_of(tree), "test") == tree
    assert kind_of(tree, KINDS, "test") is Kind.FLAG


@settings(max_examples=60, deadline=None)
@given(FLAGS, FACTS)
def test_conditions_are_what_python_makes_of_their_text(tree: Expression, values: dict[str, Any]) -> None:
    scope = Scope({}, {name: as_fact(value) for name, value in values.items()})
    found = judge(tree, scope)
    assert found.truth is Truth.of(bool(by_python(text_of(tree), values)))
    assert not found.reasons


@settings(max_examples=60, deadline=None)
@given(NUMBERS, FACTS)
def test_numbers_are_what_python_makes_of_their_text(tree: Expression, values: dict[str, Any]) -> None:
    scope = Scope({}, {name: as_fact(value) for name, value in values.items()})
    assert amount(tree, scope).value == by_python(text_of(tree), values)


@settings(max_examples=60, deadline=None)
@given(FLAGS, FACTS, st.sets(st.sampled_from(("a", "b", "c", "p", "q", "place"))), st.booleans())
def test_what_is_decided_without_all_facts_stays_so(
    tree: Expression, values: dict[str, Any], hidden: set[str], loose: bool
) -> None:
    """A yes or a no under missing or loose facts is the one under all of them; an unknown says why."""
    facts = {name: as_fact(value) for name, value in values.items() if name not in hidden}
    for name in hidden & set("abc"):
        if loose:
            facts[name] = Fact(Interval(values[name] - 1, values[name] + 2), "loose")
    partly = judge(tree, Scope({}, facts))
    if partly.truth is Truth.UNKNOWN:
        assert {reason.quantity for reason in partly.reasons} <= hidden
        assert partly.reasons
    else:
        assert partly.truth is Truth.of(bool(by_python(text_of(tree), values)))


def test_chains_and_definitions() -> None:
    tree = parse("1.6 <= density < 5.92", "test")
    assert text_of(tree) == "(1.6 <= density) and (density < 5.92)"
    scope = Scope({"density": parse("a / b", "test")}, {"a": number(8, "t"), "b": number(5, "t")})
    assert judge(tree, scope).truth is Truth.YES
    assert judge(parse("density > 1.6", "test"), scope).truth is Truth.NO


def test_a_missing_quantity_matters_only_where_it_decides() -> None:
    scope = Scope({}, {"a": number(100, "t")})
    assert judge(parse("a >= 4800 or (a >= 1600 and b >= 5.92)", "test"), scope).truth is Truth.NO
    enough = judge(parse("a >= 50 and b >= 5.92", "test"), scope)
    assert enough.truth is Truth.UNKNOWN
    assert [reason.quantity for reason in enough.reasons] == ["b"]


def test_a_loose_quantity_says_where_it_lies() -> None:
    scope = Scope({}, {"a": Fact(Interval(Fraction(2), Fraction(7)), "an estimate")})
    found = judge(parse("a >= 5.92", "test"), scope)
    assert found.reasons[0].why == "2 .. 7 (an estimate) is not sharp enough, for a >= 5.92"


def test_a_division_by_zero_is_unknown_and_says_so() -> None:
    scope = Scope({}, {"a": number(1, "t"), "b": number(0, "t")})
    found = judge(parse("a / b >= 1", "test"), scope)
    assert found.truth is Truth.UNKNOWN
    assert "division by zero" in found.reasons[0].why


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a >=", "stands where a number"),
        ("a > 1 b", "'b' is not expected here"),
        ("(a > 1", "')' is missing"),
        ("a @ 1", "'@ 1' at character 3 is not part of the language"),
        ("__import__('os').system('x')", "'.system('x')' at character 17"),
        ("place in {CN}", "single quotes"),
        ("place in {'CN'", "'}' is missing"),
        ("1 in {'CN'}", "before 'in' stands the name"),
        ("min(a", "')' is missing"),
        ("and", "stands where a number"),
        ("a > 1e99", "exponent"),
        ("(" * 40 + "a", "nested deeper than 32"),
        ("not " * 40 + "p", "nested deeper than 32"),
        ("-" * 40 + "a", "nested deeper than 32"),
        ("a > " + "1 + " * 400 + "1", "more than 300 parts"),
        ("a" * 2001, "at most 2000"),
        ("", "stands where a number"),
    ],
)
def test_texts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(RulesError, match=re.escape(message)) as found:
        parse(text, "rule 'x'")
    assert str(found.value).startswith("rule 'x': ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d > 1", "'d' is not a quantity of this pack"),
        ("p > 1", "'p' is a flag where a number must stand"),
        ("a and p", "'a' is a number where a flag must stand"),
        ("a in {'x'}", "'a' is a number where a choice must stand"),
        ("not a", "'a' is a number where a flag"),
        ("min(p, a) > 1", "'p' is a flag where a number"),
    ],
)
def test_types_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(RulesError, match=re.escape(message)):
        kind_of(parse(text, "test"), KINDS, "test")
