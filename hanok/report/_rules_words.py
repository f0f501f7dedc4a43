"""The words around findings in English and Korean, and each text of a pack in the language asked for."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hanok.report.text import percent
from hanok.rules.assess import NOT_LEGAL_ADVICE, NOT_LEGAL_ADVICE_KO, Headroom, Missing, PackFindings
from hanok.rules.exact import readable
from hanok.rules.pack import Evidence, Pack, Quantity, Rule

Language = Literal["en", "ko"]

_KOREAN = {
    "yes": "예",
    "no": "아니요",
    "unknown": "알 수 없음",
    "not in force": "시행 전·후",
    "rule": "규칙",
    "result": "결과",
    "what it means": "내용",
    "source": "출처",
    "confidence": "확신도",
    "high": "높음",
    "medium": "보통",
    "low": "낮음",
    "line": "기준선",
    "value": "값",
    "headroom": "여유",
    "quantity": "항목",
    "missing": "필요한 사실",
    "why": "이유",
    "how to give it": "입력 방법",
    "rules that it leaves open": "이로 인해 미정인 규칙",
    "facts": "사실",
    "evidence": "증빙",
    "given": "제출됨",
    "not given": "미제출",
    "made by": "생성 도구",
    "as of": "기준일",
    "judged for": "판단일",
    "on the line": "기준과 같음",
    "the line lies within": "범위가 기준을 걸침",
    "place": "위치",
    "language": "언어",
    "text": "문구",
    "above": "초과",
    "below": "미달",
    "lines": "기준선까지의 여유",
    "nearest line": "가장 가까운 기준선",
    "why so confident": "확신의 근거",
    "law": "법령",
    "jurisdiction": "관할",
    "note": "참고",
    "classification": "분류",
    "relief": "완화",
    "duty": "의무",
    "penalty": "벌칙",
    "information": "정보",
    "in force": "시행",
    "training compute": "학습 연산량 장부",
    "run": "학습",
    "sum": "합계",
    "how": "산출",
    "quality by subgroup": "하위집단별 품질",
    "privacy": "개인정보 시험",
    "models": "모델 카드",
}


def word(text: str, language: Language) -> str:
    """Return a word of the frame in a language."""
    return _KOREAN.get(text, text) if language == "ko" else text


def legal_notice(language: Language) -> str:
    """The sentence that stands on everything."""
    return NOT_LEGAL_ADVICE_KO if language == "ko" else NOT_LEGAL_ADVICE


def title_of(item: Rule | Pack, language: Language) -> str:
    """The title of a rule or a pack."""
    return item.title_ko if language == "ko" and item.title_ko else item.title


def consequence_of(rule: Rule, language: Language) -> str:
    """What follows from a rule."""
    return rule.consequence_ko if language == "ko" and rule.consequence_ko else rule.consequence


def law_of(pack: Pack, language: Language) -> str:
    """The name of the law."""
    return pack.law_ko if language == "ko" and pack.law_ko else pack.law


def notes_of(pack: Pack, language: Language) -> tuple[str, ...]:
    """The notes of a pack."""
    return pack.notes_ko if language == "ko" and pack.notes_ko else pack.notes


def meaning_of(item: Quantity | Missing, language: Language) -> str:
    """What a quantity is."""
    return item.meaning_ko if language == "ko" and item.meaning_ko else item.meaning


def evidence_text(evidence: Evidence, language: Language) -> str:
    """What a piece of evidence is."""
    return evidence.text_ko if language == "ko" and evidence.text_ko else evidence.text


@dataclass(frozen=True)
class Line:
    """A line as a table shows it: once, with every comparison and every rule that draws it."""

    headroom: Headroom
    operators: str
    rules: str


def lines_of(findings: PackFindings) -> list[Line]:
    """Each line of a pack of whose quantity something is known."""
    drawn: dict[tuple[str, Fraction], list[tuple[Headroom, str]]] = {}
    for finding in findings.findings:
        for line in finding.headroom:
            if line.value.low or line.value.high is not None:
                drawn.setdefault((line.quantity, line.line), []).append((line, finding.rule.id))
    return [
        Line(
            pairs[0][0],
            " / ".join(dict.fromkeys(line.operator for line, _ in pairs)),
            ", ".join(dict.fromkeys(rule for _, rule in pairs)),
        )
        for pairs in drawn.values()
    ]


def distance(line: Headroom, language: Language) -> str:
    """How far a value is from a line: 240 above, 5 % of the line; of a range, its nearer end."""
    low, high = line.value.low, line.value.high
    if line.margin == 0:
        return word("on the line", language)
    if low is not None and low > line.line:
        margin, side = low - line.line, "above"
    elif high is not None and high < line.line:
        margin, side = line.line - high, "below"
    else:
        within = word("the line lies within", language)
        return f"{within}; {turning_words(line, language)}" if line.turning else within
    share = f", {percent(float(margin / line.line))}" if line.line else ""
    if line.margin is None and line.turning is not None:
        share += f" ({turning_words(line, language)})"
    least = "" if line.margin is not None else ("at least " if language == "en" else "최소 ")
    return f"{least}{readable(margin)} {word(side, language)}{share}"


def dates_of(findings: PackFindings, language: Language) -> str:
    """As of which day the pack was written and for which day it was judged, with a warning where later."""
    text = f"{word('as of', language)} {findings.pack.as_of}, {word('judged for', language)} {findings.day}"
    if not findings.is_later:
        return text
    later = (
        "; the pack knows nothing that came later" if language == "en" else "; 이후의 개정은 반영되지 않음"
    )
    return text + later


def turning_words(line: Headroom, language: Language) -> str:
    """At which value of its divisor a quotient is on the line."""
    if line.turning is None:
        return ""
    name, value, unit = line.turning
    at = "on the line at" if language == "en" else "기준과 같아지는 값:"
    return f"{at} {name} = {readable(value)}{f' {unit}' if unit else ''}"
