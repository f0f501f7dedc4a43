"""Rule packs: the records of their TOML files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanok.rules._record import Exact, Identifier, Line, Record, Rows, Words
from hanok.rules.expression import Expression, Kind, parse
from hanok.rules.facts import Fact, number

MAX_QUANTITIES = 200
MAX_RULES = 200
QuantityName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]


class Dated(Record):
    """A value of a constant from a day on."""

    since: Annotated[date, Field(alias="from")]
    value: Exact


class Quantity(Record):
    """A named quantity: given by facts, derived by a definition, or a constant of the law."""

    kind: Literal["number", "flag", "choice"]
    meaning: Line
    meaning_ko: Words = ""
    unit: Annotated[str, Field(max_length=20)] = ""
    give: Words = ""
    """How a user gives it."""
    definition: Annotated[str, Field(max_length=2000)] = ""
    value: Exact | None = None
    dated: Rows[Dated] = ()
    unpublished: Words = ""
    """Why the value of a constant of the law is not known to the pack."""
    citation: Words = ""

    @model_validator(mode="after")
    def _one_origin(self) -> Quantity:
        origins = [self.definition != "", self.value is not None, bool(self.dated), self.unpublished != ""]
        if sum(origins) > 1:
            raise ValueError("has more than one of definition, value, dated, unpublished")
        if (self.value is not None or self.dated) and self.kind != "number":
            raise ValueError("a constant is a number")
        if list(self.dated) != sorted(self.dated, key=lambda entry: entry.since):
            raise ValueError("dated values stand in the order of their days")
        return self

    @property
    def is_constant(self) -> bool:
        """The law gives it, not the user."""
        return self.value is not None or bool(self.dated) or self.unpublished != ""

    def constant(self, day: date) -> Fact:
        """The value on a day."""
        if self.unpublished:
            return Fact(None, self.unpublished)
        in_force = [entry.value for entry in self.dated if entry.since <= day]
        value = in_force[-1] if in_force else self.value
        if value is None:
            return Fact(None, f"the law gives no value before {self.dated[0].since}")
        return number(value, self.citation or "the pack")


class Evidence(Record):
    """Something that shows that a duty was met, and what of hanok can make it."""

    id: QuantityName
    text: Line
    text_ko: Words = ""
    made_by: Words = ""


class Rule(Record):
    """One rule of the law."""

    id: Identifier
    title: Line
    title_ko: Words = ""
    kind: Literal["classification", "relief", "duty", "penalty", "information"]
    condition: Annotated[str, Field(min_length=1, max_length=2000)]
    consequence: Words
    consequence_ko: Words = ""
    group: Annotated[str, Field(max_length=60)] = ""
    """Of the rules of a group, at most one holds."""
    citation: Line
    source: Words = ""
    confidence: Literal["high", "medium", "low"]
    why_confidence: Words = ""
    since: Annotated[date, Field(alias="from")]
    until: date | None = None
    """The last day."""
    evidence: Rows[Evidence] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Rule:
        if self.until is not None and self.until < self.since:
            raise ValueError(f"until {self.until} is before from {self.since}")
        return self

    def in_force(self, day: date) -> bool:
        """Whether it holds on that day."""
        return self.since <= day and (self.until is None or day <= self.until)

    def meets(self, other: Rule) -> bool:
        """Whether both are in force on some day."""
        return (other.until is None or self.since <= other.until) and (
            self.until is None or other.since <= self.until
        )


class Pack(Record):
    """The rules of one law, as of a day."""

    format: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    title: Line
    title_ko: Words = ""
    jurisdiction: Line
    law: Line
    law_ko: Words = ""
    as_of: date
    language: Literal["en", "ko"] = "en"
    notes: Rows[Words] = ()
    notes_ko: Rows[Words] = ()
    quantity: Annotated[dict[QuantityName, Quantity], Field(max_length=MAX_QUANTITIES)]
    rule: Annotated[Rows[Rule], Field(min_length=1, max_length=MAX_RULES)]

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """The type of each quantity."""
        return {name: Kind(quantity.kind) for name, quantity in self.quantity.items()}

    @cached_property
    def definitions(self) -> Mapping[str, Expression]:
        """The trees of the derived quantities."""
        return {
            name: parse(quantity.definition, f"quantity.{name}.definition")
            for name, quantity in self.quantity.items()
            if quantity.definition
        }

    @cached_property
    def conditions(self) -> Mapping[str, Expression]:
        """The tree of each rule's condition, by its id."""
        return {rule.id: parse(rule.condition, f"rule '{rule.id}': condition") for rule in self.rule}

    @property
    def asked(self) -> tuple[str, ...]:
        """The quantities that only facts can give."""
        return tuple(
            name
            for name, quantity in self.quantity.items()
            if not quantity.definition and not quantity.is_constant
        )
