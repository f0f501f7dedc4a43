"""The facts that a chip description gives: its units' performance, its die, its memory."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hanok.dram import get_standard
from hanok.estimate import estimate_area
from hanok.machine import Chip
from hanok.rules.facts import Fact, flag, number
from hanok.rules.interval import Interval
from hanok.rules.performance import Die, Mode, Unit, applicable_area, non_planar_by_node, performance

_FLOAT_BITS = 32
_INTEGER_BITS = 8


def chip_facts(
    chip: Chip, die_mm2: Fraction | None = None, non_planar: bool | None = None
) -> dict[str, Fact]:
    """Return what the description tells; `die_mm2` and `non_planar` in place of what it cannot tell.

    The estimate of area is of the core alone: the die also holds the DRAM's interface, other cores, pads. So
    it bounds the die from below only, and no rule is held to be met, or not, by what it leaves open.
    """
    node_nm = Fraction(str(chip.technology.node_nm))
    source = f"taken from its node of {chip.technology.node_nm:g} nm"
    planar_known = non_planar_by_node(node_nm) if non_planar is None else non_planar
    if non_planar is not None:
        source = "as given"
    area = _estimated_die(chip) if die_mm2 is None else Interval.of(die_mm2)
    die = Die("core" if die_mm2 is None else "die", area, planar_known, _area_source(die_mm2, source))
    return {
        "logic_circuit": flag(True, "a chip of hanok"),
        "hbm": flag(False, "the chip, not its memory"),
        "tpp": performance(chip_units(chip)),
        "applicable_die_mm2": applicable_area([die]),
        "process_nm": number(node_nm, "technology.node_nm"),
        "non_planar": Fact(planar_known, source),
        **_memory(chip),
    }


def chip_units(chip: Chip) -> tuple[Unit, ...]:
    """The matrix array, and the vector unit whose steps can all be fused multiply-adds of float32."""
    matrix, vector = chip.core.matrix, chip.core.vector
    array = Mode(("int8", "int8"), _INTEGER_BITS, _mac_tops(chip, matrix.macs))
    steps = Mode(("fp32",), _FLOAT_BITS, _mac_tops(chip, vector.lanes * vector.stages))
    return (
        Unit(f"matrix unit, {matrix.rows} x {matrix.columns} multipliers at {chip.clock_mhz} MHz", (array,)),
        Unit(f"vector unit, {vector.lanes} lanes of {vector.stages} fused steps", (steps,)),
    )


def _mac_tops(chip: Chip, macs: int) -> Interval:
    return Interval.of(Fraction(macs * chip.clock_mhz * chip.cores, 10**6))


def _estimated_die(chip: Chip) -> Interval:
    low = estimate_area(chip).total.low
    return Interval(Fraction(floor(low * 10_000), 10_000), None)


def _area_source(die_mm2: Fraction | None, source: str) -> str:
    if die_mm2 is not None:
        return source
    return f"{source}; the least that the core is estimated to take, without DRAM interface and pads"


def _memory(chip: Chip) -> dict[str, Fact]:
    name = chip.memory.standard
    megabytes_per_second = round(get_standard(name).peak_bytes_per_second / 1e6) * chip.memory.channels
    found = {
        "dram_bandwidth_gb_s": number(
            Fraction(megabytes_per_second, 1000), f"{chip.memory.channels} channels of {name}"
        )
    }
    if name.startswith("FLAT:"):
        found["contains_hbm"] = Fact(None, f"memory.standard '{name}' names no DRAM")
    else:
        found["contains_hbm"] = flag(name.startswith("HBM"), name)
    return found
