"""LPDDR5 and LPDDR5X: 16-bit channels in bank-group mode, burst 16, one burst = 32 bytes."""

from __future__ import annotations

from hanok.dram.standard import Bus, Command, Form, Organisation, RuleRow, Standard
from hanok.dram.standards._energy import lpddr5_energy
from hanok.dram.standards._family import STREAM_MAPPING, Family, Frame
from hanok.dram.standards._rules import PRECHARGE_ROW, bank_refresh_rows, common_rows
from hanok.dram.standards._timing import clock_fs, cycles_of, cycles_within

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

# JESD209-5B structure: Ramulator 2.1's LPDDR5 table, with the rows for REFpb that it lacks and with data-bus
# rows between ranks that keep the data apart (its own let a write of another rank meet a read's data). ACT is
# ACT-2: timings count from it, as in gem5 (Ramulator counts from ACT-1, a cycle or more less); it comes at
# most tAAD = 8 cycles after it. The write clock WCK is always on, so CAS commands are not needed. A read of
# another rank after a write needs no row: its data come long after the write's.
ROWS = (
    *common_rows(ACT1, level="rank", precharge_all="nRPab", group_write_read="nCWL + nBLmax + nWTRL"),
    RuleRow("rank", (RD,), (WR,), "nCL + nBL + 2 - nCWL"),
    RuleRow("other_rank", (RD,), (RD,), "nBL + nCS"),
    RuleRow("other_rank", (WR,), (WR,), "nBL + nCS"),
    RuleRow("other_rank", (RD,), (WR,), "nCL + nBL + nCS - nCWL"),
    PRECHARGE_ROW,
    *bank_refresh_rows(ACT1, level="rank", precharge_all="nRPab"),
)
FORMS = dict.fromkeys(Command, Form(Bus.ROW))
# Counted in clocks by the standard at every speed; all else is a time. nBLmax: BL/n_max, the column array's
# cycle time in bank-group mode.
IN_CLOCKS = {"nBL": 2, "nBLmax": 4, "nCCDS": 2, "nCCDL": 4, "nPPD": 2, "nCS": 2}

# Mb/s -> read and write latency in clocks, tRRD ns, tFAW ns.
GRADES = {
    5500: (16, 8, 5.0, 20.0),
    6400: (17, 9, 5.0, 20.0),
    7500: (22, 11, 3.75, 15.0),
    8533: (25, 12, 3.75, 15.0),
}
# Gbit a die -> rows a bank, tRFCab ns, tRFCpb ns (JESD209-5B table 235, as Ramulator 2.1 has it).
DENSITIES = {4: (1 << 14, 180, 90), 8: (1 << 15, 210, 120), 16: (1 << 16, 280, 140), 32: (1 << 17, 380, 190)}

_COMMON_SOURCES = (
    "times in ns: gem5 src/mem/DRAMInterface.py LPDDR5_5500/6400_1x16_BG_BL16 and the defaults of AMD's "
    "LPDDR5 controller (PG456, DDRMC5_CONFIG of public block designs); refresh by density, tpbR2pbR 90 ns "
    "and tpbR2act 7.5 ns: Ramulator 2.1 python/ramulator/dram/lpddr5.py after JESD209-5B table 235"
)
_SECOND = (
    "Ramulator 2.1 LPDDR5_6400: every figure equals the times above, rounded up to its clock "
    "(tests/dram/test_standards.py)"
)
_DERIVED = {
    5500: "nCWL: the 11.25 ns of LPDDR5-6400, rounded up to the clock; tWR, tWTR: LPDDR5's times",
    7500: "nCL and nCWL keep the nanoseconds of LPDDR5X-8533, rounded up; tWR, tWTR: LPDDR5's times",
    8533: "tWR, tWTR_S and tWTR_L keep the nanoseconds of LPDDR5, rounded up; all else is public",
}


def _timings(speed_mbps: int, density_gbit: int, banks: int) -> dict[str, int]:
    tck = clock_fs(speed_mbps, 8)
    read_latency, write_latency, activate_ns, window_ns = GRADES[speed_mbps]
    _, all_bank_ns, bank_ns = DENSITIES[density_gbit]
    active, precharge = cycles_of(42, tck, at_least=3), cycles_of(18, tck, at_least=2)
    return IN_CLOCKS | {
        "nCL": read_latency,
        "nCWL": write_latency,
        "nRCDRD": cycles_of(18, tck, at_least=2),
        "nRCDWR": cycles_of(18, tck, at_least=2),
        "nRP": precharge,
        "nRPab": cycles_of(21, tck, at_least=2),
        "nRAS": active,
        "nRC": active + precharge,
        "nWR": cycles_of(34, tck, at_least=3),
        # BL/n_max + nRBTP: 7.5 ns less two clocks, after the column array's cycle.
        "nRTP": IN_CLOCKS["nBLmax"] + cycles_of(7.5, tck, at_least=2) - 2,
        "nWTRS": cycles_of(6.25, tck, at_least=4),
        "nWTRL": cycles_of(12, tck, at_least=4),
        "nRRDS": cycles_of(activate_ns, tck, at_least=4),
        "nRRDL": cycles_of(activate_ns, tck, at_least=4),
        "nFAW": cycles_of(window_ns, tck, at_least=16),
        "nRFC": cycles_of(all_bank_ns, tck),
        "nRFCpb": cycles_of(bank_ns, tck),
        "nRREFD": cycles_of(7.5, tck),
        "nRREFR": cycles_of(90, tck),
        "nREFI": cycles_within(3906, tck),
        "nREFIpb": cycles_within(3906 / banks, tck),
    }


def _make(speed_mbps: int, density_gbit: int) -> Standard:
    rows, all_bank_ns, _ = DENSITIES[density_gbit]
    shape = Organisation(pseudo_channels=1, ranks=1, groups=4, banks_per_group=4, rows=rows, columns=64)
    return Frame(
        family="LPDDR5" if speed_mbps <= 6400 else "LPDDR5X",
        burst_bytes=32,
        clock_cycles=1,
        forms=FORMS,
        activate_gap_cycles=(1, 8),
        rows=ROWS,
        mapping=STREAM_MAPPING,
        stack_channels=1,
    ).table(
        speed_mbps,
        density_gbit,
        clock_fs(speed_mbps, 8),
        shape,
        _timings(speed_mbps, density_gbit, shape.banks),
        lpddr5_energy(all_bank_ns, shape.banks),
        {"timings": _COMMON_SOURCES, "second": _SECOND},
        _DERIVED.get(speed_mbps, ""),
    )


LPDDR5 = Family("LPDDR5", (5500, 6400), tuple(DENSITIES), 16, _make)
LPDDR5X = Family("LPDDR5X", (7500, 8533), tuple(DENSITIES), 16, _make)
