"""Marks in specifications: what may move, how far, what a copy shows, and what is read out of a notebook."""

from __future__ import annotations

import time
import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from specifications import specification, written

from hanok.protect.accuse import accuse
from hanok.protect.figures import FigureMarks, _levels
from hanok.protect.specification import Figure, read_specification
from hanok.protect.tardos import Code, FingerprintError

SECRET = bytes(range(2, 34))
RECIPIENTS = [f"recipient {row}" for row in range(200)]


def marked(marks: FigureMarks, row: int) -> list[dict[str, object]]:
    words = Code(SECRET, marks.subject, marks.marks).words(RECIPIENTS)
    (text,) = marks.embed(words[row]).values()
    return tomllib.loads(text.decode(), parse_float=str)["value"]


def named(marks: FigureMarks, suspect: Path, limit: float = 1e-6) -> list[int]:
    code = Code(SECRET, marks.subject, marks.marks)
    accusation = accuse(code.biases, code.words(RECIPIENTS), marks.read(suspect), limit)
    return accusation.accused.tolist()


@pytest.fixture
def marks(tmp_path: Path) -> FigureMarks:
    return FigureMarks(written(tmp_path, specification(300)), SECRET)


def test_a_copy_keeps_tolerances_digits_and_what_nobody_signed(marks: FigureMarks) -> None:
    original = tomllib.loads(marks.path.read_text(), parse_float=str)["value"]
    copy = marked(marks, 3)
    moved = 0
    for before, after in zip(original, copy, strict=True):
        was, now = Decimal(before["value"]), Decimal(after["value"])
        assert abs(now - was) <= Decimal(before["tolerance"])
        assert now.as_tuple().exponent == was.as_tuple().exponent
        assert (now != was) == ("signed_by" in before)
        assert not {"signed_by", "signed_on", "may_move"} & set(after)
        assert (after["name"], after["unit"]) == (before["name"], before["unit"])
        moved += now != was
    assert moved == 270
    assert marks.marks > 400


def test_comments_and_other_tables_stay(tmp_path: Path) -> None:
    text = specification(120) + '\n[other]\nvalue = 5\nsigned_by = "me"\n'
    marks = FigureMarks(written(tmp_path, text), SECRET)
    (copy,) = marks.embed(np.zeros(marks.marks, np.uint8)).values()
    assert copy.decode().count("# nominal") == 120
    assert copy.decode().endswith('\n[other]\nvalue = 5\nsigned_by = "me"\n')


def as_csv(values: list[dict[str, object]]) -> str:
    lines = [
        f'{row},"{value["name"]}",nm,{value["value"]},{value["tolerance"]}'
        for row, value in enumerate(values)
    ]
    return "no,name,unit,value,tolerance\n" + "\n".join(lines)


def as_notebook(values: list[dict[str, object]]) -> str:
    return "\n".join(
        f"- {str(value['name']).replace('_', ' ').upper()}: {value['value']}nm" for value in values
    )


def as_numbers(values: list[dict[str, object]]) -> str:
    return "  ".join(str(value["value"]) for value in values)


FORMS = {"csv": as_csv, "notebook": as_notebook, "numbers in order": as_numbers}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", ["all", "every third", "shuffled"])
def test_copied_values_name_who_copied_them(form: str, part: str, marks: FigureMarks, tmp_path: Path) -> None:
    values = marked(marks, 5)
    if part == "every third":
        values = values[::3]
    if part == "shuffled":
        values = [values[place] for place in np.random.default_rng(1).permutation(len(values))]
    suspect = written(tmp_path, FORMS[form](values), "leak.txt")
    assert named(marks, suspect) == [5]


def test_every_mark_of_a_whole_copy_is_read(marks: FigureMarks, tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, marks.marks).astype(np.uint8)
    (copy,) = marks.embed(bits).values()
    suspect = tmp_path / "leak.toml"
    suspect.write_bytes(copy)
    assert (marks.read(suspect) == 2.0 * bits - 1).all()


def test_values_rounded_by_whoever_copied_them(tmp_path: Path) -> None:
    """Moved by 30 steps, a value shows its levels with one digit less."""
    marks = FigureMarks(written(tmp_path, specification(300, reach=30)), SECRET)
    values = marked(marks, 8)
    for value in values:
        number = Decimal(str(value["value"]))
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < 0:
            value["value"] = str(round(number, -exponent - 1))
    suspect = written(tmp_path, as_csv(values), "leak.csv")
    assert named(marks, suspect) == [8]


def test_three_who_average_or_mix_their_copies(tmp_path: Path) -> None:
    marks = FigureMarks(written(tmp_path, specification(600, reach=2)), SECRET)
    copies = [marked(marks, row) for row in (11, 12, 13)]
    random = np.random.default_rng(4)
    for kind in ("mean", "mixed"):
        values = [dict(value) for value in copies[0]]
        for place, value in enumerate(values):
            each = [Decimal(str(copy[place]["value"])) for copy in copies]
            mean = (sum(each) / 3).quantize(each[0])
            value["value"] = str(mean if kind == "mean" else each[random.integers(3)])
        found = named(marks, written(tmp_path, as_csv(values), "leak.csv"))
        assert found
        assert set(found) <= {11, 12, 13}


def test_numbers_of_others_name_nobody(marks: FigureMarks, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    other = " ".join(f"{value:.2f}" for value in 10 ** random.uniform(1, 3.5, 3000))
    for text in (other, marks.path.read_text(), "", "no numbers at all", "1e99 1e-99 " * 50):
        assert named(marks, written(tmp_path, text, "leak.txt")) == []


@pytest.mark.parametrize("reach", range(1, 40))
def test_levels_are_distinct_symmetric_and_within_reach(reach: int) -> None:
    levels = _levels(Figure("x", "1000", Decimal(reach)))
    assert len(set(levels.tolist())) == len(levels) in (2, 4, 8)
    assert (levels == -levels[::-1]).all()
    assert levels.max() == reach
    assert 0 not in levels


@pytest.mark.parametrize(
    ("literal", "steps", "moved"),
    [
        ("2.35", 3, "2.38"),
        ("9.99", 2, "10.01"),
        ("0.010", -9, "0.001"),
        ("-2.35", 3, "-2.32"),
        ("1.5e-9", -2, "1.3e-9"),
        ("350", 7, "357"),
        ("+0.0000012", 1, "+0.0000013"),
    ],
)
def test_a_moved_literal_keeps_its_form(literal: str, steps: int, moved: str) -> None:
    assert Figure("x", literal, Decimal(1)).moved(steps) == moved


def test_no_value_reaches_zero_or_changes_its_sign() -> None:
    assert Figure("x", "0.03", Decimal("0.5")).reach == 2
    assert Figure("x", "0", Decimal(5)).reach == 0
    assert Figure("x", "-4", Decimal(9)).reach == 3


TABLE = '[[value]]\nname = "x"\n'
FLAWS = {
    "": r"no tables \[\[value\]\]",
    "value = 3": r"no tables \[\[value\]\]",
    "[[value]": "not a TOML file",
    "[[value]]\nvalue = 1": r"value 1: name None; allowed: 1 to 200 printable characters",
    '[[value]]\nname = "a\\u001b[31m"\nvalue = 1': "name .*; allowed",
    TABLE: r"value 1 \('x'\): has no value; give a number with all its digits",
    TABLE + 'value = "2"': "value is '2'; allowed: a number of at most 12 digits",
    TABLE + "value = true": "value is 'True'; allowed: a number",
    TABLE + "value = nan": "value is 'NaN'; allowed: a number",
    TABLE + "value = 1e99": "allowed: a number of at most 12 digits between 1e-30 and 1e30",
    TABLE + "value = 1.2345678901234": "allowed: a number of at most 12 digits",
    TABLE + "value = 1\ntolerance = -1": "a tolerance below 0; allowed: 0 or more",
    TABLE + "value = 1\nsignd_by = 2": "key 'signd_by'; allowed: name, value, unit, tolerance",
    TABLE + 'value = 1\nsigned_by = "Kim"\nsigned_on = 2026-11-02': "signed off without a tolerance",
    TABLE
    + "value = 1\ntolerance = 1\nsigned_on = 2026-11-02": "signed_by None; allowed: the engineer's name",
    TABLE + 'value = 1\ntolerance = 1\nsigned_by = "Kim"': "signed_on None; allowed: a date such as",
    TABLE + "value = 1\ntolerance = 1\nmay_move = 2": "may_move 2 is beyond its tolerance of 1",
    TABLE + "value = 1\n" + TABLE.replace("x", "X") + "value = 2": "two values are called 'X'",
}


@pytest.mark.parametrize("text", FLAWS)
def test_flaws_of_a_specification(text: str, tmp_path: Path) -> None:
    with pytest.raises(FingerprintError, match=FLAWS[text]):
        read_specification(written(tmp_path, text))


def test_files_that_are_too_large_or_missing(tmp_path: Path) -> None:
    large = tmp_path / "large.toml"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(FingerprintError, match=r"104,857,600 bytes; allowed: a file of at most 4,194,304"):
        read_specification(large)
    with pytest.raises(FingerprintError, match=r"cannot be read: No such file"):
        read_specification(tmp_path / "none.toml")


def test_files_whose_values_cannot_be_replaced(tmp_path: Path) -> None:
    values = [
        f'{{name = "x{row}", value = {row}.55, tolerance = 9, signed_by = "K", signed_on = 2026-01-01}}'
        for row in range(1, 80)
    ]
    marks = FigureMarks(written(tmp_path, f"value = [{', '.join(values)}]"), SECRET)
    with pytest.raises(FingerprintError, match=r"cannot be replaced one by one; write each as a table"):
        marks.embed(np.zeros(marks.marks, np.uint8))


def test_specifications_with_too_little_room(tmp_path: Path) -> None:
    marks = FigureMarks(written(tmp_path, specification(30, reach=1)), SECRET)
    with pytest.raises(FingerprintError, match=r"room for 27 marks in 27 values .* at least 64 are needed"):
        _ = marks.marks


@pytest.mark.parametrize("text", ["1.23 " * 800_000, "a,b;c\t" * 600_000, "9" * 4_000_000, "x = [" * 500_000])
def test_hostile_suspects_are_read_in_seconds(text: str, marks: FigureMarks, tmp_path: Path) -> None:
    start = time.perf_counter()
    assert named(marks, written(tmp_path, text[: 4 << 20], "leak.txt")) == []
    assert time.perf_counter() - start < 10
