"""A chip or a memory as its public datasheet tells it, in TOML, and the facts that follow from it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hanok.rules._record import Line, NotNegative, Positive, Record, Rows, Words, check, read_toml
from hanok.rules.facts import Fact, flag, number
from hanok.rules.interval import Interval
from hanok.rules.performance import (
    Die,
    Mode,
    Unit,
    applicable_area,
    bits_of,
    non_planar_by_node,
    performance,
)

_UNKNOWN = Interval(Fraction(0), None)


class ModeSheet(Record):
    """Peak operations a second of a unit in one format; a multiply-accumulate counts as two."""

    inputs: Annotated[Rows[str], Field(min_length=1, max_length=4)]
    bits: Annotated[int, Field(ge=1, le=512)] | None = None
    tops: Positive | None = None
    sparsity_factor: Positive = Fraction(1)
    """What the figure is multiplied by for structured sparsity, 2 where it counts 2:4 zeros."""

    @model_validator(mode="after")
    def _bits_known(self) -> ModeSheet:
        if self.bits is None:
            bits_of(self.inputs)
        return self

    @property
    def mode(self) -> Mode:
        """The dense mode."""
        bits = self.bits or bits_of(self.inputs)
        dense = _UNKNOWN if self.tops is None else Interval.of(self.tops / self.sparsity_factor / 2)
        return Mode(self.inputs, bits, dense)


class UnitSheet(Record):
    """Processing units of one kind, whose figures are for all of them together."""

    name: Line
    mode: Rows[ModeSheet] = ()


class DieSheet(Record):
    """A logic die, or `count` equal ones."""

    name: Line
    mm2: Positive | None = None
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    process_nm: Positive | None = None
    transistors: Literal["planar", "non-planar"] | None = None

    @property
    def die(self) -> Die:
        """All of them as one."""
        area = _UNKNOWN if self.mm2 is None else Interval.of(self.mm2 * self.count)
        if self.transistors is not None:
            return Die(self.name, area, self.transistors == "non-planar", "as the datasheet says")
        if self.process_nm is None:
            return Die(self.name, area, None, "no process is given")
        planar = non_planar_by_node(self.process_nm)
        return Die(self.name, area, planar, f"taken from its node of {float(self.process_nm):g} nm")


class MemorySheet(Record):
    """The DRAM of a logic circuit, or the memory itself: a package or a stack."""

    family: Line
    bandwidth_gb_s: Positive | None = None
    area_mm2: Positive | None = None
    """Of the package or the stack."""
    co_packaged_with_logic: bool | None = None


class Datasheet(Record):
    """What is public about a chip."""

    name: Line
    kind: Literal["logic", "memory"]
    source: Words = ""
    unit: Rows[UnitSheet] = ()
    die: Rows[DieSheet] = ()
    memory: MemorySheet | None = None
    transistors_billions: NotNegative | None = None
    product: dict[str, Any] = Field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Fact]:
        """The facts that the packs ask for, but for those of `product`."""
        found = self._logic() if self.kind == "logic" else self._memory()
        if self.transistors_billions is not None:
            found["transistors_billions"] = number(self.transistors_billions, "datasheet")
        return found

    def _logic(self) -> dict[str, Fact]:
        dies = [sheet.die for sheet in self.die]
        nodes = [sheet.process_nm for sheet in self.die if sheet.process_nm is not None]
        found = {
            "logic_circuit": flag(True, "kind = logic"),
            "hbm": flag(False, "kind = logic"),
            "tpp": performance(
                [Unit(unit.name, tuple(mode.mode for mode in unit.mode)) for unit in self.unit]
            ),
            "applicable_die_mm2": applicable_area(dies),
            "non_planar": _any_non_planar(dies),
        }
        if nodes:
            found["process_nm"] = number(min(nodes), "the smallest node of its dies")
        if self.memory is not None:
            found["contains_hbm"] = flag(_is_hbm(self.memory), self.memory.family)
            if self.memory.bandwidth_gb_s is not None:
                found["dram_bandwidth_gb_s"] = number(self.memory.bandwidth_gb_s, self.memory.family)
        return found

    def _memory(self) -> dict[str, Fact]:
        found = {
            "logic_circuit": flag(False, "kind = memory"),
            "tpp": number(0, "a memory has no processing units"),
        }
        if self.memory is None:
            return found
        found["hbm"] = flag(_is_hbm(self.memory), self.memory.family)
        if self.memory.bandwidth_gb_s is not None:
            found["memory_bandwidth_gb_s"] = number(self.memory.bandwidth_gb_s, "of the package or stack")
        if self.memory.area_mm2 is not None:
            found["memory_area_mm2"] = number(self.memory.area_mm2, "of the package or stack")
        if self.memory.co_packaged_with_logic is not None:
            found["co_packaged_with_logic"] = flag(self.memory.co_packaged_with_logic, "datasheet")
        return found


def read_datasheet(path: str | Path) -> Datasheet:
    """Return a checked datasheet; raises RulesError that names the field."""
    return check(Datasheet, read_toml(path), str(path))


def _is_hbm(memory: MemorySheet) -> bool:
    return memory.family.upper().startswith("HBM")


def _any_non_planar(dies: list[Die]) -> Fact:
    known = [die.non_planar for die in dies]
    if True in known:
        return flag(True, next(die.source for die in dies if die.non_planar))
    if not known or None in known:
        return Fact(None, "no process tells it")
    return flag(False, dies[0].source)
