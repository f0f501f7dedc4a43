"""A draft of the report of a leak under Article 15 of the Industrial Technology Protection Act.

The draft holds the facts that its file gives and no others: what is not given stands as a gap to be filled by
hand, and is listed. It is not sent anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hanok.rules._record import Line, Record, Rows, Words, check, read_toml
from hanok.rules.evidence import sha256_of

GAP_KO = "[기재 필요]"
GAP_EN = "[to be filled in]"


class Institution(Record):
    """Who reports."""

    name: Words = ""
    representative: Words = ""
    address: Words = ""
    contact: Words = ""


class Technology(Record):
    """What leaked."""

    name: Words = ""
    designation: Words = ""
    """National core technology (with its entry), or another industrial technology."""
    state_funded: bool | None = None


class Incident(Record):
    """What happened, as far as it is known."""

    discovered_at: Words = ""
    happened_at: Words = ""
    how: Words = ""
    suspect: Words = ""
    to_where: Words = ""
    abroad: bool | None = None
    only_feared: bool = False
    """It has not happened yet as far as is known."""
    damage: Words = ""


class Trace(Record):
    """Whom a mark in the leaked copy points to."""

    recipient: Line
    false_accusation_probability: Line
    """As the tracing report bounds it, such as 1e-6."""
    report: Annotated[str, Field(max_length=1000)] = ""
    """Its file."""


class Event(Record):
    """An entry of the log of deliveries, receipts, returns and deletions."""

    time: Line
    what: Line
    proof: Words = ""
    """Such as the leaf's hash and the tree head that it is proven in."""


class Attachment(Record):
    """A file that goes with the report."""

    file: Annotated[str, Field(min_length=1, max_length=1000)]
    what: Line


class LeakFile(Record):
    """The facts of a leak."""

    institution: Institution = Institution()
    technology: Technology = Technology()
    incident: Incident = Incident()
    trace: Rows[Trace] = ()
    event: Rows[Event] = ()
    measures: Rows[Line] = ()
    wishes: Rows[Line] = ()
    attachment: Rows[Attachment] = ()


@dataclass(frozen=True)
class LeakReport:
    """The draft in both languages, and what it lacks."""

    korean: str
    english: str
    gaps: tuple[str, ...]


def leak_report(path: str | Path, events: Iterable[Event] = ()) -> LeakReport:
    """Draft the report of a file of facts; raises RulesError that names the field or the file.

    `events`, such as entries of a transparency log, stand behind those of the file.
    """
    file = check(LeakFile, read_toml(path), str(path))
    file = file.model_copy(update={"event": (*file.event, *events)})
    attachments = []
    for item in file.attachment:
        size, digest = sha256_of(Path(path).parent / item.file, f"{path}: attachment")
        attachments.append(f"{_flat(item.what)}: {_flat(item.file)}, {size:,} bytes, SHA-256 {digest}")
    return LeakReport(_korean(file, attachments), _english(file, attachments), _gaps(file))


def _gaps(file: LeakFile) -> tuple[str, ...]:
    asked = {
        "institution": ("name", "representative", "address", "contact"),
        "technology": ("name", "designation", "state_funded"),
        "incident": ("discovered_at", "happened_at", "how", "suspect", "to_where", "abroad"),
    }
    found = [
        f"{part}.{name}"
        for part, names in asked.items()
        for name in names
        if getattr(getattr(file, part), name) in ("", None)
    ]
    return (*found, *([] if file.measures else ["measures"]))


def _korean(file: LeakFile, attachments: list[str]) -> str:
    who, what, case = file.institution, file.technology, file.incident
    state = "침해 우려" if case.only_feared else "침해 발생"
    lines = [
        "산업기술 침해 신고서 (초안)",
        "산업기술의 유출방지 및 보호에 관한 법률 제15조제1항에 따른 신고",
        "수신: 산업통상자원부장관(현 산업통상부장관), 정보수사기관의 장",
        "※ hanok이 주어진 사실로 만든 초안입니다. 법률 자문이 아니며, 발송 전에 사람이 확인해야 합니다.",
        "",
        "1. 신고 기관",
        f"- 기관명: {_or(who.name)}",
        f"- 대표자: {_or(who.representative)}",
        f"- 주소: {_or(who.address)}",
        f"- 연락처: {_or(who.contact)}",
        "2. 대상 기술",
        f"- 기술명: {_or(what.name)}",
        f"- 구분: {_or(what.designation)}",
        f"- 국가 연구개발비 지원: {_choice(what.state_funded, '예', '아니요', GAP_KO)}",
        f"3. 침해 내용 ({state})",
        f"- 인지 일시: {_or(case.discovered_at)}",
        f"- 발생 일시: {_or(case.happened_at)}",
        f"- 경위: {_or(case.how)}",
        f"- 관련자: {_or(case.suspect)}",
        f"- 유출처: {_or(case.to_where)}",
        f"- 국외 유출: {_choice(case.abroad, '예', '아니요', GAP_KO)}",
        f"- 예상 피해: {_or(case.damage)}",
        "4. 추적 결과",
        *(_numbered(_trace_ko(item) for item in file.trace) or ["- 없음"]),
        "5. 전달·수령·반환·삭제 기록",
        *(_numbered(_event(item) for item in file.event) or ["- 없음"]),
        "6. 조치 사항",
        *(_numbered(_flat(item) for item in file.measures) or [f"- {GAP_KO}"]),
        "7. 요청 사항",
        *(_numbered(_flat(item) for item in file.wishes) or ["- 필요한 조치를 하여 주시기 바랍니다."]),
        "8. 첨부",
        *(_numbered(attachments) or ["- 없음"]),
    ]
    return "\n".join(lines) + "\n"


def _english(file: LeakFile, attachments: list[str]) -> str:
    who, what, case = file.institution, file.technology, file.incident
    state = "feared" if case.only_feared else "happened"
    lines = [
        "Report of an infringement of industrial technology (draft)",
        "Under Article 15(1) of the Act on Prevention of Divulgence and Protection of Industrial Technology",
        "To: the Minister of Trade, Industry and Resources; an intelligence or investigation agency",
        "Drafted by hanok from the facts given. Not legal advice; a person must check it before it is sent.",
        "",
        "1. Institution",
        f"- Name: {_or(who.name, GAP_EN)}",
        f"- Representative: {_or(who.representative, GAP_EN)}",
        f"- Address: {_or(who.address, GAP_EN)}",
        f"- Contact: {_or(who.contact, GAP_EN)}",
        "2. Technology",
        f"- Name: {_or(what.name, GAP_EN)}",
        f"- Designation: {_or(what.designation, GAP_EN)}",
        f"- Research funds of the state: {_choice(what.state_funded, 'yes', 'no', GAP_EN)}",
        f"3. Infringement ({state})",
        f"- Noticed at: {_or(case.discovered_at, GAP_EN)}",
        f"- Happened at: {_or(case.happened_at, GAP_EN)}",
        f"- How: {_or(case.how, GAP_EN)}",
        f"- Who is involved: {_or(case.suspect, GAP_EN)}",
        f"- Where to: {_or(case.to_where, GAP_EN)}",
        f"- Abroad: {_choice(case.abroad, 'yes', 'no', GAP_EN)}",
        f"- Damage to be expected: {_or(case.damage, GAP_EN)}",
        "4. Tracing",
        *(_numbered(_trace_en(item) for item in file.trace) or ["- none"]),
        "5. Log of deliveries, receipts, returns and deletions",
        *(_numbered(_event(item) for item in file.event) or ["- none"]),
        "6. Measures taken",
        *(_numbered(_flat(item) for item in file.measures) or [f"- {GAP_EN}"]),
        "7. What is asked for",
        *(_numbered(_flat(item) for item in file.wishes) or ["- Please take the measures that are needed."]),
        "8. Attachments",
        *(_numbered(attachments) or ["- none"]),
    ]
    return "\n".join(lines) + "\n"


def _trace_ko(item: Trace) -> str:
    report = f"; 보고서 {_flat(item.report)}" if item.report else ""
    bound = _flat(item.false_accusation_probability)
    return f"유출본의 표지가 가리키는 수령인: {_flat(item.recipient)} (오지목 확률 {bound} 이하{report})"


def _trace_en(item: Trace) -> str:
    report = f"; report {_flat(item.report)}" if item.report else ""
    bound = _flat(item.false_accusation_probability)
    who = _flat(item.recipient)
    return f"the marks of the leaked copy point to: {who} (wrongly with at most {bound}{report})"


def _event(item: Event) -> str:
    proof = f" [{_flat(item.proof)}]" if item.proof else ""
    return f"{_flat(item.time)}: {_flat(item.what)}{proof}"


def _numbered(items: Iterable[str]) -> list[str]:
    return [f"- ({number}) {text}" for number, text in enumerate(items, 1)]


def _or(text: str, gap: str = GAP_KO) -> str:
    return _flat(text) or gap


def _choice(value: bool | None, yes: str, no: str, gap: str) -> str:
    if value is None:
        return gap
    return yes if value else no


def _flat(text: str) -> str:
    """The text on one line, so that it cannot pass for another part of the report."""
    return " ".join(text.split())
