"""Findings about chips and systems as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanok.report._rules_words import (
    Language,
    consequence_of,
    dates_of,
    distance,
    evidence_text,
    law_of,
    legal_notice,
    lines_of,
    meaning_of,
    notes_of,
    title_of,
    word,
)
from hanok.report._tables import plain_text, titled_table
from hanok.rules.assess import Assessment, Finding, Missing, PackFindings
from hanok.rules.evidence import Checklist
from hanok.rules.exact import readable
from hanok.rules.pack import Pack

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"yes": "bold red", "no": "green", "unknown": "bold yellow", "not in force": "dim"}
_LONGEST = 400


def print_assessment(
    assessment: Assessment, lists: Sequence[Checklist], console: Console, language: Language = "en"
) -> None:
    """Print every finding, the lines, what is missing and the evidence; last, that it is no legal advice."""
    console.print()
    console.print(plain_text(assessment.subject, "bold"))
    for warning in assessment.warnings:
        console.print(plain_text(f"{word('note', language)}: {warning}", "yellow"))
    _print_facts(assessment, console, language)
    for findings in assessment.packs:
        _print_pack(findings, console, language)
    _print_missing(assessment, console, language)
    _print_checklists(lists, console, language)
    console.print(plain_text(legal_notice(language), "bold"))


def print_summary(assessments: Sequence[Assessment], console: Console, language: Language = "en") -> None:
    """Print a row for each subject: its derived figures and every classification of the packs."""
    for place, first in enumerate(assessments[0].packs if assessments else ()):
        shown = [finding.rule.id for finding in first.findings if finding.rule.kind == "classification"]
        table = titled_table(f"{title_of(first.pack, language)} ({dates_of(first, language)})")
        table.add_column("chip", no_wrap=True)
        figures = [name for name in first.pack.asked if name == "tpp"]
        derived = [item.quantity for item in first.derived if item.quantity == "performance_density"]
        for name in (*figures, *derived):
            table.add_column(name.replace("_", " "), justify="right")
        if figures:
            table.add_column(word("nearest line", language), justify="right")
        for identity in shown:
            table.add_column(identity, overflow="fold")
        for assessment in assessments:
            findings = assessment.packs[place]
            facts = dict(findings.facts)
            values = [facts[name].shown for name in figures]
            values += [str(item.value) for item in findings.derived if item.quantity in derived]
            values += [_nearest(findings, name) for name in figures]
            cells = [plain_text(text) for text in (assessment.subject, *values)]
            verdicts = [findings.of(identity).verdict for identity in shown]
            cells += [plain_text(word(verdict, language), _STYLES[verdict]) for verdict in verdicts]
            table.add_row(*cells)
        console.print(table)
    console.print(plain_text(legal_notice(language), "bold"))


def print_packs(packs: Sequence[Pack], console: Console, language: Language = "en") -> None:
    """Print a row for each pack."""
    table = titled_table("rule packs")
    for name in ("pack", "as of", "law", "rules"):
        table.add_column(
            word(name, language), overflow="fold", justify="right" if name == "rules" else "left"
        )
    for pack in packs:
        table.add_row(
            plain_text(pack.id), str(pack.as_of), plain_text(law_of(pack, language)), str(len(pack.rule))
        )
    console.print(table)
    console.print(plain_text(legal_notice(language), "bold"))


def print_pack_rules(pack: Pack, console: Console, language: Language = "en") -> None:
    """Print every rule of a pack that was checked."""
    table = titled_table(f"{title_of(pack, language)} ({word('as of', language)} {pack.as_of})")
    for name in ("rule", "condition", "in force", "source", "confidence"):
        table.add_column(word(name, language), overflow="fold")
    for rule in pack.rule:
        until = f" .. {rule.until}" if rule.until else " .."
        confidence = f"{word(rule.confidence, language)}. {rule.why_confidence}"
        table.add_row(
            plain_text(f"{rule.id}: {title_of(rule, language)}"),
            plain_text(rule.condition),
            f"{rule.since}{until}",
            plain_text(rule.citation),
            plain_text(confidence),
        )
    console.print(table)
    console.print(plain_text(legal_notice(language), "bold"))


def _print_facts(assessment: Assessment, console: Console, language: Language) -> None:
    """Print what is known, and where from."""
    known = {
        name: (fact, findings.pack.quantity[name])
        for findings in assessment.packs
        for name, fact in findings.facts
        if fact.value is not None
    }
    if not known:
        return
    table = titled_table(word("facts", language))
    for column in ("quantity", "value", "source"):
        table.add_column(word(column, language), overflow="fold")
    for name, (fact, quantity) in known.items():
        unit = f" {quantity.unit}" if quantity.unit else ""
        table.add_row(
            plain_text(f"{name}: {meaning_of(quantity, language)}"),
            plain_text(f"{word(fact.shown, language)}{unit}"),
            plain_text(fact.source[:_LONGEST]),
        )
    console.print(table)


def _print_pack(findings: PackFindings, console: Console, language: Language) -> None:
    table = titled_table(f"{title_of(findings.pack, language)} ({dates_of(findings, language)})")
    for name in ("rule", "result", "what it means", "source", "confidence"):
        table.add_column(word(name, language), no_wrap=name == "result", overflow="fold")
    for finding in findings.findings:
        rule = finding.rule
        table.add_row(
            plain_text(rule.id),
            plain_text(word(finding.verdict, language), _STYLES[finding.verdict]),
            plain_text(_meaning(finding, language)),
            plain_text(rule.citation[:_LONGEST]),
            word(rule.confidence, language),
        )
    console.print(table)
    _print_lines(findings, console, language)
    for note in notes_of(findings.pack, language):
        console.print(plain_text(f"{word('note', language)}: {note}", "dim"))


def _meaning(finding: Finding, language: Language) -> str:
    title = title_of(finding.rule, language)
    if finding.verdict == "yes":
        return f"{title}. {consequence_of(finding.rule, language)}"
    if finding.verdict == "unknown":
        names = ", ".join(dict.fromkeys(item.quantity for item in finding.missing))
        return f"{title} ({word('missing', language)}: {names})"
    if finding.verdict == "not in force":
        until = f" .. {finding.rule.until}" if finding.rule.until else " .."
        return f"{title} ({word('in force', language)}: {finding.rule.since}{until})"
    return title


def _nearest(findings: PackFindings, quantity: str) -> str:
    """The line of a quantity that is nearest to its value, and the value less the line."""
    lines = {
        (abs(line.margin), line)
        for finding in findings.findings
        for line in finding.headroom
        if line.quantity == quantity and line.margin is not None
    }
    if not lines:
        return ""
    nearest = min(lines, key=lambda pair: (pair[0], pair[1].line))[1]
    assert nearest.margin is not None, "lines without a margin are left out"
    sign = "+" if nearest.margin >= 0 else ""
    return f"{readable(nearest.line)} ({sign}{readable(nearest.margin)})"


def _print_lines(findings: PackFindings, console: Console, language: Language) -> None:
    """Print each line once, with the rules that draw it."""
    shown = lines_of(findings)
    if not shown:
        return
    table = titled_table(word("lines", language))
    for name in ("quantity", "value", "line", "headroom"):
        table.add_column(word(name, language), justify="left" if name == "quantity" else "right")
    table.add_column(word("rule", language), overflow="fold")
    for drawn in shown:
        line = drawn.headroom
        unit = f" {line.unit}" if line.unit else ""
        table.add_row(
            plain_text(line.quantity),
            plain_text(f"{line.value}{unit}"),
            plain_text(f"{drawn.operators} {readable(line.line)}{unit}"),
            plain_text(distance(line, language)),
            plain_text(drawn.rules),
        )
    console.print(table)


def _print_missing(assessment: Assessment, console: Console, language: Language) -> None:
    asked: dict[Missing, list[str]] = {}
    for findings in assessment.packs:
        for finding in findings.findings:
            for item in finding.missing:
                asked.setdefault(item, []).append(finding.rule.id)
    if not asked:
        return
    table = titled_table(word("missing", language))
    for name in ("quantity", "why", "how to give it", "rules that it leaves open"):
        table.add_column(word(name, language), overflow="fold")
    for item, names in asked.items():
        table.add_row(
            plain_text(f"{item.quantity}: {meaning_of(item, language)}"),
            plain_text(item.why[:_LONGEST]),
            plain_text(item.give[:_LONGEST]),
            plain_text(", ".join(dict.fromkeys(names))),
        )
    console.print(table)


def _print_checklists(lists: Sequence[Checklist], console: Console, language: Language) -> None:
    if not lists:
        return
    table = titled_table(word("evidence", language))
    for name in ("rule", "evidence", "given", "made by"):
        table.add_column(word(name, language), overflow="fold")
    for checklist in lists:
        for place, item in enumerate(checklist.items):
            state = item.shown if item.given else word("not given", language)
            digest = f" SHA-256 {item.sha256[:16]}…" if item.sha256 else ""
            table.add_row(
                plain_text(checklist.rule if place == 0 else ""),
                plain_text(f"{item.evidence.id}: {evidence_text(item.evidence, language)}"),
                plain_text(state + digest, "green" if item.given else "yellow"),
                plain_text(item.evidence.made_by),
            )
    console.print(table)
