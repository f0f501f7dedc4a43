"""What docs/rules.md says of the rules: every case, found beside required, and the time that packs take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "rules"))

from export_cases import BOUNDARIES, CHIPS, MEMORIES

from hanok.machine import preset_names
from hanok.rules import load_pack
from hanok.rules._record import check, read_toml
from hanok.rules.assess import PackFindings, assess
from hanok.rules.datasheet import Datasheet
from hanok.rules.facts import Fact, flag, number
from hanok.rules.interval import Interval
from hanok.rules.load import builtin_packs, make_pack
from hanok.rules.subject import EXPORT_PACKS, assess_export, read_subject

REQUIRED_CASES = 40
PACKS = Path(__file__).parents[1] / "hanok" / "rules" / "packs"
Row = tuple[str, str, str]
"""(case, required, found)"""


def judged(facts: dict[str, Fact]) -> PackFindings:
    return assess("case", facts, [load_pack("us-export")]).packs[0]


def item_of(found: PackFindings) -> str:
    return "".join(name for name in "abc" if found.of(f"3A090.{name}").verdict == "yes") or "none"


def shown(value: object, places: int) -> str:
    assert isinstance(value, Interval)
    assert value.value is not None, "datasheets of the table are complete"
    return f"{float(round(value.value, places)):,.{places}f}"


def chips() -> Iterator[Row]:
    for case in CHIPS:
        facts = check(Datasheet, case.datasheet, case.name).facts
        found = judged({**facts, "for_data_centres": flag(case.data_centre, "")})
        lane = " lane" if found.of("2026 lane (limits)").verdict == "yes" else ""
        tpp, density = dict(found.facts)["tpp"].value, found.derived[0].value
        required = f"{case.tpp:,} / {case.density} {case.item or 'none'}{' lane' if case.lane else ''}"
        yield case.name, required, f"{shown(tpp, 0)} / {shown(density, 2)} {item_of(found)}{lane}"


def undecided() -> Iterator[Row]:
    """MI308: neither its peak nor its dies' area is published in a way that could be relied on."""
    unit = {"name": "matrix cores", "mode": [{"inputs": ["fp8"]}]}
    facts = check(Datasheet, {"name": "MI308", "kind": "logic", "unit": [unit]}, "").facts
    found = judged({**facts, "for_data_centres": flag(True, "")})
    missing = ", ".join(item.quantity for item in found.of("3A090.a").missing)
    required = "unknown: tpp, applicable_die_mm2"
    yield "MI308", required, f"{found.of('3A090.a').verdict}: {missing}"


def boundaries() -> Iterator[Row]:
    for case in BOUNDARIES:
        tpp = Fraction(case.tpp)
        facts = {
            "tpp": number(tpp, ""),
            "applicable_die_mm2": number(tpp / Fraction(case.density), ""),
            "for_data_centres": flag(case.data_centre, ""),
            "hbm": flag(False, ""),
        }
        where = "data centre" if case.data_centre else "other"
        yield f"{case.tpp} / {case.density}, {where}", case.item or "none", item_of(judged(facts))


def memories() -> Iterator[Row]:
    for case in MEMORIES:
        memory = {
            "family": case.family,
            "bandwidth_gb_s": case.bandwidth,
            "area_mm2": case.area,
            "co_packaged_with_logic": case.co_packaged,
        }
        found = judged(check(Datasheet, {"name": case.name, "kind": "memory", "memory": memory}, "").facts)
        places = len(case.density.partition(".")[2])
        density = next(part.value for part in found.derived if part.quantity == "memory_bandwidth_density")
        required = f"{case.density} {'c' if case.controlled else 'none'}"
        yield case.name, required, f"{shown(density, places)} {item_of(found)}"


def main() -> None:
    rows = [*chips(), *undecided(), *boundaries(), *memories()]
    for name, required, found in rows:
        print(f"{name:32}{required:36}{found:36}{'' if required == found else 'DIFFERS'}")
    right = sum(required == found for _, required, found in rows)
    print(f"cases right: {right} of {len(rows)}; required: all, at least {REQUIRED_CASES}")
    for name in builtin_packs():
        content = read_toml(PACKS / f"{name}.toml")
        begin = time.perf_counter()
        pack = make_pack(content, name)
        milliseconds = 1e3 * (time.perf_counter() - begin)
        print(f"{name}: {len(pack.rule)} rules checked in {milliseconds:.1f} ms")
    begin = time.perf_counter()
    packs = [load_pack(name) for name in EXPORT_PACKS]
    for name in preset_names():
        assess_export(read_subject(name), packs)
    print(f"{len(preset_names())} presets judged in {1e3 * (time.perf_counter() - begin):.0f} ms")


if __name__ == "__main__":
    main()
