"""DDR5: a channel is one 32-bit subchannel of four x8 devices, burst 16, one burst = 64 bytes."""

from __future__ import annotations

from hanok.dram.standard import Bus, Command, Form, Organisation, RuleRow, Standard
from hanok.dram.standards._energy import ddr5_energy
from hanok.dram.standards._family import Family, Frame
from hanok.dram.standards._rules import PRECHARGE_ROW, common_rows
from hanok.dram.standards._timing import clock_fs, cycles_of, cycles_within

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

# JESD79-5 structure: Ramulator 2.1's DDR5 table. REFsb, which refreshes one bank of every bank group at once,
# is not a refresh of one bank, so the table has no REFB.
ROWS = (
    *common_rows(ACT1, level="rank", group_write="nCCDLWR"),
    RuleRow("rank", (RD,), (WR,), "nCL + nBL + 4 - nCWL"),
    RuleRow("other_rank", (RD,), (RD,), "nBL + nCS"),
    RuleRow("other_rank", (WR,), (WR,), "nBL + nCS"),
    RuleRow("other_rank", (RD,), (WR,), "nCL + nBL + nCS - nCWL"),
    RuleRow("other_rank", (WR,), (RD,), "nCWL + nBL + nCS - nCL"),
    PRECHARGE_ROW,
)
# Activates and column commands take two cycles; timings count from the second.
FORMS = {
    **dict.fromkeys((ACT1, ACT, PRE, PREA, REFA), Form(Bus.ROW)),
    **dict.fromkeys((RD, WR), Form(Bus.ROW, lead=1)),
}
# Counted in clocks by the standard at every speed; all else is a time.
IN_CLOCKS = {"nBL": 8, "nCCDS": 8, "nRRDS": 8, "nFAW": 32, "nPPD": 2, "nCS": 2}

# Mb/s -> read latency, tRCD and tRP of the AN bins, in clocks.
GRADES = {3200: 24, 4800: 34, 5600: 40, 6400: 46}
# Gbit a die -> banks a group, rows a bank, tRFC1 ns.
DENSITIES = {8: (2, 1 << 16, 195), 16: (4, 1 << 16, 295), 32: (4, 1 << 17, 410)}

MAPPING = "row rank bank^row column channel pseudo group"
"""As in the other families, but over all eight bank groups, which hides tCCD_L_WR too."""

SOURCES = {
    "timings": (
        "Ramulator 2.1 python/ramulator/dram/ddr5.py: nCL, nRCD, nRP of the AN bins, tRAS, tWR, tCCD_L_WR, "
        "tRFC; tCCD_L, tRRD_L, tWTR, tRTP, tFAW: the formulas of JESD79-5 as gem5's DDR5_4400_4x8 states "
        "them"
    ),
    "second": (
        "gem5 src/mem/DRAMInterface.py DDR5_6400_4x8 and the defaults of AMD's DDR5 controller (PG456, "
        "DDRMC5_CONFIG of public block designs): compared figure by figure in tests/dram/test_standards.py"
    ),
}


def _timings(speed_mbps: int, density_gbit: int) -> dict[str, int]:
    tck, latency = clock_fs(speed_mbps, 2), GRADES[speed_mbps]
    active = cycles_of(32, tck)
    return IN_CLOCKS | {
        "nCL": latency,
        "nCWL": latency - 2,
        "nRCDRD": latency,
        "nRCDWR": latency,
        "nRP": latency,
        "nRAS": active,
        "nRC": active + latency,
        "nWR": cycles_of(30, tck),
        "nRTP": cycles_of(7.5, tck, at_least=12),
        "nCCDL": cycles_of(5, tck, at_least=8),
        "nCCDLWR": cycles_of(20, tck, at_least=32),
        "nRRDL": cycles_of(5, tck, at_least=8),
        "nWTRS": cycles_of(2.5, tck, at_least=4),
        "nWTRL": cycles_of(10, tck, at_least=16),
        "nRFC": cycles_of(DENSITIES[density_gbit][2], tck),
        "nREFI": cycles_within(3900, tck),
    }


def _make(speed_mbps: int, density_gbit: int) -> Standard:
    banks_per_group, rows, all_bank_ns = DENSITIES[density_gbit]
    return Frame(
        family="DDR5",
        burst_bytes=64,
        clock_cycles=1,
        forms=FORMS,
        activate_gap_cycles=(1, 1),
        rows=ROWS,
        mapping=MAPPING,
        stack_channels=1,
    ).table(
        speed_mbps,
        density_gbit,
        clock_fs(speed_mbps, 2),
        Organisation(
            pseudo_channels=1, ranks=1, groups=8, banks_per_group=banks_per_group, rows=rows, columns=64
        ),
        _timings(speed_mbps, density_gbit),
        ddr5_energy(all_bank_ns),
        SOURCES,
    )


DDR5 = Family("DDR5", tuple(GRADES), tuple(DENSITIES), 16, _make)
