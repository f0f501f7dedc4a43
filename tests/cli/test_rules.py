"""`hanok rules`: tables, files, languages, hostile texts, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

from hanok.machine import preset_names
from hanok.rules import load_pack
from hanok.rules.assess import NOT_LEGAL_ADVICE, NOT_LEGAL_ADVICE_KO

EXAMPLES = Path(__file__).parents[2] / "examples" / "rules"


def refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert words in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert "\x1b" not in result.stderr


def one_line(text: str) -> str:
    return " ".join(text.split())


class Tags(HTMLParser):
    """The tags of a page and the attributes that can do something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "link", "br", "path", "img"):
            self.open.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag


def test_pages_are_whole_and_hold_every_rule(hanok_command: Run, tmp_path: Path) -> None:
    page, system = tmp_path / "x.html", tmp_path / "s.html"
    assert hanok_command("rules", "export", "--html", page, "-l", "ko").exit_code == 0
    assert hanok_command("rules", "ai-act", EXAMPLES / "system.toml", "--html", system).exit_code == 0
    for place, names in ((page, ("us-export", "kr-technology")), (system, ("kr-ai-act",))):
        text = place.read_text("utf-8")
        Tags(text)
        for rule in (rule for name in names for rule in load_pack(name).rule):
            assert escape(rule.citation) in text
            assert escape(rule.title_ko) in text


def test_the_rules_print_for_each_preset(hanok_command: Run) -> None:
    result = hanok_command("rules", "export")
    assert result.exit_code == 0, result.output
    for name in preset_names():
        assert f" {name} " in result.stdout
    assert "1,559.76" in result.stdout
    assert "1,600 (-40.24)" in result.stdout
    assert one_line(NOT_LEGAL_ADVICE) in one_line(result.stdout)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_in_full(hanok_command: Run, name: str) -> None:
    result = hanok_command("rules", "export", name)
    assert result.exit_code == 0, result.output
    for words in ("3A090.a", "15 CFR part 774", "as of 2026-01-15", "high", "missing", "Leak report"):
        assert words in result.stdout
    assert one_line(NOT_LEGAL_ADVICE) in one_line(result.stdout)


def test_options_are_facts(hanok_command: Run, tmp_path: Path) -> None:
    place = tmp_path / "out.json"
    result = hanok_command(
        "rules", "export", "server", "--die-mm2", "100.5", "--transistors", "non-planar", "--data-centre",
        "--exporter", "foundry", "--destination", "cn", "--date", "2027-06-01", "--json", place,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    subject = json.loads(place.read_text("utf-8"))["subjects"][0]
    pack = subject["packs"][0]
    assert pack["facts"]["applicable_die_mm2"]["value"]["low"] == "201/2"
    assert pack["facts"]["for_data_centres"] == {"value": True, "source": "the command line"}
    assert pack["facts"]["destination"]["value"] == "CN"
    assert pack["judged_for"] == "2027-06-01"
    assert pack["later_than_the_pack"] is True
    rules = {rule["id"]: rule for rule in pack["rules"]}
    assert rules["3A090.a"]["result"] == "no"
    line = rules["3A090.a"]["headroom"][1]
    assert (line["quantity"], line["line"], line["margin"]) == ("tpp", "1600", "-25152/625")
    assert "knows nothing that came later" in one_line(result.stdout)


def test_a_datasheet_in_korean_with_its_evidence_file(hanok_command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    result = hanok_command("rules", "export", EXAMPLES / "datasheet.toml", "-l", "ko", "-o", folder)
    assert result.exit_code == 0, result.output
    assert one_line(NOT_LEGAL_ADVICE_KO).replace(" ", "") in result.stdout.replace("\n", "").replace(" ", "")
    names = {"assessment.html", "assessment.json", "inputs", "manifest.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "inputs" / "01.toml").read_bytes() == (EXAMPLES / "datasheet.toml").read_bytes()
    page = (folder / "assessment.html").read_text("utf-8")
    assert '<html lang="ko">' in page
    assert NOT_LEGAL_ADVICE_KO in page
    assert "국가핵심기술" in page
    assert "로직 다이" in page
    again = hanok_command("rules", "export", "nano", "-o", folder)
    assert again.exit_code == 0, "the folder is ours"
    first = (folder / "assessment.json").read_bytes()
    assert hanok_command("rules", "export", "nano", "-o", folder).exit_code == 0
    assert (folder / "assessment.json").read_bytes() == first


HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m</script>"


def test_hostile_texts_are_escaped_everywhere(hanok_command: Run, tmp_path: Path) -> None:
    text = (EXAMPLES / "datasheet.toml").read_text("utf-8")
    sheet = tmp_path / "sheet.toml"
    hostile = HOSTILE.replace("\x1b", "\\u001b")
    sheet.write_text(
        text.replace("Example accelerator", hostile).replace("matrix units", hostile), encoding="utf-8"
    )
    product = tmp_path / "product.toml"
    product.write_text(
        "[product]\ncore_technology_x = 1\n".replace("core_technology_x = 1", "modem_technology = true")
        + f'[evidence]\ntraining = "{hostile}"\n',
        encoding="utf-8",
    )
    page, record = tmp_path / "x.html", tmp_path / "x.json"
    result = hanok_command("rules", "export", sheet, "--product", product, "--html", page, "--json", record)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    tags = Tags(page.read_text("utf-8"))
    assert "img" not in tags.tags
    assert "script" not in tags.tags
    assert tags.handlers == []
    assert all(link in ("data:,", "") for link in tags.links)
    assert json.loads(record.read_text("utf-8"))["subjects"][0]["subject"] == HOSTILE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fridge",), "'fridge' is neither a file nor a preset"),
        (("nano", "--date", "soon"), "--date soon: not a day; write it as 2026-01-15"),
        (("nano", "--die-mm2", "wide"), "--die-mm2: 'wide' is not a decimal number"),
        (("nano", "--die-mm2", "0"), "allowed: above 0, at most 100000"),
        (("nano", "--destination", "China"), "a country has two letters"),
        (("nano", "--pack", "eu"), "'eu' is neither a pack of hanok nor a file"),
        (("nano", "--product", "none.toml"), "none.toml: there is no such file"),
        (("nano", "--json", "no/where.json"), "does not exist"),
    ],
)
def test_what_export_refuses(hanok_command: Run, arguments: tuple[str, ...], words: str) -> None:
    refused(hanok_command("rules", "export", *arguments), words)


def test_a_pack_of_ones_own(hanok_command: Run, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "hanok" / "rules" / "packs" / "us-export.toml"
    own = tmp_path / "own.toml"
    shutil.copy(source, own)
    refused(
        hanok_command("rules", "export", "nano", "--pack", own, "--pack", "us-export"),
        "two packs have the id",
    )
    text = (
        own.read_text("utf-8")
        .replace('id = "us-export"', 'id = "own"')
        .replace("tpp >= 4800 or", "tpp >= 0.1 or")
    )
    own.write_text(
        text.replace("for_data_centres and tpp < 4800", "for_data_centres and tpp < 0.1"), encoding="utf-8"
    )
    refused(
        hanok_command("rules", "export", "nano", "--pack", own),
        "rule '3A090.b': its condition contradicts itself",
    )
    text = text.replace("and tpp < 4800 and", "and tpp < 4800 and tpp < 0.1 and")
    own.write_text(
        text.replace("(tpp >= 2400", "(tpp >= 0.01").replace("(tpp >= 1600 and 3.2", "(tpp >= 0.01 and 3.2"),
        encoding="utf-8",
    )
    result = hanok_command("rules", "export", "nano", "--pack", own)
    assert result.exit_code == 0, result.output
    assert "Korea" not in result.stdout
    assert "0.0152 above" in result.stdout


def test_overlapping_rules_are_refused(hanok_command: Run, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "hanok" / "rules" / "packs" / "us-export.toml"
    own = tmp_path / "own.toml"
    own.write_text(source.read_text("utf-8").replace("and tpp < 4800 and", "and"), encoding="utf-8")
    refused(
        hanok_command("rules", "packs", own),
        "'3A090.a' and '3A090.b' of group '3A090 logic' overlap: both hold",
    )


def test_packs_are_listed_and_checked(hanok_command: Run) -> None:
    result = hanok_command("rules", "packs")
    assert result.exit_code == 0, result.output
    for name in ("us-export", "kr-technology", "kr-ai-act", "2026-01-22"):
        assert name in result.stdout
    result = hanok_command("rules", "packs", "kr-ai-act", "-l", "ko")
    assert result.exit_code == 0, result.output
    assert "31(1) notice" in one_line(result.stdout)


def test_ai_act_makes_an_evidence_file(hanok_command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    result = hanok_command(
        "rules", "ai-act", EXAMPLES / "system.toml", "-o", folder, "--json", tmp_path / "s.json"
    )
    assert result.exit_code == 0, result.output
    for words in ("31(1) notice", "김하녹", "1.072e17", "법률 자문이 아닙니다"):
        assert words in one_line(result.stdout)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "assessment.html", "assessment.json", "inputs/01.toml", "manifest.json",
        "models/01-Korean-commands.md", "notices.en.txt", "notices.ko.txt",
    }  # fmt: skip
    record = json.loads((tmp_path / "s.json").read_text("utf-8"))
    assert record["training_compute_flop"]["high"] == str(72 * 10**14 + 10**17)
    page = (folder / "assessment.html").read_text("utf-8")
    assert "이 글은 인공지능이 생성한 결과물입니다." in page
    assert "1e26" in page
    english = hanok_command(
        "rules", "ai-act", EXAMPLES / "system.toml", "-l", "en", "--html", tmp_path / "e.html"
    )
    assert english.exit_code == 0, english.output
    assert "Generated output is marked" in english.stdout


def test_a_system_with_everything(hanok_command: Run, tmp_path: Path) -> None:
    rows = [f"a{number % 2},1,1,{int(number % 10 != 0)}" for number in range(100)]
    (tmp_path / "p.csv").write_text(
        "\n".join(["subgroup,label,float,quantised", *rows]) + "\n", encoding="utf-8"
    )
    run = {"maker": "m", "version": "1", "chip": "edge", "jobs": ["voice"], "attempts": [], "sockets": 0,
           "kernel": "k", "network_isolated": True}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    text = 'predictions = "p.csv"\nprivacy_run = "run.json"\n'
    text += (
        (EXAMPLES / "system.toml")
        .read_text("utf-8")
        .replace('file = "../../hanok/assets', f'file = "{EXAMPLES.parent.parent}/hanok/assets')
    )
    (tmp_path / "system.toml").write_text(text, encoding="utf-8")
    folder = tmp_path / "evidence"
    result = hanok_command("rules", "ai-act", tmp_path / "system.toml", "-o", folder, "-l", "en")
    assert result.exit_code == 0, result.output
    assert "No use of the network" in one_line(result.stdout)
    assert (
        (folder / "fairness.csv")
        .read_text("utf-8")
        .splitlines()[1]
        .startswith("a0,50,1.000000,0.800000,-0.200000")
    )
    assert "인터페이스가 없는" in (folder / "privacy.ko.txt").read_text("utf-8")
    assert (
        json.loads((folder / "assessment.json").read_text("utf-8"))["fairness"]["widest_gap"]["most_lost"]
        == "a0"
    )


def test_what_ai_act_refuses(hanok_command: Run, tmp_path: Path) -> None:
    place = tmp_path / "s.toml"
    for text, words in (
        ("", "name: Field required"),
        ('name = "s"\n[facts]\ngenerativ = true', "did you mean generative?"),
        ('name = "s"\npredictions = "none.csv"', "there is no such file"),
        ('name = "s"\nprivacy_run = "none.json"', "no file of at most"),
        ('name = "s"\n[[model]]\nname = "m"\nfile = "none.onnx"', "is no file; links and folders"),
        ('name = "s"\n[evidence]\nnotices = "x"', "did you mean notice?"),
        ("name = [", "not a TOML file"),
    ):
        place.write_text(text, encoding="utf-8")
        refused(hanok_command("rules", "ai-act", place, "-o", tmp_path / "out"), words)
        assert not (tmp_path / "out").exists()


def test_leak_drafts_a_report(hanok_command: Run, tmp_path: Path) -> None:
    result = hanok_command("rules", "leak", EXAMPLES / "leak.toml", "-o", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert "산업기술 침해 신고서 (초안)" in result.stdout
    assert "missing: institution.representative" in result.stderr
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"leak_report.ko.txt", "leak_report.en.txt", "manifest.json"}
    english = hanok_command("rules", "leak", EXAMPLES / "leak.toml", "-l", "en")
    assert "wrongly with at most 1e-6" in english.stdout
    refused(hanok_command("rules", "leak", tmp_path / "none.toml"), "there is no such file")


def test_fairness(hanok_command: Run, tmp_path: Path) -> None:
    rows = [f"\x1b[31m{'ab'[number % 2]},1,1,{int(number % 4 != 0)}" for number in range(200)]
    (tmp_path / "p.csv").write_text(
        "\n".join(["subgroup,label,float,quantised", *rows]) + "\n", encoding="utf-8"
    )
    result = hanok_command("rules", "fairness", tmp_path / "p.csv", "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "worse" in result.stdout
    assert "for people to say" in one_line(result.stdout)
    assert json.loads((tmp_path / "f.json").read_text("utf-8"))["rows"][0]["lost"] == 50
    korean = hanok_command("rules", "fairness", tmp_path / "p.csv", "-l", "ko")
    assert "나빠짐" in korean.stdout
    refused(hanok_command("rules", "fairness", tmp_path / "none.csv"), "there is no such file")


def test_privacy_records_a_run(hanok_command: Run, tmp_path: Path, monkeypatch: Any) -> None:
    run = {"maker": "hanok rules privacy", "version": "1", "chip": "edge", "jobs": ["voice"], "attempts": [],
           "sockets": 0, "kernel": "k", "network_isolated": True}  # fmt: skip
    monkeypatch.setattr("hanok.flows.apps.cut_off.run_cut_off", lambda chip, progress: run)
    result = hanok_command("rules", "privacy", "-o", tmp_path / "run.json")
    assert result.exit_code == 0, result.output
    assert "No use of the network" in result.stdout
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == run
    refused(hanok_command("rules", "privacy", "-o", tmp_path / "x.json", "--chip", "fridge"), "'fridge'")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(hanok_command("rules", "privacy", "-o", tmp_path / "x.json"), "pip install 'hanok[apps]'")
