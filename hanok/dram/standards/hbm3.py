"""HBM3 and HBM3E: 16 channels of two 32-bit pseudo-channels in a stack, burst 8, one burst = 32 bytes."""

from __future__ import annotations

from dataclasses import replace

from hanok.dram.standard import Command, Energy, Organisation, RuleRow, Standard, build_rules
from hanok.dram.standards import hbm2
from hanok.dram.standards._timing import cycles_of, rescale

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command

# JESD238 structure, as laid out in Ramulator 2's HBM3 table. It differs from HBM2 by tPPD, by tCCD_R between
# reads of two stack identities (ranks here) and by a read-to-write gap that is given and not composed.
# Half-cycle row commands are rounded up to whole cycles of the command clock: 1 for PRE and REF, 2 for ACT
# (1.5).
RULES = (
    *(row for row in hbm2.RULES if row.formula != "nCL + nBL + 2 - nCWL"),
    RuleRow("pseudo", (RD,), (WR,), "nRTW"),
    RuleRow("pseudo", (PRE, PREA), (PRE, PREA), "nPPD"),
    RuleRow("other_rank", (RD,), (RD,), "nCCDR"),
)

_TCK_FS = 625_000
TIMINGS_6400 = {
    "nBL": 2,
    "nCL": 20,
    "nCWL": 10,
    "nRCDRD": 31,
    "nRCDWR": 15,
    "nRP": 26,
    "nRAS": 45,
    "nRC": 72,
    "nWR": 33,
    "nRTP": 9,
    "nCCDS": 2,
    "nCCDL": 4,
    "nCCDR": 3,
    "nRRDS": 4,
    "nRRDL": 5,
    "nFAW": 24,
    "nWTRS": 7,
    "nWTRL": 10,
    "nRTW": 20,
    "nPPD": 2,
    "nRFC": cycles_of(350, _TCK_FS),
    "nREFI": cycles_of(3900, _TCK_FS),
}

# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = ("nBL", "nCCDS", "nCCDL", "nCCDR", "nPPD")

_SCALE = (1.1 / 1.2) ** 2
ENERGY = Energy(
    activate_precharge_pj=hbm2.ENERGY.activate_precharge_pj * _SCALE,
    read_pj=hbm2.ENERGY.read_pj * _SCALE,
    write_pj=hbm2.ENERGY.write_pj * _SCALE,
    refresh_pj=hbm2.ENERGY.refresh_pj * _SCALE,
    background_mw=hbm2.ENERGY.background_mw * _SCALE,
    source="derived: the HBM2 figures times (1.1 V / 1.2 V)^2, the ratio of the core supplies",
)

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/hbm3.py, HBM3_6400Mbps; tRFC 350 ns (8 Gb a channel) from its "
        "JESD238 table 84"
    ),
    "second": (
        "none: no second public set of HBM3 timings was found; the organisation (16 channels x 2 x 32 bit, "
        "burst 8) stands in JEDEC's announcement of JESD238"
    ),
}

HBM3_6400 = Standard(
    name="HBM3_6400",
    tck_fs=_TCK_FS,
    burst_bytes=32,
    burst_cycles=TIMINGS_6400["nBL"],
    read_latency_cycles=TIMINGS_6400["nCL"],
    write_latency_cycles=TIMINGS_6400["nCWL"],
    refresh_interval_cycles=TIMINGS_6400["nREFI"],
    organisation=Organisation(
        pseudo_channels=2, ranks=2, groups=4, banks_per_group=4, rows=1 << 14, columns=32
    ),
    bus_of=hbm2.BUS_OF,
    activate_gap_cycles=1,
    rules=build_rules(RULES, TIMINGS_6400),
    mapping=hbm2.HBM2_2000.mapping,
    energy=ENERGY,
    sources=SOURCES,
)

_TCK_9200_FS = 434_783
TIMINGS_9200 = rescale(TIMINGS_6400, IN_CLOCKS, _TCK_FS, _TCK_9200_FS) | {
    "nRFC": cycles_of(450, _TCK_9200_FS)
}

HBM3E_9200 = replace(
    HBM3_6400,
    name="HBM3E_9200",
    tck_fs=_TCK_9200_FS,
    read_latency_cycles=TIMINGS_9200["nCL"],
    write_latency_cycles=TIMINGS_9200["nCWL"],
    refresh_interval_cycles=TIMINGS_9200["nREFI"],
    organisation=replace(HBM3_6400.organisation, rows=1 << 15),
    rules=build_rules(RULES, TIMINGS_9200),
    sources={"speed": "9.2 Gb/s a pin, 24 GB stacks: vendors' HBM3E product pages", "timings": "derived"},
    derived=(
        "no public HBM3E timings: every time of HBM3-6400 keeps its nanoseconds, rounded up to the 434.783 "
        "ps clock; nBL, nCCDS, nCCDL, nCCDR and nPPD keep their clock counts; tRFC 450 ns for more than 8 "
        "Gb a channel"
    ),
)

STANDARDS = (HBM3_6400, HBM3E_9200)
