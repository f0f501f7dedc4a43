"""Intervals of exact numbers: whatever holds for the numbers inside holds for the interval."""

from __future__ import annotations

import operator
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hanok.rules.exact import exact, readable
from hanok.rules.interval import EVERYTHING, Interval, compare, largest, smallest
from hanok.rules.truth import Truth, all_of, any_of

NUMBERS = st.fractions(min_value=-20, max_value=20, max_denominator=6)
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}


@st.composite
def interval_and_member(draw: st.DrawFn) -> tuple[Interval, Fraction]:
    """An interval, perhaps open to infinity on a side, and a number in it."""
    member = draw(NUMBERS)
    below, above = draw(st.fractions(0, 5)), draw(st.fractions(0, 5))
    low = None if draw(st.booleans()) else member - below
    high = None if draw(st.booleans()) else member + above
    return Interval(low, high), member


def holds(interval: Interval, value: Fraction) -> bool:
    return (interval.low is None or interval.low <= value) and (
        interval.high is None or value <= interval.high
    )


@settings(max_examples=60, deadline=None)
@given(interval_and_member(), interval_and_member(), st.sampled_from(list(OPERATORS)))
def test_results_of_members_are_in_the_result(
    one: tuple[Interval, Fraction], two: tuple[Interval, Fraction], sign: str
) -> None:
    assume(sign != "/" or two[1] != 0)
    assert holds(OPERATORS[sign](one[0], two[0]), OPERATORS[sign](one[1], two[1]))


@settings(max_examples=60, deadline=None)
@given(interval_and_member(), interval_and_member())
def test_least_and_greatest(one: tuple[Interval, Fraction], two: tuple[Interval, Fraction]) -> None:
    assert holds(smallest([one[0], two[0]]), min(one[1], two[1]))
    assert holds(largest([one[0], two[0]]), max(one[1], two[1]))


@settings(max_examples=60, deadline=None)
@given(interval_and_member(), interval_and_member(), st.sampled_from(list(COMPARE)))
def test_a_comparison_that_is_decided_holds_for_every_member(
    one: tuple[Interval, Fraction], two: tuple[Interval, Fraction], sign: str
) -> None:
    truth = compare(one[0], sign, two[0])
    if truth is not Truth.UNKNOWN:
        assert COMPARE[sign](one[1], two[1]) == (truth is Truth.YES)
    if one[0].value is not None and two[0].value is not None:
        assert truth is not Truth.UNKNOWN, "exact numbers always compare"


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS)
def test_exact_intervals_are_numbers(one: Fraction, two: Fraction) -> None:
    for sign, apply in OPERATORS.items():
        if sign != "/" or two:
            assert apply(Interval.of(one), Interval.of(two)).value == apply(one, two)
    assert Interval.of(one) / Interval.of(0) == EVERYTHING


def test_intervals_are_shown() -> None:
    shown = {
        Interval.of(Fraction(4992)): "4,992",
        Interval(None, None): "unknown",
        Interval(Fraction(1), None): "at least 1",
        Interval(None, Fraction(5, 2)): "at most 2.5",
        Interval(Fraction(1), Fraction(2)): "1 .. 2",
    }
    for interval, text in shown.items():
        assert str(interval) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("4800", "4,800"),
        ("6.0435835", "6.044"),
        ("15831.2", "15,831.2"),
        ("0.00001", "0.00001"),
        ("-0.25", "-0.25"),
        ("1e26", "1e26"),
        ("7.2e15", "7.2e15"),
        ("4799.999", "4,800"),
    ],
)
def test_numbers_are_readable(value: str, text: str) -> None:
    assert readable(Fraction(value)) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "not a number"),
        (1.5, "not a number"),
        ("1_000", "not a decimal"),
        ("inf", "not a decimal"),
        ("1e99", "exponent"),
        ("1" * 80, "digits"),
        (10**70, "digits"),
    ],
)
def test_what_is_no_exact_number_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact(value)


TRUTHS = (Truth.YES, Truth.NO, Truth.UNKNOWN)


@pytest.mark.parametrize("one", TRUTHS)
@pytest.mark.parametrize("two", TRUTHS)
def test_logic_is_what_every_completion_agrees_on(one: Truth, two: Truth) -> None:
    """Kleene: a result is known where all that the unknown could be gives the same."""

    def completions(truth: Truth) -> list[bool]:
        return [True, False] if truth is Truth.UNKNOWN else [truth is Truth.YES]

    for join, plain in ((all_of, all), (any_of, any)):
        results = {plain((left, right)) for left in completions(one) for right in completions(two)}
        expected = Truth.of(results.pop()) if len(results) == 1 else Truth.UNKNOWN
        assert join((one, two)) is expected
    assert ~one is {Truth.YES: Truth.NO, Truth.NO: Truth.YES, Truth.UNKNOWN: Truth.UNKNOWN}[one]
