"""LPDDR5 and LPDDR5X: 16-bit channels in bank-group mode, burst 16, one burst = 32 bytes."""

from __future__ import annotations

from dataclasses import replace

from hanok.dram.standard import Bus, Command, Energy, Organisation, RuleRow, Standard, build_rules
from hanok.dram.standards._timing import cycles_of, rescale

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command

# JESD209-5B structure, as laid out in Ramulator 2's LPDDR5 table. ACT is ACT-2: timings count from it,
# as in gem5 (Ramulator counts from ACT-1, a cycle or more less); it comes at most tAAD = 8 cycles after it.
# The write clock WCK is always on, so CAS commands are not needed.
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
    RuleRow("pseudo", (PREA,), (ACT1, REFA), "nRPab"),
    RuleRow("pseudo", (PRE,), (REFA,), "nRP"),
    RuleRow("pseudo", (ACT,), (REFA,), "nRC"),
    RuleRow("pseudo", (REFA,), (ACT1, PREA, REFA), "nRFC"),
    RuleRow("pseudo", (PRE, PREA), (PRE, PREA), "nPPD"),
    RuleRow("group", (RD,), (RD,), "nCCDL"),
    RuleRow("group", (WR,), (WR,), "nCCDL"),
    RuleRow("group", (WR,), (RD,), "nCWL + nBLmax + nWTRL"),
    RuleRow("group", (ACT,), (ACT,), "nRRDL"),
    RuleRow("bank", (ACT,), (ACT,), "nRC"),
    RuleRow("bank", (ACT,), (RD, WR), "nRCD"),
    RuleRow("bank", (ACT,), (PRE,), "nRAS"),
    RuleRow("bank", (PRE,), (ACT1,), "nRP"),
    RuleRow("bank", (RD,), (PRE,), "nRTP"),
    RuleRow("bank", (WR,), (PRE,), "nCWL + nBL + nWR"),
)

BUS_OF = dict.fromkeys(Command, Bus.ROW)

_TCK_FS = 1_250_000
TIMINGS_6400 = {
    "nBL": 2,
    "nBLmax": 4,
    "nCL": 17,
    "nCWL": 9,
    "nRCD": 15,
    "nRP": 15,
    "nRPab": 17,
    "nRAS": 34,
    "nRC": 49,
    "nWR": 28,
    "nRTP": 8,
    "nPPD": 2,
    "nCCDS": 2,
    "nCCDL": 4,
    "nWTRS": 5,
    "nWTRL": 10,
    "nRRDS": cycles_of(5, _TCK_FS, at_least=4),
    "nRRDL": cycles_of(5, _TCK_FS, at_least=4),
    "nFAW": cycles_of(20, _TCK_FS, at_least=16),
    "nRFC": cycles_of(280, _TCK_FS),
    "nREFI": cycles_of(3906, _TCK_FS),
}

# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = ("nBL", "nBLmax", "nCCDS", "nCCDL", "nPPD")

# LPDDR4 currents in mA (DRAMsim3 LPDDR4_8Gb_x16_2400.ini: IDD0 80, IDD2N 34, IDD3N 47, IDD4R 243, IDD4W 228,
# IDD5AB 280, 1.2 V, tRAS 32, tRP 15, tRFC 392 cycles of 0.83 ns), one x16 channel, to picojoules.
_SCALE = (1.05 / 1.2) ** 2
ENERGY = Energy(
    activate_precharge_pj=(80 * 47 - 47 * 32 - 34 * 15) * 0.83 * 1.2 * _SCALE,
    read_pj=(243 - 47) * 1.2 * 8 * 0.83 * _SCALE,
    write_pj=(228 - 47) * 1.2 * 8 * 0.83 * _SCALE,
    refresh_pj=(280 - 47) * 1.2 * 280 * _SCALE,
    background_mw=47 * 1.2 * _SCALE,
    source=(
        "derived: LPDDR4 currents of DRAMsim3 LPDDR4_8Gb_x16_2400.ini, times (1.05 V / 1.2 V)^2; no LPDDR5 "
        "datasheet currents are public without registration"
    ),
)

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/lpddr5.py, LPDDR5_6400 (it cites JESD209-5B tables "
        "235, 330-333, 372)"
    ),
    "second": (
        "gem5 src/mem/DRAMInterface.py LPDDR5_6400_1x16_BG_BL16 agrees on tCK, tCL, tCCD, tRRD, tFAW, "
        "tWTR_S, tPPD, tRFC (8 Gb: 210 ns); it has tRCD and tRP 18 ns, tRAS 42 ns, tWR 34 ns, tWTR_L 12 ns, "
        "all of which round up to the cycles used here, and tRTP 7.5 ns minus 2 clocks, less than the 10 "
        "ns used here"
    ),
}

LPDDR5_6400 = Standard(
    name="LPDDR5_6400",
    tck_fs=_TCK_FS,
    burst_bytes=32,
    burst_cycles=TIMINGS_6400["nBL"],
    read_latency_cycles=TIMINGS_6400["nCL"],
    write_latency_cycles=TIMINGS_6400["nCWL"],
    refresh_interval_cycles=TIMINGS_6400["nREFI"],
    organisation=Organisation(
        pseudo_channels=1, ranks=1, groups=4, banks_per_group=4, rows=1 << 16, columns=64
    ),
    bus_of=BUS_OF,
    activate_gap_cycles=8,
    rules=build_rules(RULES, TIMINGS_6400),
    mapping="row rank bank group column channel pseudo group:1",
    energy=ENERGY,
    sources=SOURCES,
)

_TCK_8533_FS = 937_500
TIMINGS_8533 = rescale(TIMINGS_6400, IN_CLOCKS, _TCK_FS, _TCK_8533_FS)

LPDDR5X_8533 = replace(
    LPDDR5_6400,
    name="LPDDR5X_8533",
    tck_fs=_TCK_8533_FS,
    read_latency_cycles=TIMINGS_8533["nCL"],
    write_latency_cycles=TIMINGS_8533["nCWL"],
    refresh_interval_cycles=TIMINGS_8533["nREFI"],
    rules=build_rules(RULES, TIMINGS_8533),
    sources={"speed": "8.533 Gb/s a pin: JEDEC's announcement of JESD209-5B", "timings": "derived"},
    derived=(
        "no public LPDDR5X timings: every time of LPDDR5-6400 keeps its nanoseconds, rounded up to the 937.5 "
        "ps clock; nBL, nBLmax, nCCDS, nCCDL and nPPD keep their clock counts"
    ),
)

STANDARDS = (LPDDR5_6400, LPDDR5X_8533)
