"""An AI system before the AI Basic Act: its file, the facts that follow, the evidence that can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hanok.rules._record import Line, NotNegative, Record, Rows, Words, check, read_toml
from hanok.rules.assess import Assessment, assess
from hanok.rules.declared import asked_kinds, declared_facts
from hanok.rules.evaluate import Scope, judge
from hanok.rules.evidence import Checklist, Given, checklists
from hanok.rules.expression import Name
from hanok.rules.facts import Fact, Facts, flag, number
from hanok.rules.fairness import FairnessTable, fairness_table
from hanok.rules.ledger import LedgerLine, TrainingRun, ledger_lines, training_compute
from hanok.rules.load import builtin_quantities
from hanok.rules.model_card import ModelCard, ModelEntry, model_card
from hanok.rules.notices import Notice, notices
from hanok.rules.pack import Pack
from hanok.rules.privacy import PrivacyRun, read_privacy_run
from hanok.rules.truth import Truth

AI_ACT_PACKS = ("kr-ai-act",)
DOMAIN_PREFIX = "domain_"
"""Of the quantities that ask for the domains of high-impact AI."""


class Operator(Record):
    """Who offers the system."""

    name: Words = ""
    contact: Words = ""


class Oversight(Record):
    """The person who oversees the system."""

    person: Words = ""
    role: Words = ""
    contact: Words = ""
    can_stop: bool = False


class Documents(Record):
    """Where the documents are kept, and for how many years."""

    place: Words = ""
    years: NotNegative | None = None


class SystemFile(Record):
    """A system's file."""

    name: Line
    description: Words = ""
    operator: Operator = Operator()
    facts: dict[str, Any] = Field(default_factory=dict)
    training_run: Rows[TrainingRun] = ()
    oversight: Oversight | None = None
    documents: Documents | None = None
    model: Rows[ModelEntry] = ()
    predictions: Annotated[str, Field(max_length=1000)] = ""
    """CSV for the table of fairness."""
    privacy_run: Annotated[str, Field(max_length=1000)] = ""
    """What `hanok rules privacy` wrote."""
    evidence: dict[str, Given | Words] = Field(default_factory=dict)


@dataclass(frozen=True)
class SystemReport:
    """Everything that was found and made for a system."""

    file: SystemFile
    assessment: Assessment
    checklists: tuple[Checklist, ...]
    ledger: tuple[LedgerLine, ...]
    compute: Fact
    notices: tuple[Notice, ...]
    cards: tuple[ModelCard, ...]
    fairness: FairnessTable | None
    privacy: PrivacyRun | None


def report_system(path: str | Path, packs: Sequence[Pack], day: date | None = None) -> SystemReport:
    """Judge a system's file and make its evidence; raises RulesError that names the field or the file."""
    origin, folder = str(path), Path(path).parent
    file = check(SystemFile, read_toml(path), origin)
    ledger = ledger_lines(file.training_run)
    compute = training_compute(ledger)
    kinds = asked_kinds(packs)
    facts = {name: fact for name, fact in _own_facts(file, compute).items() if name in kinds}
    facts |= declared_facts(file.facts, kinds, f"{origin}: facts", builtin_quantities())
    assessment = assess(file.name, facts, packs, day)
    fairness = fairness_table(folder / file.predictions) if file.predictions else None
    made = _made_evidence(facts, ledger, compute, fairness)
    asked = {item.id for pack in packs for rule in pack.rule for item in rule.evidence}
    given = {name: words for name, words in made.items() if name in asked} | file.evidence
    return SystemReport(
        file,
        assessment,
        checklists(assessment.packs, given, folder, origin),
        ledger,
        compute,
        _notices(file, packs, facts),
        tuple(model_card(entry, folder, origin) for entry in file.model),
        fairness,
        read_privacy_run(folder / file.privacy_run) if file.privacy_run else None,
    )


def _made_evidence(
    facts: Facts, ledger: Sequence[LedgerLine], compute: Fact, fairness: FairnessTable | None
) -> dict[str, Given | str]:
    """The pieces of evidence that this report itself is."""
    made: dict[str, Given | str] = {}
    if ledger:
        runs = f"{len(ledger)} run{'' if len(ledger) == 1 else 's'}"
        made["compute_ledger"] = f"in this report: {runs}, {compute.shown} FLOP"
    if fairness is not None:
        samples, groups = f"{fairness.whole.samples:,} samples", f"{len(fairness.rows)} subgroups"
        made["fairness_table"] = f"in this report: {samples} in {groups}"
    answered = sorted(name for name in facts if name.startswith(DOMAIN_PREFIX))
    if answered:
        made["self_check"] = f"in this report: {len(answered)} domains answered"
    return made


def _own_facts(file: SystemFile, compute: Fact) -> dict[str, Fact]:
    """The facts that other parts of the file give than [facts]."""
    found = {"training_flop": compute}
    if file.oversight is not None:
        found["oversight_named"] = flag(file.oversight.person.strip() != "", "[oversight] person")
    if file.documents is not None and file.documents.years is not None:
        found["document_years"] = number(file.documents.years, "[documents] years")
    return found


def _notices(file: SystemFile, packs: Sequence[Pack], facts: dict[str, Fact]) -> tuple[Notice, ...]:
    """The notices that the system needs, or may need where it is not known."""
    may_hold = {
        name: any(
            name in pack.kinds and judge(Name(name), Scope(pack.definitions, facts)).truth is not Truth.NO
            for pack in packs
        )
        for name in ("generative", "high_impact", "hard_to_tell_from_real")
    }
    return notices(
        file.name,
        file.operator.contact,
        generative=may_hold["generative"],
        high_impact=may_hold["high_impact"],
        looks_real=may_hold["hard_to_tell_from_real"],
    )
