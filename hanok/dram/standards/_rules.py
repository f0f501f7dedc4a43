"""Rows of the rule tables that the families share."""

from __future__ import annotations

from hanok.dram.standard import Command, RuleRow

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command


def common_rows(
    first: Command,
    *,
    level: str = "pseudo",
    precharge_all: str = "nRP",
    group_write: str = "nCCDL",
    group_write_read: str = "nCWL + nBL + nWTRL",
) -> tuple[RuleRow, ...]:
    """Return the rows for data, activates, precharges and all-bank refresh.

    What must precede an activate precedes `first` (ACT1, or ACT where an activate is one command); what
    follows counts from ACT. `level` is where tCCD_S, tWTR_S and tRRD_S hold.
    """
    return (
        RuleRow("pseudo", (RD,), (RD,), "nBL"),
        RuleRow("pseudo", (WR,), (WR,), "nBL"),
        RuleRow(level, (RD,), (RD,), "nCCDS"),
        RuleRow(level, (WR,), (WR,), "nCCDS"),
        RuleRow(level, (WR,), (RD,), "nCWL + nBL + nWTRS"),
        RuleRow(level, (ACT,), (ACT,), "nRRDS"),
        RuleRow("pseudo", (ACT,), (ACT,), "nFAW", window=4),
        RuleRow("pseudo", (ACT,), (PREA,), "nRAS"),
        RuleRow("pseudo", (RD,), (PREA,), "nRTP"),
        RuleRow("pseudo", (WR,), (PREA,), "nCWL + nBL + nWR"),
        RuleRow("pseudo", (PREA,), (first, REFA), precharge_all),
        RuleRow("pseudo", (PRE,), (REFA,), "nRP"),
        RuleRow("pseudo", (ACT,), (REFA,), "nRC"),
        RuleRow("pseudo", (REFA,), (first, PREA, REFA), "nRFC"),
        RuleRow("group", (RD,), (RD,), "nCCDL"),
        RuleRow("group", (WR,), (WR,), group_write),
        RuleRow("group", (WR,), (RD,), group_write_read),
        RuleRow("group", (ACT,), (ACT,), "nRRDL"),
        RuleRow("bank", (ACT,), (ACT,), "nRC"),
        RuleRow("bank", (ACT,), (RD,), "nRCDRD"),
        RuleRow("bank", (ACT,), (WR,), "nRCDWR"),
        RuleRow("bank", (ACT,), (PRE,), "nRAS"),
        RuleRow("bank", (PRE,), (first,), "nRP"),
        RuleRow("bank", (RD,), (PRE,), "nRTP"),
        RuleRow("bank", (WR,), (PRE,), "nCWL + nBL + nWR"),
    )


def bank_refresh_rows(
    first: Command, *, level: str = "pseudo", precharge_all: str = "nRP"
) -> tuple[RuleRow, ...]:
    """Return the rows for the refresh of one bank, which is an activate to the banks beside it.

    nRREFD: from a REFB to an activate of another bank, nRREFR: to a REFB of another bank. A REFB counts in
    the four-activate window; the window row is for REFB as the fifth. As one of the first four it needs no
    row, because nRREFD + 3 nRRDS is not less than nFAW in any table here (a test holds that).
    """
    return (
        RuleRow(level, (ACT,), (REFB,), "nRRDS"),
        RuleRow("pseudo", (ACT,), (REFB,), "nFAW", window=4),
        RuleRow(level, (REFB,), (first,), "nRREFD"),
        RuleRow(level, (REFB,), (REFB,), "nRREFR"),
        RuleRow("pseudo", (PREA,), (REFB,), precharge_all),
        RuleRow("pseudo", (REFA,), (REFB,), "nRFC"),
        RuleRow("pseudo", (REFB,), (REFA, PREA), "nRFCpb"),
        RuleRow("group", (ACT,), (REFB,), "nRRDL"),
        RuleRow("bank", (ACT,), (REFB,), "nRC"),
        RuleRow("bank", (PRE,), (REFB,), "nRP"),
        RuleRow("bank", (REFB,), (first, REFB), "nRFCpb"),
    )


PRECHARGE_ROW = RuleRow("pseudo", (PRE, PREA), (PRE, PREA), "nPPD")
"""tPPD, which HBM2 does not have."""
