"""Facts of chips: descriptions, presets, estimates that bound a die from below, datasheets, declarations."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import HanokError
from hanok.estimate import estimate_area
from hanok.machine import Chip, preset_names
from hanok.rules._record import check, parse_toml
from hanok.rules.assess import Assessment, assess
from hanok.rules.chip_facts import chip_facts, chip_units
from hanok.rules.datasheet import Datasheet
from hanok.rules.errors import RulesError
from hanok.rules.facts import Fact, flag
from hanok.rules.interval import Interval
from hanok.rules.load import load_pack, make_pack
from hanok.rules.performance import bits_of, non_planar_by_node
from hanok.rules.product import Product, read_product
from hanok.rules.subject import EXPORT_PACKS, Given, assess_export, read_subject

PACKS = [load_pack(name) for name in EXPORT_PACKS]


def verdict(assessment: Assessment, identity: str) -> str:
    return assessment.packs[0].of(identity).verdict


def grown(**core: Any) -> Chip:
    """The server preset with other cores, clocks or nodes."""
    chip = Chip.load("server")
    matrix = chip.core.matrix.model_copy(
        update={key: core[key] for key in ("rows", "columns") if key in core}
    )
    changed = chip.model_copy(update={"core": chip.core.model_copy(update={"matrix": matrix})})
    node = changed.technology.model_copy(update={"node_nm": core.get("node_nm", 5.0)})
    return changed.model_copy(update={"clock_mhz": core.get("clock_mhz", 1400), "technology": node})


@pytest.mark.parametrize("name", preset_names())
def test_tpp_of_a_preset_is_its_multipliers_and_its_vector_steps(name: str) -> None:
    """By hand: operations a second in 10^12, times the bits of their inputs."""
    chip = Chip.load(name)
    matrix = 2 * Fraction(chip.core.matrix.rows * chip.core.matrix.columns * chip.clock_mhz, 10**6) * 8
    vector = 2 * Fraction(chip.core.vector.lanes * chip.core.vector.stages * chip.clock_mhz, 10**6) * 32
    assert chip_facts(chip)["tpp"].value == Interval.of(matrix + vector)
    assert float(matrix) == pytest.approx(8 * chip.peak_tops)


@pytest.mark.parametrize("name", preset_names())
def test_no_preset_is_under_3a090(name: str) -> None:
    """The largest, server, has a TPP of 1560 of 1600."""
    assessment, _ = assess_export(read_subject(name), PACKS)
    assert {verdict(assessment, f"3A090.{part}") for part in "abc"} == {"no"}
    assert assessment.packs[1].of("Strategic goods: AI semiconductor").verdict == "unknown"


def test_an_estimate_bounds_the_die_from_below_only() -> None:
    """4 x the server's array: TPP in the thousands. The core's area leaves both sides of the line open."""
    chip = grown(rows=512, columns=512)
    facts = chip_facts(chip)
    area = facts["applicable_die_mm2"].value
    assert isinstance(area, Interval)
    assert area.high is None
    assert area.low is not None
    assert 0 <= estimate_area(chip).total.low - float(area.low) < 1e-3
    facts["for_data_centres"] = flag(True, "t")
    found = assess("chip", facts, PACKS).packs[0]
    assert found.of("3A090.a").verdict == "yes", "TPP of 5872 + 92 alone"
    slower = chip_facts(grown(rows=512, columns=512, clock_mhz=1000)) | {"for_data_centres": flag(True, "t")}
    found = assess("chip", slower, PACKS).packs[0]
    assert found.of("3A090.a").verdict == "unknown"
    assert [item.quantity for item in found.of("3A090.a").missing] == ["applicable_die_mm2"]
    line = next(line for line in found.of("3A090.a").headroom if line.line == Fraction("5.92"))
    tpp = dict(found.facts)["tpp"].value
    assert isinstance(tpp, Interval)
    assert tpp.value is not None
    assert line.turning == ("applicable_die_mm2", tpp.value / Fraction("5.92"), "mm2")


@pytest.mark.parametrize(("die_mm2", "item"), [("700", "a"), ("800", "b"), ("2600", "b"), ("2700", "")])
def test_a_die_that_is_given_decides(die_mm2: str, item: str) -> None:
    """TPP 4194.3 + 65.5 at 1 GHz; over 700 mm2 6.09, over 800 5.32, over 2600 1.64, over 2700 1.58."""
    facts = chip_facts(grown(rows=512, columns=512, clock_mhz=1000), die_mm2=Fraction(die_mm2))
    facts["for_data_centres"] = flag(True, "t")
    found = assess("chip", facts, PACKS).packs[0]
    assert [name for name in "ab" if found.of(f"3A090.{name}").verdict == "yes"] == list(item)


def test_planar_dies_do_not_count_and_leave_the_density_unknown() -> None:
    chip = grown(rows=512, columns=512, clock_mhz=1000, node_nm=40.0)
    facts = chip_facts(chip, die_mm2=Fraction(800)) | {"for_data_centres": flag(True, "t")}
    assert facts["applicable_die_mm2"].value == Interval.of(0)
    found = assess("chip", facts, PACKS).packs[0].of("3A090.a")
    assert found.verdict == "unknown"
    assert "division by zero" in found.missing[0].why
    forced = chip_facts(chip, die_mm2=Fraction(800), non_planar=True)
    assert forced["applicable_die_mm2"].value == Interval.of(800)


@pytest.mark.parametrize(
    ("node", "known"), [("3", True), ("16", True), ("20", None), ("22", None), ("28", False)]
)
def test_what_a_node_tells(node: str, known: bool | None) -> None:
    assert non_planar_by_node(Fraction(node)) is known


def test_units_of_a_chip_are_named() -> None:
    assert [unit.name for unit in chip_units(Chip.load("nano"))] == [
        "matrix unit, 8 x 8 multipliers at 100 MHz",
        "vector unit, 2 lanes of 1 fused steps",
    ]


def test_flat_memory_does_not_say_whether_it_is_hbm() -> None:
    assert chip_facts(Chip.load("nano"))["contains_hbm"].value is None
    assert chip_facts(Chip.load("server"))["contains_hbm"].value is True
    assert chip_facts(Chip.load("edge"))["dram_bandwidth_gb_s"].value == Interval.of(Fraction("68.264"))


SHEET = """
name = "chip"
kind = "logic"
[[unit]]
name = "u"
[[unit.mode]]
inputs = ["int8"]
tops = 400.5
[[die]]
name = "compute"
mm2 = 100
count = 2
process_nm = 5
[[die]]
name = "unclear"
mm2 = 50
process_nm = 22
[[die]]
name = "old"
mm2 = 70
transistors = "planar"
"""


def test_dies_add_up_and_an_unclear_one_leaves_a_range() -> None:
    facts = check(Datasheet, parse_toml(SHEET, "t"), "t").facts
    assert facts["applicable_die_mm2"].value == Interval(Fraction(200), Fraction(250))
    assert facts["tpp"].value == Interval.of(Fraction("400.5") * 8)
    assert facts["process_nm"].value == Interval.of(5)
    assert facts["non_planar"].value is True


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('inputs = ["int8"]', 'inputs = ["tf32"]', "does not tell its bits; write int8, fp16"),
        ('inputs = ["int8"]', "inputs = []", "unit.0.mode.0.inputs: "),
        ("tops = 400.5", "tops = -1", "unit.0.mode.0.tops: Input should be greater than 0"),
        ("tops = 400.5", "gops = 3", "unit.0.mode.0.gops: unknown field"),
        ('kind = "logic"', 'kind = "toaster"', "kind: Input should be 'logic' or 'memory'"),
        ("mm2 = 100", 'mm2 = "wide"', "'wide' is not a decimal number"),
        ("count = 2", "count = 0", "die.0.count: Input should be greater than or equal to 1"),
    ],
)
def test_datasheets_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(RulesError, match=re.escape(message)):
        check(Datasheet, parse_toml(SHEET.replace(old, new), "t"), "sheet.toml")


def test_bits_of_formats() -> None:
    assert [bits_of(formats) for formats in (["int4", "fp16"], ["bf16"], ["uint8"], ["fp8"])] == [
        16,
        16,
        8,
        8,
    ]
    tf32 = SHEET.replace('inputs = ["int8"]', 'inputs = ["tf32"]\nbits = 19')
    assert check(Datasheet, parse_toml(tf32, "t"), "t").facts["tpp"].value == Interval.of(
        Fraction("400.5") * 19
    )


def test_a_mode_without_a_figure_leaves_at_least_the_others() -> None:
    more = SHEET.replace("[[die]]", '[[unit.mode]]\ninputs = ["fp16"]\n[[die]]', 1)
    assert check(Datasheet, parse_toml(more, "t"), "t").facts["tpp"].value == Interval(Fraction(3204), None)


def test_nothing_is_made_of_a_bare_datasheet() -> None:
    facts = check(Datasheet, {"name": "x", "kind": "logic"}, "t").facts
    assert facts["tpp"].value is None
    assert facts["applicable_die_mm2"].value is None
    assert facts["non_planar"].value is None
    memory = check(Datasheet, {"name": "x", "kind": "memory"}, "t").facts
    assert memory["tpp"].value == Interval.of(0)
    assert "hbm" not in memory


def declared(text: str) -> Product:
    return Product(parse_toml(text, "t"), {}, Path(), "product.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = true", "colour: no pack in use asks for this; asked for are: applicable_die_mm2"),
        ("tppp = 3", "did you mean tpp?"),
        ("tpp = true", "'True' is not a number; allowed: a number, or { low"),
        ('tpp = "fast"', "'fast' is not a decimal number; allowed: a number"),
        ("tpp = -1", "-1 is negative"),
        ("tpp = { low = 5, high = 4 }", "low 5 is above high 4"),
        ("tpp = { lo = 5 }", "allowed: a number, or { low"),
        ("for_data_centres = 1", "found '1'; allowed: true or false"),
        ("destination = 86", "found '86'; allowed: a text"),
        ("tpp = { value = 1, source = 2 }", "allowed are { value"),
        ("tpp = { value = 1, why = 'x' }", "allowed are { value"),
    ],
)
def test_declarations_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(RulesError, match=re.escape(message)):
        assess_export(read_subject("nano"), PACKS, declared(text))


def test_a_declaration_stands_in_place_of_what_was_computed_and_is_said_to() -> None:
    text = "tpp = { value = { low = 5000 }, source = 'a measurement' }\nfor_data_centres = true"
    assessment, _ = assess_export(read_subject("nano"), PACKS, declared(text))
    assert verdict(assessment, "3A090.a") == "yes"
    assert len(assessment.warnings) == 1
    assert assessment.warnings[0].startswith(
        "tpp: declared at least 5,000 stands in place of 0.1152 (matrix unit"
    )


def test_a_declaration_may_serve_packs_that_are_not_in_use() -> None:
    both = declared("leaves_korea = true\nfor_data_centres = true\ngenerative = true")
    assessment, _ = assess_export(read_subject("nano"), [load_pack("us-export")], both)
    assert "leaves_korea" not in dict(assessment.packs[0].facts)


def test_the_command_line_comes_last() -> None:
    given = Given(facts=(("for_data_centres", flag(False, "the command line")),))
    assessment, _ = assess_export(read_subject("nano"), PACKS, declared("for_data_centres = true"), given)
    assert dict(assessment.packs[0].facts)["for_data_centres"] == Fact(False, "the command line")


def test_packs_that_disagree_about_a_quantity_are_not_used_together() -> None:
    text = """
format = 1
id = "other"
title = "t"
jurisdiction = "j"
law = "l"
as_of = 2026-01-01
[quantity.tpp]
kind = "flag"
meaning = "m"
[[rule]]
id = "r"
title = "t"
kind = "duty"
condition = "tpp"
consequence = "c"
citation = "s"
confidence = "low"
from = 2026-01-01
"""
    other = make_pack(parse_toml(text, "t"), "t")
    with pytest.raises(RulesError, match="quantity 'tpp' is a flag, in another pack a number"):
        assess_export(read_subject("nano"), [*PACKS, other])


def test_files_that_are_neither_chips_nor_datasheets(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="'fridge' is neither a file nor a preset; presets: auto, edge"):
        read_subject("fridge")
    place = tmp_path / "x.toml"
    place.write_text("name = 'x'\n", encoding="utf-8")
    with pytest.raises(RulesError, match="kind: Field required"):
        read_subject(str(place))
    place.write_text("name = 'x'\nclock_mhz = 1\n", encoding="utf-8")
    with pytest.raises(HanokError, match="core: Field required"):
        read_subject(str(place))
    place.write_text(SHEET, encoding="utf-8")
    assert read_subject(str(place)).name == "chip"
    with pytest.raises(RulesError, match=r"--die-mm2 and --transistors are for chip descriptions"):
        read_subject(str(place), Given(die_mm2=Fraction(1)))
    place.write_text("[product]\ntpp = 1\n[colour]\n", encoding="utf-8")
    with pytest.raises(RulesError, match="colour: unknown field"):
        read_product(place)
