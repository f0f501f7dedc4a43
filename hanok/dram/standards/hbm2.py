"""HBM2 and HBM2E: 8 channels of two 64-bit pseudo-channels in a stack, burst 4, one burst = 32 bytes."""

from __future__ import annotations

from hanok.dram.standard import Bus, Command, Form, Organisation, RuleRow, Standard
from hanok.dram.standards._energy import hbm_energy
from hanok.dram.standards._family import STREAM_MAPPING, Family, Frame
from hanok.dram.standards._rules import bank_refresh_rows, common_rows
from hanok.dram.standards._timing import clock_fs, cycles_of, cycles_within, rescale

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

# JESD235 structure: Ramulator 2.1's HBM2 table, with the rows for REFSB that DRAMSys' CheckerHBM2 has beyond
# it. An activate takes two cycles of the row bus: what must precede it precedes ACT1, what follows it counts
# from ACT.
HBM2_ROWS = (
    *common_rows(ACT1),
    RuleRow("pseudo", (RD,), (WR,), "nCL + nBL + 2 - nCWL"),
    *bank_refresh_rows(ACT1),
)
HBM2E_ROWS = (*HBM2_ROWS, RuleRow("other_rank", (RD,), (RD,), "nCCDR"))

FORMS = {
    **dict.fromkeys((ACT1, ACT, PRE, PREA, REFA, REFB), Form(Bus.ROW)),
    **dict.fromkeys((RD, WR), Form(Bus.COLUMN)),
}

# Clocks of Ramulator 2.1's presets at 1600, 2000 and 2400 Mb/s; nRRD, nFAW and refresh are times, below.
_CLOCKS = {
    "nCL": (10, 14, 17),
    "nRCDRD": (10, 14, 17),
    "nRCDWR": (8, 12, 14),
    "nRP": (10, 14, 17),
    "nRAS": (24, 34, 40),
    "nRC": (34, 48, 57),
    "nWR": (12, 16, 19),
    "nRTP": (4, 5, 6),
    "nCWL": (4, 5, 6),
    "nWTRS": (5, 6, 8),
    "nWTRL": (6, 8, 10),
}
CLOCKS = {
    speed: {name: clocks[grade] for name, clocks in _CLOCKS.items()}
    for grade, speed in enumerate((1600, 2000, 2400))
}
# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = {"nBL": 2, "nCCDS": 2, "nCCDL": 4, "nCCDR": 3}

# Gbit a channel -> rows a bank, ranks (stack identities), tRFCab ns, tRFCsb ns.
DENSITIES = {2: (1 << 13, 1, 160, 160), 4: (1 << 14, 1, 260, 160), 8: (1 << 15, 1, 350, 160)}
HBM2E_DENSITIES = {8: (1 << 15, 1, 350, 160), 16: (1 << 15, 2, 450, 200)}

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/hbm2.py: presets, and its JESD235D tables for tRFC, tRFCsb and "
        "tRREFD"
    ),
    "second": (
        "DRAMsim3 configs/HBM2_8Gb_x128.ini, DRAMSys configs/memspec/HBM2.json, gem5 HBM_2000_4H_1x64: "
        "compared figure by figure in tests/dram/test_standards.py"
    ),
}


def _refresh(tck_fs: int, all_bank_ns: int, bank_ns: int, banks: int) -> dict[str, int]:
    """Activates between banks and refresh, from times (JESD235D as Ramulator 2.1 has it)."""
    return {
        "nRRDS": cycles_of(4, tck_fs, at_least=4),
        "nRRDL": cycles_of(4, tck_fs, at_least=4),
        "nFAW": cycles_of(15, tck_fs, at_least=8),
        "nRREFD": cycles_of(8, tck_fs, at_least=4),
        "nRREFR": cycles_of(8, tck_fs, at_least=4),
        "nRFC": cycles_of(all_bank_ns, tck_fs),
        "nRFCpb": cycles_of(bank_ns, tck_fs),
        "nREFI": cycles_within(3900, tck_fs),
        "nREFIpb": cycles_within(3900 / banks, tck_fs),
    }


def _make(speed_mbps: int, density_gbit: int) -> Standard:
    family = "HBM2" if speed_mbps in CLOCKS else "HBM2E"
    rows, ranks, all_bank_ns, bank_ns = (DENSITIES if family == "HBM2" else HBM2E_DENSITIES)[density_gbit]
    tck_fs = clock_fs(speed_mbps, 2)
    if family == "HBM2":
        clocks, sources, derived = CLOCKS[speed_mbps], SOURCES, ""
    else:
        clocks = rescale(CLOCKS[2000], (), clock_fs(2000, 2), tck_fs)
        sources, derived = HBM2E_SOURCES, HBM2E_DERIVED
    shape = Organisation(pseudo_channels=2, ranks=ranks, groups=4, banks_per_group=4, rows=rows, columns=32)
    return Frame(
        family=family,
        burst_bytes=32,
        clock_cycles=1,
        forms=FORMS,
        activate_gap_cycles=(1, 1),
        rows=HBM2_ROWS if family == "HBM2" else HBM2E_ROWS,
        mapping=STREAM_MAPPING,
        stack_channels=8,
    ).table(
        speed_mbps,
        density_gbit,
        tck_fs,
        shape,
        IN_CLOCKS | clocks | _refresh(tck_fs, all_bank_ns, bank_ns, shape.banks),
        hbm_energy(1.2, all_bank_ns, shape.banks),
        sources,
        derived,
    )


HBM2E_SOURCES = {
    "speed": "3.2 and 3.6 Gb/s a pin, stacks of 16 GB: vendors' HBM2E product pages",
    "timings": "derived",
    "second": "none: no second public set of HBM2E timings was found",
}
HBM2E_DERIVED = (
    "no public HBM2E timings: every time of HBM2-2000 keeps its nanoseconds, rounded up to the new clock; "
    "nBL, nCCDS and nCCDL keep their clock counts; nCCDR (two stack identities) is the 3 clocks of HBM3; "
    "tRFC 450 and tRFCsb 200 ns for more than 8 Gb a channel, as Ramulator 2.1's HBM2 table goes on"
)

HBM2 = Family("HBM2", tuple(CLOCKS), tuple(DENSITIES), 8, _make)
HBM2E = Family("HBM2E", (3200, 3600), tuple(HBM2E_DENSITIES), 16, _make)
