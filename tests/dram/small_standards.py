"""Tables made by hand for tests, all timings small and different; and those of hanok, by name."""

from __future__ import annotations

from functools import cache

from hanok.dram.standard import (
    Bus,
    Command,
    Energy,
    Form,
    Organisation,
    Rule,
    RuleRow,
    Standard,
    build_rules,
)
from hanok.dram.standards import get_standard, standards
from hanok.numerics.ranges import NOTHING

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command


def _rules(first: Command, scale: int) -> tuple[Rule, ...]:
    """The rows that all families share; what precedes an activate precedes `first`. Clocks times `scale`."""
    rows = (
        RuleRow("pseudo", (RD,), (RD,), "nBL"),
        RuleRow("pseudo", (WR,), (WR,), "nBL"),
        RuleRow("pseudo", (RD,), (WR,), "nRTW"),
        RuleRow("pseudo", (WR,), (RD,), "nWTRS"),
        RuleRow("pseudo", (ACT,), (ACT,), "nRRDS"),
        RuleRow("pseudo", (ACT,), (ACT,), "nFAW", window=4),
        RuleRow("pseudo", (ACT,), (PREA,), "nRAS"),
        RuleRow("pseudo", (RD,), (PREA,), "nRTP"),
        RuleRow("pseudo", (WR,), (PREA,), "nWTP"),
        RuleRow("pseudo", (PREA,), (first, REFA, REFB), "nRPab"),
        RuleRow("pseudo", (PRE,), (REFA,), "nRP"),
        RuleRow("pseudo", (PRE, PREA), (PRE, PREA), "nPPD"),
        RuleRow("pseudo", (REFA,), (first, REFA, REFB, PREA), "nRFC"),
        RuleRow("pseudo", (REFB,), (REFA,), "nRFCpb"),
        RuleRow("rank", (REFB,), (REFB, first), "nRREFD"),
        RuleRow("rank", (ACT,), (REFB,), "nRRDS"),
        RuleRow("other_rank", (RD,), (RD,), "nCCDR"),
        RuleRow("other_rank", (RD,), (WR,), "nRTW + 1"),
        RuleRow("group", (RD,), (RD,), "nCCDL"),
        RuleRow("group", (WR,), (WR,), "nCCDL"),
        RuleRow("group", (WR,), (RD,), "nWTRL"),
        RuleRow("group", (ACT,), (ACT,), "nRRDL"),
        RuleRow("bank", (ACT,), (ACT,), "nRC"),
        RuleRow("bank", (ACT,), (RD,), "nRCDRD"),
        RuleRow("bank", (ACT,), (WR,), "nRCDWR"),
        RuleRow("bank", (ACT,), (PRE,), "nRAS"),
        RuleRow("bank", (PRE,), (first, REFB), "nRP"),
        RuleRow("bank", (RD,), (PRE,), "nRTP"),
        RuleRow("bank", (WR,), (PRE,), "nWTP"),
        RuleRow("bank", (REFB,), (first, REFB), "nRFCpb"),
    )
    names = "nBL nRTW nWTRS nRRDS nFAW nRAS nRTP nWTP nRPab nRP nPPD nRFC nRFCpb nRREFD nCCDR nCCDL nWTRL"
    clocks = (2, 14, 9, 4, 20, 34, 7, 31, 17, 15, 2, 90, 60, 8, 3, 4, 13)
    timings = dict(zip(names.split(), clocks, strict=True))
    timings |= {"nRRDL": 5, "nRC": 49, "nRCDRD": 16, "nRCDWR": 12}
    rules = build_rules(rows, {name: scale * clock for name, clock in timings.items()})
    return tuple(dict.fromkeys(rules))


def _standard(
    name: str,
    forms: dict[Command, Form],
    gap: tuple[int, int],
    organisation: Organisation,
    clock_cycles: int = 1,
) -> Standard:
    return Standard(
        name=name,
        family=name,
        speed_mbps=2000,
        density_gbit=8,
        tck_fs=1_000_000 // clock_cycles,
        clock_cycles=clock_cycles,
        burst_bytes=32,
        burst_cycles=2 * clock_cycles,
        read_latency_cycles=18 * clock_cycles,
        write_latency_cycles=7 * clock_cycles,
        refresh_interval_cycles=1000 * clock_cycles,
        bank_refresh_interval_cycles=1000 * clock_cycles // organisation.banks,
        organisation=organisation,
        forms=forms,
        activate_gap_cycles=gap,
        rules=_rules(ACT if gap == (0, 0) else ACT1, clock_cycles),
        mapping="",
        energy=Energy(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, ""),
    )


def whole_clocks() -> Standard:
    """As HBM2: two buses, an activate of two cycles."""
    row, column = Form(Bus.ROW), Form(Bus.COLUMN)
    forms = dict.fromkeys((ACT1, ACT, PRE, PREA, REFA, REFB), row) | dict.fromkeys((RD, WR), column)
    return _standard("whole", forms, (1, 1), Organisation(2, 2, 4, 2, 1 << 14, 32))


def half_clocks() -> Standard:
    """As HBM3: cycles of half a clock, PRE and PREA on any edge."""
    rising, any_edge = Form(Bus.ROW, align=2), Form(Bus.ROW)
    forms = dict.fromkeys((ACT, REFA, REFB), rising) | dict.fromkeys((PRE, PREA), any_edge)
    forms |= {ACT1: Form(Bus.ROW, tail=1, align=2)}
    forms |= dict.fromkeys((RD, WR), Form(Bus.COLUMN, tail=1, align=2))
    return _standard("half", forms, (2, 2), Organisation(2, 2, 2, 2, 1 << 14, 32), clock_cycles=2)


def one_bus() -> Standard:
    """As LPDDR5: one bus for all, and other commands may come between ACT1 and ACT."""
    forms = dict.fromkeys(Command, Form(Bus.ROW))
    return _standard("one_bus", forms, (1, 8), Organisation(1, 1, 4, 4, 1 << 16, 64))


def two_cycle_columns() -> Standard:
    """As DDR5: one bus, RD and WR count from the second of their two cycles."""
    forms = dict.fromkeys(Command, Form(Bus.ROW)) | dict.fromkeys((RD, WR), Form(Bus.ROW, lead=1))
    return _standard("two_cycles", forms, (1, 1), Organisation(1, 2, 4, 2, 1 << 16, 64))


def single_activate() -> Standard:
    """As GDDR6: an activate is one command."""
    forms = {command: Form(Bus.ROW) for command in Command if command != ACT1}
    return _standard("single", forms, (0, 0), Organisation(2, 1, 4, 4, 1 << 14, 64))


SMALL_STANDARDS = (whole_clocks, half_clocks, one_bus, two_cycle_columns, single_activate)
_SMALL = {make().name: make for make in SMALL_STANDARDS}
NAMES = (*_SMALL, *standards())
ONE_OF_FAMILY = (*_SMALL, *{name.split("_")[0]: name for name in standards()}.values())


@cache
def standard_of(name: str) -> Standard:
    """A table of this module or of hanok."""
    if name in _SMALL:
        return _SMALL[name]()
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found
