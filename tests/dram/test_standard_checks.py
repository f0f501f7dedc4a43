"""Refusal of tables with missing or contradictory rules, and standards that users bring in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hanok.dram.standard import Bus, Command, Form, Organisation, Rule, Standard
from hanok.dram.standards import check_standard, get_standard, load_standard
from hanok.errors import ChipError

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


BASE = standard_of("HBM2_2000")


def without(level: str, before: Command, after: Command) -> Standard:
    kept = [rule for rule in BASE.rules if (rule.level, rule.before, rule.after) != (level, before, after)]
    return replace(BASE, rules=tuple(kept))


def with_rule(*, level="bank", before=ACT, after=RD, cycles=1, window=1) -> Standard:
    return replace(BASE, rules=(*BASE.rules, Rule(level, before, after, cycles, "mine", window)))


def with_cycles(level: str, before: Command, after: Command, cycles: int) -> Standard:
    other = without(level, before, after)
    return replace(other, rules=(*other.rules, Rule(level, before, after, cycles, "mine")))


def with_forms(**forms: Form | None) -> Standard:
    changed = {Command[name]: form for name, form in forms.items()}
    kept = {command: form for command, form in (dict(BASE.forms) | changed).items() if form}
    return replace(BASE, forms=kept)


BROKEN = [
    (
        replace(BASE, organisation=replace(BASE.organisation, rows=100)),
        "organisation.rows is 100; allowed: powers",
    ),
    (
        replace(BASE, organisation=Organisation(2, 1, 4, 0, 8, 8)),
        "organisation.banks_per_group is 0; allowed",
    ),
    (replace(BASE, burst_bytes=48), "burst_bytes is 48; allowed: powers of two"),
    (replace(BASE, tck_fs=0), "tck_fs is 0; allowed: at least 1"),
    (replace(BASE, refresh_interval_cycles=0), "refresh_interval_cycles is 0; allowed: at least 1"),
    (replace(BASE, activate_gap_cycles=(3, 2)), r"activate_gap_cycles is 3\.\.2; allowed: 0\.\.0"),
    (with_forms(RD=None), "RD has no form: say on which bus"),
    (with_forms(ACT1=None), "ACT1 has no form"),
    (with_forms(REFB=None), "REFB has no form"),
    (replace(BASE, activate_gap_cycles=(0, 0)), "ACT1 has a form, but activate_gap_cycles says"),
    (with_forms(PRE=Form(Bus.ROW, align=0)), "the form of PRE has lead 0, tail 0, align 0; allowed"),
    (with_rule(level="chip"), "level 'chip' is unknown; allowed: pseudo, rank, other_rank, group, bank"),
    (
        replace(with_forms(REFB=None), bank_refresh_interval_cycles=0),
        "the standard has no REFB",
    ),
    (with_rule(level="rank", before=REFA), "REFA is for a whole pseudo-channel; allowed: level pseudo"),
    (with_rule(cycles=-1), "-1 cycles; allowed: at least 0"),
    (with_rule(window=0), "window 0; allowed: at least 1"),
    (with_rule(level="pseudo", before=RD, window=4), "windows are for activates of a pseudo-channel alone"),
    (
        with_rule(level="group", before=ACT, after=ACT, window=4),
        "windows are for activates of a pseudo-channel",
    ),
    (without("bank", ACT, RD), "no rule bank: ACT -> RD; every standard needs one"),
    (without("pseudo", REFA, ACT1), "no rule pseudo: REFA -> ACT1; every standard needs one"),
    (without("bank", REFB, ACT1), "no rule bank: REFB -> ACT1; every standard needs one"),
    (replace(BASE, refresh_interval_cycles=350), r"a refresh every 350 cycles takes 350 \(REFA -> ACT1\)"),
    (
        replace(BASE, bank_refresh_interval_cycles=8),
        "a bank is to be refreshed every 8 cycles; REFB -> REFB takes 8",
    ),
    (replace(BASE, bank_refresh_interval_cycles=10), "refreshed again before its refresh"),
    (with_cycles("bank", ACT, ACT, 34), r"ACT -> ACT 34 cycles \(tRC\) is not longer than ACT -> PRE 34"),
    (with_cycles("bank", ACT, RD, 82), r"ACT -> RD 82 cycles is not shorter than tRC \+ tRAS, 82"),
    (replace(BASE, burst_cycles=3), "RD -> RD 2 cycles lets their data overlap; allowed: at least 3"),
    (
        replace(BASE, read_latency_cycles=30),
        "RD -> WR 13 cycles lets their data overlap; allowed: at least 27",
    ),
    (
        replace(BASE, write_latency_cycles=100),
        "WR -> RD 13 cycles lets their data overlap; allowed: at least 88",
    ),
]


@pytest.mark.parametrize(("standard", "message"), BROKEN)
def test_broken_tables_are_refused(standard, message):
    with pytest.raises(ChipError, match=rf"^standard 'HBM2_2000': .*{message}"):
        check_standard(standard)


def test_two_ranks_need_rules_between_them():
    single = standard_of("LPDDR5_6400")
    double = replace(single, organisation=replace(single.organisation, ranks=2))
    check_standard(double)
    kept = tuple(rule for rule in double.rules if rule.level != "other_rank")
    with pytest.raises(ChipError, match="RD -> WR 0 cycles lets their data overlap; allowed: at least 10"):
        check_standard(replace(double, rules=kept))


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_users_standard_is_its_base_with_changes(tmp_path):
    text = """
name = "slow"
base = "HBM3_6400@16Gb"
source = "our board"
mapping = "row rank bank group column channel pseudo"
[timings]
nRP = 60
nCL = 44
[organisation]
rows = 16384
"""
    base, found = standard_of("HBM3_6400@16Gb"), load_standard(write(tmp_path, text))
    assert found.name == "slow"
    assert found.delay("bank", PRE, ACT1) == 60
    assert found.delay("bank", ACT, RD) == base.delay("bank", ACT, RD)
    assert found.read_latency_cycles == 44
    assert found.channel_bytes == base.channel_bytes // 2
    assert found.sources["changes"] == "our board"
    assert found.mapping == "row rank bank group column channel pseudo"


HEAD = 'name = "mine"\nbase = "HBM2_2000"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name =", "is not TOML"),
        (
            HEAD + "speed = 1",
            "'speed' is unknown; allowed: name, base, source, mapping, timings, organisation",
        ),
        ('base = "HBM2_2000"', "name is None; give a text"),
        ('name = "x"\nbase = 5', "base is 5; give a text"),
        ('name = "x"\nbase = "HBM9"', "'HBM9' is unknown; allowed: HBM2_1600"),
        ('name = "x"\nbase = "FLAT:5"', "base 'FLAT:5' has no banks"),
        (HEAD + "timings = 5", "timings is 5; give a table"),
        (HEAD + "[timings]\nnXYZ = 5", "timings.nXYZ is unknown; allowed: .*nRP"),
        (HEAD + "[timings]\nnBL = 4", "timings.nBL is unknown"),
        (HEAD + "[timings]\nnRP = -1", r"timings.nRP is -1; allowed: whole numbers, 0\.\."),
        (HEAD + "[timings]\nnRP = 1.5", "timings.nRP is 1.5; allowed: whole numbers"),
        (HEAD + "[timings]\nnRP = true", "timings.nRP is True; allowed: whole numbers"),
        (HEAD + "[organisation]\nrows = 3", "organisation.rows is 3; allowed: powers of two"),
        (HEAD + "[timings]\nnRC = 20", "not longer than ACT -> PRE"),
        (HEAD + "[timings]\nnRFC = 4000", "a refresh every 3900 cycles takes 4000"),
    ],
)
def test_bad_standard_files_are_refused(tmp_path, text, message):
    with pytest.raises(ChipError, match=message):
        load_standard(write(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ChipError, match=r"none\.toml': cannot be read"):
        load_standard(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChipError, match="cannot be read"):
        load_standard(str(tmp_path / "binary.toml"))
