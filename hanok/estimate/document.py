"""The document of the estimates: `python -m hanok.estimate.document > docs/estimates.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from hanok.dram import get_standard, standards
from hanok.dram.standard import Standard
from hanok.estimate import tables
from hanok.estimate.area import estimate_area
from hanok.estimate.energy import mac_pj, vector_step_pj
from hanok.machine import Chip, preset_names
from hanok.numerics.ranges import Range

_INTRODUCTION = """# Energy and area

Printed from `hanok/estimate` by `python -m hanok.estimate.document > docs/estimates.md`; a test holds the two
together. These are estimates to compare designs with, before layout. Each is low .. nominal .. high: what the
sources and the choices below leave open, all erring the same way. They are for a chip (ASIC) in the process
that `technology` names; an FPGA takes about 14 times the dynamic energy and 35 times the area (Kuon and Rose,
'Measuring the Gap Between FPGAs and ASICs', IEEE TCAD 26(2), 2007).

Only the 7 nm SRAM energy and part of the 45 nm energies were checked against a second publication. Check the
other figures against the sources named beside them before you rely on them.

What is counted: multiplies, idle multipliers, weight preload, accumulators, float32 steps, every byte that a
unit reads from or writes to SRAM, DRAM commands, standby and refresh, and leakage of the core. What is not:
DRAM interface (PHY) on the chip, network between cores, clock generation, power supplies, host.
"""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    titles = list(head)
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"
    yield ""


def _span(value: Range, digits: int = 3) -> str:
    return " .. ".join(f"{number:.{digits}g}" for number in (value.low, value.nominal, value.high))


def _whole(value: Range) -> str:
    return " .. ".join(f"{number:.0f}" for number in (value.low, value.nominal, value.high))


def _standard(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard), f"{name} has no commands"
    return found


def _dram_lines() -> Iterator[str]:
    """The energy of each family at its default density, and the sources below the table."""
    standards_of = {_standard(name).family: _standard(name) for name in standards()}
    yield (
        "Picojoules of each command of a pseudo-channel; standby of each channel. The speed grades of a "
        "family share them; refresh is that of the default density."
    )
    yield ""
    yield from _table(
        ("family", "activate and precharge", "read", "write", "refresh", "refresh of a bank", "standby mW"),
        [
            (
                family,
                *map(_whole, (figures.activate_precharge_pj, figures.read_pj, figures.write_pj)),
                *map(_whole, (figures.refresh_pj, figures.bank_refresh_pj, figures.background_mw)),
            )
            for family, figures in ((family, found.energy) for family, found in standards_of.items())
        ],
    )
    for source in dict.fromkeys(found.energy.source for found in standards_of.values()):
        names = ", ".join(family for family, found in standards_of.items() if found.energy.source == source)
        yield f"- {names}: {source}."
    yield ""


def document_text() -> str:
    """Return the document as Markdown."""
    lines = [_INTRODUCTION, "## Energy of an operation", ""]
    lines += [f"45 nm: {tables.HOROWITZ}. 7 nm: {tables.JOUPPI}.", ""]
    lines += [
        "Other nodes lie on the power law through both, times (voltage / nominal voltage)^2 "
        f"({tables.NOMINAL_VOLTAGE_SOURCE}).",
        "",
    ]
    lines += _table(
        ("operation", "pJ at 45 nm", "pJ at 7 nm"),
        [(row.name, row.old_pj, row.new_pj) for row in tables.OPERATIONS],
    )
    lines += _table(
        ("64-bit access to an SRAM of", "pJ at 45 nm", "pJ at 7 nm"),
        [(f"{row.size_bytes >> 10} KiB", row.old_pj, row.new_pj) for row in tables.SRAM_ENERGY],
    )
    lines += ["## DRAM", "", *_dram_lines()]
    lines += [
        "## Area",
        "",
        f"Gates at 45 nm: {tables.GATE_AREA_SOURCE}; flip-flop: {tables.FLIP_FLOP_SOURCE}; "
        f"vector unit: {tables.VECTOR_SOURCE}.",
        "",
    ]
    lines += _table(
        ("cell", "um2"),
        [
            ("int8 multiply", tables.INT8_MULTIPLY_UM2),
            ("int32 add", tables.INT32_ADD_UM2),
            ("vector unit, control", tables.VECTOR_UNIT_UM2),
            ("vector unit, a lane", tables.VECTOR_LANE_UM2),
            ("vector unit, a step of a lane", tables.VECTOR_STEP_UM2),
            ("flip-flop", tables.FLIP_FLOP_UM2),
        ],
    )
    lines += [f"Logic scales by {tables.LOGIC_DENSITY_SOURCE}. Bit cells: {tables.BIT_CELL_SOURCE}.", ""]
    densities = dict(tables.LOGIC_DENSITY)
    lines += _table(
        ("node nm", "gate density", "bit cell um2"),
        [
            (node, f"{densities[node]:.3g}" if node in densities else "", cell)
            for node, cell in tables.BIT_CELL_UM2
        ],
    )
    lines += ["## Choices", ""]
    lines += _table(
        ("factor", "low .. nominal .. high", "what it stands for"),
        [(f"`{name}`", _span(value), reason) for name, value, reason in tables.CHOICES],
    )
    lines += ["## What this gives for the presets", ""]
    lines += _table(
        ("chip", "node nm", "MAC pJ", "float32 step pJ", "SRAM pJ/byte", "core mm2"),
        map(_preset, preset_names()),
    )
    return "\n".join(lines).rstrip() + "\n"


def _preset(name: str) -> tuple[object, ...]:
    chip = Chip.load(name)
    technology = chip.technology
    return (
        f"`{name}`",
        technology.node_nm,
        _span(mac_pj(technology)),
        _span(vector_step_pj(technology)),
        _span(tables.sram_pj_per_byte(chip.core.sram.bank_bytes, technology)),
        _span(estimate_area(chip).total),
    )


if __name__ == "__main__":
    sys.stdout.write(document_text())
