"""HBM2: 8 channels of two 64-bit pseudo-channels in a stack, burst 4, one burst = 32 bytes."""

from __future__ import annotations

from hanok.dram.standard import Bus, Command, Energy, Organisation, RuleRow, Standard, build_rules
from hanok.dram.standards._timing import cycles_of

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command

# JESD235 structure, as laid out in Ramulator 2's HBM2 table and DRAMSys' CheckerHBM2. An activate
# takes two cycles of the row bus: what must precede it precedes ACT1, what follows it counts from ACT.
RULES = (
    RuleRow("pseudo", (RD,), (RD,), "nBL"),
    RuleRow("pseudo", (WR,), (WR,), "nBL"),
    RuleRow("pseudo", (RD,), (RD,), "nCCDS"),
    RuleRow("pseudo", (WR,), (WR,), "nCCDS"),
    RuleRow("pseudo", (RD,), (WR,), "nCL + nBL + 2 - nCWL"),
    RuleRow("pseudo", (WR,), (RD,), "nCWL + nBL + nWTRS"),
    RuleRow("pseudo", (ACT,), (ACT,), "nRRDS"),
    RuleRow("pseudo", (ACT,), (ACT,), "nFAW", window=4),
    RuleRow("pseudo", (ACT,), (PREA,), "nRAS"),
    RuleRow("pseudo", (RD,), (PREA,), "nRTP"),
    RuleRow("pseudo", (WR,), (PREA,), "nCWL + nBL + nWR"),
    RuleRow("pseudo", (PREA,), (ACT1, REFA), "nRP"),
    RuleRow("pseudo", (PRE,), (REFA,), "nRP"),
    RuleRow("pseudo", (ACT,), (REFA,), "nRC"),
    RuleRow("pseudo", (REFA,), (ACT1, PREA, REFA), "nRFC"),
    RuleRow("group", (RD,), (RD,), "nCCDL"),
    RuleRow("group", (WR,), (WR,), "nCCDL"),
    RuleRow("group", (WR,), (RD,), "nCWL + nBL + nWTRL"),
    RuleRow("group", (ACT,), (ACT,), "nRRDL"),
    RuleRow("bank", (ACT,), (ACT,), "nRC"),
    RuleRow("bank", (ACT,), (RD,), "nRCDRD"),
    RuleRow("bank", (ACT,), (WR,), "nRCDWR"),
    RuleRow("bank", (ACT,), (PRE,), "nRAS"),
    RuleRow("bank", (PRE,), (ACT1,), "nRP"),
    RuleRow("bank", (RD,), (PRE,), "nRTP"),
    RuleRow("bank", (WR,), (PRE,), "nCWL + nBL + nWR"),
)

BUS_OF = {
    ACT1: Bus.ROW,
    ACT: Bus.ROW,
    PRE: Bus.ROW,
    PREA: Bus.ROW,
    REFA: Bus.ROW,
    RD: Bus.COLUMN,
    WR: Bus.COLUMN,
}

_TCK_FS = 1_000_000
TIMINGS_2000 = {
    "nBL": 2,
    "nCL": 14,
    "nCWL": 5,
    "nRCDRD": 14,
    "nRCDWR": 12,
    "nRP": 14,
    "nRAS": 34,
    "nRC": 48,
    "nWR": 16,
    "nRTP": 5,
    "nCCDS": 2,
    "nCCDL": 4,
    "nWTRS": 6,
    "nWTRL": 8,
    "nRRDS": cycles_of(4, _TCK_FS, at_least=4),
    "nRRDL": cycles_of(4, _TCK_FS, at_least=4),
    "nFAW": cycles_of(15, _TCK_FS, at_least=8),
    "nRFC": cycles_of(350, _TCK_FS),
    "nREFI": cycles_of(3900, _TCK_FS),
}

ENERGY = Energy(
    activate_precharge_pj=909.0,
    read_pj=256 * (1.51 + 1.17 + 0.80),
    write_pj=256 * (1.51 + 1.17 + 0.80),
    refresh_pj=(250 - 55) * 1.2 * 350 / 2,
    background_mw=55 * 1.2,
    source=(
        "commands: O'Connor et al., Fine-Grained DRAM, MICRO 2017 (909 pJ a row of 1 KiB; 1.51 + 1.17 + 0.80 "
        "pJ/bit); refresh (IDD5AB - IDD3N) VDD tRFC and background IDD3N VDD: DRAMsim3 HBM2_8Gb_x128.ini"
    ),
)

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/hbm2.py, HBM2_2000Mbps and its JESD235D table for tRFC (8 Gb)"
    ),
    "second": (
        "DRAMsim3 configs/HBM2_8Gb_x128.ini agrees on CL, tRCDRD, tRP, tRAS, tRRD_S, tWTR, tWR, tREFI; it "
        "has tRCDWR 14, tRRD_L 6, tFAW 30, CWL 4, tRFC 260. DRAMSys configs/memspec/HBM2.json agrees on tRP, "
        "tRRD_S, tRTP, tREFI; it has tFAW 16, tRRD_L 6, tCCD_L 3, RL 17, WL 7, tRAS 28"
    ),
}

HBM2_2000 = Standard(
    name="HBM2_2000",
    tck_fs=_TCK_FS,
    burst_bytes=32,
    burst_cycles=TIMINGS_2000["nBL"],
    read_latency_cycles=TIMINGS_2000["nCL"],
    write_latency_cycles=TIMINGS_2000["nCWL"],
    refresh_interval_cycles=TIMINGS_2000["nREFI"],
    organisation=Organisation(
        pseudo_channels=2, ranks=1, groups=4, banks_per_group=4, rows=1 << 15, columns=32
    ),
    bus_of=BUS_OF,
    activate_gap_cycles=1,
    rules=build_rules(RULES, TIMINGS_2000),
    mapping="row rank bank group column channel pseudo group:1",
    energy=ENERGY,
    sources=SOURCES,
)

STANDARDS = (HBM2_2000,)
