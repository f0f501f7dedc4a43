"""Evidence: checklists with hashes, the ledger, fairness with its intervals, notices, cards, leak reports."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from hanok.rules._record import check
from hanok.rules.assess import assess
from hanok.rules.errors import RulesError
from hanok.rules.evidence import Given, checklists, sha256_of
from hanok.rules.facts import flag
from hanok.rules.fairness import fairness_table, paired_change, wilson
from hanok.rules.interval import Interval
from hanok.rules.leak_report import GAP_EN, GAP_KO, leak_report
from hanok.rules.ledger import TrainingRun, ledger_lines, training_compute
from hanok.rules.load import load_pack
from hanok.rules.model_card import ModelEntry, card_markdown, model_card
from hanok.rules.notices import DIGITAL_SOURCE_TYPE, notice_text, notices
from hanok.rules.privacy import privacy_statement, read_privacy_run
from hanok.rules.system import report_system

ASSETS = Path(__file__).parents[2] / "hanok" / "assets"


def test_a_checklist_shows_hashes_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_bytes(b"entries")
    findings = assess("x", {"core_technology": flag(True, "t"), "mobile_ap_soc": flag(True, "t")},
                      [load_pack("kr-technology")]).packs  # fmt: skip
    given = {"transparency_log": Given(file="log.json", words="March"), "training": "twice a year"}
    lists = {item.rule: item for item in checklists(findings, given, tmp_path, "p.toml")}
    due = {item.evidence.id: item for item in lists["Due care"].items}
    assert due["transparency_log"].shown == "log.json, 7 bytes; March"
    assert due["transparency_log"].sha256 == hashlib.sha256(b"entries").hexdigest()
    assert due["training"].shown == "twice a year"
    assert not due["marks"].given
    measures = {item.evidence.id: item.evidence.made_by for item in lists["Protective measures"].items}
    assert measures["sealed_delivery"] == "hanok protect seal"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"transparency": "x"}, "no rule of the packs in use asks for this; did you mean transparency_log?"),
        ({"zzz": "x"}, "asked for are: clone_search"),
        ({"training": Given()}, 'is empty; give words, or { file = "..." }'),
        ({"training": Given(file="none.txt")}, "is no file; links and folders are not taken"),
        ({"training": Given(file="link.txt")}, "is no file; links and folders are not taken"),
        ({"training": Given(file=".")}, "is no file"),
        ({"training": Given(file="a\0b")}, "cannot be read|is no file"),
    ],
)
def test_evidence_that_is_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("x", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    findings = assess("x", {}, [load_pack("kr-technology")]).packs
    pattern = message if "|" in message else re.escape(message)
    with pytest.raises(RulesError, match=pattern):
        checklists(findings, given, tmp_path, "p.toml")


def test_hashes_are_streamed(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "big").write_bytes(data)
    assert sha256_of(tmp_path / "big", "t") == (len(data), hashlib.sha256(data).hexdigest())


def run(**fields: Any) -> TrainingRun:
    return check(TrainingRun, {"name": "r", **fields}, "t")


def test_the_ledger_sums_measured_estimated_and_unknown_runs() -> None:
    lines = ledger_lines(
        [
            run(flop="1e25"),
            run(parameters=7_000_000_000, tokens="2e12", epochs=2),
            run(flop_low=1, flop_high=3),
        ]
    )
    estimated = 6 * 7 * 10**9 * 2 * 10**12 * 2
    assert training_compute(lines).value == Interval(
        Fraction(10**25 + estimated + 1), Fraction(10**25 + estimated + 3)
    )
    assert lines[1].how == "6 x 7,000,000,000 parameters x 2,000,000,000,000 tokens x 2 epochs"
    least = training_compute([*lines, *ledger_lines([run(unknown=True)])])
    assert least.value == Interval(Fraction(10**25 + estimated + 1), None)
    assert training_compute([]).value is None
    assert training_compute(ledger_lines([run(unknown=True)])).value is None


@pytest.mark.parametrize(
    "fields",
    [{}, {"flop": 1, "unknown": True}, {"parameters": 1}, {"flop": 1, "parameters": 1, "tokens": 1},
     {"flop_low": 3, "flop_high": 1}, {"flop": -1}],
)  # fmt: skip
def test_runs_that_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RulesError, match=r"give one of flop|flop_low is above|greater than or equal to 0"):
        run(**fields)


def predictions(
    path: Path, rows: list[tuple[str, ...]], header: str = "subgroup,label,float,quantised"
) -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def test_a_table_of_fairness_counts_every_subgroup(tmp_path: Path) -> None:
    rows = [("a", "1", "1", "1")] * 90 + [("a", "1", "1", "0")] * 6 + [("a", "1", "0", "1")] * 4
    rows += [("b", "1", "1", "0")] * 20 + [("b", "1", "1", "1")] * 20
    rows += [("c", "1", "1", "0")] * 3
    table = fairness_table(predictions(tmp_path / "p.csv", rows))
    figures = {row.subgroup: row for row in (*table.rows, table.whole)}
    assert figures["a"].float_right.value == pytest.approx(0.96)
    assert figures["a"].quantised_right.value == pytest.approx(0.94)
    assert figures["a"].change.value == pytest.approx(-0.02)
    assert figures["a"].finding == "no change is seen"
    assert figures["b"].change.value == pytest.approx(-0.5)
    assert figures["b"].finding == "worse"
    assert figures["c"].finding == "fewer than 30 samples"
    assert figures["all"].samples == 143
    assert (figures["all"].lost, figures["all"].won) == (29, 4)
    assert table.widest_gap == ("c", "a", pytest.approx(0.98))


def test_wilson_is_what_the_literature_gives() -> None:
    """Newcombe 1998, table 1: 81 of 263, 15 of 148, 0 of 20."""
    quantile = NormalDist().inv_cdf(0.975)
    for right, samples, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
    ):
        found = wilson(right, samples, quantile)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("lost", "won"), [(0.05, 0.05), (0.08, 0.02), (0.01, 0.0), (0.3, 0.1)])
@pytest.mark.parametrize("samples", [50, 400])
def test_the_interval_of_a_change_covers_it(lost: float, won: float, samples: int) -> None:
    """In 4,000 draws the true change lies in 95 % intervals at least 93.5 % of the time."""
    generator = np.random.default_rng(7)
    quantile = NormalDist().inv_cdf(0.975)
    draws = generator.multinomial(samples, [lost, won, 1 - lost - won], 4000)
    covered = 0
    for down, up, _ in draws:
        found = paired_change(int(down), int(up), samples, quantile)
        covered += found.low <= won - lost <= found.high
    assert covered / len(draws) >= 0.935


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,float\n1,1\n", "no column subgroup, quantised; needed are subgroup, label, float, quantised"),
        ("subgroup,label,float,quantised\n", "no row of predictions"),
        ("subgroup,label,float,quantised\na,1,,0\n", "row 2: float is empty"),
        ("subgroup,label,float,quantised\na,1\n", "row 2: float is empty"),
        ("subgroup,label,float,quantised\n" + "x" * 300 + ",1,1,1\n", "subgroup has 300 characters"),
        (
            "subgroup,label,float,quantised\n" + "".join(f"g{n},1,1,1\n" for n in range(201)),
            "more than 200 subgroups",
        ),
    ],
)
def test_predictions_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RulesError, match=re.escape(message)):
        fairness_table(tmp_path / "p.csv")
    (tmp_path / "bytes.csv").write_bytes(b"subgroup,label,float,quantised\n\xff,1,1,1\n")
    with pytest.raises(RulesError, match="not UTF-8"):
        fairness_table(tmp_path / "bytes.csv")
    with pytest.raises(RulesError, match="there is no such file"):
        fairness_table(tmp_path / "none.csv")


def test_notices_say_what_the_system_is() -> None:
    both = notices("도우미", "a@b.c", generative=True, high_impact=True, looks_real=True)
    korean = notice_text(both, "ko")
    assert "이 서비스(도우미)는 생성형 인공지능 및 고영향 인공지능 기반으로 운용됩니다" in korean
    assert "실제가 아닙니다" in korean
    assert DIGITAL_SOURCE_TYPE in notice_text(both, "en")
    plain = notices("x", "", generative=False, high_impact=True, looks_real=False)
    assert [item.language for item in plain] == ["ko", "en"]
    assert "made by AI" not in notice_text(plain, "en")
    assert "[연락처 / contact]" in notice_text(plain, "ko")
    assert notices("x", "y", generative=False, high_impact=False, looks_real=False) == ()
    braces = notices("{contact} {name}", "{kinds_ko}", generative=True, high_impact=False, looks_real=False)
    assert "({contact} {name})" in braces[0].text, "words from outside are put in once"


def test_a_model_card_tells_what_the_file_tells() -> None:
    entry = check(
        ModelEntry,
        {"name": "c\n# not a heading", "file": "korean_commands.onnx", "purpose": "hears",
         "quality": [{"metric": "accuracy", "value": "95 %", "data": "test set"}]},
        "t",
    )  # fmt: skip
    card = model_card(entry, ASSETS, "t")
    figures = dict(card.figures)
    assert figures["SHA-256"] == hashlib.sha256((ASSETS / "korean_commands.onnx").read_bytes()).hexdigest()
    assert figures["form"] == "quantised (QuantizeLinear)"
    assert "Conv 9" in figures["operators"]
    assert card.gaps == ("training_data", "limits", "licence")
    text = card_markdown(card)
    assert "- accuracy: 95 % on test set" in text
    assert "\n# not" not in text
    bare = model_card(check(ModelEntry, {"name": "m"}, "t"), ASSETS, "t")
    assert bare.gaps == ("purpose", "training_data", "limits", "licence", "quality")
    with pytest.raises(RulesError, match="is no file"):
        model_card(check(ModelEntry, {"name": "m", "file": "none.onnx"}, "t"), ASSETS, "t")


def test_a_leak_report_holds_its_facts_and_names_its_gaps(tmp_path: Path) -> None:
    (tmp_path / "copy.v").write_bytes(b"module")
    text = """
measures = ["taken down"]
[institution]
name = "하녹\\n8. 첨부"
[technology]
name = "NPU"
state_funded = true
[incident]
how = "found"
abroad = false
only_feared = true
[[trace]]
recipient = "acme"
false_accusation_probability = "1e-6"
report = "trace.html"
[[event]]
time = "2026-03-01"
what = "delivery"
proof = "leaf 12"
[[attachment]]
file = "copy.v"
what = "the copy"
"""
    (tmp_path / "leak.toml").write_text(text, encoding="utf-8")
    report = leak_report(tmp_path / "leak.toml")
    assert "- 기관명: 하녹 8. 첨부" in report.korean, "no text begins a line of its own"
    assert "3. 침해 내용 (침해 우려)" in report.korean
    assert "오지목 확률 1e-6 이하; 보고서 trace.html" in report.korean
    assert "- Research funds of the state: yes" in report.english
    assert f"SHA-256 {hashlib.sha256(b'module').hexdigest()}" in report.english
    assert "2026-03-01: delivery [leaf 12]" in report.english
    assert report.korean.count(GAP_KO) == report.english.count(GAP_EN)
    assert "incident.suspect" in report.gaps
    assert "technology.state_funded" not in report.gaps
    assert "법률 자문이 아니며" in report.korean
    assert "Not legal advice" in report.english
    (tmp_path / "leak.toml").write_text("[incident]\nwhere = 1\n", encoding="utf-8")
    with pytest.raises(RulesError, match=r"incident\.where: unknown field"):
        leak_report(tmp_path / "leak.toml")


RUN = {
    "maker": "hanok rules privacy", "version": "1", "chip": "edge", "jobs": ["voice"], "attempts": [],
    "sockets": 0, "kernel": "a network namespace without interfaces", "network_isolated": True,
}  # fmt: skip


def test_a_privacy_statement_claims_what_was_seen(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    place.write_text(json.dumps(RUN), encoding="utf-8")
    quiet = privacy_statement(read_privacy_run(place), "en")
    assert "No use of the network" in quiet
    assert "not every run" in quiet
    assert "시도는 없었습니다" in privacy_statement(read_privacy_run(place), "ko")
    place.write_text(
        json.dumps({**RUN, "attempts": ["socket.connect"], "network_isolated": False, "kernel": "no"}),
        encoding="utf-8",
    )
    loud = privacy_statement(read_privacy_run(place), "en")
    assert "Tried and refused: socket.connect" in loud
    assert "without isolation by the kernel (no)" in loud
    assert "시도되어 거부된 것: socket.connect" in privacy_statement(read_privacy_run(place), "ko")
    for text, message in (
        ("[]", "not a record of"),
        ("{", "cannot be read as JSON"),
        (json.dumps({**RUN, "jobs": []}), "jobs: "),
        (json.dumps({**RUN, "more": 1}), "more: unknown field"),
    ):
        place.write_text(text, encoding="utf-8")
        with pytest.raises(RulesError, match=message):
            read_privacy_run(place)
    with pytest.raises(RulesError, match="no file of at most"):
        read_privacy_run(tmp_path / "none.json")


AI_PACK = [load_pack("kr-ai-act")]
DOMAINS = [name for name in AI_PACK[0].asked if name.startswith("domain_")]


def system(tmp_path: Path, facts: str, rest: str = "") -> dict[str, str]:
    place = tmp_path / "system.toml"
    place.write_text(f'name = "s"\n{rest}\n[facts]\n{facts}\n', encoding="utf-8")
    report = report_system(place, AI_PACK)
    return {finding.rule.id: finding.verdict for finding in report.assessment.packs[0].findings}


def test_there_are_ten_domains_and_what_the_decree_adds() -> None:
    assert len(DOMAINS) == 11
    assert "domain_of_decree" in DOMAINS


APPLIES = "offered_in_korea = true\ndefence_only = false\n"
NO_DOMAIN = "".join(f"{name} = false\n" for name in DOMAINS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_with_a_grave_effect_is_high_impact(domain: str, tmp_path: Path) -> None:
    facts = APPLIES + NO_DOMAIN.replace(f"{domain} = false", f"{domain} = true")
    assert system(tmp_path, facts + "grave_effect = true")["34 operator duties"] == "yes"
    assert system(tmp_path, facts + "grave_effect = false")["34 operator duties"] == "no"
    assert system(tmp_path, facts)["34 operator duties"] == "unknown"
    assert system(tmp_path, APPLIES + NO_DOMAIN)["34 operator duties"] == "no"


def test_nothing_applies_outside_korea_or_for_defence(tmp_path: Path) -> None:
    for facts in ("offered_in_korea = false", "offered_in_korea = true\ndefence_only = true"):
        assert set(system(tmp_path, f"{facts}\ngenerative = true").values()) == {"no"}
    assert system(tmp_path, "")["33 self-check"] == "unknown"


def test_notice_and_marking(tmp_path: Path) -> None:
    found = system(
        tmp_path, APPLIES + "generative = true\nnotice_exempt = false\nhard_to_tell_from_real = true"
    )
    assert found["31(1) notice"] == found["31(2) marking"] == found["31(3) synthetic media"] == "yes"
    exempt = system(
        tmp_path, APPLIES + "generative = true\nnotice_exempt = true\nhard_to_tell_from_real = false"
    )
    assert exempt["31(1) notice"] == exempt["31(3) synthetic media"] == "no"


@pytest.mark.parametrize(("flop", "verdict"), [("1e26", "yes"), ("9.999e25", "no"), (None, "unknown")])
def test_the_line_of_compute(flop: str | None, verdict: str, tmp_path: Path) -> None:
    runs = "" if flop is None else f'[[training_run]]\nname = "r"\nflop = {flop}'
    facts = APPLIES + "state_of_the_art = true\nbroad_grave_effect = true"
    assert system(tmp_path, facts, runs)["32 safety"] == verdict


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ("address_in_korea = true", "no"),
        ("address_in_korea = false\nrevenue_won = 1e12", "yes"),
        ("address_in_korea = false\nai_revenue_won = 1e10", "yes"),
        ("address_in_korea = false\ndaily_users_in_korea = 1000000", "yes"),
        (
            "address_in_korea = false\nrevenue_won = 9e11\nai_revenue_won = 9e9\ndaily_users_in_korea = 9",
            "no",
        ),
        ("address_in_korea = false\nrevenue_won = 9e11", "unknown"),
    ],
)
def test_a_domestic_agent(facts: str, verdict: str, tmp_path: Path) -> None:
    assert system(tmp_path, APPLIES + facts)["36 domestic agent"] == verdict


def test_oversight_and_documents(tmp_path: Path) -> None:
    facts = (
        APPLIES + NO_DOMAIN.replace("domain_rights = false", "domain_rights = true") + "grave_effect = true"
    )
    bare = system(tmp_path, facts)
    assert bare["34 oversight gap"] == bare["34 documents gap"] == "unknown"
    rest = '[oversight]\nperson = " "\n[documents]\nyears = 4.99'
    poor = system(tmp_path, facts, rest)
    assert poor["34 oversight gap"] == poor["34 documents gap"] == "yes"
    good = system(tmp_path, facts, '[oversight]\nperson = "Kim"\n[documents]\nyears = 5')
    assert good["34 oversight gap"] == good["34 documents gap"] == "no"


def test_a_report_makes_evidence(tmp_path: Path) -> None:
    predictions(tmp_path / "p.csv", [("a", "1", "1", "1")] * 40)
    (tmp_path / "run.json").write_text(json.dumps(RUN), encoding="utf-8")
    text = 'name = "s"\npredictions = "p.csv"\nprivacy_run = "run.json"\n[facts]\noffered_in_korea = true\n'
    text += 'defence_only = false\ngenerative = true\n[[training_run]]\nname = "r"\nflop = 1e26\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    report = report_system(tmp_path / "s.toml", AI_PACK)
    items = {item.evidence.id: item.shown for each in report.checklists for item in each.items}
    assert items["compute_ledger"] == "in this report: 1 run, 1e26 FLOP"
    assert items["fairness_table"] == "in this report: 40 samples in 1 subgroups"
    assert items["notice"] == "", "a text is no proof that it is shown"
    assert report.privacy is not None
    assert report.notices
    with pytest.raises(RulesError, match="did you mean generative"):
        system(tmp_path, "generativ = true")
    with pytest.raises(RulesError, match=r"training_run.0.flops: unknown field"):
        system(tmp_path, "", '[[training_run]]\nname = "r"\nflops = 1')
