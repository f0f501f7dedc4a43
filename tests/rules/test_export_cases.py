"""US export control: known chips, every line from both sides, memories, foundries, the lane of 2026."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from export_cases import BOUNDARIES, CHIPS, MEMORIES, Boundary, Chip, MemoryCase

from hanok.rules._record import check
from hanok.rules.assess import PackFindings, assess
from hanok.rules.datasheet import Datasheet
from hanok.rules.facts import Fact, flag, number
from hanok.rules.interval import Interval
from hanok.rules.load import load_pack

LANE = date(2026, 1, 15)


def judged(sheet: dict[str, Any], *facts: tuple[str, Fact], day: date | None = None) -> PackFindings:
    found = check(Datasheet, sheet, "test").facts | dict(facts)
    return assess("test", found, [load_pack("us-export")], day).packs[0]


def items(findings: PackFindings) -> dict[str, str]:
    return {name: findings.of(f"3A090.{name}").verdict for name in ("a", "b")}


def rounded(value: Interval, places: int) -> Fraction:
    assert value.value is not None
    return round(value.value, places)


@pytest.mark.parametrize("case", CHIPS, ids=lambda case: case.name)
def test_a_chip_of_the_market(case: Chip) -> None:
    found = judged(case.datasheet, ("for_data_centres", flag(case.data_centre, "its maker")))
    tpp = dict(found.facts)["tpp"].value
    assert isinstance(tpp, Interval)
    assert rounded(tpp, 0) == case.tpp
    places = len(case.density.partition(".")[2])
    assert abs(rounded(found.derived[0].value, places) - Fraction(case.density)) <= Fraction(0)
    assert items(found) == {name: "yes" if name == case.item else "no" for name in ("a", "b")}
    assert found.of("2026 lane (limits)").verdict == ("yes" if case.lane else "no")


def test_too_little_is_known_of_mi308() -> None:
    """Neither its peak nor the area of its dies is published in a way that could be relied on."""
    sheet = {
        "name": "MI308",
        "kind": "logic",
        "unit": [{"name": "matrix cores", "mode": [{"inputs": ["fp8"]}]}],
    }
    found = judged(sheet, ("for_data_centres", flag(True, "its maker")))
    assert items(found) == {"a": "unknown", "b": "unknown"}
    missing = {item.quantity for item in found.of("3A090.a").missing}
    assert missing == {"tpp", "applicable_die_mm2"}


@pytest.mark.parametrize("case", BOUNDARIES, ids=str)
def test_a_line_from_both_sides(case: Boundary) -> None:
    tpp, density = Fraction(case.tpp), Fraction(case.density)
    facts = {
        "tpp": number(tpp, "test"),
        "applicable_die_mm2": number(tpp / density, "test"),
        "for_data_centres": flag(case.data_centre, "test"),
    }
    found = assess("test", facts, [load_pack("us-export")]).packs[0]
    assert items(found) == {name: "yes" if name == case.item else "no" for name in ("a", "b")}
    assert found.derived[0].value.value == density, "rationals lose nothing"


NEAR = [Fraction(tpp) for tpp in (0, 1599, 1600, 1601, 2399, 2400, 2401, 4799, 4800, 4801, 20999, 21000)]
AREAS = [
    Fraction(100),
    *(tpp / density for tpp in NEAR[1:] for density in map(Fraction, ("1.6", "3.2", "5.92"))),
]


def in_plain_python(tpp: Fraction, area: Fraction, data_centre: bool) -> tuple[bool, bool]:
    """3A090.a and .b as their text says, and Note 2: neither for what is not for data centres below 4800."""
    density = tpp / area
    a = tpp >= 4800 or (tpp >= 1600 and density >= Fraction("5.92"))
    low = 2400 <= tpp < 4800 and Fraction("1.6") <= density < Fraction("5.92")
    b = low or (tpp >= 1600 and Fraction("3.2") <= density < Fraction("5.92"))
    if not data_centre and tpp < 4800:
        return False, False
    return a, b and not a


@pytest.mark.parametrize("data_centre", [True, False])
@pytest.mark.parametrize("tpp", NEAR)
def test_the_pack_is_its_text(tpp: Fraction, data_centre: bool) -> None:
    """On and beside every line; without the area, the result is what all areas agree on."""
    pack = load_pack("us-export")
    facts = {"tpp": number(tpp, "t"), "for_data_centres": flag(data_centre, "t")}
    seen = set()
    for area in sorted(AREAS):
        expected = in_plain_python(tpp, area, data_centre)
        found = items(assess("x", facts | {"applicable_die_mm2": number(area, "t")}, [pack]).packs[0])
        assert (found["a"] == "yes", found["b"] == "yes") == expected
        seen.add(expected)
    without = items(assess("x", facts, [pack]).packs[0])
    for place, name in enumerate("ab"):
        answers = {expected[place] for expected in seen}
        assert without[name] == ("unknown" if len(answers) == 2 else "yes" if answers == {True} else "no")


@pytest.mark.parametrize("case", MEMORIES, ids=lambda case: case.name)
def test_a_memory(case: MemoryCase) -> None:
    memory: dict[str, Any] = {
        "family": case.family,
        "bandwidth_gb_s": case.bandwidth,
        "area_mm2": case.area,
        "co_packaged_with_logic": case.co_packaged,
    }
    found = judged({"name": case.name, "kind": "memory", "memory": memory})
    density = next(item.value for item in found.derived if item.quantity == "memory_bandwidth_density")
    places = len(case.density.partition(".")[2])
    assert rounded(density, places) == Fraction(case.density)
    assert found.of("3A090.c").verdict == ("yes" if case.controlled else "no")
    assert found.of("License Exception HBM").verdict == ("yes" if case.exception else "no")
    assert items(found) == {"a": "no", "b": "no"}


def test_int4_times_fp16_counts_16_bits() -> None:
    sheet = {
        "name": "mixed",
        "kind": "logic",
        "unit": [{"name": "u", "mode": [{"inputs": ["int4", "fp16"], "tops": 300}]}],
    }
    assert dict(judged(sheet).facts)["tpp"].value == Interval.of(4800)


def test_units_add_up_and_each_counts_in_its_best_mode() -> None:
    """2 x 100 MacTOPS x 8 bits = 1600, 2 x 60 x 16 = 1920: the second; and a unit of 2 x 10 x 32 = 640."""
    modes = [{"inputs": ["int8"], "tops": 200}, {"inputs": ["fp16"], "tops": 120}]
    units = [
        {"name": "matrix", "mode": modes},
        {"name": "vector", "mode": [{"inputs": ["fp32"], "tops": 20}]},
    ]
    found = judged({"name": "two units", "kind": "logic", "unit": units})
    assert dict(found.facts)["tpp"].value == Interval.of(1920 + 640)


def foundry(day: date, **facts: Any) -> str:
    known: dict[str, Fact] = {"logic_circuit": flag(True, "t"), "process_nm": number(5, "t")}
    known |= {"designer_attests": flag(False, "t"), "exporter": Fact("foundry", "t")}
    for name, value in facts.items():
        known[name] = Fact(
            Interval.of(value) if isinstance(value, int) and not isinstance(value, bool) else value, "t"
        )
    return assess("chip", known, [load_pack("us-export")], day).packs[0].of("Foundry presumption").verdict


OUTSIDE = {"packaged_by": "foundry-outside-d5", "contains_hbm": False}


@pytest.mark.parametrize(
    ("year", "facts", "verdict"),
    [
        (2026, {"packaged_by": "other"}, "yes"),
        (2026, {"packaged_by": "other", "exporter": "designer"}, "no"),
        (2026, {"packaged_by": "other", "exporter": "osat"}, "yes"),
        (2026, {"packaged_by": "other", "designer_attests": True}, "no"),
        (2026, {"packaged_by": "other", "process_nm": 16}, "yes"),
        (2026, {"packaged_by": "other", "process_nm": 28, "non_planar": False}, "no"),
        (2026, {"packaged_by": "other", "process_nm": 22, "non_planar": True}, "yes"),
        (2026, {"packaged_by": "other", "logic_circuit": False}, "no"),
        (2026, OUTSIDE | {"transistors_billions": 29}, "no"),
        (2026, OUTSIDE | {"transistors_billions": 30}, "yes"),
        (2027, OUTSIDE | {"transistors_billions": 34}, "no"),
        (2027, OUTSIDE | {"transistors_billions": 34, "contains_hbm": True}, "yes"),
        (2027, OUTSIDE | {"transistors_billions": 35}, "yes"),
        (2028, OUTSIDE | {"transistors_billions": 34}, "yes"),
        (2029, OUTSIDE | {"transistors_billions": 39}, "no"),
        (2029, OUTSIDE | {"transistors_billions": 40}, "yes"),
        (2026, {"packaged_by": "approved-osat", "transistors_billions": 29}, "no"),
        (2026, {"packaged_by": "approved-osat"}, "unknown"),
        (2025, {"packaged_by": "other"}, "not in force"),
    ],
)  # fmt: skip
def test_the_presumption_of_foundries(year: int, facts: dict[str, Any], verdict: str) -> None:
    """From 31 January 2025; the tests of 2025 ask for New Year's Day."""
    assert foundry(date(year, 1, 1), **facts) == verdict


@pytest.mark.parametrize(
    ("tpp", "bandwidth", "limits"),
    [
        ("20999.99", "6499.99", "yes"),
        ("21000", "6499.99", "no"),
        ("20999.99", "6500", "no"),
        ("4800", "1", "yes"),
    ],
)
def test_the_lane_of_2026_has_two_limits(tpp: str, bandwidth: str, limits: str) -> None:
    facts = {"tpp": number(Fraction(tpp), "t"), "dram_bandwidth_gb_s": number(Fraction(bandwidth), "t")}
    pack = load_pack("us-export")
    found = assess("chip", facts, [pack]).packs[0]
    assert found.of("2026 lane (limits)").verdict == limits
    assert found.of("2026 lane (open)").verdict == ("unknown" if limits == "yes" else "no")
    before = assess("chip", facts, [pack], date(2026, 1, 14)).packs[0]
    assert before.of("2026 lane (limits)").verdict == "not in force"


def test_the_lane_is_open_when_all_its_conditions_are_met() -> None:
    facts = {
        "tpp": number(15831, "t"),
        "dram_bandwidth_gb_s": number(4800, "t"),
        "destination": Fact("CN", "t"),
    }
    for name in ("exported_from_us", "sold_in_us_by_2026_01_15", "lane_certified"):
        assert (
            assess("H200", facts, [load_pack("us-export")]).packs[0].of("2026 lane (open)").verdict
            == "unknown"
        )
        facts[name] = flag(True, "t")
    found = assess("H200", facts, [load_pack("us-export")]).packs[0]
    assert found.of("2026 lane (open)").verdict == "yes"
    assert found.of("742.6 destination").verdict == "yes", "a licence is needed all the same"
    facts["destination"] = Fact("US", "t")
    assert assess("H200", facts, [load_pack("us-export")]).packs[0].of("2026 lane (open)").verdict == "no"


def test_there_are_at_least_forty_cases() -> None:
    assert len(CHIPS) + len(BOUNDARIES) + len(MEMORIES) >= 40
