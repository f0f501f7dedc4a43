"""HBM3, HBM3E and HBM4: channels of two 32-bit pseudo-channels, 16 (HBM4: 32) in a stack, burst 8 = 32 bytes.

Row commands take half clocks, so the cycle of these tables is half a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanok.dram.standard import Bus, Command, Form, Organisation, RuleRow, Standard
from hanok.dram.standards._energy import hbm_energy
from hanok.dram.standards._family import STREAM_MAPPING, Family, Frame
from hanok.dram.standards._rules import PRECHARGE_ROW, bank_refresh_rows, common_rows
from hanok.dram.standards._timing import clock_fs, cycles_of, cycles_within, doubled, rescale

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

# JESD238 and JESD270-4 structure: Ramulator 2.1's HBM3 and HBM4 tables, with the rows for REFpb that they
# lack (docs/dram-standards.md compares). They differ from HBM2 by tPPD, by tCCDR between reads of two
# stack identities (ranks here), and by a read-to-write gap that is given and not composed.
ROWS = (
    *common_rows(ACT1),
    RuleRow("pseudo", (RD,), (WR,), "nRTW"),
    RuleRow("other_rank", (RD,), (RD,), "nCCDR"),
    PRECHARGE_ROW,
    *bank_refresh_rows(ACT1),
)

# An activate is 1.5 clocks from a rising edge; refreshes half a clock at a rising edge; precharges half a
# clock at any edge; column commands one clock.
FORMS = {
    ACT1: Form(Bus.ROW, tail=1, align=2),
    **dict.fromkeys((ACT, REFA, REFB), Form(Bus.ROW, align=2)),
    **dict.fromkeys((PRE, PREA), Form(Bus.ROW)),
    **dict.fromkeys((RD, WR), Form(Bus.COLUMN, tail=1, align=2)),
}

# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = ("nBL", "nCCDS", "nCCDL", "nCCDR", "nPPD")

# Clocks at 6400 Mb/s (HBM3, 625 ps) and at 8000 Mb/s (HBM4, 500 ps).
_CLOCKS = {
    "nBL": (2, 2),
    "nCL": (20, 20),
    "nRCDRD": (31, 39),
    "nRCDWR": (15, 19),
    "nRP": (26, 33),
    "nRAS": (45, 57),
    "nRC": (72, 90),
    "nWR": (33, 42),
    "nRTP": (9, 12),
    "nCWL": (10, 10),
    "nCCDS": (2, 2),
    "nCCDL": (4, 4),
    "nCCDR": (3, 2),
    "nRRDS": (4, 5),
    "nRRDL": (5, 7),
    "nFAW": (24, 30),
    "nWTRS": (7, 9),
    "nWTRL": (10, 13),
    "nRTW": (20, 25),
    "nPPD": (2, 2),
}
HBM3_CLOCKS = {name: clocks[0] for name, clocks in _CLOCKS.items()}
HBM4_CLOCKS = {name: clocks[1] for name, clocks in _CLOCKS.items()}


@dataclass(frozen=True)
class _Generation:
    """What HBM3, HBM3E and HBM4 differ in; `densities`: Gbit a channel -> ranks, rows a bank, tRFCab ns."""

    clocks: dict[str, int]
    origin_mbps: int
    densities: dict[int, tuple[int, int, int]]
    groups: int
    banks_per_group: int
    bank_refresh_ns: int
    volts: float
    stack_channels: int


_HBM3_DENSITIES = {
    4: (2, 1 << 13, 260),
    8: (2, 1 << 14, 350),
    16: (2, 1 << 15, 450),
    32: (4, 1 << 15, 550),
}
_HBM4_DENSITIES = {4: (1, 1 << 14, 400), 8: (2, 1 << 14, 450), 16: (4, 1 << 14, 530)}
GENERATIONS = {
    "HBM3": _Generation(HBM3_CLOCKS, 6400, _HBM3_DENSITIES, 4, 4, 200, 1.1, 16),
    "HBM3E": _Generation(HBM3_CLOCKS, 6400, _HBM3_DENSITIES, 4, 4, 200, 1.1, 16),
    "HBM4": _Generation(HBM4_CLOCKS, 8000, _HBM4_DENSITIES, 2, 8, 280, 1.05, 32),
}

HBM3_SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/hbm3.py, HBM3_6400Mbps, and its tables of JESD238 for tRFC; "
        "tRREFD is its formula (8 ns), as its preset's 8 clocks are 5 ns"
    ),
    "second": (
        "organisation: JEDEC's announcement of JESD238. tRFC, tRFCpb, tRREFD, tREFIpb: Ramulator 2.0's "
        "HBM3.cpp and its public forks after JESD238A. Their core timings are HBM2's, by their own words, "
        "and were not used"
    ),
}
HBM4_SOURCES = {
    "timings": "Ramulator 2.1 python/ramulator/dram/hbm4.py, HBM4_8000Mbps",
    "second": (
        "none for the timings; 32 channels of two pseudo-channels: JEDEC's announcement of JESD270-4 (2025)"
    ),
}
HBM3E_SOURCES = {
    "speed": "8.0 to 9.6 Gb/s a pin, 24 GB stacks at 9.2: vendors' HBM3E product pages",
    "timings": "derived",
    "second": "none: no second public set of HBM3E timings was found",
}
DERIVED_SOURCES = {"speed": "grades of JESD238", "timings": "derived", "second": HBM3_SOURCES["second"]}
DERIVED = (
    "no public timings of this grade: every time of HBM3-6400 keeps its nanoseconds, rounded up to the new "
    "clock; nBL, nCCDS, nCCDL, nCCDR and nPPD keep their clock counts; tRFC by the density"
)


def _sources(family: str, speed_mbps: int) -> tuple[dict[str, str], str]:
    if family == "HBM4":
        return HBM4_SOURCES, ""
    if speed_mbps == 6400:
        return HBM3_SOURCES, ""
    return (HBM3E_SOURCES if family == "HBM3E" else DERIVED_SOURCES), DERIVED


def _clocks(generation: _Generation, speed_mbps: int, all_bank_ns: int, banks: int) -> dict[str, int]:
    """Timings in whole clocks: refreshes and activates begin at rising edges alone."""
    clock = clock_fs(speed_mbps, 4)
    return rescale(generation.clocks, IN_CLOCKS, clock_fs(generation.origin_mbps, 4), clock) | {
        "nRFC": cycles_of(all_bank_ns, clock),
        "nRFCpb": cycles_of(generation.bank_refresh_ns, clock),
        "nRREFD": cycles_of(8, clock, at_least=3),
        "nRREFR": cycles_of(8, clock, at_least=3),
        "nREFI": cycles_within(3900, clock),
        "nREFIpb": cycles_within(3900 / banks, clock),
    }


def _make(family: str, speed_mbps: int, density_gbit: int) -> Standard:
    generation = GENERATIONS[family]
    ranks, rows, all_bank_ns = generation.densities[density_gbit]
    shape = Organisation(
        pseudo_channels=2,
        ranks=ranks,
        groups=generation.groups,
        banks_per_group=generation.banks_per_group,
        rows=rows,
        columns=32,
    )
    sources, derived = _sources(family, speed_mbps)
    return Frame(
        family=family,
        burst_bytes=32,
        clock_cycles=2,
        forms=FORMS,
        activate_gap_cycles=(2, 2),
        rows=ROWS,
        mapping=STREAM_MAPPING,
        stack_channels=generation.stack_channels,
    ).table(
        speed_mbps,
        density_gbit,
        clock_fs(speed_mbps, 2),
        shape,
        doubled(_clocks(generation, speed_mbps, all_bank_ns, shape.banks)),
        hbm_energy(generation.volts, all_bank_ns, shape.banks),
        sources,
        derived,
    )


def _family(name: str, speeds: tuple[int, ...], default_density: int) -> Family:
    densities = tuple(GENERATIONS[name].densities)
    return Family(name, speeds, densities, default_density, lambda speed, gbit: _make(name, speed, gbit))


HBM3 = _family("HBM3", (5200, 5600, 6400), 8)
HBM3E = _family("HBM3E", (8000, 9200, 9600), 16)
HBM4 = _family("HBM4", (8000,), 8)
