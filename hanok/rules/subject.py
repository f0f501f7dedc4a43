"""Chips before the rules: a preset, a chip file or a datasheet, with what is declared about the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

from hanok.machine import Chip, preset_names
from hanok.rules._record import check, read_toml
from hanok.rules.assess import Assessment, assess
from hanok.rules.chip_facts import chip_facts
from hanok.rules.datasheet import Datasheet
from hanok.rules.declared import asked_kinds, declared_facts
from hanok.rules.errors import RulesError
from hanok.rules.evidence import Checklist, checklists
from hanok.rules.facts import Fact, Facts
from hanok.rules.load import builtin_quantities
from hanok.rules.pack import Pack
from hanok.rules.product import NO_PRODUCT, Product

EXPORT_PACKS = ("us-export", "kr-technology")


@dataclass(frozen=True)
class Given:
    """What the command line gives beside the file; None: nothing."""

    die_mm2: Fraction | None = None
    non_planar: bool | None = None
    facts: tuple[tuple[str, Fact], ...] = ()


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Subject:
    """A chip, and what is known of it."""

    name: str
    facts: dict[str, Fact]
    product: Mapping[str, object]
    origin: str


def read_subject(name_or_path: str, given: Given = NOTHING_GIVEN) -> Subject:
    """Return a preset, a chip file or a datasheet; raises RulesError or ChipError that names the field."""
    if name_or_path in preset_names():
        return _of_chip(Chip.load(name_or_path), given, name_or_path)
    if not Path(name_or_path).exists():
        raise RulesError(
            f"'{name_or_path[:200]}' is neither a file nor a preset; presets: {', '.join(preset_names())}"
        )
    content = read_toml(name_or_path)
    if "core" in content or "clock_mhz" in content:
        return _of_chip(Chip.load(name_or_path), given, name_or_path)
    sheet = check(Datasheet, content, name_or_path)
    if given.die_mm2 is not None or given.non_planar is not None:
        raise RulesError(
            f"{name_or_path}: --die-mm2 and --transistors are for chip descriptions; "
            "a datasheet has them in [[die]]"
        )
    return Subject(sheet.name, sheet.facts, sheet.product, f"{name_or_path}: product")


def assess_export(
    subject: Subject,
    packs: Sequence[Pack],
    product: Product = NO_PRODUCT,
    given: Given = NOTHING_GIVEN,
    day: date | None = None,
) -> tuple[Assessment, tuple[Checklist, ...]]:
    """Judge a subject. What is declared stands in place of what was computed, and is said to."""
    kinds = asked_kinds(packs)
    facts = dict(subject.facts)
    warnings: list[str] = []
    for table, origin in (
        (subject.product, subject.origin),
        (product.declared, f"{product.origin}: product"),
    ):
        _replace(facts, declared_facts(table, kinds, origin, builtin_quantities()), warnings)
    _replace(facts, {name: fact for name, fact in given.facts if name in kinds}, warnings)
    assessment = assess(subject.name, facts, packs, day, warnings)
    return assessment, checklists(assessment.packs, product.evidence, product.folder, product.origin)


def _of_chip(chip: Chip, given: Given, origin: str) -> Subject:
    return Subject(chip.name, chip_facts(chip, given.die_mm2, given.non_planar), {}, origin)


def _replace(facts: dict[str, Fact], declared: Facts, warnings: list[str]) -> None:
    for name, fact in declared.items():
        before = facts.get(name)
        if before is not None and before.value is not None and before.value != fact.value:
            warnings.append(
                f"{name}: declared {fact.shown} stands in place of {before.shown} ({before.source})"
            )
        facts[name] = fact
