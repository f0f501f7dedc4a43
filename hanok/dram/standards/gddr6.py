"""GDDR6: a channel is 16 bits of a device (which has two), burst 16, one burst = 32 bytes."""

from __future__ import annotations

from hanok.dram.standard import Bus, Command, Form, Organisation, RuleRow, Standard
from hanok.dram.standards._energy import gddr6_energy
from hanok.dram.standards._family import STREAM_MAPPING, Family, Frame
from hanok.dram.standards._rules import PRECHARGE_ROW, bank_refresh_rows, common_rows
from hanok.dram.standards._timing import clock_fs, cycles_of, cycles_within, rescale

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

# JESD250 structure: Ramulator 2.1's GDDR6 table, and DRAMSys' CheckerGDDR6 for REFpb -> PREab. REFp2b, which
# refreshes two banks at once, is not used.
ROWS = (
    *common_rows(ACT),
    RuleRow("pseudo", (RD,), (WR,), "nCL + 1"),
    PRECHARGE_ROW,
    *bank_refresh_rows(ACT),
)
FORMS = {command: Form(Bus.ROW) for command in Command if command is not ACT1}

# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = ("nBL", "nCCDS", "nCCDL", "nPPD")
CLOCKS_14000 = {
    "nBL": 2,
    "nCL": 24,
    "nCWL": 6,
    "nRCDRD": 27,
    "nRCDWR": 16,
    "nRP": 27,
    "nRAS": 53,
    "nRC": 79,
    "nWR": 27,
    "nRTP": 4,
    "nCCDS": 2,
    "nCCDL": 4,
    "nRRDS": 8,
    "nRRDL": 8,
    "nFAW": 29,
    "nWTRS": 9,
    "nWTRL": 11,
    "nRREFD": 15,
    "nRREFR": 15,
    "nPPD": 1,
}
REFRESH_NS, BANK_REFRESH_NS, INTERVAL_NS = 120, 60, 1900

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/gddr6.py, GDDR6_14000_1350mV_double (after a Samsung 8 Gb "
        "datasheet); its clock of 570 ps is 571.4 ps here, 14 Gb/s exactly"
    ),
    "second": (
        "DRAMsim3 configs/GDDR6_8Gb_x16.ini (12 Gb/s): compared figure by figure in "
        "tests/dram/test_standards.py"
    ),
}
DERIVED_SOURCES = {"speed": "16 Gb/s a pin: JESD250", "timings": "derived", "second": SOURCES["second"]}
DERIVED = (
    "every time of GDDR6-14000 keeps its nanoseconds, rounded up to the 500 ps clock; nBL, nCCDS, nCCDL and "
    "nPPD keep their clock counts"
)


def _make(speed_mbps: int, density_gbit: int) -> Standard:
    tck = clock_fs(speed_mbps, 8)
    shape = Organisation(pseudo_channels=1, ranks=1, groups=4, banks_per_group=4, rows=1 << 14, columns=64)
    timings = rescale(CLOCKS_14000, IN_CLOCKS, clock_fs(14000, 8), tck) | {
        "nRFC": cycles_of(REFRESH_NS, tck),
        "nRFCpb": cycles_of(BANK_REFRESH_NS, tck),
        "nREFI": cycles_within(INTERVAL_NS, tck),
        "nREFIpb": cycles_within(INTERVAL_NS / shape.banks, tck),
    }
    is_derived = speed_mbps != 14000
    return Frame(
        family="GDDR6",
        burst_bytes=32,
        clock_cycles=1,
        forms=FORMS,
        activate_gap_cycles=(0, 0),
        rows=ROWS,
        mapping=STREAM_MAPPING,
        stack_channels=2,
    ).table(
        speed_mbps,
        density_gbit,
        tck,
        shape,
        timings,
        gddr6_energy(REFRESH_NS, shape.banks),
        DERIVED_SOURCES if is_derived else SOURCES,
        DERIVED if is_derived else "",
    )


GDDR6 = Family("GDDR6", (14000, 16000), (8,), 8, _make)
