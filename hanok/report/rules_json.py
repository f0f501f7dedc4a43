"""Findings as JSON: every rule, what is missing, exact figures beside readable ones, no wall-clock dates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hanok.report.json_result import plain
from hanok.rules.assess import (
    NOT_LEGAL_ADVICE,
    NOT_LEGAL_ADVICE_KO,
    Assessment,
    Finding,
    Headroom,
    PackFindings,
)
from hanok.rules.evidence import Checklist
from hanok.rules.facts import Fact
from hanok.rules.interval import Interval


def assessments_json(pairs: Sequence[tuple[Assessment, Sequence[Checklist]]]) -> str:
    """Return subjects with their findings and checklists."""
    content = {
        "not_legal_advice": NOT_LEGAL_ADVICE,
        "not_legal_advice_ko": NOT_LEGAL_ADVICE_KO,
        "subjects": [assessment_dictionary(assessment, lists) for assessment, lists in pairs],
    }
    return json_text(content)


def json_text(content: Any) -> str:
    """Return plain data as JSON."""
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def assessment_dictionary(assessment: Assessment, lists: Sequence[Checklist]) -> dict[str, Any]:
    """Return one subject as plain data."""
    return {
        "subject": assessment.subject,
        "warnings": list(assessment.warnings),
        "packs": [_pack(findings) for findings in assessment.packs],
        "evidence": [
            {
                "rule": checklist.rule,
                "items": [
                    {
                        "id": item.evidence.id,
                        "text": item.evidence.text,
                        "text_ko": item.evidence.text_ko,
                        "made_by": item.evidence.made_by,
                        "given": item.given,
                        "shown": item.shown,
                        "sha256": item.sha256,
                    }
                    for item in checklist.items
                ],
            }
            for checklist in lists
        ],
    }


def interval(value: Interval) -> dict[str, Any]:
    """Return an interval as exact fractions in text, and as decimals where a float holds them."""
    return {
        "low": None if value.low is None else str(value.low),
        "high": None if value.high is None else str(value.high),
        "decimal": None if value.value is None else _decimal(value.value),
    }


def _pack(findings: PackFindings) -> dict[str, Any]:
    pack = findings.pack
    return {
        "id": pack.id,
        "title": pack.title,
        "title_ko": pack.title_ko,
        "jurisdiction": pack.jurisdiction,
        "law": pack.law,
        "law_ko": pack.law_ko,
        "as_of": str(pack.as_of),
        "judged_for": str(findings.day),
        "later_than_the_pack": findings.is_later,
        "notes": list(pack.notes),
        "facts": {name: _fact(fact) for name, fact in findings.facts},
        "derived": {item.quantity: {**interval(item.value), "unit": item.unit} for item in findings.derived},
        "rules": [_finding(finding) for finding in findings.findings],
    }


def _fact(fact: Fact) -> dict[str, Any]:
    value = interval(fact.value) if isinstance(fact.value, Interval) else fact.value
    return {"value": value, "source": fact.source}


def _finding(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "id": rule.id,
        "title": rule.title,
        "title_ko": rule.title_ko,
        "kind": rule.kind,
        "result": finding.verdict,
        "condition": rule.condition,
        "consequence": rule.consequence,
        "consequence_ko": rule.consequence_ko,
        "citation": rule.citation,
        "source": rule.source,
        "confidence": rule.confidence,
        "why_confidence": rule.why_confidence,
        "from": str(rule.since),
        "until": None if rule.until is None else str(rule.until),
        "missing": [
            {"quantity": item.quantity, "meaning": item.meaning, "why": item.why, "give": item.give}
            for item in finding.missing
        ],
        "headroom": [_line(line) for line in finding.headroom],
    }


def _line(line: Headroom) -> dict[str, Any]:
    return {
        "quantity": line.quantity,
        "operator": line.operator,
        "line": str(line.line),
        "value": interval(line.value),
        "unit": line.unit,
        "met": line.met.value,
        "margin": None if line.margin is None else str(line.margin),
        "turning": None if line.turning is None else {line.turning[0]: str(line.turning[1])},
    }


def _decimal(value: Fraction) -> float:
    return value.numerator / value.denominator
