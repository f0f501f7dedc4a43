"""Rule packs: what is checked when one is loaded, overlaps against brute force, and the built-in ones."""

from __future__ import annotations

import re
import time
from datetime import date
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.rules._record import check, parse_toml
from hanok.rules.assess import assess
from hanok.rules.errors import RulesError
from hanok.rules.evaluate import Scope, judge
from hanok.rules.expression import parse
from hanok.rules.facts import Fact, flag, number
from hanok.rules.load import builtin_packs, load_pack, make_pack
from hanok.rules.pack import Pack
from hanok.rules.truth import Truth

TEXT = """
format = 1
id = "mine"
title = "My rules"
jurisdiction = "Nowhere"
law = "None"
as_of = 2026-01-01

[quantity.speed]
kind = "number"
meaning = "speed"
[quantity.area]
kind = "number"
meaning = "area"
[quantity.density]
kind = "number"
meaning = "density"
definition = "speed / area"
[quantity.big]
kind = "flag"
meaning = "big"
definition = "speed >= 10"
[quantity.limit]
kind = "number"
meaning = "a line that changes"
dated = [{ from = 2026-01-01, value = 20 }, { from = 2027-01-01, value = 30 }]

[[rule]]
id = "A"
title = "big"
kind = "classification"
group = "size"
condition = "big"
consequence = "c"
citation = "s"
confidence = "high"
from = 2026-01-01
[[rule]]
id = "B"
title = "small"
kind = "classification"
group = "size"
condition = "speed < 10"
consequence = "c"
citation = "s"
confidence = "high"
from = 2026-01-01
"""


def changed(old: str, new: str, count: int = 1) -> dict[str, Any]:
    assert old in TEXT
    return parse_toml(TEXT.replace(old, new, count), "mine.toml")


def test_a_pack_is_loaded() -> None:
    pack = make_pack(parse_toml(TEXT, "mine.toml"), "mine.toml")
    assert pack.asked == ("speed", "area")
    assert [rule.id for rule in pack.rule] == ["A", "B"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('law = "None"', 'law = "None"\ncolour = "red"', "colour: unknown field (found 'red')"),
        ('consequence = "c"', 'consequence = "c"\nnote = 1', "rule.0.note: unknown field"),
        ("format = 1", "format = 2", "format: Input should be 1"),
        ("format = 1", "", "format: Field required"),
        ("as_of = 2026-01-01", 'as_of = "soon"', "as_of: Input should be a valid date"),
        ('id = "mine"', 'id = "My Pack"', "id: String should match pattern"),
        ('condition = "big"', 'condition = "big and"', "rule 'A': condition: 'the end' stands where"),
        ('condition = "big"', 'condition = "huge"', "'huge' is not a quantity of this pack"),
        ('condition = "big"', 'condition = "speed"', "is a number; a condition is yes or no"),
        ('definition = "speed / area"', 'definition = "speed > 1"', "is a flag; the quantity is a number"),
        ('kind = "flag"', 'kind = "choice"', "a choice is given by facts alone"),
        ('definition = "speed / area"', 'definition = "density + 1"', "definitions need each other"),
        ('condition = "big"', 'condition = "big and speed < 5"', "no facts make it hold"),
        ('condition = "speed < 10"', 'condition = "speed < 11"', "'A' and 'B' of group 'size' overlap: both"),
        ('id = "B"', 'id = "A"', "rule 'A': stands twice"),
        ('confidence = "high"', 'confidence = "sure"', "confidence: Input should be 'high'"),
        ("from = 2026-01-01\n[[rule]]", "from = 2026-01-01\nuntil = 2025-01-01\n[[rule]]", "is before from"),
        ("value = 20 }", "value = 20.5.1 }", "not a TOML file"),
        ("value = 20 }", 'value = "many" }', "'many' is not a decimal number"),
        ("value = 20 }", "value = inf }", "is not a decimal number"),
        ('kind = "flag"', 'kind = "flag"\nvalue = 3', "has more than one of definition, value"),
        ('meaning = "area"', 'meaning = "area"\ndated = [{ from = 2027-01-01, value = 1 }, '
         "{ from = 2026-01-01, value = 1 }]", "in the order of their days"),
        ("[quantity.big]", "[quantity.Big]", "quantity.Big.[key]: String should match"),
        ("[quantity.area]", "[quantity.not]", "is a word of the language"),
    ],
)  # fmt: skip
def test_packs_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(RulesError, match=re.escape(message)) as found:
        make_pack(changed(old, new), "mine.toml")
    assert str(found.value).startswith("mine.toml: ")


def test_evidence_has_its_own_ids() -> None:
    twice = '\n[[rule.evidence]]\nid = "e"\ntext = "t"' * 2
    with pytest.raises(RulesError, match="two pieces of evidence have one id"):
        make_pack(parse_toml(TEXT + twice, "mine.toml"), "mine.toml")


def test_files_that_are_no_packs(tmp_path: Path) -> None:
    with pytest.raises(
        RulesError, match="neither a pack of hanok nor a file; packs: kr-ai-act, kr-technology"
    ):
        load_pack("eu-export")
    with pytest.raises(RulesError, match="there is no such file"):
        load_pack(tmp_path / "none.toml")
    cases = {
        "deep.toml": ("a = " + "[" * 40 + "]" * 40, "nested deeper than 32"),
        "dots.toml": (".".join("a" * 40) + " = 1", "a key of more than 32 parts"),
        "text.toml": ("this is no pack", "not a TOML file"),
        "huge.toml": ("#" * (1 << 20) + "\n", "at most 1048576"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(RulesError, match=message):
            load_pack(tmp_path / name)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RulesError, match="not UTF-8 at byte 0"):
        load_pack(tmp_path / "bytes.toml")


def test_rules_of_a_group_that_are_never_in_force_together_do_not_overlap() -> None:
    """The rule of a law before and after it changed."""
    text = TEXT.replace("from = 2026-01-01\n[[rule]]", "from = 2026-01-01\nuntil = 2026-06-30\n[[rule]]")
    text = text.replace('condition = "speed < 10"', 'condition = "speed >= 8"')
    with pytest.raises(RulesError, match="overlap"):
        make_pack(parse_toml(text, "t"), "t")
    later = text[::-1].replace("from = 2026-01-01"[::-1], "from = 2026-07-01"[::-1], 1)[::-1]
    pack = make_pack(parse_toml(later, "t"), "t")
    facts = {"speed": number(9, "t")}
    assert assess("x", facts, [pack], date(2026, 6, 30)).packs[0].of("B").verdict == "not in force"
    assert assess("x", facts, [pack], date(2026, 7, 1)).packs[0].of("B").verdict == "yes"


def test_an_overlap_that_a_constant_makes_later_is_found() -> None:
    """Below 20 and from 20 on are apart; when the line moves to 30 they are not."""
    text = TEXT.replace('condition = "big"', 'condition = "speed >= 20"')
    text = text.replace('condition = "speed < 10"', 'condition = "speed < limit"')
    with pytest.raises(RulesError, match="'A' and 'B' of group 'size' overlap: both hold for speed = "):
        make_pack(parse_toml(text, "t"), "t")
    dated_once = text.replace(", { from = 2027-01-01, value = 30 }", "")
    pack = make_pack(parse_toml(dated_once, "t"), "t")
    assert assess("x", {"speed": number(25, "t")}, [pack]).packs[0].of("A").verdict == "yes"


def test_values_change_with_the_day() -> None:
    text = TEXT.replace('condition = "speed < 10"', 'condition = "speed < 10 and area >= limit"')
    pack = make_pack(parse_toml(text, "t"), "t")
    facts = {"speed": number(5, "t"), "area": number(25, "t")}
    found = [assess("x", facts, [pack], date(year, 1, 1)).packs[0] for year in (2025, 2026, 2027)]
    assert [each.of("B").verdict for each in found] == ["not in force", "yes", "no"]
    assert [each.is_later for each in found] == [False, False, True]


LIMITS = st.integers(0, 4)
COMPARISON = st.builds(
    lambda name, sign, limit: f"{name} {sign} {limit}",
    st.sampled_from(("speed", "area", "density")),
    st.sampled_from((">=", ">", "<=", "<", "==", "!=")),
    LIMITS,
)
CONDITION = st.recursive(
    st.one_of(COMPARISON, st.just("red")),
    lambda inner: st.one_of(
        st.builds(lambda part: f"not ({part})", inner),
        st.builds(lambda one, two: f"({one}) and ({two})", inner, inner),
        st.builds(lambda one, two: f"({one}) or ({two})", inner, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(CONDITION, CONDITION)
def test_overlaps_are_those_that_brute_force_finds(one: str, two: str) -> None:
    """Halves from -1 to 5 hold every case of thresholds from 0 to 4; no definition ties them together."""
    text = TEXT.replace('definition = "speed / area"\n', "")
    text = text.replace("[quantity.big]", '[quantity.red]\nkind = "flag"\nmeaning = "red"\n[quantity.big]')
    content = parse_toml(
        text.replace('"big"\nconseq', f'"{one}"\nconseq').replace('"speed < 10"', f'"{two}"'), "t"
    )
    apart = make_pack(parse_toml(text, "t"), "t")
    grid = [value / 2 for value in range(-2, 11)]
    holds = {"A": False, "B": False, "both": False}
    trees = [parse(condition, "t") for condition in (one, two)]
    used = [name for name in ("speed", "area", "density") if name in one + two]
    for values in product(grid, repeat=len(used)):
        for red in (True, False):
            facts: dict[str, Fact] = {
                name: number(Fraction(value), "t") for name, value in zip(used, values, strict=True)
            }
            facts["red"] = flag(red, "t")
            first, second = (judge(tree, Scope({}, facts)).truth is Truth.YES for tree in trees)
            holds = {
                "A": holds["A"] or first,
                "B": holds["B"] or second,
                "both": holds["both"] or (first and second),
            }
    assert apart.rule
    try:
        make_pack(content, "t")
        found = ""
    except RulesError as error:
        found = str(error)
    if not (holds["A"] and holds["B"]):
        assert "no facts make it hold" in found
    else:
        assert ("overlap" in found) == holds["both"], found


def test_two_rules_of_a_group_never_both_hold_even_in_a_pack_that_was_not_checked() -> None:
    pack = check(Pack, changed('condition = "speed < 10"', 'condition = "speed < 11"'), "t")
    assert assess("x", {"speed": number(5, "t")}, [pack]).packs[0].of("B").verdict == "yes"
    with pytest.raises(RulesError, match="rules 'A' and 'B' of group 'size' both hold"):
        assess("x", {"speed": number(10, "t")}, [pack])


def test_a_hostile_pack_is_refused_in_time() -> None:
    """Two hundred rules of one group, each with its own thresholds of ten quantities."""
    names = [f"q{number}" for number in range(10)]
    quantities = "".join(f'[quantity.{name}]\nkind = "number"\nmeaning = "m"\n' for name in names)
    head = TEXT[: TEXT.index("[[rule]]")]
    body = TEXT[TEXT.index("[[rule]]") :].split("[[rule]]")[1]
    rules = []
    for place in range(200):
        parts = " and ".join(f"({name} < {place} or {name} > {place + 1})" for name in names)
        rule = body.replace('id = "A"', f'id = "R{place}"').replace(
            'condition = "big"', f'condition = "{parts}"'
        )
        rules.append(f"[[rule]]{rule}")
    begin = time.process_time()
    with pytest.raises(RulesError, match=r"overlap|more than 20,000 cases"):
        make_pack(parse_toml(head + quantities + "".join(rules), "t"), "t")
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("name", builtin_packs())
def test_built_in_packs_cite_and_say_how_sure_they_are(name: str) -> None:
    pack = load_pack(name)
    assert pack.id == name
    for rule in pack.rule:
        assert rule.citation
        assert rule.title_ko, "a Korean user reads it too"
        assert rule.consequence_ko
        assert rule.since <= pack.as_of, "a pack knows nothing of the future"
        if rule.confidence != "high":
            assert rule.why_confidence or rule.kind in ("duty", "information")
    for quantity in pack.quantity.values():
        assert quantity.definition or quantity.is_constant or quantity.give or quantity.kind == "flag"
    speeches = " ".join(f"{rule.consequence} {rule.title}" for rule in pack.rule).lower()
    assert "compliant" not in speeches
