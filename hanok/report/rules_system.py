"""A system under the AI Basic Act: terminal, page, JSON, and the folder of its evidence."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hanok.report._rules_words import Language, word
from hanok.report._tables import plain_text, titled_table
from hanok.report.rules_html import render_page
from hanok.report.rules_json import assessment_dictionary, interval, json_text
from hanok.report.rules_terminal import print_assessment
from hanok.report.text import percent
from hanok.rules.assess import NOT_LEGAL_ADVICE, NOT_LEGAL_ADVICE_KO
from hanok.rules.fairness import FairnessTable, Proportion, SubgroupRow
from hanok.rules.interval import Interval
from hanok.rules.model_card import ModelCard, card_markdown
from hanok.rules.notices import notice_text
from hanok.rules.privacy import privacy_statement
from hanok.rules.system import SystemReport

if TYPE_CHECKING:
    from rich.console import Console

_Row = tuple[str, ...]
_KOREAN = {
    "subgroup": "하위집단",
    "samples": "표본 수",
    "float right": "부동소수점 정답률",
    "quantised right": "양자화 정답률",
    "change": "변화",
    "lost": "잃음",
    "won": "얻음",
    "finding": "판정",
    "worse": "나빠짐",
    "better": "나아짐",
    "no change is seen": "변화가 보이지 않음",
    "all": "전체",
}


def print_system(report: SystemReport, console: Console, language: Language) -> None:
    """Print the findings, then every table that was made."""
    for title, columns, rows, text in _sections(report, language):
        if text:
            console.print(plain_text(f"{title}: {text}"))
        if rows:
            table = titled_table(title)
            for name in columns:
                table.add_column(name, overflow="fold")
            for row in rows:
                table.add_row(*(plain_text(cell) for cell in row))
            console.print(table)
    print_assessment(report.assessment, report.checklists, console, language)


def print_fairness(table: FairnessTable, console: Console, language: Language) -> None:
    """Print the table of subgroups and the widest gap."""
    shown = titled_table(f"{word('quality by subgroup', language)}: {table.source}")
    for name in _fairness_columns(language):
        shown.add_column(name, overflow="fold")
    for row in _fairness_rows(table, language):
        shown.add_row(*(plain_text(cell) for cell in row))
    console.print(shown)
    console.print(plain_text(_gap_words(table, language)))


def system_page(report: SystemReport, language: Language) -> str:
    """Return the page."""
    sections = [
        {"title": title, "columns": columns, "rows": rows, "text": text}
        for title, columns, rows, text in _sections(report, language)
    ]
    pairs = [(report.assessment, report.checklists)]
    return render_page(report.file.name, pairs, language, sections)


def system_json(report: SystemReport) -> str:
    """Return everything as JSON."""
    compute = report.compute.value
    return json_text(
        {
            "not_legal_advice": NOT_LEGAL_ADVICE,
            "not_legal_advice_ko": NOT_LEGAL_ADVICE_KO,
            **assessment_dictionary(report.assessment, report.checklists),
            "training_compute_flop": interval(compute) if isinstance(compute, Interval) else None,
            "ledger": [
                {"name": line.name, "flop": interval(line.flop), "how": line.how, "source": line.source}
                for line in report.ledger
            ],
            "notices": [asdict(notice) for notice in report.notices],
            "models": [
                {"name": card.entry.name, "figures": dict(card.figures), "not_said": list(card.gaps)}
                for card in report.cards
            ],
            "fairness": None if report.fairness is None else _fairness(report.fairness),
            "privacy": None if report.privacy is None else report.privacy.model_dump(mode="json"),
        }
    )


def fairness_json(table: FairnessTable) -> str:
    """Return the table as JSON."""
    return json_text(_fairness(table))


def system_files(report: SystemReport, language: Language) -> dict[str, bytes]:
    """Return the evidence file: page, JSON, notices, cards, table, statement; by their paths."""
    texts = {"assessment.html": system_page(report, language), "assessment.json": system_json(report)}
    for name in ("ko", "en"):
        if report.notices:
            texts[f"notices.{name}.txt"] = notice_text(report.notices, name)
        if report.privacy is not None:
            texts[f"privacy.{name}.txt"] = privacy_statement(report.privacy, name) + "\n"
    for number, card in enumerate(report.cards, 1):
        texts[f"models/{number:02}-{_file_name(card)}.md"] = card_markdown(card)
    if report.fairness is not None:
        texts["fairness.csv"] = _fairness_csv(report.fairness)
    return {name: text.encode("utf-8", "replace") for name, text in texts.items()}


def _sections(
    report: SystemReport, language: Language
) -> list[tuple[str, Sequence[str], Sequence[_Row], str]]:
    """(title, columns, rows, text) of what was made beside the findings."""
    sections: list[tuple[str, Sequence[str], Sequence[_Row], str]] = []
    person = report.file.oversight
    if person is not None:
        stop = (
            ("중지 권한 있음" if person.can_stop else "중지 권한 없음")
            if language == "ko"
            else ("may stop the system" if person.can_stop else "may not stop the system")
        )
        title = "사람의 관리·감독" if language == "ko" else "oversight by people"
        text = ", ".join(part for part in (person.person, person.role, person.contact, stop) if part)
        sections.append((title, (), (), text))
    if report.ledger:
        columns = [word(name, language) for name in ("run", "value", "how", "source")]
        rows: list[_Row] = [(line.name, f"{line.flop} FLOP", line.how, line.source) for line in report.ledger]
        rows.append((word("sum", language), f"{report.compute.shown} FLOP", "", ""))
        sections.append((word("training compute", language), columns, rows, ""))
    if report.notices:
        title = "고지와 표시 문구" if language == "ko" else "notices and labels"
        rows = [(notice.place, notice.language, notice.text) for notice in report.notices]
        sections.append((title, [word(name, language) for name in ("place", "language", "text")], rows, ""))
    if report.fairness is not None:
        rows = _fairness_rows(report.fairness, language)
        text = _gap_words(report.fairness, language)
        sections.append((word("quality by subgroup", language), _fairness_columns(language), rows, text))
    if report.privacy is not None:
        sections.append((word("privacy", language), (), (), privacy_statement(report.privacy, language)))
    for card in report.cards:
        rows = [*card.figures, *((item.metric, f"{item.value} ({item.data})") for item in card.entry.quality)]
        rows += [(f"{word('missing', language)}", ", ".join(card.gaps))] if card.gaps else []
        title = f"{word('models', language)}: {card.entry.name}"
        sections.append((title, (word("quantity", language), word("value", language)), rows, ""))
    return sections


def _fairness(table: FairnessTable) -> dict[str, Any]:
    return {
        "source": table.source,
        "rows": [{**asdict(row), "finding": row.finding} for row in (*table.rows, table.whole)],
        "widest_gap": dict(zip(("most_lost", "least_lost", "gap"), table.widest_gap, strict=True)),
    }


def _fairness_columns(language: Language) -> list[str]:
    names = ("subgroup", "samples", "float right", "quantised right", "change", "lost", "won", "finding")
    return [_KOREAN[name] if language == "ko" else name for name in names]


def _fairness_rows(table: FairnessTable, language: Language) -> list[_Row]:
    def told(text: str) -> str:
        return _KOREAN.get(text, text) if language == "ko" else text

    def cells(row: SubgroupRow) -> _Row:
        name = told(row.subgroup) if row is table.whole else row.subgroup
        return (
            name,
            f"{row.samples:,}",
            _share(row.float_right),
            _share(row.quantised_right),
            _points(row.change),
            f"{row.lost:,}",
            f"{row.won:,}",
            told(row.finding),
        )

    return [cells(row) for row in (*table.rows, table.whole)]


def _share(value: Proportion) -> str:
    return f"{percent(value.value)} ({percent(value.low)} .. {percent(value.high)})"


def _points(value: Proportion) -> str:
    return f"{100 * value.value:+.2f} ({100 * value.low:+.2f} .. {100 * value.high:+.2f})"


def _gap_words(table: FairnessTable, language: Language) -> str:
    low, high, gap = table.widest_gap
    if language == "ko":
        return (
            f"변화의 차이가 가장 큰 하위집단: {low}, {high} ({100 * gap:.2f} %p). 구간은 모든 "
            "하위집단을 함께 95 %로 잡았습니다. 공정한지는 사람이 판단합니다."
        )
    return (
        f"The changes of {low} and {high} differ most: by {100 * gap:.2f} points. Intervals hold at 95 % for "
        "all subgroups together. Whether this is fair is for people to say."
    )


def _fairness_csv(table: FairnessTable) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ("subgroup", "samples", "float", "quantised", "change", "change_low", "change_high", "finding")
    )
    for row in (*table.rows, table.whole):
        change = row.change
        figures = (row.float_right.value, row.quantised_right.value, change.value, change.low, change.high)
        name = f"'{row.subgroup}" if row.subgroup[:1] in "=+-@" else row.subgroup
        writer.writerow((name, row.samples, *(f"{figure:.6f}" for figure in figures), row.finding))
    return buffer.getvalue()


def _file_name(card: ModelCard) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", card.entry.name)[:40].strip("-") or "model"
