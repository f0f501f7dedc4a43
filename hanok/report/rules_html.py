"""Findings as one self-contained HTML page that opens offline; every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.report import _rules_words as _words
from hanok.report._page import environment, template_text
from hanok.report._rules_words import Language
from hanok.rules.assess import Assessment, Missing
from hanok.rules.evidence import Checklist
from hanok.rules.exact import readable


def assessments_page(
    pairs: Sequence[tuple[Assessment, Sequence[Checklist]]], language: Language = "en"
) -> str:
    """Return the page of some subjects with their findings and checklists."""
    names = ", ".join(assessment.subject for assessment, _ in pairs)
    return render_page(names, pairs, language)


def render_page(
    title: str,
    pairs: Sequence[tuple[Assessment, Sequence[Checklist]]],
    language: Language,
    sections: Sequence[dict[str, Any]] = (),
) -> str:
    """Return a page; `sections` are further tables: title, columns, rows, text."""
    return str(
        environment()
        .get_template("rules.html")
        .render(
            title=title,
            pairs=pairs,
            language=language,
            sections=sections,
            notice=_words.legal_notice(language),
            word=lambda text: _words.word(text, language),
            title_of=lambda item: _words.title_of(item, language),
            law_of=lambda pack: _words.law_of(pack, language),
            notes_of=lambda pack: _words.notes_of(pack, language),
            consequence_of=lambda rule: _words.consequence_of(rule, language),
            meaning_of=lambda item: _words.meaning_of(item, language),
            evidence_text=lambda item: _words.evidence_text(item, language),
            dates_of=lambda findings: _words.dates_of(findings, language),
            distance=lambda line: _words.distance(line, language),
            readable=readable,
            lines_of=_words.lines_of,
            missing_of=_missing_of,
            style=template_text("report.css") + template_text("rules.css"),
        )
    )


def _missing_of(assessment: Assessment) -> list[tuple[Missing, str]]:
    """Each quantity that is missing, with the rules that it leaves open."""
    asked: dict[Missing, list[str]] = {}
    for findings in assessment.packs:
        for finding in findings.findings:
            for item in finding.missing:
                asked.setdefault(item, []).append(finding.rule.id)
    return [(item, ", ".join(dict.fromkeys(names))) for item, names in asked.items()]
